"""Links, monitors, exit signals and death: how the end of one process reaches the others.

Everything here decides under ``Process.lock`` and acts outside it. Two such locks are taken together only by ``link``
and ``unlink``, in ascending order of the pids' numbers.

The order of a death, which others rely on: sealed → name, owned things and its own monitors released → EXIT to the
linked → DOWN to the monitoring → its thread pushed out. All of it before the call that caused it returns.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections import deque
from contextlib import ExitStack
from typing import Any, Final

from supervision import exits, names, reports
from supervision.exits import Delivery
from supervision.messages import Down, Exit
from supervision.process_table import Owned, Pid, Process, Ref, Watcher, live_processes, quarantined
from supervision.scheduler import bury, deliver, notify, scheduler
from supervision.threads import current, strike
from supervision.timers import Timer

__all__ = ["ProcessMonitor", "demonitor", "disown", "end", "exit_signal", "link", "monitor", "own", "unlink", "unwatch", "watch"]

logger: Final = logging.getLogger("supervision")

# Seconds after which the thread of a dead process counts as stuck and is logged.
STUCK_AFTER_SECONDS: Final = 1.0


def link(one: Process, other: Process) -> bool:
    """Link two processes; False if ``other`` is dead."""
    if one is other:
        return True
    with ExitStack() as locks:
        _lock_both(locks, one, other)
        if other.dead or one.dead:
            return not other.dead
        one.links = {} if one.links is None else one.links
        other.links = {} if other.links is None else other.links
        one.links[other] = None
        other.links[one] = None
    return True


def unlink(one: Process, other: Process) -> None:
    """Remove the link between two processes, if there is one. No EXIT of ``other`` comes by it afterwards."""
    if one is other:
        return
    with ExitStack() as locks:
        _lock_both(locks, one, other)
        if one.links is not None:
            one.links.pop(other, None)
        if other.links is not None:
            other.links.pop(one, None)


def _lock_both(locks: ExitStack, one: Process, other: Process) -> None:
    for process in sorted((one, other), key=lambda process: process.pid._number):
        locks.enter_context(process.lock)


class ProcessMonitor:
    """A process that monitors another one. ``shown`` is what its Down names."""

    __slots__ = ("shown", "watcher")

    def __init__(self, watcher: Process, shown: Any) -> None:
        self.watcher = watcher
        self.shown = shown

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """Queue the Down; the caller notifies."""
        watcher = self.watcher
        if watcher.dead:
            return None
        if watcher.monitors is not None:
            watcher.monitors.pop(ref, None)
        watcher.mailbox.append(Down(ref, self.shown, reason))
        return watcher


def monitor(watcher: Process, target: Process | None, shown: Any) -> Ref:
    """Let ``watcher`` hear of the end of ``target``; at once with ``"noproc"`` if it is gone."""
    ref = Ref()
    if target is watcher:
        return ref
    if watcher.monitors is None:
        watcher.monitors = {}
    if target is not None:
        watcher.monitors[ref] = target
        if watch(target, ref, ProcessMonitor(watcher, shown)):
            return ref
        watcher.monitors.pop(ref, None)
    deliver(watcher, Down(ref, shown, "noproc"))
    return ref


def watch(target: Process, ref: Any, watcher: Watcher) -> bool:
    """Have ``watcher`` told when ``target`` ends; False if it has ended."""
    with target.lock:
        if target.dead:
            return False
        if target.monitored_by is None:
            target.monitored_by = {}
        target.monitored_by[ref] = watcher
        return True


def unwatch(target: Process, ref: Any) -> bool:
    """Take back ``watch``; False if the watcher has been told already."""
    with target.lock:
        return target.monitored_by is not None and target.monitored_by.pop(ref, None) is not None


def demonitor(watcher: Process, ref: Ref) -> bool:
    """Stop monitoring; True if that prevented a Down, False if it is queued already or there was no such monitor."""
    if watcher.monitors is None:
        return False
    target = watcher.monitors.pop(ref, None)
    return target is not None and unwatch(target, ref)


def own(process: Process, thing: Owned) -> bool:
    """Let ``thing`` be released when ``process`` ends; False if it has ended."""
    with process.lock:
        if process.dead:
            return False
        if process.owned is None:
            process.owned = {}
        process.owned[thing] = None
        return True


def disown(process: Process, thing: Owned) -> None:
    """Take back ``own``."""
    with process.lock:
        if process.owned is not None:
            process.owned.pop(thing, None)


def exit_signal(sender: Pid, target: Process, reason: Any) -> None:
    """Send an exit signal, as ``exit(pid, reason)`` does."""
    with target.lock:
        if target.dead:
            return
        delivery, reason = exits.of_exit_signal(reason, traps=target.trap_exit, from_self=sender is target.pid)
        if delivery is Delivery.MESSAGE:
            _post_exit(target, sender, reason)
    if delivery is Delivery.MESSAGE:
        notify(target)
    elif delivery is Delivery.FATAL:
        end(target, reason)


def end(process: Process, reason: Any, crash: reports.Crash | None = None) -> None:
    """End ``process`` with ``reason``, and with it all that its exit signals end. Does nothing if it is dead."""
    doomed: deque[tuple[Process, Any, reports.Crash | None]] = deque([(process, reason, crash)])
    while doomed:
        victim, why, known = doomed.popleft()
        _end_one(victim, why, known, doomed)


def _end_one(process: Process, reason: Any, crash: reports.Crash | None, doomed: deque[Any]) -> None:
    with process.lock:
        if process.dead:
            return
        process.dead = True
        process.exit_reason = reason
        process.crash = crash
        links, process.links = process.links, None
        owned, process.owned = process.owned, None
        wait = process.wait
    live_processes.pop(process.pid, None)
    names.release(process)
    _release_owned(process, reason, owned)
    _drop_monitors(process)
    reported_by_parent = _signal_links(process, reason, links, doomed)
    _signal_monitors(process, reason)
    if crash is not None and not reported_by_parent:
        reports.report(process)
    if wait is not None:
        wait.fire()
    _drain(process)
    _push_out(process)


def _release_owned(process: Process, reason: Any, owned: dict[Owned, None] | None) -> None:
    for thing in owned or ():
        try:
            thing.owner_died(process, reason)
        except Exception:  # a via or a transport is the user's; without this the links would never hear of the death
            logger.exception("%r could not be released when %r ended", thing, process.pid)


def _drop_monitors(process: Process) -> None:
    monitors, process.monitors = process.monitors, None
    for ref, target in list((monitors or {}).items()):
        unwatch(target, ref)


def _signal_links(process: Process, reason: Any, links: dict[Process, None] | None, doomed: deque[Any]) -> bool:
    """Send EXIT along the links; True if the supervisor that started the process has got it and will report."""
    reported_by_parent = False
    for peer in links or ():
        with peer.lock:
            if peer.links is None or process not in peer.links:
                continue  # unlinked, or dead itself
            del peer.links[process]
            delivery, why = exits.of_link_signal(reason, traps=peer.trap_exit)
            if delivery is Delivery.MESSAGE:
                _post_exit(peer, process.pid, why)
        if delivery is Delivery.MESSAGE:
            reported_by_parent = reported_by_parent or _reports_for(peer, process)
            notify(peer)
        elif delivery is Delivery.FATAL:
            doomed.append((peer, why, None))
    return reported_by_parent


def _reports_for(peer: Process, process: Process) -> bool:
    return peer.kind == "supervisor" and process.parent is peer.pid


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
                process.monitored_by = None
                return
            ref = next(iter(process.monitored_by))
            notified = process.monitored_by.pop(ref).down(ref, process, reason)
        if notified is not None:
            notify(notified)


def _drain(process: Process) -> None:
    """Empty the sealed mailbox; crashes that a dead supervisor can no longer report are reported as they are."""
    mail = [*(process.system or ()), *process.mailbox]
    process.mailbox.clear()
    process.system = None
    for message in mail:
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
    frame = sys._current_frames().get(record.ident)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no stack)"
    logger.warning("the thread of %r, which is dead, is stuck in:\n%s", process.pid, stack)
