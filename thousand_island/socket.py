"""The connection as a handler sees it.

Counterpart: ``ThousandIsland.Socket``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from supervision import arguments
from supervision.threads import current
from thousand_island.errors import ThousandIslandError
from thousand_island.handshaking_socket import HandshakingSocket
from thousand_island.telemetry import Span, signal_of
from thousand_island.transport import SocketInfo, SocketStats

__all__ = ["Socket"]

_RECV: Final = signal_of("connection.recv")
_RECV_ERROR: Final = signal_of("connection.recv_error")
_SEND: Final = signal_of("connection.send")
_SEND_ERROR: Final = signal_of("connection.send_error")
_SENDFILE: Final = signal_of("connection.sendfile")
_SENDFILE_ERROR: Final = signal_of("connection.sendfile_error")
_SHUTDOWN: Final = signal_of("connection.socket_shutdown")


class Socket(HandshakingSocket):
    """One client connection: a transport's socket, and how to use it.

    It may be used by the process that owns it, in any of its callbacks. Others may look at it (``peername``,
    ``getstat`` and the like) and get NotOwner from everything else. What uses the connection raises SocketClosed when
    it is closed, and the OSError of the system; what is known of it can still be asked.

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

    def __repr__(self) -> str:
        name = getattr(self.transport_module, "__name__", type(self.transport_module).__name__)
        return f"<Socket {name} of {self._owner.pid!r}{', closed' if self.closed else ''}>"

    @property
    def silent_terminate_on_error(self) -> bool:
        """Whether an Error result ends the connection without a crash report."""
        return self.config.silent_terminate_on_error

    @property
    def telemetry_span(self) -> Span | None:
        """The span of the connection, also after its end; None before it has begun.

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
        if _SHUTDOWN.receivers and self.open_span is not None:
            self.open_span.event(_SHUTDOWN, {"way": way})
        self._ask(self.transport_module.shutdown, way)

    def close(self) -> None:
        """Closes the connection; what was sent is still delivered. It is closed by itself when the process ends.

        If bytes of the client have not been read, the system resets the connection, and the client may lose what it has
        not read yet: a protocol that ends in the middle of a request reads the rest first.

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
        """Returns the client's end. Behind a trusted proxy that is what its PROXY header told.

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
        """Returns what the handshake agreed on; its ``proxy`` is what a PROXY header told, or None.

        Raises:
            NotSecure: the connection is not encrypted, and there was no such header.

        Counterpart: ``ThousandIsland.Socket.connection_information/1``.
        """
        return self._ask(self.transport_module.connection_information)
