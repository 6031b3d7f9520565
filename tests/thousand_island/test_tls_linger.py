"""How an encrypted connection is closed, whether or not its client reads."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import Any

from supervision import process
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import (
    SECONDS,
    Telling,
    is_closed,
    message,
    reason_of,
    receive_exactly,
)
from tests.thousand_island.tls import ManualClient, connect_tls, serve_tls
from thousand_island import Close, Continue, SendTimeout, SocketClosed


class TestClose:
    def test_what_was_sent_arrives_before_the_goodbye(self, certificates: Certificates) -> None:
        data = bytes(1 << 20)

        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.send(data)
                return Close(state)

        with (
            serve_tls(Sender, certificates, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert receive_exactly(client, len(data) + 1) == data

    def test_client_that_does_not_read_holds_nothing_up_and_gets_all_of_it_later(
        self, certificates: Certificates
    ) -> None:
        data = bytes(range(250)) * 40_000

        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                with contextlib.suppress(SendTimeout):
                    socket.send(data)
                process.send(state, ("sent", socket.getstat().send_oct))
                return Close(state)

        tls = {"sndbuf": 4_608, "send_timeout": 20, "send_timeout_close": False}
        with (
            serve_tls(Sender, certificates, tls, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            sent = message()[1]
            assert message() == ("handle_close", True, None)
            assert receive_exactly(client, len(data)) == data[:sent]

    def test_client_that_never_reads_is_reset_when_linger_is_over(self, certificates: Certificates) -> None:
        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                with contextlib.suppress(SendTimeout):
                    socket.send(bytes(32 << 20))
                return Close(state)

        tls = {"sndbuf": 4_608, "send_timeout": 200, "send_timeout_close": False, "linger": (True, 1)}
        with serve_tls(Sender, certificates, tls, handler_options=process.self()) as server, socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.settimeout(SECONDS)
            client.connect(server.address)
            manual = ManualClient(client, certificates.trusting())
            client.sendall(manual.shake_hands())
            assert message() == ("handle_close", True, None)
            ended = select.poll()
            ended.register(client, 0)  # only errors and the end
            assert ended.poll(SECONDS * 1000)

    def test_closed_socket_refuses_everything(self, certificates: Certificates) -> None:
        class Closer(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.close()
                refused = 0
                for use in (lambda: socket.send(b"x"), socket.recv, lambda: socket.shutdown("write"), socket.peercert):
                    try:
                        use()
                    except SocketClosed:
                        refused += 1
                process.send(state, ("refused", refused))
                return Continue(state)

        with (
            serve_tls(Closer, certificates, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            assert message() == ("refused", 4)
            assert is_closed(client)

    def test_killed_connection_is_closed_and_frees_its_thread(self, certificates: Certificates) -> None:
        class Sender(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("pid", self.pid))
                socket.send(bytes(64 << 20))
                return Continue(state)

        with (
            serve_tls(Sender, certificates, handler_options=process.self()) as server,
            connect_tls(server, certificates.trusting()) as client,
        ):
            pid = message()[1]
            ref = process.monitor(pid)
            process.exit(pid, "kill")
            assert reason_of(ref) == "killed"
            client.settimeout(SECONDS)
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                assert len(receive_exactly(client, 64 << 20)) < 64 << 20
        assert threading.active_count() < 50
