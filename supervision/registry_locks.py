"""The locks that a registry keeps for its users, one for each key that somebody asks for.

Whoever asks waits in a queue and holds the lock while at its head. A process that dies leaves the queue, so that a lock
never outlives its holder.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from typing import Any

from supervision import signals
from supervision.errors import CallError, NoProcess
from supervision.process_table import Process
from supervision.threads import ThreadRecord
from supervision.waits import Wait, wait_for

__all__ = ["KeyLocks", "Turn"]


class Turn(Wait):
    """One process's wait for a lock, and its holding it; ``value`` is whether it got it."""

    __slots__ = ("key", "locks", "process")

    def __init__(self, locks: KeyLocks, key: Hashable, process: Process, record: ThreadRecord) -> None:
        super().__init__(record)
        self.locks = locks
        self.key = key
        self.process = process

    def owner_died(self, process: Process, reason: Any) -> None:
        """Leave the queue."""
        self.locks.leave(self)


class KeyLocks:
    """The locks of one registry. ``lock`` guards the queues; nothing else is taken under it."""

    __slots__ = ("closed", "lock", "queues", "registry")

    def __init__(self, registry: Any) -> None:
        self.registry = registry
        self.lock = threading.Lock()
        self.closed = False
        self.queues: dict[Hashable, deque[Turn]] = {}

    def take(self, key: Hashable, process: Process, record: ThreadRecord) -> Turn:
        """Wait for the lock of ``key``, without a limit, and hold it.

        Ends by: ``leave`` of whoever is before it; ``close`` at the end of the registry; the death of the process;
        KeyboardInterrupt.

        Raises:
            CallError: the process holds it already.
            NoProcess: the registry is dead, or the process is.
        """
        turn = Turn(self, key, process, record)
        if not signals.own(process, turn):
            raise NoProcess(process.pid)
        try:
            self._queue_up(turn)
            wait_for(turn, record, process, None)
        except BaseException:  # or the turn would never pass on
            turn.leave(record)
            self.release(turn)
            raise
        if not turn.value:
            raise NoProcess(self.registry)
        return turn

    def release(self, turn: Turn) -> None:
        """Give the lock, or the place in its queue, back."""
        signals.disown(turn.process, turn)
        self.leave(turn)

    def leave(self, turn: Turn) -> None:
        """Let the next one have its turn."""
        with self.lock:
            queue = self.queues.get(turn.key)
            if queue is None or turn not in queue:
                return
            queue.remove(turn)
            if queue:
                queue[0].fire(True)  # unless it was at the head before
            else:
                del self.queues[turn.key]

    def close(self) -> None:
        """The registry is dead: nobody gets a lock any more."""
        with self.lock:
            self.closed = True
            turns = [turn for queue in self.queues.values() for turn in queue]
            self.queues.clear()
        for turn in turns:
            signals.disown(turn.process, turn)
            turn.fire(False)

    def _queue_up(self, turn: Turn) -> None:
        with self.lock:
            if self.closed:
                raise NoProcess(self.registry)
            queue = self.queues.setdefault(turn.key, deque())
            if queue and queue[0].process is turn.process:
                raise CallError(f"the process holds the lock of {turn.key!r} already and would wait for itself")
            queue.append(turn)
            queue[0].fire(True)
