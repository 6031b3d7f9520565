"""Tasks: how they start, who may await them, and that each outcome is told once."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    BRUTAL_KILL,
    INFINITY,
    Actor,
    BadArgument,
    BadChildSpec,
    BadType,
    CallError,
    CallTimeout,
    Down,
    Exit,
    NoReply,
    Ok,
    Pid,
    ProcessExit,
    Supervisor,
    Task,
    TaskExit,
    TaskResult,
    child_spec,
    process,
    send,
)
from tests.supervision.tasks import (
    DEADLINE,
    assert_no_mail,
    crash,
    down_of,
    ended,
    idle,
    leave,
    let_finish,
    links_of,
    outcome_of,
    started,
    trap,
    wait_for_end,
)

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def run_out_of_time(wait: Callable[[], object]) -> None:
    with pytest.raises(CallTimeout):
        wait()


GIVING_UP: list[Callable[[Task[Any]], object]] = [
    lambda task: run_out_of_time(lambda: task.await_(0)),
    lambda task: run_out_of_time(lambda: Task.await_many([task], 0)),
    lambda task: task.ignore(),
    lambda task: process.demonitor(task.ref),
]


class TestChildSpec:
    @pytest.mark.row("TK-01")
    def test_a_task_is_a_temporary_child_by_default(self) -> None:
        spec = child_spec((Task, idle))
        assert (spec.id, spec.start, spec.args, spec.restart, spec.type) == (
            Task,
            Task.start_link,
            (idle,),
            "temporary",
            "worker",
        )

    @pytest.mark.row("TK-01")
    def test_a_subclass_says_how_it_is_restarted(self) -> None:
        class Job(Task[None]):
            restart = "transient"

            @staticmethod
            def start_link(arg: Any, /, *args: Any) -> Pid:
                return Task.start_link(idle)

        spec = child_spec((Job, "argument"), id="job")
        assert (spec.id, spec.start, spec.args, spec.restart) == ("job", Job.start_link, ("argument",), "transient")

    @pytest.mark.row("TK-01")
    def test_a_function_with_its_arguments_runs_under_a_supervisor(self) -> None:
        me = process.self()
        sup = Supervisor.start_link([(Task, (process.send, me, "ran"))], strategy="one_for_one")
        assert process.receive(timeout=DEADLINE) == "ran"
        Supervisor.stop(sup)
        process.receive(Exit, timeout=DEADLINE)

    @pytest.mark.parametrize("arg", [None, (), (1, 2), "text"])
    def test_what_is_no_function_is_no_child(self, arg: Any) -> None:
        with pytest.raises(BadChildSpec, match="takes a function"):
            child_spec((Task, arg))


class TestStart:
    @pytest.mark.row("TK-04")
    def test_start_links_nobody_and_sends_nothing(self) -> None:
        me = process.self()
        pid = Task.start(lambda text: (process.send(me, text), idle()), "ran")
        assert process.receive(timeout=DEADLINE) == "ran"
        info = process.info(pid)
        assert info is not None
        assert info.links == ()
        assert info.monitored_by == ()
        ref = process.monitor(pid)
        process.send(pid, "stop")
        assert down_of(ref) == "normal"
        assert_no_mail()

    @pytest.mark.row("TK-04")
    def test_start_link_links_the_caller(self) -> None:
        pid = Task.start_link(leave, "why")
        assert process.receive(timeout=DEADLINE) == Exit(pid, "why")

    @pytest.mark.row("TK-03")
    @pytest.mark.parametrize("start", [Task.start, Task.start_link, Task.async_])
    def test_a_task_begins_with_a_copy_of_its_callers_context(self, start: Callable[..., Any]) -> None:
        me = process.self()

        def look() -> None:
            seen = variable.get()
            variable.set("changed")
            process.send(me, ("saw", seen))

        token = variable.set("of the caller")
        try:
            start(look)
            found = process.receive(lambda message: message[0] == "saw", timeout=DEADLINE)
        finally:
            variable.reset(token)
        assert found == ("saw", "of the caller")
        assert variable.get() == "unset"

    @pytest.mark.row("TK-03")
    def test_a_nested_task_has_its_callers_as_ancestors(self) -> None:
        me = process.self()

        def inner() -> tuple[Pid, ...]:
            info = process.info(process.self())
            assert info is not None
            return info.ancestors

        def outer() -> tuple[Pid, tuple[Pid, ...]]:
            return process.self(), Task.async_(inner).await_()

        outer_pid, ancestors = Task.async_(outer).await_()
        assert ancestors == (outer_pid, me)

    @pytest.mark.parametrize("start", [Task.start, Task.start_link, Task.async_])
    def test_what_cannot_be_called_is_refused(self, start: Callable[..., Any]) -> None:
        before = process.pids()
        with pytest.raises(BadType, match="callable"):
            start("a string")
        assert process.pids() == before


class TestAwait:
    @pytest.mark.row("TK-05")
    def test_a_completed_task_has_a_value_and_no_process(self) -> None:
        task = Task.completed("done")
        assert task.pid is None
        assert task.await_(0) == "done"
        assert_no_mail()

    @pytest.mark.row("TK-06")
    @pytest.mark.parametrize("timeout", [DEADLINE, INFINITY])
    def test_the_value_is_returned_and_nothing_is_left(self, timeout: float) -> None:
        task = Task.async_(pow, 2, 10)
        assert task.owner is process.self()
        assert task.await_(timeout) == 1024
        info = process.info(process.self())
        assert info is not None
        assert started(task) not in info.links
        assert started(task) not in info.monitors
        wait_for_end(task)
        assert_no_mail()

    @pytest.mark.row("TK-06")
    def test_a_value_that_has_become_a_message_is_found(self) -> None:
        task = ended(int)
        process.send(process.self(), "another")
        assert task.await_(0) == 0
        assert process.receive(timeout=0) == "another"
        assert_no_mail()

    @pytest.mark.row("TK-07")
    def test_after_a_timeout_nothing_is_heard_of_the_task(self) -> None:
        task = Task.async_(idle)
        with pytest.raises(CallTimeout, match="0 milliseconds"):
            task.await_(0)
        assert let_finish(task) == "normal"
        assert_no_mail()

    @pytest.mark.row("TK-07")
    def test_a_wait_that_times_out_lasts_as_long_as_asked(self) -> None:
        task = Task.async_(idle)
        with pytest.raises(CallTimeout):
            task.await_(20)
        assert process.is_alive(started(task))
        let_finish(task)

    @pytest.mark.row("TK-08")
    def test_a_task_whose_outcome_was_taken_times_out_at_once(self) -> None:
        task = Task.completed(1)
        assert task.await_() == 1
        with pytest.raises(CallTimeout):
            task.await_(INFINITY)

    @pytest.mark.row("TK-09")
    def test_a_normal_exit_without_a_value_raises_and_does_not_end_the_owner(self) -> None:
        def owner() -> str:
            with pytest.raises(TaskExit) as raised:
                Task.async_(leave, "normal").await_()
            return str(raised.value.reason)

        assert outcome_of(owner) == "normal"

    @pytest.mark.row("TK-10")
    @pytest.mark.parametrize("error", [RuntimeError("oops"), SystemExit(3)])
    def test_an_exception_of_the_task_is_the_cause(self, error: BaseException) -> None:
        with pytest.raises(TaskExit) as raised:
            Task.async_(crash, error).await_()
        assert raised.value.reason is error
        assert raised.value.__cause__ is error
        assert_no_mail()

    @pytest.mark.row("TK-10")
    def test_an_exit_of_the_task_is_the_reason(self) -> None:
        with pytest.raises(TaskExit) as raised:
            Task.async_(leave, "unknown").await_()
        assert raised.value.reason == "unknown"
        assert raised.value.__cause__ is None
        assert_no_mail()

    @pytest.mark.row("TK-11")
    def test_an_owner_that_does_not_trap_exits_dies_with_the_task(self) -> None:
        error = RuntimeError("oops")

        def owner() -> None:
            try:
                Task.async_(crash, error).await_()
            except Exception:  # noqa: BLE001  the test is that nothing can be caught
                process.sleep(INFINITY)

        assert outcome_of(owner) is error

    def test_a_task_dies_with_its_owner(self) -> None:
        me = process.self()

        def owner() -> None:
            task = Task.async_(idle)
            process.send(me, started(task))
            task.await_(INFINITY)

        pid = process.spawn(owner)
        task_pid = process.receive(Pid, timeout=DEADLINE)
        ref = process.monitor(task_pid)
        process.exit(pid, "kill")
        assert process.receive(timeout=DEADLINE) == Down(ref, task_pid, "killed")

    @pytest.mark.row("TK-12")
    @pytest.mark.parametrize(
        "ask",
        [
            Task.await_,
            Task.yield_,
            Task.shutdown,
            Task.ignore,
            lambda task: Task.await_many([task]),
            lambda task: Task.yield_many([task]),
        ],
    )
    def test_only_the_owner_may_ask(self, ask: Callable[[Task[Any]], Any]) -> None:
        task = Task.completed(1)

        def stranger() -> str:
            with pytest.raises(CallError, match="by its owner") as raised:
                ask(task)
            return str(raised.value)

        assert repr(process.self()) in outcome_of(stranger)
        assert task.await_() == 1

    @pytest.mark.parametrize("timeout", [-1, 0.5, True, None])
    def test_a_wrong_timeout_is_refused_and_the_value_kept(self, timeout: Any) -> None:
        task = Task.completed(1)
        with pytest.raises((BadType, BadArgument), match="milliseconds"):
            task.await_(timeout)
        assert task.await_() == 1

    @pytest.mark.parametrize("ask", [Task.await_many, Task.yield_many])
    @pytest.mark.parametrize("wrong", [5, None, Task.completed])
    def test_what_is_no_list_of_tasks_is_refused(self, ask: Any, wrong: Any) -> None:
        with pytest.raises(BadType, match="tasks must be a list of tasks"):
            ask(wrong(1) if callable(wrong) else wrong)

    def test_an_exception_that_is_returned_is_a_value(self) -> None:
        error = ValueError("no failure")
        assert Task.async_(lambda: error).await_(DEADLINE) is error

    def test_a_task_may_await_tasks_of_its_own(self) -> None:
        assert Task.async_(lambda: Task.async_(lambda: 1).await_(DEADLINE) + 1).await_(DEADLINE) == 2


class TestMessages:
    def test_a_value_that_nobody_awaits_is_the_only_message(self) -> None:
        task = Task.async_(pow, 2, 2)
        assert process.receive(timeout=DEADLINE) == TaskResult(task.ref, 4)
        wait_for_end(task)
        assert_no_mail()

    def test_an_exit_that_nobody_awaits_is_a_down_beside_the_exit_of_the_link(self) -> None:
        task = Task.async_(leave, "why")
        assert process.receive(Down, timeout=DEADLINE) == Down(task.ref, task.pid, "why")
        assert process.receive(timeout=0) == Exit(task.pid, "why")
        assert_no_mail()

    def test_a_completed_task_that_nobody_awaits_is_a_message(self) -> None:
        task = Task.completed("value")
        assert process.receive(timeout=0) == TaskResult(task.ref, "value")

    def test_a_message_that_has_been_received_is_not_awaited_for_ever(self) -> None:
        task = Task.async_(int)
        process.receive(TaskResult, timeout=DEADLINE)
        with pytest.raises(CallTimeout):
            task.await_(INFINITY)

    def test_an_actor_gets_them_by_handle_info(self) -> None:
        class Owner(Actor):
            def init(self, listener: Pid) -> Ok:
                task = Task.async_(str, "value")
                return Ok((listener, task.ref))

            def handle_info(self, message: Any, state: Any) -> NoReply:
                listener, ref = state
                process.send(listener, (message.ref is ref, message.value))
                return NoReply(state)

        pid = Owner.start_link(process.self())
        assert process.receive(timeout=DEADLINE) == (True, "value")
        process.exit(pid, "kill")
        process.receive(Exit, timeout=DEADLINE)

    def test_a_message_whose_class_has_no_hash_does_not_hide_them(self) -> None:
        class Unhashable(type):
            __hash__ = None  # type: ignore[assignment]

        class Message(metaclass=Unhashable):
            pass

        message, task = Message(), Task.completed(1)
        send(process.self(), message)
        assert task.await_(0) == 1
        assert process.receive(timeout=0) is message

    def test_a_demonitored_task_sends_nothing(self) -> None:
        task = Task.async_(idle)
        assert process.demonitor(task.ref, flush=True)
        let_finish(task)
        assert_no_mail()
        with pytest.raises(CallTimeout):
            task.await_(INFINITY)

    def test_demonitor_after_the_result_changes_nothing(self) -> None:
        task = Task.async_(int)
        process.receive(TaskResult, timeout=DEADLINE)
        assert not process.demonitor(task.ref, flush=True)


class TestShutdown:
    @pytest.mark.row("TK-21")
    @pytest.mark.parametrize("timeout", [0, DEADLINE, BRUTAL_KILL])
    def test_a_value_that_came_before_is_returned(self, timeout: Any) -> None:
        task = ended(int)
        assert task.shutdown(timeout) == ("ok", 0)
        assert_no_mail()

    @pytest.mark.row("TK-22")
    @pytest.mark.parametrize("timeout", [0, DEADLINE, INFINITY, BRUTAL_KILL])
    def test_a_running_task_ends_as_asked(self, timeout: Any) -> None:
        task = Task.async_(idle)
        assert task.shutdown(timeout) is None
        assert not process.is_alive(started(task))
        assert_no_mail()

    @pytest.mark.row("TK-22")
    def test_it_does_not_end_an_owner_that_does_not_trap_exits(self) -> None:
        assert outcome_of(lambda: Task.async_(idle).shutdown() or "alive") == "alive"

    @pytest.mark.row("TK-22")
    @pytest.mark.parametrize("reason", ["abnormal", "normal", "killed"])
    def test_a_task_that_had_ended_without_a_value_is_an_exit(self, reason: str) -> None:
        task = ended(leave, reason)
        assert task.shutdown() == ("exit", reason)
        assert_no_mail()

    @pytest.mark.row("TK-22")
    @pytest.mark.parametrize(("reason", "timeout"), [("shutdown", DEADLINE), ("killed", BRUTAL_KILL)])
    def test_a_task_that_had_ended_as_it_would_be_asked_to_is_none(self, reason: str, timeout: Any) -> None:
        assert ended(leave, reason).shutdown(timeout) is None
        assert_no_mail()

    @pytest.mark.row("TK-22")
    def test_a_task_whose_outcome_was_taken_is_noproc(self) -> None:
        task = Task.async_(int)
        task.await_()
        assert task.shutdown() == ("exit", "noproc")

    @pytest.mark.parametrize("timeout", [DEADLINE, BRUTAL_KILL])
    @pytest.mark.parametrize("give_up", GIVING_UP)
    def test_a_task_that_was_given_up_ends_too(self, give_up: Callable[[Task[Any]], object], timeout: Any) -> None:
        def body() -> None:
            task = Task.async_(idle)
            give_up(task)
            assert task.shutdown(timeout) is None
            assert not process.is_alive(started(task))
            assert started(task) not in links_of(process.self())
            assert task.shutdown(timeout) == ("exit", "noproc")
            assert_no_mail()

        assert outcome_of(body) is None

    @pytest.mark.parametrize("give_up", GIVING_UP)
    def test_a_task_that_was_given_up_and_has_ended_is_noproc(self, give_up: Callable[[Task[Any]], object]) -> None:
        task = Task.async_(idle)
        give_up(task)
        let_finish(task)
        assert task.shutdown() == ("exit", "noproc")
        assert_no_mail()

    def test_a_trapping_task_that_was_given_up_is_killed_when_its_time_runs_out(self) -> None:
        task = Task.async_(trap, process.self())
        process.receive(timeout=DEADLINE)
        task.ignore()
        assert task.shutdown(1) == ("exit", "killed")
        assert_no_mail()

    @pytest.mark.row("TK-22")
    def test_a_trapping_task_may_end_for_a_reason_of_its_own(self) -> None:
        me = process.self()

        def stubborn() -> None:
            process.trap_exit(True)
            process.send(me, "trapping")
            process.receive(Exit)
            raise ProcessExit("mine")

        task = Task.async_(stubborn)
        process.receive(timeout=DEADLINE)
        assert task.shutdown() == ("exit", "mine")
        assert_no_mail()

    @pytest.mark.row("TK-24")
    def test_a_trapping_task_is_killed_when_its_time_runs_out(self) -> None:
        task = Task.async_(trap, process.self())
        process.receive(timeout=DEADLINE)
        assert task.shutdown(1) == ("exit", "killed")
        assert_no_mail()

    @pytest.mark.row("TK-24")
    def test_a_trapping_task_is_killed_at_once_if_asked(self) -> None:
        task = Task.async_(trap, process.self())
        process.receive(timeout=DEADLINE)
        assert task.shutdown(BRUTAL_KILL) is None

    @pytest.mark.row("TK-25")
    def test_a_completed_task_gives_its_value(self) -> None:
        assert Task.completed("done").shutdown() == ("ok", "done")
        assert_no_mail()


class TestIgnore:
    @pytest.mark.row("TK-26")
    @pytest.mark.parametrize(
        ("body", "expected"), [(int, ("ok", 0)), (lambda: leave("oops"), ("exit", "oops"))], ids=["done", "failed"]
    )
    def test_an_outcome_that_has_come_is_returned(self, body: Callable[[], Any], expected: Any) -> None:
        task = ended(body)
        assert task.ignore() == expected
        with pytest.raises(CallTimeout):
            task.await_(0)
        assert_no_mail()

    @pytest.mark.row("TK-26")
    def test_a_running_task_goes_on_unheard(self) -> None:
        task = Task.async_(idle)
        assert task.ignore() is None
        assert let_finish(task) == "normal"
        with pytest.raises(CallTimeout):
            task.await_(0)
        assert_no_mail()

    @pytest.mark.row("TK-26")
    def test_a_failure_that_comes_later_does_not_harm_the_owner(self) -> None:
        def owner() -> tuple[str, Any]:
            task = Task.async_(lambda: (idle(), leave("oops")))
            task.ignore()
            return "alive", let_finish(task)

        assert outcome_of(owner) == ("alive", "oops")

    @pytest.mark.row("TK-26")
    def test_a_completed_task_gives_its_value(self) -> None:
        task = Task.completed(1)
        assert task.ignore() == ("ok", 1)
        assert_no_mail()


class TestReports:
    @pytest.mark.row("TK-39")
    @pytest.mark.parametrize("label", [None, "the label"])
    def test_a_crash_is_reported_once_with_function_starter_and_label(
        self, label: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> None:
            if label:
                process.set_label(label)
            raise RuntimeError("oops")

        with caplog.at_level(logging.ERROR, "supervision"):
            Task.async_(fail).yield_()
        [record] = caplog.records
        assert record.crash.label == label  # type: ignore[attr-defined]
        text = caplog.text
        assert "RuntimeError: oops" in text
        assert "test_a_crash_is_reported_once_with_function_starter_and_label.<locals>.fail" in text
        assert f"ancestors: [{process.self()!r}]" in text
        assert ("label: 'the label'" in text) is bool(label)
