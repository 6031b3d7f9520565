"""The floor for sending files: accept, `os.sendfile` until done, close; nothing else."""

from __future__ import annotations

import os
import socket

from benchmarks.servers.options import BACKLOG, READ_SIZE, Options, announce


def _send(file: int, peer: socket.socket) -> None:
    offset = 0
    left = os.fstat(file).st_size
    while left:
        sent = os.sendfile(peer.fileno(), file, offset, left)
        offset += sent
        left -= sent


def sendfile_loop(options: Options) -> None:
    """Answers any request with the large file."""
    assert options.large_file is not None
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        announce(listener.getsockname()[1])
        while True:
            peer, _ = listener.accept()
            with peer, options.large_file.open("rb") as file:
                peer.recv(READ_SIZE)
                _send(file.fileno(), peer)
