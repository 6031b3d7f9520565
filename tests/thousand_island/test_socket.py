"""The Socket that handlers get: reading, sending, options, information and telemetry, over TCP."""

from __future__ import annotations

import array
import os
import socket
import threading
from typing import Any

import pytest

from supervision import INFINITY, process
from tests.thousand_island.puppet import Order, Puppet, Strings, puppet
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Events,
    events_of,
    exchange,
    is_closed,
    is_silent,
    receive_exactly,
    serve,
    strike,
)
from tests.thousand_island.transports import Flaky
from thousand_island import (
    Close,
    Continue,
    Handler,
    SendTimeout,
    SocketClosed,
    SocketStats,
    SocketTimeout,
)
from thousand_island.transports import TCP
from thousand_island.transports.stream import Stream


@pytest.fixture
def strings() -> Any:
    with puppet() as strings:
        yield strings


class Once(Handler):
    """Receives, sends it back, and closes."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        socket.send(socket.recv(0, DEADLINE))
        return Close(state)


class TestRecv:
    @pytest.mark.row("TIK-01")
    def test_what_is_there_is_returned(self) -> None:
        with serve(Once) as server, server.connect() as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            assert is_closed(client)

    def test_a_length_is_waited_for_exactly(self, strings: Strings) -> None:
        strings.client.sendall(b"12345678")
        assert strings.do(lambda s: (s.recv(3), s.recv(5))) == (b"123", b"45678")

    def test_more_than_one_read_is_put_together(self, strings: Strings) -> None:
        data = os.urandom(1_000_000)
        process.spawn(strings.client.sendall, data)
        assert strings.do(lambda s: s.recv(len(data))) == data

    def test_what_came_before_a_timeout_is_kept(self, strings: Strings) -> None:
        strings.client.sendall(b"first")
        with pytest.raises(SocketTimeout):
            strings.do(lambda s: s.recv(10, 30))
        strings.client.sendall(b" second")
        assert strings.do(lambda s: s.recv(10, DEADLINE)) == b"first seco"
        assert strings.do(lambda s: s.recv(0, DEADLINE)) == b"nd"

    def test_what_came_before_the_end_is_kept(self, strings: Strings) -> None:
        strings.client.sendall(b"rest")
        strings.client.shutdown(socket.SHUT_WR)

        def read(handle: Any) -> Any:
            with pytest.raises(SocketClosed):
                handle.recv(10)
            return handle.recv(0)

        assert strings.do(read) == b"rest"

    def test_a_timeout_of_zero_does_not_wait(self, strings: Strings) -> None:
        with pytest.raises(SocketTimeout) as caught:
            strings.do(lambda s: s.recv(0, 0))
        assert caught.value.reason == "timeout"
        assert isinstance(caught.value, TimeoutError)

    def test_the_end_is_an_error_that_says_closed(self, strings: Strings) -> None:
        strings.client.shutdown(socket.SHUT_WR)
        with pytest.raises(SocketClosed) as caught:
            strings.do(lambda s: s.recv(1))
        assert caught.value.reason == "closed"
        assert isinstance(caught.value, ConnectionError)

    @pytest.mark.parametrize("timeout", [0.5, -1, True, "1"])
    def test_a_wrong_timeout_is_refused(self, strings: Strings, timeout: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="timeout must be a whole number of milliseconds"):
            strings.do(lambda s: s.recv(0, timeout))

    @pytest.mark.parametrize("length", [-1, 1.0, None])
    def test_a_wrong_length_is_refused(self, strings: Strings, length: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="length must be"):
            strings.do(lambda s: s.recv(length))

    def test_infinity_waits_until_it_is_killed(self, strings: Strings) -> None:
        process.send(strings.pid, Order(lambda s: s.recv(0, INFINITY), process.self()))
        ref = process.monitor(strings.pid)
        process.exit(strings.pid, "kill")
        assert is_closed(strings.client)
        assert process.receive(timeout=DEADLINE).ref is ref

    def test_the_buffer_option_bounds_one_read(self) -> None:
        with puppet(transport_options={"ip": "loopback", "buffer": 4}) as strings:
            strings.client.sendall(b"123456")
            assert strings.do(lambda s: (s.recv(0, DEADLINE), s.recv(0, DEADLINE))) == (b"1234", b"56")


class TestSend:
    @pytest.mark.row("TID-63")
    @pytest.mark.parametrize(
        "data",
        [
            b"abcdef",
            bytearray(b"abcdef"),
            memoryview(b"xabcdefx")[1:-1],
            array.array("B", b"abcdef"),
            [b"abc", b"def"],
            (b"a", [b"bc", [bytearray(b"de"), []]], b"", b"f"),
            (bytes([byte]) for byte in b"abcdef"),
        ],
        ids=lambda data: type(data).__name__,
    )
    def test_bytes_like_things_and_nested_iterables_of_them_are_sent(self, strings: Strings, data: Any) -> None:
        strings.do(lambda s: s.send(data))
        assert receive_exactly(strings.client, 6) == b"abcdef"
        assert strings.do(lambda s: s.getstat()) == SocketStats(0, 0, 6, 1)

    def test_it_shows_its_transport_and_whose_it_is(self, strings: Strings) -> None:
        assert strings.do(repr) == f"<Socket TCP of {strings.pid!r}>"

    @pytest.mark.parametrize("data", ["text", 5, None, [b"a", "b"], [[b"a"], [1]]], ids=repr)
    def test_anything_else_is_refused_before_a_byte_is_sent(self, strings: Strings, data: Any) -> None:
        with pytest.raises(TypeError, match="bytes-like"):
            strings.do(lambda s: s.send(data))
        assert is_silent(strings.client)

    @pytest.mark.parametrize("nothing", [b"", [], [[b""], ()]], ids=repr)
    def test_nothing_can_be_sent(self, strings: Strings, nothing: Any) -> None:
        strings.do(lambda s: s.send(nothing))
        assert is_silent(strings.client)

    def test_ten_thousand_pieces_arrive_in_order(self, strings: Strings) -> None:
        pieces = [b"%06d" % number for number in range(10_000)]
        strings.do(lambda s: s.send(pieces))
        assert receive_exactly(strings.client, 60_000) == b"".join(pieces)

    @pytest.mark.row("TID-59")
    def test_a_client_that_does_not_read_costs_send_timeout_and_the_connection(self) -> None:
        options = {"ip": "loopback", "send_timeout": 50, "sndbuf": 4096}
        with events_of(Puppet) as events, puppet(transport_options=options) as strings:
            data = bytes(range(256)) * 40_000
            with pytest.raises(SendTimeout) as caught:
                strings.do(lambda s: s.send(data))
            rest = caught.value.rest
            assert events.wait("connection.send_error")[0]["error"] == "timeout"
            assert 0 < len(rest) < len(data)
            assert data.endswith(rest)
            received = receive_exactly(strings.client, len(data))
            assert received == data[: len(received)]
            assert len(received) <= len(data) - len(rest)
            with pytest.raises(SocketClosed):
                strings.do(lambda s: s.send(b"x"))

    def test_without_send_timeout_close_the_rest_can_be_sent_later(self) -> None:
        options = {"ip": "loopback", "send_timeout": 50, "send_timeout_close": False}
        with puppet(transport_options=options) as strings:
            data = os.urandom(1_000_000) * 20
            with pytest.raises(SendTimeout) as caught:
                strings.do(lambda s: s.send([data[:5], data[5:]]))
            rest = caught.value.rest
            sent = len(data) - len(rest)
            assert receive_exactly(strings.client, sent) == data[:sent]
            strings.do(lambda s: s.send(rest[:100_000]))
            assert receive_exactly(strings.client, 100_000) == rest[:100_000]
            assert strings.do(lambda s: s.getstat()).send_oct == sent + 100_000

    def test_a_handler_that_goes_on_after_its_send_timed_out_learns_that_it_is_closed(self) -> None:
        class Stubborn(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                with pytest.raises(SendTimeout):
                    socket.send(bytes(50_000_000))
                return Continue(state)

            def handle_close(self, socket: Any, state: Any) -> None:
                process.send(state, ("closed", socket.closed))

        options = {"ip": "loopback", "send_timeout": 50}
        with serve(Stubborn, handler_options=process.self(), transport_options=options) as server, server.connect():
            assert process.receive(tuple, timeout=DEADLINE) == ("closed", True)

    def test_a_reset_is_told_to_the_sender(self, strings: Strings) -> None:
        strings.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        order = Order(lambda s: s.send(bytes(50_000_000)), process.self())
        process.send(strings.pid, order)
        assert strings.client.recv(1) == b"\0"
        strings.client.close()
        answer = process.receive(lambda message: message[0] is order, timeout=DEADLINE)
        assert isinstance(answer[2], ConnectionResetError | BrokenPipeError)


class TestShutdown:
    @pytest.mark.row("TID-51")
    @pytest.mark.parametrize("way", ["read", "write", "read_write"])
    def test_it_is_told_as_an_event(self, way: str) -> None:
        with events_of(Puppet) as events, puppet() as strings:
            strings.do(lambda s: s.shutdown(way))
            measurements, metadata = events.wait("connection.socket_shutdown")
            assert measurements.keys() == {"monotonic_time", "way"}
            assert measurements["way"] == way
            assert metadata.keys() == {"handler", "telemetry_span_context"}

    def test_writing_ends_for_the_client_and_reading_goes_on(self, strings: Strings) -> None:
        strings.do(lambda s: s.shutdown("write"))
        assert strings.client.recv(1) == b""
        strings.client.sendall(b"more")
        assert strings.do(lambda s: s.recv(4, DEADLINE)) == b"more"

    def test_a_wrong_way_is_refused(self, strings: Strings) -> None:
        with pytest.raises(ValueError, match="way must be"):
            strings.do(lambda s: s.shutdown("both"))


class TestClose:
    def test_what_was_sent_before_is_delivered(self) -> None:
        class Generous(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.send(bytes(1_000_000))
                socket.close()
                socket.close()
                return Continue(state)

        with serve(Generous) as server, server.connect() as client:
            assert len(receive_exactly(client, 2_000_000)) == 1_000_000

    def test_everything_says_closed_afterwards(self, strings: Strings) -> None:
        def use(handle: Any) -> Any:
            handle.close()
            uses = [
                lambda: handle.send(b"x"),
                lambda: handle.send([b"x", b"y"]),
                lambda: handle.send(bytearray(b"x")),
                lambda: handle.recv(0),
                lambda: handle.recv(5, 10),
                lambda: handle.sendfile(__file__),
                lambda: handle.getopts(["nodelay"]),
                lambda: handle.setopts({"nodelay": False}),
                lambda: handle.shutdown("write"),
                handle.sockname,
            ]
            for number, one in enumerate(uses):
                with pytest.raises(SocketClosed):
                    raise AssertionError(f"use {number} gave {one()!r}")
            return handle.getstat(), handle.peername()

        address = strings.client.getsockname()
        assert strings.do(use) == (SocketStats(), address)

    def test_a_kill_in_the_middle_leaves_nothing_open(self) -> None:
        closed = threading.Event()

        class Struck(Flaky):
            def close(self, socket: Any) -> None:
                if isinstance(socket, Stream):
                    strike(process.self())
                TCP.close(socket)
                if isinstance(socket, Stream):
                    closed.set()

        class Closing(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.close()
                return Continue(state)

        with serve(Closing, transport_module=Struck()) as server, server.connect() as client:
            client.sendall(b"x")
            assert is_closed(client)
            assert closed.wait(SECONDS)


class TestEvents:
    @pytest.mark.row("TIK-05")
    def test_reading_and_sending_are_told(self) -> None:
        with events_of(Once) as events, serve(Once) as server, server.connect() as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            assert is_closed(client)
            for name in ["connection.recv", "connection.send"]:
                measurements, metadata = events.wait(name)
                assert measurements == {"data": b"HELLO"}
                assert metadata.keys() == {"handler", "telemetry_span_context"}
                assert metadata["handler"] is Once

    def test_what_was_passed_to_send_is_told_as_it_was(self) -> None:
        with events_of(Puppet) as events, puppet() as strings:
            strings.do(lambda s: s.send([b"a", [b"b"]]))
            assert events.wait("connection.send")[0] == {"data": [b"a", [b"b"]]}

    def test_errors_are_told_with_the_time(self) -> None:
        with events_of(Puppet) as events, puppet() as strings:
            with pytest.raises(SocketTimeout):
                strings.do(lambda s: s.recv(1, 0))
            self._expect(events, "recv_error", {"error": "timeout"})
            strings.do(lambda s: s.shutdown("write"))
            with pytest.raises(BrokenPipeError):
                strings.do(lambda s: s.send(b"x"))
            self._expect(events, "send_error", {"error": "epipe", "data": b"x"})

    @staticmethod
    def _expect(events: Events, name: str, expected: dict[str, Any]) -> None:
        measurements, metadata = events.wait(f"connection.{name}")
        assert isinstance(measurements.pop("monotonic_time"), int)
        assert measurements == expected
        assert metadata.keys() == {"handler", "telemetry_span_context"}
