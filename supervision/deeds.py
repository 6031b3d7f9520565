"""Deeds: what the runtime has to do and may not do where it learns of it, because the user's code is part of it.

A timer fires on a worker outside of any slice, where whoever waits holds all others up; the garbage collector drops an
object in the middle of anything, with any lock held. Both leave what they have to do to a slice of its own, on the run
queue like any other; unless the object is dropped amid the user's own code, which holds none of the library's locks.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable
from typing import Any, ClassVar

from supervision.log import logger
from supervision.process_table import Process
from supervision.scheduler import scheduler
from supervision.threads import ThreadRecord, current

__all__ = ["HiddenBody", "do_later", "do_when_dropped"]

_LIBRARY = ("supervision.", "thousand_island.")


class HiddenBody:
    """The body of a process that nobody else knows of, so its end is told to nobody."""

    __slots__ = ()

    in_place: ClassVar[bool] = False

    def take(self, message: Any, process: Process, record: ThreadRecord) -> None:
        """Nobody asks for it: it is never run in place."""
        raise NotImplementedError

    def readable(self, process: Process, record: ThreadRecord) -> None:
        """Nobody asks for it: it has no source of events."""
        raise NotImplementedError

    def buried(self) -> None:
        """Nothing is left."""


class _Deed(HiddenBody):
    """Calls one function."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args

    def step(self, process: Process, record: ThreadRecord) -> None:
        """Call it."""
        try:
            self.function(*self.args)
        except BaseException:  # without this a worker would end and its processor be lost
            logger.exception("%r failed", self.function)
        process.dead = True


def do_later(function: Callable[..., object], *args: Any) -> None:
    """Have a worker call ``function``, which may wait. Takes no lock, so it may be called in a finalizer.

    Somebody has a processor: whoever needs this has run before.
    """
    process = Process("deed", _Deed(function, args), contextvars.Context())
    process.queued.acquire(False)
    # Not by ``enqueue``, which may start a thread, and take locks for it. Who has a processor looks at the run queue
    # before it sleeps, and while one sleeps another one polls.
    scheduler.run_queue.append(process)
    scheduler.poller.wake()


def do_when_dropped(owner: Process | None, function: Callable[..., object]) -> None:
    """In the finalizer of what ``owner`` has had, call ``function``: at once if that can do no harm, else later.

    Called by the finalizer itself.
    """
    record = current.record
    # Masked: a strike that hits a finalizer goes nowhere, and what is to be done would not be.
    exposed, record.exposed = record.exposed, None
    try:
        if record.process is owner and _runs_the_users_code(record, exposed):
            function()
        else:
            do_later(function)
    finally:
        record.exposed = exposed


def _runs_the_users_code(record: ThreadRecord, exposed: Process | None) -> bool:
    if record.worker:
        return exposed is not None
    try:
        frame = sys._getframe(3)  # of whoever was running when the object was dropped
    except ValueError:
        return False  # nobody: the thread ends
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_LIBRARY):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return True
