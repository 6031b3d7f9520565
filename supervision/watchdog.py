"""The watchdog: notices that a worker is blocked in code the library does not own, and moves its processor.

One thread, asleep whenever nothing runs. While actors run it looks at every processor once per tick: a worker that is
in the same slice as before has blocked (a sleep, a database driver) or computes (``late_slices`` tells which). While
it finds callbacks that block the ticks are short, since each of them holds up all others until it is found.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Final, NamedTuple

from supervision.late_slices import (
    SHORT_TICK_SECONDS,
    TICK_SECONDS,
    Sighting,
    Verdict,
    judge,
    judge_runnable,
    seem_to_block,
)
from supervision.processor_time import is_runnable, processor_seconds
from supervision.processors import Processors
from supervision.switch_interval import SwitchInterval
from supervision.threads import ThreadRecord
from supervision.timer_slack import minimise_timer_slack

__all__ = ["Watchdog"]

# Short ticks that follow each callback that has blocked: as long as a request may take to come after another.
SHORT_TICKS: Final = 40

# Seconds without anything running after which the watchdog goes to sleep. A busy server leaves gaps of a few
# milliseconds, and falling asleep and waking for each of them would cost more than ticking on.
LINGER_SECONDS: Final = 0.2

# Seconds of a processor that a callback must have used in a tick, and in the one before, to count as one that computes.
# Fifty that take turns use so much each. One that sleeps uses none, but while it waits for the GIL when it wakes up.
COMPUTES_SECONDS: Final = 0.0001


class _Use(NamedTuple):
    """What a thread uses of a processor.

    Attributes:
        seconds: how much it has used in all.
        was_much: whether it has used COMPUTES_SECONDS in the last tick.
    """

    seconds: float
    was_much: bool


class Watchdog:
    """The thread and what it remembers between two ticks.

    ``lock`` guards ``asleep``, ``hogs``, ``computing`` and the switch interval. ``asleep`` is set by the watchdog
    before it sleeps without a timeout, and until it is first needed; whoever clears it is the one that wakes the
    thread. A worker stores ``idling`` and then looks at ``asleep``, here it is the other way round, so one of the two
    sees the other. Both have an operation of a lock in between, which orders the two accesses on every build.

    The rest belongs to the watchdog's thread.
    """

    def __init__(self, processors: Processors) -> None:
        self.processors = processors
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.parker = threading.Lock()
        self.parker.acquire()
        self.asleep = True
        # The workers without a processor whose callbacks go on, each with what its thread had used when they were last
        # counted; and how many of them compute, as far as is known. The others sleep, and want no GIL.
        self.hogs: dict[ThreadRecord, _Use] = {}
        self.computing = 0
        self.switch_interval = SwitchInterval()
        self.seen: dict[ThreadRecord, Sighting] = {}
        self.short_ticks = 0  # how many are left
        self.next_count = 0.0  # when it is time to count again who computes

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

    def expect(self, record: ThreadRecord) -> None:
        """The calling worker is about to give its processor away because its callback will block, and may compute."""
        with self.lock:
            self.hogs[record] = _Use(math.inf, was_much=False)  # so that the first tick does not count
        record.taken_by_watchdog = True  # as if it were: when the slice is over it is freed

    def freed(self, record: ThreadRecord) -> None:
        """The worker that had no processor has finished its slice."""
        with self.lock:
            self.hogs.pop(record, None)
            self._set_interval(min(self.computing, len(self.hogs)))

    def _watch(self) -> None:
        minimise_timer_slack()
        ran_last = time.monotonic()
        while True:
            if time.monotonic() - ran_last < LINGER_SECONDS:
                self.parker.acquire(True, self._next_tick())
            else:
                self._sleep()
            now = time.monotonic()
            if self._look(now):
                ran_last = now

    def _next_tick(self) -> float:
        if not self.short_ticks:
            return TICK_SECONDS
        self.short_ticks -= 1
        return SHORT_TICK_SECONDS

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
        with self.processors.lock:
            return any(not record.idling for record in self.processors.holders)

    def _look(self, now: float) -> bool:
        """Take the processors of all that are late, as seen at the moment ``now``; True if anything has run."""
        if self.hogs and now >= self.next_count:
            self.next_count = now + TICK_SECONDS
            self._see_who_computes()
        before, self.seen = self.seen, {}
        active = False
        for record, found in self._sightings(now):
            active = self._look_at(record, before.get(record), found) or active
        return active

    def _sightings(self, now: float) -> list[tuple[ThreadRecord, Sighting]]:
        with self.processors.lock:  # no thread of theirs can have ended: before that it stops being a holder
            return [
                (record, Sighting(record.slice, record.in_slice, now, processor_seconds(record.ident)))
                for record in self.processors.holders
            ]

    def _look_at(self, record: ThreadRecord, seen: Sighting | None, found: Sighting) -> bool:
        if seen is None or seen.slice != found.slice:
            self.seen[record] = found
            if seen is not None and seem_to_block(seen, found, self.computing):
                self.short_ticks = SHORT_TICKS
            return True
        if not found.in_slice:
            self.seen[record] = seen
            return False
        verdict = judge(seen, found, self.computing)
        if verdict is Verdict.BLOCKED and is_runnable(record.native_id):  # the machine is busy with other things
            verdict = judge_runnable(seen, found)
        if verdict is Verdict.ON_TIME:
            self.seen[record] = seen
        else:
            self._take(record, found, computes=verdict is Verdict.COMPUTES)
        return True

    def _take(self, record: ThreadRecord, found: Sighting, *, computes: bool) -> None:
        with self.lock:  # first, so that the worker's ``freed`` cannot come before it
            self.hogs[record] = _Use(found.used, was_much=computes)
            self._set_interval(self.computing + computes)
        if not computes:
            self.short_ticks = SHORT_TICKS
        process = record.process
        if not self.processors.take_from(record, found.slice):
            self.freed(record)
        elif process is not None and not computes:
            process.blocks = 1  # it says itself how long that was

    def _see_who_computes(self) -> None:
        with self.lock:  # no thread of theirs can have ended: before that it is freed
            computing = 0
            for record, use in self.hogs.items():
                used = processor_seconds(record.ident)
                is_much = used - use.seconds >= COMPUTES_SECONDS
                computing += is_much and use.was_much
                self.hogs[record] = _Use(used, is_much)
            self._set_interval(computing)

    def _set_interval(self, computing: int) -> None:
        self.computing = computing
        if computing:
            self.switch_interval.shorten(computing, self.processors.threads)
        else:
            self.switch_interval.restore()
