"""Requests to actors: call, cast, reply, stop, and who waits for the answer.

A ``Call`` is one object in three roles: the message in the callee's mailbox, the ``caller`` that its callback gets, and
the wait of the thread that asked. It is also the monitor by which the caller hears of the callee's end. Whatever comes
first, answer, end or timeout, ends the wait; all that comes later finds it ended and is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from supervision import names
from supervision.arguments import milliseconds
from supervision.errors import BadType, CallError, CallTimeout, Killed, NoProcess, ServerExit
from supervision.exits import describe
from supervision.foreign import this_process
from supervision.in_place import post_in_place, run_in_place
from supervision.messages import INFINITY
from supervision.process_table import Pid, Process
from supervision.scheduler import deliver, notify
from supervision.signals import unwatch, watch
from supervision.threads import ThreadRecord, current, library_call
from supervision.waits import Wait, deadline_after, wait_for

__all__ = [
    "Call",
    "Caller",
    "Cast",
    "StopRequest",
    "SystemCall",
    "ask",
    "call",
    "cast",
    "cause_of",
    "outcome",
    "post_ahead",
    "reply",
    "stop",
]


class Cast:
    """A message for ``handle_cast``. Without an ``__init__``, which would take as long again as all else of a cast."""

    __slots__ = ("message",)

    message: Any


class StopRequest:
    """Asks the actor to stop; ``stop`` waits for its end."""

    for_the_loop: ClassVar[bool] = True

    __slots__ = ("reason",)

    def __init__(self, reason: Any) -> None:
        self.reason = reason


class Call(Wait):
    """A request that somebody waits for.

    ``value`` is ``(True, answer)`` or ``(False, exit reason)`` once it has ended. ``taken`` is set by the callee that
    has taken it out of its mailbox: from then on it is a caller, and in anybody's mailbox a message like any other.
    """

    __slots__ = ("pid", "request", "taken")

    def __init__(self, record: ThreadRecord, pid: Pid | None, request: Any) -> None:
        super().__init__(record)
        self.pid = pid
        self.request = request
        self.taken = False

    def __repr__(self) -> str:
        return f"<caller {self.pid!r}>"

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """End the wait because the callee has ended."""
        self.fire((False, reason))
        return None


Caller = Call
"""What ``handle_call`` gets and ``reply`` takes; ``pid`` is who asked, or None if no process did."""


class SystemCall(Call):
    """A question to the loop of an actor itself; ``request`` is run by it, with the Server and the ThreadRecord."""

    __slots__ = ()


@library_call
def call(dest: Any, request: Any, timeout: float = 5_000) -> Any:
    """Sends a request and waits for the answer.

    Args:
        dest: a pid, a registered name or a via.
        request: what ``handle_call`` gets.
        timeout: milliseconds, or INFINITY.

    Raises:
        NoProcess: there is no such process.
        CallTimeout: no answer came in time; a late one is dropped.
        ServerExit: the process ended before it answered.
        CallError: the process is the caller itself.

    Counterpart: ``gen_server:call/3``.
    """
    milliseconds("timeout", timeout)
    me = this_process()
    target = dest if type(dest) is Process else names.resolve(dest)
    if target is me:
        raise CallError(f"a process cannot call itself: {dest!r}")
    question = Call(current.record, me, request)
    value = ask(dest, target, question, timeout, post_in_place if timeout == INFINITY else deliver)
    if value is None:
        raise CallTimeout(f"{dest!r} did not answer {describe(request)} within {timeout} milliseconds")
    return outcome(value, dest)


def ask(
    dest: Any, target: Process, question: Call, timeout: float, post: Callable[[Process, Any], object]
) -> tuple[bool, Any] | None:
    """Have ``question`` posted to ``target`` and wait for its value; None if there is none after ``timeout``.

    Raises:
        NoProcess: the target, which is behind ``dest``, is dead.
        Killed: the caller is.
    """
    record = current.record
    try:
        if not watch(target, question, question):
            raise NoProcess(dest)
        post(target, question)
        wait_for(question, record, this_process(), deadline_after(timeout))
    except BaseException:  # whatever interrupted it, no later answer may end this thread's next wait
        question.leave(record)
        raise
    finally:
        unwatch(target, question)
    # Taken out: where it is an exception, its traceback has the callee's frames, and they have the question.
    value: tuple[bool, Any] | None
    value, question.value = question.value, None
    return value


def outcome(value: tuple[bool, Any], dest: Any) -> Any:
    """The answer; raises ServerExit if there was an end instead."""
    answered, answer = value
    if answered:
        return answer
    raise ServerExit(answer, dest) from cause_of(answer)


def cause_of(reason: Any) -> BaseException | None:
    """The exception behind an exit reason, if it is one."""
    return reason if isinstance(reason, BaseException) else None


def cast(dest: Any, message: Any) -> None:
    """Sends ``message`` to ``handle_cast`` of ``dest``. Never blocks, and never fails for want of a receiver.

    Counterpart: ``gen_server:cast/2``.
    """
    target = dest if type(dest) is Process else names.find_receiver(dest)
    if target is None:
        return
    order = Cast()
    order.message = message
    record = current.record
    process = record.exposed
    if process is None:
        deliver(target, order)
        return
    record.exposed = None  # ``library_call`` written out, as in ``process.send``
    if process.dead:
        record.exposed = process
        raise Killed
    try:
        deliver(target, order)
    finally:
        record.exposed = process
        if process.dead:
            raise Killed


@library_call
def reply(caller: Caller, value: Any) -> None:
    """Answers a call; from anywhere, and without effect if it has ended.

    Args:
        caller: what ``handle_call`` got.
        value: what ``call`` returns.

    Counterpart: ``gen_server:reply/2``.
    """
    if not isinstance(caller, Call):
        raise BadType(f"caller must be what handle_call got, got {caller!r}")
    caller.fire((True, value))


@library_call
def stop(dest: Any, reason: Any = "normal", timeout: float = INFINITY) -> None:
    """Stops an actor, after the messages it has already, and waits until it has ended.

    Args:
        dest: a pid, a registered name or a via.
        reason: what it ends with.
        timeout: milliseconds, or INFINITY. The actor is not killed when it runs out.

    Raises:
        NoProcess: there is no such process.
        CallTimeout: it has not ended in time.
        ServerExit: it ended for another reason.
        CallError: it is the caller itself, or a foreign thread. A function that was spawned obeys once it has a loop.

    Counterpart: ``gen_server:stop/3``.
    """
    milliseconds("timeout", timeout)
    me = this_process()
    target = names.resolve(dest)
    if target is me:
        raise CallError(f"a process cannot stop itself, return Stop(reason, state) instead: {dest!r}")
    body = target.body  # before the look at ``dead``: a process loses it after that has been set
    if body is None and not target.dead:
        raise CallError(f"{dest!r} is a foreign thread, which has no loop to obey")
    question = Call(current.record, me, reason)
    value = ask(dest, target, question, timeout, _stop_in_place if timeout == INFINITY else _post_stop)
    if value is None:
        raise CallTimeout(f"{dest!r} did not stop within {timeout} milliseconds")
    given = value[1]
    if given is not reason and given != reason:
        raise ServerExit(given, dest) from cause_of(given)


def _post_stop(target: Process, question: Call) -> None:
    _queue_stop(target, question)
    notify(target)


def _stop_in_place(target: Process, question: Call) -> None:
    _queue_stop(target, question)
    if not run_in_place(target, current.record, question):
        notify(target)


def _queue_stop(target: Process, question: Call) -> None:
    with target.lock:
        if not target.dead:
            queue = _system_queue(target) if target.suspended else target.mailbox
            queue.append(StopRequest(question.request))


def post_ahead(target: Process, message: Any) -> None:
    """Deliver ``message`` ahead of all ordinary mail, where a suspended actor takes it too."""
    with target.lock:
        if target.dead:
            return
        _system_queue(target).append(message)
    notify(target)


def _system_queue(target: Process) -> deque[Any]:
    if target.system is None:
        target.system = deque()
    return target.system
