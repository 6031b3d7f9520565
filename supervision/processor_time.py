"""How much time of a processor a thread has used, which tells one that computes from one that sleeps."""

from __future__ import annotations

import time

__all__ = ["processor_seconds"]

if hasattr(time, "pthread_getcpuclockid"):

    def processor_seconds(ident: int) -> float:
        """Seconds that the thread has run so far. It must be alive, or this reads what is no longer there."""
        return time.clock_gettime(time.pthread_getcpuclockid(ident))

else:

    def processor_seconds(ident: int) -> float:
        """Seconds that the thread may have run so far; this system does not tell."""
        return time.monotonic()
