from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

import pytest

from supervision import process, processors
from supervision.processors import Processors
from supervision.threads import ThreadRecord, interpreter
from tests.supervision.runtime import PATIENCE, eventually


class Workers:
    """Processors whose workers only say that they run, and lose their processor when told."""

    def __init__(self, count: int, max_threads: int = 100) -> None:
        self.running = threading.Semaphore(0)
        self.orders: list[threading.Event] = []
        self.records: list[ThreadRecord] = []
        self.processors = Processors(self.run)
        self.processors.resize(count)
        self.processors.max_threads = max_threads

    def run(self, record: ThreadRecord) -> None:
        order = threading.Event()
        self.orders.append(order)
        self.records.append(record)
        self.running.release()
        assert order.wait(PATIENCE)
        if record.spent:
            self.processors.discharge(record)
        else:
            self.processors.hand_off(record)

    def start(self) -> None:
        self.processors.start_one()

    def end(self) -> None:
        """Take all processors away, so that the workers end as spares."""
        self.processors.resize(1)
        self.processors.max_threads = 0
        with self.processors.lock:
            self.processors.unassigned = -1_000
        for order in list(self.orders):
            order.set()


class NoThread(threading.Thread):
    """What a system gives that has no thread left."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Workers]:
    monkeypatch.setattr(processors, "SPARE_SECONDS", 0.05)
    return Workers


class TestStartOne:
    def test_as_many_workers_start_as_there_are_processors_and_no_more(self, made: Callable[..., Workers]) -> None:
        workers = made(2)
        for _ in range(5):
            workers.start()
        for _ in range(2):
            assert workers.running.acquire(timeout=PATIENCE)
        assert not workers.running.acquire(timeout=0.02)
        assert (workers.processors.threads, workers.processors.unassigned) == (2, 0)
        workers.end()
        assert eventually(lambda: workers.processors.threads == 0)

    def test_spares_that_nobody_needs_end(self, made: Callable[..., Workers]) -> None:
        workers = made(1)
        workers.start()
        assert workers.running.acquire(timeout=PATIENCE)
        workers.end()
        assert eventually(lambda: workers.processors.threads == 0)
        assert workers.processors.spares == []


class TestPlace:
    def test_one_in_the_middle_of_another_as_a_signal_handler_makes_it_gives_away_the_next(self) -> None:
        class Holders(set[ThreadRecord]):
            def add(self, record: ThreadRecord) -> None:
                if not self:
                    super().add(record)
                    processors.place()
                super().add(record)

        processors = Processors(lambda record: None)
        spares = [ThreadRecord(), ThreadRecord()]
        processors.spares, processors.holders, processors.unassigned = [*spares], Holders(), 2
        processors.place()
        assert processors.holders == set(spares)
        assert (processors.spares, processors.unassigned) == ([], 0)
        assert all(spare.parker.acquire(False) and not spare.lost.locked() for spare in spares)


class TestHandOff:
    def test_a_new_worker_takes_the_processor_over_and_the_old_one_is_reused(
        self, made: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processors, "SPARE_SECONDS", PATIENCE)
        workers = made(1)
        workers.start()
        for _ in range(5):
            assert workers.running.acquire(timeout=PATIENCE)
            assert eventually(lambda: workers.processors.threads - len(workers.processors.spares) == 1)
            workers.orders[-1].set()
        assert workers.running.acquire(timeout=PATIENCE)
        assert workers.processors.threads == 2
        assert len(workers.processors.holders) == 1
        monkeypatch.setattr(processors, "SPARE_SECONDS", 0.05)
        workers.end()

    def test_a_foreign_thread_has_none_to_give(self, made: Callable[..., Workers]) -> None:
        workers = made(1)
        workers.processors.hand_off(ThreadRecord())
        assert workers.processors.threads == 0

    def test_who_has_no_stack_left_to_give_it_away_keeps_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise RecursionError

        processors = Processors(lambda record: None)
        record = ThreadRecord()
        record.worker = True
        assert processors.reclaim(record)
        monkeypatch.setattr(processors, "place", fail)
        with pytest.raises(RecursionError):
            processors.hand_off(record)
        assert (processors.holders, processors.unassigned) == ({record}, 0)
        assert not record.lost.locked()


class TestSpentWorker:
    def test_another_takes_its_place_even_at_the_limit_and_its_thread_ends(
        self, made: Callable[..., Workers], caplog: pytest.LogCaptureFixture
    ) -> None:
        workers = made(1, max_threads=1)
        workers.start()
        assert workers.running.acquire(timeout=PATIENCE)
        spent = workers.records[0]
        spent.spent = True
        workers.orders[0].set()
        assert workers.running.acquire(timeout=PATIENCE)
        assert workers.records[1] is not spent
        assert (workers.processors.threads, workers.processors.holders) == (1, {workers.records[1]})
        assert eventually(lambda: spent.ident not in [thread.ident for thread in threading.enumerate()])
        assert caplog.records == []
        workers.end()

    def test_it_goes_on_itself_where_no_other_can_be_had(
        self, made: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workers = made(1)
        workers.start()
        assert workers.running.acquire(timeout=PATIENCE)
        spent = workers.records[0]
        spent.spent = True
        with monkeypatch.context() as patch:
            patch.setattr(processors.threading, "Thread", NoThread)
            workers.orders[0].set()
            assert workers.running.acquire(timeout=PATIENCE)
        assert workers.records == [spent, spent]
        assert (workers.processors.threads, workers.processors.holders) == (1, {spent})
        workers.end()

    def test_one_that_has_more_to_run_gives_the_processor_away_at_once(self, made: Callable[..., Workers]) -> None:
        workers = made(1)
        record = ThreadRecord()
        record.worker = True
        assert workers.processors.reclaim(record)
        record.descend()
        workers.processors.discharge(record)
        assert workers.running.acquire(timeout=PATIENCE)
        assert record.lost.locked()
        workers.end()

    def test_a_thread_that_is_no_worker_has_none_to_give(self, made: Callable[..., Workers]) -> None:
        workers = made(1)
        workers.processors.discharge(ThreadRecord())
        assert workers.processors.unassigned == 1


class TestInterruptedStart:
    """Of a worker, by Ctrl-C in the main thread."""

    def test_before_there_is_a_thread_it_leaves_the_processor_to_the_next(
        self, made: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given_up: list[threading.Thread] = []

        class Interrupted(threading.Thread):
            def start(self) -> None:
                given_up.append(self)
                raise KeyboardInterrupt

        workers = made(1)
        with monkeypatch.context() as patch:
            patch.setattr(processors.threading, "Thread", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                workers.start()
        assert (workers.processors.threads, workers.processors.unassigned) == (0, 1)
        workers.start()
        assert workers.running.acquire(timeout=PATIENCE)
        given_up[0].run()  # should it come to life after all it does nothing
        assert len(workers.processors.holders) == len(workers.records) == 1
        workers.end()

    def test_after_that_it_changes_nothing(self, made: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch) -> None:
        workers = made(1)

        class Interrupted(threading.Thread):
            def start(self) -> None:
                super().start()
                assert workers.running.acquire(timeout=PATIENCE)
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(processors.threading, "Thread", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                workers.start()
        assert (workers.processors.threads, workers.processors.unassigned) == (1, 0)
        workers.end()


class TestLimit:
    def test_at_max_threads_the_processor_waits_for_a_worker_to_come_back(
        self, made: Callable[..., Workers], caplog: pytest.LogCaptureFixture
    ) -> None:
        workers = made(1, max_threads=1)
        workers.start()
        assert workers.running.acquire(timeout=PATIENCE)
        with caplog.at_level(logging.WARNING, "supervision"):
            workers.orders[-1].set()  # it hands off, nobody can be started, and it takes the processor again itself
            assert workers.running.acquire(timeout=PATIENCE)
        assert [record.getMessage().splitlines()[0] for record in caplog.records] == [
            "all 1 threads are blocked, other actors must wait:"
        ]
        workers.end()

    def test_it_is_said_once_in_a_while_only(
        self, made: Callable[..., Workers], caplog: pytest.LogCaptureFixture
    ) -> None:
        workers = made(1, max_threads=0)
        for _ in range(3):
            workers.processors.place()
        assert len(caplog.records) == 1

    def test_a_system_without_threads_is_logged_and_the_processor_kept(
        self, made: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(processors.threading, "Thread", NoThread)
        workers = made(2)
        for _ in range(3):
            workers.start()
        assert (workers.processors.threads, workers.processors.unassigned) == (0, 2)
        (logged,) = caplog.records
        assert logged.getMessage().startswith(
            "no thread can be started, other actors must wait: can't start new thread"
        )

    def test_at_the_end_of_the_interpreter_that_is_no_news(
        self, made: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(interpreter, "ending", True)
        workers = made(1, max_threads=0)
        workers.processors.place()
        assert caplog.records == []


class TestResize:
    def test_surplus_processors_are_dropped_as_they_are_given_up(self, made: Callable[..., Workers]) -> None:
        workers = made(3)
        for _ in range(3):
            workers.start()
        for _ in range(3):
            assert workers.running.acquire(timeout=PATIENCE)
        workers.processors.resize(1)
        assert workers.processors.unassigned == -2
        for order in workers.orders[:2]:
            order.set()
        assert eventually(lambda: workers.processors.unassigned == 0)
        assert len(workers.processors.holders) == 1
        workers.end()

    def test_an_idle_worker_retires_only_while_there_are_too_many(self, made: Callable[..., Workers]) -> None:
        workers = made(2)
        record = ThreadRecord()
        workers.processors.unassigned = 1
        workers.processors._assign(record)
        assert not workers.processors.retire(record)
        workers.processors.resize(1)
        assert not workers.processors.retire(record)
        workers.processors.unassigned = -1
        assert workers.processors.retire(record)
        assert workers.processors.unassigned == 0
        assert not workers.processors.holders


class TestBlockedPlaces:
    def test_the_commonest_place_comes_first_in_the_users_own_code(self) -> None:
        entered, leave = threading.Semaphore(0), threading.Event()

        def query_the_database() -> None:
            entered.release()
            process.receive(timeout=10_000)

        def read_a_file() -> None:
            entered.release()
            process.receive(timeout=10_000)

        pids = [process.spawn(query_the_database) for _ in range(3)] + [process.spawn(read_a_file)]
        for _ in pids:
            assert entered.acquire(timeout=PATIENCE)
        assert eventually(lambda: len(processors.blocked_places().splitlines()) == 2)
        first, second = processors.blocked_places().splitlines()
        assert first.startswith("  3 times ")
        assert "query_the_database" in first
        assert __file__ in first
        assert "read_a_file" in second
        leave.set()
        for pid in pids:
            process.exit(pid, "kill")


class TestRefusals:
    def test_there_is_none_to_reclaim_while_all_are_held(self) -> None:
        processors = Processors(lambda record: None)
        processors.resize(0)
        assert not processors.reclaim(ThreadRecord())
        processors.resize(1)
        record = ThreadRecord()
        assert processors.reclaim(record)
        assert not record.lost.locked()

    def test_one_is_taken_only_from_a_worker_that_is_still_in_that_slice(self) -> None:
        processors = Processors(lambda record: None)
        record = ThreadRecord()
        assert not processors.take_from(record, 0)
        assert processors.reclaim(record)
        assert not processors.take_from(record, 0)
        record.in_slice, record.slice = True, 5
        assert not processors.take_from(record, 4)
        assert not record.lost.locked()

    def test_a_build_without_the_gil_has_one_for_each_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SUPERVISION_PROCESSORS", raising=False)
        monkeypatch.setattr(processors, "GIL_ENABLED", False)
        assert 1 <= processors.default_processors() <= (os.cpu_count() or 1)
        monkeypatch.setattr(processors, "GIL_ENABLED", True)
        assert processors.default_processors() == 1
