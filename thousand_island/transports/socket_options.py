"""The options of a connection by their names, as ``getopts`` and ``setopts`` know them."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from supervision import arguments
from thousand_island.errors import BadOption, UnknownOption
from thousand_island.options import a_c_int, check_values
from thousand_island.transports.listen_options import buffer_size, linger

if TYPE_CHECKING:
    from thousand_island.transports.stream import Stream

__all__ = ["get", "set"]

# Kept by the kernel: the name, the level and option, and the type of the value.
_SYSTEM: Final[dict[str, tuple[int, int, type]]] = {
    "nodelay": (socket.IPPROTO_TCP, socket.TCP_NODELAY, bool),
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool),
    "reuseaddr": (socket.SOL_SOCKET, socket.SO_REUSEADDR, bool),
    "recbuf": (socket.SOL_SOCKET, socket.SO_RCVBUF, int),
    "sndbuf": (socket.SOL_SOCKET, socket.SO_SNDBUF, int),
}
if hasattr(socket, "SO_REUSEPORT"):
    _SYSTEM["reuseport"] = (socket.SOL_SOCKET, socket.SO_REUSEPORT, bool)

# Kept by the connection itself, with the check of a new value.
_OWN: Final[dict[str, Callable[[str, Any], Any]]] = {
    "send_timeout": arguments.milliseconds,
    "send_timeout_close": arguments.boolean,
    "linger": linger,
    "buffer": buffer_size,
}

_FIXED: Final = {"mode": "binary", "active": False}


def get(stream: Stream, names: Iterable[str]) -> dict[str, Any]:
    """Return the options ``names``.

    Raises:
        UnknownOption: there is no such option.
        BadOption: ``names`` is no list of names.
        OSError: the system refuses.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise BadOption(f"names must be a list of option names, got {names!r}")
    return {name: _get(stream, name) for name in names}


def _get(stream: Stream, name: str) -> Any:
    if name in _FIXED:
        return _FIXED[name]
    if name in _OWN:
        return getattr(stream.options, name)
    if name in _SYSTEM:
        level, option, kind = _SYSTEM[name]
        return kind(stream.sock.getsockopt(level, option))
    raise _unknown(name)


def set(stream: Stream, options: Mapping[str, Any]) -> None:
    """Set ``options``; all are checked before the first is set.

    Raises:
        UnknownOption: there is no such option.
        BadOption: a value is refused, the option cannot be changed, or ``options`` is no dict.
        OSError: the system refuses.
    """
    if not isinstance(options, Mapping):
        raise BadOption(f"options must be a dict of option names and values, got {options!r}")
    for name, value in options.items():
        _check(name, value)
    own = {name: value for name, value in options.items() if name in _OWN}
    if own:
        stream.options = dataclasses.replace(stream.options, **own)
    for name, value in options.items():
        if name in _SYSTEM:
            level, option, _ = _SYSTEM[name]
            stream.sock.setsockopt(level, option, value)


def _check(name: str, value: Any) -> None:
    if name in _FIXED:
        raise BadOption(f"{name} cannot be changed, got {value!r}")
    if name in _OWN:
        check_values({name: value}, {name: _OWN[name]})
    elif name in _SYSTEM:
        kind = _SYSTEM[name][2]
        check = arguments.boolean if kind is bool else a_c_int
        check_values({name: value}, {name: check})
    else:
        raise _unknown(name)


def _unknown(name: Any) -> UnknownOption:
    known = ", ".join(sorted({*_SYSTEM, *_OWN}))
    return UnknownOption(f"unknown socket option {name!r}; there are {known}")
