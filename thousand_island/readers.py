"""How a connection learns that there is data, for each kind of transport.

A reader has ``source``, the message by which its process is told; ``read()``, which takes what is there or raises
SocketTimeout; ``await_data()``, which has the process told of more; ``drained``, whether that can be left out; and
``detach()``, before the socket is closed. Our own sockets under our own transports are their own readers.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any, ClassVar, Final, Protocol

from supervision import mailbox
from supervision import process as processes
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.readiness import Source, forget, post, watch
from supervision.scheduler import deliver
from supervision.send_after import exit_after
from supervision.threads import current, library_call
from supervision.waits import deadline_after
from thousand_island.errors import SocketClosed, SocketTimeout
from thousand_island.transports.ssl import SSL
from thousand_island.transports.stream import Stream
from thousand_island.transports.tcp import TCP

__all__ = ["BlockingReader", "Reader", "reader_for"]

# Milliseconds that a transport's ``recv`` may take to return from a socket that has been shut down, and closed.
RETURNS_WITHIN: Final = 1_000


class Reader(Protocol):
    """See the module's text."""

    @property
    def source(self) -> Any:
        """What its process is sent."""

    @property
    def drained(self) -> bool:
        """Whether ``await_data`` would find nothing to do."""

    def read(self) -> bytes:
        """Take what is there."""

    def await_data(self) -> None:
        """Have the process told."""

    def detach(self) -> None:
        """Tell of nothing any more."""


def reader_for(transport: Any, socket: Any, process: Process, before: Reader | None = None) -> Reader:
    """Return the reader for a transport's socket, and end the one ``before``, which an upgrade has put out of use."""
    if isinstance(before, BlockingReader) and before.socket is socket:
        before.transport = transport  # the read that is under way comes first
        return before
    reader = _new_reader(transport, socket, process, before)
    if before is not None and before.source is not reader.source:
        _silence(before.source)
    return reader


def _new_reader(transport: Any, socket: Any, process: Process, before: Reader | None) -> Reader:
    if isinstance(socket, Stream):
        socket.source.armed = True
        return socket if transport is TCP or transport is SSL else StreamReader(transport, socket)
    if hasattr(socket, "fileno"):
        source = None if before is None else before.source
        if not isinstance(source, Source) or source.fd != socket.fileno():  # else it is watched, and may be told of
            source = Source(socket.fileno(), process)
        return DescriptorReader(transport, socket, source)
    return BlockingReader(transport, socket, process)


def _silence(source: Any) -> None:
    """Have the process, which calls this, never be told by ``source`` again: it would take it for a message to it."""
    if isinstance(source, Source):
        try:
            forget(source)
        except OSError:
            pass  # the transport has closed it already
    if not source.posted.acquire(False):  # and never released again
        _take_out(source, INFINITY)  # it is in the mailbox, or about to be


class StreamReader:
    """Our own sockets: they know themselves when there may be more."""

    drained: ClassVar[bool] = False

    __slots__ = ("recv", "socket", "source")

    def __init__(self, transport: Any, socket: Stream) -> None:
        self.recv = transport.recv
        self.socket = socket
        self.source = socket.source

    def read(self) -> bytes:
        """Take what is there."""
        data: bytes = self.recv(self.socket, 0, 0)
        return data

    def await_data(self) -> None:
        """Have the process told."""
        self.socket.await_data()

    def detach(self) -> None:
        """The socket does it itself."""


class DescriptorReader:
    """A foreign socket with a descriptor: after each read look again, until there is nothing."""

    drained: ClassVar[bool] = False

    __slots__ = ("dry", "socket", "source", "transport")

    def __init__(self, transport: Any, socket: Any, source: Source) -> None:
        self.transport = transport
        self.socket = socket
        self.source = source
        source.armed = True
        self.dry = False

    def read(self) -> bytes:
        """Take what is there."""
        self.dry = False
        try:
            data: bytes = self.transport.recv(self.socket, 0, 0)
        except (BlockingIOError, TimeoutError):
            self.dry = True
            raise SocketTimeout("nothing to read") from None
        return _not_the_end(data)

    def await_data(self) -> None:
        """Have the process told."""
        if not self.source.watched:
            watch(self.source)
        elif not self.dry:
            post(self.source)

    def detach(self) -> None:
        """Stop watching, or the number of the descriptor would stand for it when it is somebody else's."""
        forget(self.source)


class _Arrival:
    """What a BlockingReader sends; has the flag of a Source."""

    for_the_loop: ClassVar[bool] = True

    __slots__ = ("posted",)

    def __init__(self) -> None:
        self.posted = threading.Lock()


class BlockingReader:
    """A socket without a descriptor: a process of its own blocks in the transport's ``recv``.

    ``outcome`` is written by that process before it posts, and read after. ``kept`` is what has come and was not asked
    for yet.
    """

    drained: ClassVar[bool] = False

    __slots__ = ("kept", "outcome", "process", "reading", "socket", "source", "transport")

    def __init__(self, transport: Any, socket: Any, process: Process) -> None:
        self.transport = transport
        self.socket = socket
        self.process = process
        self.source = _Arrival()
        self.outcome: Any = None
        self.reading: Process | None = None
        self.kept = b""

    def read(self) -> bytes:
        """Take what has come."""
        data, self.kept = self.kept, b""
        data = data or self._take()
        if not data:
            raise SocketTimeout("nothing to read")
        return data

    def recv(self, socket: Any, length: int, timeout: float) -> bytes:
        """What ``Socket.recv`` does instead of the transport's: the read that is under way comes first."""
        deadline = deadline_after(timeout)
        data, self.kept = self.kept, b""
        try:
            while not data or len(data) < length:
                data += self._receive(max(0, length - len(data)), deadline)
        except BaseException:
            self.kept = data
            raise
        if length:
            data, self.kept = data[:length], data[length:]
        return data

    def await_data(self) -> None:
        """Have the process told."""
        if self.kept:
            self._post()
        elif self.reading is None:
            self.reading = processes.spawn(self._read)._process

    def detach(self) -> None:
        """Have the ``recv`` of the process that reads return: no peer sees a close while a thread is in there.

        The process is not killed at once. That could strike where it leaves a lock taken which ``close`` needs.
        """
        if self.reading is not None:
            try:
                self.transport.shutdown(self.socket, "read")
            except Exception:  # noqa: BLE001 - a transport is the user's; without this the socket would stay open
                pass
            exit_after(self.reading.pid, "kill", RETURNS_WITHIN)

    def _receive(self, length: int, deadline: float | None) -> bytes:
        left = INFINITY if deadline is None else max(0, math.ceil((deadline - time.monotonic()) * 1000))
        if self.reading is None:
            return _not_the_end(self.transport.recv(self.socket, length, left))
        try:
            _take_out(self.source, left)
        except TimeoutError:
            raise SocketTimeout("nothing came in time") from None
        self.source.posted.release()
        return self._take()

    def _take(self) -> bytes:
        """Take what the process has brought; nothing if it is still away."""
        outcome = self.outcome
        if outcome is None:
            return b""
        self.outcome = self.reading = None
        if isinstance(outcome, BaseException):
            raise outcome
        return _not_the_end(outcome)

    def _read(self) -> None:
        try:
            self.outcome = self.transport.recv(self.socket, 0, INFINITY)
        except Exception as error:  # noqa: BLE001 - the connection's process decides what it means
            self.outcome = error
        self._post()

    def _post(self) -> None:
        if self.source.posted.acquire(False):
            deliver(self.process, self.source)


@library_call
def _take_out(source: Any, timeout: float) -> None:
    mailbox.receive(this_process(), current.record, lambda one: one is source, timeout, for_the_loop=True)


def _not_the_end(data: bytes) -> bytes:
    """Raise SocketClosed for what ``recv`` of the socket module, and so many a transport, returns at the end."""
    if not data:
        raise SocketClosed("the peer has closed the connection")
    return data
