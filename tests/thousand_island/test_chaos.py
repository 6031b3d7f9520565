"""Any process of a server dies at any moment: it goes on, clients see their connections closed, nothing is left."""

from __future__ import annotations

import os
import random
import socket
import time
from contextlib import suppress
from typing import Any

import pytest

from supervision import NoProcess, ServerExit, process
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Echo,
    Events,
    Server,
    children,
    events_of,
    exchange,
    reason_of,
    serve,
    tree,
)
from thousand_island import Continue, ServerUnavailable, listener_info, stop

# Rounds of each test in a normal run; ``CHAOS=50 pytest …`` for a long one.
ROUNDS = int(os.environ.get("CHAOS", "3"))


class Working(Echo):
    """Works on what it gets in different ways, some of which block."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        if data == b"block":
            process.receive(lambda message: False, timeout=DEADLINE)
        if data == b"read":
            socket.recv(1_000, DEADLINE)
        if data == b"spin":
            while True:
                pass
        return super().handle_data(data, socket, state)


def clients_at_work(server: Server) -> list[socket.socket]:
    clients = [server.connect() for _ in range(6)]
    for client, word in zip(clients, [b"block", b"read", b"spin", b"x", b"y", b"z"], strict=True):
        client.sendall(word)
    return clients


def is_over(client: socket.socket) -> bool:
    """Read to the end of a connection."""
    try:
        while client.recv(1_000):
            pass
    except ConnectionError:
        pass
    client.close()
    return True


def serves(server: Server) -> bool:
    """Whether a new client is served, at the latest when the tree has been mended."""
    deadline = time.monotonic() + SECONDS
    while process.is_alive(server.pid) and time.monotonic() < deadline:
        try:
            server.address = listener_info(server.pid)  # a new port, if the Listener has been restarted
            with socket.create_connection(server.address, timeout=SECONDS) as client:
                if exchange(client, b"new") == b"new":
                    return True
        except (ConnectionError, ServerUnavailable):
            with suppress(NoProcess, ServerExit):  # it gives up just now
                children(server.pid)  # answered when the server has done what it is doing
    return False


def unended(events: Events, span: str) -> int:
    """How many spans of a name have no end, after the wait for those whose supervisor was killed.

    Such a process has lost its place in the tree: it ends by itself, and may still be telling of it when the server
    has stopped.
    """
    for _ in events.names(f"{span}.start"):
        events.wait(f"{span}.stop")
    return len(events.names(f"{span}.start")) - len(events.names(f"{span}.stop"))


SPANS = ["acceptor", "connection"]

PLACES = [
    *("listener", "shutdown_listener", "acceptor_pool_supervisor", "acceptor-1"),
    *("acceptor-2/connection_sup", "acceptor-1/acceptor"),
]


class TestKill:
    @pytest.mark.parametrize("place", PLACES)
    def test_each_part_of_the_tree_comes_back_and_everything_is_served_again(self, place: str) -> None:
        for _ in range(ROUNDS):
            with events_of(Working) as events, serve(Working, num_acceptors=2, shutdown_timeout=100) as server:
                clients = clients_at_work(server)
                before = tree(server.pid)
                process.exit(before[place], "kill")
                assert serves(server)
                assert tree(server.pid).keys() == before.keys()
                stop(server.pid, 0)
                assert {is_over(client) for client in clients} == {True}
                assert {span: unended(events, span) for span in SPANS} == dict.fromkeys(SPANS, 0)

    def test_the_server_itself_takes_everything_with_it(self) -> None:
        for _ in range(ROUNDS):
            with serve(Working, num_acceptors=2, shutdown_timeout=100) as server:
                clients = clients_at_work(server)
                parts = tree(server.pid)
                refs = [process.monitor(pid) for pid in parts.values()]
                process.exit(server.pid, "kill")
                assert {is_over(client) for client in clients} == {True}
                for ref in refs:
                    reason_of(ref)

    @pytest.mark.parametrize("moment", range(12))
    def test_a_random_process_at_a_random_moment(self, moment: int) -> None:
        chance = random.Random(moment)
        with events_of(Working) as events, serve(Working, num_acceptors=3, shutdown_timeout=50) as server:
            clients: list[socket.socket] = []
            for _ in range(ROUNDS):
                if not serves(server):
                    break  # too many restarts: as it should
                clients += clients_at_work(server)
                victims = [*tree(server.pid).values(), *server.connections()]
                for pid in chance.sample([pid for pid in victims if pid is not None], 2):
                    process.exit(pid, "kill")
            if process.is_alive(server.pid):
                assert serves(server) or not process.is_alive(server.pid)
                stop_if_alive(server)
            assert {is_over(client) for client in clients} == {True}
            assert {span: unended(events, span) for span in SPANS} == dict.fromkeys(SPANS, 0)


def stop_if_alive(server: Server) -> None:
    if process.is_alive(server.pid):
        stop(server.pid, 0)


class Hasty(Echo):
    """Is killed by itself, in whichever callback its options name."""

    def _die(self, name: str, state: Any) -> None:
        if state == name:
            process.exit(self.pid, "kill")

    def init(self, arg: Any) -> Any:
        self._die("init", arg)
        return super().init(arg)

    def handle_connection(self, socket: Any, state: Any) -> Any:
        self._die("handle_connection", state)
        return Continue(state, 10) if state == "handle_timeout" else Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        self._die("handle_data", state)
        if state == "handle_error":
            raise RuntimeError("boom")
        return super().handle_data(data, socket, state)

    def handle_close(self, socket: Any, state: Any) -> None:
        self._die("handle_close", state)

    def handle_error(self, reason: Any, socket: Any, state: Any) -> None:
        self._die("handle_error", state)

    def handle_timeout(self, socket: Any, state: Any) -> None:
        self._die("handle_timeout", state)

    def handle_shutdown(self, socket: Any, state: Any) -> None:
        self._die("handle_shutdown", state)


CALLBACKS = [
    *("init", "handle_connection", "handle_data", "handle_close", "handle_error", "handle_timeout", "handle_shutdown"),
]


class TestKillInCallback:
    @pytest.mark.parametrize("callback", CALLBACKS)
    def test_the_connection_is_closed_and_its_span_ends_once(self, callback: str) -> None:
        with events_of(Hasty) as events, serve(Hasty, handler_options=callback) as server:
            for _ in range(5):
                client = server.connect()
                self._work(client, callback)
                if callback == "handle_shutdown":
                    stop(server.pid)
                    break
            if callback not in ("init", "handle_shutdown"):
                events.wait("connection.stop")
            stop_if_alive(server)
            starts, stops = events.all("connection.start"), events.all("connection.stop")
            assert len(starts) == len(stops) == (0 if callback == "init" else len(starts))
            assert {metadata["error"] for _, metadata in stops} <= {"killed"}
            if callback == "handle_shutdown":
                assert is_over(client)

    @staticmethod
    def _work(client: socket.socket, callback: str) -> None:
        if callback in ("handle_data", "handle_error"):
            client.sendall(b"x")
        if callback == "handle_close":
            client.shutdown(socket.SHUT_WR)
        if callback != "handle_shutdown":
            assert is_over(client)
