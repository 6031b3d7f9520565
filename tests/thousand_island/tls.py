"""Servers and clients that speak TLS, and a client whose every byte is under the test's control."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import blinker

from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import SECONDS, Server, serve
from thousand_island.transports import SSL


@contextlib.contextmanager
def serve_tls(
    handler: Any, certificates: Certificates, tls: dict[str, Any] | None = None, **options: Any
) -> Iterator[Server]:
    """Start a TLS server with the server's certificate and further ``transport_options``."""
    options = {"transport_module": SSL, "transport_options": certificates.options(**(tls or {}))} | options
    with serve(handler, **options) as server:
        yield server


def connect_tls(server: Server, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    """Return a client's end after the handshake. An end without a goodbye is an error to it."""
    return context.wrap_socket(server.connect(), server_hostname=name, suppress_ragged_eofs=False)


@contextlib.contextmanager
def counting(event: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that waits until so many events of that name have come since it was asked last."""
    arrived = threading.Semaphore(0)

    def arrive(sender: Any, **details: Any) -> None:
        arrived.release()

    def wait(number: int) -> None:
        for _ in range(number):
            assert arrived.acquire(timeout=SECONDS), f"there was no further {event}"

    with blinker.signal(f"thousand_island.{event}").connected_to(arrive):
        yield wait


class ManualClient:
    """A client that encrypts and decrypts, and sends and receives only what and when it is told to."""

    def __init__(self, clear: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = clear
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake_hands(self, at_once: int = 65_536) -> bytes:
        """Go through the handshake, and return its last words, which are not sent yet.

        Args:
            at_once: bytes to receive at most between two looks at what they say.
        """
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self.fill(at_once)
            else:
                return self.outgoing.read()

    def encrypted(self, data: bytes) -> bytes:
        """Return the record that carries ``data``."""
        self.tls.write(data)
        return self.outgoing.read()

    def goodbye(self) -> bytes:
        """Return the record that announces the end."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()

    def flush(self) -> None:
        """Send what there is to send."""
        self.socket.sendall(self.outgoing.read())

    def fill(self, at_once: int = 65_536) -> None:
        """Receive something."""
        data = self.socket.recv(at_once)
        if not data:
            raise ConnectionResetError("the server has closed the connection")
        self.incoming.write(data)

    def receive(self, length: int) -> bytes:
        """Receive exactly so many bytes, or less if the server says goodbye before."""
        data = b""
        while len(data) < length:
            try:
                more = self.tls.read(length - len(data))
            except ssl.SSLWantReadError:
                self.fill()
                continue
            if not more:
                break
            data += more
        return data


@contextlib.contextmanager
def manual_client(server: Server, certificates: Certificates) -> Iterator[ManualClient]:
    """Connect a ManualClient, whose handshake is still to be done."""
    with server.connect() as clear:
        yield ManualClient(clear, certificates.trusting())
