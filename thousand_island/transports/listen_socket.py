"""Our own listening sockets."""

from __future__ import annotations

import os
import socket
from typing import Any

from supervision.process_table import Process
from thousand_island.transports.listen_options import ListenOptions
from thousand_island.transports.socket_file import SocketFile
from thousand_island.transports.turns import Turns

__all__ = ["ListenSocket"]


class _Plain(socket.socket):
    """A socket that keeps its family and type as plain numbers: ``accept`` asks for both, for each connection.

    Those of its base class are properties that look the number up in an enumeration, at the cost of the accept itself.
    """

    __slots__ = ("family", "type")

    @classmethod
    def of(cls, sock: socket.socket) -> _Plain:
        """Take the descriptor of ``sock`` over."""
        family, kind = int(sock.family), int(sock.type)
        plain = cls(family, kind, sock.proto, fileno=sock.detach())
        plain.family, plain.type = family, kind  # type: ignore[misc, assignment]
        plain.setblocking(False)
        return plain


class ListenSocket(Turns):
    """One listening socket, and the acceptors that wait for their turn at it."""

    number = -1

    def __init__(self, sock: socket.socket, options: ListenOptions, process: Process) -> None:
        # Opened now: when descriptors have run out there must be one to close with.
        self.nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.sock = _Plain.of(sock)
        self.options = options
        self.file: SocketFile | None = None
        self.tls: Any = None  # what a transport on top of TCP keeps with it
        super().__init__(self.sock.fileno(), process)

    def fileno(self) -> int:
        """The descriptor, or -1 once closed."""
        return self.sock.fileno()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept one connection, without waiting.

        Raises:
            BlockingIOError: there is none.
            OSError: what accept(2) can return; EBADF once closed.
        """
        return self.sock.accept()

    def closing(self) -> None:
        """Stop listening, at once and whoever is about to accept.

        The descriptor's number is kept until the last of its acceptors is gone: the thread of one may be about to use
        it, and must not meet somebody else's socket there.
        """
        if self.file is not None:
            self.file.remove()
        os.dup2(self.nothing, self.sock.fileno(), inheritable=False)  # the kernel closes the socket in the same step
        os.close(self.nothing)
        self.number = self.sock.detach()

    def unused(self) -> None:
        """Give the number back."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)
