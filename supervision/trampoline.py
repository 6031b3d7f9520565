"""The trampoline: where user code runs and where every exception of it becomes an exit reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from supervision import exits
from supervision.errors import Killed
from supervision.process_table import Body, Process
from supervision.reports import NOTHING, Crash
from supervision.signals import end
from supervision.threads import ThreadRecord

__all__ = ["Become", "FunctionBody", "crash_of", "guard", "run_exposed", "survive"]


def run_exposed(
    process: Process, record: ThreadRecord, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Call the user's ``function`` for ``process``; meanwhile a kill may strike this thread.

    Raises:
        Killed: the process is dead, before or after the call. No strike is under way any more.
    """
    record.exposed = process
    try:
        if process.dead:  # killed while this thread was masked, so nobody will strike
            raise Killed
        return function(*args, **kwargs)
    finally:
        record.exposed = None
        if process.dead:
            record.settle(process)  # or the strike would hit the library's own code, which follows
            raise Killed


def guard(process: Process, record: ThreadRecord, work: Callable[[Process, ThreadRecord], None]) -> None:
    """Do one slice of ``work``. Never raises: what nobody else has made an exit reason of becomes one here.

    A strike is taken back before this returns, or it would hit the worker or the next process. It may hit on the way
    out of the inner block; since the next does not come for a second, the outer one is safe.
    """
    try:
        try:
            work(process, record)
        finally:
            record.exposed = None
            if process.dead:
                record.settle(process)
    except BaseException as error:  # noqa: BLE001  without this a worker would end and its processor be lost
        survive(process, record, error)


def survive(process: Process, record: ThreadRecord, error: BaseException) -> None:
    """Make an exception that has come out of a whole slice the end of its process, and of nothing else."""
    record.settle(process)
    if not process.dead:
        end(process, exits.reason_of(error), crash_of(process, exits.reason_of(error)))


def crash_of(
    process: Process, reason: Any, message: Any = NOTHING, state: Any = NOTHING, caller: Any = None
) -> Crash | None:
    """What the crash report of ``process`` will say; None if its end is no fault."""
    if not exits.is_crash(reason):
        return None
    return Crash(
        pid=process.pid,
        label=process.label,
        initial_call=process.initial_call,
        name=process.name,
        reason=reason,
        message=message,
        state=state,
        ancestors=process.ancestors,
        caller=caller,
    )


class Become(BaseException):
    """Leaves the function of a process, which goes on with another body.

    Attributes:
        body: what it runs from now on.
        begin: what is to be done first, in this slice.
    """

    def __init__(self, body: Body, begin: Callable[[ThreadRecord], None]) -> None:
        super().__init__(body)
        self.body = body
        self.begin = begin


class FunctionBody:
    """The body of a spawned process: one slice that lasts as long as the function."""

    __slots__ = ("args", "function", "kwargs")

    in_place: ClassVar[bool] = False  # it may go on long after it has answered

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs

    def step(self, process: Process, record: ThreadRecord) -> None:
        """Run the function to its end."""
        guard(process, record, self._run)

    def returned(self, process: Process, value: Any) -> None:
        """The function has returned; its value goes nowhere."""

    def take(self, message: Any, process: Process, record: ThreadRecord) -> None:
        """Nobody asks for it: a function is never run in place."""
        raise NotImplementedError

    def readable(self, process: Process, record: ThreadRecord) -> None:
        """Run as usual: only a connection has a source of its own."""
        self.step(process, record)

    def buried(self) -> None:
        """Nothing is left."""

    def _run(self, process: Process, record: ThreadRecord) -> None:
        function, args, kwargs = self.function, self.args, self.kwargs
        self.args, self.kwargs = (), {}  # the caller's values live as long as the function needs them
        reason: Any = "normal"
        try:
            self.returned(process, run_exposed(process, record, function, *args, **kwargs))
        except Become as order:
            process.body = order.body
            order.begin(record)
            return
        except BaseException as error:  # noqa: BLE001  whatever the function raises is the exit reason
            reason = exits.reason_of(error)
        try:
            end(process, reason, crash_of(process, reason))
        finally:
            reason = None  # its traceback has this frame: they would keep each other, and all that they show, alive
