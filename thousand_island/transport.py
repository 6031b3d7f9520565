"""What a transport is.

Counterpart: the ``ThousandIsland.Transport`` behaviour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from supervision.process_table import Pid

__all__ = ["SocketInfo", "SocketStats", "Transport"]

SocketInfo: TypeAlias = tuple[str, Any]
"""An end of a connection: ``(host, port)`` or ``("local", path)``."""


@dataclass(frozen=True, slots=True)
class SocketStats:
    """What has gone over a connection so far: bytes (``_oct``) and operations (``_cnt``).

    An operation of which bytes have gone counts, however it ends.
    """

    recv_oct: int = 0
    recv_cnt: int = 0
    send_oct: int = 0
    send_cnt: int = 0


class Transport(Protocol):
    """Basic socket functions; functions of a module or methods of any object.

    ``listener`` and ``socket`` below are whatever ``listen`` and ``accept`` return; nobody else looks into them. A
    transport may also have ``check_options(port, options)``, which refuses bad options before anything is started, and
    ``reload_certificates(listeners)``, for the function of that name.
    """

    def listen(self, port: int, options: Mapping[str, Any]) -> Any:
        """Return a listener bound to ``port``; called by the process that will own it."""

    def accept(self, listener: Any) -> Any:
        """Return the next connection. A transport that does not delegate to TCP may block.

        Raises:
            OSError: what accept(2) can return.
        """

    def handshake(self, socket: Any, timeout: float) -> Any:
        """Complete the setup and return the socket to use from now on."""

    def upgrade(self, socket: Any, options: Mapping[str, Any]) -> Any:
        """Turn a connection of another transport into one of this."""

    def controlling_process(self, socket: Any, pid: Pid) -> None:
        """Make ``pid`` the owner."""

    def recv(self, socket: Any, length: int, timeout: float) -> bytes:
        """Return ``length`` bytes, or what is there if it is 0, within ``timeout`` milliseconds or ``INFINITY``.

        ``Socket.recv`` raises what this does. The server itself reads a socket of the transport's own with a timeout of
        0 if it has ``fileno``, where BlockingIOError and TimeoutError count as SocketTimeout; else without a limit, in
        a process beside the connection's. In both cases ``b""`` is the end of the stream too.

        Raises:
            SocketTimeout: not in time, or nothing is there.
            SocketClosed: the peer has closed the connection.
            OSError: it has failed. A ConnectionError counts as its end.
        """

    def send(self, socket: Any, data: Any) -> None:
        """Send all of ``data``."""

    def sendfile(self, socket: Any, filename: Any, offset: int, length: int) -> int:
        """Send a part of a file, to its end if ``length`` is 0, and return how many bytes that was."""

    def getopts(self, socket: Any, names: Iterable[str]) -> dict[str, Any]:
        """Return options by name."""

    def setopts(self, socket: Any, options: Mapping[str, Any]) -> None:
        """Set options."""

    def shutdown(self, socket: Any, way: str) -> None:
        """Shut down ``"read"``, ``"write"`` or ``"read_write"``."""

    def close(self, socket: Any) -> None:
        """Close a connection or a listener."""

    def sockname(self, socket: Any) -> SocketInfo:
        """Return the local end, of a connection or a listener."""

    def peername(self, socket: Any) -> SocketInfo:
        """Return the remote end."""

    def peercert(self, socket: Any) -> bytes:
        """Return the peer's certificate (DER)."""

    def secure(self) -> bool:
        """Return whether connections are encrypted."""

    def getstat(self, socket: Any) -> SocketStats:
        """Return what has gone over the connection."""

    def negotiated_protocol(self, socket: Any) -> str:
        """Return the application protocol that the handshake agreed on."""

    def connection_information(self, socket: Any) -> Any:
        """Return what the handshake agreed on."""
