"""Stopping a server, whatever its connections are doing."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import thousand_island
from supervision import (
    INFINITY,
    BadArgument,
    BadType,
    DynamicSupervisor,
    Exit,
    NoProcess,
    Ok,
    Supervisor,
    call,
    process,
)
from tests.supervision.supervised import until
from tests.thousand_island.serving import (
    DEADLINE,
    Echo,
    Server,
    Telling,
    events_of,
    exchange,
    has_message,
    is_closed,
    message,
    reason_of,
    receive_exactly,
    serve,
)
from thousand_island import Close, Continue, stop

# Seconds by which ``stop`` may be late.
LATE = 2.0


class Busy(Telling):
    """Does what the client says, and tells that it has begun."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        process.send(state, ("begun", data))
        return getattr(self, data.decode())(socket, state)

    def idle(self, socket: Any, state: Any) -> Any:
        return Continue(state)

    def sleep(self, socket: Any, state: Any) -> Any:
        time.sleep(2.5)  # foreign code that nobody can interrupt
        return Continue(state)

    def spin(self, socket: Any, state: Any) -> Any:
        while True:
            pass

    def receive(self, socket: Any, state: Any) -> Any:
        process.receive(lambda message: False)
        return Continue(state)

    def recv(self, socket: Any, state: Any) -> Any:
        socket.recv(100, INFINITY)
        return Continue(state)

    def send(self, socket: Any, state: Any) -> Any:
        socket.setopts({"send_timeout": INFINITY})
        socket.send(bytes(100_000_000))
        return Continue(state)

    def call(self, socket: Any, state: Any) -> Any:
        call(state, "a foreign thread never answers", INFINITY)
        return Continue(state)

    def swallow(self, socket: Any, state: Any) -> Any:
        while True:
            try:
                process.receive(lambda message: False)
            except Exception:  # noqa: BLE001 - the handler of somebody who wants to live for ever
                pass

    def finish(self, socket: Any, state: Any) -> Any:
        process.receive(lambda message: message == "finish", timeout=DEADLINE)
        socket.send(b"finished")
        return Continue(state)

    def child(self, socket: Any, state: Any) -> Any:
        Supervisor.start_link([], strategy="one_for_one")
        while True:
            pass


def is_at_end(client: Any) -> bool:
    """Read whatever comes to the end of the connection."""
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    return True


def begin(server: Server, *words: bytes) -> list[Any]:
    """Connect a client for each word and wait until its handler has begun."""
    clients = []
    for word in words:
        client = server.connect()
        client.sendall(word)
        assert message() == ("begun", word)
        clients.append(client)
    return clients


STUCK = [b"sleep", b"spin", b"receive", b"recv", b"send", b"call", b"swallow", b"child"]


class TestDraining:
    @pytest.mark.row("TIS-07", "TIS-08", "TID-22")
    def test_idle_connections_end_at_once(self) -> None:
        with serve(Busy, handler_options=process.self()) as server:
            clients = begin(server, *[b"idle"] * 5)
            started = time.monotonic()
            stop(server.pid)
            assert time.monotonic() - started < LATE
            assert [message()[0] for _ in clients] == ["handle_shutdown"] * 5
            for client in clients:
                assert is_closed(client)
                client.close()

    @pytest.mark.row("TIS-10", "TID-22")
    def test_a_busy_one_finishes_its_callback_and_then_shuts_down(self) -> None:
        with serve(Busy, handler_options=process.self()) as server:
            (client,) = begin(server, b"finish")
            pid = server.only_connection()
            stopping = threading.Thread(target=stop, args=(server.pid,))
            stopping.start()
            while listens(server):
                pass
            process.send(pid, "finish")
            assert receive_exactly(client, 9) == b"finished"
            assert message(lambda one: one[0] == "handle_shutdown") == ("handle_shutdown", True, None)
            stopping.join()
            client.close()

    @pytest.mark.row("TID-22")
    @pytest.mark.parametrize("wait", [0, 100])
    @pytest.mark.parametrize("word", STUCK)
    def test_it_returns_in_time_and_the_client_sees_the_end(self, word: bytes, wait: int) -> None:
        with events_of(Busy) as events, serve(Busy, handler_options=process.self()) as server:
            busy, idle = begin(server, word, b"idle")
            started = time.monotonic()
            stop(server.pid, wait)
            assert time.monotonic() - started < wait / 1000 + LATE
            assert not process.is_alive(server.pid)
            assert is_at_end(busy)
            assert is_at_end(idle)
            stops = [metadata.get("error") for _, metadata in events.all("connection.stop")]
            assert len(stops) == 2
            assert "killed" in stops
            busy.close()
            idle.close()

    def test_all_kinds_at_once(self) -> None:
        with serve(Busy, handler_options=process.self(), num_acceptors=3) as server:
            clients = begin(server, *STUCK, *STUCK)
            started = time.monotonic()
            stop(server.pid, 100)
            assert time.monotonic() - started < 0.1 + LATE
            for client in clients:
                assert is_at_end(client)
                client.close()

    @pytest.mark.row("TID-23", "TID-24")
    def test_shutdown_timeout_kills_before_connection_wait_if_it_is_shorter(self) -> None:
        with events_of(Busy) as events, serve(Busy, handler_options=process.self(), shutdown_timeout=50) as server:
            clients = begin(server, *[b"receive"] * 4)
            started = time.monotonic()
            stop(server.pid, 60_000)
            assert time.monotonic() - started < LATE  # they share one deadline
            assert [metadata["error"] for _, metadata in events.all("connection.stop")] == ["killed"] * 4
            for client in clients:
                assert is_at_end(client)
                client.close()

    @pytest.mark.row("TID-23")
    def test_brutal_kill_asks_nobody(self) -> None:
        with serve(Busy, handler_options=process.self(), shutdown_timeout="brutal_kill") as server:
            (client,) = begin(server, b"idle")
            stop(server.pid)
            assert is_at_end(client)
            client.close()
            assert not has_message()

    def test_connections_that_are_just_being_started_do_not_hold_it_up(self) -> None:
        class Slow(Echo):
            def init(self, arg: Any) -> Any:
                process.send(arg, ("begun", b"init"))
                process.receive(lambda message: False)
                return Ok((None, arg))

        with serve(Slow, handler_options=process.self(), num_acceptors=3) as server:
            clients = [server.connect() for _ in range(3)]
            assert message() == ("begun", b"init")
            started = time.monotonic()
            stop(server.pid, 100)
            assert time.monotonic() - started < 0.1 + LATE
            for client in clients:
                assert is_at_end(client)
                client.close()


def listens(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionError:
        return False
    return True


class TestRequestsThatHaveCome:
    """They are handled before the order to end, as they would be if they had come as messages."""

    @pytest.mark.parametrize("how", ["stop", "terminate_child"])
    def test_one_that_came_while_a_callback_ran_is_answered(self, how: str) -> None:
        leave = threading.Event()

        class Slow(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("begun", None))
                assert leave.wait(DEADLINE / 1000)
                return Continue(state)

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(data)
                return Continue(state)

        with serve(Slow, handler_options=process.self()) as server, server.connect() as client:
            assert message() == ("begun", None)
            client.sendall(b"request")
            pid = server.only_connection()
            if how == "stop":
                _, ref = process.spawn_monitor(stop, server.pid)
            else:
                _, ref = process.spawn_monitor(DynamicSupervisor.terminate_child, pid._process.parent.pid, pid)
            until(lambda: any(type(waiting) is Exit for waiting in list(pid._process.mailbox)))
            leave.set()
            assert client.recv(100) == b"request"
            assert message() == ("handle_shutdown", True, None)
            assert is_closed(client)
            reason_of(ref)


class TestArguments:
    @pytest.mark.parametrize(("wait", "error"), [(0.5, BadType), (-1, BadArgument), (True, BadType), ("1", BadType)])
    def test_a_wrong_wait_is_refused_and_nothing_is_stopped(self, wait: Any, error: Any) -> None:
        with serve(Echo) as server:
            with pytest.raises(error, match="connection_wait must be a whole number of milliseconds"):
                stop(server.pid, wait)
            with server.connect() as client:
                assert exchange(client, b"x") == b"x"

    def test_infinity_waits_for_all(self) -> None:
        with serve(Busy, handler_options=process.self(), shutdown_timeout=INFINITY) as server:
            (client,) = begin(server, b"finish")
            process.send_after(server.only_connection(), "finish", 100)
            stop(server.pid, INFINITY)
            assert receive_exactly(client, 9) == b"finished"
            client.close()

    def test_a_server_that_is_not_there_raises_no_process(self) -> None:
        dead, ref = process.spawn_monitor(lambda: None)
        reason_of(ref)
        for server in ["nobody", dead]:
            with pytest.raises(NoProcess):
                stop(server)


class TestOthers:
    def test_a_caller_that_is_killed_takes_no_connection_down_that_still_has_time(self) -> None:
        with serve(Busy, handler_options=process.self()) as server:
            (client,) = begin(server, b"finish")
            pid = server.only_connection()
            stopping, ref = process.spawn_monitor(stop, server.pid)
            while listens(server):
                pass
            process.exit(stopping, "kill")
            reason_of(ref)
            process.send(pid, "finish")
            assert receive_exactly(client, 8) == b"finished"
            assert message(lambda one: one[0] == "handle_shutdown") == ("handle_shutdown", True, None)
            client.close()

    def test_several_may_stop_it_at_once(self) -> None:
        with serve(Busy, handler_options=process.self()) as server:
            (client,) = begin(server, b"receive")
            started = time.monotonic()
            others = [process.spawn_monitor(stop, server.pid, 60_000) for _ in range(3)]
            stop(server.pid, 50)
            assert time.monotonic() - started < 0.05 + LATE
            for _, ref in others:
                process.receive(lambda m, ref=ref: getattr(m, "ref", None) is ref, timeout=DEADLINE)
            assert is_at_end(client)
            client.close()

    def test_a_connection_may_stop_its_own_server(self) -> None:
        class Suicidal(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                stop(server.pid, 100)
                return Close(state)

        with serve(Suicidal, handler_options=process.self()) as server, server.connect() as client:
            ref = process.monitor(server.pid)
            client.sendall(b"x")
            assert is_at_end(client)
            process.receive(lambda m: getattr(m, "ref", None) is ref, timeout=DEADLINE)

    def test_the_supervisor_of_a_server_ends_it_within_shutdown_timeout(self) -> None:
        options = {"handler_module": Busy, "handler_options": process.self(), "port": 0, "num_acceptors": 1}
        parent = Supervisor.start_link(
            [(thousand_island, {**options, "shutdown_timeout": 100})], strategy="one_for_one"
        )
        (child,) = Supervisor.which_children(parent)
        server = Server(child.pid, ("127.0.0.1", thousand_island.listener_info(child.pid)[1]))
        clients = begin(server, b"spin", b"receive", b"idle")
        started = time.monotonic()
        Supervisor.stop(parent)
        assert time.monotonic() - started < 0.1 + LATE
        for client in clients:
            assert is_at_end(client)
            client.close()
