"""How long a thread may keep the GIL while callbacks compute.

While one does, every other thread gets the GIL only after the switch interval (5 ms by default), and a request needs it
about three times. So the interval is short meanwhile; see docs/performance.md for what was measured.
"""

from __future__ import annotations

import sys
from typing import Final

from supervision.threads import GIL_ENABLED

__all__ = ["HOGGED_SWITCH_INTERVAL", "SwitchInterval"]

# Seconds for each callback that computes: whoever waits for the GIL wakes up once in an interval to ask for it, so many
# that wait need a longer one.
HOGGED_SWITCH_INTERVAL: Final = 0.00001

# Seconds for each worker: where more than a hundred may wait for the GIL at once, as when a stop kills a thousand
# blocked connections, they would do little but wake up to see whether it is their turn.
INTERVAL_PER_WORKER: Final = 0.0000001


class SwitchInterval:
    """The interval, as the program wants it and as it is meanwhile. Not locked: its owner sees to that."""

    def __init__(self) -> None:
        self.usual: float | None = None  # what is to be restored; None: it has not been changed
        self.own = 0.0  # the one set last

    def shorten(self, computing: int, workers: int) -> None:
        """Set it for so many callbacks that compute, among so many workers; one that is shorter already stays."""
        if not GIL_ENABLED:
            return
        if self.usual is None:
            self.usual = self.own = sys.getswitchinterval()
        interval = min(max(computing * HOGGED_SWITCH_INTERVAL, workers * INTERVAL_PER_WORKER), self.usual)
        if interval != self.own == sys.getswitchinterval():  # else the program has set its own meanwhile
            sys.setswitchinterval(interval)
            self.own = sys.getswitchinterval()  # in whole microseconds

    def restore(self) -> None:
        """Let threads take turns as they did before."""
        if self.usual is not None:
            if sys.getswitchinterval() == self.own:  # else the program has set its own meanwhile
                sys.setswitchinterval(self.usual)
            self.usual = None
