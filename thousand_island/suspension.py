"""Suspending a server and resuming it.

A suspended server has no listening socket, no Listener and no Acceptors; the rest of its tree, with the connections,
stays as it is.

Counterpart: ``suspend/1`` and ``resume/1`` of ``ThousandIsland`` and its supervisors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from supervision.errors import NoProcess, Restarting, Running, ServerExit, StartError
from supervision.process_table import Pid
from supervision.supervisor import Supervisor
from supervision.threads import library_call
from thousand_island.errors import ServerUnavailable
from thousand_island.server import child_pid, shared

__all__ = ["resume", "suspend"]


@library_call
def suspend(server: Any) -> None:
    """Close the port, end the acceptors, and let the connections know.

    The sockets go first: an acceptor that waits for its turn ends by that, and need not be waited for.

    Raises:
        ServerUnavailable: the server or its acceptor pool is not running.
    """
    pool = child_pid(server, "acceptor_pool_supervisor")
    listening = shared(server)
    if listening.close_sockets():
        listening.connections.begin_to_drain(stops=False)
    with _unavailable_if_gone(server):
        for acceptor_supervisor in _running(pool):
            _terminate_acceptor(acceptor_supervisor)
        Supervisor.terminate_child(server, "listener")


@library_call
def resume(server: Any) -> None:
    """Open the port and start the acceptors; what runs already stays as it is.

    Raises:
        ServerUnavailable: the server is not running, or the system refuses; the reason is in its ``__cause__`` chain.
    """
    pool = child_pid(server, "acceptor_pool_supervisor")
    with _unavailable_if_gone(server):
        try:
            Supervisor.restart_child(server, "listener")
        except StartError as error:
            raise ServerUnavailable(f"the server {server!r} cannot listen: {error.reason}") from error
        except (Running, Restarting):
            pass
        for acceptor_supervisor in _running(pool):
            _restart_acceptor(acceptor_supervisor)


@contextmanager
def _unavailable_if_gone(server: Any) -> Iterator[None]:
    try:
        yield
    except (NoProcess, ServerExit) as error:
        raise ServerUnavailable(f"the server {server!r} has ended meanwhile") from error


def _running(pool: Pid) -> list[Pid]:
    return [child.pid for child in Supervisor.which_children(pool) if isinstance(child.pid, Pid)]


def _terminate_acceptor(acceptor_supervisor: Pid) -> None:
    try:
        Supervisor.terminate_child(acceptor_supervisor, "acceptor")
    except (NoProcess, ServerExit):
        pass  # it has ended; the one that follows finds no socket and starts no acceptor


def _restart_acceptor(acceptor_supervisor: Pid) -> None:
    try:
        Supervisor.restart_child(acceptor_supervisor, "acceptor")
    except (NoProcess, ServerExit, Running, Restarting):
        pass  # it runs, or its supervisor has just been replaced, and the new one starts it
