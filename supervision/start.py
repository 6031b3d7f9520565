"""Starting an actor and waiting until its ``init`` has succeeded or failed.

Counterpart: ``proc_lib:start_link``. When a start fails the actor is dead, its name free and no message of it left in
the mailbox of the caller, before the caller hears of the failure.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from supervision import mailbox, names, signals
from supervision.arguments import boolean, milliseconds, unknown_options
from supervision.dedicated import launch_dedicated
from supervision.errors import AlreadyRegistered, AlreadyStarted, Ignored, StartError, StartTimeout
from supervision.foreign import this_process
from supervision.in_place import may_run_in_place, run_first
from supervision.messages import INFINITY, Exit
from supervision.orders import Start
from supervision.process_table import Pid, Process, ancestry
from supervision.scheduler import bury, notify
from supervision.threads import ThreadRecord, current
from supervision.waits import deadline_after, wait_for

if TYPE_CHECKING:
    from supervision.actor import Actor

__all__ = ["OPTIONS", "StartOptions", "start"]

OPTIONS: Final = ("name", "timeout", "dedicated_thread", "label", "hibernate_after")


@dataclass(frozen=True, slots=True)
class StartOptions:
    """The options of ``start`` and ``start_link``, checked.

    Attributes:
        name: a string or a via, or None.
        timeout: milliseconds for ``init``, or INFINITY.
        dedicated_thread: whether it gets a thread of its own for life.
        label: what reports and introspection call it.
    """

    name: Any = None
    timeout: float = INFINITY
    dedicated_thread: bool = False
    label: Any = None

    @classmethod
    def of(cls, owner: type[Actor], options: dict[str, Any]) -> StartOptions:
        """Check the options that were given for ``owner``."""
        if not options:
            return _WITH_DEDICATED_THREAD if owner.dedicated_thread else _DEFAULTS
        unknown_options(f"{owner.__name__}.start_link", options, OPTIONS)
        name = options.get("name")
        milliseconds("hibernate_after", options.get("hibernate_after", INFINITY))
        return cls(
            name=None if name is None else names.check_name(name),
            timeout=milliseconds("timeout", options.get("timeout", INFINITY)),
            dedicated_thread=boolean("dedicated_thread", options.get("dedicated_thread", owner.dedicated_thread)),
            label=options.get("label"),
        )


_DEFAULTS: Final = StartOptions()
_WITH_DEDICATED_THREAD: Final = StartOptions(dedicated_thread=True)


def start(
    actor_class: type[Actor],
    arg: Any,
    options: StartOptions,
    *,
    linked: bool,
    meet: Callable[[Process, Process], object] | None = None,
) -> Pid:
    """Start an actor; returns when ``init`` has succeeded. ``meet`` gets the starter and the actor before it can run.

    Raises:
        AlreadyStarted: the name is taken; ``init`` has not run.
        Ignored: ``init`` returned Ignore.
        StartTimeout: ``init`` took too long.
        StartError: it failed, or the class could not be instantiated; the exception is the ``__cause__``.
    """
    me = this_process()
    record = current.record
    process = _new(actor_class, me, options)
    order = Start(record, me, arg, trapping=me.trap_exit)
    process.monitored_by = {order: order}
    in_place = _take_first(process, record, order, options)
    try:
        if linked:
            process.parent = me
            signals.link(me, process)
        if meet is not None:
            meet(me, process)
        process.publish()
        # Last: whoever finds the process by its name may send to it at once, and ``init`` must come first.
        if options.name is not None:
            _claim_name(process, options.name)
        if not in_place:
            launch = launch_dedicated if options.dedicated_thread else notify
            launch(process)
    except BaseException:  # or a process would be left that nobody knows of
        _abandon(process, me, record, order)
        if in_place:
            process.running.release()
            bury(process)
        raise
    return _await(process, me, record, order, options.timeout, in_place)


def _take_first(process: Process, record: ThreadRecord, order: Start, options: StartOptions) -> bool:
    """Take ``running`` of a new process if its ``init`` may run on this thread, else put the order into its mailbox."""
    if options.timeout != INFINITY or options.dedicated_thread or not may_run_in_place(record):
        process.mailbox.append(order)
        return False
    process.running.acquire()  # nobody knows of it yet; what others send it waits until ``init`` has run
    return True


def _new(actor_class: type[Actor], me: Process, options: StartOptions) -> Process:
    try:
        actor = actor_class()
    except Exception as error:
        raise StartError(error) from error
    process = Process(actor_class.kind, None, contextvars.copy_context())
    process.ancestors = ancestry(me)
    process.initial_call = actor_class.__qualname__
    process.label = options.label
    process.body = actor_class.server_class(actor, process)
    if options.dedicated_thread:
        process.running.acquire()  # for its own thread, before anybody else can find it and run it
    return process


def _claim_name(process: Process, name: Any) -> None:
    try:
        if isinstance(name, str):
            names.register(name, process)
        else:
            _register_by_via(process, name)
    except AlreadyRegistered as error:
        raise AlreadyStarted(error.pid) from None


def _register_by_via(process: Process, via: names.Via) -> None:
    answer = via.register_name(process.pid)
    if answer is False or answer == "no":
        raise AlreadyRegistered(via.whereis_name(), via)
    if isinstance(via, names.KeptByOwner):
        return
    if not signals.own(process, names.ViaName(via)):  # somebody found it by the name, and it has run and ended
        via.unregister_name()


def _abandon(process: Process, me: Process, record: ThreadRecord, order: Start) -> None:
    """End a process that nobody will ever know of, before it can tell its starter anything."""
    signals.unwatch(process, order)
    order.leave(record)
    signals.unlink(me, process)
    signals.end(process, "killed")


def _await(process: Process, me: Process, record: ThreadRecord, order: Start, timeout: float, in_place: bool) -> Pid:
    try:
        if in_place:
            run_first(process, record, order)
        in_time = wait_for(order, record, me, deadline_after(timeout))
    except BaseException:  # the starter was killed or interrupted, or its stack is full
        _abandon(process, me, record, order)
        raise
    signals.unwatch(process, order)
    if not in_time:
        signals.unlink(me, process)
        signals.end(process, "killed")
        _forget_exit(process, me)
        raise StartTimeout("timeout")
    succeeded, reason = order.value
    if succeeded:
        return process
    _forget_exit(process, me)
    if order.ignored:
        raise Ignored(f"{process.initial_call} returned Ignore() from init")
    error = StartError(reason)
    error.pid = process.pid
    raise error from (order.cause or (reason if isinstance(reason, BaseException) else None))


def _forget_exit(process: Process, me: Process) -> None:
    """Drop the Exit of a process that could not be started: the starter learns it from the error."""
    if me.trap_exit:
        mailbox.take_all(me, lambda message: type(message) is Exit and message.pid is process.pid)
