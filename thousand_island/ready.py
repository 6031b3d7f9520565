"""How a connection's process gets its socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thousand_island.socket import Socket
from thousand_island.telemetry import Span

__all__ = ["Ready"]


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message of a connection's process.

    Attributes:
        socket: the connection, owned by the receiver; call ``socket.handshake()`` before anything else.
        server_config: the server's options.
        acceptor_span: the parent of the connection's span.
        start_time: when it was accepted, by ``telemetry.monotonic_time``.

    Counterpart: ``{:thousand_island_ready, …}``.
    """

    socket: Socket
    server_config: Any
    acceptor_span: Span
    start_time: int
