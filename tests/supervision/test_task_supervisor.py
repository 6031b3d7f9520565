"""Tasks under a supervisor."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervision import (
    BRUTAL_KILL,
    INFINITY,
    BadArgument,
    BadChildSpec,
    BadType,
    CallTimeout,
    ChildCounts,
    Down,
    MaxChildren,
    NoProcess,
    NotFound,
    Pid,
    TaskExit,
    TaskResult,
    TaskSupervisor,
    child_spec,
    process,
)
from tests.supervision.supervised import until
from tests.supervision.tasks import (
    DEADLINE,
    assert_no_mail,
    down_of,
    idle,
    leave,
    links_of,
)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def answer() -> str:
    idle()
    return "value"


@pytest.fixture
def supervise_tasks() -> Iterator[Callable[..., Pid]]:
    started: list[Pid] = []

    def start(**flags: Any) -> Pid:
        pid = TaskSupervisor.start_link(**flags)
        started.append(pid)
        return pid

    yield start
    for pid in started:
        if process.is_alive(pid):
            TaskSupervisor.stop(pid)


@pytest.fixture
def sup(supervise_tasks: Callable[..., Pid]) -> Pid:
    return supervise_tasks()


class TestStart:
    @pytest.mark.row("TS-01")
    def test_it_starts_without_children(self, sup: Pid) -> None:
        assert TaskSupervisor.children(sup) == []
        assert TaskSupervisor.count_children(sup) == ChildCounts(0, 0, 0, 0)

    @pytest.mark.row("TS-01")
    def test_several_with_names_run_under_a_supervisor(self, supervise: Callable[..., Pid]) -> None:
        supervise([(TaskSupervisor, {"name": "one"}), (TaskSupervisor, {"name": "two", "max_children": 1})])
        assert TaskSupervisor.async_("one", int).await_() == 0
        assert TaskSupervisor.async_("two", int).await_() == 0

    @pytest.mark.row("TS-01")
    def test_it_counts_its_tasks(self, sup: Pid) -> None:
        pid = TaskSupervisor.start_child(sup, idle)
        assert TaskSupervisor.children(sup) == [pid]
        assert TaskSupervisor.count_children(sup) == ChildCounts(1, 1, 0, 1)

    def test_the_strategy_is_accepted_where_it_is_the_only_one(self, supervise: Callable[..., Pid]) -> None:
        supervise([(TaskSupervisor, {"strategy": "one_for_one", "name": "tasks"})])
        assert TaskSupervisor.async_("tasks", int).await_() == 0
        with pytest.raises(BadArgument, match="strategy must be 'one_for_one', got 'one_for_all'"):
            TaskSupervisor.start_link(strategy="one_for_all")

    def test_options_that_would_break_its_tasks_are_refused(self) -> None:
        with pytest.raises(BadType, match="extra_arguments"):
            TaskSupervisor.start_link(extra_arguments=(1,))

    def test_nobody_is_no_supervisor(self) -> None:
        with pytest.raises(NoProcess):
            TaskSupervisor.async_("nobody", int)

    def test_its_child_spec_is_one_of_a_supervisor(self) -> None:
        spec = child_spec((TaskSupervisor, {"name": "tasks"}))
        assert (spec.id, spec.type, spec.shutdown) == ("tasks", "supervisor", INFINITY)

    def test_a_class_of_ones_own_may_take_an_argument(self) -> None:
        class Small(TaskSupervisor):
            def init(self, size: int) -> Any:
                return super().init(max_children=size)

        sup = Small.start_link(1)
        TaskSupervisor.start_child(sup, process.receive)
        with pytest.raises(MaxChildren):
            TaskSupervisor.start_child(sup, process.receive)
        TaskSupervisor.stop(sup)


class TestAsync:
    @pytest.mark.row("TS-02")
    def test_the_task_is_a_child_and_linked_to_the_caller(self, sup: Pid) -> None:
        task = TaskSupervisor.async_(sup, answer)
        assert TaskSupervisor.children(sup) == [task.pid]
        assert task.pid in links_of(process.self())
        process.send(task.pid, "stop")
        assert task.await_() == "value"
        assert_no_mail()

    @pytest.mark.row("TS-03")
    def test_without_a_link_the_caller_hears_of_the_value(self, sup: Pid) -> None:
        task = TaskSupervisor.async_nolink(sup, answer)
        assert task.pid not in links_of(process.self())
        process.send(task.pid, "stop")
        assert process.receive(timeout=DEADLINE) == TaskResult(task.ref, "value")
        assert_no_mail()

    @pytest.mark.row("TS-03")
    def test_without_a_link_the_caller_hears_of_an_exit(self, sup: Pid) -> None:
        task = TaskSupervisor.async_nolink(sup, leave, "shutdown")
        assert process.receive(timeout=DEADLINE) == Down(task.ref, task.pid, "shutdown")
        assert_no_mail()

    @pytest.mark.row("TS-03")
    def test_without_a_link_a_caller_that_does_not_trap_survives(self, sup: Pid) -> None:
        me = process.self()

        def owner() -> None:
            try:
                TaskSupervisor.async_nolink(sup, leave, ("shutdown", "why")).await_()
            except TaskExit as error:
                process.send(me, error.reason)

        process.spawn(owner)
        assert process.receive(timeout=DEADLINE) == ("shutdown", "why")

    def test_without_a_link_the_task_outlives_its_owner(self, sup: Pid) -> None:
        me = process.self()
        owner, ref = process.spawn_monitor(
            lambda: process.send(me, ("task", TaskSupervisor.async_nolink(sup, answer).pid))
        )
        _, pid = process.receive(lambda message: message[0] == "task", timeout=DEADLINE)
        assert down_of(ref) == "normal"
        assert not process.is_alive(owner)
        assert process.is_alive(pid)

    def test_a_linked_task_dies_with_its_owner(self, sup: Pid) -> None:
        me = process.self()

        def owner() -> None:
            process.send(me, TaskSupervisor.async_(sup, answer).pid)
            process.sleep(INFINITY)

        owner_pid = process.spawn(owner)
        pid = process.receive(Pid, timeout=DEADLINE)
        ref = process.monitor(pid)
        process.exit(owner_pid, "shutdown")
        assert down_of(ref) == "shutdown"

    @pytest.mark.row("TK-03")
    def test_context_and_ancestors_are_the_callers(self, sup: Pid) -> None:
        def look() -> tuple[Any, Any]:
            info = process.info(process.self())
            assert info is not None
            return variable.get(), info.ancestors

        token = variable.set("of the caller")
        try:
            assert TaskSupervisor.async_(sup, look).await_() == ("of the caller", (process.self(),))
        finally:
            variable.reset(token)

    def test_the_supervisor_ends_its_tasks_with_itself(self, sup: Pid) -> None:
        task = TaskSupervisor.async_nolink(sup, answer)
        TaskSupervisor.stop(sup)
        assert task.yield_() == ("exit", "shutdown")

    def test_a_full_supervisor_refuses(self, supervise_tasks: Callable[..., Pid]) -> None:
        sup = supervise_tasks(max_children=1)
        TaskSupervisor.start_child(sup, idle)
        with pytest.raises(MaxChildren):
            TaskSupervisor.async_(sup, answer)
        assert_no_mail()

    @pytest.mark.parametrize("start", [TaskSupervisor.async_, TaskSupervisor.async_nolink, TaskSupervisor.start_child])
    @pytest.mark.parametrize("shutdown", [-1, 0.5, "unknown"])
    def test_a_wrong_shutdown_is_refused(self, sup: Pid, start: Callable[..., Any], shutdown: Any) -> None:
        with pytest.raises(BadChildSpec, match="shutdown must be"):
            start(sup, idle, shutdown=shutdown)
        assert TaskSupervisor.children(sup) == []


class TestStartChild:
    @pytest.mark.row("TS-06")
    def test_it_is_linked_to_the_supervisor_alone(self, sup: Pid) -> None:
        pid = TaskSupervisor.start_child(sup, idle)
        assert links_of(pid) == (sup,)

    @pytest.mark.row("TS-06")
    def test_a_permanent_task_is_restarted_with_its_arguments(self, sup: Pid) -> None:
        me = process.self()

        def ready(text: str) -> None:
            process.send(me, (text, process.self()))
            idle()

        pid = TaskSupervisor.start_child(sup, ready, "ready", restart="permanent")
        assert process.receive(timeout=DEADLINE) == ("ready", pid)
        process.exit(pid, "shutdown")
        text, other = process.receive(timeout=DEADLINE)
        assert text == "ready"
        assert other is not pid

    def test_a_temporary_task_is_not_restarted(self, sup: Pid) -> None:
        pid = TaskSupervisor.start_child(sup, idle)
        process.exit(pid, "shutdown")
        assert TaskSupervisor.children(sup) == []


class TestTerminateChild:
    @pytest.mark.row("TS-08")
    def test_it_ends_the_task_once(self, sup: Pid) -> None:
        pid = TaskSupervisor.start_child(sup, idle)
        TaskSupervisor.terminate_child(sup, pid)
        assert TaskSupervisor.children(sup) == []
        assert not process.is_alive(pid)
        with pytest.raises(NotFound):
            TaskSupervisor.terminate_child(sup, pid)

    def test_a_task_that_traps_exits_gets_its_time_and_is_killed(self, sup: Pid) -> None:
        me = process.self()

        def stubborn() -> None:
            process.trap_exit(True)
            process.send(me, "trapping")
            idle()

        task = TaskSupervisor.async_nolink(sup, stubborn, shutdown=1)
        process.receive(timeout=DEADLINE)
        TaskSupervisor.terminate_child(sup, task.pid)
        assert task.yield_() == ("exit", "killed")


class TestAwait:
    @pytest.mark.row("TS-09")
    def test_after_a_timeout_nothing_is_heard_of_the_task(self, sup: Pid) -> None:
        task = TaskSupervisor.async_(sup, answer)
        ref = process.monitor(task.pid)
        with pytest.raises(CallTimeout):
            task.await_(0)
        process.send(task.pid, "stop")
        assert down_of(ref) == "normal"
        assert_no_mail()

    @pytest.mark.parametrize("start", [TaskSupervisor.async_, TaskSupervisor.async_nolink])
    def test_after_a_timeout_it_can_still_be_shut_down(self, sup: Pid, start: Callable[..., Any]) -> None:
        task = start(sup, idle)
        with pytest.raises(CallTimeout):
            task.await_(0)
        assert task.shutdown() is None
        assert not process.is_alive(task.pid)
        assert task.pid not in links_of(process.self())
        assert_no_mail()

    @pytest.mark.row("TS-09")
    def test_an_exception_is_the_cause_and_reported_by_the_supervisor(
        self, sup: Pid, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = RuntimeError("oops")

        def fail() -> None:
            raise error

        with caplog.at_level(logging.ERROR, "supervision"):
            with pytest.raises(TaskExit) as raised:
                TaskSupervisor.async_(sup, fail).await_()
            assert TaskSupervisor.children(sup) == []  # by now the supervisor has seen the end
        assert raised.value.reason is error
        assert raised.value.__cause__ is error
        assert [record.crash.reason for record in caplog.records] == [error]  # type: ignore[attr-defined]
        assert "not restarted" in caplog.text
        assert_no_mail()

    @pytest.mark.row("TS-09")
    def test_an_exit_is_the_reason(self, sup: Pid) -> None:
        with pytest.raises(TaskExit) as raised:
            TaskSupervisor.async_(sup, leave, ("shutdown", "unknown")).await_()
        assert raised.value.reason == ("shutdown", "unknown")
        assert_no_mail()

    def test_a_killed_task_is_an_exit(self, sup: Pid) -> None:
        task = TaskSupervisor.async_nolink(sup, answer)
        assert task.shutdown(BRUTAL_KILL) is None
        assert TaskSupervisor.children(sup) == []


def test_a_task_whose_owner_is_killed_as_it_starts_leaves_no_child_behind(sup: Pid) -> None:
    """However far the start has come: the supervisor hears of the end of whatever there was."""
    for _ in range(200):
        owner, ref = process.spawn_monitor(lambda: TaskSupervisor.async_(sup, answer).await_(INFINITY))
        process.exit(owner, "shutdown")
        assert down_of(ref) == "shutdown"
    until(lambda: TaskSupervisor.count_children(sup).specs == 0)
