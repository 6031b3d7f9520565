"""How workers with nothing to do are woken: each out of the wait it was found in, and no other."""

from __future__ import annotations

import threading
import time

from supervision.scheduler import Scheduler
from supervision.threads import current


def wait_for_entries(scheduler: Scheduler, count: int) -> None:
    deadline = time.monotonic() + 5
    pause = threading.Event()
    while len(scheduler.idle) != count:
        assert time.monotonic() < deadline
        pause.wait(0.001)


def test_who_wakes_a_polling_worker_too_late_leaves_it_asleep_in_its_next_wait() -> None:
    scheduler = Scheduler()
    polled, slept = threading.Event(), threading.Event()

    def worker() -> None:
        scheduler._poll()
        polled.set()
        scheduler._sleep(current.record)
        slept.set()

    thread = threading.Thread(target=worker)
    thread.start()
    wait_for_entries(scheduler, 1)
    late = scheduler.idle.pop()
    scheduler.poller.wake()  # something else ends the poll meanwhile
    assert polled.wait(5)
    wait_for_entries(scheduler, 1)
    late.wake()
    assert not slept.wait(0.05)
    scheduler.idle.pop().wake()
    thread.join(5)
    assert slept.is_set()
    assert not scheduler.idle
    scheduler.poller.close()
