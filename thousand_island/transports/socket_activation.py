"""Listening sockets that systemd hands over: the protocol of sd_listen_fds(3).

The sockets are descriptors from 3 on. LISTEN_FDS says how many there are, LISTEN_PID for which process they are meant,
and LISTEN_FDNAMES, if given, their names, with colons in between.
"""

from __future__ import annotations

import os
from typing import Final

from thousand_island.errors import BadOption

__all__ = ["SYSTEMD", "passed_descriptor"]

SYSTEMD: Final = "systemd"
"""Stands for the first of the sockets."""

_FIRST: Final = 3


def passed_descriptor(name: str) -> int:
    """Return the descriptor that was handed over under ``name``, or the first for ``"systemd"``.

    It is closed in programs that this one starts, as sd_listen_fds(3) sees to.

    Raises:
        BadOption: there is none.
    """
    names = _names()
    if not names:
        raise BadOption(f"ip={('fd', name)!r} needs a socket that systemd hands over, and this process was given none")
    if name != SYSTEMD and name not in names:
        raise BadOption(f"ip must be ('fd', name) with one of the names {', '.join(names)}, got {('fd', name)!r}")
    descriptor = _FIRST if name == SYSTEMD else _FIRST + names.index(name)
    try:
        os.set_inheritable(descriptor, False)
    except OSError as error:
        raise BadOption(f"LISTEN_FDS speaks of descriptor {descriptor}, which is not open") from error
    return descriptor


def _names() -> list[str]:
    """The names of all the sockets, in the order of their descriptors."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):  # they were meant for the program that started this one
        return []
    count = os.environ.get("LISTEN_FDS", "")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    number = int(count) if count.isascii() and count.isdecimal() else 0
    return [names[index] if index < len(names) else "" for index in range(number)]
