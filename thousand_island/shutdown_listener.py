"""The last child of a server, so the first to be shut down: it closes the listening sockets.

Counterpart: ``ThousandIsland.ShutdownListener``.
"""

from __future__ import annotations

from typing import Any

from supervision import process
from supervision.actor import Actor
from supervision.results import Ok
from thousand_island.listening import Listening

__all__ = ["ShutdownListener"]


class ShutdownListener(Actor):
    """Waits for the end. Its argument and state are the server's ``Listening``."""

    def init(self, listening: Listening) -> Any:
        """Trap exits, or ``terminate`` would not be called."""
        process.trap_exit(True)
        config = listening.config
        process.set_label(("thousand_island", "shutdown_listener", (config.port, config.handler_module)))
        return Ok(listening)

    def terminate(self, reason: Any, listening: Listening) -> None:
        """Close the listening sockets, before any connection is told to end."""
        listening.close_sockets()
