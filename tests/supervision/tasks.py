"""What tests of tasks share: bodies of tasks, and how their ends are waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supervision import Down, Pid, ProcessExit, ReceiveTimeout, Ref, Task, process

DEADLINE = 5_000


def idle() -> None:
    process.receive(lambda message: message == "stop")


def crash(reason: BaseException) -> None:
    raise reason


def leave(reason: Any) -> None:
    raise ProcessExit(reason)


def trap(owner: Pid) -> None:
    process.trap_exit(True)
    process.send(owner, "trapping")
    idle()


def down_of(ref: Ref) -> Any:
    return process.receive(lambda message: isinstance(message, Down) and message.ref is ref, timeout=DEADLINE).reason


def started(task: Task[Any]) -> Pid:
    assert task.pid is not None
    return task.pid


def wait_for_end(task: Task[Any]) -> None:
    """Wait until a task that has given its value has ended too."""
    down_of(process.monitor(started(task)))


def let_finish(task: Task[Any]) -> Any:
    """Let a task that is idle go on, and wait until it has ended; returns its exit reason."""
    ref = process.monitor(started(task))
    process.send(started(task), "stop")
    return down_of(ref)


def ended(fn: Callable[..., Any], *args: Any) -> Task[Any]:
    """A task that ran ``fn`` and has ended; what became of it is in the caller's mailbox."""

    def body() -> Any:
        idle()
        return fn(*args)

    task = Task.async_(body)
    let_finish(task)  # its monitor is younger than that of the task, and so fires later
    return task


def links_of(pid: Pid) -> tuple[Pid, ...]:
    info = process.info(pid)
    assert info is not None
    return info.links


def assert_no_mail() -> None:
    with pytest.raises(ReceiveTimeout):
        process.receive(timeout=0)


def outcome_of(body: Callable[[], Any]) -> Any:
    """What ``body`` returns in a process that does not trap exits; its exit reason if it dies."""
    me = process.self()
    _, ref = process.spawn_monitor(lambda: process.send(me, ("returned", body())))
    message = process.receive(
        lambda message: message[0] == "returned" or (isinstance(message, Down) and message.ref is ref),
        timeout=DEADLINE,
    )
    if isinstance(message, Down):
        return message.reason
    down_of(ref)
    return message[1]
