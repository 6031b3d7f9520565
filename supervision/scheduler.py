"""The scheduler: which process runs next, and on which thread.

Owns the run queue, the slices and what a worker does when there is nothing to run. The two flags that every process
carries, and why no wake-up is lost:

* ``queued`` is taken by whoever puts the process on the run queue and dropped by whoever pops it.
* ``running`` is taken by whoever runs the process and dropped after the slice.
* A sender first appends to the mailbox and then looks at the flags. A runner first drops ``running`` and then looks
  at the mailbox. A popper first drops ``queued`` and then takes ``running``.

So if the sender finds ``running`` held, the runner has yet to look and finds the message; if it finds ``queued`` held,
the popper has yet to take ``running``, and either runs the process or finds a runner that has yet to look. Both flags
are real locks taken with ``acquire(False)``, and the mailbox is a deque, whose append and length are ordered with the
flags on every build; docs/runtime.md has the argument in full.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Final

from supervision.expected_blocks import expect_block, see_whether_it_blocked
from supervision.poller import ENDED, READABLE, Poller, Ready, Source, dispatch, new_poller
from supervision.process_table import Process, quarantined
from supervision.processors import Bell, Processors
from supervision.rough_timers import RoughTimers
from supervision.threads import ThreadRecord
from supervision.timers import Timer, Timers
from supervision.watchdog import Watchdog

__all__ = ["Scheduler", "bury", "deliver", "notify", "scheduler"]

# Slices between two looks at the events and timers while the run queue is never empty. A look is a system call, during
# which another thread could take the GIL, and for which one that waits for it begins its switch interval anew: looks
# that come more often than that, and are too short for it, would keep it waiting for ever.
LOOK_EVERY: Final = 64

# What a slice counts that gives the GIL away itself, as a read does, or while the switch interval is short. Such slices
# are long as well, and with this weight new readiness waits about a millisecond. ``hogs`` is read without its lock: a
# look too many or too few is no mistake.
WEIGHT: Final = 4

# Seconds. epoll_wait(2) takes its timeout as an int of milliseconds, which is less than 25 days; a later timer is
# looked at again after this one.
LONGEST_POLL: Final = 2_000_000.0


class Scheduler:
    """The run queue and the workers' loop. One per operating-system process (``scheduler``)."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Make everything new; also in a forked child, whose threads and descriptors are those of its parent."""
        self.run_queue: deque[Process] = deque()
        # How to wake the workers with nothing to do: the record of each that sleeps, and the poller for the one that
        # polls. Not its record: who has popped that may be late, and would then wake it out of some other wait. A
        # worker adds its entry and then looks at the run queue; an enqueuer appends to the run queue and then looks
        # here. Whoever pops an entry must wake it.
        self.idle: deque[Bell] = deque()
        self.timers = Timers()
        self.rough_timers = RoughTimers(self.add_timer, self.timers.cancel)
        self.poller: Poller = new_poller()
        # What the poller has found and nobody has handled yet. Shared, because the worker that found it may lose its
        # processor to the first of them, and the poller tells nothing twice.
        self.found: deque[tuple[Source, int]] = deque()
        # Test-and-set flag: held by the one worker that sleeps in the poller.
        self.polling = threading.Lock()
        self.processors = Processors(self.run_processor)
        self.watchdog = Watchdog(self.processors)
        self.processors.on_freed = self.watchdog.freed

    # What others ask for

    def enqueue(self, process: Process) -> None:
        """Put ``process`` on the run queue; the caller has just taken its ``queued`` flag."""
        self.run_queue.append(process)
        if self.idle:
            self._wake_one()
        elif self.processors.unassigned > 0:
            self.processors.start_one()

    def see_to_polling(self) -> None:
        """Have a worker wait for events; there may be none yet, if a foreign thread is the first to wait for one."""
        if self.processors.unassigned > 0:
            self.processors.start_one()

    def hand_off(self, record: ThreadRecord) -> None:
        """Give the calling thread's processor away: it is about to block."""
        self.processors.hand_off(record)

    def add_timer(self, timer: Timer) -> None:
        """Start ``timer``."""
        if self.timers.add(timer):
            # The poller's worker takes the flag before it reads the deadlines, so it reads this one or is woken.
            if self.polling.locked():
                self.poller.wake()
            elif self.processors.unassigned > 0:
                self.processors.start_one()

    def resize(self, processors: int) -> None:
        """Change the number of processors."""
        self.processors.resize(processors)
        for _ in range(len(self.idle)):  # those that are too many learn of it when they wake
            self._wake_one()

    def allow_threads(self, count: int) -> None:
        """Change how many workers there may be. What waits because there were too few does so no longer."""
        processors = self.processors
        processors.max_threads = count
        if processors.threads > 0:  # else nothing has had to wait yet
            for _ in range(1 + len(self.run_queue)):  # one for what the run queue does not show, events and timers
                if processors.unassigned > 0:
                    processors.start_one()

    # A worker's loop

    def run_processor(self, record: ThreadRecord) -> None:
        """Run actors until the processor is lost."""
        self.watchdog.notice()
        run_queue = self.run_queue
        looked = 0
        while True:
            if looked >= LOOK_EVERY or not run_queue:
                looked = 0
                if not self._find_work(record):
                    return
            process = self.pop()
            if process is None:
                continue
            looked += WEIGHT if process.kind == "connection" or self.watchdog.hogs else 1
            if process.running.acquire(False):
                parked = process.parked
                if parked is not None:
                    parked.release()  # the thread goes on, and ``running`` is now its
                else:
                    record.slice += 1
                    record.in_slice = True
                    self.run_slice(process, record)
                    record.in_slice = False
                    if record.lost.locked():
                        return
            del process  # an idle worker keeps nothing alive

    def pop(self) -> Process | None:
        """Take the next process off the run queue; None: another processor was quicker."""
        try:
            process = self.run_queue.popleft()
        except IndexError:
            return None
        try:
            process.queued.release()
        except RuntimeError:
            pass  # it was there twice (see ``deliver``)
        return process

    def run_slice(self, process: Process, record: ThreadRecord, message: Any = None) -> None:
        """Let ``process`` work for a slice, or on ``message`` alone; put it back on the queue if it has not finished.

        The caller has taken ``running``. Nothing in here raises (see ``Body``), unless the caller's stack is full; as
        long as ``carrier`` is the caller's, ``running`` is then still taken.
        """
        if not process.dead:
            began = expect_block(process, record, self.watchdog) if process.blocks else None
            outer = record.process
            record.process = process
            process.carrier = record
            if message is None:
                process.context.run(process.body.step, process, record)  # type: ignore[union-attr]
            else:
                process.context.run(process.body.take, message, process, record)  # type: ignore[union-attr]
            record.process = outer
            if began is not None:
                see_whether_it_blocked(process, began)
        process.carrier = None
        process.running.release()
        # Only now: what was sent during the slice found ``running`` held and left it to this look.
        if process.dead:
            bury(process)
            if record.spent:
                self.processors.discharge(record)
        elif (process.mailbox or process.system) and process.has_mail() and process.queued.acquire(False):
            self.enqueue(process)

    def _find_work(self, record: ThreadRecord) -> bool:
        """Look at events and timers, waiting for them if nothing else is to be done; False: the processor is gone."""
        if self.found:
            self._handle(record)
        elif not self.run_queue:
            return self._idle(record)
        elif self.polling.acquire(False):
            self.found.extend(self.poller.wait(0))
            self.polling.release()
            if self.idle and self.run_queue:
                self._wake_one()  # as in ``_idle``
            self._handle(record)
        return not record.lost.locked()

    def _idle(self, record: ThreadRecord) -> bool:
        """Wait for events as the one poller, or to be woken."""
        if self.processors.unassigned < 0 and self._retire(record):
            return False
        record.idling = True
        if self.polling.acquire(False):
            self.found.extend(self._poll())
            record.idling = False
            self.polling.release()  # between that store and the look below, as ``Watchdog.asleep`` asks for
            # After the release: one that goes to sleep finds that nobody polls, or is found here and polls itself while
            # this one works. Mostly there is none, since an enqueuer takes those that sleep first.
            if self.run_queue and self.idle:
                self._wake_one()
        else:
            self._sleep(record)
            record.idling = False
            self.watchdog.notice()
        if self.watchdog.asleep:
            self.watchdog.notice()
        self._handle(record)
        return not record.lost.locked()

    def _retire(self, record: ThreadRecord) -> bool:
        """Drop this idle worker's processor if there are too many; another idle one then serves events and timers."""
        if not self.processors.retire(record):
            return False
        if self.idle:
            self._wake_one()
        return True

    def _poll(self) -> Ready:
        # To the left, where it is popped last: as long as another one sleeps, that one gets the work and this one goes
        # on to watch. Else events would wait for the end of a slice while a worker has nothing to do.
        self.idle.appendleft(self.poller)
        # After the append: an enqueuer either finds this worker in ``idle`` or its work is found here.
        timeout: float | None = 0
        if not (self.run_queue or self.found):
            deadline = self.timers.next_deadline()
            timeout = None if deadline is None else min(max(0.0, deadline - time.monotonic()), LONGEST_POLL)
        ready = self.poller.wait(timeout)
        try:
            self.idle.remove(self.poller)
        except ValueError:
            pass  # popped by an enqueuer, whose wake-up at worst ends the next wait early
        return ready

    def _sleep(self, record: ThreadRecord) -> None:
        self.idle.append(record)
        # After the append: who enqueues or stops polling finds this worker in ``idle``, or what it did is found here.
        if (self.run_queue or self.found or not self.polling.locked()) and self._withdraw(record):
            return  # else it was popped: its bell is about to be rung, and must be waited for
        # Ends by whoever pops this worker: an enqueuer, or the one that polls, if it is about to work instead. Or by
        # ``_wake_all``, which leaves it where it is.
        record.bell.acquire()
        self._withdraw(record)

    def _withdraw(self, record: ThreadRecord) -> bool:
        """Take a worker out of ``idle``; False: it has been popped."""
        try:
            self.idle.remove(record)
        except ValueError:
            return False
        return True

    def _handle(self, record: ThreadRecord) -> None:
        """Tell who must know of what was found, as long as there is a processor, and fire the timers."""
        idle, found = self.idle, self.found
        while found:
            try:
                source, how = found.popleft()
            except IndexError:  # another worker took it first
                break
            # With another worker idle the run queue shares the work out. Without, it would only be a detour.
            if how & READABLE and type(source) is Source and not idle:
                if not self._run_readable(source, how, record):
                    return
            else:
                dispatch(source, how, deliver)
        self.timers.fire_due()

    def _run_readable(self, source: Source, how: int, record: ThreadRecord) -> bool:
        """Run the process of a readable source at once, if it has nothing else to do: the path of every request.

        What ``dispatch``, the mailbox, the run queue and ``run_slice`` would do one after the other. The caller holds a
        processor, which only a slice can lose; False: it is gone.
        """
        process = source.process
        if source.writer is not None or process.mailbox or process.system or not process.running.acquire(False):
            dispatch(source, how, deliver)
            return True
        if process.parked is not None or process.dead or process.suspended or not source.armed:
            self._run_otherwise(process, source, how)
            return True
        # Nobody waits for the source: a thread that does holds ``running``, or has parked.
        if how & ENDED:
            source.ended = True  # before the process can read
        began = expect_block(process, record, self.watchdog) if process.blocks else None
        record.slice += 1
        record.in_slice = True
        record.process = process
        process.carrier = record
        process.context.run(process.body.readable, process, record)  # type: ignore[union-attr]
        process.carrier = None
        record.process = None
        record.in_slice = False
        if began is not None:
            see_whether_it_blocked(process, began)
        process.running.release()
        if process.dead:
            bury(process)
            if record.spent:
                self.processors.discharge(record)
        elif (process.mailbox or process.system) and process.has_mail() and process.queued.acquire(False):
            self.enqueue(process)
        return not record.lost.locked()

    def _run_otherwise(self, process: Process, source: Source, how: int) -> None:
        process.running.release()
        if process.dead:
            bury(process)
        dispatch(source, how, deliver)  # also of the dead: what is still to be sent for them may wait for it
        if process.has_mail():  # sent while ``running`` was held here
            notify(process)

    def _wake_one(self) -> None:
        try:
            sleeper = self.idle.pop()
            try:
                sleeper.wake()
            except Exception:  # the stack is full: it sleeps on, to be found by the next
                self.idle.append(sleeper)
                raise
        except IndexError:
            return  # it is awake already and looks at the run queue
        except BaseException:  # Ctrl-C in the main thread, or a full stack
            self._wake_all()
            raise

    def _wake_all(self) -> None:
        """Wake all that have nothing to do: Ctrl-C has hit who was to wake one, and nobody can tell which."""
        self.poller.wake()
        with self.processors.lock:
            idling = [record for record in self.processors.holders if record.idling]
        for record in idling:
            record.wake()


def deliver(process: Process, message: Any) -> None:
    """Put ``message`` into the mailbox of ``process`` and see to it that it runs; dropped if it is dead."""
    if process.dead:
        return
    process.mailbox.append(message)
    # ``notify`` written out: this is the commonest thing that happens at all. Under a flood both flags are mostly held,
    # and to look at one costs a fraction of an attempt to take it.
    if process.running.locked() or process.queued.locked():
        return
    try:
        if (process.parked is None or not resume(process)) and process.queued.acquire(False):
            scheduler.enqueue(process)
    except BaseException:
        # Ctrl-C in the main thread, or a full stack, which has room for no function, but for calls of C. How far it
        # came cannot be known. A process that is on the queue twice is popped twice, which harms nobody. One that is
        # not there while its flag is taken would never run again.
        scheduler.run_queue.append(process)
        try:
            process.queued.release()  # so that the next sender sees to the rest, if what follows fails too
        except RuntimeError:
            pass  # it was not taken, or has been popped
        scheduler.enqueue(process)
        raise


def notify(process: Process) -> None:
    """See to it that ``process`` runs, after something was put where it looks (see the module's text)."""
    if process.running.locked():
        return
    try:
        if (process.parked is None or not resume(process)) and process.queued.acquire(False):
            scheduler.enqueue(process)
    except BaseException:  # as in ``deliver``
        scheduler.run_queue.append(process)
        try:
            process.queued.release()
        except RuntimeError:
            pass
        scheduler.enqueue(process)
        raise


def resume(process: Process) -> bool:
    """Wake the thread on which ``process`` waits in ``receive``; False if it waits no longer and is not running."""
    if not process.running.acquire(False):
        return True  # its holder drops it and then looks for mail
    parked = process.parked
    if parked is None:
        process.running.release()
        return False
    # ``release`` written out: on a full stack, which has room for no function, ``running`` would stay taken.
    parked.released = True
    parked.parker.release()
    return True


def bury(process: Process) -> None:
    """Let go of what a dead process held, or wake its thread so that it ends; ``running`` is never dropped again."""
    if not process.running.acquire(False):
        return
    parked = process.parked
    try:
        if parked is not None:
            parked.release()
        else:
            _clear(process)
    except BaseException:  # Ctrl-C in the main thread, which then buries it once more
        if parked is None or not parked.released:
            process.running.release()
        raise


def _clear(process: Process) -> None:
    body, process.body, process.context = process.body, None, None
    quarantined.pop(process, None)
    if body is not None:
        body.buried()
    at_burial, process.at_burial = process.at_burial, None
    if at_burial is not None:
        at_burial()


scheduler: Final = Scheduler()
