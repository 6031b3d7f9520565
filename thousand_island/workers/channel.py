r"""The control channel between the parent and one worker: a socket pair with frames of bytes, most of which are JSON.

A frame is its length as four bytes, the most significant first, and so many bytes. The parent's first frame is the
pickled ``Order``; all others are JSON objects:

===================================  ==============================================================
the parent asks                      the worker says
===================================  ==============================================================
``{"id": n, "ask": "info"}``         ``{"id": n, "answer": {"active_connections": n}}``
``{"id": n, "ask": "metrics"}``      ``{"id": n, "answer": snapshot}``, see ``metric_sums``
\                                    ``{"serving": true}``, once
\                                    ``{"failed": text}``, once, instead
\                                    ``{"counted": snapshot}``, as the last thing after draining
===================================  ==============================================================

Its end, however it comes about, tells the other side that this one is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from typing import Any, Final

from supervision.process_table import Process
from supervision.readiness import MailedSource, forget, watch
from supervision.signals import entrust

__all__ = ["Frames", "ParentEnd", "WorkerEnd", "frame"]

_LENGTH: Final = struct.Struct("!I")

# Bytes that one read asks for. Most frames are much shorter.
_READ_SIZE: Final = 65_536


def frame(content: bytes) -> bytes:
    """Returns the frame with this content."""
    return _LENGTH.pack(len(content)) + content


class Frames:
    """Cuts what comes in into the contents of frames. Pure."""

    def __init__(self) -> None:
        self.rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the contents that are complete now."""
        self.rest += data
        contents = []
        while len(self.rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self.rest)
            end = _LENGTH.size + length
            if len(self.rest) < end:
                break
            contents.append(bytes(self.rest[_LENGTH.size : end]))
            del self.rest[:end]
        return contents


class ParentEnd:
    """The parent's end, which never waits. Owned by the process that makes it, which is told of what comes in.

    ``lock`` guards the end of ``sock``. Whoever tells of the owner's death and whoever buries it may come in either
    order, or at once; after the burial the number of the descriptor may be another's.
    """

    def __init__(self, sock: socket.socket, owner: Process) -> None:
        sock.setblocking(False)
        self.lock = threading.Lock()
        self.sock = sock
        self.frames = Frames()
        self.is_broken = False
        self.source = MailedSource(sock.fileno(), owner)
        watch(self.source)
        # Not before: the owner's thread may be about to use its number when somebody else ends the owner.
        owner.at_burial = self._close
        entrust(owner, self)

    def is_told_by(self, message: Any) -> bool:
        """Whether ``message`` to the owner says that there is something to read."""
        return message is self.source

    def told(self) -> list[Any]:
        """What has come in; for the owner, when it was told."""
        self.source.posted.release()  # before the read, so that what comes later is told again
        return self.take()

    def take(self) -> list[Any]:
        """What has come in, be it told or not."""
        messages = []
        with contextlib.suppress(OSError):  # nothing more, or the worker is gone, of which its owner hears otherwise
            while data := self.sock.recv(_READ_SIZE):
                messages += [json.loads(content) for content in self.frames.feed(data)]
        return messages

    def tell(self, message: Any) -> bool:
        """Send a message; False if the worker takes none any more."""
        content = frame(json.dumps(message).encode())
        if not self.is_broken:
            try:
                self.is_broken = self.sock.send(content) < len(content)  # it has not read for thousands of messages
            except OSError:
                self.is_broken = True
        return not self.is_broken

    def owner_died(self, process: Process, reason: Any) -> None:
        """End it, which ends a worker that still runs."""
        with self.lock:
            forget(self.source)  # nothing, if it is closed already
            with contextlib.suppress(OSError):  # it is, or the worker has gone
                self.sock.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        with self.lock:
            forget(self.source)
            self.sock.close()


class WorkerEnd:
    """The worker's end, which waits. One thread reads; any may write."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # it was, for the worker to get it; its own children must not hold it
        self.sock = socket.socket(fileno=descriptor)
        self.frames = Frames()
        self.contents: list[bytes] = []
        # Guards the writing: one frame is whole before the next begins.
        self.lock = threading.Lock()

    def receive(self) -> bytes | None:
        """Wait for the next frame and return its content; None when the parent is gone. Ends by nothing else."""
        while not self.contents:
            try:
                data = self.sock.recv(_READ_SIZE)
            except OSError:
                data = b""
            if not data:
                return None
            self.contents = self.frames.feed(data)
        return self.contents.pop(0)

    def tell(self, message: Any) -> None:
        """Send a message; into the void if the parent is gone."""
        with self.lock, contextlib.suppress(OSError):
            self.sock.sendall(frame(json.dumps(message).encode()))
