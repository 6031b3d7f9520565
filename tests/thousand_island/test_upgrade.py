"""From clear TCP to TLS in place."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import Any

import pytest

from supervision import NoReply, process, sys
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Server,
    Telling,
    events_of,
    exchange,
    is_closed,
    message,
    receive_exactly,
    serve,
)
from tests.thousand_island.tls import ManualClient, connect_tls, counting, serve_tls
from tests.thousand_island.transports import Plain, Wrapped, Wrapping
from thousand_island import (
    Continue,
    MissingOption,
    PlaintextPending,
    SwitchTransport,
    UnknownOption,
    UnsupportedUpgrade,
    stop,
)
from thousand_island.transports import SSL, TCP

# Milliseconds for a handshake that is meant to take too long.
SOON = 50

NO_TRANSPORT = "transport_module must be a transport, with the functions of thousand_island.Transport"


class StartTLS(Telling):
    """Greets in clear and switches at ``"STARTTLS"``; then echoes.

    Its options are the process to tell, and those of TLS.
    """

    def handle_connection(self, socket: Any, state: Any) -> Any:
        socket.send(b"HELLO")
        return Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        if data == b"STARTTLS":
            socket.send(b"READY")
            return self.switch(socket, state)
        socket.send(data)
        return Continue(state)

    def switch(self, socket: Any, state: Any) -> Any:
        return SwitchTransport(SSL, state[1], state)

    def handle_info(self, message: Any, state: Any) -> Any:
        process.send(state[1][0], ("handle_info", message))
        return NoReply(state)

    def handle_close(self, socket: Any, state: Any) -> None:
        super().handle_close(socket, state[0])

    def handle_error(self, reason: Any, socket: Any, state: Any) -> None:
        super().handle_error(reason, socket, state[0])

    def handle_shutdown(self, socket: Any, state: Any) -> None:
        super().handle_shutdown(socket, state[0])


def files(certificates: Certificates, **more: Any) -> dict[str, Any]:
    return {"certfile": certificates.server.certfile, "keyfile": certificates.server.keyfile, **more}


@contextlib.contextmanager
def serve_starttls(certificates: Certificates, handler: Any = StartTLS, **options: Any) -> Any:
    with serve(handler, handler_options=(process.self(), files(certificates)), **options) as server:
        yield server


@contextlib.contextmanager
def switching(server: Server) -> Any:
    """Connect a client up to the moment when both sides are about to shake hands."""
    with server.connect() as client:
        assert receive_exactly(client, 5) == b"HELLO"
        client.sendall(b"STARTTLS")
        assert receive_exactly(client, 5) == b"READY"
        yield client


class TestSwitchTransport:
    @pytest.mark.row("TIH-10")
    def test_connection_goes_on_encrypted(self, certificates: Certificates) -> None:
        with (
            serve_starttls(certificates) as server,
            switching(server) as clear,
            certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client,
        ):
            assert exchange(client, b"Test me") == b"Test me"
            assert exchange(client, b"and again") == b"and again"

    @pytest.mark.row("TIH-10")
    def test_it_may_be_the_answer_to_handle_connection(self, certificates: Certificates) -> None:
        class AtOnce(StartTLS):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.send(b"HELLO")
                return self.switch(socket, state)

        with serve_starttls(certificates, AtOnce) as server, server.connect() as clear:
            assert receive_exactly(clear, 5) == b"HELLO"
            with certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client:
                assert exchange(client, b"Test me") == b"Test me"

    @pytest.mark.parametrize("tickets", ["disabled", "stateless"])
    def test_its_options_say_whether_the_client_is_given_tickets(
        self, certificates: Certificates, tickets: str
    ) -> None:
        class Switching(StartTLS):
            def switch(self, socket: Any, state: Any) -> Any:
                return SwitchTransport(SSL, {**state[1], "session_tickets": tickets}, state)

        with (
            serve_starttls(certificates, Switching) as server,
            switching(server) as clear,
            certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client,
        ):
            assert exchange(client, b"Test me") == b"Test me"
            assert client.session is not None
            assert client.session.has_ticket == (tickets == "stateless")

    @pytest.mark.row("TIH-12")
    def test_handle_continue_runs_after_the_handshake(self, certificates: Certificates) -> None:
        class Continuing(StartTLS):
            def switch(self, socket: Any, state: Any) -> Any:
                return SwitchTransport(SSL, state[1], state, continue_with="keep_going")

            def handle_continue(self, argument: Any, state: Any) -> Any:
                socket, _ = state
                socket.send(f"{argument} {socket.secure}".encode())
                return NoReply(state)

        with (
            serve_starttls(certificates, Continuing) as server,
            switching(server) as clear,
            certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client,
        ):
            assert receive_exactly(client, 15) == b"keep_going True"
            assert exchange(client, b"Test me") == b"Test me"

    def test_its_timeout_counts_from_the_end_of_the_handshake(self, certificates: Certificates) -> None:
        class Hurried(StartTLS):
            def switch(self, socket: Any, state: Any) -> Any:
                return SwitchTransport(SSL, state[1], state, SOON)

            def handle_timeout(self, socket: Any, state: Any) -> None:
                super().handle_timeout(socket, state[0])

        with (
            serve_starttls(certificates, Hurried) as server,
            switching(server) as clear,
            certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client,
        ):
            assert message() == ("handle_timeout", True, None)
            assert client.recv(1) == b""

    def test_span_goes_on_and_counts_clear_bytes_of_both_halves(self, certificates: Certificates) -> None:
        with events_of(StartTLS) as events, serve_starttls(certificates) as server:
            with (
                switching(server) as clear,
                certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client,
            ):
                assert exchange(client, b"Test me") == b"Test me"
            measurements, _ = events.wait("connection.stop")
            assert (measurements["recv_oct"], measurements["send_oct"]) == (8 + 7, 5 + 5 + 7)
            assert events.names("connection.start") == ["connection.start"]

    def test_first_words_may_come_with_the_last_of_the_handshake(self, certificates: Certificates) -> None:
        with serve_starttls(certificates) as server, switching(server) as clear:
            client = ManualClient(clear, certificates.trusting())
            clear.sendall(client.shake_hands() + client.encrypted(b"early"))
            assert client.receive(5) == b"early"

    def test_messages_wait_until_it_is_done(self, certificates: Certificates) -> None:
        with (
            counting("connection.async_recv") as heard,
            serve_starttls(certificates) as server,
            switching(server) as clear,
        ):
            heard(1)
            process.send(server.only_connection(), "news")
            client = ManualClient(clear, certificates.trusting())
            last_words = client.shake_hands()
            with pytest.raises(TimeoutError):
                process.receive(tuple, timeout=1)
            clear.sendall(last_words)
            assert message() == ("handle_info", "news")


class TestFailure:
    def fails(self, certificates: Certificates, act: Any, **options: Any) -> Any:
        with (
            events_of(StartTLS) as events,
            serve_starttls(certificates, **options) as server,
            switching(server) as client,
        ):
            act(client)
            name, is_open, reason = message()
            assert (name, is_open) == ("handle_error", False)
            assert events.wait("connection.stop")[1]["error"] == reason
            return reason

    @pytest.mark.row("TID-44")
    def test_client_that_says_nothing_times_out(self, certificates: Certificates) -> None:
        assert self.fails(certificates, is_closed, handshake_timeout=SOON) == "timeout"

    def test_client_that_vanishes_has_closed(self, certificates: Certificates) -> None:
        assert self.fails(certificates, lambda client: client.close()) == "closed"

    def test_client_that_stays_clear_is_an_error_of_tls(self, certificates: Certificates) -> None:
        reason = self.fails(certificates, lambda client: client.sendall(b"MAIL FROM:<me@example.org>\r\n"))
        assert isinstance(reason, ssl.SSLError)

    def test_exit_reason_says_that_it_was_the_upgrade(self, certificates: Certificates) -> None:
        with serve_starttls(certificates, handshake_timeout=SOON) as server, server.connect() as client:
            assert receive_exactly(client, 5) == b"HELLO"
            ref = process.monitor(server.only_connection())
            client.sendall(b"STARTTLS")
            assert message()[0] == "handle_error"
            down = process.receive(lambda down: getattr(down, "ref", None) is ref, timeout=DEADLINE)
            assert down.reason == ("shutdown", ("upgrade", "timeout"))

    def test_shutdown_is_heard_of_meanwhile(self, certificates: Certificates) -> None:
        with (
            counting("connection.async_recv") as heard,
            serve_starttls(certificates) as server,
            switching(server) as client,
        ):
            heard(1)
            stop(server.pid)
            assert message()[0] == "handle_shutdown"
            assert is_closed(client)

    def test_five_hundred_that_stall_hold_no_thread(self, certificates: Certificates) -> None:
        threads = threading.active_count()
        with (
            counting("connection.async_recv") as heard,
            counting("connection.stop") as ended,
            serve_starttls(certificates, num_acceptors=10, handshake_timeout=60_000) as server,
        ):
            with contextlib.ExitStack() as clients:
                for _ in range(500):
                    clients.enter_context(switching(server))
                heard(500)
                assert threading.active_count() < threads + 20
            ended(500)


class TestRefusal:
    """What cannot be upgraded."""

    @pytest.mark.row("TIH-11")
    def test_to_tcp_is_unsupported(self, certificates: Certificates) -> None:
        class Downgrading(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.send(b"HELLO")
                return SwitchTransport(TCP, {}, state)

        with (
            serve_tls(Downgrading, certificates, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert receive_exactly(client, 5) == b"HELLO"
            assert message() == ("handle_error", False, "unsupported_upgrade")

    def upgrade(
        self, certificates: Certificates, options: Any, before: Any = None, module: Any = SSL, **serving: Any
    ) -> Any:
        """Return what ``socket.upgrade`` says in a callback, and whether the socket can still be used in clear."""

        class Upgrading(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                try:
                    if before is not None:
                        before(socket)
                    socket.upgrade(module, options)
                except Exception as error:  # noqa: BLE001 - the test judges it
                    process.send(state, ("error", error))
                socket.send(b"still here")
                return Continue(state)

        with serve(Upgrading, handler_options=process.self(), **serving) as server, server.connect() as client:
            client.sendall(b"abcdef")
            assert receive_exactly(client, 10) == b"still here"
            return message()[1]

    def test_clear_bytes_that_were_not_read_make_it_fail(self, certificates: Certificates) -> None:
        error = self.upgrade(certificates, files(certificates), _leave_some)
        assert isinstance(error, PlaintextPending)
        assert "3 bytes" in str(error)

    def test_clear_bytes_end_a_switch(self, certificates: Certificates) -> None:
        class Careless(StartTLS):
            def switch(self, socket: Any, state: Any) -> Any:
                _leave_some(socket)
                return super().switch(socket, state)

        with serve_starttls(certificates, Careless) as server, switching(server) as client:
            client.sendall(b"abcdef")
            assert message() == ("handle_error", False, "plaintext_pending")

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({}, MissingOption),
            ({"certfile": "a", "keyfile": "b", "backlog": 5}, UnknownOption),
            ({"certfile": "/does/not/exist", "keyfile": "b"}, FileNotFoundError),
        ],
    )
    def test_bad_options_leave_the_connection_as_it_is(
        self, certificates: Certificates, options: Any, error: type[Exception]
    ) -> None:
        assert isinstance(self.upgrade(certificates, options), error)

    @pytest.mark.parametrize("options", [{}, None])
    def test_refusal_speaks_of_the_options_of_the_upgrade(self, certificates: Certificates, options: Any) -> None:
        assert str(self.upgrade(certificates, options)).startswith("the options of the upgrade must ")

    @pytest.mark.parametrize("module", [None, "SSL", socket])
    def test_what_is_no_transport_is_refused_and_leaves_the_connection_as_it_is(
        self, certificates: Certificates, module: Any
    ) -> None:
        error = self.upgrade(certificates, {}, module=module)
        assert isinstance(error, TypeError)
        assert str(error) == f"{NO_TRANSPORT}, got {module!r}"

    def test_switch_to_what_is_no_transport_is_a_crash_of_the_handler(
        self, certificates: Certificates, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Lost(StartTLS):
            def switch(self, socket: Any, state: Any) -> Any:
                return SwitchTransport(None, state[1], state)

        with serve_starttls(certificates, Lost) as server, switching(server) as client:
            name, is_open, reason = message()
            assert (name, is_open, str(reason)) == ("handle_error", False, f"{NO_TRANSPORT}, got None")
            assert is_closed(client)
            server.wait_until_empty()
        assert NO_TRANSPORT in caplog.text

    def test_encrypted_connection_cannot_be_encrypted_again(self, certificates: Certificates) -> None:
        class Twice(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                try:
                    socket.upgrade(SSL, files(certificates))
                except UnsupportedUpgrade:
                    socket.send(b"refused")
                return Continue(state)

        with (
            serve_tls(Twice, certificates, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert receive_exactly(client, 7) == b"refused"


def _leave_some(socket: Any) -> None:
    with contextlib.suppress(TimeoutError):
        socket.recv(1_000, 0)
    while len(socket.socket.buffered) < 6:
        with contextlib.suppress(TimeoutError):
            socket.recv(7, 10)
    socket.recv(3)


class TestUpgradeInACallback:
    class Upgrading(StartTLS):
        """Upgrades by ``socket.upgrade`` and goes on inside the same callback."""

        def switch(self, socket: Any, state: Any) -> Any:
            socket.upgrade(SSL, state[1])
            socket.send(b"welcome")
            return Continue(state)

    def test_connection_goes_on_encrypted(self, certificates: Certificates) -> None:
        with (
            serve_starttls(certificates, self.Upgrading) as server,
            switching(server) as clear,
            certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client,
        ):
            assert receive_exactly(client, 7) == b"welcome"
            assert exchange(client, b"Test me") == b"Test me"
            assert exchange(client, b"and again") == b"and again"

    def test_what_comes_before_the_callback_returns_is_read_after_it(self, certificates: Certificates) -> None:
        arrived = threading.Event()

        class Reading(StartTLS):
            def switch(self, socket: Any, state: Any) -> Any:
                socket.upgrade(SSL, state[1])
                socket.send(socket.recv())
                assert arrived.wait(SECONDS)
                return Continue(state)

        with (
            serve_starttls(certificates, Reading) as server,
            switching(server) as clear,
            certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client,
        ):
            assert exchange(client, b"one") == b"one"
            client.sendall(b"two")
            _wait_until_told(server)
            arrived.set()
            assert receive_exactly(client, 3) == b"two"

    def test_first_words_may_come_with_the_last_of_the_handshake(self, certificates: Certificates) -> None:
        with serve_starttls(certificates, self.Upgrading) as server, switching(server) as clear:
            client = ManualClient(clear, certificates.trusting())
            clear.sendall(client.shake_hands() + client.encrypted(b"early"))
            assert client.receive(12) == b"welcomeearly"

    def test_client_that_says_nothing_times_out(self, certificates: Certificates) -> None:
        class Judging(StartTLS):
            def switch(self, socket: Any, state: Any) -> Any:
                try:
                    socket.upgrade(SSL, state[1])
                except TimeoutError as error:
                    process.send(state[0], ("timeout", type(error).__name__))
                socket.send(b"in clear?")
                return Continue(state)

        with serve_starttls(certificates, Judging, handshake_timeout=SOON) as server, switching(server) as client:
            assert message() == ("timeout", "SocketTimeout")
            assert message() == ("handle_error", False, "closed")
            assert client.recv(1) == b""

    def test_failed_handshake_that_escapes_is_no_crash(
        self, certificates: Certificates, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serve_starttls(certificates, self.Upgrading) as server, switching(server) as client:
            client.sendall(b"MAIL FROM:<me@example.org>\r\n")
            name, _, reason = message()
            assert name == "handle_error"
            assert isinstance(reason, ssl.SSLError)
        assert not caplog.records


def _wait_until_told(server: Server) -> None:
    """Wait until the readiness of the only connection is in its mailbox, of which nothing tells."""
    posted = server.only_connection()._process.body.source.posted
    deadline = time.monotonic() + SECONDS
    while not posted.locked():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


class TestOtherTransports:
    def test_transport_that_upgrades_by_itself_is_used_at_once(self) -> None:
        class Shouting:
            """TCP in capitals."""

            def __getattr__(self, name: str) -> Any:
                return getattr(TCP, name)

            def upgrade(self, stream: Any, options: Any) -> Any:
                return stream

            def handshake(self, stream: Any, timeout: float) -> Any:
                raise AssertionError("there is none after an upgrade")

            def send(self, stream: Any, data: bytes) -> None:
                TCP.send(stream, data.upper())

        class Switching(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(data)
                return SwitchTransport(Shouting(), {}, state)

        with serve(Switching, handler_options=process.self()) as server, server.connect() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            assert exchange(client, b"hello") == b"hello"
            assert exchange(client, b"hello") == b"HELLO"


def marking(base: Any, take: Any) -> Any:
    """A transport that upgrades by ``take``, and puts what it reads into brackets."""

    class Marking(base):  # type: ignore[misc]
        def upgrade(self, sock: Any, options: Any) -> Any:
            return take(sock)

        def recv(self, sock: Any, length: int, timeout: float) -> bytes:
            return b"<" + super().recv(sock, length, timeout) + b">"

    return Marking()


def moved(sock: socket.socket) -> socket.socket:
    return socket.socket(fileno=sock.detach())


def copied(sock: socket.socket) -> socket.socket:
    with sock:
        return sock.dup()


OWN_STREAM = (TCP, lambda: marking(TCP, lambda stream: stream))
OWN_STREAM_TAKEN_OUT = (TCP, lambda: marking(Plain, lambda stream: moved(stream.sock)))
SAME_SOCKET = (Plain(), lambda: marking(Plain, lambda sock: sock))
SAME_DESCRIPTOR = (Plain(), lambda: marking(Plain, moved))
OTHER_DESCRIPTOR = (Plain(), lambda: marking(Plain, copied))
NO_DESCRIPTOR = (Wrapping(), lambda: marking(Wrapping, lambda sock: sock))
NO_OTHER = (Wrapping(), lambda: marking(Wrapping, lambda sock: Wrapped(sock.inner)))
DESCRIPTOR_SHOWN = (Wrapping(), lambda: marking(Plain, lambda sock: sock.inner))
DESCRIPTOR_HIDDEN = (Plain(), lambda: marking(Wrapping, Wrapped))
WATCHED = [OWN_STREAM, OWN_STREAM_TAKEN_OUT, SAME_SOCKET, SAME_DESCRIPTOR, OTHER_DESCRIPTOR, DESCRIPTOR_HIDDEN]


class Switching(StartTLS):
    def switch(self, socket: Any, state: Any) -> Any:
        return SwitchTransport(state[1], {}, state)


class Upgrading(StartTLS):
    def switch(self, socket: Any, state: Any) -> Any:
        socket.upgrade(state[1], {})
        return Continue(state)


class TestTransportsOfSomebodyElse:
    """After an upgrade nothing is read by the transport before, and no message of its readiness is left."""

    def goes_on(self, client: socket.socket) -> None:
        for word in (b"two", b"three"):
            client.sendall(word)
            assert receive_exactly(client, len(word) + 2) == b"<" + word + b">"
        client.close()
        assert message()[0] == "handle_close"

    @pytest.mark.parametrize("handler", [Switching, Upgrading])
    @pytest.mark.parametrize("transports", [*WATCHED, NO_DESCRIPTOR, NO_OTHER, DESCRIPTOR_SHOWN])
    def test_data_that_follows_is_read_by_the_new_one(self, handler: Any, transports: Any) -> None:
        before, after = transports
        with (
            serve(handler, transport_module=before, handler_options=(process.self(), after())) as server,
            switching(server) as client,
        ):
            self.goes_on(client)

    @pytest.mark.parametrize("transports", WATCHED)
    def test_data_that_came_before_the_callback_returned_is_too(self, transports: Any) -> None:
        arrived = threading.Event()

        class Waiting(Upgrading):
            def switch(self, socket: Any, state: Any) -> Any:
                result = super().switch(socket, state)
                process.send(state[0], ("upgraded",))
                assert arrived.wait(SECONDS)
                return result

        before, after = transports
        with (
            serve(Waiting, transport_module=before, handler_options=(process.self(), after())) as server,
            switching(server) as client,
        ):
            assert message() == ("upgraded",)
            client.sendall(b"one")
            _wait_until_told(server)
            arrived.set()
            assert receive_exactly(client, 5) == b"<one>"
            self.goes_on(client)

    @pytest.mark.parametrize("transports", WATCHED)
    def test_a_message_may_bring_it(self, transports: Any) -> None:
        class Told(Upgrading):
            def handle_info(self, message: Any, state: Any) -> Any:
                if message != "upgrade":
                    return super().handle_info(message, state)
                socket, _ = state
                self.switch(*state)
                socket.send(b"READY")
                return NoReply(state)

        before, after = transports
        with (
            serve(Told, transport_module=before, handler_options=(process.self(), after())) as server,
            server.connect() as client,
        ):
            assert receive_exactly(client, 5) == b"HELLO"
            assert exchange(client, b"one") == b"one"
            process.send(server.only_connection(), "upgrade")
            assert receive_exactly(client, 5) == b"READY"
            self.goes_on(client)

    def test_callback_itself_reads_by_the_new_one(self) -> None:
        class Reading(StartTLS):
            def switch(self, socket: Any, state: Any) -> Any:
                socket.upgrade(state[1], {})
                socket.send(socket.recv(0, DEADLINE))
                return Continue(state)

        before, after = NO_DESCRIPTOR
        with (
            serve(Reading, transport_module=before, handler_options=(process.self(), after())) as server,
            switching(server) as client,
        ):
            client.sendall(b"one")
            assert receive_exactly(client, 5) == b"<one>"
            self.goes_on(client)

    def test_so_may_a_function_that_replaces_the_state(self) -> None:
        def upgrade(state: Any) -> Any:
            Upgrading().switch(*state)
            return state

        before, after = SAME_SOCKET
        with (
            serve(StartTLS, transport_module=before, handler_options=(process.self(), after())) as server,
            server.connect() as client,
        ):
            assert receive_exactly(client, 5) == b"HELLO"
            sys.replace_state(server.only_connection(), upgrade)
            self.goes_on(client)
