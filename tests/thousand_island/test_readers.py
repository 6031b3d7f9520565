"""Transports of somebody else, end to end: their sockets are ours, or have a descriptor, or have none."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervision import Killed, NoReply, process, sys
from tests.supervision.supervised import until
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Server,
    Telling,
    down,
    events_of,
    exchange,
    message,
    reason_of,
    receive_exactly,
    serve,
)
from tests.thousand_island.transports import Flaky, InMemory, Pipe, Plain, Wrapping
from thousand_island import Close, Continue, SocketClosed, SocketTimeout, readers, stop


class Client:
    """A client's end, of a real connection or of one in memory."""

    def __init__(self, end: socket.socket | Pipe) -> None:
        self.end = end

    def send(self, data: bytes) -> None:
        """Send to the server."""
        self.end.send(data)

    def receive(self, length: int) -> bytes:
        """Return so many bytes, or less at the end."""
        data = b""
        while len(data) < length and (piece := self._some(length - len(data))):
            data += piece
        return data

    def _some(self, length: int) -> bytes:
        if isinstance(self.end, socket.socket):
            return self.end.recv(length)
        try:
            return self.end.recv(1, SECONDS)
        except SocketClosed:
            return b""

    def close(self) -> None:
        """End the connection."""
        self.end.close()


class Words(Telling):
    """Echoes; ``"take N"`` reads N bytes more at once, ``"idle"`` waits for 30 ms only, ``"close"`` closes."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        if data == b"close":
            return Close(state)
        if data == b"idle":
            return Continue(state, 30)
        if data == b"block":
            process.send(state, ("blocks", self.pid))
            socket.recv(100, DEADLINE)
        if data.startswith(b"take"):
            socket.send(b"ok")
            data = socket.recv(int(data.split()[1]), DEADLINE)
        socket.send(data)
        return Continue(state)

    def handle_info(self, message: Any, state: Any) -> Any:
        handle, to = state
        if message == "close":
            return Close(to)
        if message == "recv":
            process.send(to, ("reads",))
            process.send(to, ("received", handle.recv(3, DEADLINE)))
        else:
            handle.send(message)
        return NoReply(state)


@pytest.fixture(params=[Flaky, Plain, Wrapping, InMemory])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def server(transport: Any) -> Iterator[Server]:
    with serve(Words, transport_module=transport, handler_options=process.self()) as server:
        yield server


@pytest.fixture
def connect(transport: Any, server: Server) -> Iterator[Callable[[], Client]]:
    clients: list[Client] = []

    def connect() -> Client:
        clients.append(Client(transport.connect() if isinstance(transport, InMemory) else server.connect()))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def echo(client: Client, data: bytes) -> bytes:
    client.send(data)
    return client.receive(len(data))


Connect = Callable[[], Client]


class TestTraffic:
    def test_data_comes_and_goes(self, connect: Connect) -> None:
        client = connect()
        for data in [b"one", b"two", b"x" * 1_000]:
            assert echo(client, data) == data

    def test_several_connections_at_once(self, connect: Connect) -> None:
        clients = [connect() for _ in range(5)]
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
        assert [client.receive(1) for client in reversed(clients)] == [b"4", b"3", b"2", b"1", b"0"]

    @pytest.mark.row("TID-37")
    def test_a_callback_may_read_more(self, connect: Connect) -> None:
        client = connect()
        client.send(b"take 5")
        assert client.receive(2) == b"ok"
        assert echo(client, b"12345") == b"12345"
        assert echo(client, b"after") == b"after"

    @pytest.mark.row("TID-37")
    def test_a_message_may_make_it_read_while_it_waits_for_data(self, connect: Connect, server: Server) -> None:
        client = connect()
        assert echo(client, b"hello") == b"hello"
        process.send(server.only_connection(), "recv")
        assert message() == ("reads",)
        client.send(b"abcdef")
        assert message() == ("received", b"abc")
        assert client.receive(3) == b"def"
        assert echo(client, b"after") == b"after"

    def test_messages_get_through_while_it_waits_for_data(self, connect: Connect, server: Server) -> None:
        client = connect()
        assert echo(client, b"hello") == b"hello"
        process.send(server.only_connection(), b"pushed")
        assert client.receive(6) == b"pushed"


def test_what_a_read_has_left_is_read_though_there_was_nothing_before() -> None:
    with serve(Words, transport_module=Plain(), handler_options=process.self()) as server, server.connect() as client:
        for _ in range(2):  # the first is not waited for
            assert exchange(client, b"hello") == b"hello"
        pid = server.only_connection()
        raw = pid._process.body.socket.socket  # type: ignore[union-attr]
        until(lambda: pid._process.body.reader.dry)  # type: ignore[union-attr]
        sys.suspend(pid)
        client.sendall(b"x" * 70_000)
        until(lambda: len(raw.recv(100_000, socket.MSG_PEEK)) == 70_000)
        sys.resume(pid)
        assert receive_exactly(client, 70_000) == b"x" * 70_000


def test_what_came_before_a_timeout_is_kept_without_a_descriptor_too() -> None:
    class Impatient(Words):
        def handle_info(self, message: Any, state: Any) -> Any:
            handle, to = state
            try:
                handle.recv(3, 50)
            except SocketTimeout:
                process.send(to, ("timed out",))
            return NoReply(state)

    transport = InMemory()
    with serve(Impatient, transport_module=transport, handler_options=process.self()) as server:
        client = Client(transport.connect())
        assert echo(client, b"hello") == b"hello"
        pid = server.only_connection()
        sys.suspend(pid)
        process.send(pid, "recv")
        client.send(b"ab")
        until(lambda: len(pid._process.mailbox) == 2)
        sys.resume(pid)
        assert message() == ("timed out",)
        assert client.receive(2) == b"ab"
        client.close()


class TestEnds:
    def test_the_clients_end_is_noticed(self, connect: Connect, server: Server) -> None:
        client = connect()
        assert echo(client, b"hello") == b"hello"
        pid = server.only_connection()
        client.close()
        assert message()[0] == "handle_close"
        assert down(pid) in (("shutdown", "peer_closed"), "noproc")

    def test_close_closes_it(self, connect: Connect) -> None:
        client = connect()
        client.send(b"close")
        assert client.receive(1) == b""
        assert message()[0] == "handle_close"

    def test_idle_time_runs_out(self, connect: Connect) -> None:
        client = connect()
        client.send(b"idle")
        assert client.receive(1) == b""
        assert message()[0] == "handle_timeout"

    def test_the_client_of_a_killed_connection_sees_the_end(self, connect: Connect, server: Server) -> None:
        client = connect()
        assert echo(client, b"hello") == b"hello"
        process.exit(server.only_connection(), "kill")
        assert client.receive(1) == b""

    def test_also_of_one_that_is_killed_while_it_reads(self, connect: Connect) -> None:
        client = connect()
        client.send(b"block")
        process.exit(message()[1], "kill")
        assert client.receive(1) == b""

    def test_a_server_that_stops_says_goodbye(self, connect: Connect, server: Server) -> None:
        client = connect()
        assert echo(client, b"hello") == b"hello"
        started = time.monotonic()
        stop(server.pid, 1_000)
        assert time.monotonic() - started < 3
        assert message()[0] == "handle_shutdown"
        assert client.receive(1) == b""

    def test_exactly_one_stop_event_whoever_ends_it(self, transport: Any) -> None:
        with (
            events_of(Words) as events,
            serve(Words, transport_module=transport, handler_options=process.self()) as server,
        ):
            for last in [b"close", b"idle", None]:
                client = Client(transport.connect() if isinstance(transport, InMemory) else server.connect())
                assert echo(client, b"hello") == b"hello"
                client.close() if last is None else client.send(last)
                events.wait("connection.stop")
                client.close()
            assert events.names("connection.st") == ["connection.start", "connection.stop"] * 3


class Busy(InMemory):
    """Its ``recv`` computes until there is something, or for ever once ``deaf``; a kill may strike it meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf = False
        self.left: list[BaseException | None] = []

    def recv(self, pipe: Any, length: int, timeout: float) -> bytes:
        try:
            self._compute(pipe)
        except BaseException as error:
            self.left.append(error)
            raise
        self.left.append(None)
        return super().recv(pipe, length, timeout)

    def _compute(self, pipe: Pipe) -> None:  # by itself: not every Python catches what hits the jump of a loop
        while self.deaf or pipe.incoming.empty():
            pass


class TestTheReadThatIsUnderWay:
    def test_it_returns_by_itself_at_the_end(self) -> None:
        """Struck, it could leave a lock taken, at which the close of the socket would wait for ever."""
        transport = Busy()
        with serve(Words, transport_module=transport, handler_options=process.self()) as server:
            client = Client(transport.connect())
            assert echo(client, b"hello") == b"hello"
            process.send(*server.connections(), "close")
            assert client.receive(1) == b""
            until(lambda: len(transport.left) == 2)
            assert transport.left == [None, None]

    def test_one_that_does_not_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(readers, "RETURNS_WITHIN", 1)
        transport = Busy()
        with serve(Words, transport_module=transport, handler_options=process.self()) as server:
            client = Client(transport.connect())
            assert echo(client, b"hello") == b"hello"
            transport.deaf = True
            process.send(*server.connections(), "close")
            assert client.receive(1) == b""
            until(lambda: len(transport.left) == 2)
            assert [type(error) for error in transport.left] == [type(None), Killed]


class Careless(Plain):
    """Returns ``b""`` at the end, as sockets do, instead of raising SocketClosed."""

    def recv(self, sock: Any, length: int, timeout: float) -> bytes:
        try:
            return super().recv(sock, length, timeout)
        except SocketClosed:
            return b""


class Foreign(Plain):
    """Raises an error of another kind where there is nothing to read."""

    def __init__(self, nothing: type[Exception]) -> None:
        self.nothing = nothing

    def recv(self, sock: Any, length: int, timeout: float) -> bytes:
        try:
            return super().recv(sock, length, timeout)
        except SocketTimeout:
            raise self.nothing from None


class Broken(Plain):
    """Has mistakes in it."""

    def __init__(self, *operations: str) -> None:
        for operation in operations:
            setattr(self, operation, self._fail)

    def _fail(self, *args: Any) -> Any:
        raise RuntimeError("a mistake of the transport")


class TestMistakes:
    def test_an_empty_read_is_the_end(self) -> None:
        with serve(Words, transport_module=Careless(), handler_options=process.self()) as server:
            server.connect().close()
            assert message()[0] == "handle_close"

    @pytest.mark.parametrize("nothing", [BlockingIOError, TimeoutError, SocketTimeout])
    def test_nothing_to_read_may_be_told_as_sockets_do(self, nothing: type[Exception]) -> None:
        options = {"transport_module": Foreign(nothing), "handler_options": process.self()}
        with serve(Words, **options) as server, server.connect() as client:
            assert echo(Client(client), b"hello") == b"hello"
            client.sendall(b"idle")
            assert message()[0] == "handle_timeout"

    @pytest.mark.parametrize("operation", ["getstat", "controlling_process", "handshake", "recv", "peername"])
    def test_a_transport_that_fails_costs_the_connection_only(self, operation: str) -> None:
        broken = Broken(operation)
        with (
            events_of(Words) as events,
            serve(Words, transport_module=broken, handler_options=process.self()) as server,
        ):
            for _ in range(5):
                with server.connect() as client:
                    client.sendall(b"close")
                    try:
                        assert client.recv(1) == b""
                    except ConnectionError:
                        pass
            server.wait_until_empty()
            assert server.connections() == []
            assert len(events.names("connection.start")) == len(events.names("connection.stop"))

    def test_one_that_has_closed_at_the_end_already_is_no_trouble(self) -> None:
        class Hasty(Plain):
            def recv(self, sock: Any, length: int, timeout: float) -> bytes:
                try:
                    return super().recv(sock, length, timeout)
                except SocketClosed:
                    sock.close()
                    raise

        with serve(Words, transport_module=Hasty(), handler_options=process.self()) as server:
            with server.connect() as client:
                assert exchange(client, b"hello") == b"hello"
                ref = process.monitor(server.only_connection())
            assert reason_of(ref) == ("shutdown", "peer_closed")
            assert message()[0] == "handle_close"

    def test_one_that_fails_to_close_does_not_keep_the_process(self) -> None:
        class Slamming(Plain):
            def close(self, sock: Any) -> None:
                super().close(sock)
                raise RuntimeError("a mistake of the transport")

        options = {"transport_module": Slamming(), "handler_options": process.self()}
        with serve(Words, **options) as server, server.connect() as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
            pid = server.only_connection()
            client.sendall(b"close")
            down(pid)
