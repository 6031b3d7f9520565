"""How late the kernel may end a wait of a worker's thread.

Linux gathers wake-ups and ends a timed wait up to 50 µs late by default. A thread that wants the GIL from one that
computes waits for it in such waits of ``sys.getswitchinterval()``, several times for each request; with an interval of
10 µs (see ``watchdog``) the slack would be most of what they take.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Final

__all__ = ["minimise_timer_slack"]

_PR_SET_TIMERSLACK: Final = 29  # prctl(2)


def minimise_timer_slack() -> None:
    """Have the timed waits of the calling thread end on time; without effect where there is no such setting."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1))  # in nanoseconds; 0 would be the default
