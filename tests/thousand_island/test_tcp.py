"""The functions of the TCP transport, called as another transport that delegates to them would."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervision import process
from tests.thousand_island.serving import DEADLINE, receive_exactly
from thousand_island import (
    BadOption,
    NotSecure,
    ProtocolNotNegotiated,
    SocketClosed,
    SocketStats,
    SocketTimeout,
    Transport,
    UnknownOption,
    UnsupportedUpgrade,
)
from thousand_island.transports import TCP

MEBIBYTE = 1 << 20


@pytest.fixture
def listener() -> Iterator[Any]:
    listener = TCP.listen(0, {"ip": "loopback"})
    yield listener
    TCP.close(listener)


@pytest.fixture
def ends(listener: Any) -> Iterator[tuple[Any, socket.socket]]:
    """The server's and the client's end of a connection; the test owns the first."""
    with socket.create_connection(TCP.sockname(listener), timeout=DEADLINE / 1000) as client:
        stream = TCP.accept(listener)
        yield stream, client
        TCP.close(stream)


class TestListen:
    def test_it_has_every_function_of_a_transport(self) -> None:
        names = [name for name in vars(Transport) if not name.startswith("_")]
        assert [name for name in names if not callable(getattr(TCP, name, None))] == []

    def test_a_free_port_is_chosen(self, listener: Any) -> None:
        host, port = TCP.sockname(listener)
        assert host == "127.0.0.1"
        assert port > 0

    def test_a_port_in_use_is_refused_by_name(self, listener: Any) -> None:
        _, port = TCP.sockname(listener)
        with pytest.raises(OSError, match=str(port)) as caught:
            TCP.listen(port, {"ip": "loopback"})
        assert caught.value.errno == errno.EADDRINUSE

    @pytest.mark.parametrize(
        ("options", "error"),
        [({"bakclog": 5}, UnknownOption), ({"backlog": 0}, BadOption), ({"mode": "list"}, BadOption)],
        ids=repr,
    )
    def test_wrong_options_are_refused(self, options: Any, error: Any) -> None:
        with pytest.raises(error):
            TCP.listen(0, options)
        with pytest.raises(error):
            TCP.check_options(0, options)


class TestAccept:
    def test_nobody_there_is_no_reason_to_wait(self, listener: Any) -> None:
        with pytest.raises(BlockingIOError):
            TCP.accept(listener)

    def test_the_connection_belongs_to_the_caller_and_can_be_given_away(self, ends: Any) -> None:
        stream, client = ends
        client.sendall(b"12345")
        assert TCP.recv(stream, 5, DEADLINE) == b"12345"

        def take() -> None:
            process.receive(str)
            TCP.send(stream, TCP.recv(stream, 3, DEADLINE))

        pid = process.spawn(take)
        TCP.controlling_process(stream, pid)
        process.send(pid, "go")
        client.sendall(b"678")
        assert receive_exactly(client, 3) == b"678"

    def test_a_handshake_gives_the_same(self, ends: Any) -> None:
        stream, _ = ends
        assert TCP.handshake(stream) is stream
        assert TCP.handshake(stream, 1_000) is stream


class TestRecv:
    def test_it_gives_exactly_what_was_asked_for(self, ends: Any) -> None:
        stream, client = ends
        client.sendall(b"123456")
        assert TCP.recv(stream, 4, DEADLINE) == b"1234"
        assert TCP.recv(stream, 0, DEADLINE) == b"56"

    @pytest.mark.parametrize(("length", "timeout"), [(0, 0), (0, 20), (5, 0), (5, 20)])
    def test_it_keeps_what_came_in_vain(self, ends: Any, length: int, timeout: int) -> None:
        stream, client = ends
        if length:
            client.sendall(b"123")
            assert TCP.recv(stream, 1, DEADLINE) == b"1"
        with pytest.raises(SocketTimeout):
            TCP.recv(stream, length, timeout)
        client.sendall(b"45678")
        expected = b"2345678" if length else b"45678"
        assert TCP.recv(stream, len(expected), DEADLINE) == expected

    def test_the_end_is_told_after_the_data(self, ends: Any) -> None:
        stream, client = ends
        client.sendall(b"last")
        client.close()
        assert TCP.recv(stream, 0, DEADLINE) == b"last"
        for length in (0, 1):
            with pytest.raises(SocketClosed):
                TCP.recv(stream, length, DEADLINE)

    def test_waiting_takes_no_more_than_the_timeout(self, ends: Any) -> None:
        stream, _ = ends
        with pytest.raises(SocketTimeout):
            TCP.recv(stream, 0, 10)

    def test_a_megabyte_comes_in_one_piece_if_asked_for(self, ends: Any) -> None:
        stream, client = ends
        data = bytes(range(256)) * (MEBIBYTE // 256)
        process.spawn(client.sendall, data)
        assert TCP.recv(stream, len(data), DEADLINE) == data
        assert TCP.getstat(stream).recv_oct == len(data)


class TestSend:
    def test_more_than_the_system_takes_at_once_all_goes(self, ends: Any) -> None:
        stream, client = ends
        received: list[bytes] = []
        me = process.self()

        def read() -> None:
            received.append(receive_exactly(client, 20 * MEBIBYTE))
            process.send(me, "read")

        process.spawn(read)
        TCP.send(stream, bytes(20 * MEBIBYTE))
        assert process.receive(str, timeout=DEADLINE) == "read"
        assert received == [bytes(20 * MEBIBYTE)]
        assert TCP.getstat(stream) == SocketStats(send_oct=20 * MEBIBYTE, send_cnt=1)

    def test_a_file_goes_without_being_read(self, ends: Any, tmp_path: Path) -> None:
        stream, client = ends
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        assert TCP.sendfile(stream, path, 2, 5) == 5
        assert receive_exactly(client, 5) == b"23456"


class TestClose:
    def test_twice_is_once(self, ends: Any) -> None:
        stream, client = ends
        TCP.close(stream)
        TCP.close(stream)
        assert client.recv(1) == b""

    @pytest.mark.parametrize(
        "use",
        [
            lambda stream: TCP.recv(stream, 0, DEADLINE),
            lambda stream: TCP.recv(stream, 1, DEADLINE),
            lambda stream: TCP.send(stream, b"late"),
            lambda stream: TCP.send(stream, b""),
            lambda stream: TCP.send(stream, [b"late"]),
            lambda stream: TCP.send(stream, []),
            lambda stream: TCP.sendfile(stream, __file__, 0, 0),
            lambda stream: TCP.shutdown(stream, "write"),
            lambda stream: TCP.getopts(stream, ["nodelay"]),
            lambda stream: TCP.setopts(stream, {"nodelay": True}),
            TCP.sockname,
        ],
    )
    def test_what_uses_it_then_is_refused(self, ends: Any, use: Any) -> None:
        stream, _ = ends
        TCP.close(stream)
        with pytest.raises(OSError, match=r"the connection is closed|Bad file descriptor") as caught:
            use(stream)
        assert isinstance(caught.value, SocketClosed) or caught.value.errno == errno.EBADF
        assert TCP.getstat(stream) == SocketStats()

    def test_what_the_client_has_not_read_yet_still_arrives(self, ends: Any) -> None:
        stream, client = ends
        TCP.send(stream, bytes(100_000))
        TCP.close(stream)
        assert len(receive_exactly(client, 200_000)) == 100_000

    def test_without_linger_it_is_reset(self, ends: Any) -> None:
        stream, client = ends
        TCP.setopts(stream, {"linger": (True, 0)})
        TCP.close(stream)
        with pytest.raises(ConnectionResetError):
            client.recv(1)

    def test_unsent_bytes_are_given_up_after_the_seconds_of_linger(self, ends: Any) -> None:
        stream, _ = ends
        TCP.setopts(stream, {"linger": (True, 1), "send_timeout": 10, "send_timeout_close": False})
        with pytest.raises(SocketTimeout):
            TCP.send(stream, bytes(50 * MEBIBYTE))
        with stream.sock.dup() as duplicate:
            TCP.close(stream)
            assert duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1_000


class TestInformation:
    def test_both_ends_have_names_even_after_the_end(self, ends: Any) -> None:
        stream, client = ends
        address = client.getsockname()
        assert TCP.peername(stream) == address
        assert TCP.sockname(stream) == client.getpeername()
        client.close()
        assert TCP.peername(stream) == address

    def test_it_is_not_secure(self, ends: Any) -> None:
        stream, _ = ends
        assert TCP.secure() is False
        for function, error in [
            (TCP.peercert, NotSecure),
            (TCP.connection_information, NotSecure),
            (TCP.negotiated_protocol, ProtocolNotNegotiated),
        ]:
            with pytest.raises(error):
                function(stream)
        with pytest.raises(UnsupportedUpgrade):
            TCP.upgrade(stream, {})
