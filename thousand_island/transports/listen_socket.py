"""A listening socket, and whose turn it is to accept from it.

Each readiness wakes one waiting acceptor, the one that has waited longest. An acceptor takes one connection and passes
the turn on at once; the turn ends at the acceptor that finds nothing.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections import deque
from typing import Any

from supervision.poller import Deliver
from supervision.process_table import Process
from supervision.readiness import Source, forget, watch
from supervision.scheduler import deliver
from thousand_island.transports.listen_options import ListenOptions
from thousand_island.transports.socket_file import SocketFile

__all__ = ["ListenSocket", "YourTurn"]


class YourTurn:
    """Tells an acceptor that there may be a connection for it."""

    __slots__ = ()


class _ListenSource(Source):
    """The readiness of a listening socket: it makes it somebody's turn."""

    __slots__ = ("listener",)

    def __init__(self, fd: int, process: Process, listener: ListenSocket) -> None:
        super().__init__(fd, process)
        self.listener = weakref.ref(listener)
        self.armed = True

    def tell(self, deliver: Deliver) -> None:
        """Wake one acceptor."""
        listener = self.listener()
        if listener is not None:
            listener.pass_turn()


class ListenSocket:
    """One listening socket.

    ``lock`` guards ``waiting``, ``ready``, ``closed`` and the watching of ``source``. ``ready`` says that there may be a
    connection and nobody has been told yet.
    """

    closed = True  # until it has been made
    number = -1

    def __init__(self, sock: socket.socket, options: ListenOptions, process: Process) -> None:
        # Opened now: when descriptors have run out there must be one to close with.
        self.nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.sock = sock
        self.options = options
        self.lock = threading.Lock()
        self.waiting: deque[Process] = deque()
        self.ready = False
        self.turn = YourTurn()
        self.source = _ListenSource(sock.fileno(), process, self)
        self.file: SocketFile | None = None
        self.tls: Any = None  # what a transport on top of TCP keeps with it
        self.closed = False

    def fileno(self) -> int:
        """The descriptor."""
        return self.sock.fileno()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept one connection, without waiting.

        Raises:
            BlockingIOError: there is none.
            OSError: what accept(2) can return; EBADF once closed.
        """
        return self.sock.accept()

    def wait_turn(self, acceptor: Process) -> None:
        """Have ``acceptor`` sent ``YourTurn`` when it is its turn and there may be a connection."""
        with self.lock:
            if not self.closed:
                watch(self.source)
                if not self.ready:
                    self.waiting.append(acceptor)
                    return
            self.ready = False
        deliver(acceptor, self.turn)

    def pass_turn(self) -> None:
        """There may be a connection: tell the acceptor that has waited longest."""
        while True:
            with self.lock:
                if not self.waiting:
                    self.ready = True
                    return
                acceptor = self.waiting.popleft()
            if not acceptor.dead:
                deliver(acceptor, self.turn)
                return

    def close(self) -> None:
        """Stop listening, at once and whoever is about to accept; the waiting acceptors get their turn to find out.

        The descriptor's number is kept until the last acceptor has let go of this object: another thread may be about
        to use it, and must not meet somebody else's socket there.
        """
        with self.lock:
            if self.closed:
                return
            self.closed = True
            waiting, self.waiting = self.waiting, deque()
        forget(self.source)
        if self.file is not None:
            self.file.remove()
        os.dup2(self.nothing, self.sock.fileno(), inheritable=False)  # the kernel closes the socket in the same step
        os.close(self.nothing)
        self.number = self.sock.detach()  # or the garbage collector would find a socket that nobody has closed
        for acceptor in waiting:
            deliver(acceptor, self.turn)

    def __del__(self) -> None:
        self.close()
        if self.number >= 0:
            os.close(self.number)
