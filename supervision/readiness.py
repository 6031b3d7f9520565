"""Waiting until a descriptor is ready, and being told of it by a message: what sockets need from the runtime.

A ``Source`` is watched from its first wait on. A thread that waits for it gives its processor away; an actor that does
not wait is sent the source itself as a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from supervision.poller import Source
from supervision.process_table import Process
from supervision.scheduler import deliver, scheduler
from supervision.threads import current, library_call
from supervision.waits import Wait, wait_for

__all__ = [
    "DeadlinePassed",
    "MailedSource",
    "Source",
    "closing",
    "forget",
    "post",
    "read_when_ready",
    "watch",
    "write_when_ready",
]

Attempt = Callable[[], Any]
"""Tries an operation once; raises BlockingIOError if the descriptor is not ready for it."""


class DeadlinePassed(Exception):
    """The descriptor was not ready in time. No TimeoutError, which is what the system's ETIMEDOUT is as well."""


class MailedSource(Source):
    """A descriptor whose readiness comes to an actor's ``handle_info``, or to ``receive``, as a message like any other.

    That of a plain Source may run its process straight from the event, past the mailbox: a connection's does.
    """

    for_the_loop: ClassVar[bool] = False

    __slots__ = ()

    def __init__(self, fd: int, process: Process) -> None:
        super().__init__(fd, process)
        self.armed = True


def watch(source: Source) -> None:
    """Have the process of ``source`` told when it becomes readable; now, if it is already."""
    if not source.watched:
        source.watched = True
        try:
            scheduler.poller.add(source)
        except BaseException:  # the system refuses, or Ctrl-C: the next wait tries again
            closing(source)
            raise
        scheduler.see_to_polling()


def forget(source: Source) -> None:
    """Stop watching a descriptor."""
    if source.watched:
        source.watched = False
        scheduler.poller.remove(source)


def closing(source: Source) -> None:
    """Stop watching a descriptor that is closed next, and belongs to nobody else: the system call is saved."""
    if source.watched:
        source.watched = False
        scheduler.poller.closing(source)


def post(source: Source) -> None:
    """Send ``source`` to its process, unless it is in its mailbox already: there may be more to read."""
    source.tell(deliver)


@library_call
def read_when_ready(source: Source, attempt: Attempt, deadline: float | None) -> Any:
    """Repeat ``attempt``, waiting for readability in between, and return what it gives.

    The calling thread runs the process of ``source``.

    Args:
        source: what to wait for.
        attempt: raises BlockingIOError while there is nothing to read.
        deadline: the moment on the monotonic clock after which to give up, or None.

    Raises:
        DeadlinePassed: the deadline has.
        Killed: the process has been killed.
    """
    watch(source)
    return _repeat(source, "reader", attempt, deadline)


@library_call
def write_when_ready(source: Source, attempt: Attempt, deadline: float | None) -> Any:
    """Do for writability what ``read_when_ready`` does for readability."""
    watch(source)
    if not source.watches_writing:
        scheduler.poller.watch_writing(source)
    return _repeat(source, "writer", attempt, deadline)


def _repeat(source: Source, side: str, attempt: Attempt, deadline: float | None) -> Any:
    record = current.record
    try:
        while True:
            wait = Wait(record)
            setattr(source, side, wait)
            # After the wait is attached: readiness that came before is met here, what comes later fires it.
            try:
                result = attempt()
            except BlockingIOError:
                # Ends by readiness, an error or the hanging up of the descriptor, the deadline, or being killed.
                if not wait_for(wait, record, source.process, deadline):
                    raise DeadlinePassed from None
            except BaseException:  # or the wait would stay open, and its release end the next one
                _end(wait, source)
                raise
            else:
                _end(wait, source)
                return result
    finally:
        setattr(source, side, None)


def _end(wait: Wait, source: Source) -> None:
    """End a wait that was not needed. Readiness that it took is passed on: nobody will tell of it again."""
    if not wait.give_up():
        post(source)
