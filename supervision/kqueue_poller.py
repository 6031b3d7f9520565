"""Readiness of file descriptors on macOS and the BSDs, by kqueue.

Both filters are registered with EV_CLEAR, which makes them edge-triggered as ``poller`` promises.
"""

from __future__ import annotations

import os
import select
from typing import Any, Final

from supervision.poller import ENDED, EVENTS_AT_ONCE, READABLE, WRITABLE, Ready, Source, drop

__all__ = ["KqueuePoller"]

_select: Final[Any] = select  # a type checker that runs on Linux finds no kqueue in it


class KqueuePoller:
    """The wake-up is a pipe; its filter is edge-triggered too, so nobody drains it until it is full."""

    def __init__(self) -> None:
        self.kqueue = _select.kqueue()
        self.sources: dict[int, Source] = {}
        self.wake_reader, self.wake_writer = os.pipe()
        os.set_blocking(self.wake_reader, False)
        os.set_blocking(self.wake_writer, False)
        self._watch(self.wake_reader, _select.KQ_FILTER_READ)

    def add(self, source: Source) -> None:
        """Watch for readability from now on."""
        self.sources[source.fd] = source  # before the kernel can report it
        self._watch(source.fd, _select.KQ_FILTER_READ)

    def watch_writing(self, source: Source) -> None:
        """Watch for writability as well from now on."""
        self._watch(source.fd, _select.KQ_FILTER_WRITE)
        source.watches_writing = True

    def remove(self, source: Source) -> None:
        """Forget a descriptor, before it is closed."""
        if drop(self.sources, source):
            self._change(source.fd, _select.KQ_FILTER_READ, _select.KQ_EV_DELETE)
            if source.watches_writing:
                self._change(source.fd, _select.KQ_FILTER_WRITE, _select.KQ_EV_DELETE)

    def closing(self, source: Source) -> None:
        """Forget a descriptor that is closed next, by which the system stops watching it."""
        drop(self.sources, source)

    def wait(self, timeout: float | None) -> Ready:
        """Return what is ready, after at most ``timeout`` seconds; None waits until woken."""
        ready = []
        for event in self.kqueue.control(None, EVENTS_AT_ONCE, timeout):
            source = self.sources.get(event.ident)
            if source is not None:  # None: the pipe, or a descriptor closed since
                how = READABLE if event.filter == _select.KQ_FILTER_READ else WRITABLE
                ended = ENDED if event.flags & _select.KQ_EV_EOF else 0
                ready.append((source, how | ended))
        return ready

    def wake(self) -> None:
        """End the present or the next ``wait`` of another thread."""
        try:
            os.write(self.wake_writer, b"\0")
        except BlockingIOError:  # full of wake-ups that nobody drained
            self._drain()
            os.write(self.wake_writer, b"\0")

    def close(self) -> None:
        """Release the descriptors of the poller itself."""
        self.kqueue.close()
        os.close(self.wake_reader)
        os.close(self.wake_writer)

    def _watch(self, fd: int, which: int) -> None:
        self._change(fd, which, _select.KQ_EV_ADD | _select.KQ_EV_CLEAR)

    def _change(self, fd: int, which: int, flags: int) -> None:
        self.kqueue.control([_select.kevent(fd, which, flags)], 0)

    def _drain(self) -> None:
        try:
            while os.read(self.wake_reader, 65_536):
                pass
        except BlockingIOError:  # empty now, by us or by another waker
            pass
