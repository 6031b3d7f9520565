from __future__ import annotations

import socket
from typing import Any

import pytest

import thousand_island
from supervision import INFINITY, DynamicSupervisor, NoProcess, Supervisor, process
from tests.thousand_island.serving import (
    SECONDS,
    Echo,
    Server,
    Telling,
    children,
    down,
    events_of,
    exchange,
    is_closed,
    message,
    serve,
    tree,
)
from tests.thousand_island.transports import Wrapping
from thousand_island import Continue, ServerInfo, ServerUnavailable, suspension
from thousand_island.server import child_pid


class Goodbye(Telling):
    """An echo that tells its client of the end."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(data)
        return Continue(state)

    def handle_shutdown(self, socket: Any, state: Any) -> None:
        socket.send(b"GOODBYE")


class Suspender(Echo):
    """Suspends its own server when told to."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        thousand_island.suspend(state)
        return super().handle_data(data, socket, state)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def reach(server: Server) -> socket.socket:
    """Connect to where the server listens now."""
    return socket.create_connection(thousand_island.listener_info(server.pid), timeout=SECONDS)


def occupy(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


class TestSuspend:
    def test_the_port_is_closed(self) -> None:
        with serve(Echo) as server:
            thousand_island.suspend(server.pid)
            with pytest.raises(ConnectionRefusedError):
                server.connect()

    def test_so_it_is_where_an_acceptor_waits_in_the_accept_of_the_system(self) -> None:
        with events_of(Echo) as events, serve(Echo, transport_module=Wrapping()) as server:
            address = thousand_island.listener_info(server.pid)
            thousand_island.suspend(server.pid)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            assert "error" not in events.wait("acceptor.stop")[1]

    def test_an_acceptor_supervisor_that_has_just_ended_holds_nothing_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = process.spawn(dict)
        down(ended)
        running = suspension._running
        monkeypatch.setattr(suspension, "_running", lambda pool: [ended, *running(pool)])
        with serve(Echo) as server:
            thousand_island.suspend(server.pid)
            thousand_island.resume(server.pid)
            with reach(server) as client:
                assert exchange(client, b"data") == b"data"

    def test_connections_stay_and_are_served(self) -> None:
        with serve(Echo, num_acceptors=3) as server, server.connect() as one, server.connect() as other:
            assert exchange(one, b"one") == b"one"
            assert exchange(other, b"other") == b"other"
            thousand_island.suspend(server.pid)
            assert exchange(one, b"still") == b"still"
            assert exchange(other, b"here") == b"here"

    @pytest.mark.row("TID-18")
    def test_a_client_in_the_backlog_is_reset(self) -> None:
        with serve(Echo, max_connections=1) as server, server.connect() as served:
            assert exchange(served, b"x") == b"x"
            with server.connect() as waiting:
                thousand_island.suspend(server.pid)
                assert is_closed(waiting)
            assert exchange(served, b"y") == b"y"

    def test_a_client_that_waits_for_room_is_closed(self) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": INFINITY}
        with serve(Echo, **options) as server, server.connect() as served:
            assert exchange(served, b"x") == b"x"
            with server.connect() as waiting:
                thousand_island.suspend(server.pid)
                assert is_closed(waiting)

    @pytest.mark.row("TID-14")
    def test_a_suspended_server_stays_so(self) -> None:
        with serve(Echo) as server:
            thousand_island.suspend(server.pid)
            thousand_island.suspend(server.pid)
            assert thousand_island.status(server.pid) == "suspended"

    @pytest.mark.row("TID-14", "TID-66")
    def test_without_an_acceptor_pool_the_server_is_unavailable(self) -> None:
        with serve(Echo) as server:
            Supervisor.terminate_child(server.pid, "acceptor_pool_supervisor")
            for ask in (thousand_island.suspend, thousand_island.info, thousand_island.connection_pids):
                with pytest.raises(ServerUnavailable, match="acceptor_pool_supervisor"):
                    ask(server.pid)

    @pytest.mark.row("TID-19")
    def test_acceptor_and_listener_spans_end_and_begin_anew(self) -> None:
        class Traced(Echo):
            pass

        with events_of(Traced) as events, serve(Traced, num_acceptors=2) as server:
            thousand_island.suspend(server.pid)
            events.wait("listener.stop")
            stops = events.all("acceptor.stop")
            assert [measurements["connections"] for measurements, _ in stops] == [0, 0]
            assert not any("error" in metadata for _, metadata in stops)
            thousand_island.resume(server.pid)
            starts = [metadata["telemetry_span_context"] for _, metadata in events.all("listener.start")]
            parents = {metadata["parent_telemetry_span_context"] for _, metadata in events.all("acceptor.start")}
            assert len(starts) == 2
            assert parents == set(starts)

    def test_a_connection_may_suspend_its_own_server(self) -> None:
        name = "suspended from inside"
        with serve(Suspender, handler_options=name, supervisor_options={"name": name}) as server:
            with server.connect() as client:
                assert exchange(client, b"x") == b"x"
            assert thousand_island.status(name) == "suspended"

    def test_an_acceptor_that_is_restarted_meanwhile_accepts_nothing(self) -> None:
        with serve(Echo) as server:
            thousand_island.suspend(server.pid)
            parts = tree(server.pid)
            connection_sup = parts["acceptor-1/connection_sup"]
            process.exit(connection_sup, "kill")
            down(connection_sup)
            assert children(parts["acceptor-1"])["acceptor"] is None
            thousand_island.resume(server.pid)
            with reach(server) as client:
                assert exchange(client, b"x") == b"x"


class TestResume:
    @pytest.mark.row("TID-16")
    def test_a_fixed_port_is_bound_again(self, free_port: int) -> None:
        with serve(Echo, port=free_port) as server, server.connect() as before:
            assert exchange(before, b"first") == b"first"
            thousand_island.suspend(server.pid)
            thousand_island.resume(server.pid)
            assert thousand_island.listener_info(server.pid) == ("127.0.0.1", free_port)
            with server.connect() as after:
                assert exchange(after, b"after") == b"after"
            assert exchange(before, b"before") == b"before"

    @pytest.mark.row("TID-16")
    def test_port_0_gives_a_port_that_is_told(self) -> None:
        with serve(Echo) as server:
            for _ in range(3):
                thousand_island.suspend(server.pid)
                with pytest.raises(ServerUnavailable):
                    thousand_island.listener_info(server.pid)
                thousand_island.resume(server.pid)
                with reach(server) as client:
                    assert exchange(client, b"x") == b"x"

    @pytest.mark.row("TID-17")
    def test_a_port_taken_meanwhile_is_refused_and_can_be_tried_again(self, free_port: int) -> None:
        with serve(Echo, port=free_port) as server, server.connect() as client:
            assert exchange(client, b"first") == b"first"
            thousand_island.suspend(server.pid)
            with occupy(free_port), pytest.raises(ServerUnavailable, match="already in use") as refused:
                thousand_island.resume(server.pid)
            assert isinstance(refused.value.__cause__.__cause__, OSError)  # type: ignore[union-attr]
            assert thousand_island.status(server.pid) == "suspended"
            assert exchange(client, b"x") == b"x"
            thousand_island.resume(server.pid)
            with server.connect() as later:
                assert exchange(later, b"y") == b"y"

    @pytest.mark.row("TID-15")
    def test_a_running_server_stays_so(self) -> None:
        with serve(Echo, num_acceptors=2) as server:
            before = tree(server.pid)
            thousand_island.resume(server.pid)
            assert tree(server.pid) == before

    def test_all_acceptors_accept_again(self) -> None:
        with serve(Echo, num_acceptors=4) as server:
            thousand_island.suspend(server.pid)
            thousand_island.resume(server.pid)
            assert None not in tree(server.pid).values()
            with reach(server) as client:
                assert exchange(client, b"x") == b"x"


class TestStop:
    @pytest.mark.row("TIS-09")
    def test_connections_hear_of_it_after_a_suspend_and_resume(self) -> None:
        with serve(Goodbye) as server:
            thousand_island.suspend(server.pid)
            thousand_island.resume(server.pid)
            with reach(server) as client:
                assert exchange(client, b"HELLO") == b"HELLO"
                thousand_island.stop(server.pid)
                assert client.recv(7) == b"GOODBYE"
                assert is_closed(client)
            assert not process.is_alive(server.pid)

    def test_a_suspended_server_stops_too(self) -> None:
        with serve(Goodbye) as server, server.connect() as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            thousand_island.suspend(server.pid)
            thousand_island.stop(server.pid)
            assert client.recv(7) == b"GOODBYE"
            assert not process.is_alive(server.pid)


class TestStatusAndInfo:
    @pytest.mark.row("TIS-12")
    def test_they_follow_suspend_and_resume(self) -> None:
        with serve(Echo) as server, server.connect() as client:
            assert thousand_island.status(server.pid) == "running"
            assert exchange(client, b"x") == b"x"
            thousand_island.suspend(server.pid)
            assert thousand_island.status(server.pid) == "suspended"
            assert thousand_island.info(server.pid) == ServerInfo("suspended", None, 1)
            thousand_island.resume(server.pid)
            assert thousand_island.status(server.pid) == "running"

    @pytest.mark.row("TIS-13", "TID-67")
    def test_info_counts_the_connections(self) -> None:
        with serve(Telling, handler_options=process.self(), num_acceptors=2) as server:
            assert thousand_island.info(server.pid) == ServerInfo("running", server.address, 0)
            with server.connect(), server.connect():
                pids = wait_for_connections(server, 2)
                assert thousand_island.info(server.pid).active_connections == 2
            for pid in pids:
                down(pid)
            assert thousand_island.info(server.pid).active_connections == 0
            assert message()[0] == message()[0] == "handle_close"

    @pytest.mark.row("TIS-05")
    def test_connection_pids_are_those_that_live(self) -> None:
        with serve(Echo) as server, server.connect() as one:
            assert exchange(one, b"x") == b"x"
            first = server.only_connection()
            with server.connect() as other:
                assert exchange(other, b"y") == b"y"
                assert set(server.connections()) > {first}
                second = (set(server.connections()) - {first}).pop()
            down(second)
            assert server.connections() == [first]

    @pytest.mark.row("TID-11")
    def test_a_server_is_known_by_its_name_too(self) -> None:
        with serve(Echo, supervisor_options={"name": "echo server"}):
            assert thousand_island.info("echo server").status == "running"
            thousand_island.suspend("echo server")
            assert thousand_island.status("echo server") == "suspended"

    def test_whatever_is_no_running_server_is_unavailable(self) -> None:
        with serve(Echo) as server:
            thousand_island.stop(server.pid)
        functions = (
            thousand_island.suspend,
            thousand_island.resume,
            thousand_island.status,
            thousand_island.info,
            thousand_island.listener_info,
            thousand_island.connection_pids,
        )
        for function in functions:
            with pytest.raises(ServerUnavailable):
                function(server.pid)
            with pytest.raises(ServerUnavailable):
                function("nobody has this name")
        with pytest.raises(NoProcess):
            thousand_island.stop(server.pid)

    def test_another_supervisor_is_no_server(self) -> None:
        supervisor = DynamicSupervisor.start_link()
        try:
            with pytest.raises(ServerUnavailable):
                child_pid(supervisor, "listener")
            with pytest.raises(ServerUnavailable):
                thousand_island.info(supervisor)
            with pytest.raises(ServerUnavailable):
                thousand_island.status(supervisor)
        finally:
            DynamicSupervisor.stop(supervisor)


def wait_for_connections(server: Server, count: int) -> list[Any]:
    """Wait until the clients that have connected have a process each."""
    with events_of(Telling) as events:
        while len(pids := server.connections()) < count:
            events.wait("connection.start")
    return pids
