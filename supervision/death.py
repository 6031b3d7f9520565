"""How a process dies, and how all who must hear of it do.

The order of a death, which others rely on: sealed → name, owned things and its own monitors released → crash report →
EXIT to the linked → DOWN to the monitoring → its thread pushed out. All of it before the call that caused it returns.

A death that has been sealed is announced, whatever comes in between: Ctrl-C in the main thread, a stack without room
left. Each step can be done once more without harm, and the deaths of one cause are in a list that says how far each has
come. Who is interrupted does the rest before the interruption goes on its way (``complete``). Ctrl-C comes after a call
or at the beginning of one; so steps that belong together are stores without a call in between.

The user's code that runs on the way, of a via or a handler of the log, may wait: it has a process of its own, since the
dead one has no right to.
"""

from __future__ import annotations

import contextvars
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from supervision import exits, names, reports
from supervision.deeds import HiddenBody, do_later
from supervision.exits import Delivery
from supervision.log import logger
from supervision.messages import Exit
from supervision.process_table import Owned, Pid, Process, Watcher, live_processes, quarantined
from supervision.scheduler import bury, notify, scheduler
from supervision.stacks import stack_of
from supervision.threads import ThreadRecord, current, interpreter, strike
from supervision.timers import Timer

__all__ = ["TOLD", "Death", "announce", "complete", "end", "exit_queue", "run_as_guest", "seal", "unwatch"]

# What ``monitored_by`` is in the end; it stays empty.
TOLD: Final[dict[Any, Watcher]] = {}

# Seconds after which the thread of a dead process counts as stuck and is logged.
STUCK_AFTER_SECONDS: Final = 1.0


class Death:
    """A process that is dead, what it held when it died, and how far the news of it has come.

    Attributes:
        process: who.
        reason: with which reason.
        sealed: whether it is dead because of this.
        links: to whom it was linked.
        owned: what it owned.
        wait: the wait in which its thread is.
        released: how many of the owned things have been released.
        signalled: how many of the linked have been sent their signal.
        reported: whether a supervisor has got its EXIT, and will report it.
        owed: who has mail by it and may not have been notified yet.
        told: whether all is done.
    """

    __slots__ = (
        "links",
        "owed",
        "owned",
        "process",
        "reason",
        "released",
        "reported",
        "sealed",
        "signalled",
        "told",
        "wait",
    )

    def __init__(self, process: Process, reason: Any) -> None:
        self.process = process
        self.reason = reason
        self.sealed = self.reported = self.told = False
        self.released = self.signalled = 0
        self.links: dict[Process, None] | None = None
        self.owned: dict[Owned, None] | None = None
        self.wait: Any = None
        self.owed: Process | None = None


def end(process: Process, reason: Any, crash: reports.Crash | None = None) -> None:
    """End ``process`` with ``reason``, and with it all that its exit signals end. Does nothing if it is dead."""
    deaths: list[Death] = []
    try:
        with process.lock:
            if process.dead:
                return
            seal(process, reason, crash, deaths)
        announce(deaths)
    except BaseException:  # Ctrl-C in the main thread, or a full stack; what is sealed must be announced
        try:
            complete(deaths)
        except RecursionError:  # it has no room for that either, but for calls of C
            undertaker.mailbox.append(deaths)
            scheduler.run_queue.append(undertaker)
        raise


def seal(process: Process, reason: Any, crash: reports.Crash | None, deaths: list[Death]) -> None:
    """Make ``process`` dead, and add its death to ``deaths``.

    The caller holds its lock, has seen that it lives, and will ``announce`` them, or ``complete`` if interrupted.
    """
    death = Death(process, reason)
    deaths.append(death)
    # Without a call from here on: Ctrl-C finds all of it done, or nothing.
    process.dead = death.sealed = True
    process.crash = crash
    death.links, process.links = process.links, None
    death.owned, process.owned = process.owned, None
    death.wait = process.wait


def complete(deaths: list[Death]) -> None:
    """Do what an interruption has left undone, before it goes on its way: here, or on a worker if that does not work.

    It does not if this thread is interrupted again, or if its stack has no room left.
    """
    try:
        announce(deaths)
    except BaseException:  # noqa: BLE001  the caller raises the first one
        do_later(announce, deaths, True)


class _Undertaker(HiddenBody):
    """Its process's mail are deaths that a thread on a full stack could not announce."""

    __slots__ = ()

    def step(self, process: Process, record: ThreadRecord) -> None:
        """Have each announced in a slice of its own."""
        while process.mailbox:
            do_later(announce, process.mailbox.popleft(), True)


# Made before it is needed: there is no room for that then. A new one in a forked child, where this may be taken.
undertaker = Process("deed", _Undertaker(), contextvars.Context())


def announce(deaths: list[Death], last: bool = False) -> None:
    """Let all hear of ``deaths``, and of those that they cause and add to the list.

    Args:
        deaths: those that are told already are passed over.
        last: whether nobody would try again: an interruption of the user's code is one of its errors then.
    """
    run_as_guest(_announce, deaths, last)


def run_as_guest(function: Callable[..., object], *args: Any) -> None:
    """Call what the user's code is part of. If that needs a process it gets one, which ends with the call."""
    record = current.record
    before = record.process, record.as_guest
    record.process, record.as_guest = None, True
    try:
        function(*args)
    finally:
        guest = record.process
        record.process, record.as_guest = before
        if guest is not None:
            end(guest, "normal")


def _announce(deaths: list[Death], last: bool) -> None:
    _let_all_go(deaths, last)
    for death in deaths:  # it grows on the way
        if death.sealed and not death.told:
            _tell(death, deaths, last)


def _let_all_go(deaths: list[Death], last: bool) -> None:
    """Have all that die together let go of what they hold.

    Nobody is told before that: a supervisor that restarts the child which it lost must not find the names of those
    that died with it taken.
    """
    for death in deaths:  # it grows on the way
        if death.sealed:
            _let_go(death, last)
            if death.links is not None:
                _seal_linked(death, death.links, deaths)


def _let_go(death: Death, last: bool) -> None:
    process = death.process
    live_processes.pop(process, None)
    names.release(process)
    if death.owned:
        _release_owned(death, death.owned, last)
    if process.monitors:
        _drop_monitors(process)


def _release_owned(death: Death, owned: dict[Owned, None], last: bool) -> None:
    for thing in itertools.islice(owned, death.released, None):
        try:
            thing.owner_died(death.process, death.reason)
        except BaseException as error:  # a via or a transport is the user's; or the links would never hear of the death
            if isinstance(error, KeyboardInterrupt | RecursionError) and not last:
                raise  # it may not be the thing's own, and the thing gets another chance
            logger.exception("%r could not be released when %r ended", thing, death.process.pid)
        death.released += 1


def _drop_monitors(process: Process) -> None:
    for ref, target in list((process.monitors or {}).items()):  # none: its thread has just dropped the last one
        unwatch(target, ref)
    process.monitors = None


def unwatch(target: Process, ref: Any) -> bool:
    """Take back ``watch``; False if the watcher has been told already."""
    with target.lock:
        watchers = target.monitored_by
        if watchers is None or watchers.pop(ref, None) is None:
            return False
        if not watchers:  # an empty dict keeps its memory, and every actor is watched once, by whoever starts it
            target.monitored_by = None
        return True


def _seal_linked(death: Death, links: dict[Process, None], deaths: list[Death]) -> None:
    """Make dead those linked processes to which the death is fatal."""
    for peer in links:
        if peer.trap_exit:  # it gets a message; should it leave off trapping just now, ``_signal_links`` ends it
            continue
        with peer.lock:
            if peer.links is None or death.process not in peer.links:
                continue  # unlinked, or dead itself
            delivery, why = exits.of_link_signal(death.reason, traps=peer.trap_exit)
            if delivery is Delivery.FATAL:
                seal(peer, why, None, deaths)


def _tell(death: Death, deaths: list[Death], last: bool) -> None:
    process, links = death.process, death.links
    if process.crash is not None and not any(_reports_for(peer, process) for peer in links or ()):
        reports.report(process)
    if links:
        _signal_links(death, links, deaths, last)
    if process.crash is not None and not death.reported:  # the parent has just died itself
        reports.report(process)
    _signal_monitors(death)
    if death.wait is not None:
        death.wait.fire()
    if process.mailbox or process.system:
        _drain(process)
    # Or each in a line of processes that start their successors would keep all before it in memory.
    process.ancestors = ()
    process.lineage = None
    process.parent = None
    _push_out(process)
    death.told = True


def _signal_links(death: Death, links: dict[Process, None], deaths: list[Death], last: bool) -> None:
    """Send EXIT along the links; notes whether the supervisor that started the process has got it and will report."""
    if death.owed is not None:
        _notify_owed(death)
    # The latest link first, which is the parent's last: what it started ends before its supervisor starts it again.
    for peer in itertools.islice(reversed(links), death.signalled, None):
        many = len(deaths)
        with peer.lock:
            _signal_link(death, peer, deaths)
        if death.owed is not None:
            _notify_owed(death)
        if len(deaths) > many:
            _let_all_go(deaths, last)
        death.signalled += 1


def _signal_link(death: Death, peer: Process, deaths: list[Death]) -> None:
    process = death.process
    if peer.links is None or process not in peer.links:
        return  # unlinked, or dead itself
    delivery, why = exits.of_link_signal(death.reason, traps=peer.trap_exit)
    if delivery is Delivery.FATAL:
        seal(peer, why, None, deaths)
        return
    if delivery is Delivery.IGNORED:
        del peer.links[process]
        return
    exit_, queue, reports_it = Exit(process, why), exit_queue(peer, process), _reports_for(peer, process)
    # Without a call in between: an interruption finds it sent, or the link still there.
    del peer.links[process]
    death.owed = peer
    death.reported = death.reported or reports_it
    queue.append(exit_)


def _notify_owed(death: Death) -> None:
    assert death.owed is not None
    notify(death.owed)
    death.owed = None


def _reports_for(peer: Process, process: Process) -> bool:
    return peer.kind == "supervisor" and process.parent is peer


def exit_queue(process: Process, sender: Pid) -> deque[Any]:
    """Where an Exit goes. A suspended process takes its parent's ahead of its mail, or it could not be shut down."""
    if process.suspended and process.parent is sender and process.system is not None:
        return process.system
    return process.mailbox


def _signal_monitors(death: Death) -> None:
    process = death.process
    while True:
        if death.owed is not None:
            _notify_owed(death)
        # One by one under the lock: a ``demonitor`` in between either removes its own or finds it delivered.
        with process.lock:
            if not process.monitored_by:
                process.monitored_by = TOLD
                return
            ref = next(iter(process.monitored_by))
            # It is told before it is taken off, and knows if it is told again.
            death.owed = process.monitored_by[ref].down(ref, process, death.reason)
            del process.monitored_by[ref]


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
    # A runner stores ``carrier`` before it looks at ``dead``, here it is the other way round, with the release and the
    # taking of a lock in between: so the runner sees the death or is seen here.
    carrier = process.carrier
    if carrier is not None and carrier is not current.record:
        quarantined[process] = carrier
        strike(process, carrier)
        _push_later(process, STUCK_AFTER_SECONDS)
    bury(process)


def _push_later(process: Process, seconds: float) -> None:
    scheduler.add_timer(Timer(time.monotonic() + seconds, _push_again, (process, seconds)))


def _push_again(stuck: tuple[Process, float]) -> None:
    """Push a thread that should have come back by now once more, and then each time twice as late.

    A push goes nowhere if it hits a destructor, or code that goes on after any exception, as an event loop's does.
    """
    process, seconds = stuck
    record = quarantined.get(process)
    if record is None or process.carrier is not record:
        quarantined.pop(process, None)
        return
    strike(process, record, again=True)
    _push_later(process, 2 * seconds)
    if seconds == STUCK_AFTER_SECONDS and not interpreter.ending:
        text = "the thread of %r, which is dead, is stuck in:\n%s"
        do_later(run_as_guest, logger.warning, text, process.pid, stack_of(record))  # a handler of the user's may wait
