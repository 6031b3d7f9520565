"""A server as a whole: its tree, its limits, several of them, and what goes wrong at the start."""

from __future__ import annotations

import select
import socket
from typing import Any

import pytest

import thousand_island
from supervision import DynamicSupervisor, Supervisor, process
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Echo,
    children,
    down,
    events_of,
    exchange,
    interpreter,
    is_closed,
    is_silent,
    serve,
    tree,
)
from thousand_island import Continue, Handler, ServerUnavailable, connection_pids, listener_info, stop
from thousand_island.transports import TCP

SINGLE = {"num_connections": 1, "max_connections_retry_wait": 50}


class TestConnections:
    @pytest.mark.row("TIS-01")
    def test_they_are_served_at_the_same_time(self) -> None:
        with serve(Echo) as server, server.connect() as one, server.connect() as other:
            one.sendall(b"HELLO")
            assert exchange(other, b"BONJOUR") == b"BONJOUR"
            assert one.recv(5) == b"HELLO"

    @pytest.mark.row("TIS-05", "TID-66")
    def test_they_are_listed(self) -> None:
        class Whoami(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("pid", self.pid))
                return Continue(state)

        with serve(Whoami, handler_options=process.self(), num_acceptors=4) as server:
            with server.connect() as one:
                first = process.receive(tuple, timeout=DEADLINE)[1]
                with server.connect():
                    second = process.receive(tuple, timeout=DEADLINE)[1]
                    assert set(connection_pids(server.pid)) == {first, second}
                    one.close()
                    down(first)
                    assert connection_pids(server.pid) == [second]
                down(second)
            assert connection_pids(server.pid) == []

    def test_a_server_that_is_gone_has_none_to_list(self) -> None:
        with serve(Echo) as server:
            stop(server.pid)
            for question in (connection_pids, listener_info):
                with pytest.raises(ServerUnavailable):
                    question(server.pid)


class TestLimit:
    @pytest.mark.row("TIS-02")
    def test_a_client_beyond_it_is_served_as_soon_as_there_is_room(self) -> None:
        options = SINGLE | {"max_connections_retry_count": 1_000}
        with serve(Echo, **options) as server, server.connect() as one, server.connect() as other:
            assert exchange(one, b"HELLO") == b"HELLO"
            other.sendall(b"BONJOUR")
            assert is_silent(other)
            assert exchange(one, b"HELLO") == b"HELLO"
            one.close()
            assert other.recv(7) == b"BONJOUR"

    @pytest.mark.row("TIS-03", "TIS-04")
    def test_it_is_closed_if_none_comes_in_time(self) -> None:
        with events_of(Echo) as events, serve(Echo, **SINGLE, max_connections_retry_count=2) as server:
            with server.connect() as one:
                assert exchange(one, b"HELLO") == b"HELLO"
                with server.connect() as other:
                    assert is_closed(other)
                measurements, metadata = events.wait("acceptor.spawn_error")
                assert measurements.keys() == {"monotonic_time"}
                assert metadata.keys() == {"handler", "telemetry_span_context"}
                assert exchange(one, b"HELLO") == b"HELLO"
            with server.connect() as third:
                assert exchange(third, b"BUONGIORNO") == b"BUONGIORNO"

    @pytest.mark.row("TID-03")
    def test_without_retries_it_is_closed_at_once(self) -> None:
        with serve(Echo, num_connections=1, max_connections_retry_count=0) as server, server.connect() as one:
            assert exchange(one, b"HELLO") == b"HELLO"
            for _ in range(5):
                with server.connect() as other:
                    assert is_closed(other)

    @pytest.mark.row("TID-75")
    def test_a_client_that_waits_for_room_is_closed_when_the_server_stops(self) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": 60_000}
        with serve(Echo, **options) as server, server.connect() as one, server.connect() as other:
            assert exchange(one, b"HELLO") == b"HELLO"
            stop(server.pid)
            assert is_closed(other)

    def test_each_acceptor_has_its_own(self) -> None:
        with serve(Echo, **SINGLE, num_acceptors=3) as server:
            clients = [server.connect() for _ in range(3)]
            assert [exchange(client, b"x") for client in clients] == [b"x"] * 3
            for client in clients:
                client.close()


class TestTree:
    @pytest.mark.row("TID-05", "TID-06")
    def test_it_is_upstreams(self) -> None:
        with serve(Echo, num_acceptors=2) as server:
            assert list(children(server.pid)) == ["shutdown_listener", "acceptor_pool_supervisor", "listener"]
            pool = children(server.pid)["acceptor_pool_supervisor"]
            assert list(children(pool)) == ["acceptor-2", "acceptor-1"]
            for supervisor in children(pool).values():
                assert list(children(supervisor)) == ["acceptor", "connection_sup"]
            counts = Supervisor.count_children(server.pid)
            assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 3, 1, 2)

    def test_connections_are_temporary_children_of_the_connection_supervisor(self) -> None:
        with serve(Echo, shutdown_timeout=123) as server, server.connect() as client:
            assert exchange(client, b"x") == b"x"
            supervisor = tree(server.pid)["acceptor-1/connection_sup"]
            (child,) = DynamicSupervisor.which_children(supervisor)
            assert child.pid is server.only_connection()
            spec = DynamicSupervisor.get_child_spec(supervisor, child.pid)
            assert (spec.restart, spec.shutdown) == ("temporary", 123)

    @pytest.mark.row("TID-11")
    def test_servers_are_independent_and_may_have_names(self) -> None:
        with serve(Echo) as one, serve(Echo, supervisor_options={"name": "named"}) as other:
            assert process.whereis("named") is other.pid
            assert listener_info("named") == other.address
            assert connection_pids("named") == []
            stop("named")
            with one.connect() as client:
                assert exchange(client, b"x") == b"x"

    @pytest.mark.row("TID-04")
    def test_several_may_live_under_one_supervisor(self) -> None:
        options = {"handler_module": Echo, "port": 0, "num_acceptors": 1}
        specs = [thousand_island.child_spec(**options), thousand_island.child_spec(options), (thousand_island, options)]
        parent = Supervisor.start_link(specs, strategy="one_for_one")
        assert len({child.id for child in Supervisor.which_children(parent)}) == 3
        for child in Supervisor.which_children(parent):
            assert child.type == "supervisor"
            address = ("127.0.0.1", listener_info(child.pid)[1])
            with socket.create_connection(address, timeout=5) as client:
                assert exchange(client, b"x") == b"x"
        Supervisor.stop(parent)

    def test_a_server_whose_parts_die_too_often_shuts_down_and_closes_everything(self) -> None:
        with serve(Echo, supervisor_options={"max_restarts": 0}) as server, server.connect() as client:
            assert exchange(client, b"x") == b"x"
            ref = process.monitor(server.pid)
            process.exit(tree(server.pid)["listener"], "kill")
            down_message = process.receive(lambda m: getattr(m, "ref", None) is ref, timeout=DEADLINE)
            assert down_message.reason == "shutdown"
            assert is_closed(client)


CRAMPED = """
import resource, sys, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
import blinker, thousand_island
from thousand_island import Continue, Handler

class Echo(Handler):
    def handle_data(self, data, socket, state):
        socket.send(data)
        return Continue(state)

told = threading.Lock()
def note(sender, **_):
    if told.acquire(blocking=False):
        print("full", flush=True)
blinker.signal("thousand_island.acceptor.emfile").connect(note)
server = thousand_island.start_link(handler_module=Echo, port=0, num_acceptors=4, transport_options={"ip": "loopback"})
print(thousand_island.listener_info(server)[1], flush=True)
sys.stdin.readline()
thousand_island.stop(server)
print("stopped", flush=True)
"""


class TestExhaustion:
    def test_a_server_without_descriptors_recovers_by_itself(self) -> None:
        with interpreter(CRAMPED) as program:
            address = ("127.0.0.1", int(program.stdout.readline()))
            clients = [socket.create_connection(address, timeout=SECONDS) for _ in range(100)]
            for client in clients:
                client.sendall(b"x")
            assert program.stdout.readline() == "full\n"
            turns = 0
            while clients:  # those that are served make way for the others
                ready, _, _ = select.select(clients, [], [], SECONDS)
                assert ready, f"{len(clients)} clients are never served"
                turns += 1
                for client in ready:
                    assert client.recv(1) == b"x"
                    client.close()
                    clients.remove(client)
            assert turns > 1
            with socket.create_connection(address, timeout=SECONDS) as client:
                assert exchange(client, b"again") == b"again"
                program.stdin.write("\n")
                program.stdin.flush()
                assert program.stdout.readline() == "stopped\n"


class TestTransportOption:
    @pytest.mark.row("TIS-16")
    def test_a_dual_stack_server_shows_ipv4_clients_as_such(self) -> None:
        class Who(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.send(socket.peername()[0].encode())
                return Continue(state)

        with serve(Who, transport_module=TCP, transport_options={"inet6": True}) as server:
            address = ("127.0.0.1", server.address[1])
            with socket.create_connection(address, timeout=5) as client:
                assert client.recv(20) == b"127.0.0.1"
