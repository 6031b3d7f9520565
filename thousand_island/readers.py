"""How a connection learns that there is data, for each kind of transport.

A reader has ``source``, the message by which its process is told; ``read()``, which takes what is there or raises
SocketTimeout; and ``await_data()``, which has the process told of more.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from supervision import process as processes
from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.readiness import Source, post, watch
from supervision.scheduler import deliver
from thousand_island.errors import SocketTimeout
from thousand_island.transports.stream import Stream

__all__ = ["Reader", "reader_for"]


class Reader(Protocol):
    """See the module's text."""

    source: Any

    def read(self) -> bytes:
        """Take what is there."""

    def await_data(self) -> None:
        """Have the process told."""


def reader_for(transport: Any, socket: Any, process: Process) -> Reader:
    """Return the reader for a transport's socket."""
    if isinstance(socket, Stream):
        return StreamReader(transport, socket)
    if hasattr(socket, "fileno"):
        return DescriptorReader(transport, socket, process)
    return BlockingReader(transport, socket, process)


class StreamReader:
    """Our own sockets: they know themselves when there may be more."""

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


class DescriptorReader:
    """A foreign socket with a descriptor: after each read look again, until there is nothing."""

    __slots__ = ("dry", "socket", "source", "transport")

    def __init__(self, transport: Any, socket: Any, process: Process) -> None:
        self.transport = transport
        self.socket = socket
        self.source = Source(socket.fileno(), process)
        self.dry = False

    def read(self) -> bytes:
        """Take what is there."""
        self.dry = False
        try:
            data: bytes = self.transport.recv(self.socket, 0, 0)
        except (BlockingIOError, TimeoutError):
            self.dry = True
            raise SocketTimeout("nothing to read") from None
        return data

    def await_data(self) -> None:
        """Have the process told."""
        if not self.source.watched:
            watch(self.source)
        elif not self.dry:
            post(self.source)


class _Arrival:
    """What a BlockingReader sends; has the flag of a Source."""

    __slots__ = ("posted",)

    def __init__(self) -> None:
        self.posted = threading.Lock()


class BlockingReader:
    """A socket without a descriptor: a linked process of its own blocks in the transport's ``recv``.

    ``outcome`` is written by that process before it posts, and read after.
    """

    __slots__ = ("outcome", "process", "reading", "socket", "source", "transport")

    def __init__(self, transport: Any, socket: Any, process: Process) -> None:
        self.transport = transport
        self.socket = socket
        self.process = process
        self.source = _Arrival()
        self.outcome: Any = None
        self.reading = False

    def read(self) -> bytes:
        """Take what has come."""
        outcome, self.outcome = self.outcome, None
        self.reading = False
        if outcome is None:
            raise SocketTimeout("nothing to read")
        if isinstance(outcome, BaseException):
            raise outcome
        data: bytes = outcome
        return data

    def await_data(self) -> None:
        """Have the process told."""
        if not self.reading:
            self.reading = True
            processes.spawn(self._read)

    def _read(self) -> None:
        try:
            self.outcome = self.transport.recv(self.socket, 0, INFINITY)
        except Exception as error:  # noqa: BLE001 - the connection's process decides what it means
            self.outcome = error
        if self.source.posted.acquire(False):
            deliver(self.process, self.source)
