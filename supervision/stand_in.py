"""Working while waiting: what a thread does at the end of an interpreter that starts no more threads.

A worker that waits hands its processor to another thread. An interpreter that is ending may refuse to start one, as
CPython 3.12 does. A supervisor that waits for its children would then wait for processes that nobody runs. So for these
few seconds whoever waits runs them itself, in place.

Such a thread sleeps when there is nothing to run, and three may wake it, all by the same bell: whoever ends its wait,
an enqueuer (it is among the idle), and whoever has a processor left over (it stands by). It makes itself known to each
**and then** looks for what that one would have told it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from supervision.poller import dispatch
from supervision.scheduler import deliver, scheduler
from supervision.threads import ThreadRecord

if TYPE_CHECKING:
    from supervision.waits import Wait

__all__ = ["stand_in"]

# How many waits of one thread may be nested in this way. Each takes some thirty frames of the stack.
DEEPEST: Final = 16


class _Bell:
    """Wakes a thread that stands in; while it does, this is the parker of its wait."""

    __slots__ = ("parker", "rung")

    def __init__(self, parker: Any) -> None:
        self.parker = parker
        self.rung = threading.Event()

    def release(self) -> None:
        """The wait has ended."""
        self.parker.release()
        self.wake()

    def wake(self) -> None:
        """There is something to look at."""
        self.rung.set()
        scheduler.poller.wake()  # it may be the one that polls; another at worst looks around for nothing


def stand_in(wait: Wait, record: ThreadRecord, deadline: float | None) -> None:
    """Run others, whenever a processor is to be had, until ``wait`` is fired or the deadline passes."""
    if not record.worker or record.depth >= DEEPEST:
        return
    # Whoever fires the wait takes ``fired`` and then reads ``parker``; the thread stores ``parker`` and then reads
    # ``fired``. Either way the real parker is released once.
    wait.parker = bell = _Bell(wait.parker)
    record.descend()
    try:
        _work(wait, bell, record, deadline)
    finally:
        record.ascend()
        wait.parker = bell.parker
        scheduler.hand_off(record)  # as after any other wait, it goes on without a processor
        if scheduler.processors.unassigned > 0:  # it may be the one that has been told of it
            scheduler.processors.offer()


def _work(wait: Wait, bell: _Bell, record: ThreadRecord, deadline: float | None) -> None:
    while True:
        bell.rung.clear()
        if wait.fired.locked() or (deadline is not None and time.monotonic() >= deadline):
            return
        if _has_processor(record, bell):
            record.slice += 1  # so that the watchdog does not take it for blocked
            _look(bell, record, deadline)
            _run_one(record)
        else:
            bell.rung.wait(_until(deadline))
            _withdraw(bell, scheduler.processors.standing_by)


def _has_processor(record: ThreadRecord, bell: _Bell) -> bool:
    """Whether the thread has a processor, or has just got one that nobody held; if not it stands by for the next."""
    if not record.lost.locked():
        return True
    processors = scheduler.processors
    processors.standing_by.append(bell)
    if not processors.reclaim(record):
        return False
    if not _withdraw(bell, processors.standing_by):
        processors.offer()  # it has been told of another one as well
    return True


def _look(bell: _Bell, record: ThreadRecord, deadline: float | None) -> None:
    """Look at events and timers, waiting for them if there is nothing to run."""
    in_slice, record.in_slice, record.idling = record.in_slice, False, True
    scheduler.idle.append(bell)
    if scheduler.polling.acquire(False):
        scheduler.found.extend(scheduler.poller.wait(_pause(bell, deadline)))
        scheduler.polling.release()
    elif not scheduler.run_queue:
        bell.rung.wait(_until(deadline))
    _withdraw(bell, scheduler.idle)
    record.in_slice, record.idling = in_slice, False
    while scheduler.found:
        try:
            source, how = scheduler.found.popleft()
        except IndexError:  # another worker took it first
            break
        dispatch(source, how, deliver)
    scheduler.timers.fire_due()


def _pause(bell: _Bell, deadline: float | None) -> float | None:
    """The seconds that it may poll for."""
    if scheduler.run_queue or scheduler.found or bell.rung.is_set():
        return 0
    moments = [moment for moment in (deadline, scheduler.timers.next_deadline()) if moment is not None]
    return _until(min(moments, default=None))


def _until(moment: float | None) -> float | None:
    return None if moment is None else max(0.0, moment - time.monotonic())


def _withdraw(bell: _Bell, waiting: deque[Any]) -> bool:
    """Take the bell back from where it can be found; False if somebody has, and rings it."""
    try:
        waiting.remove(bell)
    except ValueError:
        return False
    return True


def _run_one(record: ThreadRecord) -> None:
    process = scheduler.pop()
    if process is not None and process.running.acquire(False):
        if process.parked is not None:
            process.parked.release()
        else:
            scheduler.run_slice(process, record)
