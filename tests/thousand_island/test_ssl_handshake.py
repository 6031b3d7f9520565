from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any

import pytest

from supervision import NoReply, Reply, call, cast, process, sys
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Echo,
    Events,
    Server,
    Telling,
    down,
    events_of,
    exchange,
    is_closed,
    message,
    monitoring_connections,
    reason_of,
    serve,
)
from tests.thousand_island.tls import ManualClient, connect_tls, counting, manual_client, serve_tls
from thousand_island import Continue, stop
from thousand_island.transports import SSL, TCP

# Milliseconds for a handshake that is meant to take too long.
SOON = 50


class Subject(Telling):
    """Tells of everything that happens, in order."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        process.send(state, ("handle_connection", True, None))
        return Continue(state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        process.send(state[1], ("handle_cast", True, message))
        return NoReply(state)

    def handle_info(self, message: Any, state: Any) -> Any:
        process.send(state[1], ("handle_info", True, message))
        return NoReply(state)

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        return Reply(request, state)


def serve_subject(certificates: Certificates, **options: Any) -> Any:
    return serve_tls(Subject, certificates, handler_options=process.self(), **options)


def stalled(events: Events, server: Server) -> Any:
    """Return the pid of a connection whose client says nothing, once its handshake has begun."""
    events.wait("connection.ready")
    return server.only_connection()


def _blocking(stream: Any, timeout: float) -> Any:
    return SSL.handshake(stream, timeout)


class TestFailure:
    """Whatever goes wrong: ``handle_error`` is called once, the socket is closed, and the stop event tells why."""

    def fails(self, certificates: Certificates, act: Any, **options: Any) -> Any:
        """Return the reason of a failed handshake, the same to handler, observer and telemetry."""
        with (
            events_of(Subject) as events,
            monitoring_connections() as monitor_next,
            serve_subject(certificates, **options) as server,
        ):
            with server.connect() as client:
                ref = monitor_next()
                act(client)
                name, is_open, reason = message()
                assert (name, is_open) == ("handle_error", False)
                assert reason_of(ref) == ("shutdown", ("handshake", reason))
                assert events.wait("connection.stop")[1]["error"] == reason
            assert events.names("connection.") == ["connection.start", "connection.ready", "connection.stop"]
            return reason

    @pytest.mark.row("TIK-15", "TID-46")
    def test_client_that_says_nothing_times_out(self, certificates: Certificates) -> None:
        def act(client: socket.socket) -> None:
            assert client.recv(1) == b""

        assert self.fails(certificates, act, handshake_timeout=SOON) == "timeout"

    def test_bytes_that_come_slowly_do_not_extend_the_time(self, certificates: Certificates) -> None:
        context = certificates.trusting()

        def act(client: socket.socket) -> None:
            client.settimeout(SOON / 1000 / 20)
            hello = _client_hello(context)
            with contextlib.suppress(ConnectionError):
                for byte in hello[:-1]:
                    client.sendall(bytes([byte]))
                    with contextlib.suppress(TimeoutError):
                        assert client.recv(1) == b""
                        return

        assert self.fails(certificates, act, handshake_timeout=SOON) == "timeout"

    @pytest.mark.row("TID-46")
    @pytest.mark.parametrize("begun", [False, True])
    def test_client_that_vanishes_has_closed(self, certificates: Certificates, begun: bool) -> None:
        def act(client: socket.socket) -> None:
            if begun:
                client.sendall(_client_hello(certificates.trusting()))
                assert client.recv(100)
            client.close()

        assert self.fails(certificates, act) == "closed"

    def test_client_that_resets_has_closed(self, certificates: Certificates) -> None:
        def act(client: socket.socket) -> None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()

        assert self.fails(certificates, act) == "closed"

    @pytest.mark.parametrize(
        ("garbage", "reason"),
        [(b"GET / HTTP/1.1\r\n\r\n", "HTTP_REQUEST"), (b"\x00" * 100, "WRONG_VERSION_NUMBER")],
    )
    def test_garbage_is_an_error_of_tls(self, certificates: Certificates, garbage: bytes, reason: str) -> None:
        error = self.fails(certificates, lambda client: client.sendall(garbage))
        assert isinstance(error, ssl.SSLError)
        assert error.reason == reason

    @pytest.mark.row("TIS-22")
    def test_client_without_a_common_version_gets_an_alert(self, certificates: Certificates) -> None:
        with serve_tls(Subject, certificates, {"versions": ["TLSv1.3"]}, handler_options=process.self()) as server:
            context = certificates.trusting()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
                connect_tls(server, context)
            assert message()[2].reason == "UNSUPPORTED_PROTOCOL"

    @pytest.mark.row("TIS-22")
    def test_client_without_a_common_cipher_gets_an_alert(self, certificates: Certificates) -> None:
        tls = {"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}
        with serve_tls(Subject, certificates, tls, handler_options=process.self()) as server:
            context = certificates.trusting()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
            with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
                connect_tls(server, context)
            assert message()[2].reason == "NO_SHARED_CIPHER"


def _client_hello(context: ssl.SSLContext) -> bytes:
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class TestStalled:
    @pytest.mark.row("TID-43")
    def test_a_thousand_stalled_clients_hold_no_thread_and_hold_nobody_up(self, certificates: Certificates) -> None:
        threads = threading.active_count()
        with (
            counting("connection.ready") as begun,
            counting("connection.stop") as ended,
            serve_tls(Echo, certificates, num_acceptors=10, handshake_timeout=60_000) as server,
        ):
            with contextlib.ExitStack() as clients:
                for _ in range(1_000):
                    clients.enter_context(server.connect())
                begun(1_000)
                assert len(server.connections()) == 1_000
                assert threading.active_count() < threads + 100  # some slices were taken for blocked ones
                with connect_tls(server, certificates.trusting()) as client:
                    assert exchange(client, b"HELLO") == b"HELLO"
            ended(1_001)

    @pytest.mark.row("TID-43")
    def test_stalled_client_counts_as_a_connection(self, certificates: Certificates) -> None:
        limits = {"num_connections": 1, "max_connections_retry_count": 0}
        with (
            events_of(Echo) as events,
            serve_tls(Echo, certificates, **limits) as server,
            server.connect(),
        ):
            stalled(events, server)
            with server.connect() as other:
                assert is_closed(other)
                events.wait("acceptor.spawn_error")

    def test_hello_may_come_byte_by_byte(self, certificates: Certificates) -> None:
        with serve_tls(Echo, certificates) as server, manual_client(server, certificates) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            with contextlib.suppress(ssl.SSLWantReadError):
                client.tls.do_handshake()
            for byte in client.outgoing.read():
                client.socket.sendall(bytes([byte]))
            for byte in client.shake_hands() + client.encrypted(b"slow but steady"):
                client.socket.sendall(bytes([byte]))
            assert client.receive(15) == b"slow but steady"

    @pytest.mark.parametrize("transport", [SSL, type("Wrapped", (SSL,), {"handshake": staticmethod(_blocking)})])
    def test_certificate_that_does_not_fit_the_send_buffer_goes_out_as_the_client_reads(
        self, certificates: Certificates, tmp_path: Any, transport: Any
    ) -> None:
        chain = tmp_path / "chain.pem"
        with open(certificates.server.certfile) as own, open(certificates.authority) as authority:
            chain.write_text(own.read() + authority.read() * 180)  # OpenSSL takes at most 100 KB
        options = {"transport_module": transport, "handler_options": process.self()}
        with (
            serve_tls(Telling, certificates, {"certfile": str(chain), "sndbuf": 4_608}, **options) as server,
            socket.socket() as clear,
        ):
            clear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            clear.settimeout(SECONDS)
            clear.connect(server.address)
            client = ManualClient(clear, certificates.trusting())
            last_words = client.shake_hands(at_once=1_000)
            clear.sendall(last_words + client.goodbye())
            assert message() == ("handle_close", False, None)


class TestMeanwhile:
    """What happens to a connection while its handshake is under way."""

    def test_messages_wait_until_after_handle_connection_in_their_order(self, certificates: Certificates) -> None:
        with (
            events_of(Subject) as events,
            serve_subject(certificates) as server,
            manual_client(server, certificates) as client,
        ):
            pid = stalled(events, server)
            cast(pid, "first")
            process.send(pid, "second")
            answer = process.spawn_monitor(_report, process.self(), pid)
            client.socket.sendall(client.shake_hands())
            assert [message()[::2] for _ in range(3)] == [
                ("handle_connection", None),
                ("handle_cast", "first"),
                ("handle_info", "second"),
            ]
            assert message() == ("answer", "third")
            assert process.demonitor(answer[1], flush=True) in (True, False)

    def test_questions_of_sys_are_answered_meanwhile(self, certificates: Certificates) -> None:
        with events_of(Subject) as events, serve_subject(certificates) as server, server.connect():
            socket, state = sys.get_state(stalled(events, server))
            assert (socket.closed, state) == (False, process.self())

    def test_message_sent_when_it_is_done_comes_before_data_that_the_client_sends_then(
        self, certificates: Certificates
    ) -> None:
        gate = threading.Event()

        class Gated(Subject):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                return Continue(state, continue_with=self.pid)

            def handle_continue(self, pid: Any, state: Any) -> Any:
                process.send(state[1], ("connected", pid))
                assert gate.wait(SECONDS)
                return NoReply(state)

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                process.send(state, ("handle_data", True, data))
                return Continue(state)

        with (
            serve_tls(Gated, certificates, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            _, pid = message()
            process.send(pid, "first")
            client.sendall(b"second")
            gate.set()
            assert [message()[::2] for _ in range(2)] == [("handle_info", "first"), ("handle_data", b"second")]

    def test_shutdown_is_heard_of(self, certificates: Certificates) -> None:
        with events_of(Subject) as events, serve_subject(certificates) as server, server.connect() as client:
            pid = stalled(events, server)
            ref = process.monitor(pid)
            stop(server.pid)
            assert message()[0] == "handle_shutdown"
            assert (
                process.receive(lambda down: getattr(down, "ref", None) is ref, timeout=DEADLINE).reason == "shutdown"
            )
            assert is_closed(client)

    def test_kill_closes_the_connection(self, certificates: Certificates) -> None:
        with events_of(Subject) as events, serve_subject(certificates) as server, server.connect() as client:
            pid = stalled(events, server)
            process.exit(pid, "kill")
            assert is_closed(client)
            assert events.wait("connection.stop")[1]["error"] == "killed"

    def test_nothing_can_be_sent_before_it_is_done(self, certificates: Certificates) -> None:
        class Hasty(Subject):
            def handle_shutdown(self, socket: Any, state: Any) -> None:
                try:
                    socket.send(b"in clear?")
                except ConnectionError as error:
                    process.send(state, ("refused", type(error).__name__))

        with (
            events_of(Hasty) as events,
            serve_tls(Hasty, certificates, handler_options=process.self()) as server,
            server.connect() as client,
        ):
            stalled(events, server)
            stop(server.pid)
            assert message() == ("refused", "SocketClosed")
            assert client.recv(1) == b""


def _report(test: Any, pid: Any) -> None:
    process.send(test, ("answer", call(pid, "third")))


class TestOtherTransports:
    @pytest.mark.row("TIK-17")
    def test_handshake_of_one_argument_is_called(self) -> None:
        class Legacy(TCP):
            @staticmethod
            def handshake(stream: Any) -> Any:
                return stream

        with serve(Echo, transport_module=Legacy, handshake_timeout=250) as server, server.connect() as client:
            assert exchange(client, b"HELLO") == b"HELLO"

    def test_handshake_of_a_transport_built_upon_ours_is_called_once_with_the_whole_time(
        self, certificates: Certificates
    ) -> None:
        calls = []

        class Wrapped(SSL):
            @staticmethod
            def handshake(stream: Any, timeout: float = 0) -> Any:
                calls.append(timeout)
                return SSL.handshake(stream, timeout)

        with (
            serve_tls(Echo, certificates, transport_module=Wrapped, handshake_timeout=4_321) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert exchange(client, b"HELLO") == b"HELLO"
        assert calls == [4_321]

    def test_handshake_of_a_transport_built_upon_ours_times_out(self, certificates: Certificates) -> None:
        class Wrapped(SSL):
            @staticmethod
            def handshake(stream: Any, timeout: float = 0) -> Any:
                return SSL.handshake(stream, timeout)

        options = {"transport_module": Wrapped, "handshake_timeout": SOON, "handler_options": process.self()}
        with serve_tls(Subject, certificates, **options) as server, server.connect() as client:
            assert message() == ("handle_error", False, "timeout")
            assert is_closed(client)


class TestEscapeHatch:
    def test_process_of_somebody_else_shakes_hands_itself(self, certificates: Certificates) -> None:
        class Own:
            @staticmethod
            def start_link(argument: Any) -> Any:
                return process.spawn_link(Own.run)

            @staticmethod
            def run() -> None:
                socket = process.receive(timeout=DEADLINE).socket.handshake()
                socket.send(socket.recv())
                socket.close()

        with serve_tls(Own, certificates) as server, connect_tls(server, certificates.trusting()) as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            assert client.recv(1) == b""

    def test_its_handshake_times_out(self, certificates: Certificates) -> None:
        class Own:
            @staticmethod
            def start_link(argument: Any) -> Any:
                return process.spawn_link(Own.run, argument[0])

            @staticmethod
            def run(test: Any) -> None:
                ready = process.receive(timeout=DEADLINE)
                try:
                    ready.socket.handshake()
                except TimeoutError as error:
                    process.send(test, ("failed", type(error).__name__))

        options = {"handler_options": process.self(), "handshake_timeout": SOON}
        with serve_tls(Own, certificates, **options) as server, server.connect() as client:
            assert message() == ("failed", "SocketTimeout")
            assert is_closed(client)
            for pid in server.connections():
                down(pid)
