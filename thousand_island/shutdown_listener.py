"""The last child of a server, so the first to be shut down: closes the sockets and tells the connections.

Counterpart: ``ThousandIsland.ShutdownListener``.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from supervision import process
from supervision.actor import Actor
from supervision.foreign import this_process
from supervision.masked_server import MaskedServer
from supervision.messages import BRUTAL_KILL, INFINITY
from supervision.results import Ok
from thousand_island.listening import Listening

__all__ = ["ShutdownListener"]


class ShutdownListener(Actor):
    """Waits for the end. Its argument and state are the server's ``Listening``."""

    server_class: ClassVar[Any] = MaskedServer

    def init(self, listening: Listening) -> Any:
        """Trap exits, or ``terminate`` would not be called."""
        process.trap_exit(True)
        config = listening.config
        process.set_label(("thousand_island", "shutdown_listener", (config.port, config.handler_module)))
        return Ok(listening)

    def terminate(self, reason: Any, listening: Listening) -> None:
        """Close the listening sockets, then tell the connections that the server shuts down."""
        if not _server_ends():
            return  # this is restarted because something before it has died; the sockets are the Listener's then
        listening.close_sockets()
        shutdown_timeout = listening.config.shutdown_timeout
        if shutdown_timeout != BRUTAL_KILL:  # else they hear nothing and are killed
            deadline = INFINITY if shutdown_timeout == INFINITY else time.monotonic() + shutdown_timeout / 1000
            listening.connections.shut_down(deadline)


def _server_ends() -> bool:
    server = this_process().parent
    body = None if server is None or server._process.dead else server._process.body
    return body is None or body.stopping  # type: ignore[attr-defined]
