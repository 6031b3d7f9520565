"""Which threads run actors: processors, and the workers that hold them.

A *processor* is the right to take actors from the run queue; a worker holds at most one. A worker that is about to
block gives its processor away first (``hand_off``), one that has blocked already has it taken (``watchdog``); both
hand it to a spare worker or start one. The worker that lost it finishes what it runs and becomes a spare itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from supervision.threads import ThreadRecord, current

__all__ = ["Processors"]

logger: Final = logging.getLogger("supervision")

# Seconds that a worker without a processor waits for one before its thread ends. Long enough that a program which
# blocks now and then reuses its threads, short enough that a burst does not keep hundreds of them.
SPARE_SECONDS: Final = 5.0

# Seconds between two warnings that ``max_threads`` was reached.
WARN_EVERY_SECONDS: Final = 10.0


class Processors:
    """The processors and their workers.

    ``lock`` guards ``spares``, ``threads``, ``unassigned`` and ``holders``, and every taking of a processor by
    the watchdog. Nothing else is taken under it, and no thread is started under it.
    """

    def __init__(self, count: int, max_threads: int, run: Callable[[ThreadRecord], None]) -> None:
        self.count = count
        self.max_threads = max_threads
        self.run = run
        self.lock = threading.Lock()
        self.unassigned = count  # nobody holds these; workers for them start when there is work
        self.threads = 0
        self.spares: list[ThreadRecord] = []
        self.holders: set[ThreadRecord] = set()
        self.last_warning = -WARN_EVERY_SECONDS
        self.on_limit: Callable[[], str] = str
        self.on_freed: Callable[[ThreadRecord], None] = lambda record: None

    def start_one(self) -> None:
        """Put a processor that nobody holds to work, if there is one."""
        with self.lock:
            if not self.unassigned or (not self.spares and self.threads >= self.max_threads):
                return
            self.unassigned -= 1
        self.place()

    def hand_off(self, record: ThreadRecord) -> None:
        """Give the processor of the calling thread away, if it holds one, because it is about to block."""
        if record.worker and record.lost.acquire(False):
            with self.lock:
                self.holders.discard(record)
            self.place()

    def take_from(self, record: ThreadRecord, slice_number: int) -> bool:
        """Take the processor of a worker that is still in its slice of that number; called by the watchdog."""
        with self.lock:
            if record not in self.holders or not record.in_slice or record.slice != slice_number:
                return False
            if not record.lost.acquire(False):  # it hands off by itself right now
                return False
            record.taken_by_watchdog = True
            self.holders.discard(record)
        self.place()
        return True

    def place(self) -> None:
        """Hand a processor to a spare worker, or to a new one."""
        with self.lock:
            if self.spares:
                record = self.spares.pop()
                self._assign(record)
                record.parker.release()  # ends the wait in ``_await``
                return
            if self.threads >= self.max_threads:
                self.unassigned += 1
                warn = self._may_warn()
            else:
                self.threads += 1
                warn = None
        if warn is None:
            self._start_thread()
        elif warn:
            logger.warning("all %d threads are blocked, actors must wait:\n%s", self.max_threads, self.on_limit())

    def resize(self, count: int, max_threads: int) -> None:
        """Change the numbers before the first worker has started."""
        with self.lock:
            self.unassigned += count - self.count
            self.count = count
            self.max_threads = max_threads

    def started(self) -> bool:
        """Whether any worker has ever been started and not ended."""
        return self.threads > 0

    def _may_warn(self) -> bool:
        now = time.monotonic()
        if now - self.last_warning < WARN_EVERY_SECONDS:
            return False
        self.last_warning = now
        return True

    def _assign(self, record: ThreadRecord) -> None:
        self.holders.add(record)
        record.lost.release()  # last: from here the watchdog may take it again

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="supervision-worker", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread left; the processor waits for a worker to finish
            with self.lock:
                self.threads -= 1
                self.unassigned += 1
            logger.error("no thread can be started for a processor: %s", error)

    def _work(self) -> None:
        record = current.record
        record.worker = True
        with self.lock:
            self._assign(record)
        while True:
            self.run(record)  # returns when the processor is lost
            if record.taken_by_watchdog:
                record.taken_by_watchdog = False
                self.on_freed(record)
            if not self._await(record):
                return

    def _await(self, record: ThreadRecord) -> bool:
        """Wait as a spare until there is a processor (True) or it was not needed for ``SPARE_SECONDS`` (False)."""
        with self.lock:
            if self.unassigned:
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
