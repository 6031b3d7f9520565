"""The process that owns the listening sockets of a server.

Counterpart: ``ThousandIsland.Listener``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from supervision import process
from supervision.actor import Actor
from supervision.foreign import this_process
from supervision.masked_server import MaskedServer
from supervision.results import Ok, Reply, Stop
from supervision.signals import entrust
from thousand_island.listening import Listening

__all__ = ["Listener"]


class Listener(Actor):
    """Listens as long as it lives. Its argument and state are the server's ``Listening``."""

    restart: ClassVar[Any] = "transient"
    server_class: ClassVar[Any] = MaskedServer

    def init(self, listening: Listening) -> Any:
        """Open the sockets; the reason of a failure is the OSError."""
        process.trap_exit(True)
        config = listening.config
        process.set_label(("thousand_island", "listener", (config.port, config.handler_module)))
        try:
            listening.open()
        except OSError as error:
            return Stop(error)
        entrust(this_process(), listening)
        return Ok(listening)

    def handle_call(self, request: Any, caller: Any, listening: Listening) -> Any:
        """Answer ``"listener_info"``, or ``("acceptor_info", number)`` with a socket and the span."""
        if request == "listener_info":
            return Reply(listening.local_info, listening)
        _, number = request
        socket, _ = listening.for_acceptor(number)
        return Reply((socket, listening.span), listening)
