"""What only a client shows that decides which bytes come together."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from typing import Any

import pytest

from supervision import process
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import (
    Echo,
    Telling,
    events_of,
    message,
    receive_exactly,
)
from tests.thousand_island.tls import connect_tls, manual_client, serve_tls
from thousand_island import Close, Continue, SendTimeout, SocketClosed
from thousand_island.transports.tls_stream import BLOCK_SIZE


class Recorder(Telling):
    """Tells of the data and of the end."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        process.send(state, ("data", data))
        return Continue(state)


def recorded(length: int) -> bytes:
    """Return so many bytes of data that the handler has been given."""
    data = b""
    while len(data) < length:
        name, more = message()
        assert name == "data"
        data += more
    return data


class TestReading:
    def test_data_that_comes_with_the_last_words_of_the_handshake_is_read(self, certificates: Certificates) -> None:
        with serve_tls(Echo, certificates) as server, manual_client(server, certificates) as client:
            client.socket.sendall(client.shake_hands() + client.encrypted(b"early"))
            assert client.receive(5) == b"early"

    def test_many_records_that_come_together_are_all_read(self, certificates: Certificates) -> None:
        with serve_tls(Echo, certificates) as server, manual_client(server, certificates) as client:
            client.socket.sendall(client.shake_hands())
            expected = b"".join(b"%06d" % number for number in range(5_000))
            records = b"".join(client.encrypted(b"%06d" % number) for number in range(5_000))
            client.socket.sendall(records)
            assert client.receive(len(expected)) == expected

    def test_records_together_are_one_call_of_handle_data(self, certificates: Certificates) -> None:
        with (
            serve_tls(Recorder, certificates, handler_options=process.self()) as server,
            manual_client(server, certificates) as client,
        ):
            client.socket.sendall(client.shake_hands())
            client.socket.sendall(client.encrypted(b"one") + client.encrypted(b"two"))
            assert message() == ("data", b"onetwo")

    def test_record_in_two_halves_is_read_when_it_is_whole(self, certificates: Certificates) -> None:
        with (
            events_of(Echo) as events,
            serve_tls(Echo, certificates) as server,
            manual_client(server, certificates) as client,
        ):
            record = client.shake_hands() + client.encrypted(b"whole") + client.encrypted(b"and halved")
            client.socket.sendall(record[:-5])
            assert client.receive(5) == b"whole"
            client.socket.sendall(record[-5:])
            assert client.receive(10) == b"and halved"
            client.socket.sendall(client.goodbye())
            assert events.wait("connection.stop")[0]["recv_oct"] == 15

    def test_byte_by_byte_works(self, certificates: Certificates) -> None:
        with serve_tls(Echo, certificates) as server, manual_client(server, certificates) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            for byte in client.shake_hands() + client.encrypted(b"slow"):
                client.socket.sendall(bytes([byte]))
            assert client.receive(4) == b"slow"

    def test_callback_that_takes_a_part_leaves_the_rest_for_the_next(self, certificates: Certificates) -> None:
        class Parts(Recorder):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("first", socket.recv(3)))
                return Continue(state)

        with (
            serve_tls(Parts, certificates, handler_options=process.self()) as server,
            manual_client(server, certificates) as client,
        ):
            client.socket.sendall(client.shake_hands() + client.encrypted(b"abcdef") + client.encrypted(b"ghi"))
            assert message() == ("first", b"abc")
            assert recorded(6) == b"defghi"

    def test_what_came_before_a_timeout_is_kept(self, certificates: Certificates) -> None:
        class Patient(Recorder):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                with contextlib.suppress(TimeoutError):
                    socket.recv(10, 1)
                process.send(state, ("timeout", None))
                process.send(state, ("data", socket.recv(10)))
                return Continue(state)

        with (
            serve_tls(Patient, certificates, handler_options=process.self()) as server,
            manual_client(server, certificates) as client,
        ):
            client.socket.sendall(client.shake_hands() + client.encrypted(b"12345"))
            assert message() == ("timeout", None)
            client.socket.sendall(client.encrypted(b"67890"))
            assert recorded(10) == b"1234567890"

    def test_buffer_limits_what_one_call_gets(self, certificates: Certificates) -> None:
        with (
            serve_tls(Recorder, certificates, {"buffer": 4}, handler_options=process.self()) as server,
            manual_client(server, certificates) as client,
        ):
            client.socket.sendall(client.shake_hands() + client.encrypted(b"abcdefghij"))
            assert [message()[1] for _ in range(3)] == [b"abcd", b"efgh", b"ij"]


class TestEnd:
    """However a client ends: everything before it is read first, and then the connection is closed by the peer."""

    @pytest.mark.parametrize("goodbye", [True, False])
    @pytest.mark.parametrize("together", [True, False])
    def test_data_and_the_end_in_one_segment_are_both_seen(
        self, certificates: Certificates, goodbye: bool, together: bool
    ) -> None:
        with (
            events_of(Recorder) as events,
            serve_tls(Recorder, certificates, handler_options=process.self()) as server,
            manual_client(server, certificates) as client,
        ):
            words = client.shake_hands()
            if not together:
                client.socket.sendall(words)
                words = b""
            end = client.encrypted(b"last words") + (client.goodbye() if goodbye else b"")
            client.socket.sendall(words + end)
            client.socket.shutdown(socket.SHUT_WR)
            assert recorded(10) == b"last words"
            assert message() == ("handle_close", False, None)
            assert "error" not in events.wait("connection.stop")[1]

    def test_goodbye_alone_closes(self, certificates: Certificates) -> None:
        with (
            serve_tls(Recorder, certificates, handler_options=process.self()) as server,
            manual_client(server, certificates) as client,
        ):
            client.socket.sendall(client.shake_hands())
            client.socket.sendall(client.goodbye())
            assert message() == ("handle_close", False, None)
            with contextlib.suppress(ConnectionResetError):
                while client.incoming.write(client.socket.recv(65_536)):
                    pass
            with pytest.raises(ssl.SSLZeroReturnError):  # the server has said goodbye as well
                client.tls.read(1)

    def test_truncated_record_is_a_close(self, certificates: Certificates) -> None:
        with (
            serve_tls(Recorder, certificates, handler_options=process.self()) as server,
            manual_client(server, certificates) as client,
        ):
            client.socket.sendall(client.shake_hands() + client.encrypted(b"whole") + client.encrypted(b"cut")[:-1])
            client.socket.shutdown(socket.SHUT_WR)
            assert recorded(5) == b"whole"
            assert message() == ("handle_close", False, None)

    def test_forged_record_is_an_error_after_the_data_before_it(self, certificates: Certificates) -> None:
        with (
            serve_tls(Recorder, certificates, handler_options=process.self(), silent_terminate_on_error=True) as server,
            manual_client(server, certificates) as client,
        ):
            words = client.shake_hands() + client.encrypted(b"genuine")
            forged = bytearray(client.encrypted(b"forged"))
            forged[-1] ^= 1
            client.socket.sendall(words + forged)
            assert recorded(7) == b"genuine"
            name, is_open, reason = message()
            assert (name, is_open) == ("handle_error", False)
            assert isinstance(reason, ssl.SSLError)
            with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
                client.receive(1)

    def test_half_closed_server_goes_on_reading(self, certificates: Certificates) -> None:
        class HalfCloser(Recorder):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.recv(1)
                socket.shutdown("write")
                try:
                    socket.send(b"more")
                except SocketClosed:
                    process.send(state, ("refused", None))
                return Continue(state)

        with (
            serve_tls(HalfCloser, certificates, handler_options=process.self()) as server,
            manual_client(server, certificates) as client,
        ):
            client.socket.sendall(client.shake_hands() + client.encrypted(b"!early") + client.encrypted(b"later"))
            assert message() == ("refused", None)
            assert recorded(10) == b"earlylater"
            client.socket.sendall(client.encrypted(b"after"))
            assert recorded(5) == b"after"
            assert client.receive(1) == b""

    @pytest.mark.parametrize("way", ["read", "read_write"])
    def test_shutdown_of_reading_ends_the_connection(self, certificates: Certificates, way: str) -> None:
        class Deaf(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.send(b"farewell")
                socket.shutdown(way)
                return Continue(state)

        with (
            serve_tls(Deaf, certificates, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert receive_exactly(client, 9) == b"farewell"
            assert message() == ("handle_close", False, None)


class TestWriting:
    def test_client_that_does_not_read_in_time_ends_the_send_and_gets_later_what_is_not_in_rest(
        self, certificates: Certificates
    ) -> None:
        data = bytes(range(256)) * 65_536

        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                try:
                    socket.send(data)
                except SendTimeout as error:
                    process.send(state, ("rest", error.rest, socket.getstat().send_oct))
                return Continue(state)

        tls = {"send_timeout": 50, "sndbuf": 4_608}
        with (
            serve_tls(Sender, certificates, tls, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            _, rest, sent = message()
            assert rest
            assert receive_exactly(client, len(data)) + rest == data
            assert len(data) - len(rest) == sent

    def test_without_linger_rest_has_the_block_that_was_under_way(self, certificates: Certificates) -> None:
        data = bytes(range(256)) * 65_536

        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                try:
                    socket.send(data)
                except SendTimeout as error:
                    process.send(state, ("rest", error.rest, socket.getstat().send_oct))
                return Continue(state)

        tls = {"send_timeout": 50, "sndbuf": 4_608, "linger": (False, 0)}
        with (
            serve_tls(Sender, certificates, tls, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            _, rest, sent = message()
            assert data.endswith(rest)
            assert len(data) - len(rest) == sent
            received = 0
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                while more := client.recv(65_536):
                    received += len(more)
            assert sent <= received < sent + BLOCK_SIZE

    @pytest.mark.parametrize(("linger", "rest"), [((True, 30), b""), ((True, 0), b"small" * 200)])
    def test_small_pieces_to_a_client_that_does_not_read_end_in_time(
        self, certificates: Certificates, linger: tuple[bool, int], rest: bytes
    ) -> None:
        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                try:
                    for _ in range(1 << 20):
                        socket.send(b"small" * 200)
                except SendTimeout as error:
                    process.send(state, ("rest", error.rest))
                return Continue(state)

        tls = {"send_timeout": 50, "sndbuf": 4_608, "linger": linger}
        with (
            serve_tls(Sender, certificates, tls, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()),
        ):
            assert message() == ("rest", rest)

    def test_connection_that_stays_open_after_that_loses_and_repeats_nothing(self, certificates: Certificates) -> None:
        data = bytes(range(251)) * 40_000

        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                rest = data
                try:
                    socket.send(data)
                except SendTimeout as error:
                    rest = error.rest
                    process.send(state, ("timeout",))
                socket.setopts({"send_timeout": 10_000})
                socket.send(rest)
                process.send(state, ("sent", socket.getstat().send_oct))
                return Close(state)

        tls = {"send_timeout": 20, "send_timeout_close": False, "sndbuf": 4_608}
        with (
            serve_tls(Sender, certificates, tls, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert message() == ("timeout",)
            assert receive_exactly(client, len(data) + 1) == data
            assert message() == ("sent", len(data))

    def test_sendfile_to_a_client_that_does_not_read_ends_in_time(
        self, certificates: Certificates, tmp_path: Any
    ) -> None:
        path = tmp_path / "large"
        path.write_bytes(bytes(16 << 20))

        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.sendfile(path)
                return Continue(state)

        tls = {"send_timeout": 20, "sndbuf": 4_608}
        with (
            serve_tls(Sender, certificates, tls, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()),
        ):
            assert message() == ("handle_timeout", False, None)

    @pytest.mark.parametrize("closes", [True, False])
    def test_what_a_sendfile_that_took_too_long_has_counted_arrives(
        self, certificates: Certificates, tmp_path: Any, closes: bool
    ) -> None:
        data = bytes(range(256)) * 65_536
        (tmp_path / "large").write_bytes(data)

        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                with pytest.raises(SendTimeout):
                    socket.sendfile(tmp_path / "large")
                process.send(state, ("sent", socket.getstat().send_oct))
                return Close(state)

        tls = {"send_timeout": 20, "sndbuf": 4_608, "send_timeout_close": closes}
        with (
            serve_tls(Sender, certificates, tls, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            sent = message()[1]
            assert receive_exactly(client, len(data)) == data[:sent]

    def test_sendfile_sends_no_more_than_there_is(self, certificates: Certificates, tmp_path: Any) -> None:
        (tmp_path / "short").write_bytes(b"short")

        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("sent", socket.sendfile(tmp_path / "short", 1, 1_000_000)))
                return Close(state)

        with (
            serve_tls(Sender, certificates, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert receive_exactly(client, 5) == b"hort"
            assert message() == ("sent", 4)

    def test_many_clients_that_do_not_read_keep_nobody_waiting(self, certificates: Certificates) -> None:
        class Flood(Echo):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                if data == b"flood":
                    socket.send(bytes(8 << 20))
                    return Continue(state)
                return super().handle_data(data, socket, state)

        with serve_tls(Flood, certificates) as server, contextlib.ExitStack() as clients:
            for _ in range(20):
                silent = clients.enter_context(connect_tls(server, certificates.trusting()))
                silent.sendall(b"flood")
            with connect_tls(server, certificates.trusting()) as client:
                client.sendall(b"HELLO")
                assert receive_exactly(client, 5) == b"HELLO"

    def test_both_directions_may_be_busy_at_once(self, certificates: Certificates) -> None:
        data = bytes(range(256)) * 8_192
        with serve_tls(Echo, certificates) as server, contextlib.ExitStack() as clients:
            for _ in range(4):
                client = clients.enter_context(connect_tls(server, certificates.trusting()))
                assert exchange_at_once(client, data) == data


def exchange_at_once(client: ssl.SSLSocket, data: bytes) -> bytes:
    """Send and receive in turns, whichever can go on; by one thread, since an SSLSocket stands no second one."""
    client.setblocking(False)
    sent, received = 0, bytearray()
    while len(received) < len(data):
        select.select([client], [client] if sent < len(data) else [], [], 5)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent += client.send(data[sent : sent + 65_536]) if sent < len(data) else 0
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            received += client.recv(65_536)
    return bytes(received)
