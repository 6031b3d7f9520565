"""Processes: spawning, messages, links, monitors, exit signals, names and timers.

Counterpart: Elixir's ``Process`` and the process functions of ``Kernel``. Every function may be called from any
thread; those that need a pid of their own adopt a foreign one.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

from supervision import arguments, mailbox, names, signals
from supervision.arguments import a_callable, boolean
from supervision.errors import BadType, Killed, NoProcess, ProcessExit
from supervision.foreign import this_process
from supervision.messages import INFINITY, Down, Exit
from supervision.process_info import ProcessInfo, name_of, snapshot
from supervision.process_table import Pid, Process, Ref, ancestry, live_processes
from supervision.scheduler import deliver, notify, scheduler
from supervision.send_after import TimerRef, cancel_timer, exit_after, read_timer, send_after
from supervision.threads import current, library_call
from supervision.trampoline import FunctionBody, run_exposed
from supervision.waits import Wait, deadline_after, wait_for

__all__ = [
    "Down",
    "Exit",
    "Pid",
    "ProcessExit",
    "ProcessInfo",
    "Ref",
    "TimerRef",
    "cancel_timer",
    "demonitor",
    "exit",
    "exit_after",
    "get_label",
    "info",
    "is_alive",
    "link",
    "monitor",
    "pids",
    "read_timer",
    "receive",
    "register",
    "registered",
    "self",
    "send",
    "send_after",
    "set_label",
    "sleep",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "trap_exit",
    "unlink",
    "unregister",
    "whereis",
]


_Message = TypeVar("_Message")


def self() -> Pid:
    """Returns the pid of the calling process; a foreign thread is adopted.

    Counterpart: ``erlang:self/0``.
    """
    return this_process()


@library_call
def spawn(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pid:
    """Starts a process that runs ``fn(*args, **kwargs)`` and exits with ``"normal"`` when it returns.

    The function runs on a worker's thread and may block, in ``receive`` and elsewhere.

    Counterpart: ``erlang:spawn/3``.
    """
    process = _new(fn, args, kwargs)
    _launch(process)
    return process


@library_call
def spawn_link(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pid:
    """Starts a process like ``spawn`` and links it to the caller, before it runs.

    Counterpart: ``erlang:spawn_link/3``.
    """
    me = this_process()
    process = _new(fn, args, kwargs)
    signals.link(me, process)
    if me.dead:  # just killed: the link that would end the new process has not been made, or has done its work
        signals.end(process, "noproc")
        raise Killed
    _launch(process)
    return process.pid


@library_call
def spawn_monitor(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> tuple[Pid, Ref]:
    """Starts a process like ``spawn`` and monitors it, before it runs.

    Counterpart: ``erlang:spawn_monitor/3``.
    """
    me = this_process()
    process = _new(fn, args, kwargs)
    ref = signals.monitor(me, process, process.pid)
    _launch(process)
    return process.pid, ref


def _new(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Process:
    a_callable("fn", fn)
    scheduler.processors.settle()  # first, so that wrong settings leave nothing behind
    process = Process("process", FunctionBody(fn, args, kwargs), contextvars.copy_context())
    process.ancestors = ancestry(current.record.process)
    process.initial_call = name_of(fn)
    return process


def _launch(process: Process) -> None:
    process.publish()  # not before it is linked: from here on it runs if somebody finds it and sends to it
    notify(process)


def send(dest: Any, message: Any) -> Any:
    """Puts ``message`` into the mailbox of ``dest``, and returns it. Never blocks.

    Args:
        dest: a pid (a dead one is silently accepted), a registered name, or a via.
        message: anything.

    Raises:
        NoProcess: nobody has that name.

    Counterpart: ``erlang:send/2``.
    """
    target = dest if type(dest) is Process else names.resolve(dest)
    record = current.record
    process = record.exposed
    # ``library_call`` written out: sending is the commonest thing of all.
    if process is None:
        deliver(target, message)
        return message
    record.exposed = None
    if process.dead:
        record.exposed = process
        raise Killed
    try:
        deliver(target, message)
    finally:
        record.exposed = process
        if process.dead:
            raise Killed
    return message


@overload
def receive(match: type[_Message], *, timeout: float = INFINITY) -> _Message: ...
@overload
def receive(match: tuple[type, ...] | Callable[[Any], object] | None = None, *, timeout: float = INFINITY) -> Any: ...
@library_call
def receive(match: mailbox.Match = None, *, timeout: float = INFINITY) -> Any:
    """Takes the first message that matches out of the caller's mailbox, waiting for one if need be.

    In a callback of an actor it sees what others have sent, also calls and casts, but not what the runtime tells the
    loop.

    Args:
        match: a type, a tuple of types, a predicate, or None for any message. The others stay, in their order. A kill
            interrupts a predicate, as it does the code that called this.
        timeout: milliseconds, or INFINITY; 0 looks without waiting.

    Raises:
        ReceiveTimeout: none came in time.

    Counterpart: ``receive … after``.
    """
    arguments.milliseconds("timeout", timeout)
    me, record = this_process(), current.record
    if mailbox.is_predicate(match):
        match = functools.partial(run_exposed, me, record, match)  # the user's code, in which a kill may strike
    return mailbox.receive(me, record, match, timeout)


@library_call
def link(pid: Pid) -> None:
    """Links the caller and ``pid``: when one ends the other gets its exit signal. A second link changes nothing.

    Raises:
        NoProcess: it is dead and the caller does not trap exits; a caller that does gets ``Exit(pid, "noproc")``.

    Counterpart: ``erlang:link/1``.
    """
    target = _process_of(pid)
    me = this_process()
    if signals.link(me, target):
        return
    if not me.trap_exit:
        raise NoProcess(pid)
    signals.exit_signal(pid, me, "noproc")


@library_call
def unlink(pid: Pid) -> None:
    """Removes the link between the caller and ``pid``, if there is one.

    Counterpart: ``erlang:unlink/1``.
    """
    signals.unlink(this_process(), _process_of(pid))


@library_call
def monitor(dest: Any, *, tag: Any = None) -> Ref:
    """Monitors a process: when it ends the caller gets one ``Down(ref, pid, reason)``; at once if it is gone.

    Args:
        dest: a pid, a registered name (which ``Down.pid`` then shows) or a via.
        tag: if given, the message is the tuple ``(tag, ref, pid, reason)`` instead.

    Counterpart: ``erlang:monitor/2``, and ``/3`` with ``tag``.
    """
    target = names.find(dest)
    return signals.monitor(this_process(), target, dest, tag)


@library_call
def demonitor(ref: Ref, *, flush: bool = False) -> bool:
    """Ends a monitor of the caller.

    Args:
        ref: what ``monitor`` returned.
        flush: also remove its Down from the mailbox if it is there.

    Returns:
        Whether this prevented a Down; False: it is in the mailbox already, or there was none to come.

    Counterpart: ``erlang:demonitor/2`` with ``info``.
    """
    if not isinstance(ref, Ref):
        raise BadType(f"ref must be a Ref, got {ref!r}")
    arguments.boolean("flush", flush)
    me = this_process()
    prevented = signals.demonitor(me, ref)
    if flush and not prevented:
        mailbox.take_all(me, lambda message: _tells_of(message, ref))
    return prevented


def _tells_of(message: Any, ref: Ref) -> bool:
    """Whether it is the Down of a monitor, or what comes in its place."""
    if type(message) is Down:
        return message.ref is ref
    return type(message) is tuple and len(message) == 4 and message[1] is ref


@library_call
def exit(pid: Pid, reason: Any) -> None:
    """Sends an exit signal. ``"kill"`` cannot be trapped, and others see ``"killed"``.

    A process that dies of it is dead for everybody before this returns; one that traps exits gets
    ``Exit(sender, reason)``; ``"normal"`` is ignored by other processes that do not trap.

    Counterpart: ``erlang:exit/2``.
    """
    signals.exit_signal(this_process().pid, _process_of(pid), reason)


@library_call
def trap_exit(enabled: bool) -> bool:
    """Sets whether exit signals reach the caller as ``Exit`` messages, and returns what it was.

    Counterpart: ``process_flag(trap_exit, Boolean)``.
    """
    boolean("trap_exit", enabled)
    me = this_process()
    with me.lock:
        before, me.trap_exit = me.trap_exit, enabled
    return before


def is_alive(pid: Pid) -> bool:
    """Returns whether ``pid`` has not ended.

    Counterpart: ``erlang:is_process_alive/1``.
    """
    return not _process_of(pid).dead


@library_call
def info(pid: Pid) -> ProcessInfo | None:
    """Returns a snapshot of a process, or None if it is dead.

    Counterpart: ``Process.info/1``.
    """
    return snapshot(_process_of(pid))


def pids() -> list[Pid]:
    """Returns all live processes, adopted threads included.

    Counterpart: ``erlang:processes/0``.
    """
    return list(live_processes)


@library_call
def register(name: str, pid: Pid) -> None:
    """Gives ``pid`` a local name.

    Raises:
        AlreadyRegistered: the name is taken, or the process has one.
        NoProcess: the process is dead.

    Counterpart: ``erlang:register/2``.
    """
    if not isinstance(name, str):
        raise BadType(f"name must be a non-empty string, got {name!r}")
    names.register(names.check_name(name), _process_of(pid))


@library_call
def unregister(name: str) -> None:
    """Takes a local name back.

    Raises:
        NoProcess: nobody has it.

    Counterpart: ``erlang:unregister/1``.
    """
    names.unregister(name)


@library_call
def whereis(dest: Any) -> Pid | None:
    """Returns the pid behind a pid, a name or a via; None if there is none or it is dead.

    Counterpart: ``GenServer.whereis/1``.
    """
    process = names.find(dest)
    return None if process is None or process.dead else process.pid


@library_call
def registered() -> list[str]:
    """Returns all local names.

    Counterpart: ``erlang:registered/0``.
    """
    return names.registered_names()


@library_call
def set_label(label: Any) -> None:
    """Sets the label of the caller, shown by reports and introspection.

    Counterpart: ``Process.set_label/1``.
    """
    this_process().label = label


def get_label(pid: Pid) -> Any:
    """Returns the label of a process; None if it has none or is dead.

    Counterpart: ``Process.info(pid, :label)``.
    """
    process = _process_of(pid)
    return None if process.dead else process.label


@library_call
def sleep(milliseconds: float) -> None:
    """Waits, without holding up any other process.

    Args:
        milliseconds: a whole number, or INFINITY.

    Counterpart: ``Process.sleep/1``.
    """
    arguments.milliseconds("milliseconds", milliseconds)
    record = current.record
    # Ends by its deadline or the death of the caller; nobody else knows of this Wait.
    wait_for(Wait(record), record, this_process(), deadline_after(milliseconds))


def _process_of(pid: Any) -> Process:
    if not isinstance(pid, Pid):
        raise BadType(f"expected a Pid, got {pid!r}")
    return pid._process
