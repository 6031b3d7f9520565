"""Whether a worker that is still in the same slice has blocked in foreign code, or computes.

Pure: the watchdog says what it has seen, and carries out what follows.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

__all__ = ["SHORT_TICK_SECONDS", "TICK_SECONDS", "Sighting", "Verdict", "judge", "judge_runnable", "seem_to_block"]

# Seconds between two looks. A callback that computes counts as late at the second look that finds it, after 5 to 10 ms.
TICK_SECONDS: Final = 0.005

# The same while callbacks are found to block: each holds all others up until it is found. Shorter ones would cost more
# of the processor than they give to the others; see docs/performance.md.
SHORT_TICK_SECONDS: Final = 0.00025

# What a thread uses of a processor, as a part of the time that has passed, when it has blocked: it may have run for the
# first moments of it.
HARDLY: Final = 0.1

# Short ticks that one without any progress gets for each callback that computes: it may be waiting for the GIL.
PATIENCE_PER_COMPUTING: Final = 4

# A look that comes a little early is no reason to wait for another tick.
ALMOST: Final = 0.9


class Sighting(NamedTuple):
    """A worker as it was when it was first seen in a slice, or after one.

    Attributes:
        slice: the number of the slice.
        in_slice: whether it was in the slice.
        since: the moment, on the monotonic clock in seconds.
        used: seconds of a processor that its thread had used until then.
    """

    slice: int
    in_slice: bool
    since: float
    used: float

    def has_stood_still(self, later: Sighting) -> bool:
        """Whether the thread has hardly run since."""
        return later.used - self.used < (later.since - self.since) * HARDLY


class Verdict(enum.Enum):
    """What a worker does that is still in the slice in which it was seen before."""

    ON_TIME = "it may go on"
    BLOCKED = "it sleeps"
    COMPUTES = "it takes long"


def judge(seen: Sighting, now: Sighting, computing: int) -> Verdict:
    """Tell what a worker does.

    Args:
        seen: how it was first seen in the slice in which it still is.
        now: how it is.
        computing: how many callbacks compute, for which others have to wait.
    """
    elapsed = now.since - seen.since
    patience = SHORT_TICK_SECONDS * (1 + PATIENCE_PER_COMPUTING * computing)
    if seen.has_stood_still(now) and elapsed >= min(patience, TICK_SECONDS) * ALMOST:
        return Verdict.BLOCKED
    return judge_runnable(seen, now)


def judge_runnable(seen: Sighting, now: Sighting) -> Verdict:
    """Tell what a worker does that runs, or would if the machine had a processor to give."""
    return Verdict.COMPUTES if now.since - seen.since >= TICK_SECONDS * ALMOST else Verdict.ON_TIME


def seem_to_block(seen: Sighting, now: Sighting, computing: int) -> bool:
    """Tell whether a worker that is in another slice than before seems to block in each, for less than a tick."""
    return not computing and seen.in_slice and now.in_slice and seen.has_stood_still(now)
