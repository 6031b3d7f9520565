"""Selective receive: taking messages out of the caller's own mailbox, in the order it chooses.

Messages that do not match are set aside, in ``Process.skipped``, and put back in front when the receive ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from supervision.errors import BadType, Killed, ReceiveTimeout
from supervision.process_table import Process
from supervision.scheduler import scheduler
from supervision.threads import ThreadRecord
from supervision.waits import deadline_after, park, take

__all__ = ["Match", "flush", "receive", "wait_for_mail"]

Match = type | tuple[type, ...] | Callable[[Any], object] | None
"""What a receive takes: instances of a type or of one of several, what a predicate accepts, or (None) anything."""

_NONE: Final = object()


def receive(process: Process, record: ThreadRecord, match: Match, timeout: float) -> Any:
    """Return the first message of ``process``, which the calling thread runs, that matches.

    Raises:
        ReceiveTimeout: none came within ``timeout`` milliseconds.
        Killed: the process died while it waited.
    """
    accepts = _predicate(match)
    deadline = deadline_after(timeout)
    process.skipped = skipped = []
    try:
        while True:
            message = _take_first(process, accepts, skipped)
            if message is not _NONE:
                return message
            if not wait_for_mail(process, record, deadline):
                # What came in the last moment counts; Erlang looks at the queue before it looks at the clock.
                message = _take_first(process, accepts, skipped)
                if message is not _NONE:
                    return message
                raise ReceiveTimeout(f"no matching message came within {timeout} milliseconds")
    finally:
        process.skipped = None
        process.mailbox.extendleft(reversed(skipped))


def flush(process: Process, accepts: Callable[[Any], object]) -> None:
    """Remove every message that ``accepts`` takes from the mailbox of the process that the calling thread runs."""
    kept: list[Any] = []
    while _take_first(process, accepts, kept) is not _NONE:
        pass
    process.mailbox.extendleft(reversed(kept))


def _predicate(match: Match) -> Callable[[Any], object]:
    if match is None:
        return lambda message: True
    if isinstance(match, type | tuple):
        types = match
        if isinstance(types, tuple) and not all(isinstance(kind, type) for kind in types):
            raise BadType(f"match must be a type, a tuple of types or a predicate, got {match!r}")
        return lambda message: isinstance(message, types)
    if not callable(match):
        raise BadType(f"match must be a type, a tuple of types or a predicate, got {match!r}")
    return match


def _take_first(process: Process, accepts: Callable[[Any], object], skipped: list[Any]) -> Any:
    mailbox = process.mailbox
    while mailbox:
        try:
            message = mailbox.popleft()
        except IndexError:  # emptied by the death of the process
            break
        skipped.append(message)  # first, so that a predicate that raises loses nothing
        if accepts(message):
            return skipped.pop()
    return _NONE


def wait_for_mail(process: Process, record: ThreadRecord, deadline: float | None) -> bool:
    """Wait until something is in the mailbox; False at the deadline.

    Ends by: ``notify`` after a message; ``bury`` after the death of the process; the deadline; KeyboardInterrupt in
    the main thread. In each case the thread holds ``running`` again and its parker is locked.
    """
    parker = record.parker
    process.parked = parker
    process.running.release()
    # As at the end of a slice: what came while ``running`` was held is found by this look.
    if (process.mailbox or process.dead) and process.running.acquire(False):
        process.parked = None
    else:
        _sleep(process, record, parker, deadline)
    if process.dead:
        raise Killed
    return bool(process.mailbox) or deadline is None


def _sleep(process: Process, record: ThreadRecord, parker: Any, deadline: float | None) -> None:
    scheduler.hand_off(record)
    woken = False
    try:
        woken = park(parker, deadline)
    finally:
        # Whoever holds ``running`` now is about to release the parker.
        if not woken and not process.running.acquire(False):
            take(parker)
        process.parked = None
