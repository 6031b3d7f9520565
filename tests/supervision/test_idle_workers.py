"""How workers with nothing to do are woken: each out of the wait it was found in, and no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from supervision.process_table import Process
from supervision.scheduler import Scheduler
from supervision.threads import ThreadRecord, current


def wait_for_entries(scheduler: Scheduler, count: int) -> None:
    deadline = time.monotonic() + 5
    pause = threading.Event()
    while len(scheduler.idle) != count:
        assert time.monotonic() < deadline
        pause.wait(0.001)


class Bell:
    """An idle worker that notes whether it has been woken."""

    woken = False

    def wake(self) -> None:
        self.woken = True


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """Looks around once more; nothing watches it."""
    made = Scheduler()
    made.watchdog.asleep = False
    yield made
    made.poller.close()


class TestPolling:
    @pytest.mark.parametrize("sleeper_first", [True, False])
    def test_work_wakes_one_that_sleeps_before_the_one_that_polls(
        self, scheduler: Scheduler, sleeper_first: bool
    ) -> None:
        sleeper = Bell()
        if sleeper_first:
            scheduler.idle.append(sleeper)
        polls = threading.Thread(target=scheduler._poll)
        polls.start()
        wait_for_entries(scheduler, 1 + sleeper_first)
        if not sleeper_first:
            scheduler.idle.append(sleeper)
        scheduler._wake_one()
        assert sleeper.woken
        assert list(scheduler.idle) == [scheduler.poller]
        scheduler._wake_one()
        polls.join(5)
        assert not polls.is_alive()

    def test_one_that_stops_to_work_has_another_take_its_place(self, scheduler: Scheduler, work: Process) -> None:
        sleeper = Bell()
        scheduler.idle.append(sleeper)
        scheduler.run_queue.append(work)
        scheduler._idle(ThreadRecord())
        assert sleeper.woken
        assert not scheduler.idle

    def test_one_that_only_looks_while_there_is_work_does_so_too(self, scheduler: Scheduler, work: Process) -> None:
        sleeper = Bell()
        scheduler.idle.append(sleeper)
        scheduler.run_queue.append(work)
        scheduler._find_work(ThreadRecord())
        assert sleeper.woken

    def test_nobody_sleeps_while_nobody_polls(self, scheduler: Scheduler) -> None:
        scheduler._sleep(ThreadRecord())
        assert not scheduler.idle

    @pytest.fixture
    def work(self) -> Process:
        """Stands for a process; it is only looked at whether there is one."""
        return object()  # type: ignore[return-value]


class TestInterruptedWakeUp:
    """Of a worker that has been popped, by Ctrl-C in the main thread."""

    def test_it_is_made_up_for(self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
        sleeper = ThreadRecord()

        def sleep() -> None:
            sleeper.idling = True
            scheduler._sleep(sleeper)

        def interrupted(record: ThreadRecord) -> None:
            patch.undo()
            raise KeyboardInterrupt

        scheduler.polling.acquire()
        scheduler.processors.holders.add(sleeper)
        thread = threading.Thread(target=sleep, daemon=True)
        thread.start()
        wait_for_entries(scheduler, 1)
        with monkeypatch.context() as patch:
            patch.setattr(ThreadRecord, "wake", interrupted)
            with pytest.raises(KeyboardInterrupt):
                scheduler._wake_one()
        thread.join(5)
        assert not thread.is_alive()

    def test_one_that_is_woken_for_nothing_is_not_found_any_more(self, scheduler: Scheduler) -> None:
        sleeper = ThreadRecord()
        scheduler.polling.acquire()
        sleeper.wake()
        sleeper.wake()
        scheduler._sleep(sleeper)
        assert not scheduler.idle
        assert sleeper.bell.locked()

    def test_on_a_full_stack_it_is_left_to_the_next(self, scheduler: Scheduler) -> None:
        class Failing:
            def wake(self) -> None:
                raise RecursionError

        failing = Failing()
        scheduler.idle.append(failing)
        with pytest.raises(RecursionError):
            scheduler._wake_one()
        assert list(scheduler.idle) == [failing]


def test_who_wakes_a_polling_worker_too_late_leaves_it_asleep_in_its_next_wait() -> None:
    scheduler = Scheduler()
    scheduler.polling.acquire()
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
