"""The supervisor of one server, and finding one's way in its tree.

Counterpart: ``ThousandIsland.Server``.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from supervision import process
from supervision.child_spec import child_spec
from supervision.errors import NoProcess, ServerExit
from supervision.process_table import Pid
from supervision.supervisor import Supervisor
from thousand_island.acceptor_pool_supervisor import AcceptorPoolSupervisor
from thousand_island.connections import Connections
from thousand_island.errors import ServerUnavailable
from thousand_island.handler import Handler
from thousand_island.listener import Listener
from thousand_island.listening import Listening
from thousand_island.server_config import ServerConfig
from thousand_island.shutdown_listener import ShutdownListener
from thousand_island.telemetry import Origin

__all__ = ["Server", "child_pid", "child_pids", "shared"]


class Server(Supervisor):
    """Its argument is the ServerConfig."""

    listening: Listening | None = None

    def init(self, config: ServerConfig, /, **flags: Any) -> Any:
        """Start the parts in the order in which they need each other; they end in reverse."""
        process.set_label(("thousand_island", "server", (config.port, config.handler_module)))
        handler = config.handler_module
        connections = Connections(hear_drains=_hears_drains(handler))
        self.listening = listening = Listening(config, Origin(process.self(), handler), connections)
        return super().init(
            [
                child_spec((Listener, listening), id="listener"),
                child_spec((AcceptorPoolSupervisor, listening), id="acceptor_pool_supervisor"),
                child_spec((ShutdownListener, listening), id="shutdown_listener"),
            ],
            strategy="rest_for_one",
            **flags,
        )


def _hears_drains(handler: Any) -> bool:
    is_handler = isinstance(handler, type) and issubclass(handler, Handler)
    return is_handler and handler.handle_drain is not Handler.handle_drain


def shared(server: Any) -> Listening:
    """Return what the parts of a server share.

    Raises:
        ServerUnavailable: it is no server, or it is not running.
    """
    # Looked up and not asked for: a server that is busy ending must not hold up whoever is to hurry it.
    pid = process.whereis(server)
    body = None if pid is None else pid._process.body
    actor = getattr(body, "actor", None)
    if not isinstance(actor, Server) or actor.listening is None:
        raise ServerUnavailable(f"the server {server!r} is not running")
    return actor.listening


def child_pids(server: Any) -> dict[Hashable, Pid]:
    """Return the pids of the children that run, by their ids.

    Raises:
        ServerUnavailable: the server is not running.
    """
    try:
        children = Supervisor.which_children(server)
    except (NoProcess, ServerExit) as error:
        raise ServerUnavailable(f"the server {server!r} is not running") from error
    return {child.id: child.pid for child in children if isinstance(child.pid, Pid)}


def child_pid(server: Any, child_id: str) -> Pid:
    """Return the pid of a running child.

    Raises:
        ServerUnavailable: it is not running, nor the server.
    """
    pid = child_pids(server).get(child_id)
    if pid is None:
        raise ServerUnavailable(f"{child_id} of the server {server!r} is not running")
    return pid
