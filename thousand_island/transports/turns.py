"""Whose turn it is to accept from a listening descriptor.

Each readiness wakes one waiting acceptor, the one that has waited longest. An acceptor takes one connection and passes
the turn on at once if there are more.
"""

from __future__ import annotations

import select
import threading
import weakref
from collections import deque

from supervision.poller import Deliver
from supervision.process_table import Process
from supervision.readiness import Source, forget, watch
from supervision.scheduler import deliver

__all__ = ["Turns", "YourTurn"]


class YourTurn:
    """Tells an acceptor that there may be a connection for it."""

    __slots__ = ()


_YOUR_TURN = YourTurn()


class _ListenSource(Source):
    """The readiness of a listening socket: it makes it somebody's turn."""

    __slots__ = ("turns",)

    def __init__(self, fd: int, process: Process, turns: Turns) -> None:
        super().__init__(fd, process)
        self.turns = weakref.ref(turns)
        self.armed = True

    def tell(self, deliver: Deliver) -> None:
        """Wake one acceptor."""
        turns = self.turns()
        if turns is not None:
            turns.pass_turn()


class Turns:
    """The acceptors of one listening descriptor.

    ``lock`` guards all fields and the watching of ``source``. ``ready`` says that there may be a connection and nobody
    has been told yet; ``told`` has those whose turn it is and who have not looked yet; ``acceptors`` counts those whose
    thread may be using the descriptor; ``ended`` is set when all that ``close`` does is done.

    One connection may be told of twice, by its own readiness and by who has accepted the one before. So an acceptor
    that comes back does not go ahead of one that is told, or the same would take both.
    """

    def __init__(self, fd: int, process: Process) -> None:
        self.lock = threading.Lock()
        self.readiness = select.poll()
        self.readiness.register(fd, select.POLLIN)
        self.waiting: deque[Process] = deque()
        self.ready = False
        self.told: set[Process] = set()
        self.source = _ListenSource(fd, process, self)
        self.acceptors = 0
        self.closed = False
        self.ended = False

    def join(self) -> None:
        """There is one more acceptor."""
        with self.lock:
            self.acceptors += 1

    def leave(self, acceptor: Process) -> None:
        """There is one less, and no thread runs it any more. If it was its turn, it is somebody else's now."""
        with self.lock:
            if acceptor in self.told:
                self.told.discard(acceptor)
                self.ready = True
            self.acceptors -= 1
            if self.ended and not self.acceptors:
                self.unused()
            others_wait = self.ready and self.waiting
        if others_wait:
            self.pass_turn()

    def wait_turn(self, acceptor: Process, *, first: bool = False) -> None:
        """Have ``acceptor`` sent ``YourTurn`` when it is its turn and there may be a connection.

        Args:
            acceptor: who waits.
            first: whether it is the next again, having found nothing when it was its turn. So the connections go to the
                acceptors in turn, and each gets its share before one gets more.
        """
        with self.lock:
            self.told.discard(acceptor)
            if not self.closed:
                watch(self.source)
                if not self.ready or self.told:
                    self.waiting.insert(0 if first else len(self.waiting), acceptor)
                    return
            self.ready = False
            self.told.add(acceptor)
        deliver(acceptor, _YOUR_TURN)

    def pass_turn(self) -> None:
        """There may be a connection: tell the acceptor that has waited longest."""
        while True:
            with self.lock:
                if not self.waiting:
                    self.ready = True
                    return
                acceptor = self.waiting.popleft()
                self.told.add(acceptor)
            if not acceptor.dead:
                deliver(acceptor, _YOUR_TURN)
                return
            with self.lock:
                self.told.discard(acceptor)

    def pass_on(self, acceptor: Process) -> None:
        """``acceptor`` has taken a connection: pass the turn on if there are more.

        To ask costs a fraction of the work of an acceptor that finds nothing. What comes after the answer is told anew,
        since readiness is told once for each arrival.
        """
        with self.lock:
            self.told.discard(acceptor)
            self.ready = False
            more = bool(self.readiness.poll(0))
        if more:
            self.pass_turn()

    def decline(self, acceptor: Process) -> None:
        """``acceptor`` cannot take one now, nor could any other; it looks later."""
        with self.lock:
            self.told.discard(acceptor)

    def is_ready(self) -> bool:
        """Whether accept(2) would not wait."""
        with self.lock:  # two threads may not use it at once
            return bool(self.readiness.poll(0))

    def close(self) -> None:
        """There will be no connections any more: those who wait get their turn to find out."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            waiting, self.waiting = self.waiting, deque()
        forget(self.source)
        self.closing()
        with self.lock:
            self.ended = True
            if not self.acceptors:
                self.unused()
        for acceptor in waiting:
            deliver(acceptor, _YOUR_TURN)

    def closing(self) -> None:
        """What else is closed with it, before anybody hears of it."""

    def unused(self) -> None:
        """It is closed and nobody can be using it any more; called with the lock held."""
