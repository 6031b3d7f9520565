"""What the tests of the server share: servers that end with the test, clients, and telemetry that is waited for."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import blinker

import thousand_island
from supervision import NoProcess, Pid, ServerExit, Supervisor, process
from tests.programs import ROOT
from tests.supervision.supervised import until
from thousand_island import Continue, Handler, connection_pids
from thousand_island.events import EVENTS

# Milliseconds and seconds after which whatever a test waits for counts as never coming.
DEADLINE = 10_000
SECONDS = DEADLINE / 1000

# Milliseconds that the connections which a test leaves behind get to end by themselves.
PATIENCE = 1_000

# Seconds that a client listens to be sure that nothing comes.
SHORT = 0.05


Event = tuple[str, dict[str, Any], dict[str, Any]]


class Echo(Handler):
    """Sends back what it gets."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(data)
        return Continue(state)


class Telling(Handler):
    """Tells the process in its ``handler_options`` of every last callback: ``(name, socket open, argument)``."""

    def handle_close(self, socket: Any, state: Any) -> None:
        process.send(state, ("handle_close", is_open(socket), None))

    def handle_error(self, reason: Any, socket: Any, state: Any) -> None:
        process.send(state, ("handle_error", is_open(socket), reason))

    def handle_shutdown(self, socket: Any, state: Any) -> None:
        process.send(state, ("handle_shutdown", is_open(socket), None))

    def handle_timeout(self, socket: Any, state: Any) -> None:
        process.send(state, ("handle_timeout", is_open(socket), None))


def is_open(handle: Any) -> bool:
    """Whether something can be done with a connection of the server's side."""
    try:
        handle.getopts(["nodelay"])
    except OSError:
        return False
    return True


@dataclass
class Server:
    """A server under test."""

    pid: Pid
    address: tuple[str, int]
    clients: list[socket.socket] = field(default_factory=list)

    def connect(self) -> socket.socket:
        """Return a client's end of a new connection; every operation of it has a deadline. Closed with the server."""
        client = socket.create_connection(self.address, timeout=SECONDS)
        self.clients.append(client)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        return client

    def connections(self) -> list[Pid]:
        """The processes of the connections."""
        return connection_pids(self.pid)

    def settle(self) -> None:
        """Wait until the supervisors have handled the ends of the connections that are dead, and reported them."""
        for name, pid in tree(self.pid).items():
            if name.endswith("/connection_sup"):
                Supervisor.which_children(pid)

    def wait_until_empty(self) -> None:
        """Wait for the end of the connections that there are, and until they have let go of all."""
        for ref in [process.monitor(pid) for pid in self.connections()]:
            reason_of(ref)
        until(lambda: not self.connections())  # of one that was just dying its monitor heard at once

    def only_connection(self) -> Pid:
        """The process of the one connection that there is."""
        (pid,) = self.connections()
        return pid


@contextlib.contextmanager
def serve(handler: Any, **options: Any) -> Iterator[Server]:
    """Start a server with one acceptor on a free port, and stop it at the end if it still runs."""
    options = {"port": 0, "num_acceptors": 1, "transport_options": {"ip": "loopback"}} | options
    pid = thousand_island.start_link(handler_module=handler, **options)
    server = Server(pid, thousand_island.listener_info(pid))
    try:
        yield server
    finally:
        with contextlib.suppress(NoProcess, ServerExit):
            thousand_island.stop(pid, PATIENCE)
        for client in server.clients:
            client.close()


def strike(pid: Pid) -> None:
    """Kill a process from another thread, which has done so when this returns."""
    killer = threading.Thread(target=process.exit, args=(pid, "kill"))
    killer.start()
    killer.join()


def exchange(client: socket.socket, data: bytes) -> bytes:
    """Send ``data`` and return as many bytes of answer."""
    client.sendall(data)
    return receive_exactly(client, len(data))


def receive_exactly(client: socket.socket, length: int) -> bytes:
    """Return so many bytes, or less if the connection ends before."""
    pieces: list[bytes] = []
    missing = length
    while missing and (piece := client.recv(min(missing, 1 << 20))):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def is_closed(client: socket.socket) -> bool:
    """Wait for the end of the connection; False if data comes instead."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def is_silent(client: socket.socket) -> bool:
    """Whether the connection stays open and nothing comes for a moment."""
    client.settimeout(SHORT)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(SECONDS)
    return False


def down(pid: Pid) -> Any:
    """Wait for the end of a process and return its exit reason."""
    return reason_of(process.monitor(pid))


def reason_of(ref: Any) -> Any:
    """Wait for a monitor that was set before and return the exit reason."""
    return process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE).reason


def message(match: Any = None) -> Any:
    """Return the next message to the test: a plain tuple, which neither Exit nor Down is, or what ``match`` accepts."""
    return process.receive(match or (lambda one: type(one) is tuple), timeout=DEADLINE)


def has_message() -> bool:
    """Whether a plain tuple has been sent to the test already."""
    try:
        process.receive(lambda one: type(one) is tuple, timeout=0)
    except TimeoutError:
        return False
    return True


def children(supervisor: Any) -> dict[Any, Any]:
    """The pids of a supervisor's children by their ids."""
    return {child.id: child.pid for child in Supervisor.which_children(supervisor)}


def tree(server: Pid) -> dict[str, Pid]:
    """The processes of a server but its connections, by their place: ``"acceptor-1/connection_sup"``."""
    places = dict(children(server))
    for name, supervisor in children(places["acceptor_pool_supervisor"]).items():
        places[name] = supervisor
        places.update({f"{name}/{part}": pid for part, pid in children(supervisor).items()})
    return places


@contextlib.contextmanager
def interpreter(program: str) -> Iterator[Any]:
    """Run a program of its own beside the test, which talks to its ``stdin`` and ``stdout``; it must end well."""
    command = [sys.executable, "-c", program]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as running:  # type: ignore[call-overload]
        try:
            yield running
            assert running.communicate(timeout=SECONDS) == ("", "")
            assert running.returncode == 0
        finally:
            running.kill()


@contextlib.contextmanager
def dying_at_the_first(name: str) -> Iterator[None]:
    """Kill the process whose event of that name comes first, while it emits it."""
    emitted = threading.Lock()

    def die(sender: Any, **details: Any) -> None:
        if emitted.acquire(blocking=False):
            process.exit(process.self(), "kill")

    with blinker.signal(name).connected_to(die):
        yield


class Events:
    """The telemetry of the servers of one handler, in the order in which it came."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.changed = threading.Condition()  # guards all below
        self.arrived: list[Event] = []
        self.named: dict[str, list[Event]] = {}
        self.taken: dict[str, int] = {}
        self.started: list[tuple[Any, str, Pid]] = []
        self.stopped: Counter[Any] = Counter()

    def receive(self, sender: Any, *, event: str, measurements: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Take an event."""
        if metadata["handler"] is self.handler:
            with self.changed:
                name = event.removeprefix("thousand_island.")
                self.arrived.append((name, measurements, metadata))
                self.named.setdefault(name, []).append(self.arrived[-1])
                if name.endswith(".start"):
                    self.started.append((metadata["telemetry_span_context"], name, sender))
                elif name.endswith(".stop"):
                    self.stopped[metadata["telemetry_span_context"]] += 1
                self.changed.notify_all()

    def wait(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Take the next event of that name; return its measurements and metadata."""
        with self.changed:
            arrived = self.named.setdefault(name, [])
            taken = self.taken.get(name, 0)
            assert self.changed.wait_for(lambda: len(arrived) > taken, SECONDS), f"no {name} among {self.names()}"
            self.taken[name] = self.taken.get(name, 0) + 1
            _, measurements, metadata = self.named[name][self.taken[name] - 1]
        return measurements, metadata

    def names(self, prefix: str = "") -> list[str]:
        """The names of all events that have come so far, taken or not."""
        with self.changed:
            return [name for name, _, _ in self.arrived if name.startswith(prefix)]

    def all(self, name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Measurements and metadata of all events of that name so far, taken or not."""
        with self.changed:
            return [(measurements, metadata) for _, measurements, metadata in self.named.get(name, [])]

    def unbalanced(self) -> list[str]:
        """The start events of servers that have ended to which there is not exactly one stop event."""
        with self.changed:
            ended = [(span, name) for span, name, server in self.started if not process.is_alive(server)]
            return [name for span, name in ended if self.stopped[span] != 1]


@contextlib.contextmanager
def events_of(handler: Any) -> Iterator[Events]:
    """Record the telemetry of the servers of a handler. In the end each span of those that have ended has ended, once.

    What ends after its server, since that was killed, is waited for.
    """
    events = Events(handler)
    signals = [blinker.signal(event.full_name) for event in EVENTS]
    receive: Callable[..., None] = events.receive
    for signal in signals:
        signal.connect(receive)
    try:
        yield events
        with events.changed:
            events.changed.wait_for(lambda: not events.unbalanced(), SECONDS)
        assert events.unbalanced() == []
    finally:
        for signal in signals:
            signal.disconnect(receive)


@contextlib.contextmanager
def monitoring_connections() -> Iterator[Callable[[], Any]]:
    """Yield a function that monitors the next connection, which meanwhile waits: its handshake has not begun.

    However late the test is, the connection is alive when it is monitored, and has all its time yet.
    """
    arrived: queue.SimpleQueue[tuple[Pid, threading.Event]] = queue.SimpleQueue()

    def arrive(sender: Any, **details: Any) -> None:
        monitored = threading.Event()
        arrived.put((process.self(), monitored))
        monitored.wait(SECONDS)

    def monitor_next() -> Any:
        pid, monitored = arrived.get(timeout=SECONDS)
        ref = process.monitor(pid)
        monitored.set()
        return ref

    with blinker.signal("thousand_island.connection.ready").connected_to(arrive):
        yield monitor_next
