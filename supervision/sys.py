"""Looking into running actors, and stopping them for a while: works on every actor, supervisors included.

Each function asks the loop of the actor itself, ahead of its ordinary mail, and raises what ``call`` raises
(NoProcess, CallTimeout, ServerExit; CallError also for a process that is no actor). A busy actor answers after its
callback, and after the ``handle_continue`` that this asks for.

So what was sent before may not have been handled yet: who has to know that it has asks with ``call`` first, which waits
for its turn.

Counterpart: the ``sys`` module of OTP.
Differs: there these questions wait for their turn too. Here an actor whose mailbox is flooded can still be looked at
and suspended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from supervision import mailbox, names
from supervision.arguments import a_callable, boolean, milliseconds
from supervision.calls import Call, StopRequest, SystemCall, ask, outcome, post_ahead
from supervision.errors import CallError, CallTimeout
from supervision.foreign import this_process
from supervision.messages import Exit
from supervision.observer import Observer, Statistics
from supervision.process_table import Pid, Process
from supervision.server import Server
from supervision.threads import ThreadRecord, current, library_call
from supervision.trampoline import run_exposed

__all__ = [
    "ActorStatus",
    "Statistics",
    "get_state",
    "get_status",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
    "trace",
]

Query = Callable[[Server, ThreadRecord], Any]


@dataclass(frozen=True, slots=True)
class ActorStatus:
    """What ``get_status`` tells.

    Attributes:
        actor: the class.
        parent: who started it by ``start_link``, or None.
        status: ``"running"`` or ``"suspended"``.
        state: its state as ``format_status`` shows it; None if that raised.
        log: its latest events as text, if it is traced.
    """

    pid: Pid
    actor: type
    name: Any
    label: Any
    parent: Pid | None
    status: Literal["running", "suspended"]
    state: Any
    log: Any


@library_call
def get_state(dest: Any, timeout: float = 5_000) -> Any:
    """Returns the state of an actor, as it is: ``format_status`` is for others' eyes.

    Mail that waits has not changed it yet (see the module's text).

    Args:
        dest: a pid, a registered name or a via.
        timeout: milliseconds, or INFINITY.

    Counterpart: ``sys:get_state/2``.
    """
    return _query(dest, timeout, lambda server, record: server.state)


@library_call
def replace_state(dest: Any, fn: Callable[[Any], Any], timeout: float = 5_000) -> Any:
    """Replaces the state of an actor by ``fn(state)``, and returns the new one.

    Args:
        dest: a pid, a registered name or a via.
        fn: runs in the actor; what it raises is raised here, and the state stays what it was.
        timeout: milliseconds, or INFINITY.

    Counterpart: ``sys:replace_state/3``.
    """
    a_callable("fn", fn)

    def replace(server: Server, record: ThreadRecord) -> Any:
        server.state = run_exposed(server.process, record, fn, server.state)
        return server.state

    return _query(dest, timeout, replace)


@library_call
def get_status(dest: Any, timeout: float = 5_000) -> ActorStatus:
    """Returns what an actor lets others see of it.

    Args:
        dest: a pid, a registered name or a via.
        timeout: milliseconds, or INFINITY.

    Counterpart: ``sys:get_status/2``.
    """
    status: ActorStatus = _query(dest, timeout, _status)
    return status


def _status(server: Server, record: ThreadRecord) -> ActorStatus:
    process = server.process
    shown = server.status(None, None, record)
    return ActorStatus(
        pid=process.pid,
        actor=type(server.actor),
        name=process.name,
        label=process.label,
        parent=process.parent,
        status="suspended" if process.suspended else "running",
        state=None if shown is None else shown.state,
        log=None if shown is None else shown.log,
    )


@library_call
def suspend(dest: Any, timeout: float = 5_000) -> None:
    """Has an actor leave its mail alone until ``resume``. It still obeys this module, ``stop`` and its parent's exit.

    That is also the mail that came before and waits (see the module's text).

    Args:
        dest: a pid, a registered name or a via.
        timeout: milliseconds, or INFINITY.

    Counterpart: ``sys:suspend/2``.
    """
    _query(dest, timeout, _suspend)


def _suspend(server: Server, record: ThreadRecord) -> None:
    process = server.process
    with process.lock:  # under which stops and exits are posted: from here on they come by the other queue
        if process.suspended or process.system is None:
            return
        process.suspended = True
        process.system.extend(mailbox.take_all(process, lambda message: _is_order(message, process)))


def _is_order(message: Any, process: Process) -> bool:
    return type(message) is StopRequest or (type(message) is Exit and message.pid is process.parent)


@library_call
def resume(dest: Any, timeout: float = 5_000) -> None:
    """Ends what ``suspend`` began; without effect on an actor that is not suspended.

    Args:
        dest: a pid, a registered name or a via.
        timeout: milliseconds, or INFINITY.

    Counterpart: ``sys:resume/2``.
    """
    _query(dest, timeout, _resume)


def _resume(server: Server, record: ThreadRecord) -> None:
    process = server.process
    with process.lock:
        process.suspended = False


@library_call
def statistics(dest: Any, enabled: bool | Literal["get"], timeout: float = 5_000) -> Statistics | None:
    """Counts the messages of an actor.

    Args:
        dest: a pid, a registered name or a via.
        enabled: True starts counting anew, False ends it, ``"get"`` asks for the counts.
        timeout: milliseconds, or INFINITY.

    Returns:
        The counts for ``"get"``; None if nothing is counted.

    Counterpart: ``sys:statistics/3``.
    """
    if enabled == "get":
        counts: Statistics | None = _query(dest, timeout, _statistics)
        return counts
    boolean("enabled", enabled)
    _observe(dest, timeout, lambda observer: observer.count(enabled))
    return None


def _statistics(server: Server, record: ThreadRecord) -> Statistics | None:
    return None if server.observer is None else server.observer.statistics()


@library_call
def trace(dest: Any, enabled: bool, timeout: float = 5_000) -> None:
    """Logs every message that an actor takes and every answer it gives, while enabled.

    They go to ``logging.getLogger("supervision")`` at level INFO, and the latest into ``ActorStatus.log``.

    Args:
        dest: a pid, a registered name or a via.
        enabled: whether to.
        timeout: milliseconds, or INFINITY.

    Counterpart: ``sys:trace/3``, ``sys:log/3``.
    """
    boolean("enabled", enabled)
    _observe(dest, timeout, lambda observer: observer.trace(enabled))


def _observe(dest: Any, timeout: float, change: Callable[[Observer], None]) -> None:
    def apply(server: Server, record: ThreadRecord) -> None:
        observer = server.observer or Observer(server.process.pid)
        change(observer)
        server.observer = None if observer.is_idle() else observer

    _query(dest, timeout, apply)


def _query(dest: Any, timeout: float, query: Query) -> Any:
    milliseconds("timeout", timeout)
    me = this_process()
    target = names.resolve(dest)
    if target is me:
        raise CallError(f"a process cannot ask its own loop: {dest!r}")
    body = target.body  # before the look at ``dead``: a process loses it after that has been set
    if not (target.dead or isinstance(body, Server)):
        raise CallError(f"{dest!r} is not an actor")
    question: Call = SystemCall(current.record, me.pid, query)
    value = ask(dest, target, question, timeout, post_ahead)
    if value is None:
        raise CallTimeout(f"{dest!r} did not answer within {timeout} milliseconds")
    succeeded, result = outcome(value, dest)
    if not succeeded:
        raise result
    return result
