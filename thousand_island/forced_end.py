"""Ending a server whose time to end by itself is over.

Asks nobody: its supervisors are busy waiting for just the processes that are killed here. They are found by their links
to their parents; connections, which need no parent, also by the list of the live ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from supervision import process
from supervision.process_table import Pid, Process
from thousand_island.connections import Connections

__all__ = ["force_end"]

# Milliseconds that the supervisors get to clean up after each of the three steps: enough for thousands of connections,
# and in all less than the two seconds by which ``stop`` may be late.
STEP: Final = 500


def force_end(server: Pid, connections: Connections) -> None:
    """Kill the connections, then what keeps the supervisors waiting, then these; until the server is dead."""
    reference = process.monitor(server)
    connections.kill()
    steps: list[Callable[[Process], Iterator[Process]]] = [_beginners, _workers, _everything]
    for victims in steps:
        for one in list(victims(server._process)):
            process.exit(one.pid, "kill")
        if _ends(reference):
            return


def _ends(reference: process.Ref) -> bool:
    try:
        process.receive(lambda message: getattr(message, "ref", None) is reference, timeout=STEP)
    except TimeoutError:
        return False
    return True


def _beginners(server: Process) -> Iterator[Process]:
    """The connections that are about to run; they are temporary, so nobody starts them again."""
    for supervisor in _children(server):
        for acceptor_supervisor in _children(supervisor):
            for connection_sup in _children(acceptor_supervisor):
                yield from _children(connection_sup)


def _workers(server: Process) -> Iterator[Process]:
    return (one for one in _everything(server) if one.kind != "supervisor")


def _everything(server: Process) -> Iterator[Process]:
    yield server
    for child in _children(server):
        yield from _everything(child)


def _children(parent: Process) -> list[Process]:
    return [peer for peer in list(parent.links or ()) if peer.parent is parent.pid]
