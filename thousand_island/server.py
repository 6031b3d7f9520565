"""The supervisor of one server, and finding one's way in its tree.

Counterpart: ``ThousandIsland.Server``.
"""

from __future__ import annotations

from typing import Any

from supervision import process
from supervision.child_spec import child_spec
from supervision.errors import NoProcess, ServerExit
from supervision.process_table import Pid
from supervision.supervisor import Supervisor
from thousand_island.acceptor_pool_supervisor import AcceptorPoolSupervisor
from thousand_island.errors import ServerUnavailable
from thousand_island.listener import Listener
from thousand_island.listening import Listening
from thousand_island.server_config import ServerConfig
from thousand_island.shutdown_listener import ShutdownListener
from thousand_island.telemetry import Origin

__all__ = ["Server", "child_pid"]


class Server(Supervisor):
    """Its argument is the ServerConfig."""

    def init(self, config: ServerConfig, **flags: Any) -> Any:
        """Start the parts in the order in which they need each other; they end in reverse."""
        process.set_label(("thousand_island", "server", (config.port, config.handler_module)))
        listening = Listening(config, Origin(process.self(), config.handler_module))
        return super().init(
            [
                child_spec((Listener, listening), id="listener"),
                child_spec((AcceptorPoolSupervisor, listening), id="acceptor_pool_supervisor"),
                child_spec((ShutdownListener, listening), id="shutdown_listener"),
            ],
            strategy="rest_for_one",
            **flags,
        )


def child_pid(supervisor: Any, child_id: str) -> Pid:
    """Return the pid of a running child.

    Raises:
        ServerUnavailable: it is not running, nor the supervisor.
    """
    try:
        children = Supervisor.which_children(supervisor)
    except (NoProcess, ServerExit) as error:
        raise ServerUnavailable(f"the server {supervisor!r} is not running") from error
    for child in children:
        if child.id == child_id and isinstance(child.pid, Pid):
            return child.pid
    raise ServerUnavailable(f"{child_id} of the server {supervisor!r} is not running")
