"""Connections that come by way of a proxy, on TCP and on TLS."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import ssl
import threading
from typing import Any

import pytest

from supervision import INFINITY, Pid, cast, process
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.proxy_headers import CLIENT, ENTRANCE, LOCAL, UNKNOWN_LINE, addresses, binary, line, tlv
from tests.thousand_island.serving import (
    SECONDS,
    Echo,
    Telling,
    events_of,
    exchange,
    is_closed,
    message,
    monitoring_connections,
    reason_of,
    serve,
)
from tests.thousand_island.test_escape_hatch import Loop
from tests.thousand_island.tls import ManualClient, counting
from tests.thousand_island.transports import Flaky
from thousand_island import (
    BadProxyHeader,
    Close,
    Continue,
    NotSecure,
    Ready,
    SocketClosed,
    SocketTimeout,
    SwitchTransport,
    stop,
)
from thousand_island.transports import SSL, ProxyHeader
from thousand_island.transports.proxy_arrival import ProxyArrival

# Milliseconds for a header that is meant to come too late.
SOON = 50

TRUSTED = ["127.0.0.0/8"]


class Subject(Telling):
    """Tells who is connected, and echoes."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        process.send(state, ("handle_connection", socket.peername(), socket.sockname(), _proxy(socket)))
        return Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(data)
        return Close(state) if data == b"quit" else Continue(state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        if isinstance(message, dict):
            return SwitchTransport(SSL, message, state[1])
        process.send(state[1], ("handle_cast", state[0].peername(), _proxy(state[0])))
        return Continue(state[1])


class OwnLoop:
    """A handler without a class, which tells of an error of its handshake."""

    @staticmethod
    def start_link(arg: Any) -> Pid:
        return process.spawn_link(OwnLoop.run, arg[0])

    @staticmethod
    def run(to: Any) -> None:
        ready = process.receive(Ready)
        ready.socket.begin_span(ready.acceptor_span, ready.start_time)
        try:
            ready.socket.handshake()
        except (BadProxyHeader, SocketTimeout) as error:
            process.send(to, ("failed", error))


def _proxy(socket: Any) -> Any:
    try:
        return socket.connection_information().proxy
    except NotSecure:
        return None


class Way:
    """TCP, or TLS if there are certificates: how to serve and how to speak, once the header has been sent."""

    def __init__(self, certificates: Certificates | None) -> None:
        self.certificates: Any = certificates
        self.secure = certificates is not None

    def tls(self) -> dict[str, Any]:
        return {"certfile": self.certificates.server.certfile, "keyfile": self.certificates.server.keyfile}

    def serve(self, handler: Any = Subject, **options: Any) -> Any:
        transport = {"proxy_protocol": TRUSTED} | options.pop("transport_options", {})
        if self.secure:
            options["transport_module"] = SSL
            transport = self.tls() | transport
        options = {"handler_options": process.self()} | options
        return serve(handler, transport_options={"ip": "loopback"} | transport, **options)

    def speak(self, client: socket.socket) -> socket.socket:
        """Return the client's end on which the handler's bytes are sent and received."""
        if self.secure:
            return self.certificates.trusting().wrap_socket(client, server_hostname="localhost")
        return client


@pytest.fixture(params=["TCP", "SSL"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.getfixturevalue("certificates") if request.param == "SSL" else None)


@pytest.fixture
def clear() -> Way:
    return Way(None)


@pytest.fixture
def secure(certificates: Certificates) -> Way:
    return Way(certificates)


class TestArrival:
    @pytest.mark.row("RA-36")
    @pytest.mark.parametrize(
        ("header", "told"),
        [
            (line(), ProxyHeader(1, CLIENT, ENTRANCE)),
            (binary(), ProxyHeader(2, CLIENT, ENTRANCE)),
            (
                binary(tlvs=tlv(1, b"h2") + tlv(5, b"id")),
                ProxyHeader(2, CLIENT, ENTRANCE, alpn="h2", unique_id=b"id", tlvs=((1, b"h2"), (5, b"id"))),
            ),
        ],
    )
    def test_handler_knows_the_client_and_what_the_proxy_tells(
        self, way: Way, header: bytes, told: ProxyHeader
    ) -> None:
        with way.serve() as server, server.connect() as client:
            client.sendall(header)
            with way.speak(client) as spoken:
                assert message() == ("handle_connection", CLIENT, server.address, told)
                assert exchange(spoken, b"HELLO") == b"HELLO"

    @pytest.mark.row("RA-36")
    @pytest.mark.parametrize("header", [LOCAL, UNKNOWN_LINE, binary(b"", family=0)])
    def test_a_proxy_that_names_nobody_is_the_client_itself(self, way: Way, header: bytes) -> None:
        with way.serve() as server, server.connect() as client:
            itself = client.getsockname()
            client.sendall(header)
            with way.speak(client) as spoken:
                assert message()[1] == itself
                assert exchange(spoken, b"HELLO") == b"HELLO"

    def test_client_of_a_unix_socket_behind_the_proxy_has_a_path(self, way: Way) -> None:
        source, destination = ("local", "/run/client"), ("local", "/run/entrance")
        with way.serve() as server, server.connect() as client:
            client.sendall(binary(addresses(source, destination), family=0x31))
            with way.speak(client):
                assert message()[1] == source

    @pytest.mark.row("RA-36")
    @pytest.mark.parametrize("header", [line(), binary(tlvs=tlv(1, b"h2")), binary(tlvs=tlv(0xE0, bytes(9_000)))])
    def test_data_in_the_same_segment_reaches_the_handler(self, clear: Way, header: bytes) -> None:
        with clear.serve() as server, server.connect() as client:
            client.sendall(header + b"quit")
            assert message()[1] == CLIENT
            assert client.makefile("rb").read() == b"quit"

    def test_header_and_hello_may_come_in_one_segment(self, secure: Way) -> None:
        with secure.serve() as server, server.connect() as socket:
            client = ManualClient(socket, secure.certificates.trusting())
            with contextlib.suppress(ssl.SSLWantReadError):
                client.tls.do_handshake()
            socket.sendall(line() + client.outgoing.read())
            client.fill()
            socket.sendall(client.shake_hands() + client.encrypted(b"HELLO"))
            assert message()[1] == CLIENT
            assert client.receive(5) == b"HELLO"

    @pytest.mark.parametrize("header", [line(), binary(tlvs=tlv(1, b"h2"))])
    def test_every_byte_may_come_by_itself(self, way: Way, header: bytes) -> None:
        with counting("connection.ready") as begun, way.serve() as server, server.connect() as client:
            begun(1)
            for byte in header:
                client.sendall(bytes([byte]))
            with way.speak(client) as spoken:
                assert message()[1] == CLIENT
                assert exchange(spoken, b"HELLO") == b"HELLO"

    def test_header_is_not_counted_as_data(self, clear: Way) -> None:
        with events_of(Subject) as events, clear.serve() as server, server.connect() as client:
            client.sendall(line() + b"quit")
            measurements, _ = events.wait("connection.stop")
            assert (measurements["recv_oct"], measurements["send_oct"]) == (4, 4)

    def test_messages_wait_for_it(self, way: Way) -> None:
        with counting("connection.ready") as begun, way.serve() as server, server.connect() as client:
            begun(1)
            cast(server.only_connection(), "hello")
            client.sendall(line())
            with way.speak(client):
                assert [message()[0] for _ in range(2)] == ["handle_connection", "handle_cast"]

    def test_it_survives_an_upgrade(self, clear: Way, secure: Way) -> None:
        with clear.serve() as server, server.connect() as client:
            client.sendall(line())
            assert message()[1] == CLIENT
            cast(server.only_connection(), secure.tls())
            with secure.speak(client) as spoken:
                assert exchange(spoken, b"HELLO") == b"HELLO"
                cast(server.only_connection(), "hello")
                assert message() == ("handle_cast", CLIENT, ProxyHeader(1, CLIENT, ENTRANCE))

    def test_process_is_labelled_by_the_client(self, way: Way) -> None:
        with way.serve() as server, server.connect() as client:
            client.sendall(line())
            with way.speak(client):
                message()
                label = ("thousand_island", "connection", (Subject, CLIENT))
                assert process.get_label(server.only_connection()) == label

    def test_telemetry_tells_of_proxy_and_client(self, way: Way) -> None:
        with events_of(Subject) as events, way.serve() as server, server.connect() as client:
            itself = client.getsockname()
            client.sendall(line())
            with way.speak(client):
                measurements, metadata = events.wait("connection.proxied")
            assert (measurements["client_address"], measurements["client_port"]) == CLIENT
            start, stop = events.wait("connection.start")[1], events.wait("connection.stop")[1]
            assert (start["remote_address"], start["remote_port"]) == itself
            assert (stop["remote_address"], stop["remote_port"]) == itself
            assert metadata["telemetry_span_context"] is start["telemetry_span_context"]
            assert events.names("connection.pro") == ["connection.proxied"]

    def test_telemetry_has_nothing_to_tell_of_a_proxy_that_names_nobody(self, way: Way) -> None:
        with events_of(Subject) as events, way.serve() as server, server.connect() as client:
            client.sendall(LOCAL)
            with way.speak(client):
                message()
            events.wait("connection.stop")
            assert events.names("connection.pro") == []


class TestTrust:
    def test_header_of_anybody_else_is_data(self, clear: Way) -> None:
        with clear.serve(transport_options={"proxy_protocol": ["192.0.2.0/24"]}) as server:
            client = server.connect()
            assert exchange(client, line()) == line()
            assert message() == ("handle_connection", client.getsockname(), server.address, None)

    def test_anybody_else_needs_no_header(self, way: Way) -> None:
        options = {"proxy_protocol": ["192.0.2.0/24"]}
        with way.serve(transport_options=options) as server, way.speak(server.connect()) as client:
            assert exchange(client, b"HELLO") == b"HELLO"

    def test_without_the_option_a_header_is_data(self, clear: Way) -> None:
        with clear.serve(transport_options={"proxy_protocol": None}) as server:
            assert exchange(server.connect(), line()) == line()

    def test_peers_of_a_unix_socket_can_be_trusted(self, clear: Way, tmp_path: pathlib.Path) -> None:
        path = str(tmp_path / "s")
        options = {"ip": ("local", path), "proxy_protocol": ["local"]}
        with clear.serve(transport_options=options), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(path)
            for byte in line():
                client.sendall(bytes([byte]))
            assert exchange(client, b"HELLO") == b"HELLO"
            assert message() == ("handle_connection", CLIENT, ("local", path), ProxyHeader(1, CLIENT, ENTRANCE))

    def test_inherited_sockets_know_their_proxies_too(self, way: Way) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            way.serve(transport_options={"ip": ("fd", listener.fileno())}) as server,
            server.connect() as client,
        ):
            client.sendall(line())
            with way.speak(client):
                assert message()[1] == CLIENT

    def test_a_dual_stack_server_knows_proxies_by_their_ipv4_address(self, clear: Way) -> None:
        with clear.serve(transport_options={"ip": "::"}) as server:
            server.address = ("127.0.0.1", server.address[1])
            server.connect().sendall(line())
            assert message()[1] == CLIENT

    def test_limit_per_address_counts_the_proxy(self, clear: Way) -> None:
        with events_of(Subject) as events, clear.serve(max_connections_per_ip=1, at_limit="close") as server:
            server.connect().sendall(line())
            assert message()[1] == CLIENT
            other = server.connect()
            assert is_closed(other)
            assert events.wait("acceptor.spawn_error")[0]["error"] == "max_connections_per_ip"


class TestFailure:
    """``handle_error`` is called once, the socket is closed, and telemetry tells why."""

    def fails(self, way: Way, act: Any, *, told: bool = True, **options: Any) -> Any:
        with (
            events_of(Subject) as events,
            monitoring_connections() as monitor_next,
            way.serve(**options) as server,
            server.connect() as client,
        ):
            ref = monitor_next()
            act(client)
            name, is_open, reason = message()
            assert (name, is_open) == ("handle_error", False)
            assert reason_of(ref) == ("shutdown", ("handshake", reason))
            assert events.wait("connection.stop")[1]["error"] == reason
            assert [one["error"] for one, _ in events.all("connection.proxy_error")] == [reason] * told
            assert events.names("connection.proxied") == []
            return reason

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"GET / HTTP/1.1\r\n\r\n", "signature of neither version"),
            (b"\x16\x03\x01", "signature of neither version"),
            (b"PROXY TCP4 1.2.3.4\r\n", "its line must name"),
            (b"PROXY " + b"x" * 107, "does not end within 107 bytes"),
            (binary(tlvs=tlv(3, b"fals")), "its checksum is 66616c73"),
            (binary(bytes(60_000))[:16], "more than 16384"),
            (binary(command=0x22), "its version and command are 0x22"),
        ],
    )
    def test_what_is_no_header_ends_the_connection_at_once(self, way: Way, data: bytes, expected: str) -> None:
        def act(client: socket.socket) -> None:
            client.sendall(data)
            assert is_closed(client)

        reason = self.fails(way, act, handshake_timeout=INFINITY)
        assert isinstance(reason, BadProxyHeader)
        assert expected in str(reason)

    @pytest.mark.parametrize("begun", [b"", b"PROXY TCP4", binary()[:20]])
    def test_one_that_does_not_come_in_time_is_late(self, way: Way, begun: bytes) -> None:
        def act(client: socket.socket) -> None:
            client.sendall(begun)
            assert is_closed(client)

        assert self.fails(way, act, handshake_timeout=SOON) == "timeout"

    def test_its_time_is_that_of_the_handshake_after_it_too(self, secure: Way) -> None:
        with events_of(Subject) as events, secure.serve(handshake_timeout=SOON) as server:
            client = server.connect()
            client.sendall(line())
            assert is_closed(client)
            assert message()[2] == "timeout"
            assert events.names("connection.pro") == ["connection.proxied"]

    def test_a_connection_that_ends_within_it_is_an_error(self, way: Way) -> None:
        def act(client: socket.socket) -> None:
            client.sendall(line()[:20])
            client.shutdown(socket.SHUT_WR)

        assert "it ends after 20 bytes" in str(self.fails(way, act))

    def test_a_health_check_that_only_connects_is_none(self, way: Way) -> None:
        assert self.fails(way, socket.socket.close, told=False) == "closed"

    def test_stop_does_not_wait_for_it(self, way: Way) -> None:
        with counting("connection.ready") as begun, way.serve() as server, server.connect() as client:
            begun(1)
            stop(server.pid, INFINITY)
            assert is_closed(client)

    def test_a_hundred_that_never_send_one_hold_no_thread(self, way: Way) -> None:
        with counting("connection.ready") as begun, way.serve(Echo, handshake_timeout=60_000) as server:
            threads = threading.active_count()
            for number in range(100):
                server.connect().sendall(line()[: number % 40])
            begun(100)
            client = server.connect()
            client.sendall(line())
            with way.speak(client) as spoken:
                assert exchange(spoken, b"HELLO") == b"HELLO"
            assert threading.active_count() < threads + 20


class Peeked:
    """A connection whose socket shows a header and has nothing when it is to be taken."""

    closed = False

    def __init__(self) -> None:
        self.sock = self

    def recv(self, size: int, flags: int = 0) -> bytes:
        return line() if flags == socket.MSG_PEEK else b""


class TestClosed:
    def test_a_connection_that_is_closed_meanwhile_has_none(self) -> None:
        stream: Any = Peeked()
        with pytest.raises(SocketClosed):
            ProxyArrival().take(stream)

    def test_a_closed_connection_is_not_read(self) -> None:
        stream: Any = Peeked()
        stream.closed, stream.sock = True, None
        with pytest.raises(SocketClosed):
            ProxyArrival().take(stream)


class TestOtherLoops:
    """Handlers with a ``start_link`` of their own, and transports of somebody else, wait in the handshake."""

    def test_handshake_of_an_own_loop_waits_for_it(self, way: Way) -> None:
        with way.serve(Loop, handler_options=(process.self(),)) as server, server.connect() as client:
            _, _, ready, _ = message()
            assert ready.socket.peername() == client.getsockname()
            client.sendall(line()[:10])
            client.sendall(line()[10:])
            with way.speak(client) as spoken:
                assert exchange(spoken, b"HELLO") == b"HELLO"
                assert ready.socket.peername() == CLIENT
                spoken.sendall(b"quit")
                assert is_closed(spoken)

    @pytest.mark.parametrize(("data", "timeout"), [(b"", SOON), (b"GET /", INFINITY)])
    def test_handshake_of_an_own_loop_raises_and_tells_what_is_wrong(
        self, way: Way, data: bytes, timeout: float
    ) -> None:
        options = {"handler_options": process.self(), "handshake_timeout": timeout}
        with events_of(OwnLoop) as events, way.serve(OwnLoop, **options) as server, server.connect() as client:
            client.sendall(data)
            assert is_closed(client)
            _, error = message()
            assert type(error) is (BadProxyHeader if data else SocketTimeout)
            assert events.wait("connection.proxy_error")[0]["error"] == (error if data else "timeout")
            assert len(events.all("connection.proxy_error")) == 1

    def test_transport_that_delegates_to_tcp_takes_it(self, clear: Way) -> None:
        with clear.serve(transport_module=Flaky()) as server, server.connect() as client:
            client.sendall(line())
            assert message()[1] == CLIENT
            assert exchange(client, b"HELLO") == b"HELLO"
