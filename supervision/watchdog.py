"""The watchdog: notices that a worker is blocked in code the library does not own, and moves its processor.

One thread, asleep whenever nothing runs. While actors run it looks at every processor once per tick: a worker that is
in the same slice as a tick ago has blocked (a sleep, a database driver) or computes.
"""

from __future__ import annotations

import sys
import threading
from typing import Final

from supervision.processors import Processors
from supervision.threads import GIL_ENABLED, ThreadRecord

__all__ = ["Watchdog"]

# Seconds between two looks. A callback counts as blocking at the second look that finds it, after 5 to 10 ms.
TICK_SECONDS: Final = 0.005

# Ticks without anything running after which the watchdog goes to sleep. A busy server leaves gaps of a few
# milliseconds, and falling asleep and waking for each of them would cost more than ticking on.
LINGER_TICKS: Final = 40

# While a callback computes, every other thread gets the GIL only after the switch interval (5 ms by default), and a
# request needs it about three times. This is the interval meanwhile, in seconds, for each callback that may compute:
# whoever waits for the GIL wakes up once in an interval, so many of them need a longer one. See docs/performance.md.
HOGGED_SWITCH_INTERVAL: Final = 0.00001

# Seconds of that interval for each worker: where more than a hundred may wait for the GIL at once, as when a stop kills
# a thousand blocked connections, they would do little but wake up to see whether it is their turn.
INTERVAL_PER_WORKER: Final = 0.0000001


class Watchdog:
    """The thread and what it remembers between two ticks.

    ``lock`` guards ``asleep``, ``hogs`` and the switch interval. ``asleep`` is set by the watchdog before it sleeps
    without a timeout, and until it is first needed; whoever clears it is the one that wakes the thread. A worker stores
    ``idling`` and then looks at ``asleep``, here it is the other way round, so one of the two sees the other. Both have
    an operation of a lock in between, which orders the two accesses on every build.
    """

    def __init__(self, processors: Processors) -> None:
        self.processors = processors
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.parker = threading.Lock()
        self.parker.acquire()
        self.asleep = True
        self.hogs: set[ThreadRecord] = set()
        self.usual_interval: float | None = None
        self.interval = 0.0  # the one set last, while there is a usual one to restore
        self.seen: dict[ThreadRecord, int] = {}

    def notice(self) -> None:
        """Be awake from now on; called by a worker that has found work."""
        with self.lock:
            if not self.asleep:
                return
            self.asleep = False
            start = self.thread is None
            if start:
                self.thread = threading.Thread(target=self._watch, name="supervision-watchdog", daemon=True)
            else:
                self.parker.release()
        if start:
            self._start()

    def _start(self) -> None:
        assert self.thread is not None
        try:
            self.thread.start()
        except RuntimeError:  # the system has no thread left, or the interpreter is ending; the next work tries again
            with self.lock:
                self.thread = None
                self.asleep = True

    def freed(self, record: ThreadRecord) -> None:
        """The worker that had lost its processor has finished its slice."""
        with self.lock:
            self.hogs.discard(record)
            if self.hogs:
                self._lower_interval()
            else:
                self.restore_interval()

    def _watch(self) -> None:
        idle_ticks = 0
        while True:
            if idle_ticks < LINGER_TICKS:
                self.parker.acquire(True, TICK_SECONDS)
            else:
                self._sleep()
            idle_ticks = 0 if self._look() else idle_ticks + 1

    def _sleep(self) -> None:
        with self.lock:
            self.asleep = True
        if self._anything_runs():
            with self.lock:
                if self.asleep:
                    self.asleep = False
                    return
        self.parker.acquire()  # ends by ``notice``, which is called whenever a worker has found work

    def _anything_runs(self) -> bool:
        return any(not record.idling for record in self._holders())

    def _holders(self) -> list[ThreadRecord]:
        with self.processors.lock:
            return list(self.processors.holders)

    def _look(self) -> bool:
        """Take the processors of all that are in the slice they were in a tick ago; True if anything has run."""
        before, self.seen = self.seen, {}
        active = False
        for record in self._holders():
            number = record.slice
            active = active or before.get(record) != number or record.in_slice
            self.seen[record] = number
            if record.in_slice and before.get(record) == number:
                self._take(record, number)
        return active

    def _take(self, record: ThreadRecord, number: int) -> None:
        with self.lock:  # first, so that the worker's ``freed`` cannot come before it
            self.hogs.add(record)
            self._lower_interval()
        if not self.processors.take_from(record, number):
            self.freed(record)

    def _lower_interval(self) -> None:
        if not GIL_ENABLED:
            return
        if self.usual_interval is None:
            self.usual_interval = self.interval = sys.getswitchinterval()
        hogs, workers = max(1, len(self.hogs)), self.processors.threads
        interval = min(max(hogs * HOGGED_SWITCH_INTERVAL, workers * INTERVAL_PER_WORKER), self.usual_interval)
        if interval != self.interval == sys.getswitchinterval():  # else the program has set its own meanwhile
            sys.setswitchinterval(interval)
            self.interval = sys.getswitchinterval()  # in whole microseconds

    def restore_interval(self) -> None:
        """Nothing computes any more: let threads take turns as they did before."""
        if self.usual_interval is not None:
            if sys.getswitchinterval() < self.usual_interval:
                sys.setswitchinterval(self.usual_interval)
            self.usual_interval = None
