"""The arrival of a PROXY header at a connection that must begin with one.

Takes the header from the socket and not one byte more, so that neither the TLS layer nor the handler has to know of it.
What it says is ``proxy_protocol``'s business, who must send one ``trusted_peers``'.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from supervision.messages import INFINITY
from supervision.readiness import DeadlinePassed, read_when_ready, watch
from thousand_island.errors import BadProxyHeader, SocketClosed, SocketTimeout
from thousand_island.transports.proxy_protocol import HEADER_MOST, parse

if TYPE_CHECKING:
    from thousand_island.transports.stream import Stream

__all__ = ["ProxyArrival"]


class ProxyArrival:
    """The part of one connection's header that has come. Used by the thread that runs the connection's owner.

    It does not know its connection, which could not be collected by itself then.
    """

    __slots__ = ("came",)

    def __init__(self) -> None:
        self.came = b""

    def wait(self, stream: Stream, timeout: float) -> None:
        """Take the header, within ``timeout`` milliseconds.

        Raises:
            SocketTimeout: not in time.
            SocketClosed: the peer has gone without a word.
            BadProxyHeader: there is none, or a wrong one.
        """
        deadline = None if timeout == INFINITY else time.monotonic() + timeout / 1000
        try:
            read_when_ready(stream.source, lambda: self.take(stream), deadline)
        except DeadlinePassed:
            raise SocketTimeout("the PROXY header did not come in time") from None

    def try_take(self, stream: Stream) -> bool:
        """Take what has come; True if that is all.

        False: ``source`` is sent to the owner when there is more. Raises as ``wait``.
        """
        try:
            self.take(stream)
        except BlockingIOError:
            stream.source.armed = True
            watch(stream.source)
            return False
        return True

    def take(self, stream: Stream) -> None:
        """Take what has come. Raises BlockingIOError if that is not all; else as ``wait``."""
        if stream.closed:
            raise SocketClosed("the connection is closed")
        while True:  # until it is whole, or nothing is left
            came = self._look(stream.sock)
            found = parse(came)
            size = len(came) if found is None else found[1]
            _consume(stream.sock, size - len(self.came))
            self.came = came
            if found is not None:
                stream.introduce(found[0])
                return

    def _look(self, sock: socket.socket) -> bytes:
        """Return what came before, and what is there now and stays there."""
        data = sock.recv(HEADER_MOST, socket.MSG_PEEK)
        if not data and self.came:
            raise BadProxyHeader(f"it ends after {len(self.came)} bytes, together with the connection")
        if not data:
            raise SocketClosed("the peer has closed the connection")
        return self.came + data


def _consume(sock: socket.socket, size: int) -> None:
    while size > 0:
        count = len(sock.recv(size))
        if not count:
            raise SocketClosed("the connection is closed")
        size -= count
