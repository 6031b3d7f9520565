"""Waiting for outcomes: of one task for a time, or of several."""

from __future__ import annotations

import time
from typing import Any

import pytest

from supervision import (
    INFINITY,
    BadArgument,
    BadType,
    CallTimeout,
    Task,
    TaskExit,
    TaskResult,
    process,
)
from supervision.task_monitor import TaskWait
from supervision.threads import current
from tests.supervision.tasks import (
    DEADLINE,
    assert_no_mail,
    ended,
    idle,
    leave,
    let_finish,
    started,
)


class TestAwaitMany:
    @pytest.mark.row("TK-14")
    def test_values_come_in_the_order_of_the_tasks(self) -> None:
        waiting = Task.async_(idle)
        done = [Task.async_(int, "1"), ended(int, "2")]
        process.send(started(waiting), "stop")
        assert Task.await_many([waiting, *done]) == [None, 1, 2]
        assert_no_mail()

    @pytest.mark.row("TK-14")
    def test_no_tasks_have_no_values(self) -> None:
        assert Task.await_many([], 0) == []

    def test_what_is_no_task_is_refused(self) -> None:
        task = Task.completed(1)
        with pytest.raises(BadType, match="expected a Task"):
            Task.await_many([task, "task"])  # type: ignore[list-item]
        assert task.await_() == 1

    def test_a_task_that_is_there_twice_gives_its_value_twice(self) -> None:
        task = Task.async_(int)
        assert Task.await_many([task, task]) == [0, 0]

    @pytest.mark.row("TK-16")
    def test_a_timeout_gives_all_of_them_up(self) -> None:
        tasks = [Task.async_(idle), Task.async_(idle)]
        with pytest.raises(CallTimeout, match="not all of 2"):
            Task.await_many(tasks, 0)
        for task in tasks:
            let_finish(task)
        assert_no_mail()

    @pytest.mark.row("TK-16")
    @pytest.mark.parametrize("reason", ["normal", "boom"])
    def test_the_first_exit_ends_the_wait_and_the_others_are_not_heard_of(self, reason: str) -> None:
        waiting = Task.async_(idle)
        with pytest.raises(TaskExit) as raised:
            Task.await_many([waiting, Task.async_(leave, reason)], INFINITY)
        assert raised.value.reason == reason
        let_finish(waiting)
        assert_no_mail()

    @pytest.mark.row("TK-16")
    def test_an_exit_that_was_a_message_ends_the_wait_at_once(self) -> None:
        failed, waiting = ended(leave, "boom"), Task.async_(idle)
        with pytest.raises(TaskExit):
            Task.await_many([waiting, failed], INFINITY)
        let_finish(waiting)
        assert_no_mail()


class TestYield:
    @pytest.mark.row("TK-17")
    def test_a_value_is_ok(self) -> None:
        assert Task.async_(int).yield_() == ("ok", 0)
        assert_no_mail()

    @pytest.mark.row("TK-17")
    def test_an_exit_is_its_reason(self) -> None:
        assert Task.async_(leave, "normal").yield_() == ("exit", "normal")
        assert_no_mail()

    @pytest.mark.row("TK-17")
    def test_nothing_yet_is_none_and_the_task_can_be_asked_again(self) -> None:
        task = Task.async_(idle)
        assert task.yield_(0) is None
        assert task.yield_(10) is None
        process.send(started(task), "stop")
        assert task.yield_() == ("ok", None)
        assert task.yield_(INFINITY) is None

    def test_a_task_that_was_yielded_in_vain_still_sends_its_value(self) -> None:
        task = Task.async_(idle)
        assert task.yield_(1) is None
        process.send(started(task), "stop")
        assert process.receive(timeout=DEADLINE) == TaskResult(task.ref, None)

    def test_a_completed_task_is_asked_once(self) -> None:
        task = Task.completed(1)
        assert task.yield_(0) == ("ok", 1)
        assert task.yield_(0) is None
        assert task.yield_(1) is None

    def test_there_is_nothing_to_wait_for_in_a_completed_task(self) -> None:
        monitor = Task.completed(1)._monitor
        assert not monitor.enlist(TaskWait(current.record, 1, impatient=False))
        assert monitor.withdraw(for_good=True) is None


class TestYieldMany:
    @pytest.mark.row("TK-18")
    def test_outcomes_come_in_the_order_of_the_tasks(self) -> None:
        slow, quick, failed = Task.async_(idle), ended(int), ended(leave, "normal")
        outcomes = Task.yield_many([slow, quick, failed], 0)
        assert outcomes == [(slow, None), (quick, ("ok", 0)), (failed, ("exit", "normal"))]
        process.send(started(slow), "stop")
        assert Task.yield_many([failed, slow]) == [(failed, None), (slow, ("ok", None))]
        assert_no_mail()

    @pytest.mark.row("TK-19")
    def test_tasks_that_take_too_long_are_killed_if_asked(self) -> None:
        slow, quick = Task.async_(idle), Task.completed(1)
        assert Task.yield_many([slow, quick], 0, on_timeout="kill_task") == [(slow, None), (quick, ("ok", 1))]
        assert not process.is_alive(started(slow))
        assert_no_mail()

    @pytest.mark.row("TK-19")
    def test_tasks_that_take_too_long_are_ignored_if_asked(self) -> None:
        slow = Task.async_(idle)
        assert Task.yield_many([slow], 0, on_timeout="ignore") == [(slow, None)]
        assert let_finish(slow) == "normal"
        assert slow.yield_(INFINITY) is None
        assert_no_mail()

    @pytest.mark.row("TK-20")
    def test_it_returns_as_soon_as_the_limit_is_reached(self) -> None:
        slow, quick = Task.async_(idle), Task.async_(int)
        assert Task.yield_many([slow, quick], INFINITY, limit=1, on_timeout="kill_task") == [
            (slow, None),
            (quick, ("ok", 0)),
        ]
        assert process.is_alive(started(slow))
        process.send(started(slow), "stop")
        assert slow.await_() is None

    def test_what_came_before_counts_for_the_limit(self) -> None:
        slow, quick = Task.async_(idle), Task.async_(idle)
        tasks = [Task.completed(1), quick, slow]
        process.send(started(quick), "stop")
        began = time.monotonic()
        outcomes = [outcome for _, outcome in Task.yield_many(tasks, DEADLINE, limit=2, on_timeout="ignore")]
        assert time.monotonic() - began < DEADLINE / 1000
        assert outcomes == [("ok", 1), ("ok", None), None]
        process.send(started(slow), "stop")
        assert slow.await_() is None

    @pytest.mark.row("TK-20")
    def test_below_the_limit_it_returns_once_all_are_done(self) -> None:
        tasks = [Task.async_(int), Task.completed(1)]
        assert [outcome for _, outcome in Task.yield_many(tasks, INFINITY, limit=5)] == [("ok", 0), ("ok", 1)]

    @pytest.mark.row("TK-20")
    def test_below_the_limit_the_others_are_killed_at_the_timeout(self) -> None:
        slow, quick = Task.async_(idle), Task.completed(1)
        Task.yield_many([slow, quick], 0, limit=2, on_timeout="kill_task")
        assert not process.is_alive(started(slow))

    @pytest.mark.parametrize(("option", "value"), [("limit", 0), ("on_timeout", "exit"), ("timeout", 0.5)])
    def test_wrong_options_are_refused(self, option: str, value: Any) -> None:
        with pytest.raises((BadType, BadArgument), match=option):
            Task.yield_many([], **{option: value})
