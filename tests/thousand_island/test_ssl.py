from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from supervision import Pid, process
from supervision.errors import StartError
from tests.thousand_island.certificates import PASSWORD, Certificates
from tests.thousand_island.serving import Echo, events_of, exchange, message, receive_exactly, serve
from tests.thousand_island.tls import connect_tls, serve_tls
from thousand_island import (
    Close,
    Continue,
    Handler,
    NotSecure,
    ProtocolNotNegotiated,
    SocketClosed,
    SocketTimeout,
    reload_certificates,
    start_link,
)
from thousand_island.transports import SSL
from thousand_island.transports.ssl import TLSInformation


class Informant(Handler):
    """Tells the process in its options what a function finds out about the socket."""

    def handle_connection(self, socket: Any, state: tuple[Pid, Any]) -> Any:
        teller, question = state
        try:
            answer = question(socket)
        except Exception as error:  # noqa: BLE001 - the test judges it
            answer = error
        process.send(teller, ("answer", answer))
        return Continue(state)


def ask(certificates: Certificates, question: Any, client: ssl.SSLContext | None = None, **tls: Any) -> Any:
    """Return what ``question`` says about the server's side of a connection."""
    with (
        serve_tls(Informant, certificates, tls, handler_options=(process.self(), question)) as server,
        connect_tls(server, client or certificates.trusting()),
    ):
        return message()[1]


class TestData:
    @pytest.mark.row("TIK-02", "TIK-16")
    def test_what_is_sent_comes_back(self, certificates: Certificates) -> None:
        with serve_tls(Echo, certificates) as server, connect_tls(server, certificates.trusting()) as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            assert exchange(client, b"AGAIN") == b"AGAIN"

    @pytest.mark.row("TIS-20")
    def test_ipv6_works(self, certificates: Certificates) -> None:
        with (
            serve_tls(Echo, certificates, {"inet6": True}) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert client.family == socket.AF_INET6
            assert exchange(client, b"HI") == b"HI"

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_many_megabytes_come_back_whole(self, certificates: Certificates, version: ssl.TLSVersion) -> None:
        client_context = certificates.trusting()
        client_context.maximum_version = version
        with serve_tls(Echo, certificates) as server, connect_tls(server, client_context) as client:
            for _ in range(64):  # one thread, piece by piece: an SSLSocket stands no reader beside a writer
                piece = os.urandom(1 << 16)
                client.sendall(piece)
                assert receive_exactly(client, len(piece)) == piece

    def test_nested_pieces_of_any_size_arrive_in_order(self, certificates: Certificates) -> None:
        pieces = [b"a", [b"", bytearray(b"b" * 70_000), (memoryview(b"c") for _ in range(3_000))], b"d" * 16_384]

        class Sender(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.send(pieces)
                return Close(state)

        expected = b"a" + b"b" * 70_000 + b"c" * 3_000 + b"d" * 16_384
        with serve_tls(Sender, certificates) as server, connect_tls(server, certificates.trusting()) as client:
            assert receive_exactly(client, len(expected) + 1) == expected

    @pytest.mark.row("TIK-04")
    def test_server_says_goodbye_when_it_closes(self, certificates: Certificates) -> None:
        class Closer(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                return Close(state)

        with serve_tls(Closer, certificates) as server, connect_tls(server, certificates.trusting()) as client:
            assert client.recv(1) == b""  # without a goodbye it would be an SSLEOFError

    def test_recv_inside_a_callback_waits_for_exactly_what_it_asks_for(self, certificates: Certificates) -> None:
        class Counter(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                lengths = [len(socket.recv(length)) for length in (1, 20_000, 99)]
                socket.send(repr([*lengths, socket.getstat().recv_oct]).encode())
                return Continue(state)

        with serve_tls(Counter, certificates) as server, connect_tls(server, certificates.trusting()) as client:
            client.sendall(b"x" * 100)
            client.sendall(b"x" * 19_900)
            client.sendall(b"x" * 100)
            assert client.recv(100) == b"[1, 20000, 99, 20100]"


class TestSessionTickets:
    def has_ticket(self, server: Any, certificates: Certificates, name: str = "localhost") -> bool:
        context = certificates.trusting()
        context.check_hostname = False
        with connect_tls(server, context, name) as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            assert client.session is not None
            return client.session.has_ticket

    def test_client_that_closes_without_having_read_closes_in_order(self, certificates: Certificates) -> None:
        class Waiting(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                with pytest.raises(SocketTimeout):
                    socket.recv(0, 0)  # whatever there is to send has gone before this tells
                process.send(state, ("waiting", None))
                try:
                    socket.recv()
                except Exception as error:  # noqa: BLE001 - the test judges it
                    process.send(state, ("failed", error))
                return Close(state)

        with serve_tls(Waiting, certificates, handler_options=process.self()) as server:
            with connect_tls(server, certificates.trusting()) as client:
                client.sendall(b"x")
                assert message() == ("waiting", None)
            assert isinstance(message()[1], SocketClosed)

    def test_clients_resume_their_session_where_they_are_given_tickets(self, certificates: Certificates) -> None:
        context = certificates.trusting()
        with serve_tls(Echo, certificates, {"session_tickets": "stateless"}) as server:
            with connect_tls(server, context) as client:
                assert exchange(client, b"HELLO") == b"HELLO"
                session = client.session
            with context.wrap_socket(server.connect(), server_hostname="localhost", session=session) as client:
                assert exchange(client, b"HELLO") == b"HELLO"
                assert client.session_reused

    @pytest.mark.parametrize("tickets", ["disabled", "stateless"])
    @pytest.mark.parametrize("kind", ["sni_hosts", "sni_fun"])
    def test_option_counts_for_every_host(self, certificates: Certificates, kind: str, tickets: str) -> None:
        hosts = {"other.example": {"certfile": certificates.other.certfile, "keyfile": certificates.other.keyfile}}
        tls = {kind: hosts if kind == "sni_hosts" else hosts.get, "session_tickets": tickets}
        with serve_tls(Echo, certificates, tls) as server:
            assert self.has_ticket(server, certificates) == (tickets == "stateless")
            assert self.has_ticket(server, certificates, "other.example") == (tickets == "stateless")

    @pytest.mark.parametrize("tickets", ["disabled", "stateless"])
    def test_option_outlives_a_reload(self, certificates: Certificates, tickets: str) -> None:
        with serve_tls(Echo, certificates, {"session_tickets": tickets}) as server:
            reload_certificates(server.pid)
            assert self.has_ticket(server, certificates) == (tickets == "stateless")

    def test_ready_context_stays_as_its_owner_made_it(self, certificates: Certificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server.certfile, certificates.server.keyfile)
        with serve_tls(Echo, certificates, transport_options={"ip": "loopback", "context": context}) as server:
            assert self.has_ticket(server, certificates)


class TestSendfile:
    @pytest.mark.row("TIK-13")
    def test_part_of_a_file_is_sent(self, certificates: Certificates, tmp_path: Path) -> None:
        (tmp_path / "letters").write_bytes(b"ABCDEF")

        class Sender(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                sent = [socket.sendfile(tmp_path / "letters", 0, 6), socket.sendfile(tmp_path / "letters", 1, 3)]
                socket.send(repr([*sent, socket.getstat().send_oct]).encode())
                return Continue(state)

        with serve_tls(Sender, certificates) as server, connect_tls(server, certificates.trusting()) as client:
            assert receive_exactly(client, 18) == b"ABCDEFBCD[6, 3, 9]"

    @pytest.mark.row("TIK-14")
    def test_large_file_is_sent_from_the_offset_to_the_end(self, certificates: Certificates, tmp_path: Path) -> None:
        data = os.urandom(1 << 20) * 8 + b"end"
        (tmp_path / "large").write_bytes(data)

        class Sender(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.sendfile(tmp_path / "large", 7, 0)
                return Close(state)

        with serve_tls(Sender, certificates) as server, connect_tls(server, certificates.trusting()) as client:
            assert receive_exactly(client, len(data)) == data[7:]

    @pytest.mark.parametrize("length", [0, 2])
    @pytest.mark.parametrize(("make", "number"), [(os.mkdir, errno.EISDIR), (os.mkfifo, errno.ESPIPE)])
    def test_what_has_no_parts_is_refused_by_name(
        self, certificates: Certificates, tmp_path: Path, make: Any, number: int, length: int
    ) -> None:
        path = str(tmp_path / "no file")
        make(path)
        error = ask(certificates, lambda socket: socket.sendfile(path, 0, length))
        assert (error.errno, error.filename) == (number, path)


class TestInformation:
    @pytest.mark.row("TIK-12")
    def test_both_ends_and_the_protocol_are_known(self, certificates: Certificates) -> None:
        def question(socket: Any) -> Any:
            return socket.sockname(), socket.peername(), socket.negotiated_protocol(), socket.secure

        with (
            serve_tls(
                Informant,
                certificates,
                {"alpn_preferred_protocols": ["bar", "foo"]},
                handler_options=(process.self(), question),
            ) as server,
            connect_tls(server, certificates.trusting(protocols=("foo",))) as client,
        ):
            assert message()[1] == (server.address, client.getsockname(), "foo", True)
            assert client.selected_alpn_protocol() == "foo"

    def test_connection_information_tells_what_was_agreed_on(self, certificates: Certificates) -> None:
        client = certificates.trusting(protocols=("foo",))
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
        found = ask(
            certificates, lambda socket: socket.connection_information(), client, alpn_preferred_protocols=["foo"]
        )
        assert found == TLSInformation(
            protocol="TLSv1.2",
            cipher="ECDHE-ECDSA-AES256-GCM-SHA384",
            cipher_bits=256,
            sni_hostname="localhost",
            alpn_protocol="foo",
            session_reused=False,
        )

    def test_without_a_common_protocol_none_is_negotiated(self, certificates: Certificates) -> None:
        found = ask(
            certificates, lambda socket: socket.negotiated_protocol(), certificates.trusting(protocols=("foo",))
        )
        assert isinstance(found, ProtocolNotNegotiated)

    def test_certificate_of_a_client_without_one_is_refused(self, certificates: Certificates) -> None:
        assert isinstance(ask(certificates, lambda socket: socket.peercert()), NotSecure)

    @pytest.mark.parametrize("name", ["negotiated_protocol", "peercert", "connection_information"])
    def test_closed_connection_says_that_it_is_closed(self, certificates: Certificates, name: str) -> None:
        def question(socket: Any) -> Any:
            socket.close()
            return getattr(socket, name)()

        with (
            serve_tls(Informant, certificates, handler_options=(process.self(), question)) as server,
            connect_tls(server, certificates.trusting()),
        ):
            error = message()[1]
        assert isinstance(error, SocketClosed)
        assert str(error) == "the connection is closed"

    @pytest.mark.row("TIS-18")
    def test_default_options_can_be_overridden(self, certificates: Certificates) -> None:
        assert ask(certificates, lambda socket: socket.getopts(["send_timeout"]), send_timeout=1230) == {
            "send_timeout": 1230
        }

    @pytest.mark.row("TIS-19")
    def test_fixed_options_are_what_they_are(self, certificates: Certificates) -> None:
        assert ask(certificates, lambda socket: socket.getopts(["mode", "active"])) == {
            "mode": "binary",
            "active": False,
        }


class TestClientCertificates:
    def peer(self, certificates: Certificates, client: ssl.SSLContext, **tls: Any) -> Any:
        tls = {"verify": "peer", "cacertfile": certificates.authority, **tls}
        return ask(certificates, lambda socket: socket.peercert(), client, **tls)

    def test_certificate_of_the_client_is_known(self, certificates: Certificates) -> None:
        client = certificates.trusting(certificates.client)
        assert self.peer(certificates, client, fail_if_no_peer_cert=True) == certificates.client.der

    def test_client_may_have_none_if_that_is_allowed(self, certificates: Certificates) -> None:
        assert isinstance(self.peer(certificates, certificates.trusting()), NotSecure)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @pytest.mark.parametrize(
        ("who", "reason"),
        [(None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"), ("stranger", "CERTIFICATE_VERIFY_FAILED")],
    )
    def test_client_that_is_not_trusted_fails_the_handshake(
        self, certificates: Certificates, version: ssl.TLSVersion, who: str | None, reason: str
    ) -> None:
        class Judge(Handler):
            def handle_error(self, reason: Any, socket: Any, state: Any) -> None:
                process.send(state, ("error", reason))

        tls = {"verify": "peer", "cacertfile": certificates.authority, "fail_if_no_peer_cert": True}
        context = certificates.trusting(getattr(certificates, who) if who else None)
        context.maximum_version = version
        with serve_tls(Judge, certificates, tls, handler_options=process.self()) as server:
            # In TLS 1.3 the client is done before the server has seen its certificate, and reads the alert.
            with pytest.raises(ssl.SSLError, match="ALERT"), connect_tls(server, context) as client:
                client.recv(1)
            assert message()[1].reason == reason


class TestTelemetry:
    @pytest.mark.row("TIK-06", "TID-45")
    def test_events_come_in_order_and_count_clear_bytes(self, certificates: Certificates) -> None:
        class Once(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(data)
                return Close(state)

        with (
            events_of(Once) as events,
            serve_tls(Once, certificates) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert exchange(client, b"HELLO") == b"HELLO"
            measurements, metadata = events.wait("connection.stop")
        assert events.names("connection.") == [
            "connection.start",
            "connection.ready",
            "connection.async_recv",
            "connection.send",
            "connection.stop",
        ]
        assert {name: measurements[name] for name in ("recv_oct", "recv_cnt", "send_oct", "send_cnt")} == {
            "recv_oct": 5,
            "recv_cnt": 1,
            "send_oct": 5,
            "send_cnt": 1,
        }
        assert "error" not in metadata


class TestFiles:
    """What only a look into the files can tell fails the start, and says which file it is."""

    def start(self, certificates: Certificates, **tls: Any) -> BaseException:
        options = certificates.options(**tls)
        with pytest.raises(StartError) as failure:
            start_link(port=0, handler_module=Echo, transport_module=SSL, transport_options=options)
        cause: BaseException | None = failure.value
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__
        assert cause is not None
        return cause

    @pytest.mark.parametrize("name", ["certfile", "keyfile", "cacertfile"])
    def test_missing_file_is_named(self, certificates: Certificates, name: str) -> None:
        cause = self.start(certificates, **{name: "/does/not/exist.pem"})
        assert isinstance(cause, FileNotFoundError)
        assert cause.filename == "/does/not/exist.pem"

    @pytest.mark.parametrize("name", ["certfile", "keyfile", "cacertfile"])
    def test_file_of_another_kind_is_named(self, certificates: Certificates, name: str) -> None:
        cause = self.start(certificates, **{name: __file__})
        assert isinstance(cause, ssl.SSLError)
        assert __file__ in str(cause)

    def test_only_what_is_unusable_is_named(self, certificates: Certificates) -> None:
        trusted = self.start(certificates, cacertfile=__file__)
        assert f"no usable certificate of an authority in cacertfile {__file__}: " in str(trusted)
        assert certificates.server.certfile not in str(trusted)
        assert certificates.server.keyfile not in str(trusted)
        own = self.start(certificates, keyfile=__file__, cacertfile=certificates.authority)
        assert f"no usable certificate and key in {certificates.server.certfile}, {__file__}: " in str(own)
        assert certificates.authority not in str(own)

    def test_key_of_another_certificate_is_refused(self, certificates: Certificates) -> None:
        assert "KEY_VALUES_MISMATCH" in str(self.start(certificates, keyfile=certificates.other.keyfile))

    def test_certificate_and_key_may_be_in_one_file(self, certificates: Certificates, tmp_path: Path) -> None:
        both = tmp_path / "both.pem"
        other = certificates.other
        both.write_text(Path(other.keyfile).read_text() + Path(other.certfile).read_text())
        with (
            serve_tls(Echo, certificates, {"certfile": both, "keyfile": both}) as server,
            connect_tls(server, certificates.trusting(), "other.example") as client,
        ):
            assert client.getpeercert(True) == other.der

    @pytest.mark.parametrize("password", [None, "wrong"])
    def test_locked_key_needs_its_password_and_nobody_is_asked_for_it(
        self, certificates: Certificates, password: str | None
    ) -> None:
        locked = certificates.locked
        cause = self.start(certificates, certfile=locked.certfile, keyfile=locked.keyfile, password=password)
        assert isinstance(cause, ssl.SSLError)

    @pytest.mark.parametrize("password", [PASSWORD, PASSWORD.encode(), lambda: PASSWORD])
    def test_locked_key_is_opened_by_its_password(self, certificates: Certificates, password: Any) -> None:
        locked = certificates.locked
        tls = {"certfile": locked.certfile, "keyfile": locked.keyfile, "password": password}
        with serve_tls(Echo, certificates, tls) as server, connect_tls(server, certificates.trusting()) as client:
            assert client.getpeercert(True) == locked.der


class TestRules:
    def test_version_is_one_of_those_allowed(self, certificates: Certificates) -> None:
        with (
            serve_tls(Echo, certificates, {"versions": ["TLSv1.2"]}) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert client.version() == "TLSv1.2"

    def test_cipher_is_one_of_those_allowed(self, certificates: Certificates) -> None:
        tls = {"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256", "versions": ["TLSv1.2"]}
        with (
            serve_tls(Echo, certificates, tls) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert client.cipher()[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"

    def test_ready_context_is_used_as_it_is(self, certificates: Certificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.other.certfile, certificates.other.keyfile)
        options = {"ip": "loopback", "context": context}
        with (
            serve(Echo, transport_module=SSL, transport_options=options) as server,
            connect_tls(server, certificates.trusting(), "other.example") as client,
        ):
            assert client.getpeercert(True) == certificates.other.der
            assert exchange(client, b"HI") == b"HI"
