"""Certificates by host name, and their replacement in a running server."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest

import thousand_island
from supervision import process
from tests.thousand_island.certificates import Certificates, Identity
from tests.thousand_island.serving import Echo, Server, Telling, exchange, message, serve
from tests.thousand_island.tls import connect_tls, serve_tls
from thousand_island import NotSecure, ServerUnavailable, reload_certificates
from thousand_island.transports.tls_context import cached_context
from thousand_island.transports.tls_options import TLSOptions


def shown(server: Server, certificates: Certificates, name: str = "localhost", **client: Any) -> bytes:
    """The certificate that a client gets which asks for ``name``, whatever it thinks of it."""
    context = certificates.trusting(**client)
    context.check_hostname = False
    with connect_tls(server, context, name) as connection:
        assert exchange(connection, b"HELLO") == b"HELLO"
        shown = connection.getpeercert(True)
        assert shown is not None
        return shown


def files(identity: Identity) -> dict[str, str]:
    return {"certfile": identity.certfile, "keyfile": identity.keyfile}


class TestSniHosts:
    def test_client_gets_the_certificate_of_the_host_it_asks_for(self, certificates: Certificates) -> None:
        tls = {"sni_hosts": {"Other.Example": files(certificates.other)}}
        with serve_tls(Echo, certificates, tls) as server:
            assert shown(server, certificates, "other.example") == certificates.other.der
            assert shown(server, certificates, "unknown.example") == certificates.server.der
            assert shown(server, certificates) == certificates.server.der

    def test_host_has_the_protocols_of_the_server(self, certificates: Certificates) -> None:
        tls = {"sni_hosts": {"other.example": files(certificates.other)}, "alpn_preferred_protocols": ["foo"]}
        with (
            serve_tls(Echo, certificates, tls) as server,
            connect_tls(server, certificates.trusting(protocols=("foo",)), "other.example") as client,
        ):
            assert client.selected_alpn_protocol() == "foo"

    def test_unknown_host_fails_where_there_is_no_other_certificate(self, certificates: Certificates) -> None:
        options = {"ip": "loopback", "sni_hosts": {"other.example": files(certificates.other)}}
        with serve_tls(Echo, certificates, transport_options=options) as server:
            assert shown(server, certificates, "other.example") == certificates.other.der
            with pytest.raises(ssl.SSLError):
                shown(server, certificates, "unknown.example")

    def test_client_must_still_show_its_certificate(self, certificates: Certificates) -> None:
        tls = {
            "sni_hosts": {"other.example": files(certificates.other)},
            "verify": "peer",
            "fail_if_no_peer_cert": True,
            "cacertfile": certificates.authority,
        }
        with serve_tls(Echo, certificates, tls) as server:
            mine = certificates.client
            assert shown(server, certificates, "other.example", identity=mine) == certificates.other.der
            with pytest.raises(ssl.SSLError):
                shown(server, certificates, "other.example")


class TestSniFun:
    def test_it_gives_options_or_a_context_or_nothing(self, certificates: Certificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.client.certfile, certificates.client.keyfile)
        hosts = {"other.example": files(certificates.other), "client.example": context}
        with serve_tls(Echo, certificates, {"sni_fun": hosts.get}) as server:
            assert shown(server, certificates, "other.example") == certificates.other.der
            assert shown(server, certificates, "client.example") == certificates.client.der
            assert shown(server, certificates, "unknown.example") == certificates.server.der

    @pytest.mark.parametrize("result", [ZeroDivisionError("boom"), 5, {"certfile": "only"}])
    def test_its_failure_fails_the_handshake_and_is_told(
        self, certificates: Certificates, result: Any, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def sni_fun(name: str) -> Any:
            if isinstance(result, Exception):
                raise result
            return result

        with serve_tls(Telling, certificates, {"sni_fun": sni_fun}, handler_options=process.self()) as server:
            with pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"):
                shown(server, certificates)
            name, _, reason = message()
        assert name == "handle_error"
        assert "sni_fun failed" in reason.__notes__[0]
        assert capfd.readouterr().err == ""


@pytest.fixture
def changing(certificates: Certificates, tmp_path: Path) -> Any:
    """Paths of a certificate and key, and a function that replaces what is there."""
    paths = {"certfile": str(tmp_path / "cert.pem"), "keyfile": str(tmp_path / "key.pem")}

    def put(identity: Identity) -> None:
        shutil.copy(identity.certfile, paths["certfile"])
        shutil.copy(identity.keyfile, paths["keyfile"])

    put(certificates.server)
    return paths, put


class TestReload:
    def test_new_connections_get_the_new_certificate_and_old_ones_go_on(
        self, certificates: Certificates, changing: Any
    ) -> None:
        paths, put = changing
        options = {"num_acceptors": 2, "num_listen_sockets": 2}
        with (
            serve_tls(Echo, certificates, {**paths, "reuseport": True}, **options) as server,
            connect_tls(server, certificates.trusting()) as old,
        ):
            put(certificates.other)
            assert shown(server, certificates) == certificates.server.der
            reload_certificates(server.pid)
            assert {shown(server, certificates) for _ in range(10)} == {certificates.other.der}
            assert exchange(old, b"HELLO") == b"HELLO"

    @pytest.mark.parametrize("content", ["", "nonsense", None])
    def test_what_cannot_be_loaded_leaves_everything_as_it_is(
        self, certificates: Certificates, changing: Any, content: str | None
    ) -> None:
        paths, put = changing
        with serve_tls(Echo, certificates, paths) as server:
            if content is None:
                Path(paths["keyfile"]).unlink()
            else:
                Path(paths["keyfile"]).write_text(content)
            with pytest.raises(OSError, match=paths["keyfile"]):
                reload_certificates(server.pid)
            assert shown(server, certificates) == certificates.server.der
            put(certificates.other)
            reload_certificates(server.pid)
            assert shown(server, certificates) == certificates.other.der

    def test_clear_server_has_none(self) -> None:
        with serve(Echo) as server, pytest.raises(NotSecure):
            reload_certificates(server.pid)

    def test_server_that_is_gone_cannot(self, certificates: Certificates) -> None:
        with serve_tls(Echo, certificates) as server:
            thousand_island.stop(server.pid)
            with pytest.raises(ServerUnavailable):
                reload_certificates(server.pid)

    def test_suspended_server_cannot_and_resume_reads_them_anew(
        self, certificates: Certificates, changing: Any
    ) -> None:
        paths, put = changing
        with serve_tls(Echo, certificates, paths) as server:
            thousand_island.suspend(server.pid)
            with pytest.raises(ServerUnavailable):
                reload_certificates(server.pid)
            put(certificates.other)
            thousand_island.resume(server.pid)
            resumed = Server(server.pid, thousand_island.listener_info(server.pid))
            assert shown(resumed, certificates) == certificates.other.der


class TestCachedContext:
    def test_it_is_made_once_while_its_files_do_not_change(self, certificates: Certificates, changing: Any) -> None:
        paths, put = changing
        context = cached_context(TLSOptions.new(paths))
        assert cached_context(TLSOptions.new(dict(paths))) is context
        put(certificates.other)
        assert cached_context(TLSOptions.new(paths)) is not context

    def test_files_that_have_gone_are_an_error_and_not_what_they_were(self, changing: Any) -> None:
        paths, _ = changing
        cached_context(TLSOptions.new(paths))
        Path(paths["certfile"]).unlink()
        with pytest.raises(FileNotFoundError):
            cached_context(TLSOptions.new(paths))
