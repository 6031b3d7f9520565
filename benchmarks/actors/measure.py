"""How work is timed and memory weighed, the same for all runtimes."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

#: Live actors whose memory is weighed.
ACTORS = 10_000

#: Actors in the ring, and hops of one message through it.
RING_SIZE = 100
RING_HOPS = 20_000

#: Messages cast before the sum is asked for; calls made, and actors started and stopped, by an actor before it reports;
#: processes spawned before the last one is waited for.
CASTS = 20_000
CALLS = 1_000
STARTS = 100
SPAWNS = 1_000

PAGE = os.sysconf("SC_PAGE_SIZE")


def rate(batch: Callable[[], None], size: int, seconds: float) -> float:
    """Operations per second of a batch of `size` operations, repeated for `seconds` after one that is not counted."""
    batch()
    done = 0
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds or not done:
        batch()
        done += size
    return done / elapsed


def bytes_each(start_all: Callable[[int], object]) -> float:
    """Growth of resident memory per actor, when `start_all(count)` has started that many and keeps them alive."""
    start_all(1)
    gc.collect()
    before = _resident_bytes()
    alive = start_all(ACTORS)
    gc.collect()
    grown = _resident_bytes() - before
    del alive
    return grown / ACTORS


def resident_with(start_all: Callable[[int], object], count: int) -> float:
    """Resident bytes of this process, when `start_all(count)` has started that many and keeps them alive."""
    alive = start_all(count)
    gc.collect()
    found = _resident_bytes()
    del alive
    return found


def expect(found: object, wanted: object) -> None:
    """Raises `ValueError` unless an actor's answer is the right one."""
    if found != wanted:
        raise ValueError(f"an actor answered {found!r} instead of {wanted!r}")


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
