"""The file of a unix socket: its mode, a stale one in its place, and its removal.

Counterpart: none; ``gen_tcp`` leaves all of it to its users.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import TypeAlias

__all__ = ["SocketFile"]

Path: TypeAlias = str | bytes


class SocketFile:
    """The file of a bound unix socket.

    ``identity`` tells it from one that somebody else has put in its place since; None for an abstract address, which
    has no file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path if _is_abstract(path) else os.path.abspath(path)  # the program may change its directory
        self.identity = None if _is_abstract(path) else _identity(path)

    @classmethod
    def bind(cls, sock: socket.socket, path: Path, mode: int | None) -> SocketFile:
        """Bind ``sock``, which does not listen yet, to ``path``, in the place of a file that nobody listens on.

        Args:
            sock: the socket.
            path: where; a leading zero byte makes it an abstract address.
            mode: the permissions; None leaves them to the umask. The file has them before anybody can connect, because
                that takes a socket that listens.

        Raises:
            OSError: EADDRINUSE if a server listens there, or if what is there is no socket.
        """
        if not _is_abstract(path) and _is_stale(path):
            os.unlink(path)
        sock.bind(path)
        file = cls(path)
        if mode is not None and file.identity is not None:
            os.chmod(path, mode)
        return file

    def remove(self) -> None:
        """Remove the file, unless it is another one by now."""
        try:
            if self.identity is not None and _identity(self.path) == self.identity:
                os.unlink(self.path)
        except OSError:
            pass  # it has been removed already


def _is_abstract(path: Path) -> bool:
    return path[:1] in ("\0", b"\0")


def _identity(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _is_stale(path: Path) -> bool:
    """Whether a socket file is there that nobody listens on."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # its backlog is full, or we may not connect: somebody is there
    return False
