"""The handover of a task's outcome: to the wait or to the mailbox, never to both and never to neither."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervision import (
    INFINITY,
    CallTimeout,
    Down,
    Exit,
    ProcessExit,
    ReceiveTimeout,
    Ref,
    Task,
    TaskExit,
    TaskResult,
    process,
    task_outcomes,
)
from supervision.process_table import Process
from supervision.task_monitor import Outcome, TaskMonitor
from supervision.task_process import TaskStart, start_unlinked
from supervision.waits import wait_for
from tests.supervision.tasks import DEADLINE, assert_no_mail, ended, leave, let_finish

# Enough for each way of the handover to be met hundreds of times, within a second or two.
TASKS = 300


def quick(seed: int) -> int:
    """Ends at once or a little later, with a value or without."""
    luck = random.Random(seed)
    if luck.random() < 0.3:
        process.sleep(luck.randrange(3))
    if luck.random() < 0.2:
        raise ProcessExit(("shutdown", seed))
    return seed


def idle() -> str:
    process.receive(lambda message: message == "stop")
    return "value"


def finish_beside(monkeypatch: pytest.MonkeyPatch, step: str, task: Task[Any], *, before: bool) -> None:
    """Let ``task`` end beside one step of its owner: right before it, or right after."""
    original = getattr(TaskMonitor, step)

    def run(monitor: TaskMonitor, *args: Any) -> Any:
        monkeypatch.setattr(TaskMonitor, step, original)
        if before:
            let_finish(task)
            return original(monitor, *args)
        answer = original(monitor, *args)
        let_finish(task)
        return answer

    monkeypatch.setattr(TaskMonitor, step, run)


def messages(timeout: float = 0) -> Iterator[TaskResult | Down]:
    """The outcomes that are in the mailbox."""
    try:
        while True:
            yield process.receive((TaskResult, Down), timeout=timeout)
    except ReceiveTimeout:
        return


def assert_nothing_comes(tasks: list[Task[Any]]) -> None:
    """Once all tasks have ended there is nothing in the mailbox and nothing to be awaited."""
    refs = {process.monitor(task.pid) for task in tasks}
    for _ in tasks:
        refs.remove(process.receive(lambda message: isinstance(message, Down) and message.ref in refs).ref)
    assert list(messages()) == []
    assert {task.yield_(INFINITY) for task in tasks} == {None}


class TestHandover:
    @pytest.mark.parametrize("seed", range(4))
    def test_an_owner_that_waits_and_receives_at_random_hears_each_outcome_once(self, seed: int) -> None:
        luck = random.Random(seed)
        tasks = [Task.async_(quick, number) for number in range(TASKS)]
        heard: dict[Ref, Any] = {}

        def hear(ref: Ref, outcome: Any) -> None:
            assert ref not in heard
            heard[ref] = outcome

        while len(heard) < len(tasks):
            task = luck.choice(tasks)
            if luck.random() < 0.1:
                for message in messages():
                    hear(message.ref, message[-1])
            elif (outcome := task.yield_(luck.randrange(2))) is not None:
                hear(task.ref, outcome[1])
        assert [heard[task.ref] for task in tasks] == [
            number if isinstance(heard[task.ref], int) else ("shutdown", number) for number, task in enumerate(tasks)
        ]
        assert_nothing_comes(tasks)

    @pytest.mark.parametrize("timeout", [0, 1])
    def test_an_await_that_times_out_beside_the_outcome_leaves_nothing(self, timeout: int) -> None:
        tasks = []
        reasons = {}
        for number in range(TASKS):
            tasks.append(Task.async_(quick, number))
            try:
                assert tasks[-1].await_(timeout) == number
            except CallTimeout:
                pass
            except TaskExit as error:
                reasons[number] = error.reason
        assert reasons == {number: ("shutdown", number) for number in reasons}
        assert_nothing_comes(tasks)

    def test_several_waits_that_are_left_early_lose_nothing(self) -> None:
        tasks = [Task.async_(quick, number) for number in range(TASKS)]
        heard: dict[int, Any] = {}
        while len(heard) < TASKS:
            for task, outcome in Task.yield_many(tasks, 1, limit=7):
                if outcome is not None:
                    assert tasks.index(task) not in heard
                    heard[tasks.index(task)] = outcome
        assert heard.keys() == set(range(TASKS))
        assert_nothing_comes(tasks)

    def test_tasks_that_are_given_up_as_they_end_leave_nothing(self) -> None:
        tasks = [Task.async_(quick, number) for number in range(TASKS)]
        for task in tasks:
            task.ignore()
        assert_nothing_comes(tasks)

    def test_tasks_that_are_shut_down_as_they_end_leave_nothing(self) -> None:
        tasks = [Task.async_(quick, number) for number in range(TASKS)]
        for number, task in enumerate(tasks):
            assert task.shutdown() in (None, ("ok", number), ("exit", ("shutdown", number)))
        assert_nothing_comes(tasks)
        with pytest.raises(ReceiveTimeout):
            process.receive(Exit, timeout=0)

    @pytest.mark.parametrize("body", [int, lambda: 1 / 0], ids=["value", "exit"])
    def test_it_is_decided_under_the_lock_of_the_task(
        self, body: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settle, held = TaskMonitor.settle, []

        def look(monitor: TaskMonitor, outcome: Outcome) -> Process | None:
            assert monitor.process is not None
            held.append(monitor.process.lock.locked())
            return settle(monitor, outcome)

        monkeypatch.setattr(TaskMonitor, "settle", look)
        Task.async_(body).yield_()
        assert held == [True]

    @pytest.mark.parametrize("step", ["is_spent", "enlist"])
    def test_an_outcome_that_comes_between_two_steps_of_an_await_is_found(
        self, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = Task.async_(idle)
        finish_beside(monkeypatch, step, task, before=step == "enlist")
        assert task.await_(INFINITY) == "value"
        assert_no_mail()

    def test_an_outcome_that_comes_as_its_task_is_given_up_leaves_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed, task = ended(leave, "shutdown"), Task.async_(idle)
        finish_beside(monkeypatch, "is_spent", task, before=False)
        with pytest.raises(TaskExit):
            Task.await_many([failed, task])
        assert_no_mail()


class TestInterruption:
    """Ctrl-C ends a wait in the main thread."""

    def test_an_outcome_that_had_come_becomes_a_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*args: Any) -> bool:
            process.send(task.pid, "stop")
            assert wait_for(*args)
            raise KeyboardInterrupt

        task = Task.async_(idle)
        monkeypatch.setattr(task_outcomes, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            task.yield_()
        assert process.receive(timeout=0) == TaskResult(task.ref, "value")
        assert_nothing_comes([task])

    def test_an_outcome_that_comes_later_becomes_a_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*args: Any) -> bool:
            raise KeyboardInterrupt

        task = Task.async_(idle)
        monkeypatch.setattr(task_outcomes, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            task.await_()
        process.send(task.pid, "stop")
        assert process.receive(timeout=DEADLINE) == TaskResult(task.ref, "value")

    def test_an_outcome_that_comes_with_the_timeout_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def too_late(*args: Any) -> bool:
            process.send(task.pid, "stop")
            wait_for(*args)
            return False

        task = Task.async_(idle)
        monkeypatch.setattr(task_outcomes, "wait_for", too_late)
        assert task.await_() == "value"
        assert_nothing_comes([task])


class TestDeadOwner:
    def test_the_outcome_of_a_task_whose_owner_died_while_waiting_goes_nowhere(self) -> None:
        me = process.self()

        def owner() -> None:
            task = Task.async_(idle)
            process.unlink(task.pid)
            process.send(me, task.pid)
            task.await_(INFINITY)

        owner_pid = process.spawn(owner)
        task_pid = process.receive(timeout=DEADLINE)
        process.exit(owner_pid, "kill")
        ref = process.monitor(task_pid)
        process.send(task_pid, "stop")
        assert process.receive(timeout=DEADLINE) == Down(ref, task_pid, "normal")

    def test_a_task_whose_owner_dies_before_they_are_linked_ends(self) -> None:
        owner = process.spawn(idle)
        process.exit(owner, "kill")
        order = TaskStart(owner._process, idle, (), TaskMonitor(owner._process, linked=True))
        assert not process.is_alive(start_unlinked(order))
