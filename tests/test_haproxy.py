"""A server behind HAProxy itself, which sends the PROXY headers."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from supervision import process
from tests.thousand_island.certificates import Certificates, make_certificates
from tests.thousand_island.serving import SECONDS, Server, Telling, events_of, exchange, message, serve
from thousand_island import Continue
from thousand_island.transports import SSL

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="there is no haproxy command")

CONFIGURATION = """
defaults
    mode tcp
    timeout connect 10s
    timeout client 10s
    timeout server 10s
listen entrance
    bind fd@{entrance} {bind}
    unique-id-format visit-%rt
    server thousand_island 127.0.0.1:{port} {server}
"""


class Subject(Telling):
    """Tells who is connected, and echoes."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        process.send(state, (socket.peername(), socket.connection_information().proxy))
        return Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(data)
        return Continue(state)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@contextlib.contextmanager
def haproxy(directory: pathlib.Path, server: Server, options: str, bind: str = "") -> Iterator[tuple[str, int]]:
    """Run HAProxy before a server; yield the address that it serves."""
    with socket.create_server(("127.0.0.1", 0)) as entrance:
        configuration = directory / "haproxy.cfg"
        configuration.write_text(
            CONFIGURATION.format(entrance=entrance.fileno(), bind=bind, port=server.address[1], server=options)
        )
        command = [str(HAPROXY), "-db", "-f", str(configuration)]
        with subprocess.Popen(command, pass_fds=[entrance.fileno()], stderr=subprocess.DEVNULL) as running:
            try:
                yield entrance.getsockname()
            finally:
                running.kill()


def serve_behind(**options: Any) -> Any:
    transport = {"ip": "loopback", "proxy_protocol": ["127.0.0.1"]} | options.pop("transport_options", {})
    return serve(Subject, handler_options=process.self(), transport_options=transport, **options)


@pytest.mark.parametrize(("option", "version"), [("send-proxy", 1), ("send-proxy-v2", 2)])
def test_handler_knows_the_client_of_haproxy(tmp_path: pathlib.Path, option: str, version: int) -> None:
    with (
        serve_behind() as server,
        haproxy(tmp_path, server, option) as entrance,
        socket.create_connection(entrance, timeout=SECONDS) as client,
    ):
        assert exchange(client, b"HELLO") == b"HELLO"
        peer, header = message()
        assert peer == header.source == client.getsockname()
        assert (header.version, header.destination) == (version, entrance)


def test_handler_knows_what_haproxy_knows_of_the_tls_that_it_has_ended(
    tmp_path: pathlib.Path, certificates: Certificates
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(pathlib.Path(one).read_bytes() for one in _files(certificates)))
    bind = f"ssl crt {both} alpn foo ca-file {certificates.authority} verify optional"
    options = "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,unique-id,crc32c"
    with serve_behind() as server, haproxy(tmp_path, server, options, bind) as entrance:
        context = certificates.trusting(certificates.client, ("foo",))
        clear = socket.create_connection(entrance, timeout=SECONDS)
        with context.wrap_socket(clear, server_hostname="localhost") as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            _, header = message()
            assert (header.alpn, header.authority) == ("foo", "localhost")
            assert header.unique_id.startswith(b"visit-")
            assert (header.tls.secure, header.tls.certificate_verified) == (True, True)
            assert (header.tls.version, header.tls.common_name) == (client.version(), "client")
            assert 0x03 in dict(header.tlvs)


def test_tls_may_go_through_haproxy(tmp_path: pathlib.Path, certificates: Certificates) -> None:
    tls = {"certfile": certificates.server.certfile, "keyfile": certificates.server.keyfile}
    with (
        serve_behind(transport_module=SSL, transport_options=tls) as server,
        haproxy(tmp_path, server, "send-proxy-v2") as entrance,
    ):
        clear = socket.create_connection(entrance, timeout=SECONDS)
        with certificates.trusting().wrap_socket(clear, server_hostname="localhost") as client:
            assert exchange(client, b"HELLO") == b"HELLO"
            assert message()[0] == client.getsockname()


def test_health_checks_of_haproxy_are_no_errors(tmp_path: pathlib.Path) -> None:
    with events_of(Subject) as events, serve_behind() as server:
        with haproxy(tmp_path, server, "send-proxy-v2 check inter 20"):
            for _ in range(3):
                events.wait("connection.stop")
        assert events.names("connection.pro") == []


def _files(certificates: Certificates) -> tuple[str, str]:
    return certificates.server.certfile, certificates.server.keyfile
