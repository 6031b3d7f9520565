"""Messages sent later: the timers of a user.

Counterpart: ``erlang:send_after/3`` and its family. They import from ``supervision.process``.
"""

from __future__ import annotations

import time
from typing import Any, Self

from supervision import arguments, names, signals, timed_messages
from supervision.death import run_as_guest
from supervision.deeds import do_later
from supervision.errors import BadType
from supervision.foreign import this_process
from supervision.log import logger
from supervision.process_table import Pid, Process
from supervision.scheduler import deliver, scheduler
from supervision.threads import library_call
from supervision.timed_messages import TimedMessage
from supervision.timers import Timer

__all__ = ["TimerRef", "cancel_timer", "exit_after", "read_timer", "send_after"]


class TimerRef:
    """What ``send_after`` returns. Opaque."""

    __slots__ = ("_dest", "_timer")

    def __init__(self, timer: Timer, dest: Any) -> None:
        self._timer = timer
        self._dest = dest

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


@library_call
def send_after(dest: Any, message: Any, milliseconds: int) -> TimerRef:
    """Sends ``message`` to ``dest`` after so many milliseconds, also if the caller has ended by then.

    Args:
        dest: a pid, whose timers end with it; or a name or a via, looked up when the timer fires (a via's
            ``whereis_name`` runs on a worker's thread then, as a process of its own).
        message: anything.
        milliseconds: a whole number, less than 2**52.

    Counterpart: ``erlang:send_after/3``.
    """
    deadline = _deadline(dest, milliseconds)
    if isinstance(dest, Pid):
        return TimerRef(timed_messages.deliver_at(deadline, dest._process, message), dest)
    timer = Timer(deadline, _send_late, (dest, message))
    scheduler.add_timer(timer)
    return TimerRef(timer, dest)


@library_call
def exit_after(dest: Any, reason: Any, milliseconds: int) -> TimerRef:
    """Sends the exit signal ``reason`` to ``dest``, as ``exit`` does, after so many milliseconds.

    Args:
        dest: as of ``send_after``; nobody behind it then is no error.
        reason: the exit reason; ``"kill"`` kills.
        milliseconds: a whole number, less than 2**52.

    Counterpart: ``timer:exit_after/3``, ``timer:kill_after/2``.
    """
    timer = Timer(_deadline(dest, milliseconds), _exit_late, (dest, reason, this_process().pid))
    scheduler.add_timer(timer)
    return TimerRef(timer, dest)


def _deadline(dest: Any, milliseconds: int) -> float:
    """When a timer is due, on the monotonic clock in seconds; refuses what is no time and no destination."""
    arguments.milliseconds("milliseconds", milliseconds, infinity=False)
    names.check_destination(dest)
    return time.monotonic() + milliseconds / 1000


def _send_late(argument: tuple[Any, Any]) -> None:
    dest, message = argument
    if isinstance(dest, str):
        _deliver(dest, message)
    else:  # a via is the user's, and may wait
        do_later(run_as_guest, _deliver, dest, message)


def _deliver(dest: Any, message: Any) -> None:
    target = _find_late(dest)
    if target is not None:
        deliver(target, message)


def _exit_late(argument: tuple[Any, Any, Pid]) -> None:
    # The user's code is part of many a death, and may wait.
    do_later(run_as_guest, _exit, *argument)


def _exit(dest: Any, reason: Any, sender: Pid) -> None:
    target = _find_late(dest)
    if target is not None:
        signals.exit_signal(sender, target, reason)


def _find_late(dest: Any) -> Process | None:
    try:
        return names.find(dest)
    except Exception:  # a via is the user's; ``do_later`` could not say what its failure means
        logger.exception("a timer's message could not be sent: %r could not be looked up", dest)
        return None


@library_call
def cancel_timer(ref: TimerRef) -> int | None:
    """Cancels a timer.

    Returns:
        The milliseconds that were left, or None if it had fired or been cancelled.

    Counterpart: ``erlang:cancel_timer/1``.
    """
    timer = _timer_of(ref)
    return _left(timer) if _cancel(timer, ref._dest) else None


def _cancel(timer: Timer, dest: Any) -> bool:
    if isinstance(timer, TimedMessage):
        return timed_messages.cancel(dest._process, timer)
    return scheduler.timers.cancel(timer)


@library_call
def read_timer(ref: TimerRef) -> int | None:
    """Returns the milliseconds left, or None if the timer has fired or been cancelled.

    Counterpart: ``erlang:read_timer/1``.
    """
    timer = _timer_of(ref)
    return _left(timer) if scheduler.timers.is_pending(timer) else None


def _left(timer: Timer) -> int:
    return max(0, round((timer.deadline - time.monotonic()) * 1000))


def _timer_of(ref: TimerRef) -> Timer:
    if not isinstance(ref, TimerRef):
        raise BadType(f"ref must be a TimerRef, got {ref!r}")
    return ref._timer
