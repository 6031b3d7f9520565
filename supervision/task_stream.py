"""Streams of tasks: a function applied to each item of an iterable, several at a time, lazily.

Counterpart: ``Task.async_stream/5``. Nothing runs until a result is asked for, and nothing is left when the stream has
ended, was closed, or its consumer has died.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from supervision import arguments
from supervision.deeds import do_later, do_when_dropped
from supervision.errors import BadType, CallError, CallTimeout, Killed
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.scheduler import scheduler
from supervision.signals import disown, own
from supervision.task_monitor import Outcome, OutcomeMonitor
from supervision.task_process import TaskStart, end_task
from supervision.threads import current, library_call
from supervision.timers import Timer
from supervision.waits import Wait, wait_for

__all__ = ["StreamOptions", "TaskStream", "stream"]

# Told by its identity from the outcome of a task that itself exits with this reason.
_TIMED_OUT: Final[Outcome] = ("exit", "timeout")


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream runs.

    Attributes:
        max_concurrency: how many tasks run at a time; the number of CPUs if left out.
        ordered: whether results come in the order of the items, or as they are ready.
        timeout: milliseconds that each task may take, or INFINITY.
        on_timeout: what happens when one takes longer: ``"exit"`` raises CallTimeout in the consumer; ``"kill_task"``
            ends the task, whose result is ``("exit", "timeout")``.
        zip_input_on_exit: whether an exit shows its item too: ``("exit", (item, reason))``.
    """

    max_concurrency: int | None = None
    ordered: bool = True
    timeout: float = 5_000
    on_timeout: str = "exit"
    zip_input_on_exit: bool = False

    def __post_init__(self) -> None:
        if self.max_concurrency is not None:
            arguments.count("max_concurrency", self.max_concurrency, minimum=1)
        arguments.boolean("ordered", self.ordered)
        arguments.milliseconds("timeout", self.timeout)
        arguments.one_of("on_timeout", self.on_timeout, ("exit", "kill_task"))
        arguments.boolean("zip_input_on_exit", self.zip_input_on_exit)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What each run of a stream does."""

    items: Iterable[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: StreamOptions
    start: Callable[[TaskStart], object]
    linked: bool

    def room(self) -> int:
        return self.options.max_concurrency or os.cpu_count() or 1


def stream(
    owner: str,
    work: tuple[Iterable[Any], Callable[..., Any], tuple[Any, ...]],
    options: dict[str, Any],
    start: Callable[[TaskStart], object],
    *,
    linked: bool,
) -> TaskStream:
    """Make a stream.

    Args:
        owner: what takes the options, for the text of a refusal.
        work: the items, the function, and its further arguments.
        options: the fields of StreamOptions that were given.
        start: starts a task.
        linked: whether the tasks are linked to the consumer.

    Raises:
        BadType, BadArgument: an option is unknown or wrong, the items cannot be iterated or the function not be called.
    """
    items, function, args = work
    arguments.unknown_options(owner, options, StreamOptions.__slots__)
    arguments.a_callable("fn", function)
    if not isinstance(items, Iterable):
        raise BadType(f"iterable must be iterable, got {items!r}")
    return TaskStream(_Plan(items, function, args, StreamOptions(**options), start, linked))


class TaskStream(Iterator[Outcome]):
    """A lazy iterator of outcomes.

    Each ``for`` loop over it, and each ``iter`` of it, is a run of its own, as with a list; but once ``next`` has been
    called on the stream itself it is one iterator like any other.
    """

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self._results: _Results | None = None
        self._runs: list[weakref.ref[_Results]] = []  # those that are dropped end by themselves

    def __iter__(self) -> Iterator[Outcome]:
        if self._results is not None:
            return self
        results = _Results(self._plan)
        self._runs = [*(run for run in self._runs if run() is not None), weakref.ref(results)]
        return results

    def __next__(self) -> Outcome:
        if self._results is None:
            self._results = _Results(self._plan)
        return next(self._results)

    def close(self) -> None:
        """End the tasks of every run of it, before this returns. The stream itself is over, too."""
        if self._results is None:
            self._results = _Results(self._plan)
        self._results.close()
        for run in self._runs:
            results = run()
            if results is not None:
                results.close()


class _Results(Iterator[Outcome]):
    """One run, which refuses strangers before they get at it: what a generator raises ends it for everybody."""

    def __init__(self, plan: _Plan) -> None:
        self._run = _Run(plan)
        self._generator = _results(plan, self._run)

    def __next__(self) -> Outcome:
        consumer = self._run.consumer
        if consumer is not None and consumer is not current.record.process:
            self._run.check_consumer()
        return next(self._generator)

    def close(self) -> None:
        """End the tasks, before this returns."""
        self._run.closing = True
        self._generator.close()


def _results(plan: _Plan, run: _Run) -> Generator[Outcome, None, None]:
    """One run. Here, outside of the library's own calls, the items are taken: that is the user's code."""
    source = iter(plan.items)
    dropped = False
    try:
        while True:
            # What is there is handed out before more is begun: a slow consumer would have the source read ever further.
            while run.has_result():
                yield run.take_result()
            for item in itertools.islice(source, run.room()):
                run.start(item)
            if run.is_over():
                return
            run.take_arrival()
    except GeneratorExit:
        dropped = not run.closing  # nobody wants the rest, and nobody has said so
        raise
    finally:
        if dropped:
            do_when_dropped(run.consumer, run.close)
        else:
            run.close()
        if isinstance(source, Generator) or (isinstance(source, TaskStream | _Results) and not dropped):
            source.close()


class _Run:
    """The tasks of one run and their outcomes.

    ``lock`` guards ``arrivals`` and ``wait``; a leaf, taken under the lock of a task. The other fields belong to the
    consumer.
    """

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan
        self.options = plan.options
        self.consumer: Process | None = None
        self.closing = False  # whether somebody has asked for the end
        self.running: dict[_Item, None] = {}
        # Outcomes to be handed out, in that order; in an ordered stream also those that have not come yet.
        self.queue: deque[_Item] = deque()
        self.lock = threading.Lock()
        self.arrivals: deque[_Item] = deque()
        self.wait: Wait | None = None

    def room(self) -> int:
        """How many more tasks may run."""
        return self.plan.room() - len(self.running)

    def is_over(self) -> bool:
        """Whether there is nothing to wait for and nothing to hand out."""
        return not self.running and not self.queue

    @library_call
    def check_consumer(self) -> Process:
        """The calling process. The first one to ask has begun; any other is refused."""
        me = this_process()
        if self.consumer is None:
            self.consumer = me
        if self.consumer is not me:
            raise CallError(f"the stream must be consumed by {self.consumer.pid!r}, which began, not by {me.pid!r}")
        return me

    @library_call
    def start(self, value: Any) -> None:
        """Start the task for one item."""
        plan, consumer = self.plan, self.check_consumer()
        # A consumer that traps exits hears of an exit by the stream, not by an Exit; all the same no task outlives it.
        item = _Item(self, consumer, value if self.options.zip_input_on_exit else None, linked=self._links(consumer))
        self.running[item] = None
        if self.options.ordered:
            self.queue.append(item)
        plan.start(TaskStart(consumer, plan.function, (value, *plan.args), item))
        if not item.linked and not own(consumer, item):
            end_task(consumer, item)
            raise Killed
        item.set_timeout(self.options.timeout)

    def has_result(self) -> bool:
        """Whether there is an outcome to be handed out."""
        return bool(self.queue) and self.queue[0].arrived

    @library_call
    def take_result(self) -> Outcome:
        """The next outcome, as the consumer sees it."""
        item = self.queue.popleft()
        kind, value = item.outcome
        if kind == "exit" and self.options.zip_input_on_exit:
            return kind, (item.value, value)
        return kind, value

    @library_call
    def take_arrival(self) -> None:
        """Take in the outcome of the task that has ended first, waiting for one: another may take its place.

        Raises:
            CallTimeout: that task has taken too long. Those that ended before it have been handed out.
        """
        item = self._next_arrival(self.check_consumer())
        item.arrived = True
        item.let_go()
        del self.running[item]
        if not self.options.ordered:
            self.queue.append(item)
        if item.outcome is _TIMED_OUT and self.options.on_timeout == "exit":
            raise CallTimeout(f"a task of the stream took longer than {self.options.timeout} milliseconds")

    @library_call
    def close(self) -> None:
        """End what runs. Called by the consumer, or later by a worker if the stream was dropped."""
        for item in self.running:
            item.abandon()
        self.running.clear()

    def arrive(self, item: _Item) -> None:
        """A task has ended, and its outcome is known; the lock of the task is held."""
        with self.lock:
            if not item.told:  # else an interruption has come in between, and this is the second time
                arrivals = self.arrivals
                item.told = True
                arrivals.append(item)
            wait = self.wait  # kept, for a second time; it ends once
        if wait is not None:
            wait.fire()

    def _links(self, consumer: Process) -> bool:
        return self.plan.linked and not consumer.trap_exit

    def _next_arrival(self, consumer: Process) -> _Item:
        """Wait for the end of a task. It is certain: one that does not end by itself is ended by its timeout."""
        while True:
            record = current.record
            with self.lock:
                if self.arrivals:
                    return self.arrivals.popleft()
                wait = self.wait = Wait(record)
            wait_for(wait, record, consumer, None)


class _Item(OutcomeMonitor):
    """The task of one item, and the monitor that is on it. Owned by the consumer if it is not linked to it.

    The outcome is known when the function has returned, but the stream gets it when the task has ended: only then does
    a supervisor of tasks have its Exit, and room for the next one.
    """

    __slots__ = ("arrived", "outcome", "run", "timer", "value")

    outcome: Outcome

    def __init__(self, run: _Run, consumer: Process, value: Any, *, linked: bool) -> None:
        super().__init__(consumer, linked=linked)
        self.run = run
        self.value = value
        self.arrived = False
        self.timer: Timer | None = None

    def attach(self, process: Process) -> None:
        """Monitor ``process``: its outcome, and after that its end."""
        super().attach(process)
        end = _End(self)
        assert process.monitored_by is not None
        process.monitored_by[end] = end  # told in this order

    def settle(self, outcome: Outcome) -> None:
        """Keep the outcome until the end of the task, whose lock is held."""
        self.outcome = outcome

    def owner_died(self, process: Process, reason: Any) -> None:
        """End the task with its consumer."""
        end_task(process, self)

    def set_timeout(self, timeout: float) -> None:
        """Have the task ended if it takes longer."""
        if timeout != INFINITY:
            self.timer = Timer(time.monotonic() + timeout / 1000, _expire, self)
            scheduler.add_timer(self.timer)

    def abandon(self) -> None:
        """End the task; nobody wants to know its outcome."""
        self.let_go()
        end_task(self.watcher, self)

    def let_go(self) -> None:
        """Drop what was there in case that the task takes too long, or the consumer dies before it."""
        if self.timer is not None:
            scheduler.timers.cancel(self.timer)
        if not self.linked:
            disown(self.watcher, self)


class _End:
    """The end of a task, by which the stream gets its outcome."""

    __slots__ = ("item",)

    def __init__(self, item: _Item) -> None:
        self.item = item

    def down(self, ref: Any, process: Process, reason: Any) -> None:
        """Hand the outcome to the stream; the supervisor of the task has its Exit already."""
        self.item.run.arrive(self.item)


def _expire(item: _Item) -> None:
    # The user's code is part of many a death, and may wait: a timer may not.
    do_later(_give_up, item)


def _give_up(item: _Item) -> None:
    process = item.process
    if process is not None and item.report(process, _TIMED_OUT):
        end_task(item.watcher, item)
