"""How much time of a processor a thread has used, and whether it wants one: what tells that it computes or sleeps."""

from __future__ import annotations

import time

__all__ = ["is_runnable", "processor_seconds"]

if hasattr(time, "pthread_getcpuclockid"):

    def processor_seconds(ident: int) -> float:
        """Seconds that the thread has run so far. It must be alive, or this reads what is no longer there."""
        return time.clock_gettime(time.pthread_getcpuclockid(ident))

else:

    def processor_seconds(ident: int) -> float:
        """Seconds that the thread may have run so far; this system does not tell."""
        return time.monotonic()


def is_runnable(native_id: int) -> bool:
    """Whether the thread with this number of the system's runs, or would if it were given a processor.

    False where the system does not tell, as Linux does.
    """
    try:
        with open(f"/proc/self/task/{native_id}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2].startswith(b"R")  # the state comes after the name in parentheses
    except OSError:  # there is no such thread any more
        return False
