"""Whether one handler that sleeps or computes holds up the others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

from benchmarks.failures import WrongResultError
from benchmarks.rounds import Contender, Metric, Row, Slice
from benchmarks.server_process import ServerProcess
from benchmarks.settings import Settings

CONNECTIONS = 200

#: Milliseconds that one in a hundred requests of the others may take.
LIMIT = 30.0

#: Seconds that a slice takes at least: the disturbance lasts one, and comes again and again.
SHORTEST_SLICE = 1.5

#: Slices are long, and the limit is far from what noise does.
MOST_ROUNDS = 5

#: Seconds within which a disturbing request has its answer, whatever the load.
PATIENCE = 30.0
REQUEST_SIZE = 64


def rows() -> list[Row]:
    """All rows of this file."""
    return [_row("sleep", "sleeps 1 s"), _row("compute", "computes 1 s")]


def _row(disturbance: str, title: str) -> Row:
    contenders = [
        Contender("thousand_island", _disturbed(disturbance)),
        Contender("thousand_island undisturbed", _disturbed(None)),
    ]
    metrics = [
        Metric("p99", "ms p99", "lower", limit=LIMIT),
        Metric("worst", "ms worst", "lower"),
        Metric("rate", "requests/s"),
    ]
    note = "The disturbed handler serves a connection of its own and does it again as soon as it has answered."
    name = f"{CONNECTIONS} echo connections beside a callback that {title}"
    return Row(f"fairness-{disturbance}", name, contenders, metrics, MOST_ROUNDS, note)


def _disturbed(disturbance: str | None) -> Slice:
    def work(settings: Settings) -> Mapping[str, float]:
        seconds = max(settings.seconds, SHORTEST_SLICE)
        with ServerProcess("thousand_island-disturbed") as process:
            beside = _disturbing(process.port, disturbance) if disturbance else nullcontext()
            settings.load.send_forerunners(process.port)
            with beside:
                return settings.load.run("echo", process.port, CONNECTIONS, seconds, settings.warmup)

    return work


@contextmanager
def _disturbing(port: int, disturbance: str) -> Iterator[None]:
    """Keeps one connection asking for the disturbance; fails if it never took place."""
    request = disturbance.encode().ljust(REQUEST_SIZE)
    answers: list[bool] = []
    stop = threading.Event()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        asking = threading.Thread(target=_ask_again_and_again, args=(client, request, answers, stop))
        asking.start()
        try:
            yield
        finally:
            stop.set()
            asking.join()
    if not answers or not all(answers):
        raise WrongResultError("the disturbing connection was not answered as it should have been")


def _ask_again_and_again(client: socket.socket, request: bytes, answers: list[bool], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            client.sendall(request)
            answers.append(client.recv(REQUEST_SIZE, socket.MSG_WAITALL) == request)
        except OSError:
            answers.append(False)
            return
