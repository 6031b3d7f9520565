"""Timers: what is due when.

A heap of deadlines under one lock. It has no thread: whichever worker looks for work fires what is due, and sleeps no
longer than until the next deadline. Whether a timer fires or is cancelled is decided under the lock, once.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Timer", "Timers"]

# Cancelled timers stay in the heap until they are due, or until they are more than half of it (and it is not tiny).
COMPACT_ABOVE: Final = 64

_order: Final = itertools.count()


class Timer:
    """One timer. ``action`` runs once on a worker's thread and must neither block nor raise."""

    __slots__ = ("action", "argument", "deadline")

    def __init__(self, deadline: float, action: Callable[[Any], object], argument: Any) -> None:
        self.deadline = deadline
        self.action: Callable[[Any], object] | None = action
        self.argument = argument


class Timers:
    """The heap. ``lock`` guards it, ``cancelled`` and every timer's ``action``; nothing else is taken under it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # Test-and-set: held by the one thread that fires, or two that look at once would mix up the order. It looks
        # again after each round, and whoever found it held goes on to read ``next_deadline``; so none is left behind.
        self.firing = threading.Lock()
        # Deadline, order and timer, so that the heap compares without a call: timers of one deadline fire in the order
        # they were started.
        self.heap: list[tuple[float, int, Timer]] = []
        self.cancelled = 0

    def __len__(self) -> int:
        return len(self.heap) - self.cancelled

    def add(self, timer: Timer) -> bool:
        """Add ``timer``; True if it is now the first to be due, so that whoever sleeps must look again."""
        with self.lock:
            heapq.heappush(self.heap, (timer.deadline, next(_order), timer))
            return self.heap[0][2] is timer

    def cancel(self, timer: Timer) -> bool:
        """Cancel ``timer``; False if it has fired or been cancelled already."""
        with self.lock:
            if timer.action is None:
                return False
            timer.action = timer.argument = None
            self.cancelled += 1
            if self.cancelled > COMPACT_ABOVE and self.cancelled * 2 > len(self.heap):
                self._compact()
            return True

    def is_pending(self, timer: Timer) -> bool:
        """Whether ``timer`` will still fire."""
        with self.lock:
            return timer.action is not None

    def next_deadline(self) -> float | None:
        """When the next timer is due, on the monotonic clock; None if there is none."""
        with self.lock:
            self._drop_cancelled()
            return self.heap[0][0] if self.heap else None

    def fire_due(self) -> None:
        """Run the actions of all timers that are due, in order of their deadlines."""
        # The first look is without the lock: a timer that is being added now is not due before the next one.
        while self.heap and self.firing.acquire(False):
            try:
                due = self._take_due(time.monotonic())
                for action, argument in due:
                    action(argument)
            finally:
                self.firing.release()
            if not due:
                return

    def _take_due(self, now: float) -> list[tuple[Callable[[Any], object], Any]]:
        due = []
        with self.lock:
            while self.heap and self.heap[0][0] <= now:
                _, _, timer = heapq.heappop(self.heap)
                if timer.action is None:
                    self.cancelled -= 1
                    continue
                due.append((timer.action, timer.argument))
                timer.action = timer.argument = None
        return due

    def _drop_cancelled(self) -> None:
        while self.heap and self.heap[0][2].action is None:
            heapq.heappop(self.heap)
            self.cancelled -= 1

    def _compact(self) -> None:
        self.heap = [entry for entry in self.heap if entry[2].action is not None]
        heapq.heapify(self.heap)
        self.cancelled = 0
