"""What is left of an encrypted connection that was closed before the system had taken its last bytes.

The kernel delivers by itself what it has taken. The rest, the goodbye at least, waits here until the peer has read
enough, without a thread and without a process, and no longer than ``linger`` says.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Any, Final

from supervision.readiness import Source, forget, watch
from supervision.scheduler import scheduler
from supervision.timers import Timer
from supervision.waits import Wait

__all__ = ["Lingering"]

_RESET: Final = struct.pack("ii", 1, 0)


class Lingering(Wait):
    """Sends what is left and closes the socket. Stands where a thread that waits for writability would.

    ``lock`` guards ``rest`` and ``sock``, which is None when all is done: the worker that polls, the one that fires the
    timer and the one that closes the connection may meet. Nothing blocks under it; the timers' lock is taken under it.
    """

    __slots__ = ("lock", "rest", "seconds", "sock", "source", "timer")

    def __init__(self, sock: socket.socket, source: Source, rest: Any, seconds: int) -> None:
        self.lock = threading.Lock()
        self.sock: socket.socket | None = sock
        self.source = source
        self.rest = rest
        self.seconds = seconds
        self.timer = Timer(time.monotonic() + seconds, Lingering._give_up, self)

    def start(self) -> None:
        """Take the socket over from its connection."""
        scheduler.add_timer(self.timer)
        source = self.source
        source.writer = self
        watch(source)
        if not source.watches_writing:
            scheduler.poller.watch_writing(source)
        self.fire()  # after it is attached: room that came before is met here, what comes later fires it again

    def fire(self, value: Any = None) -> bool:
        """There may be room: send, and close when nothing is left or nobody is there to read it."""
        with self.lock:
            if self.sock is None:
                return False
            try:
                while self.rest:
                    self.rest = self.rest[self.sock.send(self.rest) :]
            except BlockingIOError:
                return True
            except OSError:
                pass  # the peer has gone
            self._close(self.sock)
            return True

    def _give_up(self) -> None:
        with self.lock:
            if self.sock is not None:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._close(self.sock)

    def _close(self, sock: socket.socket) -> None:
        scheduler.timers.cancel(self.timer)
        forget(self.source)
        self.source.writer = None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.seconds * 1000)
        except (AttributeError, OSError):
            pass  # not on Linux, or a unix socket: the kernel decides
        sock.close()
        self.sock = None
