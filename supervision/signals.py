"""Links, monitors, exit signals and death: how the end of one process reaches the others.

Everything here decides under ``Process.lock`` and acts outside it. Two such locks are taken together only by ``link``
and ``unlink``, in ascending order of the pids' numbers.

The order of a death, which others rely on: sealed → name, owned things and its own monitors released → crash report →
EXIT to the linked → DOWN to the monitoring → its thread pushed out. All of it before the call that caused it returns. A
signal that is fatal seals its receiver under the lock under which it was received, so that no ``unlink`` or
``trap_exit`` of the receiver can come in between.
"""

from __future__ import annotations

import time
from typing import Any, Final

from supervision import exits, names, reports
from supervision.exits import Delivery
from supervision.log import logger
from supervision.messages import Down, Exit
from supervision.process_table import Owned, Pid, Process, Ref, Watcher, live_processes, quarantined
from supervision.scheduler import bury, deliver, notify, scheduler
from supervision.stacks import stack_of
from supervision.threads import current, interpreter, strike
from supervision.timers import Timer

__all__ = [
    "ProcessMonitor",
    "demonitor",
    "disown",
    "end",
    "exit_signal",
    "forget_monitor",
    "link",
    "monitor",
    "own",
    "unlink",
    "unwatch",
    "watch",
    "watch_end",
    "watch_for",
]

# What ``monitored_by`` is in the end; it stays empty.
_TOLD: Final[dict[Any, Watcher]] = {}

# Seconds after which the thread of a dead process counts as stuck and is logged.
STUCK_AFTER_SECONDS: Final = 1.0


def link(one: Process, other: Process) -> bool:
    """Link two processes; False if ``other`` is dead."""
    if one is other:
        return True
    first, second = (one, other) if one._number < other._number else (other, one)
    with first.lock, second.lock:
        if other.dead or one.dead:
            return not other.dead
        if one.links is None:
            one.links = {}
        if other.links is None:
            other.links = {}
        one.links[other] = other.links[one] = None
    return True


def unlink(one: Process, other: Process) -> None:
    """Remove the link between two processes, if there is one. No EXIT of ``other`` comes by it afterwards."""
    if one is other:
        return
    first, second = (one, other) if one._number < other._number else (other, one)
    with first.lock, second.lock:
        if one.links is not None:
            one.links.pop(other, None)
        if other.links is not None:
            other.links.pop(one, None)


class ProcessMonitor:
    """A process that monitors another one. ``shown`` is what its Down names; ``tag``, if not None, replaces Down."""

    __slots__ = ("shown", "tag", "watcher")

    def __init__(self, watcher: Process, shown: Any, tag: Any = None) -> None:
        self.watcher = watcher
        self.shown = shown
        self.tag = tag

    def message(self, ref: Any, reason: Any) -> Any:
        """What tells of the end."""
        return Down(ref, self.shown, reason) if self.tag is None else (self.tag, ref, self.shown, reason)

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """Queue the Down; the caller notifies."""
        watcher = self.watcher
        monitors = watcher.monitors
        if watcher.dead or monitors is None:
            return None
        # In this order: a ``demonitor`` that no longer finds its monitor must find the Down.
        watcher.mailbox.append(self.message(ref, reason))
        monitors.pop(ref, None)
        return watcher


def monitor(watcher: Process, target: Process | None, shown: Any, tag: Any = None) -> Ref:
    """Let ``watcher`` hear of the end of ``target``; at once with ``"noproc"`` if it is gone."""
    ref = Ref()
    if target is watcher:
        return ref
    process_monitor = ProcessMonitor(watcher, shown, tag)
    if target is None or not watch_for(watcher, target, ref, process_monitor):
        deliver(watcher, process_monitor.message(ref, "noproc"))
    return ref


def watch_for(owner: Process, target: Process, ref: Any, watcher: Watcher) -> bool:
    """``watch`` on behalf of ``owner``, whose end takes it back; False if ``target`` has ended."""
    monitors = owner.monitors
    if monitors is None:
        monitors = owner.monitors = {}
    monitors[ref] = target
    if watch(target, ref, watcher):
        if owner.dead:  # then its monitors may have been dropped before this one was among them
            unwatch(target, ref)
        return True
    monitors.pop(ref, None)
    return False


def watch(target: Process, ref: Any, watcher: Watcher) -> bool:
    """Have ``watcher`` told when ``target`` ends; False if it has ended."""
    with target.lock:
        if target.dead:
            return False
        if target.monitored_by is None:
            target.monitored_by = {}
        target.monitored_by[ref] = watcher
        return True


def watch_end(target: Process, ref: Any, watcher: Watcher) -> bool:
    """``watch``, also of one that is dead but has not let go of all it held yet; False: its watchers have been told."""
    with target.lock:
        if target.monitored_by is _TOLD:
            return False
        if target.monitored_by is None:
            target.monitored_by = {}
        target.monitored_by[ref] = watcher
        return True


def unwatch(target: Process, ref: Any) -> bool:
    """Take back ``watch``; False if the watcher has been told already."""
    with target.lock:
        watchers = target.monitored_by
        if watchers is None or watchers.pop(ref, None) is None:
            return False
        if not watchers:  # an empty dict keeps its memory, and every actor is watched once, by whoever starts it
            target.monitored_by = None
        return True


def demonitor(watcher: Process, ref: Any) -> bool:
    """Stop monitoring; True if that prevented a Down, False if it is queued already or there was no such monitor."""
    target = forget_monitor(watcher, ref)
    return target is not None and unwatch(target, ref)


def forget_monitor(watcher: Process, ref: Any) -> Process | None:
    """Strike ``ref`` from what ``watcher`` monitors; returns what it stood for."""
    monitors = watcher.monitors
    return None if monitors is None else monitors.pop(ref, None)


def own(process: Process, thing: Owned) -> bool:
    """Let ``thing`` be released when ``process`` ends; False if it has ended."""
    with process.lock:
        if process.dead:
            return False
        if process.owned is None:
            process.owned = {}
        process.owned[thing] = None
        return True


def disown(process: Process, thing: Owned) -> bool:
    """Take back ``own``; False if it is released already, or being so, by the end of the process."""
    with process.lock:
        if process.owned is None or thing not in process.owned:
            return False
        del process.owned[thing]
        return True


def exit_signal(sender: Pid, target: Process, reason: Any) -> None:
    """Send an exit signal, as ``exit(pid, reason)`` does."""
    death = None
    with target.lock:
        if target.dead:
            return
        delivery, reason = exits.of_exit_signal(reason, traps=target.trap_exit, from_self=sender is target)
        if delivery is Delivery.MESSAGE:
            _post_exit(target, sender, reason)
        elif delivery is Delivery.FATAL:
            death = _seal(target, reason, None)
    if death is not None:
        _spread(death)
    elif delivery is Delivery.MESSAGE:
        notify(target)


def end(process: Process, reason: Any, crash: reports.Crash | None = None) -> None:
    """End ``process`` with ``reason``, and with it all that its exit signals end. Does nothing if it is dead."""
    with process.lock:
        if process.dead:
            return
        death = _seal(process, reason, crash)
    _spread(death)


class _Death:
    """A process that is dead, and what it held when it died."""

    __slots__ = ("links", "owned", "process", "reason", "wait")

    def __init__(self, process: Process, reason: Any) -> None:
        self.process = process
        self.reason = reason
        self.links, process.links = process.links, None
        self.owned, process.owned = process.owned, None
        self.wait = process.wait


def _seal(process: Process, reason: Any, crash: reports.Crash | None) -> _Death:
    """Make ``process`` dead. The caller holds its lock, has seen that it lives, and will ``_spread`` the news."""
    process.dead = True
    process.crash = crash
    return _Death(process, reason)


def _spread(death: _Death) -> None:
    """Let all who must hear of a death, and of those that it causes.

    Nobody is told before all that die together have let go of what they held: a supervisor that restarts the child
    which it lost must not find the names of those that died with it taken.
    """
    deaths = [death]
    for one in deaths:  # it grows on the way
        _let_go(one)
        if one.links is not None:
            _seal_linked(one, one.links, deaths)
    for one in deaths:
        _tell(one)


def _let_go(death: _Death) -> None:
    process = death.process
    live_processes.pop(process, None)
    names.release(process)
    if death.owned:
        _release_owned(process, death.reason, death.owned)
    if process.monitors:
        _drop_monitors(process)


def _seal_linked(death: _Death, links: dict[Process, None], deaths: list[_Death]) -> None:
    """Make dead those linked processes to which the death is fatal."""
    for peer in links:
        if peer.trap_exit:  # it gets a message; should it leave off trapping just now, ``_signal_links`` ends it
            continue
        with peer.lock:
            if peer.links is None or death.process not in peer.links:
                continue  # unlinked, or dead itself
            delivery, why = exits.of_link_signal(death.reason, traps=peer.trap_exit)
            if delivery is Delivery.FATAL:
                del peer.links[death.process]
                deaths.append(_seal(peer, why, None))


def _tell(death: _Death) -> None:
    process, reason = death.process, death.reason
    if process.crash is not None and not any(_reports_for(peer, process) for peer in death.links or ()):
        reports.report(process)
    reported_by_parent = death.links is not None and _signal_links(process, reason, death.links)
    if process.crash is not None and not reported_by_parent:  # the parent has just died itself
        reports.report(process)
    _signal_monitors(process, reason)
    if death.wait is not None:
        death.wait.fire()
    if process.mailbox or process.system:
        _drain(process)
    # Or each in a line of processes that start their successors would keep all before it in memory.
    process.ancestors = ()
    process.lineage = None
    process.parent = None
    _push_out(process)


def _release_owned(process: Process, reason: Any, owned: dict[Owned, None]) -> None:
    for thing in owned:
        try:
            thing.owner_died(process, reason)
        except Exception:  # a via or a transport is the user's; without this the links would never hear of the death
            logger.exception("%r could not be released when %r ended", thing, process.pid)


def _drop_monitors(process: Process) -> None:
    monitors, process.monitors = process.monitors, None
    for ref, target in list((monitors or {}).items()):  # none: its thread has just dropped the last one
        unwatch(target, ref)


def _signal_links(process: Process, reason: Any, links: dict[Process, None]) -> bool:
    """Send EXIT along the links; True if the supervisor that started the process has got it and will report."""
    reported_by_parent = False
    # The latest link first, which is the parent's last: what it started ends before its supervisor starts it again.
    for peer in reversed(links):
        death = None
        with peer.lock:
            if peer.links is None or process not in peer.links:
                continue  # unlinked, or dead itself
            del peer.links[process]
            delivery, why = exits.of_link_signal(reason, traps=peer.trap_exit)
            if delivery is Delivery.MESSAGE:
                _post_exit(peer, process, why)
            elif delivery is Delivery.FATAL:
                death = _seal(peer, why, None)
        if death is not None:
            _spread(death)
        elif delivery is Delivery.MESSAGE:
            reported_by_parent = reported_by_parent or _reports_for(peer, process)
            notify(peer)
    return reported_by_parent


def _reports_for(peer: Process, process: Process) -> bool:
    return peer.kind == "supervisor" and process.parent is peer


def _post_exit(process: Process, sender: Pid, reason: Any) -> None:
    """Queue an Exit. A suspended process takes its parent's ahead of its mail, or it could not be shut down."""
    queue = process.mailbox
    if process.suspended and process.parent is sender and process.system is not None:
        queue = process.system
    queue.append(Exit(sender, reason))


def _signal_monitors(process: Process, reason: Any) -> None:
    while True:
        # One by one under the lock: a ``demonitor`` in between either removes its own or finds it delivered.
        with process.lock:
            if not process.monitored_by:
                process.monitored_by = _TOLD
                return
            ref = next(iter(process.monitored_by))
            notified = process.monitored_by.pop(ref).down(ref, process, reason)
        if notified is not None:
            notify(notified)


def _drain(process: Process) -> None:
    """Empty the sealed mailbox; crashes that a dead supervisor can no longer report are reported as they are."""
    for queue in (process.system, process.mailbox):
        while queue:
            try:
                message = queue.popleft()
            except IndexError:  # its thread, not pushed out yet, was quicker
                break
            if type(message) is Exit and message.pid._process.crash is not None:
                reports.report(message.pid._process)


def _push_out(process: Process) -> None:
    carrier = process.carrier
    if carrier is not None and carrier is not current.record:
        quarantined[process] = carrier
        strike(process, carrier)
        scheduler.add_timer(Timer(time.monotonic() + STUCK_AFTER_SECONDS, _log_stuck, process))
    bury(process)


def _log_stuck(process: Process) -> None:
    record = quarantined.get(process)
    if record is None or process.carrier is not record:
        quarantined.pop(process, None)
        return
    strike(process, record, again=True)
    if not interpreter.ending:
        logger.warning("the thread of %r, which is dead, is stuck in:\n%s", process.pid, stack_of(record))
