"""The loop of one actor: takes a message, calls the callback, applies the result.

Counterpart: ``gen_server:loop``. Which callback a message goes to is ``handle``, what a result means is ``_apply``,
how an actor ends is ``_finish``; each is the only place for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from supervision import exits
from supervision.arguments import is_milliseconds
from supervision.calls import Call, Cast, StopRequest, SystemCall
from supervision.errors import BadReturn, Killed
from supervision.messages import INFINITY, TIMEOUT, Exit
from supervision.orders import Continuation, Start, TimeoutCheck
from supervision.process_table import Process
from supervision.reports import NOTHING, Crash
from supervision.results import UNSET, Ignore, NoReply, Ok, Reply, Stop, Timeout
from supervision.scheduler import deliver
from supervision.signals import end, unlink
from supervision.status import Status
from supervision.threads import ThreadRecord
from supervision.timed_messages import TimedMessage, cancel, deliver_at
from supervision.trampoline import crash_of, run_exposed, survive

if TYPE_CHECKING:
    from supervision.actor import Actor
    from supervision.observer import Observer

__all__ = ["SLICE_MESSAGES", "Server"]

# Messages that one actor handles before others get their turn. At about 2 µs for the smallest callback a slice
# of them is shorter than a look at the events costs others, and long enough to make the switch cheap.
SLICE_MESSAGES: Final = 64
_SLICE: Final = range(SLICE_MESSAGES)


class Server:
    """One running actor. All fields belong to the thread that runs the slice."""

    __slots__ = (
        "actor",
        "deadline",
        "observer",
        "process",
        "started",
        "state",
        "stopping",
        "timeout_message",
        "timer",
    )

    in_place: ClassVar[bool] = True

    def __init__(self, actor: Actor, process: Process) -> None:
        self.actor = actor
        self.process = process
        self.state: Any = None
        # When ``handle_info(timeout_message, …)`` is due, on the monotonic clock; any message clears it.
        self.deadline: float | None = None
        self.timeout_message: Any = TIMEOUT
        self.timer: TimedMessage | None = None
        self.started = False
        self.stopping = False
        # What ``sys`` has been asked to note of the messages; None costs nothing.
        self.observer: Observer | None = None

    def step(self, process: Process, record: ThreadRecord) -> None:
        """Handle what has arrived, up to SLICE_MESSAGES. Never raises."""
        mailbox, handle = process.mailbox, self.handle
        errand = record.errand  # with it the wait of the caller ends, who must not be held up by what came later
        try:
            for _ in _SLICE:
                if process.system and self.started:
                    message = (mailbox if _is_owed(process) else process.system).popleft()
                elif mailbox and not process.suspended:
                    message = mailbox.popleft()
                else:
                    return
                if type(message) is Cast and self.observer is None:
                    self.cast(message, record)
                else:
                    handle(message, record)
                if process.dead or message is errand:
                    return
        except BaseException as error:  # noqa: BLE001  without this a worker would end and its processor be lost
            survive(process, record, error)

    def take(self, message: Any, process: Process, record: ThreadRecord) -> None:
        """Handle a message that comes past the mailbox, of a caller who runs the actor in place. Never raises."""
        try:
            self.handle(message, record)
        except BaseException as error:  # noqa: BLE001  without this a worker would end and its processor be lost
            survive(process, record, error)

    def readable(self, process: Process, record: ThreadRecord) -> None:
        """Run as usual: only a connection has a source of its own."""
        self.step(process, record)

    def buried(self) -> None:
        """Let go of the state, which a killed actor had no chance to do."""
        self.state = None

    def handle(self, message: Any, record: ThreadRecord) -> None:
        """Handle one message."""
        kind = type(message)
        try:
            internal = kind in _INTERNAL
        except Exception:  # noqa: BLE001  anything is a message, also what has a class without a hash
            internal = False
        if internal:
            _INTERNAL[kind](self, message, record)
            return
        self.deadline = None
        if self.observer is not None:
            self.observer.took(message)
        if kind is Cast:
            self.perform(message, record, "handle_cast", message.message)
        elif isinstance(message, Call):
            self._called(message, record)
        elif kind is Exit and message.pid is self.process.parent:
            self._finish(message.reason, message, record)  # an order, not news; only a process that traps gets here
        else:
            self.perform(message, record, "handle_info", message)

    def _called(self, call: Call, record: ThreadRecord) -> None:
        if call.taken:  # a caller that somebody passes on; shown as a Cast is, so that nothing takes it for the request
            shown = Cast()
            shown.message = call
            self.perform(shown, record, "handle_info", call)
            return
        call.taken = True
        self.perform(call, record, "handle_call", call.request, call)

    def _start(self, order: Start, record: ThreadRecord) -> None:
        arg, order.arg = order.arg, None
        try:
            result = self.init(arg, record)
            del arg
            if type(result) is not Ok:
                self._refuse(order, result)
                return
            self.state = result.state
            if result.timeout is not None:
                self.set_timeout("init", result)
        except BaseException as error:  # noqa: BLE001  whatever init raises is why the start failed
            reason = exits.reason_of(error)
            order.cause = error if reason is error else error.__cause__
            self._abort(order, reason, crash_of(self.process, reason))
            return
        self.started = True
        order.fire((True, None))
        if result.continue_with is not UNSET:
            if record.errand is order:
                self._postpone(result.continue_with)
            else:
                self.perform(NOTHING, record, "handle_continue", result.continue_with)

    def _postpone(self, argument: Any) -> None:
        """Continue in a slice of its own: the starter or caller, on whose thread this one is, has what it waits for."""
        self.process.mailbox.appendleft(Continuation(argument))

    def init(self, arg: Any, record: ThreadRecord) -> Any:
        """Run the user's ``init``."""
        return run_exposed(self.process, record, self.actor.init, arg)

    def enter(self, result: Ok, record: ThreadRecord) -> None:
        """Begin with a state that the process has made by itself."""
        self.state = result.state
        self.started = True
        if result.timeout is not None:
            self.set_timeout("enter_loop", result)
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
        """End before the start has succeeded. A starter that traps exits gets the error instead of an Exit.

        Except for a supervisor, to which a crash is left to report: ``start`` takes its Exit back.
        """
        starter = order.pid._process
        if order.ignored or (order.trapping and starter.kind != "supervisor"):
            unlink(starter, self.process)
        end(self.process, reason, crash)  # the end of the process is what fires the order

    def cast(self, message: Cast, record: ThreadRecord) -> None:
        """``handle`` and ``perform`` written out for what an actor may get by the hundred thousand."""
        self.deadline = None
        process = self.process
        try:
            record.exposed = process
            try:
                if process.dead:
                    raise Killed
                result = self.actor.handle_cast(message.message, self.state)
            finally:
                record.exposed = None
                if process.dead:
                    record.settle(process)
                    raise Killed
            if type(result) is NoReply and result.timeout is None and result.continue_with is UNSET:
                self.state = result.state
            else:
                self._settle("handle_cast", result, message, record)
        except BaseException as error:  # noqa: BLE001  whatever a callback raises is the actor's exit reason
            if not process.dead:
                self._finish(exits.reason_of(error), message, record)

    def perform(self, message: Any, record: ThreadRecord, name: str, *args: Any) -> None:
        """Run a callback and the ``handle_continue`` that its results ask for."""
        process = self.process
        try:
            # ``run_exposed`` and ``_apply`` of the commonest result written out: this is the path of every message.
            record.exposed = process
            try:
                if process.dead:
                    raise Killed
                result = getattr(self.actor, name)(*args, self.state)
            finally:
                record.exposed = None
                if process.dead:
                    record.settle(process)
                    raise Killed
            if type(result) is NoReply and result.timeout is None and result.continue_with is UNSET:
                self.state = result.state
            else:
                self._settle(name, result, message, record)
        except BaseException as error:  # noqa: BLE001  whatever a callback raises is the actor's exit reason
            if not process.dead:
                self._finish(exits.reason_of(error), message, record)

    def _settle(self, name: str, result: Any, message: Any, record: ThreadRecord) -> None:
        while True:
            argument = self._apply(name, result, message, record)
            if argument is UNSET:
                return
            if record.errand is message and message.fired.locked():
                self._postpone(argument)
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
            self._answer(message, result.value)
        elif kind is Stop and (result.reply is UNSET or name == "handle_call"):
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
        """Have ``handle_info`` run, with TIMEOUT or what the result has instead, if nothing arrives for so long."""
        timeout = result.timeout
        named = type(timeout) is Timeout
        self.timeout_message = timeout.message if named else TIMEOUT
        if named:
            timeout = timeout.milliseconds
        if type(timeout) is str and timeout == "hibernate":
            return
        if not is_milliseconds(timeout):
            expected = 'a timeout that is a whole number of milliseconds or INFINITY, a Timeout, or "hibernate"'
            raise BadReturn(type(self.actor), name, result, expected)
        if timeout == INFINITY:
            return
        self.deadline = time.monotonic() + timeout / 1000
        if timeout != 0:
            self._arm(self.deadline)
        elif named:
            self.process.mailbox.appendleft(TimeoutCheck(self.deadline))  # this slice, or its end, finds it
        else:
            deliver(self.process, TimeoutCheck(self.deadline))

    def _arm(self, deadline: float) -> None:
        """See to it that a check comes at ``deadline`` or earlier; one timer serves many deadlines."""
        timer = self.timer
        if timer is not None and timer.action is not None:
            if timer.deadline <= deadline:
                return
            cancel(self.process, timer)
        self.timer = deliver_at(deadline, self.process, TimeoutCheck(deadline))

    def _check_timeout(self, message: TimeoutCheck, record: ThreadRecord) -> None:
        deadline = self.deadline
        if deadline is None:
            return
        # The very object, for two may be equal. A check that was made for an earlier deadline says nothing of this one,
        # even if that has passed meanwhile: mail that came before this one was set may be waiting behind the check.
        if message.deadline is not deadline:
            self._arm(deadline)
            return
        self.deadline = None
        self.timed_out(record)

    def timed_out(self, record: ThreadRecord) -> None:
        """Nothing has arrived for as long as the last result allowed."""
        message, self.timeout_message = self.timeout_message, TIMEOUT
        if self.observer is not None:
            self.observer.took(message)
        self.perform(message, record, "handle_info", message)

    def _answer(self, caller: Call, value: Any) -> None:
        if self.observer is not None:
            self.observer.answered(caller, value)
        caller.fire((True, value))

    def _answer_system(self, question: SystemCall, record: ThreadRecord) -> None:
        try:
            question.fire((True, (True, question.request(self, record))))
        except BaseException as error:  # noqa: BLE001  a user's function may be part of it; its failure is the caller's
            question.fire((True, (False, error)))

    def _stop(self, message: StopRequest, record: ThreadRecord) -> None:
        self._finish(message.reason, NOTHING, record)

    def _finish(self, reason: Any, message: Any, record: ThreadRecord, reply: Any = UNSET) -> None:
        """Run ``terminate`` and end. The answer of a Stop goes out after ``terminate``, even if that fails."""
        self.stopping = True
        reason, failed = self.run_terminate(reason, record)
        if self.process.dead:  # killed meanwhile
            return
        crash = None
        if failed or exits.is_crash(reason):
            crash = self._crash(reason, message, record)
        if isinstance(message, Call) and reply is not UNSET:
            self._answer(message, reply)
        self._cancel_timer()
        end(self.process, reason, crash)
        self.state = None

    def run_terminate(self, reason: Any, record: ThreadRecord) -> tuple[Any, bool]:
        """Run the user's ``terminate``; returns the exit reason, which is the exception's if it raised."""
        try:
            run_exposed(self.process, record, self.actor.terminate, reason, self.state)
        except BaseException as error:  # noqa: BLE001  what terminate raises is the reason instead, as in OTP
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

    def status(self, reason: Any, message: Any, record: ThreadRecord) -> Any:
        """What ``format_status`` makes of the present state; None if it raises, for then nothing may be shown."""
        log = None if self.observer is None else self.observer.recent()
        plain = Status(self.state, message, reason, log)
        try:
            given = run_exposed(self.process, record, self.actor.format_status, plain)
        except BaseException:  # noqa: BLE001  a redaction that fails must not leak what it would have redacted
            return None
        return given if isinstance(given, Status) else None

    def _cancel_timer(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            cancel(self.process, timer)


def _is_owed(process: Process) -> bool:
    """Whether the first of the mail is what a result has asked for before all else, also before what ``sys`` asks."""
    if process.suspended or not process.mailbox:
        return False
    kind = type(process.mailbox[0])
    return kind is Continuation or kind is TimeoutCheck


# Messages of the runtime itself. Unlike a user's they do not end the wait of a callback's timeout.
_INTERNAL: Final[dict[type, Callable[..., None]]] = {
    TimeoutCheck: lambda server, message, record: server._check_timeout(message, record),  # some have their own
    Continuation: lambda server, message, record: server.perform(NOTHING, record, "handle_continue", message.argument),
    StopRequest: Server._stop,
    SystemCall: Server._answer_system,
    Start: Server._start,
}

_EXPECTED: Final = {
    "init": "Ok, Ignore or Stop",
    "handle_call": "Reply, NoReply or Stop",
    "handle_cast": "NoReply, or Stop without a reply",
    "handle_info": "NoReply, or Stop without a reply",
    "handle_continue": "NoReply, or Stop without a reply",
}
