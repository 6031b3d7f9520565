"""Transports of somebody else: one that delegates to TCP and fails on demand, and three with sockets of their own."""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
from dataclasses import dataclass
from typing import Any

from supervision import INFINITY
from thousand_island import NotSecure, ProtocolNotNegotiated, SocketClosed, SocketStats, SocketTimeout
from thousand_island.transports import TCP


class Flaky:
    """TCP, with errors: ``fail("accept", error, …)`` makes that many calls fail, ``fail_at`` a later one.

    An accept fails where there is a connection, or else every time.
    """

    def __init__(self, *, needs_client: bool = True) -> None:
        self.needs_client = needs_client
        self.lock = threading.Lock()  # guards the lists of errors
        self.errors: dict[str, list[BaseException | None]] = {}

    def fail(self, operation: str, *errors: BaseException | None) -> None:
        """Make the next calls of an operation raise, one error each; None lets one through."""
        with self.lock:
            self.errors.setdefault(operation, []).extend(errors)

    def fail_at(self, operation: str, number: int, error: BaseException) -> None:
        """Make the call of that number from now on raise, counted from 1."""
        self.fail(operation, *[None] * (number - 1), error)

    def is_used_up(self, operation: str) -> bool:
        """Whether all errors of an operation have been raised."""
        with self.lock:
            return not self.errors.get(operation)

    def __getattr__(self, operation: str) -> Any:
        if operation.startswith("_") or operation == "check_options":
            raise AttributeError(operation)
        function = getattr(TCP, operation)

        def call(*args: Any) -> Any:
            if operation == "accept" and self.needs_client and not is_readable(args[0]):
                return function(*args)
            with self.lock:
                errors = self.errors.get(operation)
                error = errors.pop(0) if errors else None
            if error is None:
                return function(*args)
            if operation == "close":
                function(*args)  # whatever it reports, nobody keeps a descriptor after close(2)
            raise error

        return call


def oserror(number: int) -> OSError:
    """What the system raises for an errno."""
    return OSError(number, os.strerror(number))


class Plain:
    """A transport that knows nothing of this library: blocking sockets of the socket module."""

    def listen(self, port: int, options: Any) -> Any:
        return socket.create_server(("127.0.0.1", port), backlog=options.get("backlog", 100))

    def accept(self, listener: Any) -> Any:
        return listener.accept()[0]

    def handshake(self, sock: Any) -> Any:
        return sock

    def upgrade(self, sock: Any, options: Any) -> Any:
        raise NotImplementedError

    def controlling_process(self, sock: Any, pid: Any) -> None:
        pass

    def recv(self, sock: Any, length: int, timeout: float) -> bytes:
        sock.settimeout(None if timeout == INFINITY else timeout / 1000)
        try:
            data: bytes = sock.recv(length or 65_536, socket.MSG_WAITALL if length else 0)
        except (TimeoutError, BlockingIOError) as error:
            raise SocketTimeout(str(error)) from error
        if not data:
            raise SocketClosed("the end")
        return data

    def send(self, sock: Any, data: Any) -> None:
        sock.settimeout(None)
        sock.sendall(data)

    def sendfile(self, sock: Any, filename: Any, offset: int, length: int) -> int:
        raise NotImplementedError

    def getopts(self, sock: Any, names: Any) -> dict[str, Any]:
        return dict.fromkeys(names)

    def setopts(self, sock: Any, options: Any) -> None:
        pass

    def shutdown(self, sock: Any, way: str) -> None:
        sock.shutdown({"read": 0, "write": 1, "read_write": 2}[way])

    def close(self, sock: Any) -> None:
        sock.close()

    def sockname(self, sock: Any) -> Any:
        return sock.getsockname()

    def peername(self, sock: Any) -> Any:
        return sock.getpeername()

    def peercert(self, sock: Any) -> bytes:
        raise NotSecure("plain")

    def secure(self) -> bool:
        return False

    def getstat(self, sock: Any) -> SocketStats:
        return SocketStats()

    def negotiated_protocol(self, sock: Any) -> str:
        raise ProtocolNotNegotiated("plain")

    def connection_information(self, sock: Any) -> Any:
        raise NotSecure("plain")


@dataclass(frozen=True)
class Wrapped:
    """A socket without ``fileno``: one of the socket module inside."""

    inner: socket.socket


class Wrapping(Plain):
    """As Plain, with listeners and connections that show no descriptor."""

    def listen(self, port: int, options: Any) -> Any:
        return Wrapped(super().listen(port, options))

    def accept(self, listener: Any) -> Any:
        return Wrapped(super().accept(listener.inner))

    def recv(self, sock: Any, length: int, timeout: float) -> bytes:
        return super().recv(sock.inner, length, timeout)

    def send(self, sock: Any, data: Any) -> None:
        super().send(sock.inner, data)

    def shutdown(self, sock: Any, way: str) -> None:
        super().shutdown(sock.inner, way)

    def close(self, sock: Any) -> None:
        super().close(sock.inner)

    def sockname(self, sock: Any) -> Any:
        return super().sockname(sock.inner)

    def peername(self, sock: Any) -> Any:
        return super().peername(sock.inner)


class Pipe:
    """One end of a connection in memory. It has no descriptor."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.incoming: queue.Queue[bytes] = queue.Queue()
        self.buffered = b""
        self.closed = False
        self.other: Pipe = self

    @classmethod
    def pair(cls) -> tuple[Pipe, Pipe]:
        """Two connected ends."""
        one, other = cls("client"), cls("server")
        one.other, other.other = other, one
        return one, other

    def recv(self, length: int, seconds: float | None) -> bytes:
        """Return so many bytes, or what is there."""
        while not self.buffered or len(self.buffered) < length:
            try:
                data = self.incoming.get(timeout=seconds) if seconds != 0 else self.incoming.get_nowait()
            except queue.Empty:
                raise SocketTimeout("nothing came") from None
            if not data:
                self.incoming.put(b"")
                raise SocketClosed("the end")
            self.buffered += data
        data, self.buffered = self.buffered[: length or None], self.buffered[length:] if length else b""
        return data

    def send(self, data: bytes) -> None:
        """Give bytes to the other end."""
        if self.closed or self.other.closed:
            raise SocketClosed("the end")
        self.other.incoming.put(data)

    def close(self) -> None:
        """End both directions."""
        self.closed = True
        self.incoming.put(b"")
        self.other.incoming.put(b"")


class InMemory(Plain):
    """A transport without descriptors; ``connect`` gives a client's end."""

    def __init__(self) -> None:
        self.backlog: queue.Queue[Pipe | None] = queue.Queue()

    def connect(self) -> Pipe:
        """Return a client's end of a new connection."""
        one, other = Pipe.pair()
        self.backlog.put(other)
        return one

    def listen(self, port: int, options: Any) -> Any:
        return self

    def accept(self, listener: Any) -> Any:
        pipe = self.backlog.get()
        if pipe is None:
            self.backlog.put(None)
            raise OSError(9, "the listener is closed")
        return pipe

    def recv(self, pipe: Any, length: int, timeout: float) -> bytes:
        data: bytes = pipe.recv(length, None if timeout == INFINITY else timeout / 1000)
        return data

    def send(self, pipe: Any, data: Any) -> None:
        pipe.send(bytes(data))

    def shutdown(self, pipe: Any, way: str) -> None:
        pipe.close()

    def close(self, pipe: Any) -> None:
        if pipe is self:
            self.backlog.put(None)
        else:
            pipe.close()

    def sockname(self, pipe: Any) -> Any:
        return ("local", "memory")

    def peername(self, pipe: Any) -> Any:
        return ("local", "")


def is_readable(sock: Any) -> bool:
    """Whether a read of a socket would not wait."""
    if sock.fileno() < 0:
        return False
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))
