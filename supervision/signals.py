"""Links, monitors and exit signals: who hears of the end of a process. How it reaches them is told in ``death``.

Everything here decides under ``Process.lock`` and acts outside it. Two such locks are taken together only by ``link``
and ``unlink``, in ascending order of the pids' numbers. A signal that is fatal seals its receiver under the lock under
which it was received, so that no ``unlink`` or ``trap_exit`` of the receiver can come in between.
"""

from __future__ import annotations

from typing import Any, Final

from supervision import exits
from supervision.death import TOLD, Death, announce, complete, end, exit_queue, seal, unwatch
from supervision.exits import Delivery
from supervision.messages import Down, Exit
from supervision.process_table import Owned, Pid, Process, Ref, Watcher
from supervision.scheduler import deliver, notify

__all__ = [
    "ProcessMonitor",
    "demonitor",
    "disown",
    "end",
    "entrust",
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

# Frames of the stack that must be left to kill somebody: enough to have a worker announce it, if it comes to that.
ROOM: Final = 20


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

    __slots__ = ("shown", "tag", "told", "watcher")

    def __init__(self, watcher: Process, shown: Any, tag: Any = None) -> None:
        self.watcher = watcher
        self.shown = shown
        self.tag = tag
        self.told = False

    def message(self, ref: Any, reason: Any) -> Any:
        """What tells of the end."""
        return Down(ref, self.shown, reason) if self.tag is None else (self.tag, ref, self.shown, reason)

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """Queue the Down; the caller notifies."""
        watcher = self.watcher
        monitors = watcher.monitors
        if watcher.dead or monitors is None:
            return None
        if not self.told:
            message, mailbox = self.message(ref, reason), watcher.mailbox
            self.told = True  # no call in between: an interruption finds both done, or none
            mailbox.append(message)
        # After that: a ``demonitor`` that no longer finds its monitor must find the Down.
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
        if target.monitored_by is TOLD:
            return False
        if target.monitored_by is None:
            target.monitored_by = {}
        target.monitored_by[ref] = watcher
        return True


def demonitor(watcher: Process, ref: Any) -> bool:
    """Stop monitoring; True if that prevented a Down, False if it is queued already or there was no such monitor."""
    target = forget_monitor(watcher, ref)
    return target is not None and unwatch(target, ref)


def forget_monitor(watcher: Process, ref: Any) -> Process | None:
    """Strike ``ref`` from what ``watcher`` monitors; returns what it stood for."""
    monitors = watcher.monitors
    return None if monitors is None else monitors.pop(ref, None)


def entrust(process: Process, thing: Owned) -> None:
    """Let ``thing`` be released when ``process`` ends: here and now if it has ended.

    ``own`` is for those who then have something else to do.
    """
    if not own(process, thing):
        thing.owner_died(process, "killed")  # nobody kept why; who dies while it is at work is killed as a rule


def own(process: Process, thing: Owned) -> bool:
    """Let ``thing`` be released when ``process`` ends; False if it has ended, and then it is the caller's to release.

    See ``entrust``, which cannot leave it behind.
    """
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
    """Send an exit signal, as ``exit(pid, reason)`` does.

    Raises:
        RecursionError: the stack has no room for it; nothing has been sent.
    """
    deaths: list[Death] = []
    try:
        with target.lock:
            if target.dead:
                return
            delivery, reason = exits.of_exit_signal(reason, traps=target.trap_exit, from_self=sender is target)
            if delivery is Delivery.MESSAGE:
                exit_queue(target, sender).append(Exit(sender, reason))
            elif delivery is Delivery.FATAL:
                _find_room(ROOM)
                seal(target, reason, None, deaths)
        announce(deaths)
    except BaseException:  # Ctrl-C in the main thread; what is sealed must be announced
        if deaths:
            complete(deaths)
        raise
    if delivery is Delivery.MESSAGE:
        notify(target)


def _find_room(frames: int) -> None:
    if frames:
        _find_room(frames - 1)
