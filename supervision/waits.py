"""How a thread of the library waits, and every way in which such a wait ends.

A ``Wait`` ends exactly once: by ``fire`` (an answer, readiness, a death, the killing of the waiting process) or by its
timeout. ``fired`` is a test-and-set flag that decides which: whoever takes it first ends the wait. If that is somebody
else while the waiter is timing out, the waiter still takes the release of its parker that is certain to come, so that
the parker is locked again before the thread uses it for its next wait.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from supervision.errors import Killed
from supervision.process_table import Process
from supervision.scheduler import scheduler
from supervision.stand_in import stand_in
from supervision.threads import ThreadRecord, interpreter

__all__ = ["Wait", "deadline_after", "park", "wait_for"]

# The longest sleep the operating system takes in one piece; a longer wait goes round again.
LONGEST_SLEEP: Final = min(threading.TIMEOUT_MAX, 4_000_000.0)


class Wait:
    """One wait of one thread."""

    __slots__ = ("fired", "parker", "value")

    def __init__(self, record: ThreadRecord) -> None:
        self.parker: Any = record.lend_parker()  # the record's changes while it runs another process in place
        self.fired = threading.Lock()
        self.value: Any = None

    def fire(self, value: Any = None) -> bool:
        """End the wait with ``value``; False if it has ended already. Callable from any thread, never blocks."""
        if not self.fired.acquire(False):
            return False
        self.value = value  # before the release: the waiter reads it as soon as it wakes
        self.parker.release()
        return True

    def leave(self, record: ThreadRecord) -> None:
        """End the wait because its thread was interrupted; whoever fires it now, or has just done so, wakes nobody."""
        if not self.fired.acquire(False):
            record.renew_parker()

    def give_up(self) -> bool:
        """End the wait by the waiter itself; False if it was fired. Either way its parker is locked afterwards."""
        if self.fired.acquire(False):
            return True
        self.parker.acquire()  # ends by the release of whoever took ``fired``, which comes next
        return False


def deadline_after(milliseconds: float) -> float | None:
    """The moment, on the monotonic clock in seconds, that is ``milliseconds`` away; None for INFINITY."""
    return None if milliseconds == float("inf") else time.monotonic() + milliseconds / 1000


def park(parker: Any, deadline: float | None) -> bool:
    """Sleep until ``parker`` is released (True) or the deadline passes (False).

    Without a deadline it ends only by the release. Whoever calls has published where the right to release is found,
    and has said there all the ways in which it is used.
    """
    if deadline is None:
        return bool(parker.acquire())
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return bool(parker.acquire(False))
        if parker.acquire(True, min(left, LONGEST_SLEEP)):
            return True


def wait_for(wait: Wait, record: ThreadRecord, process: Process, deadline: float | None) -> bool:
    """Give the processor away and wait; True if fired, False at the deadline.

    Ends by: ``wait.fire`` from whoever it was handed to; the death of ``process``, which fires its ``wait``; the
    deadline; KeyboardInterrupt in the main thread.

    Raises:
        Killed: the waiting process is dead.
    """
    try:
        # It has been fired already if this thread has run the other process in place.
        fired = not wait.give_up() if wait.fired.locked() else _wait_for(wait, record, process, deadline)
    except BaseException:
        wait.leave(record)
        raise
    if process.dead:
        raise Killed
    return fired


def _wait_for(wait: Wait, record: ThreadRecord, process: Process, deadline: float | None) -> bool:
    with process.lock:  # so that a killer either finds the wait or is seen here
        if process.dead:
            raise Killed
        process.wait = wait
    try:
        scheduler.hand_off(record)
        if interpreter.ending:
            stand_in(wait, record, deadline)
        return park(wait.parker, deadline) or not wait.give_up()
    finally:
        process.wait = None
