"""Slices that will block in foreign code, as far as is known: their worker gives its processor away first.

The watchdog finds the first time that a process blocks, while all others wait. What it does in its next slices the
slice itself finds out.
"""

from __future__ import annotations

import time
from typing import Final

from supervision.process_table import Process
from supervision.threads import ThreadRecord
from supervision.watchdog import Watchdog

__all__ = ["expect_block", "see_whether_it_blocked"]

# Slices for which a process that has blocked is expected to do so again. One that does not costs a change of threads,
# one that does is no burden on others.
EXPECTED_BLOCKS: Final = 8

# Seconds without running, in such a slice, that confirm it: several changes of threads.
BLOCKED_SECONDS: Final = 0.0002


def expect_block(process: Process, record: ThreadRecord, watchdog: Watchdog) -> float:
    """Give the processor of the calling worker away, before a slice of ``process``.

    Returns:
        What ``see_whether_it_blocked`` asks for.
    """
    process.blocks -= 1
    if record.worker and not record.lost.locked():
        watchdog.expect(record)
        watchdog.processors.hand_off(record)
    return time.monotonic() - time.thread_time()


def see_whether_it_blocked(process: Process, began: float) -> None:
    """Expect the process to block again if it has, in the slice that has just ended."""
    if time.monotonic() - time.thread_time() - began >= BLOCKED_SECONDS:
        process.blocks = EXPECTED_BLOCKS
