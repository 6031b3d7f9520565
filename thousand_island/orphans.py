"""Connections whose supervisor was killed.

They get its end as an order to end too, but one that is busy takes no orders, and nobody is left who would kill it
when its time is over. Here somebody is.

Differs: on the BEAM a busy process outlives a supervisor that was killed for as long as it likes.
"""

from __future__ import annotations

import time
from typing import Any

from supervision.deeds import do_later
from supervision.messages import BRUTAL_KILL, INFINITY
from supervision.process_table import Process
from supervision.scheduler import scheduler
from supervision.signals import exit_signal
from supervision.timers import Timer
from thousand_island.listening import Listening

__all__ = ["Orphans"]


class Orphans:
    """Owned by a supervisor of connections. One that ends in order leaves none behind."""

    def __init__(self, listening: Listening) -> None:
        self.listening = listening

    def owner_died(self, process: Process, reason: Any) -> None:
        """See to it that its connections are dead after ``shutdown_timeout``."""
        # By their links, which are still there: one that ``start_link`` has merely spawned has no parent.
        left = [one for one in list(self.listening.connections.live) if process in (one.links or ())]
        timeout = self.listening.config.shutdown_timeout
        if timeout == BRUTAL_KILL:
            _kill(left)
        elif left and timeout != INFINITY:
            scheduler.add_timer(Timer(time.monotonic() + float(timeout) / 1000, _kill_late, left))


def _kill_late(connections: list[Process]) -> None:
    # What a transport or a handler of telemetry does in a death may wait, and a timer may not.
    do_later(_kill, connections)


def _kill(connections: list[Process]) -> None:
    for one in connections:
        exit_signal(one.pid, one, "kill")
