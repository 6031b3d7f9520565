"""The process of a task: what it is started with, and what it does.

It is a spawned process whose function's value goes to the owner. Its context is a copy of the one of whoever asked for
it, and so are its ancestors, whichever supervisor it runs under: they are what Elixir calls its callers.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

from supervision import signals
from supervision.errors import Killed
from supervision.foreign import this_process
from supervision.process_info import name_of
from supervision.process_table import Pid, Process, ancestry
from supervision.scheduler import notify
from supervision.task_monitor import OutcomeMonitor
from supervision.threads import library_call
from supervision.trampoline import FunctionBody

__all__ = ["TaskStart", "end_task", "start_linked_to", "start_supervised", "start_unlinked"]


class TaskBody(FunctionBody):
    """The body of a task: a function, and who is told of its value."""

    __slots__ = ("monitor",)

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], monitor: OutcomeMonitor | None) -> None:
        super().__init__(function, args, {})
        self.monitor = monitor

    def returned(self, process: Process, value: Any) -> None:
        """Let the owner have the value."""
        if self.monitor is not None:
            self.monitor.returned(process, value)


class TaskStart:
    """What a task is started with; again, if a supervisor restarts it.

    ``monitor`` is the owner's, if the task has one; it makes the link to the owner too.
    """

    __slots__ = ("ancestors", "args", "context", "function", "monitor")

    def __init__(
        self,
        creator: Process | None,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        monitor: OutcomeMonitor | None = None,
    ) -> None:
        self.ancestors = ancestry(creator)
        self.function = function
        self.args = args
        self.context = contextvars.copy_context()
        self.monitor = monitor

    def make(self) -> Process:
        """Make the process, monitored by its owner."""
        process = Process("task", TaskBody(self.function, self.args, self.monitor), self.context.copy())
        process.ancestors = self.ancestors
        process.initial_call = name_of(self.function)
        if self.monitor is not None:
            self.monitor.attach(process)
        return process

    def launch(self, process: Process) -> None:
        """Link the process to its owner, if that is wanted, and let it run."""
        monitor = self.monitor
        if monitor is not None and monitor.linked:
            process.parent = process.parent or monitor.watcher.pid
            if not signals.link(process, monitor.watcher):
                signals.end(process, "shutdown")  # the owner has just been killed, and nobody else wants the value
        process.publish()  # not before it is linked: from here on it runs if somebody finds it and sends to it
        notify(process)


def start_unlinked(order: TaskStart) -> Pid:
    """Start a task that is linked to its owner at most."""
    process = order.make()
    order.launch(process)
    return process.pid


def start_linked_to(parent: Process, order: TaskStart) -> Pid:
    """Start a task linked to ``parent``, which the calling thread runs.

    Raises:
        Killed: the parent is dead, and the task too.
    """
    process = order.make()
    process.parent = parent.pid
    signals.link(parent, process)  # first, so that a supervisor hears of the end also if there is no owner any more
    if parent.dead:  # perhaps before there was a link that would end the task
        signals.end(process, "shutdown")
        raise Killed
    order.launch(process)
    return process.pid


@library_call
def start_supervised(order: TaskStart) -> Pid:
    """Start a task as a child of the supervisor that calls this: the ``start`` of its child spec."""
    return start_linked_to(this_process(), order)


def end_task(owner: Process, monitor: OutcomeMonitor) -> None:
    """End the task that ``monitor`` is on, at once: a task that traps exits and so survives the request is killed.

    It is asked first, because a request to shut down is no crash that a supervisor would report.
    """
    process = monitor.process
    if process is None:
        return
    if monitor.linked:
        signals.unlink(owner, process)
    signals.exit_signal(owner.pid, process, "shutdown")
    signals.exit_signal(owner.pid, process, "kill")
