"""The live connections of a server, found in its tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from supervision.errors import NoProcess, ServerExit
from supervision.process_table import Pid
from supervision.supervisor import Supervisor
from thousand_island.server import child_pid

__all__ = ["connection_pids", "connection_supervisors"]


def connection_pids(server: Any) -> list[Pid]:
    """Return the pids of the connections.

    Raises:
        ServerUnavailable: the server has no acceptor pool.
    """
    pids: list[Pid] = []
    for supervisor in connection_supervisors(server):
        pids.extend(child.pid for child in _children(supervisor) if isinstance(child.pid, Pid))
    return pids


def connection_supervisors(server: Any) -> Iterator[Pid]:
    """Yield the supervisors of the connections, one per acceptor."""
    for acceptor_supervisor in _children(child_pid(server, "acceptor_pool_supervisor")):
        if isinstance(acceptor_supervisor.pid, Pid):
            for child in _children(acceptor_supervisor.pid):
                if child.id == "connection_sup" and isinstance(child.pid, Pid):
                    yield child.pid


def _children(supervisor: Pid) -> list[Any]:
    try:
        return list(Supervisor.which_children(supervisor))
    except (NoProcess, ServerExit):
        return []  # ended or restarted while we look: it has no connections
