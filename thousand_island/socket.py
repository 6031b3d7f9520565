"""The connection as a handler sees it.

Counterpart: ``ThousandIsland.Socket``.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from supervision import arguments
from supervision.threads import current
from thousand_island.errors import ThousandIslandError
from thousand_island.owned_socket import OwnedSocket
from thousand_island.telemetry import Span, signal_of
from thousand_island.transport import SocketInfo, SocketStats
from thousand_island.transports.ssl import SSL
from thousand_island.transports.tcp import TCP
from thousand_island.transports.tls_stream import TLSStream

__all__ = ["Socket"]

_RECV: Final = signal_of("connection.recv")
_RECV_ERROR: Final = signal_of("connection.recv_error")
_SEND: Final = signal_of("connection.send")
_SEND_ERROR: Final = signal_of("connection.send_error")
_SENDFILE: Final = signal_of("connection.sendfile")
_SENDFILE_ERROR: Final = signal_of("connection.sendfile_error")
_SHUTDOWN: Final = signal_of("connection.socket_shutdown")


class Socket(OwnedSocket):
    """One client connection: a transport's socket, and how to use it.

    It may be used by the process that owns it, in any of its callbacks. Everything raises NotOwner elsewhere,
    SocketClosed when the connection is closed, and the OSError of the system.

    Attributes:
        transport_module: the transport.
        socket: the transport's own socket.
        read_timeout: milliseconds, or INFINITY: how long the connection may be idle, and a ``recv`` may wait.
        silent_terminate_on_error: the server's option.
        reader: how the connection's process learns of data; for that process.
        receive: what is called instead of the transport's ``recv``; for a reader that has to read itself.

    Counterpart: ``t:ThousandIsland.Socket.t/0``.
    """

    __slots__ = ()

    @property
    def silent_terminate_on_error(self) -> bool:
        """Whether an Error result ends the connection without a crash report."""
        return self.config.silent_terminate_on_error

    @property
    def telemetry_span(self) -> Span | None:
        """The span of the connection; None before it has begun.

        Counterpart: ``ThousandIsland.Socket.telemetry_span/1``.
        """
        return self._span

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted.

        Counterpart: ``ThousandIsland.Socket.secure?/1``.
        """
        return bool(self.transport_module.secure())

    def recv(self, length: int = 0, timeout: float | None = None) -> bytes:
        """Returns data from the client.

        Args:
            length: 0 for what is there, else exactly so many bytes.
            timeout: milliseconds, or INFINITY; None for ``read_timeout``.

        Raises:
            SocketTimeout: not in time; what did come is kept for the next ``recv``.
            SocketClosed: the client has closed the connection.

        Counterpart: ``ThousandIsland.Socket.recv/3``.
        """
        self._check_owner()
        arguments.count("length", length)
        wait = self.read_timeout if timeout is None else arguments.milliseconds("timeout", timeout)
        try:
            receive = self.transport_module.recv if self.receive is None else self.receive
            data: bytes = receive(self.socket, length, wait)
        except (OSError, ThousandIslandError) as error:
            raise self._failed(error, _RECV_ERROR, {}) from None
        if _RECV.receivers:
            self._tell(_RECV, {"data": data})
        return data

    def send(self, data: Any) -> None:
        """Sends all of ``data``: bytes-like, or nested iterables of it, which are not joined.

        Raises:
            SendTimeout: the client did not take it within ``send_timeout``; ``rest`` holds what was not sent.

        Counterpart: ``ThousandIsland.Socket.send/2``.
        """
        owner = self._owner
        if current.record.process is not owner or owner.dead:
            self._check_owner()
        try:
            self.transport_module.send(self.socket, data)
        except (OSError, ThousandIslandError) as error:
            raise self._failed(error, _SEND_ERROR, {"data": data}) from None
        if _SEND.receivers:
            self._tell(_SEND, {"data": data})

    def sendfile(self, filename: str | os.PathLike[str], offset: int = 0, length: int = 0) -> int:
        """Sends a part of a file without copying it, and returns how many bytes that was.

        Args:
            filename: the file.
            offset: where to begin, in bytes.
            length: how many bytes; 0: to the end.

        Counterpart: ``ThousandIsland.Socket.sendfile/4``.
        """
        self._check_owner()
        arguments.count("offset", offset)
        arguments.count("length", length)
        asked = {"filename": filename, "offset": offset}
        try:
            sent: int = self.transport_module.sendfile(self.socket, filename, offset, length)
        except (OSError, ThousandIslandError) as error:
            raise self._failed(error, _SENDFILE_ERROR, {**asked, "length": length}) from None
        if _SENDFILE.receivers:
            self._tell(_SENDFILE, {**asked, "bytes_written": sent})
        return sent

    def shutdown(self, way: str) -> None:
        """Shuts down a direction: ``"read"``, ``"write"`` or ``"read_write"``.

        Counterpart: ``ThousandIsland.Socket.shutdown/2``.
        """
        self._check_owner()
        arguments.one_of("way", way, ("read", "write", "read_write"))
        if _SHUTDOWN.receivers and self._span is not None:
            self._span.event(_SHUTDOWN, {"way": way})
        self._ask(self.transport_module.shutdown, way)

    def close(self) -> None:
        """Closes the connection; what was sent is still delivered. It is closed by itself when the process ends.

        Counterpart: ``ThousandIsland.Socket.close/1``.
        """
        self._check_owner()
        self.release()

    def getopts(self, names: Iterable[str]) -> dict[str, Any]:
        """Returns options of the socket by name.

        Counterpart: ``ThousandIsland.Socket.getopts/2``.
        """
        self._check_owner()
        return dict(self._ask(self.transport_module.getopts, names))

    def setopts(self, options: Mapping[str, Any]) -> None:
        """Sets options of the socket.

        Counterpart: ``ThousandIsland.Socket.setopts/2``.
        """
        self._check_owner()
        self._ask(self.transport_module.setopts, options)

    def getstat(self) -> SocketStats:
        """Returns what has gone over the connection.

        Counterpart: ``ThousandIsland.Socket.getstat/1``.
        """
        stats: SocketStats = self._ask(self.transport_module.getstat)
        return stats

    def peername(self) -> SocketInfo:
        """Returns the client's end.

        Counterpart: ``ThousandIsland.Socket.peername/1``.
        """
        info: SocketInfo = self._ask(self.transport_module.peername)
        return info

    def sockname(self) -> SocketInfo:
        """Returns the server's end.

        Counterpart: ``ThousandIsland.Socket.sockname/1``.
        """
        info: SocketInfo = self._ask(self.transport_module.sockname)
        return info

    def peercert(self) -> bytes:
        """Returns the client's certificate, DER-encoded.

        Raises:
            NotSecure: the connection is not encrypted, or the client has sent none.

        Counterpart: ``ThousandIsland.Socket.peercert/1``.
        """
        return bytes(self._ask(self.transport_module.peercert))

    def negotiated_protocol(self) -> str:
        """Returns the application protocol that the handshake agreed on.

        Raises:
            ProtocolNotNegotiated: none.

        Counterpart: ``ThousandIsland.Socket.negotiated_protocol/1``.
        """
        return str(self._ask(self.transport_module.negotiated_protocol))

    def connection_information(self) -> Any:
        """Returns what the handshake agreed on.

        Raises:
            NotSecure: the connection is not encrypted.

        Counterpart: ``ThousandIsland.Socket.connection_information/1``.
        """
        return self._ask(self.transport_module.connection_information)

    def handshake(self) -> Socket:
        """Completes the setup of the connection, within ``handshake_timeout``.

        Only handlers with a ``start_link`` of their own call it.

        Counterpart: ``ThousandIsland.Socket.handshake/1``.
        """
        self._check_owner()
        handshake = self.transport_module.handshake
        timeout = (self.config.handshake_timeout,) if _takes_timeout(handshake) else ()
        self.socket = self._ask(handshake, *timeout)
        return self

    def upgrade(self, transport_module: Any, options: Mapping[str, Any]) -> Socket:
        """Turns the connection into one of ``transport_module``, in place, within ``handshake_timeout``.

        Raises:
            UnsupportedUpgrade: that cannot be done.
            PlaintextPending: bytes that came in clear are still to be read.
            SocketTimeout: the client took too long.

        Counterpart: ``ThousandIsland.Socket.upgrade/3``.
        """
        self._check_owner()
        self.begin_upgrade(transport_module, options)
        if self.needs_handshake:
            self.handshake()
        return self

    # What the connection's process does with it

    @property
    def needs_handshake(self) -> bool:
        """Whether nothing can be sent and received before the rest of an upgrade, which is a handshake."""
        return isinstance(self.socket, TLSStream) and not self.socket.established

    def try_handshake(self) -> bool:
        """Goes on with the handshake, and tells whether it is done.

        A transport of this library does not wait for the client: the owner is sent the ``source`` of its socket when
        there is a reason to go on. Another one does all at once, and may block.
        """
        if self.transport_module.handshake is TCP.handshake:
            return True
        if isinstance(self.socket, TLSStream) and self.transport_module.handshake is SSL.handshake:
            return bool(self._ask(TLSStream.try_handshake))
        self.handshake()
        return True

    def begin_upgrade(self, transport_module: Any, options: Mapping[str, Any]) -> None:
        """Does what ``upgrade`` does but for the handshake, if there is one (``needs_handshake``)."""
        self.socket = self._ask(transport_module.upgrade, options)
        self.transport_module = transport_module


@functools.lru_cache(maxsize=64)  # asked for each connection, and there are few transports
def _takes_timeout(handshake: Any) -> bool:
    """Whether a transport's ``handshake`` takes a timeout, which older ones do not."""
    try:
        inspect.signature(handshake).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True
