"""Runs every kind of work under every counter and prints the tables."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from benchmarks.cost.report import HEADER, Cost, details, each, summary_line
from benchmarks.cost.system_calls import traced
from benchmarks.failures import UnavailableError, WrongResultError
from benchmarks.report import table_row
from benchmarks.server_process import ROOT

OURS, PEER = "thousand_island", "asyncio-protocol"

#: Pieces of work that are counted, after some that are not: what is made only once is no cost of one piece.
COUNT, FIRST = 1_000, 50

#: Connections that ask at the same time, and those that idle.
CONNECTIONS, IDLE = 50, 500

#: Seconds until an answer that does not come is given up.
PATIENCE = 30.0

#: Seconds between two looks at what nothing announces.
PAUSE = 0.001
REQUEST = b"e" * 64

Prepared = Callable[["Probe"], AbstractContextManager[Callable[[int], None]]]


class Probe:
    """A watched process, and its commands."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running
        self.pid = running.pid
        self.port = int(self._line())

    def command(self, line: str) -> dict[str, float]:
        """Gives the answer to a command."""
        assert self._running.stdin
        self._running.stdin.write(f"{line}\n")
        self._running.stdin.flush()
        return dict(json.loads(self._line()))

    def _line(self) -> str:
        assert self._running.stdout
        if not (line := self._running.stdout.readline()):
            raise WrongResultError("the watched process has ended; its last words are above")
        return line


@contextmanager
def _probe(counter: str, server: str) -> Iterator[Probe]:
    command = [sys.executable, "-m", "benchmarks.cost.probe", counter, server]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        try:
            yield Probe(running)
        finally:
            running.kill()


@contextmanager
def _clients(port: int, count: int) -> Iterator[list[socket.socket]]:
    clients = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def _ask(clients: list[socket.socket]) -> None:
    for client in clients:
        client.sendall(REQUEST)
    for client in clients:
        if client.recv(len(REQUEST), socket.MSG_WAITALL) != REQUEST:
            raise WrongResultError("an echo differs from what was sent")


@contextmanager
def _connecting(probe: Probe) -> Iterator[Callable[[int], None]]:
    def do(count: int) -> None:
        before = _descriptors(probe)
        for _ in range(count):
            with _clients(probe.port, 1) as clients:
                _ask(clients)
        while _descriptors(probe) > before:  # the server hears of the last end later than the client
            time.sleep(PAUSE)

    yield do


def _descriptors(probe: Probe) -> int:
    return len(os.listdir(f"/proc/{probe.pid}/fd"))


def _asking(connections: int) -> Prepared:
    """Requests on connections that are opened before anything is counted, and closed after it."""

    @contextmanager
    def prepared(probe: Probe) -> Iterator[Callable[[int], None]]:
        def do(count: int) -> None:
            for _ in range(count // connections):
                _ask(clients)

        with _connecting(probe) as come_and_go:
            come_and_go(FIRST)  # a server that has never closed a connection is no typical one; see load_generator.py
        with _clients(probe.port, connections) as clients:
            yield do

    return prepared


def _acting(name: str) -> Prepared:
    """Work of the actor runtime, which the watched process does by itself."""

    @contextmanager
    def prepared(probe: Probe) -> Iterator[Callable[[int], None]]:
        def do(count: int) -> None:
            probe.command(f"work {name} {count}")

        yield do

    return prepared


WORKS = {
    "one request, 1 connection": (_asking(1), (OURS, PEER)),
    f"one request, {CONNECTIONS} connections at once": (_asking(CONNECTIONS), (OURS, PEER)),
    "connect, echo, close": (_connecting, (OURS, PEER)),
    "cast": (_acting("cast"), (OURS,)),
    "call": (_acting("call"), (OURS,)),
    "call without timeout": (_acting("call-infinity"), (OURS,)),
    "start and stop an actor": (_acting("start-stop"), (OURS,)),
    "spawn a process": (_acting("spawn"), (OURS,)),
}


EXPLANATION = f"""\
Each figure is for one piece of work, except for the last two: bytes of Python's own memory, more than before, at the
peak of {COUNT:,} pieces of work and after them. Built-in calls include those on locks.
"""


def main() -> None:
    """Prints the table, then what it is made of, then who holds the memory of an idle connection."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.add_argument("--details", action="store_true", help="print every function, lock and system call by name")
    parser.add_argument("--only", default="", metavar="WORK", help="only work that is named so, such as connect")
    arguments = parser.parse_args()
    chosen = [work for work in WORKS if work.startswith(arguments.only)]
    if not chosen:
        sys.exit(f"no work's name begins with {arguments.only!r}; there are: {', '.join(WORKS)}")
    costs = [_cost(work, server) for work in chosen for server in WORKS[work][1]]
    print(EXPLANATION)
    print("\n".join([table_row(*HEADER), table_row("---", "---", *["--:"] * 6), *map(summary_line, costs)]))
    if not arguments.only:
        print("\n".join(map(_idle_memory, (OURS, PEER))))
    if arguments.details:
        print("\n\n".join(map(details, costs)))


def _cost(work: str, server: str) -> Cost:
    cost = Cost(work, server)
    for kind in ("calls", "locks"):
        cost.counts[kind] = each(_counted(work, server, kind, COUNT), COUNT)
    cost.counts["system"] = _system_calls(work, server)
    cost.counts["memory"] = _counted(work, server, "memory", COUNT)
    return cost


def _counted(work: str, server: str, counter: str, count: int) -> dict[str, float]:
    with _probe(counter, server) as probe, WORKS[work][0](probe) as do:
        do(FIRST)
        probe.command("begin" if counter == "memory" else "read")
        do(count)
        return probe.command("read")


def _system_calls(work: str, server: str) -> Mapping[str, float] | None:
    with _probe("nothing", server) as probe, WORKS[work][0](probe) as do:
        do(FIRST)
        try:
            with traced(probe.pid) as counts:
                do(COUNT)
        except UnavailableError as error:
            print(f"no system calls: {error}", file=sys.stderr)
            return None
        return each(counts, COUNT)


def _idle_memory(server: str) -> str:
    with _probe("memory", server) as probe:
        with _connecting(probe) as do:
            do(FIRST)
        probe.command("begin")
        with _clients(probe.port, IDLE) as clients:
            _ask(clients)
            total = probe.command("read")["kept"]
            lines = probe.command("contributors")
    parts = [f"- {held / IDLE:,.0f} {line}" for line, held in lines.items() if held / IDLE >= 1]
    return "\n".join([f"\n## An idle connection of {server}: {total / IDLE:,.0f} bytes of Python's\n", *parts])


if __name__ == "__main__":
    main()
