"""Tasks: functions that run as processes, once, and whose value can be awaited.

Counterpart: ``Task``. ``task_process`` has what runs one, ``task_monitor`` how its outcome finds its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, TypeVar

from supervision import signals, task_stream
from supervision.arguments import a_callable, count, listed, milliseconds, one_of, options_by_name
from supervision.child_spec import ChildSpec, Shutdown, default_child_spec
from supervision.errors import BadChildSpec, BadType, CallError, CallTimeout, TaskExit
from supervision.exits import is_reason
from supervision.foreign import this_process
from supervision.messages import BRUTAL_KILL, INFINITY
from supervision.process_table import Pid, Process
from supervision.restart import Restart
from supervision.task_monitor import Outcome, TaskMonitor
from supervision.task_outcomes import Terms, collect
from supervision.task_process import TaskStart, start_linked_to, start_unlinked
from supervision.task_stream import TaskStream
from supervision.threads import current, library_call

__all__ = ["Task", "make_task"]

T = TypeVar("T")


class Task(Generic[T]):
    """A task that was started with ``async_``, as its owner sees it; only the owner may await it.

    Its outcome, ``("ok", value)`` or ``("exit", reason)``, is told once: to ``await_``, ``yield_``, ``shutdown`` or
    ``ignore`` if the owner is in one of them when it comes, or asks before it has received the message that is sent
    otherwise: ``TaskResult(ref, value)`` or ``Down(ref, pid, reason)``.

    ``(Task, fn)`` and ``(Task, (fn, *args))`` are children of a supervisor, which nobody awaits; a subclass with a
    ``start_link(arg)`` of its own is one by itself.

    Attributes:
        owner: the process that started it.
        pid: the process that runs it; None for ``completed``.
        ref: stands for it in messages; ``process.demonitor(ref, flush=True)`` gives it up.
        restart: what ``child_spec`` says of a subclass.

    Counterpart: ``Task``.
    Differs: a value comes without a Down after it, and without an Exit to an owner that traps exits; an end that was
    told by ``await_``, ``yield_`` or ``shutdown`` is not told by an Exit as well.
    """

    __slots__ = ("_monitor", "owner", "pid", "ref")

    restart: ClassVar[Restart] = "temporary"

    def __init__(self, monitor: TaskMonitor) -> None:
        self._monitor = monitor
        self.owner = monitor.watcher.pid
        self.pid: Pid | None = None if monitor.process is None else monitor.process.pid
        self.ref = monitor.ref

    def __repr__(self) -> str:
        return f"<Task {self.pid!r} {self.ref!r}>"

    @staticmethod
    @options_by_name
    @library_call
    def start(fn: Callable[..., Any], /, *args: Any) -> Pid:
        """Starts a task that nobody awaits and that is linked to nobody.

        Counterpart: ``Task.start/1`` and ``/3``.
        """
        return start_unlinked(TaskStart(current.record.process, a_callable("fn", fn), args))

    @staticmethod
    @options_by_name
    @library_call
    def start_link(fn: Callable[..., Any], /, *args: Any) -> Pid:
        """Starts a task that nobody awaits, linked to the caller.

        Counterpart: ``Task.start_link/1`` and ``/3``.
        """
        me = this_process()
        return start_linked_to(me, TaskStart(me, a_callable("fn", fn), args))

    @classmethod
    def child_spec(cls, arg: Any = None) -> ChildSpec:
        """Return how a supervisor starts a task: a function, or a tuple of one and its arguments.

        Raises:
            BadChildSpec: ``arg`` is neither.

        Counterpart: ``Task.child_spec/1``.
        """
        if cls.start_link is not Task.start_link:
            return default_child_spec(cls, arg, restart=cls.restart)
        call = arg if isinstance(arg, tuple) and arg else (arg,)
        if not callable(call[0]):
            raise BadChildSpec(
                f"{cls.__name__} as a child takes a function, or a tuple of one and its arguments, got {arg!r}"
            )
        id_: Any = cls  # mypy finds no __hash__ on a class
        return ChildSpec(id_, cls.start_link, call, restart=cls.restart)

    @staticmethod
    @options_by_name
    @library_call
    def async_(fn: Callable[..., T], /, *args: Any) -> Task[T]:
        """Starts a task that the caller awaits, linked to the caller.

        Counterpart: ``Task.async/1`` and ``/3``.
        """
        me = this_process()
        return make_task(me, a_callable("fn", fn), args, start_unlinked, linked=True)

    @staticmethod
    @library_call
    def completed(value: T) -> Task[T]:
        """Makes a task that has ended with ``value`` already, without a process.

        Counterpart: ``Task.completed/1``.
        """
        monitor = TaskMonitor(this_process(), linked=False)
        monitor.post(("ok", value))
        return Task(monitor)

    @library_call
    def await_(self, timeout: float = 5_000) -> T:
        """Waits for the value. If it does not come in time the task goes on, and nothing more is heard of it.

        Args:
            timeout: milliseconds, or INFINITY.

        Raises:
            CallTimeout: no value came in time; at once if the outcome has been taken already.
            TaskExit: the task exited without a value, with this ``reason``; an exception is the ``__cause__``.
            CallError: the caller is not the owner.
            Killed: the task failed, and the owner with it: it does not trap exits.

        Counterpart: ``Task.await/2``.
        """
        outcome = self._collect(Terms(milliseconds("timeout", timeout), for_good=True))
        if outcome is None:
            raise CallTimeout(f"{self!r} gave no value within {timeout} milliseconds, or its outcome was taken before")
        value: T = _value_of(outcome)
        return value

    @library_call
    def yield_(self, timeout: float = 5_000) -> Outcome | None:
        """Waits for the outcome; it can be asked for again if it does not come in time.

        Args:
            timeout: milliseconds, or INFINITY.

        Returns:
            ``("ok", value)``, ``("exit", reason)``, or None if there is none yet.

        Raises:
            CallError: the caller is not the owner.

        Counterpart: ``Task.yield/2``.
        """
        return self._collect(Terms(milliseconds("timeout", timeout)))

    @library_call
    def shutdown(self, timeout: Shutdown = 5_000) -> Outcome | None:
        """Asks the task to shut down and waits for its end; unlinks it, so that its end does not harm the owner.

        Also a task that goes on after ``await_`` ran out of time, or after ``ignore``.

        Args:
            timeout: milliseconds after which it is killed, INFINITY, or BRUTAL_KILL to kill it unasked.

        Returns:
            None if it ended as asked; ``("ok", value)`` if it gave its value before; else ``("exit", reason)``:
            ``"killed"`` if the time ran out, ``"noproc"`` if it had ended and its outcome was taken or unheard of.

        Raises:
            CallError: the caller is not the owner.

        Counterpart: ``Task.shutdown/2``.
        """
        brutally = timeout == BRUTAL_KILL
        limit = INFINITY if brutally else milliseconds("timeout", timeout)
        outcome = self._collect(Terms(0))
        if outcome is None and (not self._monitor.is_spent() or self._monitor.resume()):
            outcome = self._end("kill" if brutally else "shutdown", limit) or self._end("kill", INFINITY)
        kind, reason = outcome or ("exit", "noproc")
        # Also if it ended so before it was asked: who shuts it down has what it wants.
        asked = kind == "exit" and is_reason(reason, "killed" if brutally else "shutdown")
        return None if asked else (kind, reason)

    @library_call
    def ignore(self) -> Outcome | None:
        """Gives the task up: it goes on, unlinked, and nothing more is heard of it.

        Returns:
            The outcome if it has come already, else None.

        Raises:
            CallError: the caller is not the owner.

        Counterpart: ``Task.ignore/1``.
        """
        outcome = self._collect(Terms(0, for_good=True))
        process = self._monitor.process
        if outcome is None and process is not None:
            signals.unlink(self._monitor.watcher, process)
        return outcome

    @staticmethod
    @library_call
    def await_many(tasks: Iterable[Task[T]], timeout: float = 5_000) -> list[T]:
        """Waits for the values of several tasks, and returns them in the order of the tasks.

        Args:
            tasks: tasks of the caller.
            timeout: milliseconds for all of them together, or INFINITY.

        Raises:
            CallTimeout, TaskExit, CallError: as ``await_``; the first exit ends the wait. Nothing more is heard of the
                other tasks, which go on.

        Counterpart: ``Task.await_many/2``.
        """
        tasks = listed("tasks", tasks, "tasks")
        terms = Terms(milliseconds("timeout", timeout), impatient=True, for_good=True)
        outcomes = _collect_many(tasks, terms)
        for outcome in outcomes.values():
            if outcome[0] == "exit":
                _value_of(outcome)
        if len(outcomes) < len(set(tasks)):
            raise CallTimeout(f"not all of {len(tasks)} tasks gave a value within {timeout} milliseconds")
        return [outcomes[task][1] for task in tasks]

    @staticmethod
    @library_call
    def yield_many(
        tasks: Iterable[Task[T]], timeout: float = 5_000, *, limit: int | None = None, on_timeout: str = "nothing"
    ) -> list[tuple[Task[T], Outcome | None]]:
        """Waits for the outcomes of several tasks.

        Args:
            tasks: tasks of the caller.
            timeout: milliseconds for all of them together, or INFINITY.
            limit: returns as soon as so many have an outcome; None: all.
            on_timeout: what happens to the others when the time has run out: ``"nothing"``, ``"ignore"`` (as ``ignore``
                does) or ``"kill_task"``.

        Returns:
            Each task with its outcome, None if it has none, in the order of the tasks.

        Raises:
            CallError: the caller is not the owner.

        Counterpart: ``Task.yield_many/2``.
        """
        tasks = listed("tasks", tasks, "tasks")
        most = INFINITY if limit is None else count("limit", limit, minimum=1)
        finish = _FINISH[one_of("on_timeout", on_timeout, tuple(_FINISH))]
        outcomes: dict[Task[T], Outcome | None] = {}
        outcomes.update(_collect_many(tasks, Terms(milliseconds("timeout", timeout), limit=most)))
        if len(outcomes) < most:
            for task in tasks:
                if task not in outcomes:
                    outcomes[task] = finish(task)
        return [(task, outcomes.get(task)) for task in tasks]

    @staticmethod
    def async_stream(iterable: Iterable[Any], fn: Callable[..., Any], /, *args: Any, **options: Any) -> TaskStream:
        """Runs ``fn(item, *args)`` in a task for each item, some at a time, as the results are asked for.

        The tasks are linked to whoever takes the first result, and only that process may take the others.

        Args:
            iterable: the items; taken one by one, as tasks are started.
            fn: the function.
            *args: further arguments, the same for each item.
            **options: see ``task_stream.StreamOptions``: ``max_concurrency``, ``ordered``, ``timeout``, ``on_timeout``,
                ``zip_input_on_exit``.

        Returns:
            A lazy iterator of ``("ok", value)`` and ``("exit", reason)``. When it is closed its tasks are ended.

        Counterpart: ``Task.async_stream/3`` and ``/5``.
        """
        return task_stream.stream("Task.async_stream", (iterable, fn, args), options, start_unlinked, linked=True)

    def _collect(self, terms: Terms) -> Outcome | None:
        monitor = self._monitor
        return collect(_owner_of(self), (monitor,), terms).get(monitor)

    def _end(self, reason: Any, timeout: float) -> Outcome | None:
        """Send an exit signal and wait for what comes of it."""
        owner, process = self._monitor.watcher, self._monitor.process
        assert process is not None
        signals.unlink(owner, process)
        signals.exit_signal(owner.pid, process, reason)
        return self._collect(Terms(timeout))


def make_task(
    owner: Process,
    fn: Callable[..., T],
    args: tuple[Any, ...],
    start: Callable[[TaskStart], object],
    *,
    linked: bool,
) -> Task[T]:
    """Have ``start`` start a task that ``owner``, which the calling thread runs, can await."""
    if owner.monitors is None:
        owner.monitors = {}
    monitor = TaskMonitor(owner, linked=linked)
    start(TaskStart(owner, fn, args, monitor))
    return Task(monitor)


def _collect_many(tasks: list[Task[T]], terms: Terms) -> dict[Task[T], Outcome]:
    if not tasks:
        return {}
    owners = {_owner_of(task) for task in tasks}
    by_monitor = {task._monitor: task for task in tasks}
    outcomes = collect(owners.pop(), by_monitor, terms)
    return {by_monitor[monitor]: outcome for monitor, outcome in outcomes.items()}


def _owner_of(task: Task[Any]) -> Process:
    """The owner, if it is the caller."""
    if not isinstance(task, Task):
        raise BadType(f"expected a Task, got {task!r}")
    owner = task._monitor.watcher
    if this_process() is not owner:
        raise CallError(f"{task!r} must be awaited by its owner {owner.pid!r}, not by {this_process().pid!r}")
    return owner


def _value_of(outcome: Outcome) -> Any:
    """The value; raises TaskExit if there is none."""
    kind, value = outcome
    if kind == "ok":
        return value
    raise TaskExit(value) from (value if isinstance(value, BaseException) else None)


def _kill(task: Task[Any]) -> Outcome | None:
    return task.shutdown(BRUTAL_KILL)


_FINISH: dict[str, Callable[[Task[Any]], Outcome | None]] = {
    "nothing": lambda task: None,
    "ignore": Task.ignore,
    "kill_task": _kill,
}
