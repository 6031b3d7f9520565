"""The live connections of one server: who they are, and telling all of them that it drains.

An acceptor adds a connection's process before that can say a word to its client; the death of the process removes it,
before anybody hears of the death.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from supervision.messages import INFINITY
from supervision.process_table import Pid, Process
from supervision.scheduler import deliver
from supervision.signals import entrust, exit_signal

__all__ = ["Connections", "Drain"]


@dataclass(frozen=True, slots=True, eq=False)
class Drain:
    """Tells the loop of a connection that its server stops or suspends.

    Attributes:
        deadline: the moment on the monotonic clock, in seconds, when it is killed; INFINITY: never.
        stops: whether the order to end follows; a server that suspends gives none.
    """

    for_the_loop: ClassVar[bool] = True

    deadline: float
    stops: bool


class Connections:
    """The live connections.

    No lock: each field is written in one step, and the order of the steps is what counts. ``drain`` is set before the
    connections are told, and ``add`` looks at it after it has added, so nobody misses it; who hears of it twice hears
    of the same object.

    Attributes:
        hear_drains: whether their handler has a ``handle_drain`` of its own; without one nobody is told.
        stop_by: the deadline of ``stop``, on the monotonic clock in seconds; INFINITY while nobody has called it.
    """

    def __init__(self, *, hear_drains: bool) -> None:
        self.hear_drains = hear_drains
        self.stop_by: float = INFINITY
        self.live: dict[Process, None] = {}
        self.drain: Drain | None = None

    def __len__(self) -> int:
        return len(self.live)

    def pids(self) -> list[Pid]:
        """Their pids, the oldest first."""
        return [process.pid for process in list(self.live)]

    def add(self, process: Process) -> None:
        """Count ``process`` until it is dead."""
        self.live[process] = None
        entrust(process, self)
        drain = self.drain
        if drain is not None:
            deliver(process, drain)

    def owner_died(self, process: Process, reason: object) -> None:
        """Forget a connection."""
        self.live.pop(process, None)

    def begin_to_drain(self, deadline: float = INFINITY, *, stops: bool) -> None:
        """Tell all connections, and those that are just being added, that the server drains.

        Args:
            deadline: see ``Drain``, and so ``stops``.
        """
        if self.hear_drains:
            self.drain = drain = Drain(deadline, stops)
            for process in list(self.live):
                deliver(process, drain)

    def shut_down(self, deadline: float) -> None:
        """Tell all connections that the server drains, and order them to end, as their supervisors are about to.

        They all hear of it at once and in one place, and those that are idle are gone before a supervisor has to wait
        for them.
        """
        self.begin_to_drain(min(deadline, self.stop_by), stops=True)
        for process in list(self.live):
            parent = process.parent
            if parent is not None:
                exit_signal(parent, process, "shutdown")

    def kill(self) -> None:
        """Kill those that are left."""
        for process in list(self.live):
            exit_signal(process.pid, process, "kill")

    def drain_no_more(self) -> None:
        """The server goes on after all: those that are added from now on are not told."""
        self.drain = None
