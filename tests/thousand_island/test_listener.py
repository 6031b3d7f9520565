"""The process that owns the listening sockets."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

import thousand_island
from supervision import StartError, call, process
from tests.thousand_island.serving import (
    Echo,
    children,
    down,
    dying_at_the_first,
    events_of,
    exchange,
    is_closed,
    serve,
    tree,
)
from tests.thousand_island.transports import Flaky, oserror
from thousand_island import listener_info, stop
from thousand_island.transports import TCP


@pytest.fixture
def taken() -> Any:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


class TestStart:
    @pytest.mark.row("TIL-01", "TID-12")
    def test_a_port_in_use_is_refused_with_the_error_of_the_system(self, taken: int) -> None:
        with pytest.raises(StartError) as caught:
            thousand_island.start_link(handler_module=Echo, port=taken, transport_options={"ip": "loopback"})
        assert caught.value.child_id == "listener"
        cause: Any = caught.value
        while not isinstance(cause, OSError):
            cause = cause.__cause__
        assert cause.errno == errno.EADDRINUSE
        assert str(taken) in str(cause)

    @pytest.mark.row("TIL-02")
    def test_it_knows_where_it_listens(self) -> None:
        with serve(Echo, transport_options={}) as server:
            listener = tree(server.pid)["listener"]
            host, port = call(listener, "listener_info")
            assert (host, port) == listener_info(server.pid)
            assert host == "0.0.0.0"
            assert port > 0

    @pytest.mark.row("TIL-03")
    def test_it_listens_by_the_transport_and_with_the_options_that_were_given(self) -> None:
        class Noting(Flaky):
            def listen(self, port: int, options: Any) -> Any:
                noted.append((port, options))
                return TCP.listen(port, options)

        noted: list[Any] = []
        with serve(Echo, transport_module=Noting(), transport_options={"ip": "loopback", "backlog": 7}):
            assert noted == [(0, {"ip": "loopback", "backlog": 7})]

    @pytest.mark.row("TIL-04")
    def test_the_port_is_taken_as_long_as_it_runs(self) -> None:
        with serve(Echo) as server:
            with pytest.raises(OSError, match="Address already in use"):
                socket.create_server(server.address)
            stop(server.pid)
            socket.create_server(server.address).close()

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_a_socket_that_cannot_be_had_leaves_none_behind(self, number: int) -> None:
        flaky = Flaky()
        flaky.fail_at("listen", number, oserror(errno.EMFILE))
        options = {"ip": "loopback", "reuseport": True}
        with pytest.raises(StartError):
            thousand_island.start_link(
                handler_module=Echo, port=0, transport_module=flaky, num_listen_sockets=3, transport_options=options
            )
        assert flaky.is_used_up("listen")


class TestEvents:
    @pytest.mark.row("TIL-05", "TIS-11")
    def test_its_span_tells_where_and_how_it_listens(self) -> None:
        with events_of(Echo) as events, serve(Echo, transport_options={"ip": "loopback"}) as server:
            measurements, metadata = events.wait("listener.start")
            assert measurements.keys() == {"monotonic_time"}
            context = metadata.pop("telemetry_span_context")
            assert metadata == {
                "handler": Echo,
                "local_address": "127.0.0.1",
                "local_port": server.address[1],
                "transport_module": TCP,
                "transport_options": {"ip": "loopback"},
            }
            stop(server.pid)
            measurements, stopped = events.wait("listener.stop")
            assert measurements.keys() == {"monotonic_time", "duration"}
            assert stopped == {**metadata, "telemetry_span_context": context}

    @pytest.mark.row("TIS-11")
    def test_the_spans_end_in_the_reverse_order_of_their_start(self) -> None:
        with events_of(Echo) as events, serve(Echo) as server:
            stop(server.pid)
            assert events.names() == ["listener.start", "acceptor.start", "acceptor.stop", "listener.stop"]
            measurements, metadata = events.all("acceptor.stop")[0]
            assert measurements.keys() == {"monotonic_time", "duration", "connections"}
            assert measurements["connections"] == 0
            assert metadata == events.all("acceptor.start")[0][1]
            assert metadata.keys() == {"handler", "telemetry_span_context", "parent_telemetry_span_context"}


class TestAcceptorInfo:
    @pytest.mark.row("TIL-07", "TIL-09", "TIL-10")
    def test_every_acceptor_gets_the_one_socket_and_the_span(self) -> None:
        with serve(Echo) as server:
            listener = tree(server.pid)["listener"]
            answers = {call(listener, ("acceptor_info", number)) for number in (1, 2, 10)}
            ((sock, span),) = answers
            assert sock.fileno() >= 0
            assert span.name == "listener"

    @pytest.mark.row("TIL-11", "TIR-03", "TIR-04", "TIR-05")
    def test_acceptors_take_turns_at_several_sockets(self) -> None:
        options = {"ip": "loopback", "reuseport": True}
        with serve(Echo, num_acceptors=6, num_listen_sockets=3, transport_options=options) as server:
            listener = tree(server.pid)["listener"]
            sockets = [call(listener, ("acceptor_info", number))[0] for number in range(1, 6)]
            assert len(set(sockets)) == 3
            assert sockets[3:] == sockets[:2]
            assert {sock.sock.getsockname() for sock in sockets} == {server.address}
            del sockets
            for _ in range(5):
                with server.connect() as client:
                    assert exchange(client, b"hello") == b"hello"


class TestDeath:
    @pytest.mark.row("TID-09")
    def test_a_killed_listener_is_restarted_with_all_that_came_after_it(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with serve(Echo, port=port) as server, server.connect() as client:
            assert exchange(client, b"x") == b"x"
            before = tree(server.pid)
            process.exit(before["listener"], "kill")
            assert is_closed(client)
            down(before["shutdown_listener"])
            after = tree(server.pid)
            with server.connect() as again:
                assert exchange(again, b"again") == b"again"
            assert not set(after.values()) & set(before.values())

    def test_one_that_is_killed_while_it_starts_has_its_port_back_when_it_is_started_again(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with serve(Echo, port=port) as server, events_of(Echo) as events:
            with dying_at_the_first("thousand_island.listener.start"):
                process.exit(tree(server.pid)["listener"], "kill")
                events.wait("acceptor.start")
            with server.connect() as client:
                assert exchange(client, b"x") == b"x"
            assert events.names("listener") == ["listener.stop", "listener.start", "listener.stop", "listener.start"]

    def test_its_sockets_are_closed_before_anybody_hears_of_its_death(self) -> None:
        with serve(Echo) as server:
            process.exit(tree(server.pid)["listener"], "kill")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(server.address, timeout=1)
            assert set(children(server.pid)) == {"listener", "acceptor_pool_supervisor", "shutdown_listener"}
