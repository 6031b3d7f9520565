"""Supervisors of tasks: tasks that belong to a supervision tree, and perhaps to an owner who awaits them.

Counterpart: ``Task.Supervisor``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from supervision import task_stream
from supervision.arguments import a_callable, options_by_name, unknown_options
from supervision.child_spec import ChildSpec, Shutdown
from supervision.dynamic_supervisor import DynamicSupervisor
from supervision.foreign import this_process
from supervision.process_table import Pid
from supervision.restart import Restart
from supervision.supervisor_base import ask
from supervision.task import Task, make_task
from supervision.task_process import TaskStart, start_supervised
from supervision.task_stream import StreamOptions, TaskStream
from supervision.threads import current, library_call

__all__ = ["TaskSupervisor"]

T = TypeVar("T")

# Milliseconds that a task gets to end when its supervisor shuts down: Elixir's default.
DEFAULT_SHUTDOWN = 5_000

# Those of a DynamicSupervisor but for ``extra_arguments``, which a task could not be started with.
_FLAGS = ("strategy", "max_children", "max_restarts", "max_seconds")


class TaskSupervisor(DynamicSupervisor):
    """A DynamicSupervisor whose children are tasks.

    ``TaskSupervisor.start_link(name="tasks")``; as a child ``(TaskSupervisor, {"name": "tasks"})``. Its flags are
    ``max_children``, ``max_restarts`` and ``max_seconds``, and ``strategy`` as of a DynamicSupervisor.

    Counterpart: ``Task.Supervisor``.
    """

    @classmethod
    def _begin(cls, arg: Any, name: Any, flags: dict[str, Any], *, linked: bool) -> Pid:
        if cls.init is DynamicSupervisor.init:
            unknown_options(f"{cls.__name__}.start_link", flags, ("name", *_FLAGS))
        return super()._begin(arg, name, flags, linked=linked)

    @staticmethod
    @options_by_name
    @library_call
    def async_(sup: Any, fn: Callable[..., T], /, *args: Any, shutdown: Shutdown = DEFAULT_SHUTDOWN) -> Task[T]:
        """Starts a task under a supervisor that the caller awaits, linked to the caller as well.

        Args:
            sup: the supervisor: its pid, name or via.
            fn: the function.
            *args: its arguments.
            shutdown: milliseconds that it gets to end when the supervisor shuts down, INFINITY, or BRUTAL_KILL.

        Raises:
            NoProcess: there is no such supervisor.
            MaxChildren: it has as many tasks as ``max_children`` allows.

        Counterpart: ``Task.Supervisor.async/3``.
        """
        return make_task(this_process(), a_callable("fn", fn), args, _starter(sup, "temporary", shutdown), linked=True)

    @staticmethod
    @options_by_name
    @library_call
    def async_nolink(sup: Any, fn: Callable[..., T], /, *args: Any, shutdown: Shutdown = DEFAULT_SHUTDOWN) -> Task[T]:
        """Starts a task like ``async_`` that is not linked to the caller: if it fails, the caller only hears of it.

        Counterpart: ``Task.Supervisor.async_nolink/3``.
        """
        return make_task(this_process(), a_callable("fn", fn), args, _starter(sup, "temporary", shutdown), linked=False)

    @staticmethod
    @options_by_name
    @library_call
    def start_child(
        sup: Any,
        fn: Callable[..., Any],
        /,
        *args: Any,
        restart: Restart = "temporary",
        shutdown: Shutdown = DEFAULT_SHUTDOWN,
    ) -> Pid:
        """Starts a task under a supervisor that nobody awaits; it is not linked to the caller.

        Args:
            sup: the supervisor: its pid, name or via.
            fn: the function.
            *args: its arguments.
            restart: ``"temporary"``, ``"transient"`` or ``"permanent"``; a restarted task runs the same function again.
            shutdown: milliseconds that it gets to end when the supervisor shuts down, INFINITY, or BRUTAL_KILL.

        Raises:
            NoProcess: there is no such supervisor.
            MaxChildren: it has as many tasks as ``max_children`` allows.

        Counterpart: ``Task.Supervisor.start_child/3``.
        """
        order = TaskStart(current.record.process, a_callable("fn", fn), args)
        return _starter(sup, restart, shutdown)(order)

    @staticmethod
    def children(sup: Any) -> list[Pid]:
        """Returns the pids of all tasks that run.

        Counterpart: ``Task.Supervisor.children/1``.
        """
        return [child.pid for child in DynamicSupervisor.which_children(sup) if isinstance(child.pid, Pid)]

    @staticmethod
    def async_stream(
        sup: Any,
        iterable: Iterable[Any],
        fn: Callable[..., Any],
        /,
        *args: Any,
        shutdown: Shutdown = DEFAULT_SHUTDOWN,
        **options: Any,
    ) -> TaskStream:
        """Runs ``fn(item, *args)`` in a task under a supervisor for each item; otherwise like ``Task.async_stream``.

        Raises:
            MaxChildren: from the stream, when the supervisor takes no more tasks; those that run are ended.

        Counterpart: ``Task.Supervisor.async_stream/4`` and ``/6``.
        """
        name = "TaskSupervisor.async_stream"
        start = _starter_of_stream(name, sup, shutdown, options)
        return task_stream.stream(name, (iterable, fn, args), options, start, linked=True)

    @staticmethod
    def async_stream_nolink(
        sup: Any,
        iterable: Iterable[Any],
        fn: Callable[..., Any],
        /,
        *args: Any,
        shutdown: Shutdown = DEFAULT_SHUTDOWN,
        **options: Any,
    ) -> TaskStream:
        """Like ``async_stream``, with tasks that are not linked to the consumer: if one fails, the stream says so.

        Counterpart: ``Task.Supervisor.async_stream_nolink/4`` and ``/6``.
        """
        name = "TaskSupervisor.async_stream_nolink"
        start = _starter_of_stream(name, sup, shutdown, options)
        return task_stream.stream(name, (iterable, fn, args), options, start, linked=False)


def _starter_of_stream(name: str, sup: Any, shutdown: Shutdown, options: dict[str, Any]) -> Callable[[TaskStart], Pid]:
    unknown_options(name, options, ("shutdown", *StreamOptions.__slots__))  # the stream itself knows of no ``shutdown``
    return _starter(sup, "temporary", shutdown)


def _starter(sup: Any, restart: Restart, shutdown: Shutdown) -> Callable[[TaskStart], Pid]:
    """What starts a task under ``sup``; wrong options are refused now."""
    id_: Any = Task  # mypy finds no __hash__ on a class
    spec = functools.partial(ChildSpec, id_, start_supervised, restart=restart, shutdown=shutdown)
    spec()
    return lambda order: ask(sup, "start_child", spec(args=(order,)))
