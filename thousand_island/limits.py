"""How many connections there may be: of one server, and of one client address.

Counts exactly: a place is taken before a connection gets a process, and given back when that process is dead. Who finds
no place is told when there is one; nobody asks twice in vain. Knows nothing of sockets or of what a connection is.
"""

from __future__ import annotations

import threading
from typing import Any, Final, Literal, TypeAlias

from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.scheduler import deliver
from supervision.signals import entrust, own

__all__ = ["ROOM", "Limit", "Limits"]

Limit: TypeAlias = Literal["max_connections", "max_connections_per_ip"]


class _Room:
    """See ``ROOM``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ROOM"


ROOM: Final = _Room()
"""Tells an acceptor that found no place that there is one now. If it has no use for it any more it calls
``pass_on``."""


class Limits:
    """The places of one server.

    ``lock`` guards all other fields. ``holders`` has everybody who holds a place, with the address it counts for: an
    acceptor for the connection that it is about to start, then that connection's process. ``queue`` and ``queues``
    (by address) have the acceptors to be told of room, in the order in which they came. A process that holds a place,
    and every acceptor, is watched: a place is given back whatever becomes of its holder, and an acceptor that dies with
    a ROOM in its mailbox has that passed on.
    """

    def __init__(self, most: int | float, most_per_address: int | float, *, wait: bool) -> None:
        self.most = most
        self.most_per_address = most_per_address
        self.wait = wait
        self.lock = threading.Lock()
        self.holders: dict[Process, Any] = {}
        self.by_address: dict[Any, int] = {}
        self.acceptors: set[Process] = set()
        self.queue: dict[Process, None] = {}
        self.queues: dict[Any, dict[Process, None]] = {}

    def join(self, acceptor: Process) -> None:
        """From now on ``acceptor`` may ask for places."""
        with self.lock:
            self.acceptors.add(acceptor)
        entrust(acceptor, self)

    def take(self, acceptor: Process, address: Any = None) -> Limit | None:
        """Take a place; for ``address``, if that is known. The place that the acceptor has may get an address so.

        Returns:
            The limit that leaves none; the acceptor has none then, and if clients wait, it will be sent ROOM. None: it
            has got one.
        """
        with self.lock:
            if acceptor.dead:  # ``owner_died`` has been here, or comes after: nobody else would give the place back
                return "max_connections"
            if acceptor not in self.holders and len(self.holders) >= self.most:
                if self.wait:
                    self.queue[acceptor] = None
                return "max_connections"
            if self.by_address.get(address, 0) < self.most_per_address:
                self._count(acceptor, address)
                return None
            if self.wait:
                self.queues.setdefault(address, {})[acceptor] = None
            woken = self._remove(acceptor)
        _tell(woken)
        return "max_connections_per_ip"

    def hand_over(self, acceptor: Process, process: Process) -> bool:
        """Give the acceptor's place to the connection's process; False if the acceptor has died and has none."""
        with self.lock:
            if acceptor not in self.holders:
                return False
            self.holders[process] = self.holders.pop(acceptor)
        if not own(process, self):
            self.give_back(process)
        return True

    def give_back(self, holder: Process) -> None:
        """Give a place back, if ``holder`` has one."""
        with self.lock:
            woken = self._remove(holder)
        _tell(woken)

    def pass_on(self) -> None:
        """Somebody who was told of room does not use it: tell the next ones."""
        with self.lock:
            woken = self._first(None)
            for address in list(self.queues):
                woken |= self._first(address)
        _tell(woken)

    def owner_died(self, process: Process, reason: Any) -> None:
        """A holder or an acceptor is dead."""
        self.give_back(process)
        with self.lock:
            was_acceptor = process in self.acceptors
            self.acceptors.discard(process)
        if was_acceptor:
            self.pass_on()

    def _count(self, acceptor: Process, address: Any) -> None:
        self.holders[acceptor] = address
        self._leave_queue(acceptor, None)
        if address is not None and self.most_per_address != INFINITY:
            self.by_address[address] = self.by_address.get(address, 0) + 1
            self._leave_queue(acceptor, address)

    def _remove(self, holder: Process) -> set[Process]:
        """Take ``holder`` out; returns who has to be told."""
        if holder not in self.holders:
            return set()
        address = self.holders.pop(holder)
        woken = self._first(None)
        if address in self.by_address:
            self.by_address[address] -= 1
            if not self.by_address[address]:
                del self.by_address[address]
            woken |= self._first(address)
        return woken

    def _first(self, address: Any) -> set[Process]:
        """Take the first that lives out of the queue for an address, or out of the common one (None)."""
        queue = self._queue(address)
        while queue:
            acceptor = next(iter(queue))
            self._leave_queue(acceptor, address)
            if not acceptor.dead:
                return {acceptor}
        return set()

    def _leave_queue(self, acceptor: Process, address: Any) -> None:
        queue = self._queue(address)
        queue.pop(acceptor, None)
        if not queue and address is not None:
            self.queues.pop(address, None)

    def _queue(self, address: Any) -> dict[Process, None]:
        return self.queue if address is None else self.queues.get(address, {})


def _tell(acceptors: set[Process]) -> None:
    for acceptor in acceptors:
        deliver(acceptor, ROOM)
