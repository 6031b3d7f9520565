"""gevent's StreamServer: blocking code on greenlets."""

from __future__ import annotations

import socket
from typing import Any

from gevent.server import StreamServer

from benchmarks.servers.options import BACKLOG, READ_SIZE, Options, announce


def _echo(client: Any, _address: object) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := client.recv(READ_SIZE):
            client.sendall(data)
    except ConnectionError:
        pass


def stream_server(_options: Options) -> None:
    """`gevent.server.StreamServer`, a greenlet per connection."""
    server = StreamServer(("127.0.0.1", 0), _echo, backlog=BACKLOG)
    server.start()
    announce(server.server_port)
    server.serve_forever()
