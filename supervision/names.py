"""Local names of processes, and what can be named as the destination of a message.

Owns the table of names. A name belongs to at most one live process and a process has at most one name.
"""

from __future__ import annotations

import threading
from typing import Any, Final, Protocol, runtime_checkable

from supervision.errors import AlreadyRegistered, BadArgument, BadType, NoProcess
from supervision.process_table import Pid, Process

__all__ = [
    "KeptByOwner",
    "Via",
    "ViaName",
    "check_destination",
    "check_name",
    "find",
    "find_receiver",
    "is_via",
    "register",
    "registered_names",
    "release",
    "resolve",
    "unregister",
]


@runtime_checkable
class Via(Protocol):
    """A name that somebody else keeps, such as a Registry.

    Counterpart: ``{via, Module, Name}``.
    """

    def register_name(self, pid: Pid) -> Any:
        """Give the name to ``pid``; if it is taken raises AlreadyRegistered, or returns False or ``"no"``."""

    def unregister_name(self) -> Any:
        """Take the name back. Its process has ended; this runs as another one, on whichever thread has ended it."""

    def whereis_name(self) -> Pid | None:
        """Return who has the name."""


# Guards both the table and ``Process.name``. A leaf: nothing is taken under it.
_lock = threading.Lock()
_names: dict[str, Process] = {}

EXPECTED: Final = "a non-empty string or a via (an object with register_name, unregister_name and whereis_name)"


class KeptByOwner:
    """The base of vias whose names go when their process ends, without anybody's calling ``unregister_name``."""

    __slots__ = ()


class ViaName:
    """A name that a process has by a via; given back when it ends."""

    __slots__ = ("via",)

    def __init__(self, via: Via) -> None:
        self.via = via

    def owner_died(self, process: Process, reason: Any) -> None:
        """Take the name back."""
        self.via.unregister_name()


def is_via(value: Any) -> bool:
    """Whether ``value`` is a via."""
    return isinstance(value, Via) and not isinstance(value, type)


def check_name(value: Any) -> Any:
    """Return ``value`` if it can name a process.

    Raises:
        BadType, BadArgument: it cannot.
    """
    if isinstance(value, str) and not value:
        raise BadArgument(f"name must be {EXPECTED}, got ''")
    if not isinstance(value, str) and not is_via(value):
        raise BadType(f"name must be {EXPECTED}, got {value!r}")
    return value


def register(name: str, process: Process) -> None:
    """Give ``name`` to ``process``.

    Raises:
        AlreadyRegistered: the name belongs to a live process, or the process has a name.
        NoProcess: the process is dead.
    """
    with _lock:
        holder = _names.get(name)
        if holder is not None and not holder.dead:
            raise AlreadyRegistered(holder.pid, name)
        if process.dead:  # ``dead`` is set before ``release`` takes the lock, so a dead process keeps no name
            raise NoProcess(process.pid)
        if process.name is not None:
            raise AlreadyRegistered(process.pid, process.name)
        _names[name] = process
        process.name = name


def unregister(name: str) -> None:
    """Take ``name`` back.

    Raises:
        BadType: it is no string.
        NoProcess: nobody has it, or somebody who is dead and about to lose it.
    """
    if not isinstance(name, str):
        raise BadType(f"name must be a string, got {name!r}")
    with _lock:
        process = _names.get(name)
        if process is None or process.dead:
            raise NoProcess(name)
        del _names[name]
        process.name = None


def release(process: Process) -> None:
    """Take the name of a dead process back."""
    with _lock:
        if process.name is not None and _names.get(process.name) is process:
            del _names[process.name]


def forget_all() -> None:
    """Begin anew, in a forked child, which may have been copied while another thread held the lock."""
    global _lock
    _lock = threading.Lock()
    _names.clear()


def registered_names() -> list[str]:
    """All local names; those of the dead, who are about to lose them, are nobody's already."""
    with _lock:
        return [name for name, process in _names.items() if not process.dead]


def check_destination(dest: Any) -> None:
    """Refuse what is neither a pid nor a name nor a via.

    Raises:
        BadType: it is none of these.
    """
    if not isinstance(dest, Pid | str) and not is_via(dest):
        raise BadType(f"the destination must be a Pid, {EXPECTED}, got {dest!r}")


def find(dest: Any) -> Process | None:
    """Return the process behind a pid, a name or a via; None for a name that nobody has, and for None.

    Raises:
        BadType: ``dest`` is none of these.
    """
    if isinstance(dest, Pid):
        return dest._process
    if isinstance(dest, str):
        # A single read, which needs no lock; the answer may be out of date at once in any case.
        return _names.get(dest)
    if dest is None:  # what ``whereis`` gave: nobody
        return None
    check_destination(dest)
    return find(dest.whereis_name())


def find_receiver(dest: Any) -> Process | None:
    """``find`` for whoever sends without wanting to know of failures: a via that raises finds nobody.

    Raises:
        BadType: ``dest`` is none of these.
    """
    try:
        return find(dest)
    except BadType:
        raise
    except Exception:  # noqa: BLE001  a via is the user's
        return None


def resolve(dest: Any) -> Process:
    """Return the process behind ``dest``, which may be dead if it is a pid.

    Raises:
        NoProcess: nobody has that name.
        BadType: ``dest`` is no destination.
    """
    process = find(dest)
    if process is None:
        raise NoProcess(dest)
    return process
