"""Starting, asking and stopping a server.

Counterpart: the functions of ``ThousandIsland``.
"""

from __future__ import annotations

import time
from typing import Any, Final

from supervision import calls, process
from supervision.arguments import milliseconds
from supervision.child_spec import ChildSpec
from supervision.errors import CallTimeout, NoProcess, ServerExit
from supervision.messages import INFINITY
from supervision.process_table import Pid, Process, Ref
from thousand_island import connections
from thousand_island.errors import ServerUnavailable
from thousand_island.server import Server, child_pid
from thousand_island.server_config import ServerConfig
from thousand_island.transport import SocketInfo

__all__ = ["child_spec", "connection_pids", "listener_info", "start_link", "stop"]

# Milliseconds that the tree gets to end once its connections are dead.
AFTER_KILLING: Final = 1_500


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
    return connections.connection_pids(server)


def stop(server: Any, connection_wait: float = 15_000) -> None:
    """Stops a server: it listens no longer, and its connections get time to end. The tree is down on return.

    Args:
        server: a pid, a registered name or a via.
        connection_wait: milliseconds after which the connections that are left are killed, or INFINITY.

    Raises:
        NoProcess: it is not running.

    Counterpart: ``ThousandIsland.stop/2``.
    """
    milliseconds("connection_wait", connection_wait)
    pid = process.whereis(server)
    if pid is None:
        raise NoProcess(server)
    started = time.monotonic()
    try:
        calls.stop(pid, "normal", connection_wait)
    except CallTimeout:
        _kill_connections(pid)
        _await_end(pid, connection_wait + AFTER_KILLING - (time.monotonic() - started) * 1000)


def _kill_connections(server: Pid) -> None:
    """Kill what has no children of its own. Asks nobody: the supervisors are busy waiting for just these."""
    for one in _leaves(server._process):
        process.exit(one.pid, "kill")


def _leaves(parent: Process) -> list[Process]:
    children = [peer for peer in list(parent.links or ()) if peer.parent is parent.pid]
    if not children:
        return [parent]
    return [leaf for child in children for leaf in _leaves(child)]


def _await_end(pid: Pid, limit: float) -> None:
    reference = process.monitor(pid)
    try:
        process.receive(lambda message: getattr(message, "ref", None) is reference, timeout=max(0, int(limit)))
    except TimeoutError:
        process.exit(pid, "kill")
    finally:
        process.demonitor(reference, flush=True)
