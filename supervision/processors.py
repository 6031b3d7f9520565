"""Which threads run actors: processors, and the workers that hold them.

A *processor* is the right to take actors from the run queue; a worker holds at most one. A worker that is about to
block gives its processor away first (``hand_off``), one that has blocked already has it taken (``watchdog``); both
hand it to a spare worker or start one. The worker that lost it finishes what it runs and becomes a spare itself; one
that a kill has struck ends instead (``discharge``).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from supervision.errors import BadArgument
from supervision.log import logger
from supervision.stacks import blocked_places
from supervision.threads import GIL_ENABLED, ThreadRecord, current, end_quietly, interpreter
from supervision.timer_slack import minimise_timer_slack

__all__ = ["DEFAULT_MAX_THREADS", "Processors"]

# Far more threads than a program that blocks on purpose needs, far fewer than would take a machine down.
DEFAULT_MAX_THREADS: Final = 10_000

# Seconds that a worker without a processor waits for one before its thread ends. Long enough that a program which
# blocks now and then reuses its threads, short enough that a burst does not keep hundreds of them.
SPARE_SECONDS: Final = 5.0

# Seconds between two warnings that no further worker can be had: each would be about the same threads.
WARN_EVERY_SECONDS: Final = 10.0


class Bell(Protocol):
    """How to wake a thread that stands by."""

    def wake(self) -> None:
        """Have it look for a processor. Never blocks."""


class Processors:
    """The processors and their workers.

    ``lock`` guards ``spares``, ``threads``, ``unassigned``, ``count``, ``settled`` and ``holders``, and every taking of
    a processor by the watchdog. Nothing else is taken under it, and no thread is started under it.
    """

    def __init__(self, run: Callable[[ThreadRecord], None]) -> None:
        self.run = run
        # Re-entrant, and all is in order at each call made under it: a signal handler or a finalizer may send there.
        self.lock = threading.RLock()
        self.count = 1
        self.settled = False  # whether ``count`` is what was asked for; decided when the first worker is needed
        self.max_threads = DEFAULT_MAX_THREADS
        # Nobody holds these; workers for them start when there is work. Negative: so many too many are held, and the
        # next that are given away or fall idle are dropped.
        self.unassigned = 1
        self.threads = 0
        self.spares: list[ThreadRecord] = []
        self.holders: set[ThreadRecord] = set()
        self.last_warning = -WARN_EVERY_SECONDS
        self.on_freed: Callable[[ThreadRecord], None] = lambda record: None
        # How to wake those that could use a processor which cannot be placed (see ``stand_in``); whoever pops an entry
        # must wake it.
        self.standing_by: deque[Bell] = deque()

    def settle(self) -> None:
        """Decide how many there are, unless that is decided.

        Raises:
            BadArgument: the environment variable SUPERVISION_PROCESSORS is no such number.
        """
        if not self.settled:
            count = default_processors()
            with self.lock:
                if not self.settled:
                    self._resize(count)

    def resize(self, count: int) -> None:
        """Change how many there are. More come into use with the next work, fewer as workers fall idle or block."""
        with self.lock:
            self._resize(count)

    def _resize(self, count: int) -> None:
        self.unassigned += count - self.count
        self.count = count
        self.settled = True

    def start_one(self) -> None:
        """Put a processor that nobody holds to work, if there is one."""
        self.settle()
        if self.spares or self.threads < self.max_threads:
            self.place()

    def retire(self, record: ThreadRecord) -> bool:
        """Drop the processor of the calling worker, which is idle, if more are held than there should be."""
        with self.lock:
            if self.unassigned >= 0 or not record.lost.acquire(False):
                return False
            self.unassigned += 1
            self.holders.discard(record)
            return True

    def reclaim(self, record: ThreadRecord) -> bool:
        """Give the calling worker, which has lost its processor, one that nobody holds; False if there is none."""
        with self.lock:
            if self.unassigned <= 0:
                return False
            self._assign(record)
            self.unassigned -= 1  # last: on a full stack ``_assign`` may fail
            return True

    def hand_off(self, record: ThreadRecord) -> None:
        """Give the processor of the calling thread away, if it holds one, because it is about to block."""
        if record.worker and record.lost.acquire(False):
            try:
                with self.lock:
                    self.holders.discard(record)
                    self.unassigned += 1
                self.place()
            except BaseException:  # the stack is full: it will not block after all, and others wait for a processor
                self.reclaim(record)
                raise

    def discharge(self, record: ThreadRecord) -> None:
        """Take the processor off the calling worker, which is spent, and give it to another."""
        if record.depth:
            self.hand_off(record)  # the outer process goes on, for as long as it likes
        elif record.worker and record.lost.acquire(False):
            with self.lock:
                self.holders.discard(record)
                self.unassigned += 1  # placed as its thread ends, which makes room for another

    def take_from(self, record: ThreadRecord, slice_number: int) -> bool:
        """Take the processor of a worker that is still in its slice of that number; called by the watchdog."""
        with self.lock:
            if record not in self.holders or not record.in_slice or record.slice != slice_number:
                return False
            record.taken_by_watchdog = True  # first: the worker looks at it once it sees that it has lost
            if not record.lost.acquire(False):  # it hands off by itself right now
                record.taken_by_watchdog = False
                return False
            self.holders.discard(record)
            self.unassigned += 1
        self.place()
        return True

    def place(self) -> None:
        """Hand a processor that nobody holds to a spare worker, or to a new one; do nothing if there is none."""
        with self.lock:
            if self.unassigned <= 0:
                return
            if self.spares:
                record = self.spares.pop()
                self.unassigned -= 1
                self.holders.add(record)  # ``_assign`` written out: on a full stack there is room for calls of C alone
                record.lost.release()
                record.parker.release()  # ends the wait in ``_await``
                return
        self._start_worker()

    def offer(self) -> None:
        """Wake one that stands by: there is a processor that nobody holds."""
        try:
            bell = self.standing_by.popleft()
        except IndexError:
            return
        bell.wake()

    def _may_warn(self) -> bool:
        now = time.monotonic()
        if interpreter.ending or now - self.last_warning < WARN_EVERY_SECONDS:
            return False
        self.last_warning = now
        return True

    def _assign(self, record: ThreadRecord) -> None:
        self.holders.add(record)
        record.lost.release()  # last: from here the watchdog may take it again

    def _start_worker(self) -> None:
        """Start a worker for a processor that nobody holds; if there can be none, it waits for one to finish."""
        begun = threading.Lock()  # test-and-set: taken by the new thread, or here if there shall be none
        booked = False
        try:
            with self.lock:
                wanted = self.unassigned > 0
                booked = wanted and self.threads < self.max_threads
                if booked:
                    self.unassigned -= 1
                    self.threads += 1
            if booked:
                threading.Thread(target=self._work, args=(begun,), name="supervision-worker", daemon=True).start()
            elif wanted:
                self.offer()
                self._warn_that_all_are_blocked()
        except BaseException as error:  # Ctrl-C or a full stack, perhaps after the start; or the system has none left
            if booked and begun.acquire(False):
                with self.lock:
                    self.threads -= 1
                    self.unassigned += 1
                self.offer()
            if isinstance(error, RecursionError) or not isinstance(error, RuntimeError):
                raise
            if self._may_warn():
                logger.error("no thread can be started, other actors must wait: %s\n%s", error, blocked_places())

    def _warn_that_all_are_blocked(self) -> None:
        if self._may_warn():
            logger.warning(
                "all %d threads are blocked, other actors must wait:\n%s", self.max_threads, blocked_places()
            )

    def _work(self, begun: threading.Lock) -> None:
        if not begun.acquire(False):  # who started this thread was interrupted, and has given it up
            return
        record = current.record
        record.worker = True
        if GIL_ENABLED:
            minimise_timer_slack()
        end_quietly()
        with self.lock:
            self._assign(record)
        while True:
            self.run(record)  # returns when the processor is lost
            if not record.worker:  # this is a forked child, which has come back out of the code that forked
                return
            if record.taken_by_watchdog:
                record.taken_by_watchdog = False
                self.on_freed(record)
            if (record.spent and self._is_replaced()) or not self._await(record):
                return

    def _is_replaced(self) -> bool:
        """Leave the processors to other workers; False if there is one that none can be had for."""
        with self.lock:
            self.threads -= 1
        self.place()
        with self.lock:
            if self.unassigned <= 0 or self.threads >= self.max_threads:
                return True
            self.threads += 1
            return False

    def _await(self, record: ThreadRecord) -> bool:
        """Wait as a spare until there is a processor (True) or it was not needed for ``SPARE_SECONDS`` (False)."""
        with self.lock:
            if self.unassigned > 0:
                self.unassigned -= 1
                self._assign(record)
                return True
            self.spares.append(record)
        if record.parker.acquire(True, SPARE_SECONDS):
            return True
        with self.lock:
            if record in self.spares:
                self.spares.remove(record)
                self.threads -= 1
                return False
        return record.parker.acquire()  # chosen while timing out: the release is certain, ``place`` has it under way


def default_processors() -> int:
    """The number of processors: SUPERVISION_PROCESSORS, else 1 with the GIL and one per CPU without it.

    Raises:
        BadArgument: SUPERVISION_PROCESSORS is no such number.
    """
    asked = os.environ.get("SUPERVISION_PROCESSORS", "")
    if asked:
        if not (asked.isascii() and asked.isdecimal() and int(asked)):
            raise BadArgument(f"SUPERVISION_PROCESSORS must be a whole number, at least 1, got {asked!r}")
        return int(asked)
    if GIL_ENABLED:
        return 1
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return os.cpu_count() or 1
