"""How cost grows with work: requests and latency against connections, memory against what is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.curves import Figure, Panel
from benchmarks.rounds import Contender, Metric, Row, Slice
from benchmarks.rows import runtime
from benchmarks.rows.servers import ECHO_SERVERS, THREADING, loaded
from benchmarks.server_process import ServerProcess
from benchmarks.settings import Settings

CONNECTIONS = (1, 10, 100, 1_000, 10_000)
ACTORS = (1, 10, 100, 1_000, 10_000, 100_000)

#: Where a peer that needs a thread for each stops: threads beyond that say more about the kernel.
MOST_THREADS = {THREADING: 1_000, runtime.PYKKA: 10_000}

#: A curve needs no exact points, and memory hardly varies.
LOAD_ROUNDS = 2
MEMORY_ROUNDS = 1

MEGABYTE = 1_000_000

RESIDENT = Metric("resident", "MB", "lower")


def figures() -> list[Figure]:
    """All figures, in the order of the page."""
    return [_requests(), _memory()]


def _requests() -> Figure:
    points = {count: _requests_at(count) for count in CONNECTIONS}
    panels = [
        Panel("connections", "requests/s", "rate", points),
        Panel("connections", "p99 (ms)", "p99", points),
    ]
    note = f"Echo of 64 bytes; {THREADING} up to {MOST_THREADS[THREADING]:,} connections."
    return Figure("curve-requests", "Requests and latency against connections", panels, note)


def _requests_at(count: int) -> Row:
    metrics = [Metric("rate", "requests/s"), Metric("p99", "ms p99", "lower")]
    contenders = _contenders(count, lambda server, count: loaded(server, "echo", count))
    return Row(f"curve-requests-{count}", f"{count:,} connections", contenders, metrics, LOAD_ROUNDS)


def _memory() -> Figure:
    idle = {count: _idle_at(count) for count in CONNECTIONS}
    actors = {count: _actors_at(count) for count in ACTORS}
    panels = [
        Panel("idle connections", "resident memory (MB)", "resident", idle),
        Panel("live actors", "resident memory (MB)", "resident", actors),
    ]
    note = "Resident memory of the whole process, the interpreter and the library included, after a full collection."
    return Figure("curve-memory", "Memory against idle connections and live actors", panels, note)


def _idle_at(count: int) -> Row:
    contenders = _contenders(count, _resident)
    return Row(f"curve-idle-{count}", f"{count:,} idle connections", contenders, [RESIDENT], MEMORY_ROUNDS)


def _actors_at(count: int) -> Row:
    names = (runtime.OURS, runtime.PYKKA)
    contenders = [Contender(name, runtime.resident(name, count)) for name in names if _bears(name, count)]
    return Row(f"curve-actors-{count}", f"{count:,} live actors", contenders, [RESIDENT], MEMORY_ROUNDS)


def _contenders(count: int, work: Callable[[str, int], Slice]) -> list[Contender]:
    return [Contender(name, work(server, count)) for name, server in ECHO_SERVERS.items() if _bears(name, count)]


def _bears(contender: str, count: int) -> bool:
    return count <= MOST_THREADS.get(contender, count)


def _resident(server: str, count: int) -> Slice:
    def work(settings: Settings) -> Mapping[str, float]:
        with ServerProcess(server) as process:
            settings.load.send_forerunners(process.port)
            with settings.load.holding(process.port, count):
                process.collect_garbage()
                return {"resident": process.resident_bytes() / MEGABYTE}

    return work
