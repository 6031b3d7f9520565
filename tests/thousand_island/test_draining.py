from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

import thousand_island
from supervision import BRUTAL_KILL, INFINITY, Supervisor, process
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Telling,
    down,
    exchange,
    is_closed,
    is_silent,
    message,
    reason_of,
    serve,
    tree,
)
from thousand_island import Close, Continue, Persistent
from thousand_island.connections import Drain
from thousand_island.server import shared

LONG = 1_000_000


class Draining(Telling):
    """An echo that tells of its draining, and answers with what ``result`` says."""

    result: Any = staticmethod(Continue)

    def handle_connection(self, socket: Any, state: Any) -> Any:
        socket.send(b"hello")
        return Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(data)
        return Continue(state)

    def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
        process.send(state, ("handle_drain", deadline))
        socket.send(b"bye")
        return self.result(state)


def drained(server: Any, client: Any) -> float:
    """Wait until a handler has said goodbye; returns its deadline."""
    assert client.recv(3) == b"bye"
    name, deadline = message()
    assert name == "handle_drain"
    return float(deadline)


def stop_elsewhere(pid: Any, connection_wait: Any = 15_000) -> Any:
    """Begin to stop a server; returns a monitor of whoever does it."""
    _, ref = process.spawn_monitor(thousand_island.stop, pid, connection_wait)
    return ref


def kinds(count: int) -> list[str]:
    return [message()[0] for _ in range(count)]


@pytest.fixture
def me() -> Any:
    return process.self()


class TestSuspend:
    def test_connections_are_told_and_go_on(self, me: Any) -> None:
        with serve(Draining, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            thousand_island.suspend(server.pid)
            assert drained(server, client) == INFINITY
            assert exchange(client, b"on") == b"on"

    def test_each_suspend_tells_once(self, me: Any) -> None:
        with serve(Draining, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            thousand_island.suspend(server.pid)
            thousand_island.suspend(server.pid)
            drained(server, client)
            thousand_island.resume(server.pid)
            thousand_island.suspend(server.pid)
            drained(server, client)
            assert is_silent(client)

    def test_connections_that_come_after_a_resume_are_not_told(self, me: Any) -> None:
        with serve(Draining, handler_options=me) as server:
            thousand_island.suspend(server.pid)
            thousand_island.resume(server.pid)
            server.address = thousand_island.listener_info(server.pid)
            with server.connect() as client:
                assert client.recv(5) == b"hello"
                assert is_silent(client)

    def test_connections_that_come_after_a_crash_of_the_listener_are_not_told(self, me: Any) -> None:
        with serve(Draining, handler_options=me) as server:
            listener = tree(server.pid)["listener"]
            process.exit(listener, "kill")
            down(listener)
            server.address = thousand_island.listener_info(server.pid)
            with server.connect() as client:
                assert client.recv(5) == b"hello"
                assert is_silent(client)

    def test_close_ends_the_connection(self, me: Any) -> None:
        class Closing(Draining):
            result = staticmethod(Close)

        with serve(Closing, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            ref = process.monitor(server.only_connection())
            thousand_island.suspend(server.pid)
            drained(server, client)
            assert is_closed(client)
            assert message() == ("handle_close", True, None)
            assert reason_of(ref) == ("shutdown", "local_closed")

    def test_one_that_is_told_twice_of_the_same_draining_says_goodbye_once(self, me: Any) -> None:
        with serve(Draining, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            drain = Drain(INFINITY, stops=False)
            for _ in range(2):
                process.send(server.only_connection(), drain)
            drained(server, client)
            assert exchange(client, b"on") == b"on"

    def test_one_that_is_just_being_accepted_is_told_after_its_beginning(self, me: Any) -> None:
        with serve(Draining, handler_options=me) as server:
            shared(server.pid).connections.drain = Drain(INFINITY, stops=False)
            with server.connect() as client:
                assert client.recv(5) == b"hello"
                drained(server, client)
                assert exchange(client, b"on") == b"on"


class TestStop:
    def test_handle_shutdown_follows_at_once(self, me: Any) -> None:
        with serve(Draining, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            thousand_island.stop(server.pid, LONG)
            assert kinds(2) == ["handle_drain", "handle_shutdown"]

    @pytest.mark.parametrize(
        ("connection_wait", "shutdown_timeout", "shortest"),
        [(LONG, INFINITY, LONG), (INFINITY, LONG, LONG), (LONG, 2 * LONG, LONG), (2 * LONG, LONG, LONG)],
    )
    def test_the_deadline_is_the_shorter_of_the_two(
        self, me: Any, connection_wait: Any, shutdown_timeout: Any, shortest: int
    ) -> None:
        options = {"handler_options": me, "shutdown_timeout": shutdown_timeout}
        with serve(Draining, **options) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            before = time.monotonic()
            thousand_island.stop(server.pid, connection_wait)
            deadline = drained(server, client)
            assert before + shortest / 1000 <= deadline <= time.monotonic() + shortest / 1000

    def test_without_a_limit_the_deadline_is_infinity(self, me: Any) -> None:
        with serve(Draining, handler_options=me, shutdown_timeout=INFINITY) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            thousand_island.stop(server.pid, INFINITY)
            assert drained(server, client) == INFINITY

    def test_a_shutdown_by_a_supervisor_drains_too(self, me: Any) -> None:
        transport = {"ip": "loopback"}
        options = {"port": 0, "handler_module": Draining, "handler_options": me, "transport_options": transport}
        supervisor = Supervisor.start_link([(thousand_island, options)], strategy="one_for_one")
        (child,) = Supervisor.which_children(supervisor)
        with socket.create_connection(thousand_island.listener_info(child.pid), timeout=SECONDS) as client:
            assert client.recv(5) == b"hello"
            Supervisor.stop(supervisor)
            assert kinds(2) == ["handle_drain", "handle_shutdown"]

    def test_a_suspended_server_drains_again(self, me: Any) -> None:
        with serve(Draining, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            thousand_island.suspend(server.pid)
            assert drained(server, client) == INFINITY
            thousand_island.stop(server.pid)
            assert drained(server, client) < INFINITY
            assert message()[0] == "handle_shutdown"

    def test_a_handler_of_its_own_process_is_not_told(self) -> None:
        with serve(Telling, handler_options=process.self()) as server, server.connect() as client:
            client.sendall(b"x")
            thousand_island.suspend(server.pid)
            assert shared(server.pid).connections.drain is None

    @pytest.mark.row("TID-24")
    def test_all_connections_drain_at_the_same_time(self, me: Any) -> None:
        together = threading.Barrier(3, timeout=SECONDS)

        class Meeting(Draining):
            def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
                together.wait()
                return Continue(state)

        with serve(Meeting, handler_options=me, num_acceptors=2) as server:
            clients = [server.connect() for _ in range(3)]
            assert [client.recv(5) for client in clients] == [b"hello"] * 3
            thousand_island.stop(server.pid)
            assert kinds(3) == ["handle_shutdown"] * 3
            assert all(is_closed(client) for client in clients)
            for client in clients:
                client.close()

    @pytest.mark.row("TID-22")
    def test_a_callback_that_runs_is_finished_first(self, me: Any) -> None:
        entered, leave = threading.Event(), threading.Event()

        class Busy(Draining):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                entered.set()
                assert leave.wait(SECONDS)
                return super().handle_data(data, socket, state)

        with serve(Busy, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            client.sendall(b"work")
            assert entered.wait(SECONDS)
            ref = stop_elsewhere(server.pid)
            leave.set()
            assert client.recv(7) in (b"work", b"workbye")
            assert reason_of(ref) == "normal"
            assert kinds(2) == ["handle_drain", "handle_shutdown"]

    @pytest.mark.row("TID-22")
    def test_one_that_is_still_at_it_at_the_deadline_is_killed_without_a_callback(self, me: Any) -> None:
        class Stuck(Draining):
            def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
                process.receive(int, timeout=INFINITY)

        with serve(Stuck, handler_options=me, shutdown_timeout=50) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            ref = process.monitor(server.only_connection())
            thousand_island.stop(server.pid)
            assert reason_of(ref) == "killed"
            assert is_closed(client)

    @pytest.mark.row("TID-23")
    def test_brutal_kill_tells_nobody(self, me: Any) -> None:
        with serve(Draining, handler_options=me, shutdown_timeout=BRUTAL_KILL) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            ref = process.monitor(server.only_connection())
            thousand_island.stop(server.pid)
            assert is_closed(client)
            assert reason_of(ref) == "killed"
            with pytest.raises(TimeoutError):
                process.receive(lambda message: type(message) is tuple, timeout=0)


class TestPuttingOff:
    """``Continue(state, timeout)`` from ``handle_drain``."""

    def test_the_connection_goes_on_until_it_ends_itself(self, me: Any) -> None:
        class Finishing(Draining):
            def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
                socket.send(b"bye")
                return Continue(state, timeout=DEADLINE)

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(data)
                return Close(state) if data == b"end" else Continue(state)

        with serve(Finishing, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            ref = stop_elsewhere(server.pid)
            assert client.recv(3) == b"bye"
            assert exchange(client, b"more") == b"more"
            assert exchange(client, b"end") == b"end"
            assert reason_of(ref) == "normal"
            assert message() == ("handle_close", True, None)

    @pytest.mark.parametrize("timeout", [20, Persistent(20)])
    def test_handle_shutdown_follows_when_it_is_idle(self, me: Any, timeout: Any) -> None:
        class Waiting(Draining):
            def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
                return Continue(state, timeout=timeout)

        with serve(Waiting, handler_options=me, read_timeout=INFINITY) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            ref = process.monitor(server.only_connection())
            thousand_island.stop(server.pid, LONG)
            assert message() == ("handle_shutdown", True, None)
            assert reason_of(ref) == "shutdown"

    def test_at_suspend_it_is_an_idle_time_like_any_other(self, me: Any) -> None:
        class Waiting(Draining):
            def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
                return Continue(state, timeout=20)

        with serve(Waiting, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            thousand_island.suspend(server.pid)
            assert message() == ("handle_timeout", True, None)

    def test_what_was_asked_for_at_suspend_does_not_put_off_a_later_order(self, me: Any) -> None:
        class Waiting(Draining):
            def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
                process.send(state, ("handle_drain", deadline))
                return Continue(state, timeout=INFINITY)

        with serve(Waiting, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            thousand_island.suspend(server.pid)
            assert message() == ("handle_drain", INFINITY)
            thousand_island.resume(server.pid)
            process.exit(tree(server.pid)["listener"], "kill")  # what takes the acceptors along, and so the connections
            assert message() == ("handle_shutdown", True, None)
            assert is_closed(client)

    def test_the_deadline_ends_it(self, me: Any) -> None:
        class Waiting(Draining):
            def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
                return Continue(state, timeout=INFINITY)

        with serve(Waiting, handler_options=me) as server, server.connect() as client:
            assert client.recv(5) == b"hello"
            ref = process.monitor(server.only_connection())
            thousand_island.stop(server.pid, 50)
            assert reason_of(ref) == "killed"
            assert is_closed(client)


def test_a_wrong_result_is_a_crash_that_names_the_callback(me: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Wrong(Draining):
        result = staticmethod(lambda state: "nonsense")

    with serve(Wrong, handler_options=me) as server, server.connect() as client:
        assert client.recv(5) == b"hello"
        thousand_island.suspend(server.pid)
        assert message()[0] == "handle_drain"
        name, is_open, reason = message()
    assert (name, is_open) == ("handle_error", False)
    assert "handle_drain" in str(reason)
    assert "nonsense" in str(reason)
    assert "handle_drain" in caplog.text
