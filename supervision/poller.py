"""Readiness of file descriptors: which process to tell when one can be read or written.

``Poller`` is the operating system's queue of events (epoll, else ``selectors``' best) and nothing more; ``Source`` is
one descriptor with the process that owns it. Descriptors are registered once for life, edge-triggered, so that a
message costs no system call here. What follows from that, for whoever reads:

* Readiness is told once per arrival. After a read that was as long as asked for, look again before waiting.
* A thread that waits attaches its ``Wait`` first and then tries once more: an event between the two finds the wait.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

if TYPE_CHECKING:
    from supervision.process_table import Process
    from supervision.waits import Wait

__all__ = ["Poller", "Ready", "Source", "dispatch", "drop", "new_poller"]

# What is ready, as bits: epoll's own, so that the path of every message translates nothing.
READABLE: Final = 0x0001  # EPOLLIN
WRITABLE: Final = 0x0004  # EPOLLOUT
BROKEN: Final = 0x0018  # EPOLLERR and EPOLLHUP: both directions
ENDED: Final = 0x2000 | BROKEN  # EPOLLRDHUP too: the peer writes no more

# Events fetched in one system call; the rest are fetched by the next. Bounds the burst that one thread queues.
EVENTS_AT_ONCE: Final = 256


Deliver = Callable[["Process", Any], None]


class Source:
    """One descriptor, with the process that owns it.

    When it becomes readable, the thread that waits for it is woken; if there is none the source itself is delivered to
    its process as a message, once until ``posted`` is released.

    Fields: ``armed`` says that the process takes the source as a message; set once, before it is watched. ``reader``
    and ``writer`` are written by the thread that waits, before it tries its operation for the last time. ``posted`` is
    a test-and-set flag: held from the moment the source is put into the mailbox until the process begins to read; it
    must be released *before* the read, so that what arrives later is told again. ``ended`` is set once the peer has
    hung up or an error is pending: from then on a short read does not mean drained, since the end and the data before
    it may have been told as one.
    """

    for_the_loop: ClassVar[bool] = True

    __slots__ = ("armed", "ended", "fd", "posted", "process", "reader", "watched", "watches_writing", "writer")

    def __init__(self, fd: int, process: Process) -> None:
        self.fd = fd
        self.process = process
        self.reader: Wait | None = None
        self.writer: Wait | None = None
        self.posted = threading.Lock()
        self.armed = False
        self.watched = False
        self.watches_writing = False
        self.ended = False

    def tell(self, deliver: Deliver) -> None:
        """Nobody waits and there is something to read: send this source to its process, unless it has it already."""
        if self.armed and self.posted.acquire(False):
            deliver(self.process, self)


Ready = list[tuple[Source, int]]
"""What one wait found: sources, each with the bits of READABLE, WRITABLE and ENDED that apply."""


class Poller(Protocol):
    """The events of the operating system."""

    def add(self, source: Source) -> None:
        """Watch for readability from now on."""

    def watch_writing(self, source: Source) -> None:
        """Watch for writability as well from now on."""

    def remove(self, source: Source) -> None:
        """Forget a descriptor, before it is closed."""

    def closing(self, source: Source) -> None:
        """Forget a descriptor that is closed next, by which the system stops watching it."""

    def wait(self, timeout: float | None) -> Ready:
        """Return what is ready, after at most ``timeout`` seconds; None waits until woken."""

    def wake(self) -> None:
        """End the present or the next ``wait`` of another thread."""

    def close(self) -> None:
        """Release the descriptors of the poller itself."""


def drop(sources: dict[int, Source], source: Source) -> bool:
    """Take ``source`` out; False if it is not there: it may have been closed, and its number is another's by now."""
    if sources.get(source.fd) is not source:
        return False
    del sources[source.fd]
    return True


class EpollPoller:
    """Linux. The wake-up is an eventfd, edge-triggered too, which is why nobody needs to drain it."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.sources: dict[int, Source] = {}
        self.epoll.register(self.eventfd, select.EPOLLIN | select.EPOLLET)

    def add(self, source: Source) -> None:
        """Watch for readability from now on."""
        self.sources[source.fd] = source  # before the kernel can report it
        self.epoll.register(source.fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def watch_writing(self, source: Source) -> None:
        """Watch for writability as well from now on."""
        both = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
        self.epoll.modify(source.fd, both)
        source.watches_writing = True

    def remove(self, source: Source) -> None:
        """Forget a descriptor, before it is closed."""
        if drop(self.sources, source):
            self.epoll.unregister(source.fd)

    def closing(self, source: Source) -> None:
        """Forget a descriptor that is closed next, by which the system stops watching it."""
        drop(self.sources, source)

    def wait(self, timeout: float | None) -> Ready:
        """Return what is ready, after at most ``timeout`` seconds; None waits until woken."""
        find = self.sources.get
        events = self.epoll.poll(timeout, EVENTS_AT_ONCE)
        # None: the eventfd, or a descriptor closed since. A number that was reused meanwhile wakes its new owner for
        # nothing, which it can stand.
        return [(source, mask) for fd, mask in events if (source := find(fd)) is not None]

    def wake(self) -> None:
        """End the present or the next ``wait`` of another thread."""
        try:
            os.eventfd_write(self.eventfd, 1)
        except BlockingIOError:  # the counter is full, after 2**64 wake-ups nobody drained: start it anew
            os.eventfd_read(self.eventfd)
            os.eventfd_write(self.eventfd, 1)

    def close(self) -> None:
        """Release the descriptors of the poller itself."""
        self.epoll.close()
        os.close(self.eventfd)


def new_poller() -> Poller:
    """The best poller of this system."""
    if hasattr(select, "epoll") and hasattr(os, "eventfd"):
        return EpollPoller()
    from supervision.kqueue_poller import KqueuePoller

    return KqueuePoller()


def dispatch(source: Source, ready: int, deliver: Deliver) -> None:
    """Tell whoever must know that ``source`` is ready."""
    if ready & ENDED:
        source.ended = True  # before the process can read
    if ready & ~WRITABLE:
        wait = source.reader
        if wait is None or not wait.fire():  # nobody waits, or no longer
            source.tell(deliver)
    if ready & (WRITABLE | BROKEN):
        wait = source.writer
        if wait is not None:
            wait.fire()
