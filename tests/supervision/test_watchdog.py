from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Iterator

import pytest

import supervision
from supervision import process
from supervision import watchdog as watchdog_module
from supervision.late_slices import SHORT_TICK_SECONDS, TICK_SECONDS
from supervision.messages import Down
from supervision.process_table import Process
from supervision.processors import Processors
from supervision.scheduler import scheduler
from supervision.switch_interval import HOGGED_SWITCH_INTERVAL
from supervision.threads import GIL_ENABLED, ThreadRecord
from supervision.watchdog import SHORT_TICKS, Watchdog
from tests.supervision.runtime import PATIENCE, eventually


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
    watchdog.switch_interval.restore()


Holder = tuple[Watchdog, Processors, ThreadRecord]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """The seconds of a processor that each thread has used; a test says how many."""
    seconds: dict[int, float] = defaultdict(float)
    monkeypatch.setattr(watchdog_module, "processor_seconds", lambda ident: seconds[ident])
    monkeypatch.setattr(watchdog_module, "is_runnable", lambda native_id: native_id < 0)
    return seconds


class TestLook:
    def test_a_worker_whose_callback_computes_loses_its_processor_after_a_tick(
        self, holder: Holder, used: dict[int, float]
    ) -> None:
        watchdog, processors, record = holder
        record.slice, record.in_slice = 1, True
        assert watchdog._look(0.0)
        used[record.ident] = SHORT_TICK_SECONDS
        assert watchdog._look(SHORT_TICK_SECONDS)
        assert not record.lost.locked()
        used[record.ident] = TICK_SECONDS
        assert watchdog._look(TICK_SECONDS)
        assert record.lost.locked()
        assert record.taken_by_watchdog
        assert processors.unassigned == 1
        assert processors.holders == set()
        assert watchdog.computing == 1
        assert watchdog._next_tick() == TICK_SECONDS

    def test_one_whose_callback_has_blocked_loses_it_after_a_short_tick(
        self, holder: Holder, used: dict[int, float]
    ) -> None:
        watchdog, _, record = holder
        record.slice, record.in_slice = 1, True
        watchdog._look(0.0)
        watchdog._look(SHORT_TICK_SECONDS)
        assert record.lost.locked()
        assert watchdog.computing == 0
        ticks = [watchdog._next_tick() for _ in range(SHORT_TICKS + 1)]
        assert ticks == [SHORT_TICK_SECONDS] * SHORT_TICKS + [TICK_SECONDS]

    def test_one_that_only_waits_for_the_machine_has_a_tick(self, holder: Holder, used: dict[int, float]) -> None:
        watchdog, _, record = holder
        record.slice, record.in_slice, record.native_id = 1, True, -1
        watchdog._look(0.0)
        watchdog._look(SHORT_TICK_SECONDS)
        assert not record.lost.locked()
        watchdog._look(TICK_SECONDS)
        assert record.lost.locked()
        assert watchdog.computing == 1

    def test_its_process_is_expected_to_block_again(self, holder: Holder, used: dict[int, float]) -> None:
        watchdog, _, record = holder
        record.slice, record.in_slice = 1, True
        record.process = Process("test", None, None)
        watchdog._look(0.0)
        watchdog._look(SHORT_TICK_SECONDS)
        assert record.process.blocks == 1

    def test_slices_that_block_for_less_than_a_tick_make_the_ticks_short(
        self, holder: Holder, used: dict[int, float]
    ) -> None:
        watchdog, _, record = holder
        record.in_slice = True
        for number in range(2):
            record.slice = number
            assert watchdog._look(TICK_SECONDS * number)
        assert not record.lost.locked()
        assert watchdog._next_tick() == SHORT_TICK_SECONDS

    def test_a_worker_that_goes_from_slice_to_slice_keeps_it(self, holder: Holder, used: dict[int, float]) -> None:
        watchdog, _, record = holder
        record.in_slice = True
        for number in range(10):
            record.slice = number
            used[record.ident] = TICK_SECONDS * number
            assert watchdog._look(TICK_SECONDS * number)
        assert not record.lost.locked()
        assert watchdog._next_tick() == TICK_SECONDS

    def test_a_worker_between_two_slices_keeps_it_and_counts_as_idle(self, holder: Holder) -> None:
        watchdog, _, record = holder
        record.slice = 1
        watchdog._look(0.0)
        assert not watchdog._look(TICK_SECONDS)
        assert not record.lost.locked()

    def test_one_that_has_handed_off_by_itself_meanwhile_is_left_alone(self, holder: Holder) -> None:
        watchdog, _, record = holder
        record.slice, record.in_slice = 1, True
        watchdog._look(0.0)
        record.lost.acquire()
        watchdog._look(TICK_SECONDS)
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

    def test_one_that_the_user_has_set_meanwhile_is_kept(self, holder: Holder, used: dict[int, float]) -> None:
        watchdog, _, record = holder
        if not GIL_ENABLED:
            pytest.skip("without the GIL threads take no turns")
        before = sys.getswitchinterval()
        record.slice, record.in_slice = 1, True
        watchdog._look(0.0)
        used[record.ident] = TICK_SECONDS
        watchdog._look(TICK_SECONDS)
        try:
            sys.setswitchinterval(before * 2)
            watchdog.freed(record)
            assert sys.getswitchinterval() == pytest.approx(before * 2)
        finally:
            sys.setswitchinterval(before)

    @pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL threads take no turns")
    def test_callbacks_that_sleep_do_not_count(self, used: dict[int, float]) -> None:
        watchdog = Watchdog(Processors(lambda record: None))
        usual = sys.getswitchinterval()
        for ident in range(10):
            hog = ThreadRecord()
            hog.ident = ident
            watchdog.expect(hog)
        expected = {0: usual, 1: usual, 2: HOGGED_SWITCH_INTERVAL * 2, 3: HOGGED_SWITCH_INTERVAL, 4: usual}
        for tick, interval in expected.items():
            used[1] = tick if tick < 3 else 2.0  # seconds
            used[3] = tick if tick < 4 else 3.0
            used[5] = 0.0 if tick < 4 else 1.0  # it wakes up
            watchdog._look(TICK_SECONDS * tick)
            watchdog._look(TICK_SECONDS * (tick + 0.5))  # too early to count again
            assert sys.getswitchinterval() == pytest.approx(interval, abs=2e-6)

    @pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL threads take no turns")
    def test_one_that_was_expected_to_block_counts_after_its_second_whole_tick(self, used: dict[int, float]) -> None:
        watchdog, record = Watchdog(Processors(lambda record: None)), ThreadRecord()
        watchdog.expect(record)
        assert record.taken_by_watchdog
        for tick, computing in enumerate([0, 0, 1, 1]):
            used[record.ident] = TICK_SECONDS * tick + 1.0
            watchdog._look(TICK_SECONDS * tick)
            assert watchdog.computing == computing
        watchdog.freed(record)
        assert watchdog.computing == 0

    @pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL threads take no turns")
    def test_it_is_the_usual_one_while_a_callback_sleeps(self) -> None:
        before = sys.getswitchinterval()
        leave, entered = threading.Event(), threading.Event()
        _, ref = process.spawn_monitor(lambda: (entered.set(), leave.wait(PATIENCE)))
        assert entered.wait(PATIENCE)
        assert eventually(lambda: len(scheduler.watchdog.hogs) == 1)
        assert eventually(lambda: sys.getswitchinterval() == pytest.approx(before))
        leave.set()
        assert process.receive(Down, timeout=10_000).ref is ref


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
