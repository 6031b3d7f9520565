"""What the parts of a server share: the open listening sockets, the live connections, and the limits on them.

The sockets are opened by the Listener before it has started, so before any Acceptor of this server runs;
``close_sockets`` may be called by anybody.
"""

from __future__ import annotations

import threading
from typing import Any

from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Process
from thousand_island.connections import Connections
from thousand_island.limits import Limits
from thousand_island.server_config import ServerConfig
from thousand_island.telemetry import Origin, Span, start_span
from thousand_island.transport import SocketInfo
from thousand_island.transports.turns import Turns

__all__ = ["Listening"]


class Listening:
    """The listening sockets of one server, and its connections.

    ``lock`` guards ``listeners`` and ``span`` against a second close.

    Attributes:
        config: the server's options.
        connections: the live connections.
        limits: the places that ``max_connections`` and ``max_connections_per_ip`` leave; None: there is no limit.
        listeners: each listening socket with whose turn it is at it; None: it has no descriptor, so that accepting
            waits. Written in one step.
        local_info: where it listens, or did before it was suspended.
    """

    def __init__(self, config: ServerConfig, origin: Origin, connections: Connections) -> None:
        self.config = config
        self.origin = origin
        self.connections = connections
        self.limits: Limits | None = None
        if config.max_connections != INFINITY or config.max_connections_per_ip != INFINITY:
            wait = config.at_limit == "wait"
            self.limits = Limits(config.max_connections, config.max_connections_per_ip, wait=wait)
        self.lock = threading.Lock()
        self.listeners: list[tuple[Any, Turns | None]] = []
        self.span: Span | None = None
        self.local_info: SocketInfo | None = None

    @property
    def sockets(self) -> list[Any]:
        """The sockets that it listens on."""
        return [socket for socket, _ in self.listeners]

    def open(self) -> None:
        """Listen, on ``num_listen_sockets`` sockets; all or none.

        Raises:
            OSError: the system refuses.
        """
        config = self.config
        self.connections.drain_no_more()
        transport = config.transport_module
        sockets: list[Any] = []
        try:
            port = config.port
            for _ in range(config.num_listen_sockets):
                sockets.append(transport.listen(port, config.transport_options))
                self.local_info = transport.sockname(sockets[0])
                if isinstance(self.local_info[1], int):
                    port = self.local_info[1]  # all sockets share the port that the first was given
            listeners = [(socket, _turns_at(socket)) for socket in sockets]
        except BaseException:
            for socket in sockets:
                transport.close(socket)
            raise
        self.listeners = listeners
        host, port = self.local_info or ("", 0)
        self.span = start_span(self.origin, "listener", (host, port, config.transport_module, config.transport_options))

    def for_acceptor(self, number: int) -> tuple[Any, Turns | None]:
        """Return the socket of acceptor ``number``, counted from 1: they take turns; and whose turn it is there.

        The socket is None if all are closed.

        Counterpart: ``{:acceptor_info, acceptor_id}`` of ``ThousandIsland.Listener``.
        """
        listeners = self.listeners
        return listeners[(number - 1) % len(listeners)] if listeners else (None, None)

    def is_open(self, listener: Any) -> bool:
        """Whether the server still listens on a socket that ``for_acceptor`` gave."""
        return any(socket is listener for socket in self.sockets)

    def close_sockets(self) -> bool:
        """Stop listening; the span goes on until the Listener ends. False if that was done before."""
        with self.lock:
            listeners, self.listeners = self.listeners, []
        for socket, turns in listeners:
            self._close(socket, turns)
        return bool(listeners)

    def _close(self, socket: Any, turns: Turns | None) -> None:
        transport = self.config.transport_module
        if turns is None:
            _end_accept(transport, socket)
        elif turns is not socket:
            turns.close()  # first, while the descriptor is the socket's
        transport.close(socket)

    def owner_died(self, process: Process, reason: Any) -> None:
        """The Listener has ended, in whatever way."""
        self.close_sockets()
        with self.lock:
            span, self.span = self.span, None
        if span is not None:
            span.stop()


def _end_accept(transport: Any, listener: Any) -> None:
    """Have an ``accept`` that waits return: the system goes on listening as long as a thread is in accept(2)."""
    try:
        transport.shutdown(listener, "read_write")
    except Exception:  # noqa: BLE001 - a transport is the user's, and need not know how; without this nothing is closed
        pass


def _turns_at(listener: Any) -> Turns | None:
    if isinstance(listener, Turns):
        return listener
    return Turns(listener.fileno(), this_process()) if hasattr(listener, "fileno") else None
