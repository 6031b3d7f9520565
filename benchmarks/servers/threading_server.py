"""The standard library's blocking peer: one thread per connection."""

from __future__ import annotations

import socket
import socketserver
import time

from benchmarks.servers.options import BACKLOG, NAP, READ_SIZE, Options, announce


class _Echo(socketserver.BaseRequestHandler):
    request: socket.socket

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self) -> None:
        try:
            while data := self.request.recv(READ_SIZE):
                self.request.sendall(data)
        except ConnectionError:
            pass


class _SleepyEcho(_Echo):
    def handle(self) -> None:
        try:
            while data := self.request.recv(READ_SIZE):
                time.sleep(NAP)
                self.request.sendall(data)
        except ConnectionError:
            pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = BACKLOG


def threading_tcp(_options: Options) -> None:
    """`socketserver.ThreadingTCPServer`."""
    _serve(_Echo)


def threading_tcp_sleepy(_options: Options) -> None:
    """The same, with a handler that sleeps before each echo."""
    _serve(_SleepyEcho)


def _serve(handler: type[socketserver.BaseRequestHandler]) -> None:
    with _Server(("127.0.0.1", 0), handler) as server:
        announce(server.server_address[1])
        server.serve_forever()
