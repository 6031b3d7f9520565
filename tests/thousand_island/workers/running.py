"""Workers under test, their clients, and a look at what they leave behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from supervision import NoProcess, Pid, Ref, ServerExit, Supervisor, call, process
from tests.os_processes import children_of
from tests.thousand_island.serving import DEADLINE, SECONDS, down, reason_of
from thousand_island import workers
from thousand_island.workers.supervisor import shared
from thousand_island.workers.worker import SERVES

HANDLERS = "tests.thousand_island.workers.handlers"


def connect(address: Any) -> socket.socket:
    """A client; every operation of it has a deadline."""
    if address[0] == "local":
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(SECONDS)
        client.connect(address[1])
        return client
    return socket.create_connection(address, timeout=SECONDS)


def line(client: socket.socket) -> str:
    """The next line from the server, or what came of it before the connection ended."""
    data = bytearray()
    while not data.endswith(b"\n") and (piece := client.recv(1)):
        data += piece
    return data.decode()


def worker_of(client: socket.socket) -> int:
    """The process that serves a client."""
    client.sendall(b"?")
    return int(line(client).split()[0])


def children() -> set[int]:
    """The child processes of this one, zombies too."""
    return children_of(os.getpid())


def wait_for_end(*pidfds: int) -> None:
    """Wait until processes have ended, whose children they may be; closes the descriptors."""
    for pidfd in pidfds:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(DEADLINE), "a process has not ended"
        os.close(pidfd)


@dataclass
class Running:
    """Workers under test."""

    pid: Pid
    address: Any
    clients: list[socket.socket] = field(default_factory=list)

    def connect(self) -> socket.socket:
        """A client, closed with the workers."""
        client = connect(self.address)
        self.clients.append(client)
        return client

    def os_pids(self) -> list[int]:
        """The processes of those that serve, by number."""
        return [one.os_pid for one in workers.info(self.pid).workers if one.status == "serving" and one.os_pid]

    def connect_to_each(self) -> dict[int, socket.socket]:
        """A client of each worker, by its process; who gets a client is the system's choice."""
        wanted = set(self.os_pids())
        found: dict[int, socket.socket] = {}
        while wanted - found.keys():
            client = self.connect()
            found.setdefault(worker_of(client), client)
        return found

    def kill(self, os_pid: int, number: signal.Signals = signal.SIGKILL) -> Ref:
        """End a worker; returns the monitor to wait for."""
        (ref,) = (process.monitor(place.pid) for place in shared(self.pid).live() if place.os_pid == os_pid)
        os.kill(os_pid, number)
        return ref

    def wait_for_restart(self, ref: Ref) -> None:
        """Wait until the supervisor has seen the end of a worker and started another, if it does."""
        reason_of(ref)
        Supervisor.count_children(shared(self.pid).supervisor)  # it has heard of the end before this question
        for place in shared(self.pid).live():
            with contextlib.suppress(NoProcess, ServerExit):  # it has been replaced
                call(place.pid, SERVES, DEADLINE)

    def wait_for_old_ones(self) -> None:
        """Wait for the end of the workers that have been replaced."""
        for place in shared(self.pid).live():
            if place.status == "draining":
                down(place.pid)


@contextlib.contextmanager
def running(handler: str = "Identified", **options: Any) -> Iterator[Running]:
    """Start two workers on a free port, and stop them at the end if they still run; nothing of them must be left."""
    defaults = {"workers": 2, "port": 0, "num_acceptors": 2, "transport_options": {"ip": "loopback"}}
    before = children()
    pid = workers.start_link(handler=f"{HANDLERS}:{handler}", **{**defaults, **options})
    server = Running(pid, workers.listener_info(pid))
    try:
        yield server
    finally:
        for client in server.clients:
            client.close()
        with contextlib.suppress(NoProcess, ServerExit):
            Supervisor.stop(pid, "normal", DEADLINE)
        process.exit(pid, "kill")
    assert children() <= before
