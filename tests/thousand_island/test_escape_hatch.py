"""Handlers that are no Handler: anything with ``start_link`` that returns a pid."""

from __future__ import annotations

import os
from typing import Any

import pytest

from supervision import INFINITY, Actor, NoReply, Ok, Pid, Stop, Supervisor, process
from tests.thousand_island.serving import (
    DEADLINE,
    events_of,
    exchange,
    is_closed,
    message,
    reason_of,
    receive_exactly,
    serve,
    tree,
)
from thousand_island import NotOwner, Ready, forced_end, stop


class Loop:
    """A handler that is a plain function with a loop of its own."""

    @staticmethod
    def start_link(arg: Any) -> Pid:
        return process.spawn_link(Loop.run, arg)

    @staticmethod
    def run(arg: Any) -> None:
        (to, *_), genserver_options = arg
        process.trap_exit(True)
        ready = process.receive(Ready, timeout=DEADLINE)
        process.send(to, ("ready", process.self(), ready, genserver_options))
        ready.socket.handshake()
        while (data := ready.socket.recv(0, DEADLINE)) != b"quit":
            if data == b"wait":
                process.receive(str)
            ready.socket.send(data)


class LoopingActor(Actor):
    """A handler that is an Actor of its own kind."""

    def init(self, arg: Any) -> Any:
        return Ok(arg[0])

    def handle_info(self, message: Any, state: Any) -> Any:
        if isinstance(message, Ready):
            message.socket.handshake()
            message.socket.send(b"hello")
            process.send(state, ("socket", process.self(), message.socket))
            return NoReply((state, message.socket))
        if message == "crash":
            raise RuntimeError("boom")
        return Stop("normal", state)


@pytest.mark.row("TID-42", "TID-65")
class TestFunction:
    def test_it_gets_the_socket_with_everything_about_it(self) -> None:
        options = {"handler_options": [process.self()], "genserver_options": {"any": "thing"}}
        with serve(Loop, **options) as server, server.connect() as client:
            name, pid, ready, genserver_options = message()
            assert name == "ready"
            assert genserver_options == {"any": "thing"}
            assert ready.server_config.handler_module is Loop
            assert ready.acceptor_span.name == "acceptor"
            assert isinstance(ready.start_time, int)
            assert server.connections() == [pid]
            assert exchange(client, b"data") == b"data"

    def test_the_socket_is_closed_when_it_returns(self) -> None:
        with serve(Loop, handler_options=[process.self()]) as server, server.connect() as client:
            _, pid, ready, _ = message()  # keeps the socket alive: it is closed all the same
            ref = process.monitor(pid)
            client.sendall(b"quit")
            assert is_closed(client)
            assert reason_of(ref) == "normal"
            assert ready.socket.closed
            assert server.connections() == []

    def test_the_socket_is_closed_when_it_is_killed(self) -> None:
        with serve(Loop, handler_options=[process.self()]) as server, server.connect() as client:
            _, pid, ready, _ = message()
            client.sendall(b"wait")
            process.exit(pid, "kill")
            assert is_closed(client)
            del ready

    def test_nobody_else_may_use_the_socket(self) -> None:
        with serve(Loop, handler_options=[process.self()]) as server, server.connect():
            _, _, ready, _ = message()
            with pytest.raises(NotOwner):
                ready.socket.send(b"x")
            del ready

    def test_it_has_no_span_of_its_own(self) -> None:
        with events_of(Loop) as events, serve(Loop, handler_options=[process.self()]) as server:
            with server.connect() as client:
                message()
                client.sendall(b"quit")
                assert is_closed(client)
            stop(server.pid)
            assert events.names("connection.st") == []

    def test_one_that_takes_no_orders_is_killed_when_connection_wait_is_over_and_the_tree_ends_by_itself(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forced_end, "STEP", DEADLINE)
        options = {"handler_options": [process.self()], "shutdown_timeout": INFINITY}
        with serve(Loop, **options) as server, server.connect() as client:
            _, pid, ready, _ = message()
            client.sendall(b"wait")
            refs = [process.monitor(pid), process.monitor(server.pid)]
            stop(server.pid, 0)
            assert [reason_of(ref) for ref in refs] == ["killed", "normal"]
            del ready

    def test_one_whose_supervisor_was_killed_is_killed_when_its_time_is_over(self) -> None:
        options = {"handler_options": [process.self()], "shutdown_timeout": 20}
        with serve(Loop, **options) as server, server.connect() as client:
            _, pid, ready, _ = message()
            client.sendall(b"wait")
            ref = process.monitor(pid)
            process.exit(tree(server.pid)["acceptor-1/connection_sup"], "kill")
            assert reason_of(ref) == "killed"
            assert is_closed(client)
            del ready

    def test_one_that_is_stuck_is_killed_when_the_server_stops(self) -> None:
        with serve(Loop, handler_options=[process.self()], shutdown_timeout=50) as server, server.connect() as client:
            message()
            client.sendall(b"wait")
            stop(server.pid)
            assert is_closed(client)


@pytest.mark.row("TID-42", "TID-65")
class TestActor:
    @pytest.mark.parametrize("last", ["crash", "leave", None])
    def test_the_socket_is_closed_however_it_ends(self, last: str | None) -> None:
        with serve(LoopingActor, handler_options=process.self()) as server, server.connect() as client:
            assert receive_exactly(client, 5) == b"hello"
            _, pid, handle = message()
            ref = process.monitor(pid)
            process.exit(pid, "kill") if last is None else process.send(pid, last)
            assert is_closed(client)
            assert reason_of(ref) is not None
            assert server.connections() == []
            del handle


class TestSupervisorAsHandler:
    def test_a_tree_may_serve_a_connection(self) -> None:
        class Tree(Supervisor):
            @classmethod
            def start_link(cls, arg: Any = None, /, **options: Any) -> Pid:  # type: ignore[override]
                return Supervisor.start_link([(LoopingActor, arg)], strategy="one_for_one")

        with serve(Tree, handler_options=process.self(), shutdown_timeout=500) as server, server.connect() as client:
            (pid,) = server.connections() or [None]
            assert pid is None or process.is_alive(pid)
            stop(server.pid)
            assert is_closed(client)


class TestWrongOnes:
    @pytest.mark.parametrize("wrong", [None, "pid", 5], ids=repr)
    def test_what_start_link_returns_must_be_a_pid(self, wrong: Any) -> None:
        class Wrong:
            @staticmethod
            def start_link(arg: Any) -> Any:
                return wrong

        with events_of(Wrong) as events, serve(Wrong) as server:
            for _ in range(5):
                with server.connect() as client:
                    assert is_closed(client)
            assert repr(wrong) in str(events.wait("acceptor.spawn_error")[0]["error"])

    def test_one_that_raises_closes_the_connection(self) -> None:
        class Raising:
            @staticmethod
            def start_link(arg: Any) -> Any:
                raise OSError(24, os.strerror(24))

        with events_of(Raising) as events, serve(Raising) as server:
            for _ in range(5):
                with server.connect() as client:
                    assert is_closed(client)
            assert events.wait("acceptor.spawn_error")[0]["error"] == "emfile"

    def test_one_whose_process_is_gone_at_once_closes_the_connection(self) -> None:
        class Hasty:
            @staticmethod
            def start_link(arg: Any) -> Pid:
                pid, ref = process.spawn_monitor(lambda: None)
                process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)
                return pid

        with serve(Hasty) as server:
            for _ in range(5):
                with server.connect() as client:
                    assert is_closed(client)
            assert server.connections() == []
