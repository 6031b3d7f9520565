"""Clients that mean no good, by the hundred: others are served meanwhile, and nothing is left of them."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import threading
from typing import Any

import pytest

from supervision import process
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import (
    Echo,
    Server,
    Telling,
    events_of,
    exchange,
    interpreter,
    message,
    serve,
)
from tests.thousand_island.test_churn import census, more_than
from tests.thousand_island.tls import connect_tls, manual_client, serve_tls
from thousand_island import Continue, stop

# Clients of each test in a normal run; ``HOSTILE=1000 pytest …`` for a large one. Both ends are open in this process.
COUNT = int(os.environ.get("HOSTILE", "200"))

# Bytes that no buffers of the system take for a client that does not read.
MUCH = 2_000_000


class Sender(Telling):
    """Sends more than the client will take, and tells when it begins."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        if data == b"much":
            process.send(state, ("sends",))
            data = bytes(MUCH)
        socket.send(data)
        return Continue(state)


@contextlib.contextmanager
def serve_sender(certificates: Certificates | None, **options: Any) -> Any:
    """A server over TCP, or over TLS where there are certificates; yields it and how to connect."""
    small = {"sndbuf": 8_192, **options}
    common = {"handler_options": process.self(), "num_acceptors": 4, "shutdown_timeout": 100}
    if certificates is None:
        with serve(Sender, transport_options={"ip": "loopback", **small}, **common) as server:
            yield server, server.connect
    else:
        context = certificates.trusting()
        with serve_tls(Sender, certificates, {**small, "linger": (True, 0)}, **common) as server:
            yield server, lambda: connect_tls(server, context)


@pytest.fixture(params=["TCP", "SSL"])
def identity(request: pytest.FixtureRequest) -> Certificates | None:
    """What a server over TLS needs, or None for one over TCP."""
    return request.getfixturevalue("certificates") if request.param == "SSL" else None


class TestNeverReading:
    """Each holds a thread, by design: its handler waits in ``send``. ``send_timeout`` bounds for how long."""

    def block(self, connect: Any, threads: int) -> list[Any]:
        """Connect clients until their handlers wait in ``send``; somebody else is served then."""
        clients = [connect() for _ in range(COUNT)]
        for client in clients:
            client.sendall(b"much")
        for _ in clients:
            message(lambda one: one == ("sends",))
        with connect() as other:
            assert exchange(other, b"HELLO") == b"HELLO"
        message(lambda one: one == ("handle_close", False, None))
        assert threading.active_count() <= threads + COUNT + 20
        return clients

    def test_each_is_given_up_after_the_send_timeout(self, identity: Certificates | None) -> None:
        before, threads = census(), threading.active_count()
        with serve_sender(identity, send_timeout=1_000) as (server, connect):
            clients = self.block(connect, threads)
            for _ in clients:
                message(lambda one: one == ("handle_timeout", False, None))
            server.wait_until_empty()
            for client in clients:
                client.close()
        assert more_than(before) == {}

    def test_stop_ends_them_at_once(self, identity: Certificates | None) -> None:
        with serve_sender(identity, send_timeout=60_000) as (server, connect):
            clients = self.block(connect, threading.active_count())
            connections = server.connections()
            stop(server.pid, 100)
            assert [pid for pid in connections if process.is_alive(pid)] == []
            for client in clients:
                client.close()
        # Their threads come back one by one, and with each its socket is given back: the fixture waits for that.


class TestGarbage:
    def test_random_bytes_at_the_port_of_tls_hurt_nobody(self, certificates: Certificates) -> None:
        chance = random.Random(4)
        starts = [
            b"",
            b"\x16\x03\x01",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\x17\x03\x03",
            b"\x80\x2e\x01",
        ]
        before = census()
        with events_of(Echo) as events, serve_tls(Echo, certificates, num_acceptors=4) as server:
            with connect_tls(server, certificates.trusting()) as other:
                for number in range(COUNT):
                    with server.connect() as client, contextlib.suppress(ConnectionError):
                        client.sendall(chance.choice(starts) + chance.randbytes(chance.randrange(1, 600)))
                    assert number % 10 or exchange(other, b"HELLO") == b"HELLO"
            for _ in range(COUNT + 1):
                events.wait("connection.stop")
            server.wait_until_empty()
        assert more_than(before) == {}

    @pytest.mark.parametrize("position", range(0, 60, 4))
    def test_a_flipped_byte_in_a_hello_ends_that_connection_or_nothing(
        self, certificates: Certificates, position: int
    ) -> None:
        with serve_tls(Echo, certificates) as server:
            with manual_client(server, certificates) as client:
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.tls.do_handshake()
                client.socket.sendall(flipped(client.outgoing.read(), position))
                client.socket.shutdown(socket.SHUT_WR)  # a flipped length may have the server wait for more
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    client.fill()
                    client.shake_hands()
            self.serves_others(server, certificates)

    def test_a_flipped_byte_in_the_last_words_of_a_handshake_is_an_error_of_it(
        self, certificates: Certificates
    ) -> None:
        with events_of(Echo) as events, serve_tls(Echo, certificates) as server:
            with manual_client(server, certificates) as client:
                client.socket.sendall(flipped(client.shake_hands(), -1))
                assert isinstance(events.wait("connection.stop")[1]["error"], ssl.SSLError)
            self.serves_others(server, certificates)

    def test_a_flipped_byte_in_data_is_never_delivered_and_fills_no_log(
        self, certificates: Certificates, caplog: pytest.LogCaptureFixture
    ) -> None:
        with events_of(Echo) as events, serve_tls(Echo, certificates) as server:
            with manual_client(server, certificates) as client:
                client.socket.sendall(client.shake_hands())
                client.socket.sendall(client.encrypted(b"one"))
                assert client.receive(3) == b"one"
                client.socket.sendall(flipped(client.encrypted(b"two"), -1))
                assert isinstance(events.wait("connection.stop")[1]["error"], ssl.SSLError)
            assert [measured["data"] for measured, _ in events.all("connection.async_recv")] == [b"one"]
            server.settle()
            assert not caplog.records
            self.serves_others(server, certificates)

    def serves_others(self, server: Server, certificates: Certificates) -> None:
        with connect_tls(server, certificates.trusting()) as other:
            assert exchange(other, b"HELLO") == b"HELLO"


def flipped(data: bytes, position: int) -> bytes:
    """The same with one bit changed."""
    changed = bytearray(data)
    changed[position] ^= 0x10
    return bytes(changed)


# Descriptors that the server's program may have, and clients that all want one at once.
FEW = 128
CLIENTS = 300

EXHAUSTED = f"""
import os, resource, sys, threading
import blinker
import thousand_island
from tests.thousand_island.serving import Echo

resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, {FEW}))
exhausted = threading.Event()
tell = lambda sender, **details: exhausted.set()
blinker.signal("thousand_island.acceptor.emfile").connect(tell)
before = len(os.listdir("/dev/fd"))
server = thousand_island.start_link(handler_module=Echo, port=0, transport_options={{"ip": "loopback"}})
print(thousand_island.listener_info(server)[1], flush=True)
exhausted.wait()
print("exhausted", flush=True)
sys.stdin.readline()
thousand_island.stop(server)
print(len(os.listdir("/dev/fd")) - before, flush=True)
sys.stdin.readline()
"""


class TestDescriptors:
    def test_a_server_that_runs_out_of_them_recovers_by_itself(self) -> None:
        with interpreter(EXHAUSTED) as running, contextlib.ExitStack() as open_clients:
            server = Server(None, ("127.0.0.1", int(running.stdout.readline())))  # type: ignore[arg-type]
            clients = [open_clients.enter_context(server.connect()) for _ in range(CLIENTS)]
            assert running.stdout.readline() == "exhausted\n"
            for client in clients[: FEW // 2]:
                assert exchange(client, b"HELLO") == b"HELLO"  # those that were accepted go on
            for client in clients[:-50]:
                client.close()
            for client in clients[-50:]:
                assert exchange(client, b"HELLO") == b"HELLO"  # and those that waited are accepted
                client.close()
            running.stdin.write("\n")
            running.stdin.flush()
            # What the runtime keeps for itself: its poller, and what wakes it.
            assert int(running.stdout.readline()) <= 4
