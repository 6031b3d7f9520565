"""Messages that a process gets at a given time, and does not keep alive once it has ended.

Whoever starts one may end before: it is delivered all the same. When the receiver ends it is dropped at once.
"""

from __future__ import annotations

from typing import Any

from supervision.process_table import Process
from supervision.scheduler import deliver, scheduler
from supervision.signals import disown, own
from supervision.timers import Timer

__all__ = ["TimedMessage", "cancel", "deliver_at"]


class TimedMessage(Timer):
    """The timer of one message; the process that will get it owns it."""

    __slots__ = ()

    def owner_died(self, process: Process, reason: Any) -> None:
        """Drop the message."""
        scheduler.timers.cancel(self)


def deliver_at(deadline: float, process: Process, message: Any) -> TimedMessage:
    """Have ``message`` delivered to ``process`` at ``deadline``, on the monotonic clock in seconds."""
    timer = TimedMessage(deadline, _arrive, None)
    timer.argument = (timer, process, message)  # no cycle for long: it is dropped when the timer fires or is cancelled
    scheduler.add_timer(timer)
    if not own(process, timer):
        scheduler.timers.cancel(timer)
    elif timer.action is None:  # it has fired before it was owned
        disown(process, timer)
    return timer


def cancel(process: Process, timer: TimedMessage) -> bool:
    """Cancel what ``deliver_at`` started for ``process``; False if it was too late."""
    disown(process, timer)
    return scheduler.timers.cancel(timer)


def _arrive(argument: tuple[TimedMessage, Process, Any]) -> None:
    timer, process, message = argument
    disown(process, timer)
    deliver(process, message)
