"""What the callbacks of a Handler are called with, and what their results do."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from supervision import process
from tests.thousand_island.serving import (
    DEADLINE,
    Echo,
    Server,
    Telling,
    events_of,
    exchange,
    is_closed,
    is_silent,
    message,
    receive_exactly,
    serve,
)
from thousand_island import Close, Continue, Error, Handler


class Greeting(Handler):
    """Greets; ``handler_options`` is the result class that follows, with its arguments."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        socket.send(b"HELLO")
        kind, *args = state
        return kind(*args, state)


class TestHandleConnection:
    @pytest.mark.row("TIH-04")
    def test_continue_keeps_the_connection_open(self) -> None:
        with serve(Greeting, handler_options=(Continue,)) as server, server.connect() as client:
            assert receive_exactly(client, 5) == b"HELLO"
            assert is_silent(client)

    @pytest.mark.row("TIH-05", "TIK-03")
    def test_close_closes_it_after_what_was_sent(self) -> None:
        with serve(Greeting, handler_options=(Close,)) as server, server.connect() as client:
            assert receive_exactly(client, 6) == b"HELLO"

    @pytest.mark.row("TIH-06")
    def test_an_error_closes_it_and_is_told_to_handle_error(self) -> None:
        class Failing(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                return Error("nope", state)

        with serve(Failing, handler_options=process.self()) as server, server.connect() as client:
            assert is_closed(client)
            assert message() == ("handle_error", False, "nope")

    @pytest.mark.row("TIH-08")
    def test_an_exception_closes_it_is_told_to_handle_error_and_reported(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Crashing(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                raise RuntimeError("boom")

        with serve(Crashing, handler_options=process.self()) as server, server.connect() as client:
            assert is_closed(client)
            name, _, reason = message()
            assert (name, str(reason)) == ("handle_error", "boom")
        assert "RuntimeError: boom" in caplog.text

    def test_it_gets_the_handler_options_and_the_pid(self) -> None:
        class Curious(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state["to"], (state, self.pid, process.self()))
                return Close(state)

        options = {"to": process.self()}
        with serve(Curious, handler_options=options) as server, server.connect() as client:
            state, attribute, own = message()
            assert state is options
            assert attribute is own
            assert is_closed(client)

    def test_each_connection_has_an_instance_of_its_own(self) -> None:
        class Counting(Handler):
            count = 0

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                self.count += 1
                socket.send(b"%d" % self.count)
                return Continue(state)

        with serve(Counting) as server, server.connect() as one, server.connect() as other:
            assert [exchange(one, b"x"), exchange(one, b"x"), exchange(other, b"x")] == [b"1", b"2", b"1"]

    @pytest.mark.row("TID-26")
    def test_a_handler_without_callbacks_ignores_what_comes(self, caplog: pytest.LogCaptureFixture) -> None:
        class Nothing(Handler):
            pass

        with events_of(Nothing) as events, serve(Nothing, read_timeout=20) as server, server.connect() as client:
            client.sendall(b"data")
            assert events.wait("connection.async_recv")[0] == {"data": b"data"}
            assert events.wait("connection.stop")[1]["error"] == "timeout"
            assert is_closed(client)
        assert not caplog.records


class TestHandleData:
    @pytest.mark.row("TIH-13", "TID-68")
    def test_continue_keeps_the_connection_open(self) -> None:
        with serve(Echo) as server, server.connect() as client:
            assert exchange(client, b"ping") == b"ping"
            assert is_silent(client)
            assert exchange(client, b"pong") == b"pong"

    @pytest.mark.row("TIH-14")
    def test_close_closes_it(self) -> None:
        class Closing(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                return Close(state)

        with serve(Closing) as server, server.connect() as client:
            client.sendall(b"ping")
            assert is_closed(client)

    def test_the_state_goes_from_callback_to_callback(self) -> None:
        class Adding(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                return Continue(state + 1)

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(b"%d" % state)
                return Continue(state + 1)

        with serve(Adding, handler_options=4) as server, server.connect() as client:
            assert exchange(client, b"x") == b"5"
            assert exchange(client, b"x") == b"6"

    def test_data_that_comes_byte_by_byte_all_arrives_in_order(self) -> None:
        sent = bytes(range(256)) * 2
        with serve(Echo) as server, server.connect() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            for index in range(len(sent)):
                client.sendall(sent[index : index + 1])
            assert receive_exactly(client, len(sent)) == sent

    @pytest.mark.row("TID-36")
    def test_data_that_comes_with_the_end_is_handled_before_it(self) -> None:
        class Last(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                process.send(state, ("data", data))
                return Continue(state)

        with serve(Last, handler_options=process.self()) as server:
            for _ in range(50):
                with server.connect() as client:
                    client.sendall(b"last words")
                assert message() == ("data", b"last words")
                assert message() == ("handle_close", False, None)

    @pytest.mark.row("TID-35")
    def test_data_that_was_there_before_continue_is_handled_at_once(self) -> None:
        class Late(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                assert socket.recv(4, DEADLINE) == b"read"
                return Continue(state)

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(data)
                return Close(state)

        with serve(Late) as server, server.connect() as client:
            client.sendall(b"read and more")
            assert receive_exactly(client, 100) == b" and more"

    @pytest.mark.row("TID-37")
    def test_reading_in_a_callback_and_waiting_for_data_can_be_mixed(self) -> None:
        class Framed(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                length = data[0]
                missing = length - len(data) + 1
                socket.send([data[1:], socket.recv(missing, DEADLINE) if missing else b""])
                return Continue(state)

        with serve(Framed) as server, server.connect() as client:
            for length in [10, 200, 17]:
                client.sendall(bytes([length]) + b"head")
                client.sendall(b"x" * (length - 4))
                assert receive_exactly(client, length) == b"head" + b"x" * (length - 4)

    def test_a_callback_that_has_read_all_is_not_called_for_nothing(self) -> None:
        class Greedy(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                assert data
                while len(data) < 8:
                    data += socket.recv(0, DEADLINE)
                socket.send(data)
                return Continue(state)

        with serve(Greedy) as server, server.connect() as client:
            for _ in range(100):
                client.sendall(b"four")
                assert exchange(client, b"more") == b"four"
                assert receive_exactly(client, 4) == b"more"

    def test_a_hundred_megabytes_go_through_unchanged(self) -> None:
        size = 100_000_000
        block = bytes(range(256)) * 4096
        with serve(Echo) as server, server.connect() as client:
            process.spawn(self._send_all, client, block, size)
            received, wrong = 0, 0
            while received < size:
                data = client.recv(1 << 20)
                assert data
                start = received % len(block)
                wrong += data != (block * 2)[start : start + len(data)]
                received += len(data)
            assert (received, wrong) == (size, 0)

    @staticmethod
    def _send_all(client: socket.socket, block: bytes, size: int) -> None:
        for start in range(0, size, len(block)):
            client.sendall(block[: size - start])


class Quitting(Telling):
    """Leaves in the way that ``handler_options`` say, with an escaping call of the socket."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        getattr(self, data.decode())(socket)
        raise AssertionError("the call before has raised")

    def peercert(self, socket: Any) -> None:
        socket.peercert()

    def negotiated_protocol(self, socket: Any) -> None:
        socket.negotiated_protocol()

    def after_close(self, socket: Any) -> None:
        socket.close()
        socket.send(b"x")

    def sendfile(self, socket: Any) -> None:
        socket.sendfile("/does/not/exist")

    def wrong_option(self, socket: Any) -> None:
        socket.setopts({"no_such_option": 1})


class TestEscapingErrors:
    @pytest.mark.parametrize(
        ("call", "reason"),
        [
            (b"peercert", "not_secure"),
            (b"negotiated_protocol", "protocol_not_negotiated"),
            (b"after_close", "closed"),
            (b"sendfile", "enoent"),
        ],
    )
    def test_an_error_of_the_socket_ends_the_connection_without_a_report(
        self, call: bytes, reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with (
            events_of(Quitting) as events,
            serve(Quitting, handler_options=process.self()) as server,
            server.connect() as client,
        ):
            client.sendall(call)
            assert is_closed(client)
            assert message() == ("handle_error", False, reason)
            assert events.wait("connection.stop")[1]["error"] == reason
        assert not caplog.records

    def test_a_mistake_of_the_handler_is_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        with serve(Quitting, handler_options=process.self()) as server, server.connect() as client:
            client.sendall(b"wrong_option")
            assert is_closed(client)
            name, _, reason = message()
            assert (name, type(reason).__name__) == ("handle_error", "UnknownOption")
        assert "no_such_option" in caplog.text

    def test_an_error_of_another_socket_is_an_exception_like_any_other(self, caplog: pytest.LogCaptureFixture) -> None:
        class Upstream(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                raise ConnectionResetError(104, "another connection")

        with serve(Upstream, handler_options=process.self()) as server, server.connect() as client:
            client.sendall(b"x")
            assert is_closed(client)
            assert isinstance(message()[2], ConnectionResetError)
        assert "another connection" in caplog.text


class TestReports:
    def test_a_crash_is_reported_once(self, caplog: pytest.LogCaptureFixture) -> None:
        class Crashing(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                raise RuntimeError("boom")

        with serve(Crashing) as server, server.connect() as client:
            client.sendall(b"x")
            assert is_closed(client)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    def test_other_connections_do_not_notice(self) -> None:
        class Crashing(Echo):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                assert data != b"crash", "as asked"
                return super().handle_data(data, socket, state)

        with serve(Crashing) as server, server.connect() as healthy:
            self._crash_many(server)
            assert exchange(healthy, b"still here") == b"still here"

    @staticmethod
    def _crash_many(server: Server) -> None:
        for _ in range(20):
            with server.connect() as client:
                client.sendall(b"crash")
                assert is_closed(client)
