"""Streams of tasks, with a supervisor and without."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

import supervision
from supervision import (
    INFINITY,
    BadArgument,
    BadChildSpec,
    BadType,
    CallError,
    CallTimeout,
    Exit,
    MaxChildren,
    Pid,
    Task,
    TaskSupervisor,
    process,
)
from supervision.process_table import Process
from supervision.scheduler import scheduler
from supervision.task_monitor import OutcomeMonitor
from supervision.task_stream import _Run
from tests.supervision.tasks import (
    DEADLINE,
    assert_no_mail,
    down_of,
    idle,
    leave,
    links_of,
    outcome_of,
)

# Milliseconds after which a task that never ends is ended; one that has nothing to do takes less on any machine.
LIMIT = 200

Stream = Callable[..., Any]


def fail(item: Any) -> None:
    leave(("shutdown", item))


def idle_if(item: Any, *others: Any) -> Any:
    if item == "idle":
        idle()
    return item


def tasks_of(starter: Pid) -> list[Pid]:
    """The live tasks that ``starter`` has started."""
    found = [(actor.pid, process.info(actor.pid)) for actor in supervision.actors() if actor.kind == "task"]
    return [pid for pid, info in found if info is not None and info.ancestors[:1] == (starter,)]


def wait_for_end_of_tasks() -> None:
    """Wait until no task of the caller is left: also those that gave their result may take a moment to end."""
    for ref in [process.monitor(pid) for pid in tasks_of(process.self())]:
        down_of(ref)


@pytest.fixture
def sup() -> Iterator[Pid]:
    pid = TaskSupervisor.start_link()
    yield pid
    if process.is_alive(pid):
        TaskSupervisor.stop(pid)


@pytest.fixture(params=["Task", "TaskSupervisor", "nolink"])
def stream(request: pytest.FixtureRequest) -> Stream:
    if request.param == "Task":
        return Task.async_stream
    sup = request.getfixturevalue("sup")
    start = TaskSupervisor.async_stream if request.param == "TaskSupervisor" else TaskSupervisor.async_stream_nolink
    return lambda *args, **options: start(sup, *args, **options)


class TestResults:
    @pytest.mark.row("TK-27", "TS-10")
    @pytest.mark.parametrize("max_concurrency", [1, 2, 4, 8])
    @pytest.mark.parametrize("ordered", [True, False])
    def test_each_item_has_its_result(self, stream: Stream, max_concurrency: int, ordered: bool) -> None:
        results = list(stream([1, 2, 3, 4], lambda item: item * 2, max_concurrency=max_concurrency, ordered=ordered))
        assert (results if ordered else sorted(results)) == [("ok", 2), ("ok", 4), ("ok", 6), ("ok", 8)]
        assert_no_mail()

    @pytest.mark.row("TK-27")
    def test_further_arguments_follow_the_item(self, stream: Stream) -> None:
        assert list(stream([2, 3], pow, 2, timeout=INFINITY)) == [("ok", 4), ("ok", 9)]

    @pytest.mark.row("TK-27")
    def test_the_default_runs_as_many_as_there_are_cpus(self) -> None:
        assert list(Task.async_stream([], int)) == []
        assert list(Task.async_stream("12", int)) == [("ok", 1), ("ok", 2)]

    @pytest.mark.row("TK-27")
    def test_a_slow_first_item_still_comes_first(self, stream: Stream) -> None:
        first = threading.Event()

        def work(item: int) -> int:
            if item == 1:
                assert first.wait(DEADLINE / 1000)
            if item == 3:
                first.set()
            return item

        assert list(stream([1, 2, 3, 4], work, max_concurrency=2)) == [("ok", item) for item in (1, 2, 3, 4)]

    def test_unordered_results_come_as_they_are_ready(self, stream: Stream) -> None:
        first = threading.Event()

        def work(item: int) -> int:
            if item == 1:
                assert first.wait(DEADLINE / 1000)
            return item

        results = stream([1, 2, 3], work, max_concurrency=2, ordered=False)
        assert next(results) == ("ok", 2)
        assert next(results) == ("ok", 3)
        first.set()
        assert list(results) == [("ok", 1)]

    @pytest.mark.row("TK-30", "TS-10")
    def test_exits_are_results_of_a_consumer_that_traps_exits(self, stream: Stream) -> None:
        assert list(stream([1, 2], fail, max_concurrency=1)) == [
            ("exit", ("shutdown", 1)),
            ("exit", ("shutdown", 2)),
        ]
        assert_no_mail()

    @pytest.mark.row("TK-30")
    def test_a_linked_exit_ends_a_consumer_that_does_not_trap(self) -> None:
        assert outcome_of(lambda: list(Task.async_stream([1, 2], fail, max_concurrency=1))) == ("shutdown", 1)

    def test_without_links_exits_are_results_of_any_consumer(self, sup: Pid) -> None:
        results = outcome_of(lambda: list(TaskSupervisor.async_stream_nolink(sup, [1], fail)))
        assert results == [("exit", ("shutdown", 1))]

    def test_never_more_run_than_allowed(self, stream: Stream) -> None:
        lock = threading.Lock()
        running: list[int] = []
        most = 0

        def work(item: int) -> None:
            nonlocal most
            with lock:
                running.append(item)
                most = max(most, len(running))
            process.sleep(1)
            with lock:
                running.remove(item)

        list(stream(range(30), work, max_concurrency=3))
        assert most <= 3

    def test_the_result_of_a_storm_is_that_of_a_map(self, stream: Stream) -> None:
        assert [value for _, value in stream(range(2_000), str, max_concurrency=16)] == list(map(str, range(2_000)))
        assert_no_mail()

    def test_an_outcome_that_comes_right_before_the_wait_is_not_missed(
        self, stream: Stream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wait = _Run._next_arrival

        def finish_first(run: _Run, consumer: Process) -> Any:
            for pid in tasks_of(process.self()):
                ref = process.monitor(pid)
                process.send(pid, "stop")
                down_of(ref)
            return wait(run, consumer)

        monkeypatch.setattr(_Run, "_next_arrival", finish_first)
        assert list(stream(["idle"], idle_if)) == [("ok", "idle")]

    @pytest.mark.parametrize("start", [TaskSupervisor.async_stream, TaskSupervisor.async_stream_nolink])
    def test_the_next_task_is_started_when_the_one_before_has_ended(
        self, start: Stream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sup = TaskSupervisor.start_link(max_children=1)
        began_early = threading.Event()
        begin, report = _Run.start, OutcomeMonitor.returned

        def note_and_begin(run: _Run, value: int) -> None:
            if value > 1:
                began_early.set()
            begin(run, value)

        def report_and_go_on(monitor: OutcomeMonitor, task: Process, value: int) -> None:
            report(monitor, task, value)
            if value == 1:  # it has given its value and is not at its end: does the stream go on without it?
                began_early.wait(LIMIT / 1000)

        monkeypatch.setattr(_Run, "start", note_and_begin)
        monkeypatch.setattr(OutcomeMonitor, "returned", report_and_go_on)
        assert list(start(sup, [1, 2], int, max_concurrency=1)) == [("ok", 1), ("ok", 2)]
        assert TaskSupervisor.children(sup) == []
        TaskSupervisor.stop(sup)

    def test_no_task_is_left_when_a_stream_is_over(self, sup: Pid) -> None:
        for _ in range(100):
            list(TaskSupervisor.async_stream(sup, range(4), int, max_concurrency=4, ordered=False))
            assert TaskSupervisor.children(sup) == []


class TestLaziness:
    def test_nothing_runs_before_a_result_is_asked_for(self, stream: Stream) -> None:
        taken = []
        results = stream((taken.append(item) for item in range(10)), repr, max_concurrency=1)
        assert taken == []
        next(results)
        assert taken == [0]
        results.close()

    @pytest.mark.row("TK-29")
    def test_an_endless_source_is_taken_as_far_as_needed(self, stream: Stream) -> None:
        results = list(itertools.islice(stream(itertools.count(), int, max_concurrency=2), 3))
        assert results == [("ok", 0), ("ok", 1), ("ok", 2)]

    @pytest.mark.parametrize("ordered", [True, False])
    def test_no_more_is_taken_ahead_of_a_slow_consumer_than_may_run(self, stream: Stream, ordered: bool) -> None:
        taken = itertools.count()
        results = iter(stream(taken, int, max_concurrency=3, ordered=ordered))
        for _ in range(20):
            next(results)
            wait_for_end_of_tasks()  # while the consumer asks for nothing, all that runs ends
        assert next(taken) <= 20 + 3
        results.close()  # type: ignore[attr-defined]

    @pytest.mark.row("TK-34")
    def test_a_stream_can_be_zipped_with_itself(self, stream: Stream) -> None:
        results = stream([1, 2, 3], int, max_concurrency=2)
        assert list(zip(results, results, strict=True)) == [(("ok", item), ("ok", item)) for item in (1, 2, 3)]
        assert list(results) == [("ok", 1), ("ok", 2), ("ok", 3)]

    def test_a_stream_that_was_begun_goes_on(self, stream: Stream) -> None:
        results = stream([1, 2, 3], int)
        assert next(results) == ("ok", 1)
        assert iter(results) is results
        assert list(results) == [("ok", 2), ("ok", 3)]
        assert next(results, None) is None

    @pytest.mark.row("TK-38")
    def test_it_can_be_consumed_by_another_process(self, stream: Stream) -> None:
        results = stream([1, 2], int)
        assert outcome_of(lambda: list(results)) == [("ok", 1), ("ok", 2)]

    @pytest.mark.row("TK-38")
    def test_it_is_consumed_by_one_process_only(self, stream: Stream) -> None:
        results = stream(itertools.count(), int)
        next(results)

        def stranger() -> str:
            with pytest.raises(CallError, match="must be consumed by"):
                next(results)
            return "refused"

        assert outcome_of(stranger) == "refused"
        results.close()
        wait_for_end_of_tasks()

    @pytest.mark.parametrize("begin", [iter, lambda results: results])
    def test_a_stranger_that_is_refused_takes_nothing_from_the_consumer(
        self, stream: Stream, begin: Callable[[Any], Iterator[Any]]
    ) -> None:
        results = begin(stream([1, 2, 3], int, max_concurrency=1))
        assert next(results) == ("ok", 1)
        assert isinstance(outcome_of(lambda: next(results)), CallError)
        assert list(results) == [("ok", 2), ("ok", 3)]

    @pytest.mark.row("TK-38")
    def test_its_items_may_come_from_another_stream(self, stream: Stream) -> None:
        inner = stream([1, 2, 3], int)
        assert list(stream(inner, lambda pair: pair[1] + 1)) == [("ok", 2), ("ok", 3), ("ok", 4)]


class TestEnd:
    def test_nothing_of_a_finished_task_is_kept(self, stream: Stream) -> None:
        me = process.self()._process
        before = dict(me.owned or {}), len(scheduler.timers)
        list(stream(range(100), int))
        assert dict(me.owned or {}) == before[0]
        assert len(scheduler.timers) <= before[1]

    @pytest.mark.row("TK-29", "TS-10")
    @pytest.mark.parametrize("trapping", [True, False])
    def test_a_closed_stream_ends_its_tasks_and_leaves_nothing(self, stream: Stream, trapping: bool) -> None:
        def consume() -> Any:
            process.trap_exit(trapping)
            before = links_of(process.self())
            results = stream(["first", "idle", "idle"], idle_if, max_concurrency=3)
            assert next(results) == ("ok", "first")
            assert len(tasks_of(process.self())) >= 2
            results.close()
            assert next(results, "over") == "over"
            wait_for_end_of_tasks()
            assert_no_mail()
            return links_of(process.self()) == before

        assert outcome_of(consume) is True

    @pytest.mark.row("TK-29", "TS-10")
    @pytest.mark.parametrize("trapping", [True, False])
    def test_a_loop_that_is_left_has_ended_its_tasks(self, stream: Stream, trapping: bool) -> None:
        def consume() -> Any:
            process.trap_exit(trapping)
            before = links_of(process.self())
            for _ in stream(["first", "idle", "idle"], idle_if, max_concurrency=3):
                break
            assert links_of(process.self()) == before
            assert [pid for pid in tasks_of(process.self()) if process.info(pid)] == []
            assert_no_mail()
            return "left"

        assert outcome_of(consume) == "left"

    @pytest.mark.row("TK-29", "TS-10")
    def test_the_first_results_alone_leave_no_task(self, stream: Stream) -> None:
        before = links_of(process.self())
        assert list(itertools.islice(stream(["first", "idle"], idle_if, max_concurrency=2), 1)) == [("ok", "first")]
        assert links_of(process.self()) == before
        assert tasks_of(process.self()) == []

    def test_a_stream_that_the_library_drops_takes_no_lock_of_the_thread_that_drops_it(self, stream: Stream) -> None:
        me = process.self()._process
        results = [iter(stream(["first", "idle"], idle_if, max_concurrency=2))]
        next(results[0])
        library: dict[str, Any] = {"__name__": "supervision.something"}
        exec("def collect(results): results.clear()", library)
        with me.lock, scheduler.timers.lock, scheduler.processors.lock:
            library["collect"](results)
        wait_for_end_of_tasks()

    def test_one_that_another_thread_drops_ends_its_tasks(self, stream: Stream) -> None:
        results = [iter(stream(["first", "idle"], idle_if, max_concurrency=2))]
        next(results[0])
        dropping = threading.Thread(target=results.clear)
        dropping.start()
        dropping.join()
        wait_for_end_of_tasks()

    def test_a_closed_stream_has_ended_the_tasks_of_its_loops(self, stream: Stream) -> None:
        results = stream(["first", "idle"], idle_if, max_concurrency=2)
        loop = iter(results)
        next(loop)
        results.close()
        assert tasks_of(process.self()) == []
        assert next(loop, "over") == "over"

    def test_it_may_be_closed_after_its_loops_are_gone(self, stream: Stream) -> None:
        results = stream(["first", "idle"], idle_if, max_concurrency=2)
        for _ in results:
            break
        results.close()
        assert list(results) == []

    def test_a_run_that_is_closed_has_ended_its_tasks(self, stream: Stream) -> None:
        me = process.self()

        def tell_and_idle(item: int) -> None:
            if item:
                process.send(me, process.self())
                idle()

        results = iter(stream([0, 1], tell_and_idle, max_concurrency=2))
        next(results)
        task = process.receive(Pid, timeout=DEADLINE)
        results.close()  # type: ignore[attr-defined]
        assert not process.is_alive(task)

    def test_one_that_is_closed_has_ended_those_of_the_stream_it_took_its_items_from(self, stream: Stream) -> None:
        me = process.self()

        def tell_and_idle(item: int) -> None:
            if item:
                process.send(me, process.self())
                idle()

        inner = stream([0, 1], tell_and_idle, max_concurrency=2)
        outer = stream(inner, lambda outcome: outcome, max_concurrency=1)
        assert next(outer) == ("ok", ("ok", None))
        task = process.receive(Pid, timeout=DEADLINE)
        outer.close()
        assert not process.is_alive(task)

    def test_an_exception_in_a_loop_ends_its_tasks(self, stream: Stream) -> None:
        def consume() -> None:
            for _ in stream(["first", "idle"], idle_if, max_concurrency=2):
                raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011  there is nothing in it to match
            consume()
        gc.collect()
        wait_for_end_of_tasks()

    def test_tasks_that_trap_exits_are_killed(self, stream: Stream) -> None:
        trapping = threading.Event()

        def stubborn(item: int) -> int:
            if item:
                process.trap_exit(True)
                trapping.set()
                process.receive(lambda message: False)
            return item

        results = stream([0, 1], stubborn, max_concurrency=2)
        next(results)
        assert trapping.wait(DEADLINE / 1000)
        results.close()
        wait_for_end_of_tasks()

    @pytest.mark.parametrize("reason", ["kill", "shutdown", "normal"])
    @pytest.mark.parametrize("trapping", [True, False])
    def test_no_task_outlives_its_consumer(self, stream: Stream, reason: str, trapping: bool) -> None:
        me = process.self()

        def consume() -> None:
            process.trap_exit(trapping)
            results = stream(["first", "idle"], idle_if, max_concurrency=2)
            next(results)
            process.trap_exit(False)
            process.send(me, ("running", tasks_of(process.self())))
            if reason != "normal":
                next(results)

        consumer = process.spawn(consume)
        _, tasks = process.receive(lambda message: message[0] == "running", timeout=DEADLINE)
        refs = [process.monitor(pid) for pid in tasks]
        process.exit(consumer, reason)
        for ref in refs:
            down_of(ref)

    def test_a_stream_that_was_closed_before_it_began_is_over(self, stream: Stream) -> None:
        results = stream([1], int)
        results.close()
        assert list(results) == []

    @pytest.mark.row("TK-35")
    def test_the_source_is_closed_once(self, stream: Stream) -> None:
        closed = []

        def source() -> Generator[int, None, None]:
            try:
                yield from itertools.count()
            finally:
                closed.append(True)

        results = stream(source(), int)
        next(results)
        results.close()
        results.close()
        assert closed == [True]

    @pytest.mark.row("TK-35")
    def test_an_exception_of_the_source_reaches_the_consumer_and_ends_the_tasks(self, stream: Stream) -> None:
        def source() -> Iterator[str]:
            yield "idle"
            raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            next(stream(source(), idle_if, max_concurrency=2))
        gc.collect()
        wait_for_end_of_tasks()

    @pytest.mark.row("TS-11")
    @pytest.mark.parametrize("start", [TaskSupervisor.async_stream, TaskSupervisor.async_stream_nolink])
    def test_a_full_supervisor_stops_the_stream_cleanly(self, start: Stream) -> None:
        sup = TaskSupervisor.start_link(max_children=1)
        before = links_of(process.self())
        with pytest.raises(MaxChildren):
            list(start(sup, ["idle", "idle"], idle_if, max_concurrency=2))
        assert TaskSupervisor.children(sup) == []
        assert links_of(process.self()) == before
        TaskSupervisor.stop(sup)
        process.receive(Exit, timeout=DEADLINE)
        assert_no_mail()


class TestTimeout:
    @pytest.mark.row("TK-31")
    @pytest.mark.parametrize("ordered", [True, False])
    @pytest.mark.parametrize("timeout", [0, 5])
    def test_a_slow_task_times_the_consumer_out(self, stream: Stream, ordered: bool, timeout: int) -> None:
        with pytest.raises(CallTimeout, match=f"{timeout} milliseconds"):
            list(stream(["idle"] * 4, idle_if, timeout=timeout, max_concurrency=4, ordered=ordered))
        gc.collect()
        wait_for_end_of_tasks()
        assert_no_mail()

    @pytest.mark.row("TK-32")
    def test_slow_tasks_are_killed_if_asked(self, stream: Stream) -> None:
        items = ["idle", 1, "idle", 1]
        results = list(stream(items, idle_if, timeout=LIMIT, on_timeout="kill_task", max_concurrency=4))
        assert results == [("exit", "timeout"), ("ok", 1), ("exit", "timeout"), ("ok", 1)]
        wait_for_end_of_tasks()
        assert_no_mail()

    @pytest.mark.row("TK-32")
    def test_unordered_the_killed_come_last(self, stream: Stream) -> None:
        items = ["idle", 1, "idle", 1]
        options = {"timeout": LIMIT, "on_timeout": "kill_task", "max_concurrency": 4, "ordered": False}
        assert list(stream(items, idle_if, **options)) == [("ok", 1)] * 2 + [("exit", "timeout")] * 2

    @pytest.mark.row("TK-33")
    def test_an_exit_shows_its_item_if_asked(self, stream: Stream) -> None:
        options = {"timeout": LIMIT, "on_timeout": "kill_task", "zip_input_on_exit": True}
        assert list(stream(["idle", 1], idle_if, **options)) == [("exit", ("idle", "timeout")), ("ok", 1)]
        assert list(stream([3], fail, **options)) == [("exit", (3, ("shutdown", 3)))]

    def test_the_time_of_a_task_runs_also_while_nobody_asks(self, stream: Stream) -> None:
        results = stream(["first", "idle"], idle_if, timeout=LIMIT, on_timeout="kill_task", max_concurrency=2)
        assert next(results) == ("ok", "first")
        wait_for_end_of_tasks()
        assert next(results) == ("exit", "timeout")

    def test_a_task_that_was_in_time_is_not_late_because_nobody_asked(self, stream: Stream) -> None:
        results = stream([1, 2], int, timeout=LIMIT, max_concurrency=2)
        assert next(results) == ("ok", 1)
        wait_for_end_of_tasks()
        process.send_after(process.self(), "later", LIMIT)  # due after the timers of the tasks
        assert process.receive(timeout=DEADLINE) == "later"
        assert next(results) == ("ok", 2)

    @pytest.mark.row("TK-31")
    @pytest.mark.parametrize("ordered", [True, False])
    def test_results_in_time_are_handed_out_before_the_consumer_hears_of_a_task_that_was_not(
        self, stream: Stream, ordered: bool
    ) -> None:
        results = stream([1, 2, 3, "idle"], idle_if, timeout=LIMIT, max_concurrency=4, ordered=ordered)
        found = [next(results)]
        wait_for_end_of_tasks()  # of the last one too: its time is over before anything more is asked for
        found += [next(results), next(results)]
        assert sorted(found) == [("ok", 1), ("ok", 2), ("ok", 3)]
        with pytest.raises(CallTimeout, match="took longer than"):
            next(results)

    def test_a_task_that_exits_as_if_by_a_timeout_does_not_time_the_consumer_out(self, stream: Stream) -> None:
        assert list(stream(["timeout"], leave)) == [("exit", "timeout")]


class TestOptions:
    @pytest.mark.row("TK-36")
    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("max_concurrency", 0),
            ("max_concurrency", INFINITY),
            ("on_timeout", "unknown"),
            ("timeout", "unknown"),
            ("timeout", 0.5),
            ("ordered", 1),
            ("max_concurency", 1),
        ],
    )
    def test_wrong_options_are_refused_before_anything_runs(self, stream: Stream, option: str, value: Any) -> None:
        with pytest.raises((BadType, BadArgument), match=option):
            stream([1], int, **{option: value})

    @pytest.mark.row("TS-12")
    @pytest.mark.parametrize("start", [TaskSupervisor.async_stream, TaskSupervisor.async_stream_nolink])
    def test_a_wrong_shutdown_is_refused(self, sup: Pid, start: Stream) -> None:
        with pytest.raises(BadChildSpec, match="shutdown must be"):
            start(sup, [1], int, shutdown="unknown")

    @pytest.mark.parametrize(("items", "fn"), [(1, int), ([1], "int")])
    def test_what_cannot_be_iterated_or_called_is_refused(self, stream: Stream, items: Any, fn: Any) -> None:
        with pytest.raises(BadType):
            stream(items, fn)
