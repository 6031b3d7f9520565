from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import supervision
from supervision import process
from supervision.messages import Down
from supervision.processors import Processors
from supervision.scheduler import scheduler
from supervision.threads import GIL_ENABLED, ThreadRecord
from supervision.watchdog import HOGGED_SWITCH_INTERVAL, Watchdog

PATIENCE = 10.0


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true; nothing announces it."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.002)
    return True


@pytest.fixture
def holder() -> Iterator[tuple[Watchdog, Processors, ThreadRecord]]:
    """A watchdog of one processor, and the worker that holds it; no thread runs any of them."""
    processors = Processors(lambda record: None)
    processors.resize(1)
    processors.max_threads = 0  # so that nobody can be started in the worker's stead
    watchdog = Watchdog(processors)
    processors.on_freed = watchdog.freed
    record = ThreadRecord()
    record.worker = True
    processors.unassigned = 0
    processors._assign(record)
    yield watchdog, processors, record
    watchdog.restore_interval()


Holder = tuple[Watchdog, Processors, ThreadRecord]


class TestLook:
    def test_a_worker_in_the_same_slice_for_two_looks_loses_its_processor(self, holder: Holder) -> None:
        watchdog, processors, record = holder
        record.slice, record.in_slice = 1, True
        assert watchdog._look()
        assert not record.lost.locked()
        assert watchdog._look()
        assert record.lost.locked()
        assert record.taken_by_watchdog
        assert processors.unassigned == 1
        assert processors.holders == set()

    def test_a_worker_that_goes_from_slice_to_slice_keeps_it(self, holder: Holder) -> None:
        watchdog, _, record = holder
        record.in_slice = True
        for number in range(10):
            record.slice = number
            assert watchdog._look()
        assert not record.lost.locked()

    def test_a_worker_between_two_slices_keeps_it_and_counts_as_idle(self, holder: Holder) -> None:
        watchdog, _, record = holder
        record.slice = 1
        watchdog._look()
        assert not watchdog._look()
        assert not record.lost.locked()

    def test_one_that_has_handed_off_by_itself_meanwhile_is_left_alone(self, holder: Holder) -> None:
        watchdog, _, record = holder
        record.slice, record.in_slice = 1, True
        watchdog._look()
        record.lost.acquire()
        watchdog._look()
        assert not record.taken_by_watchdog
        assert not watchdog.hogs


@pytest.fixture
def usual_interval() -> Iterator[None]:
    """Python's default, however the tests are run."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("usual_interval")
class TestSwitchInterval:
    @pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL threads take no turns")
    def test_it_is_short_while_a_callback_computes_and_restored_after(self) -> None:
        before = sys.getswitchinterval()
        assert before > HOGGED_SWITCH_INTERVAL
        stop, begun = threading.Event(), threading.Event()

        def compute() -> None:
            begun.set()
            while not stop.is_set():
                pass

        _, ref = process.spawn_monitor(compute)
        assert begun.wait(PATIENCE)
        assert eventually(lambda: sys.getswitchinterval() == pytest.approx(HOGGED_SWITCH_INTERVAL))
        stop.set()
        assert process.receive(Down, timeout=10_000).ref is ref
        assert eventually(lambda: sys.getswitchinterval() == pytest.approx(before))

    def test_one_that_the_user_has_set_meanwhile_is_kept(self, holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
        watchdog, _, record = holder
        if not GIL_ENABLED:
            pytest.skip("without the GIL threads take no turns")
        before = sys.getswitchinterval()
        record.slice, record.in_slice = 1, True
        watchdog._look()
        watchdog._look()
        try:
            sys.setswitchinterval(before * 2)
            watchdog.freed(record)
            assert sys.getswitchinterval() == pytest.approx(before * 2)
        finally:
            sys.setswitchinterval(before)

    @pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL nobody waits for a turn")
    def test_it_is_longer_where_many_workers_may_wait_for_their_turn(self) -> None:
        processors = Processors(lambda record: None)
        watchdog = Watchdog(processors)
        usual = sys.getswitchinterval()
        try:
            for workers, interval in [(100, HOGGED_SWITCH_INTERVAL), (1_000, HOGGED_SWITCH_INTERVAL * 10)]:
                processors.threads = workers
                watchdog._lower_interval()
                assert sys.getswitchinterval() == pytest.approx(interval, abs=2e-6)  # Python keeps whole microseconds
        finally:
            watchdog.restore_interval()
        assert sys.getswitchinterval() == pytest.approx(usual)

    @pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL nobody waits for a turn")
    def test_it_grows_and_shrinks_with_the_callbacks_that_compute(self) -> None:
        watchdog = Watchdog(Processors(lambda record: None))
        hogs = [ThreadRecord() for _ in range(30)]
        usual = sys.getswitchinterval()
        try:
            watchdog.hogs.update(hogs)
            watchdog._lower_interval()
            assert sys.getswitchinterval() == pytest.approx(HOGGED_SWITCH_INTERVAL * 30, abs=2e-6)
            for hog in hogs[1:]:
                watchdog.freed(hog)
            assert sys.getswitchinterval() == pytest.approx(HOGGED_SWITCH_INTERVAL, abs=2e-6)
        finally:
            watchdog.freed(hogs[0])
        assert sys.getswitchinterval() == pytest.approx(usual)

    @pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL nobody waits for a turn")
    def test_one_that_is_shorter_already_stays(self) -> None:
        usual = sys.getswitchinterval()
        watchdog = Watchdog(Processors(lambda record: None))
        sys.setswitchinterval(HOGGED_SWITCH_INTERVAL / 5)
        try:
            short = sys.getswitchinterval()
            watchdog._lower_interval()
            assert sys.getswitchinterval() == short
            watchdog.restore_interval()
            assert sys.getswitchinterval() == short
        finally:
            sys.setswitchinterval(usual)


class TestProcessorOfABlockedWorker:
    def test_it_is_taken_and_given_to_another(self) -> None:
        leave, entered = threading.Event(), threading.Event()
        _, ref = process.spawn_monitor(lambda: (entered.set(), leave.wait(PATIENCE)))
        assert entered.wait(PATIENCE)
        for _ in range(20):
            done = threading.Event()
            process.spawn(done.set)
            assert done.wait(PATIENCE)
        leave.set()
        assert process.receive(Down, timeout=10_000).ref is ref

    def test_when_it_has_finished_there_are_as_many_processors_as_before(self) -> None:
        for _ in range(10):
            leave, entered = threading.Event(), threading.Event()
            _, ref = process.spawn_monitor(lambda leave=leave, entered=entered: (entered.set(), leave.wait(PATIENCE)))
            assert entered.wait(PATIENCE)
            done = threading.Event()
            process.spawn(done.set)
            assert done.wait(PATIENCE)
            leave.set()
            assert process.receive(Down, timeout=10_000).ref is ref
        processors = scheduler.processors
        assert eventually(lambda: len(processors.holders) + processors.unassigned == supervision.stats().processors)


class TestSleep:
    def test_it_sleeps_when_nothing_runs_and_wakes_with_the_next_work(self) -> None:
        for _ in range(3):
            assert eventually(lambda: scheduler.watchdog.asleep)
            leave, entered, done = threading.Event(), threading.Event(), threading.Event()
            _, ref = process.spawn_monitor(lambda leave=leave, entered=entered: (entered.set(), leave.wait(PATIENCE)))
            assert entered.wait(PATIENCE)
            process.spawn(done.set)
            assert done.wait(PATIENCE)  # only if the watchdog is awake
            leave.set()
            assert process.receive(Down, timeout=10_000).ref is ref

    def test_without_a_thread_left_in_the_system_the_work_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class NoThread(threading.Thread):
            def start(self) -> None:
                raise RuntimeError("can't start new thread")

        watchdog = Watchdog(Processors(lambda record: None))
        monkeypatch.setattr("supervision.watchdog.threading.Thread", NoThread)
        watchdog.notice()
        assert watchdog.thread is None
