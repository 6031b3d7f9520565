"""The locks that a registry keeps for its users, one for each key that somebody asks for.

A lock is the line of those who wait for it, which is there as long as somebody holds it: whoever asks first puts it
there, and each holder hands over to the next, or takes the line away. A process that dies leaves the line, so that a
lock never outlives its holder.

None of this takes a lock of its own, because a finalizer, which may run in the middle of it, may ask for one of these
locks, and wait for it. What makes it safe:

* ``dict.setdefault`` has one winner. The line is taken away by its holder only, of whom there is one.
* ``Turn.decided``, a test-and-set flag, tells what becomes of a turn: whoever is to tell it something takes it and then
  does so; whoever leaves takes it too, and if it was taken before, the lock may have been handed over and is passed on.
* A line that is taken away is marked ``over`` and then emptied; whoever waits joins it and then looks at the mark. So
  nobody waits in a line that is over. ``closed`` is the same for all lines.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from typing import Any, Final

from supervision import signals
from supervision.errors import CallError, NoProcess
from supervision.process_table import Process
from supervision.shown import shown
from supervision.threads import ThreadRecord
from supervision.waits import Wait, wait_for

__all__ = ["KeyLocks", "Turn"]

# What a turn is told in a line that is over.
_AGAIN: Final = object()


class _Line:
    """The lock of one key: those who wait for it."""

    __slots__ = ("over", "turns")

    def __init__(self) -> None:
        self.turns: deque[Turn] = deque()
        self.over = False


class Turn(Wait):
    """One process's wait for a lock, and its holding it; ``value`` is whether it got it, or that it must ask again."""

    __slots__ = ("decided", "key", "line", "locks", "process")

    def __init__(self, locks: KeyLocks, key: Hashable, process: Process, record: ThreadRecord) -> None:
        super().__init__(record)
        self.locks = locks
        self.key = key
        self.process = process
        self.line = _Line()  # if nobody else has one
        self.decided = threading.Lock()

    def owner_died(self, process: Process, reason: Any) -> None:
        """Leave the line."""
        self.locks.leave(self)

    def tell(self, value: Any) -> bool:
        """Decide the turn, unless that has been done."""
        if not self.decided.acquire(False):
            return False
        self.fire(value)  # in vain if the wait has just been interrupted; then the turn is about to leave
        return True


class KeyLocks:
    """The locks of one registry."""

    __slots__ = ("closed", "lines", "registry")

    def __init__(self, registry: Any) -> None:
        self.registry = registry
        self.closed = False
        self.lines: dict[Hashable, _Line] = {}

    def take(self, key: Hashable, process: Process, record: ThreadRecord) -> Turn:
        """Wait for the lock of ``key``, without a limit, and hold it.

        Ends by: ``leave`` of whoever holds it; ``close`` at the end of the registry; the death of the process;
        KeyboardInterrupt.

        Raises:
            CallError: the process holds it already.
            NoProcess: the registry is dead, or the process is.
        """
        if any(type(thing) is Turn and thing.locks is self and thing.key == key for thing in list(process.owned or ())):
            raise CallError(f"the process holds the lock of {shown(key)} already and would wait for itself")
        while True:
            turn = Turn(self, key, process, record)
            if not signals.own(process, turn):
                raise NoProcess(process.pid)
            try:
                value = self._join(turn) or self._await(turn, record)
            except BaseException:  # or the turn would never pass on
                self.release(turn)
                raise
            if value is True:
                return turn
            signals.disown(process, turn)
            if value is not _AGAIN:
                raise NoProcess(self.registry)

    def release(self, turn: Turn) -> None:
        """Give the lock, or the place in its line, back."""
        if signals.disown(turn.process, turn):  # else its process is dead, and whoever killed it does this
            self.leave(turn)

    def leave(self, turn: Turn) -> None:
        """Let the next one have its turn, if this one had it."""
        if not turn.decided.acquire(False):
            self._pass_on(turn.key, turn.line)

    def close(self) -> None:
        """The registry is dead: nobody gets a lock any more."""
        self.closed = True
        for line in list(self.lines.values()):
            self._empty(line, False)

    def _join(self, turn: Turn) -> bool:
        """Take the lock if nobody holds it; else (False) stand in its line."""
        line = self.lines.setdefault(turn.key, turn.line)
        if line is turn.line:
            alive = turn.decided.acquire(False)
            if alive and not self.closed:
                return True
            if not alive:  # it left before there was anything to pass on
                self._pass_on(turn.key, line)
            raise NoProcess(self.registry if alive else turn.process.pid)
        turn.line = line
        line.turns.append(turn)
        if line.over:
            turn.tell(_AGAIN)
        if self.closed:
            turn.tell(False)
        return False

    def _await(self, turn: Turn, record: ThreadRecord) -> Any:
        try:
            wait_for(turn, record, turn.process, None)
        except BaseException:
            turn.leave(record)
            raise
        return turn.value

    def _pass_on(self, key: Hashable, line: _Line) -> None:
        """Hand over to the next one, or take the line away; only for whoever holds the lock."""
        if line.over:  # the turn was told to ask again, and never held it
            return
        while line.turns:
            try:
                turn = line.turns.popleft()
            except IndexError:  # ``close`` was quicker
                break
            if turn.tell(True):
                return
        self.lines.pop(key, None)
        line.over = True  # before it is emptied
        self._empty(line, _AGAIN)

    def _empty(self, line: _Line, value: Any) -> None:
        while line.turns:
            try:
                turn = line.turns.popleft()
            except IndexError:  # ``close`` and the holder at once
                return
            turn.tell(value)
