"""Whether one that sleeps, computes, is flooded or sends a lot holds up the others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from benchmarks.rounds import Contender, Metric, Row, Slice
from benchmarks.rows.disturbances import disturbing
from benchmarks.rows.servers import OURS
from benchmarks.server_process import ServerProcess
from benchmarks.settings import Settings

CONNECTIONS = 200

#: Milliseconds that one in a hundred requests of the others may take.
LIMIT = 30.0

#: Seconds that a slice takes at least: the disturbance lasts one, and comes again and again.
SHORTEST_SLICE = 1.5

#: Slices are long, and the limit is far from what noise does.
MOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What disturbs.

    Attributes:
        name: what a client asks the server for.
        title: as the table shows it.
        clients: how many ask for it at the same time.
        note: what a reader has to know of it.
    """

    name: str
    title: str
    clients: int
    note: str


ONE_HANDLER = "The disturbed handler serves a connection of its own and does it again as soon as it has answered."

FLOOD = "A handler casts 100,000 messages in one callback, waits until all are counted, and does it again."
UPLOAD = "Each sends 100 MB on a connection of its own, waits until the server has read it, and does it again."

DISTURBANCES = [
    Disturbance("sleep", "a callback that sleeps 1 s", 1, ONE_HANDLER),
    Disturbance("compute", "a callback that computes 1 s", 1, ONE_HANDLER),
    Disturbance("flood", "a flood of casts at one actor", 1, FLOOD),
    Disturbance("upload", "3 clients that send 100 MB each", 3, UPLOAD),
]


def rows() -> list[Row]:
    """All rows of this file."""
    return [_row(disturbance) for disturbance in DISTURBANCES]


def _row(disturbance: Disturbance) -> Row:
    contenders = [
        Contender(OURS, _disturbed(disturbance)),
        Contender(f"{OURS} undisturbed", _disturbed(None)),
    ]
    metrics = [
        Metric("p99", "ms p99", "lower", limit=LIMIT),
        Metric("worst", "ms worst", "lower"),
        Metric("rate", "requests/s"),
    ]
    title = f"{CONNECTIONS} echo connections beside {disturbance.title}"
    return Row(f"fairness-{disturbance.name}", title, contenders, metrics, MOST_ROUNDS, disturbance.note)


def _disturbed(disturbance: Disturbance | None) -> Slice:
    def work(settings: Settings) -> Mapping[str, float]:
        seconds = max(settings.seconds, SHORTEST_SLICE)
        with ServerProcess("thousand_island-disturbed") as process:
            settings.load.send_forerunners(process.port)
            with disturbing(process.port, disturbance.name, disturbance.clients) if disturbance else nullcontext():
                return settings.load.run("echo", process.port, CONNECTIONS, seconds, settings.warmup)

    return work
