"""Selective receive: taking messages out of the caller's own mailbox, in the order it chooses.

Messages that do not match are set aside, in ``Process.skipped``, and put back in front when the receive ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import methodcaller
from typing import Any, Final, TypeGuard, get_origin

from supervision.errors import BadType, Killed, ReceiveTimeout
from supervision.process_table import Process
from supervision.scheduler import scheduler
from supervision.threads import ThreadRecord
from supervision.waits import deadline_after, park

__all__ = ["Match", "is_predicate", "receive", "take_all", "wait_for_mail"]

Match = type | tuple[type, ...] | Callable[[Any], object] | None
"""What a receive takes: instances of a type or of one of several, what a predicate accepts, or (None) anything."""

_release: Final = methodcaller("release")

_NONE: Final = object()


def receive(process: Process, record: ThreadRecord, match: Match, timeout: float, *, for_the_loop: bool = False) -> Any:
    """Return the first message of ``process``, which the calling thread runs, that matches.

    What the runtime tells the loop of an actor, such as that it is time to look at a timeout, stays where it is for
    the loop: a callback that receives must not take it away. Its classes say so by ``for_the_loop``, and the loop's own
    code by the argument.

    Raises:
        ReceiveTimeout: none came within ``timeout`` milliseconds.
        Killed: the process died while it waited.
    """
    accepts = _predicate(match)
    deadline = deadline_after(timeout)
    skipped: list[Any] = []
    process.skipped = skipped
    try:
        while True:
            message = _take_first(process, accepts, skipped, for_the_loop)
            if message is not _NONE:
                return message
            if timeout == 0 or not wait_for_mail(process, record, deadline, _any_message):
                # What came in the last moment counts; Erlang looks at the queue before it looks at the clock.
                message = _take_first(process, accepts, skipped, for_the_loop)
                if message is not _NONE:
                    return message
                raise ReceiveTimeout(f"no matching message came within {timeout} milliseconds")
    finally:
        process.skipped = None
        if not process.dead:
            process.mailbox.extendleft(reversed(skipped))


def take_all(process: Process, accepts: Callable[[Any], object]) -> list[Any]:
    """Take every message that ``accepts`` likes out of the mailbox of the process that the calling thread runs.

    ``accepts`` is the library's own, and is shown also what is for the loop.
    """
    taken: list[Any] = []
    kept: list[Any] = []
    try:
        while (message := _take_first(process, accepts, kept, for_the_loop=True)) is not _NONE:
            taken.append(message)
    finally:  # whatever interrupts it, the rest of the mailbox is not lost
        if not process.dead:
            process.mailbox.extendleft(reversed(kept))
    return taken


def _predicate(match: Match) -> Callable[[Any], object]:
    if match is None:
        return lambda message: True
    if isinstance(match, type | tuple):
        types = match
        if isinstance(types, tuple) and not all(isinstance(kind, type) for kind in types):
            raise BadType(f"match must be a type, a tuple of types or a predicate, got {match!r}")
        return lambda message: isinstance(message, types)
    if not is_predicate(match):
        raise BadType(f"match must be a type, a tuple of types or a predicate, got {match!r}")
    return match


def is_predicate(match: Any) -> TypeGuard[Callable[..., Any]]:
    """Whether ``match`` is a function that says what is taken."""
    # list[int] can be called, too, and would make a list.
    return callable(match) and not isinstance(match, type) and get_origin(match) is None


def _take_first(
    process: Process, accepts: Callable[[Any], object], skipped: list[Any], for_the_loop: bool = False
) -> Any:
    mailbox = process.mailbox
    while mailbox:
        try:
            message = mailbox.popleft()
        except IndexError:  # emptied by the death of the process
            break
        skipped.append(message)  # first, so that a predicate that raises loses nothing
        if (for_the_loop or not getattr(type(message), "for_the_loop", False)) and accepts(message):
            return skipped.pop()
    return _NONE


class _Parked:
    """What ``Process.parked`` shows: how to wake the thread that waits for mail, once.

    ``steps`` notes what the thread has done with ``running`` of its process: None that it was dropped, then True and
    False for each attempt to take it again. Step and note are one call of C: Ctrl-C, which can hit the main thread
    after any call, never comes between the two.
    """

    __slots__ = ("parker", "released", "running", "steps")

    def __init__(self, parker: Any, running: threading.Lock) -> None:
        self.parker = parker
        self.released = False
        self.running = running
        self.steps: list[bool | None] = []

    def drop(self) -> None:
        """Drop ``running``: from here on the thread can be woken."""
        self.steps.extend(map(_release, (self.running,)))

    def take_back(self) -> bool:
        """Take ``running`` again, without being woken; False: whoever holds it is about to wake the thread."""
        self.steps.extend(map(self.running.acquire, (False,)))
        return self.steps[-1] is True

    def release(self) -> None:
        """Wake it; called by whoever has taken ``running``, which from here on is the thread's."""
        self.released = True  # first: an interrupted thread asks whether it has been woken
        self.parker.release()

    def abandon(self) -> None:
        """Have ``running`` after Ctrl-C, whatever that has hit. Who is about to wake the thread is waited for."""
        kept = not self.steps or True in self.steps
        if not (kept or self.released or self.take_back()):
            self.parker.acquire()


def wait_for_mail(
    process: Process, record: ThreadRecord, deadline: float | None, has_mail: Callable[[Process], bool]
) -> bool:
    """Wait until ``has_mail``, or until woken for another reason (True); False at the deadline.

    Ends by: ``notify`` after a message; ``bury`` after the death of the process; a stale entry of the run queue; the
    deadline; Ctrl-C in the main thread. In each case the thread holds ``running`` again and its parker is locked.
    """
    parked = _Parked(record.lend_parker(), process.running)
    try:
        process.parked = parked
        parked.drop()
        # As at the end of a slice: what came while ``running`` was held is found by this look.
        looked = has_mail(process) or process.dead
        woken = (looked and parked.take_back()) or _sleep(record, parked, deadline)
    except BaseException:  # or the thread would go on without ``running``
        parked.abandon()
        raise
    finally:
        process.parked = None
    if process.dead:
        raise Killed
    return woken


def _sleep(record: ThreadRecord, parked: _Parked, deadline: float | None) -> bool:
    scheduler.hand_off(record)
    if park(parked.parker, deadline):
        return True
    if parked.take_back():
        return False
    return bool(parked.parker.acquire())  # by whoever holds ``running`` although the deadline has passed


def _any_message(process: Process) -> bool:
    return bool(process.mailbox)
