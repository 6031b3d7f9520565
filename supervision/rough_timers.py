"""Rough timers: for deadlines of thousands of processes that mostly do not come to pass.

Processes whose deadlines lie close together share a *round* with one timer. A round is never early, and late by at
most a 64th of the wait. To enter one and to leave it costs a dict operation each, where a timer of one's own costs a
place in the heap.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Final

from supervision.process_table import Process
from supervision.timers import Timer

__all__ = ["RoughTimers", "Round"]

# Seconds: the shortest round. A power of two, as all are, so that a multiple of it is exact.
SHORTEST: Final = 2.0**-10

# A round is at most this part of the wait.
ROUGHNESS: Final = 64


class Round:
    """The processes that are told at one moment.

    Attributes:
        due: the moment, on the monotonic clock in seconds.
        over: whether they have been told.
        timer: what tells them; None until it has been started.
    """

    __slots__ = ("due", "members", "over", "timer")

    def __init__(self, due: float) -> None:
        self.due = due
        self.over = False
        self.members: dict[Process, None] = {}
        self.timer: Timer | None = None


class RoughTimers:
    """All rounds. ``lock`` guards them and their members; timers are cancelled under it, but not added."""

    def __init__(self, add_timer: Callable[[Timer], None], cancel_timer: Callable[[Timer], object]) -> None:
        self.lock = threading.Lock()
        self.rounds: dict[float, Round] = {}
        self.add_timer = add_timer
        self.cancel_timer = cancel_timer

    def enter(
        self, process: Process, deadline: float, wait: float, message: Any, deliver: Callable[..., None]
    ) -> Round:
        """Have ``message`` delivered to ``process`` at ``deadline`` or a little later, unless it leaves the round.

        Args:
            process: who is told.
            deadline: on the monotonic clock in seconds.
            wait: how long that is, in seconds; says how late it may be.
            message: the same for all processes.
            deliver: how.
        """
        length = length_of(wait)
        due = math.ceil(deadline / length) * length
        with self.lock:
            found = self.rounds.get(due)
            is_new = found is None
            if found is None:
                found = self.rounds[due] = Round(due)
            found.members[process] = None
        if is_new:
            self._begin(found, Timer(due, self._fire, (found, message, deliver)))
        return found

    def _begin(self, new: Round, timer: Timer) -> None:
        self.add_timer(timer)  # not under the lock: it may have to start a thread
        with self.lock:
            new.timer = timer
            self._drop_if_empty(new)  # those who have left meanwhile could not cancel the timer

    def leave(self, process: Process, entered: Round) -> None:
        """Take a process out of its round; the last one takes the round with it."""
        with self.lock:
            entered.members.pop(process, None)
            self._drop_if_empty(entered)

    def _drop_if_empty(self, entered: Round) -> None:
        if not entered.members and not entered.over and entered.timer is not None:
            entered.over = True
            del self.rounds[entered.due]
            self.cancel_timer(entered.timer)

    def _fire(self, argument: tuple[Round, Any, Callable[..., None]]) -> None:
        due, message, deliver = argument
        with self.lock:
            if due.over:
                return
            due.over = True
            del self.rounds[due.due]
            members, due.members = due.members, {}
        for process in members:
            deliver(process, message)


def length_of(wait: float) -> float:
    """The length of the rounds for a wait of so many seconds: a power of two."""
    return 2.0 ** (math.frexp(max(wait / ROUGHNESS, SHORTEST))[1] - 1)
