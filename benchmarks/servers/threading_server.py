"""The standard library's blocking peer: one thread per connection."""

from __future__ import annotations

import socket
import socketserver

from benchmarks.servers.options import BACKLOG, READ_SIZE, Options, announce


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


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = BACKLOG


def threading_tcp(_options: Options) -> None:
    """`socketserver.ThreadingTCPServer`."""
    with _Server(("127.0.0.1", 0), _Echo) as server:
        announce(server.server_address[1])
        server.serve_forever()
