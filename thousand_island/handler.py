"""The application's side of a connection: subclass Handler and override what you need.

Counterpart: the ``ThousandIsland.Handler`` behaviour.
"""

from __future__ import annotations

from typing import Any, ClassVar

from supervision.actor import Actor
from supervision.process_table import Pid
from supervision.results import Ok
from supervision.start import StartOptions, start
from supervision.threads import library_call
from thousand_island.connection import Connection
from thousand_island.results import Continue, HandlerResult
from thousand_island.socket import Socket

__all__ = ["Handler"]


class Handler(Actor):
    """Handles one connection; there is one instance, and one process, for each.

    Every callback runs in that process, one at a time, and may block. Actor callbacks work too, with the pair
    ``(socket, state)`` as their state.

    Attributes:
        pid: the connection's process.

    Counterpart: ``use ThousandIsland.Handler``.
    """

    restart: ClassVar[Any] = "temporary"
    kind: ClassVar[str] = "connection"
    server_class: ClassVar[Any] = Connection
    pid: Pid

    def handle_connection(self, socket: Socket, state: Any) -> HandlerResult:
        """A client has connected and its handshake is done; the socket is open.

        Counterpart: ``ThousandIsland.Handler.handle_connection/2``.
        """
        return Continue(state)

    def handle_data(self, data: bytes, socket: Socket, state: Any) -> HandlerResult:
        """The client has sent ``data``; the socket is open.

        Counterpart: ``ThousandIsland.Handler.handle_data/3``.
        """
        return Continue(state)

    def handle_close(self, socket: Socket, state: Any) -> object:
        """The connection ends; the socket is open after ``Close(state)`` and closed if the client closed it.

        Counterpart: ``ThousandIsland.Handler.handle_close/2``.
        """

    def handle_error(self, reason: Any, socket: Socket, state: Any) -> object:
        """The connection ends by an error; the socket is closed.

        Counterpart: ``ThousandIsland.Handler.handle_error/3``.
        """

    def handle_drain(self, socket: Socket, state: Any, deadline: float) -> HandlerResult:
        """The server begins to stop or to suspend: the protocol can say goodbye; the socket is open.

        It is called once each time, on every connection, at once or when the callback that runs has returned. What
        comes next:

        * ``Close`` and ``Error`` end the connection as always.
        * At suspend, ``Continue`` goes on as always.
        * At stop, and whenever the server's supervisor shuts it down, ``handle_shutdown`` follows at once after
          ``Continue(state)``, as it does without a ``handle_drain``. ``Continue(state, timeout)`` puts that off: the
          connection goes on until it ends itself or has been idle for so long (``Persistent``: each time), and only
          then is ``handle_shutdown`` called. At the deadline it is killed.

        Args:
            socket: the connection.
            state: the handler's state.
            deadline: the moment, by ``time.monotonic()`` in seconds, when the connection is killed: after
                ``connection_wait`` or ``shutdown_timeout``, whichever is shorter. INFINITY at suspend, and where
                neither is finite.

        Counterpart: none; it is called nowhere where ``shutdown_timeout`` is BRUTAL_KILL.
        """
        return Continue(state)

    def handle_shutdown(self, socket: Socket, state: Any) -> object:
        """The server shuts down; the socket is open. See ``handle_drain`` for what comes before.

        In the middle of the first handshake too, when there has been no ``handle_connection``: the state is then
        ``handler_options``, and nothing can be sent.

        Counterpart: ``ThousandIsland.Handler.handle_shutdown/2``.
        """

    def handle_timeout(self, socket: Socket, state: Any) -> object:
        """The connection was idle for too long; the socket is open.

        Counterpart: ``ThousandIsland.Handler.handle_timeout/2``.
        """

    def init(self, arg: Any) -> Any:
        """Return the first state, ``handler_options``; there is no connection yet."""
        return Ok((None, arg))

    @classmethod
    @library_call
    def start_link(cls, arg: Any = None, /, **options: Any) -> Pid:
        """Start the process of a connection; ``arg`` is ``(handler_options, genserver_options)``.

        Counterpart: ``start_link/1`` that ``use ThousandIsland.Handler`` defines.
        """
        handler_options, genserver_options = arg
        return start(cls, handler_options, StartOptions.of(cls, {**genserver_options, **options}), linked=True)
