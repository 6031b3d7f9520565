"""The loop of one actor: takes a message, calls the callback, applies the result.

Counterpart: ``gen_server:loop``. Which callback a message goes to is ``_callback``, what a result means is ``_apply``,
how an actor ends is ``_finish``; each is the only place for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from supervision import exits
from supervision.arguments import is_milliseconds
from supervision.calls import Call, Cast, StopRequest
from supervision.errors import BadReturn
from supervision.messages import INFINITY, TIMEOUT, Exit
from supervision.process_table import Pid, Process
from supervision.reports import NOTHING, Crash
from supervision.results import UNSET, Ignore, NoReply, Ok, Reply, Stop
from supervision.scheduler import deliver, scheduler
from supervision.signals import end, unlink
from supervision.status import Status
from supervision.threads import ThreadRecord
from supervision.timers import Timer
from supervision.trampoline import crash_of, guard, run_exposed
from supervision.waits import Wait

if TYPE_CHECKING:
    from supervision.actor import Actor

__all__ = ["SLICE_MESSAGES", "Server", "Start"]

# Messages that one actor handles before others get their turn. At about 2 µs for the smallest callback a slice
# of them is shorter than a look at the events costs others, and long enough to make the switch cheap.
SLICE_MESSAGES: Final = 64


class _TimeoutCheck:
    """Delivered by the timer of a callback's ``timeout``; the deadline is compared when it is taken."""

    __slots__ = ()


_TIMEOUT_CHECK: Final = _TimeoutCheck()


class Start(Wait):
    """The first message of every actor: run ``init``. ``value`` is ``(True, None)`` or ``(False, reason)``."""

    __slots__ = ("arg", "ignored", "pid", "trapping")

    def __init__(self, record: ThreadRecord, pid: Pid, arg: Any, *, trapping: bool) -> None:
        super().__init__(record)
        self.pid = pid
        self.arg = arg
        self.trapping = trapping
        self.ignored = False

    def down(self, ref: Any, process: Process, reason: Any) -> None:
        """End the wait because the actor has ended."""
        self.fire((False, reason))


class Server:
    """One running actor. All fields belong to the thread that runs the slice."""

    __slots__ = ("actor", "deadline", "process", "state", "stopping", "timer")

    def __init__(self, actor: Actor, process: Process) -> None:
        self.actor = actor
        self.process = process
        self.state: Any = None
        # When ``handle_info(TIMEOUT, …)`` is due, on the monotonic clock; any message clears it.
        self.deadline: float | None = None
        self.timer: Timer | None = None
        self.stopping = False

    def step(self, process: Process, record: ThreadRecord) -> None:
        """Handle what has arrived, up to SLICE_MESSAGES."""
        guard(process, record, self._work)

    def _work(self, process: Process, record: ThreadRecord) -> None:
        mailbox = process.mailbox
        for _ in range(SLICE_MESSAGES):
            if process.system:
                message = process.system.popleft()
            elif mailbox and not process.suspended:
                message = mailbox.popleft()
            else:
                return
            self.handle(message, record)
            if process.dead:
                return

    def handle(self, message: Any, record: ThreadRecord) -> None:
        """Handle one message."""
        kind = type(message)
        if kind in _INTERNAL:
            _INTERNAL[kind](self, message, record)
            return
        self.deadline = None
        if kind is Cast:
            self.perform(message, record, "handle_cast", message.message)
        elif isinstance(message, Call):
            self.perform(message, record, "handle_call", message.request, message)
        elif kind is Exit and message.pid is self.process.parent:
            self._finish(message.reason, message, record)  # an order, not news; only a process that traps gets here
        else:
            self.perform(message, record, "handle_info", message)

    def _start(self, order: Start, record: ThreadRecord) -> None:
        arg, order.arg = order.arg, None
        try:
            result = run_exposed(self.process, record, self.actor.init, arg)
            del arg
            if type(result) is not Ok:
                self._refuse(order, result)
                return
            self.state = result.state
            if result.timeout is not None:
                self.set_timeout("init", result)
        except BaseException as error:  # whatever init raises is why the start failed
            reason = exits.reason_of(error)
            self._abort(order, reason, crash_of(self.process, reason))
            return
        order.fire((True, None))
        if result.continue_with is not UNSET:
            self.perform(NOTHING, record, "handle_continue", result.continue_with)

    def _refuse(self, order: Start, result: Any) -> None:
        if type(result) is Ignore:
            order.ignored = True
            self._abort(order, "normal", None)
        elif type(result) is Stop:
            self._abort(order, result.reason, None)
        else:
            raise BadReturn(type(self.actor), "init", result, _EXPECTED["init"])

    def _abort(self, order: Start, reason: Any, crash: Crash | None) -> None:
        """End before the start has succeeded. A starter that traps exits gets the error instead of an Exit."""
        if order.trapping or order.ignored:
            unlink(order.pid._process, self.process)
        end(self.process, reason, crash)  # the end of the process is what fires the order

    def perform(self, message: Any, record: ThreadRecord, name: str, *args: Any) -> None:
        """Run a callback and the ``handle_continue`` that its results ask for."""
        try:
            result = run_exposed(self.process, record, getattr(self.actor, name), *args, self.state)
            self._settle(name, result, message, record)
        except BaseException as error:  # whatever a callback raises is the actor's exit reason
            if not self.process.dead:
                self._finish(exits.reason_of(error), message, record)

    def _settle(self, name: str, result: Any, message: Any, record: ThreadRecord) -> None:
        while True:
            argument = self._apply(name, result, message, record)
            if argument is UNSET:
                return
            name, message = "handle_continue", NOTHING
            result = run_exposed(self.process, record, self.actor.handle_continue, argument, self.state)

    def _apply(self, name: str, result: Any, message: Any, record: ThreadRecord) -> Any:
        """Do what a result says; returns what to continue with, or UNSET."""
        kind = type(result)
        if kind is NoReply:
            self.state = result.state
        elif kind is Reply and name == "handle_call":
            self.state = result.state
            message.fire((True, result.value))
        elif kind is Stop:
            if result.state is not UNSET:
                self.state = result.state
            self._finish(result.reason, message, record, reply=result.reply)
            return UNSET
        else:
            raise BadReturn(type(self.actor), name, result, _EXPECTED[name])
        if result.timeout is not None:
            self.set_timeout(name, result)
        return result.continue_with

    def set_timeout(self, name: str, result: Any) -> None:
        """Have ``handle_info(TIMEOUT, state)`` run if nothing arrives for so long."""
        timeout = result.timeout
        if not is_milliseconds(timeout):
            raise BadReturn(type(self.actor), name, result, "a timeout that is a whole number of milliseconds or INFINITY")
        if timeout == INFINITY:
            return
        if timeout == 0:
            self.deadline = 0.0
            deliver(self.process, _TIMEOUT_CHECK)
            return
        self.deadline = time.monotonic() + timeout / 1000
        self._arm(self.deadline)

    def _arm(self, deadline: float) -> None:
        """See to it that a check comes at ``deadline`` or earlier; one timer serves many deadlines."""
        timer = self.timer
        if timer is not None and timer.action is not None:
            if timer.deadline <= deadline:
                return
            scheduler.timers.cancel(timer)
        self.timer = Timer(deadline, _deliver_check, self.process)
        scheduler.add_timer(self.timer)

    def _check_timeout(self, message: Any, record: ThreadRecord) -> None:
        deadline = self.deadline
        if deadline is None:
            return
        if time.monotonic() < deadline:
            self._arm(deadline)
            return
        self.deadline = None
        self.timed_out(record)

    def timed_out(self, record: ThreadRecord) -> None:
        """Nothing has arrived for as long as the last result allowed."""
        self.perform(TIMEOUT, record, "handle_info", TIMEOUT)

    def _stop(self, message: StopRequest, record: ThreadRecord) -> None:
        self._finish(message.reason, NOTHING, record)

    def _finish(self, reason: Any, message: Any, record: ThreadRecord, reply: Any = UNSET) -> None:
        """Run ``terminate`` and end. The answer of a Stop goes out after ``terminate``, even if that fails."""
        self.stopping = True
        reason, failed = self.run_terminate(reason, record)
        crash = None
        if failed or exits.is_crash(reason):
            crash = self._crash(reason, message, record)
        if isinstance(message, Call) and reply is not UNSET:
            message.fire((True, reply))
        self._cancel_timer()
        end(self.process, reason, crash)
        self.state = None

    def run_terminate(self, reason: Any, record: ThreadRecord) -> tuple[Any, bool]:
        """Run the user's ``terminate``; returns the exit reason, which is the exception's if it raised."""
        try:
            run_exposed(self.process, record, self.actor.terminate, reason, self.state)
        except BaseException as error:  # what terminate raises is the reason instead, as in OTP
            return exits.reason_of(error), True
        return reason, False

    def _crash(self, reason: Any, message: Any, record: ThreadRecord) -> Crash | None:
        process = self.process
        shown = message.request if isinstance(message, Call) else message.message if type(message) is Cast else message
        caller = message.pid if isinstance(message, Call) else None
        status = self.status(reason, shown, record)
        if status is None:
            return crash_of(process, reason, NOTHING, NOTHING, caller)
        return crash_of(process, status.reason, status.message, status.state, caller)

    def status(self, reason: Any, message: Any, record: ThreadRecord, log: Any = None) -> Any:
        """What ``format_status`` makes of the present state; None if it raises, for then nothing may be shown."""
        plain = Status(self.state, message, reason, log)
        try:
            given = run_exposed(self.process, record, self.actor.format_status, plain)
        except BaseException:  # a redaction that fails must not leak what it would have redacted
            return None
        return given if isinstance(given, Status) else None

    def _cancel_timer(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            scheduler.timers.cancel(timer)


def _deliver_check(process: Process) -> None:
    deliver(process, _TIMEOUT_CHECK)


# Messages of the runtime itself. Unlike a user's they do not end the wait of a callback's timeout.
_INTERNAL: Final[dict[type, Callable[..., None]]] = {
    _TimeoutCheck: Server._check_timeout,
    StopRequest: Server._stop,
    Start: Server._start,
}

_EXPECTED: Final = {
    "init": "Ok, Ignore or Stop",
    "handle_call": "Reply, NoReply or Stop",
    "handle_cast": "NoReply or Stop",
    "handle_info": "NoReply or Stop",
    "handle_continue": "NoReply or Stop",
}
