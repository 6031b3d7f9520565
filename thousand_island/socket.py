"""The connection as a handler sees it.

Counterpart: ``ThousandIsland.Socket``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from blinker import NamedSignal

from supervision import arguments
from supervision.errors import Killed
from supervision.process_table import Process
from supervision.threads import current
from thousand_island.errors import NotOwner, ThousandIslandError, reason_string
from thousand_island.telemetry import signal_of
from thousand_island.transport import SocketInfo, SocketStats

if TYPE_CHECKING:
    from thousand_island.server_config import ServerConfig
    from thousand_island.telemetry import Span

__all__ = ["Socket"]

_RECV: Final = signal_of("connection.recv")
_RECV_ERROR: Final = signal_of("connection.recv_error")
_SEND: Final = signal_of("connection.send")
_SEND_ERROR: Final = signal_of("connection.send_error")
_SENDFILE: Final = signal_of("connection.sendfile")
_SENDFILE_ERROR: Final = signal_of("connection.sendfile_error")
_SHUTDOWN: Final = signal_of("connection.socket_shutdown")


class Socket:
    """One client connection: a transport's socket, and how to use it.

    It may be used by the process that owns it, in any of its callbacks. Everything raises NotOwner elsewhere,
    SocketClosed when the connection is closed, and the OSError of the system.

    Attributes:
        transport_module: the transport.
        socket: the transport's own socket.
        read_timeout: milliseconds, or INFINITY: how long the connection may be idle, and a ``recv`` may wait.
        silent_terminate_on_error: the server's option.

    Counterpart: ``t:ThousandIsland.Socket.t/0``.
    """

    __slots__ = ("_error", "_owner", "_span", "closed", "config", "read_timeout", "socket", "transport_module")

    def __init__(self, transport_module: Any, socket: Any, config: ServerConfig, owner: Process) -> None:
        self.transport_module = transport_module
        self.socket = socket
        self.config = config
        self.read_timeout = config.read_timeout
        self.closed = False
        self._owner = owner
        self._span: Span | None = None
        self._error: BaseException | None = None

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
            data: bytes = self.transport_module.recv(self.socket, length, wait)
        except (OSError, ThousandIslandError) as error:
            self._failed(error, _RECV_ERROR, {})
            raise
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
            self._failed(error, _SEND_ERROR, {"data": data})
            raise
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
            self._failed(error, _SENDFILE_ERROR, {**asked, "length": length})
            raise
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
        try:
            self.transport_module.shutdown(self.socket, way)
        except (OSError, ThousandIslandError) as error:
            self._error = error
            raise

    def close(self) -> None:
        """Closes the connection; what was sent is still delivered. It is closed by itself when the process ends.

        Counterpart: ``ThousandIsland.Socket.close/1``.
        """
        self._check_owner()
        if not self.closed:
            self.closed = True
            self.transport_module.close(self.socket)

    def getopts(self, names: Iterable[str]) -> dict[str, Any]:
        """Returns options of the socket by name.

        Counterpart: ``ThousandIsland.Socket.getopts/2``.
        """
        self._check_owner()
        return dict(self.transport_module.getopts(self.socket, names))

    def setopts(self, options: Mapping[str, Any]) -> None:
        """Sets options of the socket.

        Counterpart: ``ThousandIsland.Socket.setopts/2``.
        """
        self._check_owner()
        self.transport_module.setopts(self.socket, options)

    def getstat(self) -> SocketStats:
        """Returns what has gone over the connection.

        Counterpart: ``ThousandIsland.Socket.getstat/1``.
        """
        stats: SocketStats = self.transport_module.getstat(self.socket)
        return stats

    def peername(self) -> SocketInfo:
        """Returns the client's end.

        Counterpart: ``ThousandIsland.Socket.peername/1``.
        """
        info: SocketInfo = self.transport_module.peername(self.socket)
        return info

    def sockname(self) -> SocketInfo:
        """Returns the server's end.

        Counterpart: ``ThousandIsland.Socket.sockname/1``.
        """
        info: SocketInfo = self.transport_module.sockname(self.socket)
        return info

    def peercert(self) -> bytes:
        """Returns the client's certificate, DER-encoded.

        Raises:
            NotSecure: the connection is not encrypted, or the client has sent none.

        Counterpart: ``ThousandIsland.Socket.peercert/1``.
        """
        return bytes(self.transport_module.peercert(self.socket))

    def negotiated_protocol(self) -> str:
        """Returns the application protocol that the handshake agreed on.

        Raises:
            ProtocolNotNegotiated: none.

        Counterpart: ``ThousandIsland.Socket.negotiated_protocol/1``.
        """
        return str(self.transport_module.negotiated_protocol(self.socket))

    def connection_information(self) -> Any:
        """Returns what the handshake agreed on.

        Raises:
            NotSecure: the connection is not encrypted.

        Counterpart: ``ThousandIsland.Socket.connection_information/1``.
        """
        return self.transport_module.connection_information(self.socket)

    def handshake(self) -> Socket:
        """Completes the setup of the connection, within ``handshake_timeout``.

        Only handlers with a ``start_link`` of their own call it.

        Counterpart: ``ThousandIsland.Socket.handshake/1``.
        """
        self._check_owner()
        handshake = self.transport_module.handshake
        if _takes_timeout(handshake):
            self.socket = handshake(self.socket, self.config.handshake_timeout)
        else:
            self.socket = handshake(self.socket)
        return self

    def upgrade(self, transport_module: Any, options: Mapping[str, Any]) -> Socket:
        """Turns the connection into one of ``transport_module``, in place.

        Raises:
            UnsupportedUpgrade: that cannot be done.

        Counterpart: ``ThousandIsland.Socket.upgrade/3``.
        """
        self._check_owner()
        self.socket = transport_module.upgrade(self.socket, options)
        self.transport_module = transport_module
        return self

    def begin_span(self, acceptor_span: Span, start_time: int) -> None:
        """Starts the connection's span; called once, by whoever handles the connection.

        Raises:
            OSError: the client is gone already.
        """
        self._span = acceptor_span.start_child_span("connection", self.peername(), start_time)

    def raised(self, error: BaseException) -> bool:
        """Whether ``error`` came out of this socket."""
        return error is self._error

    def _check_owner(self) -> None:
        if current.record.process is not self._owner:
            raise NotOwner("a socket is used by the process that owns it; send that process a message instead")
        if self._owner.dead:
            raise Killed

    def _failed(self, error: BaseException, event: NamedSignal, measurements: dict[str, Any]) -> None:
        self._error = error
        if event.receivers and self._span is not None:
            self._span.event(event, {**measurements, "error": reason_string(error)})

    def _tell(self, event: NamedSignal, measurements: dict[str, Any]) -> None:
        if self._span is not None:
            self._span.untimed_event(event, measurements)


def _takes_timeout(handshake: Any) -> bool:
    """Whether a transport's ``handshake`` takes a timeout, which older ones do not."""
    try:
        inspect.signature(handshake).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True
