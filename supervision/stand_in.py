"""Working while waiting: what a thread does at the end of an interpreter that starts no more threads.

A worker that waits hands its processor to another thread. An interpreter that is ending may refuse to start one, as
CPython 3.12 does. A supervisor that waits for its children would then wait for processes that nobody runs. So for these
few seconds whoever waits runs them itself, in place.
"""

from __future__ import annotations

import time
from typing import Any, Final

from supervision.poller import dispatch
from supervision.scheduler import deliver, scheduler
from supervision.threads import ThreadRecord

__all__ = ["stand_in"]

# Seconds between two looks at the wait, whose end does not wake the poller, and at the processors, of which one may be
# given up at any moment.
LOOK_SECONDS: Final = 0.002

# How many waits of one thread may be nested in this way. Each takes some thirty frames of the stack.
DEEPEST: Final = 16


def stand_in(record: ThreadRecord, fired: Any, deadline: float | None) -> None:
    """Run others, whenever a processor is to be had, until the lock ``fired`` is taken or the deadline passes."""
    if not record.worker or record.depth >= DEEPEST:
        return
    record.descend()
    try:
        while not fired.locked() and (deadline is None or time.monotonic() < deadline):
            if record.lost.locked() and not scheduler.processors.reclaim(record):
                time.sleep(LOOK_SECONDS)
                continue
            record.slice += 1  # so that the watchdog does not take it for blocked
            _look()
            _run_one(record)
    finally:
        record.ascend()


def _look() -> None:
    if scheduler.polling.acquire(False):
        found = scheduler.poller.wait(0 if scheduler.run_queue else LOOK_SECONDS)
        scheduler.polling.release()
        for source, how in found:
            dispatch(source, how, deliver)
    scheduler.timers.fire_due()


def _run_one(record: ThreadRecord) -> None:
    try:
        process = scheduler.run_queue.popleft()
    except IndexError:
        return
    process.queued.release()
    if process.running.acquire(False):
        if process.parked is not None:
            process.parked.release()
        else:
            scheduler.run_slice(process, record)
