"""Starting, asking, suspending and stopping a server.

Counterpart: the functions of ``ThousandIsland``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

from supervision import calls, process
from supervision.arguments import milliseconds
from supervision.child_spec import ChildSpec
from supervision.errors import CallTimeout, NoProcess, ServerExit
from supervision.messages import INFINITY
from supervision.process_table import Pid, Ref
from thousand_island import suspension
from thousand_island.errand import run_errand
from thousand_island.errors import ServerUnavailable
from thousand_island.forced_end import force_end
from thousand_island.server import Server, child_pid, child_pids, shared
from thousand_island.server_config import ServerConfig
from thousand_island.transport import SocketInfo

__all__ = [
    "ServerInfo",
    "child_spec",
    "connection_pids",
    "info",
    "listener_info",
    "resume",
    "start_link",
    "status",
    "stop",
    "suspend",
]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is doing; it may be out of date at once.

    Attributes:
        status: ``"running"`` or ``"suspended"``.
        local_info: where it listens, ``(host, port)`` or ``("local", path)``; None while it is suspended.
        active_connections: how many connections are alive.

    Counterpart: what ``ThousandIsland.info/1`` returns.
    """

    status: Literal["running", "suspended"]
    local_info: SocketInfo | None
    active_connections: int


def start_link(**options: Any) -> Pid:
    """Starts a server, linked to the caller.

    Args:
        **options: see ``ServerConfig``; ``handler_module`` is required.

    Returns:
        The server's supervisor.

    Raises:
        TypeError: an option is unknown or missing.
        ValueError: a value is refused.
        StartError: the system refuses; the OSError is in its ``__cause__`` chain.

    Counterpart: ``ThousandIsland.start_link/1``.
    """
    config = ServerConfig.new(**options)
    return Server.start_link(config, **config.supervisor_options)


def child_spec(options: dict[str, Any] | None = None, /, **more: Any) -> ChildSpec:
    """Returns how a supervisor starts a server; with an id of its own each time.

    Counterpart: ``ThousandIsland.child_spec/1``.
    """
    given = {**(options or {}), **more}
    ServerConfig.new(**given)  # refused here, where the mistake is, and not when the supervisor starts
    return ChildSpec(id=("thousand_island", Ref()), start=_start, args=(given,), type="supervisor")


def _start(options: dict[str, Any]) -> Pid:
    return start_link(**options)


def listener_info(server: Any) -> SocketInfo:
    """Returns where a server listens: ``(host, port)`` or ``("local", path)``.

    Raises:
        ServerUnavailable: it does not.

    Counterpart: ``ThousandIsland.listener_info/1``.
    """
    try:
        info: SocketInfo = calls.call(child_pid(server, "listener"), "listener_info", INFINITY)
    except (NoProcess, ServerExit) as error:
        raise ServerUnavailable(f"the listener of {server!r} is not running") from error
    return info


def connection_pids(server: Any) -> list[Pid]:
    """Returns the processes of the live connections, in no particular order; it may be out of date at once.

    Raises:
        ServerUnavailable: the server is not running.

    Counterpart: ``ThousandIsland.connection_pids/1``.
    """
    child_pid(server, "acceptor_pool_supervisor")  # without one there are none, and soon there may be others
    return shared(server).connections.pids()


def status(server: Any) -> Literal["running", "suspended"]:
    """Returns whether a server listens, ``"running"``, or has been suspended, ``"suspended"``.

    Raises:
        ServerUnavailable: it is not running at all.

    Counterpart: ``ThousandIsland.status/1``.
    """
    shared(server)  # or any supervisor would do
    return "suspended" if child_pids(server).get("listener") is None else "running"


def info(server: Any) -> ServerInfo:
    """Returns the status of a server, where it listens, and how many connections it has.

    With ``suspend`` it tells when a server that shall live on has no connections left.

    Raises:
        ServerUnavailable: it is not running.

    Counterpart: ``ThousandIsland.info/1``.
    """
    now = status(server)
    child_pid(server, "acceptor_pool_supervisor")
    listening = shared(server)
    return ServerInfo(now, listening.local_info if now == "running" else None, len(listening.connections))


def suspend(server: Any) -> None:
    """Closes the port and accepts nothing more; the connections that there are stay, and are served.

    Clients in the backlog are reset. Handlers that have a ``handle_drain`` get it called. A server that is suspended
    already stays so.

    Raises:
        ServerUnavailable: it is not running.

    Counterpart: ``ThousandIsland.suspend/1``.
    """
    run_errand(suspension.suspend, server)


def resume(server: Any) -> None:
    """Opens the port of a suspended server again and accepts connections; a new port if ``port`` is 0.

    A server that is running stays so.

    Raises:
        ServerUnavailable: it is not running; or it cannot listen, stays suspended, and may be resumed later. The
            OSError is in the ``__cause__`` chain then.

    Counterpart: ``ThousandIsland.resume/1``.
    """
    run_errand(suspension.resume, server)


def stop(server: Any, connection_wait: float = 15_000) -> None:
    """Stops a server: it listens no longer, and its connections get time to end. The tree is down on return.

    Args:
        server: a pid, a registered name or a via.
        connection_wait: milliseconds after which the connections that are left are killed, or INFINITY.

    A caller that is killed or interrupted meanwhile leaves a server that goes on to stop: its connections have
    ``shutdown_timeout``.

    Raises:
        NoProcess: it is not running.

    Counterpart: ``ThousandIsland.stop/2``.
    """
    milliseconds("connection_wait", connection_wait)
    pid = process.whereis(server)
    if pid is None:
        raise NoProcess(server)
    try:
        connections = shared(pid).connections
    except ServerUnavailable as error:  # it has just ended
        raise NoProcess(server) from error
    connections.stop_by = time.monotonic() + connection_wait / 1000  # which their supervisors do not know
    try:
        calls.stop(pid, "normal", connection_wait)
    except CallTimeout:
        force_end(pid, connections)
    except (NoProcess, ServerExit):
        connections.kill()
        raise
    connections.kill()  # only those are left whose supervisor had been killed
