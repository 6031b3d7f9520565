"""Requests to actors: call, cast, reply, stop, and who waits for the answer.

A ``Call`` is one object in three roles: the message in the callee's mailbox, the ``caller`` that its callback gets, and
the wait of the thread that asked. It is also the monitor by which the caller hears of the callee's end. Whatever comes
first, answer, end or timeout, ends the wait; all that comes later finds it ended and is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from supervision import names
from supervision.arguments import milliseconds
from supervision.errors import CallError, CallTimeout, Killed, NoProcess, ServerExit
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Pid, Process
from supervision.scheduler import deliver, notify, scheduler
from supervision.signals import unwatch, watch
from supervision.threads import ThreadRecord, current, library_call
from supervision.waits import Wait, deadline_after, wait_for

__all__ = ["AsyncCall", "Call", "Caller", "Cast", "abcast", "acall", "call", "cast", "multi_call", "reply", "run_in_place", "stop"]

# How deep processes may run in place within each other. Each level takes about ten Python frames of the stack.
DEEPEST: Final = 16

# Messages before the request that a callee may have and still run in place; more would keep the caller's slice long.
MOST_MAIL: Final = 16


class Cast:
    """A message for ``handle_cast``."""

    __slots__ = ("message",)

    def __init__(self, message: Any) -> None:
        self.message = message


class StopRequest:
    """Asks the actor to stop; ``stop`` waits for its end."""

    __slots__ = ("reason",)

    def __init__(self, reason: Any) -> None:
        self.reason = reason


class Call(Wait):
    """A request that somebody waits for.

    ``value`` is ``(True, answer)`` or ``(False, exit reason)`` once it has ended.
    """

    __slots__ = ("pid", "request")

    def __init__(self, record: ThreadRecord, pid: Pid | None, request: Any) -> None:
        super().__init__(record)
        self.pid = pid
        self.request = request

    def __repr__(self) -> str:
        return f"<caller {self.pid!r}>"

    def down(self, ref: Any, process: Process, reason: Any) -> None:
        """End the wait because the callee has ended."""
        self.fire((False, reason))


Caller = Call
"""What ``handle_call`` gets and ``reply`` takes; ``pid`` is who asked, or None if no process did."""


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
    record = current.record
    target = names.resolve(dest)
    if target is me:
        raise CallError(f"a process cannot call itself: {dest!r}")
    question = Call(record, me.pid, request)
    if not watch(target, question, question):
        raise NoProcess(dest)
    target.mailbox.append(question)
    try:
        if timeout != INFINITY or not run_in_place(target, record):
            notify(target)
        if not wait_for(question, record, me, deadline_after(timeout)):
            raise CallTimeout(f"{dest!r} did not answer {request!r} within {timeout} milliseconds")
    finally:
        unwatch(target, question)
    return _outcome(question.value, dest)


def _outcome(value: tuple[bool, Any], dest: Any) -> Any:
    answered, answer = value
    if answered:
        return answer
    error = ServerExit(answer, dest)
    raise error from (answer if isinstance(answer, BaseException) else None)


def run_in_place(target: Process, record: ThreadRecord) -> bool:
    """Run a slice of ``target`` on the caller's own thread; False if it must be notified instead.

    Only a worker does so, which has no deadline and will wait in any case: a foreign thread would let Ctrl-C hit
    the callee.
    """
    if not record.worker or record.depth >= DEEPEST or len(target.mailbox) > MOST_MAIL:
        return False
    if not target.running.acquire(False):
        return False
    if target.parked is not None:  # it waits on a thread of its own
        target.parked.release()
        return True
    record.descend()
    try:
        scheduler.run_slice(target, record)
    finally:
        record.ascend()
    return True


def cast(dest: Any, message: Any) -> None:
    """Sends ``message`` to ``handle_cast`` of ``dest``. Never blocks, and never fails for want of a receiver.

    Counterpart: ``gen_server:cast/2``.
    """
    target = dest._process if type(dest) is Pid else names.find(dest)
    if target is None:
        return
    record = current.record
    process = record.exposed
    if process is None:
        deliver(target, Cast(message))
        return
    record.exposed = None  # ``library_call`` written out, as in ``process.send``
    if process.dead:
        raise Killed
    deliver(target, Cast(message))
    record.exposed = process
    if process.dead:
        raise Killed


@library_call
def reply(caller: Caller, value: Any) -> None:
    """Answers a call; from anywhere, and without effect if it has ended.

    Counterpart: ``gen_server:reply/2``.
    """
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
        CallError: it is the caller itself.

    Counterpart: ``gen_server:stop/3``.
    """
    milliseconds("timeout", timeout)
    me = this_process()
    record = current.record
    target = names.resolve(dest)
    if target is me:
        raise CallError("a process cannot stop itself; return Stop(reason, state) instead")
    end = Call(record, me.pid, None)
    if not watch(target, end, end):
        raise NoProcess(dest)
    deliver_urgent(target, StopRequest(reason), ahead=target.suspended)
    try:
        if not wait_for(end, record, me, deadline_after(timeout)):
            raise CallTimeout(f"{dest!r} did not stop within {timeout} milliseconds")
    finally:
        unwatch(target, end)
    given = end.value[1]
    if given is not reason and given != reason:
        raise ServerExit(given, dest) from (given if isinstance(given, BaseException) else None)


def deliver_urgent(target: Process, message: Any, *, ahead: bool) -> None:
    """Deliver ``message``; ``ahead`` of all ordinary mail if asked, where a suspended actor takes it too."""
    if not ahead:
        deliver(target, message)
        return
    with target.lock:
        if target.dead:
            return
        if target.system is None:
            target.system = type(target.mailbox)()
        target.system.append(message)
    notify(target)


def abcast(pids: Iterable[Any], message: Any) -> None:
    """Casts ``message`` to each of ``pids``.

    Counterpart: ``gen_server:abcast/2``.
    """
    for pid in pids:
        cast(pid, message)


@library_call
def multi_call(pids: Iterable[Any], request: Any, timeout: float = INFINITY) -> tuple[dict[Any, Any], list[Any]]:
    """Calls several actors at once.

    Args:
        pids: pids, names or vias.
        request: what each gets.
        timeout: milliseconds for all of them together, or INFINITY.

    Returns:
        The answers by destination, and the destinations that did not answer.

    Counterpart: ``gen_server:multi_call/4``.
    """
    milliseconds("timeout", timeout)
    me = this_process()
    record = current.record
    asked = [(dest, *_ask(dest, request, me, record)) for dest in pids]
    deadline = deadline_after(timeout)
    answers: dict[Any, Any] = {}
    failed: list[Any] = []
    for dest, target, question in asked:
        if question is None or not _collect(question, target, me, record, deadline):
            failed.append(dest)
        else:
            answers[dest] = question.value[1]
    return answers, failed


class _SharedCall(Call):
    """One of several questions of one thread: it has a parker of its own, since they are answered in any order."""

    __slots__ = ()

    def __init__(self, record: ThreadRecord, pid: Pid | None, request: Any) -> None:
        super().__init__(record, pid, request)
        self.parker = type(self.fired)()
        self.parker.acquire()


def _ask(dest: Any, request: Any, me: Process, record: ThreadRecord) -> tuple[Process | None, Call | None]:
    target = names.find(dest)
    if target is None or target is me:
        return target, None
    question = _SharedCall(record, me.pid, request)
    if not watch(target, question, question):
        return target, None
    deliver(target, question)
    return target, question


def _collect(question: Call, target: Any, me: Process, record: ThreadRecord, deadline: float | None) -> bool:
    try:
        return wait_for(question, record, me, deadline) and question.value[0]
    finally:
        unwatch(target, question)


class AsyncCall(Call):
    """A call that a coroutine awaits: its end sets a future, in the thread of the event loop."""

    __slots__ = ("future", "loop")

    def __init__(self, request: Any) -> None:
        super().__init__(current.record, None, request)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def fire(self, value: Any = None) -> bool:
        """End the wait with ``value``; False if it has ended already."""
        if not self.fired.acquire(False):
            return False
        try:
            self.loop.call_soon_threadsafe(self._settle, value)
        except RuntimeError:
            return False  # the loop is closed: nobody is there to be told
        return True

    def _settle(self, value: Any) -> None:
        if not self.future.done():
            self.future.set_result(value)


async def acall(dest: Any, request: Any, timeout: float = 5_000) -> Any:
    """``call`` for coroutines: awaits the answer without a thread. Cancelling it drops the answer.

    Raises:
        NoProcess, CallTimeout, ServerExit: as ``call``.
    """
    milliseconds("timeout", timeout)
    target = names.resolve(dest)
    question = AsyncCall(request)
    if not watch(target, question, question):
        raise NoProcess(dest)
    deliver(target, question)
    seconds = None if timeout == INFINITY else timeout / 1000
    try:
        value = await asyncio.wait_for(question.future, seconds)
    except TimeoutError:
        raise CallTimeout(f"{dest!r} did not answer {request!r} within {timeout} milliseconds") from None
    finally:
        question.fired.acquire(False)
        unwatch(target, question)
    return _outcome(value, dest)
