"""Where a server listens: what the ``ip`` and ``inet6`` options may be, and the address they stand for.

Reads options, and what systemd has put into the environment: it asks no name server and opens no socket.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from thousand_island.errors import BadOption
from thousand_island.transports.socket_activation import passed_descriptor

__all__ = ["ListenAddress", "listen_address"]

SocketAddress: TypeAlias = tuple[str, int] | str | bytes

# A constant of the module is not there on systems without unix sockets.
_AF_UNIX: Final = getattr(socket, "AF_UNIX", None)

# Bytes that the system has for the path of a unix socket (``sun_path``). That of a file ends with a zero byte.
_PATH_SIZE: Final = 108 if sys.platform == "linux" else 104

_NAMED: Final = {
    ("any", False): "0.0.0.0",
    ("any", True): "::",
    ("loopback", False): "127.0.0.1",
    ("loopback", True): "::1",
}


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address to listen on, in the form that the socket module takes.

    Attributes:
        family: the address family; None where a ready descriptor is taken over.
        address: ``(host, port)``, or the path of a unix socket; None for a descriptor.
        fd: the number of a descriptor that listens already, or None.
        dual_stack: whether IPv4 clients are served on this IPv6 address too.
    """

    family: socket.AddressFamily | None
    address: SocketAddress | None
    fd: int | None = None
    dual_stack: bool = False


def listen_address(ip: Any, port: int, *, inet6: bool | None = None) -> ListenAddress:
    """Gives the address that the options name.

    Args:
        ip: ``"any"``, ``"loopback"``, an IPv4 or IPv6 address as a string or as a tuple of 4 or 8 numbers,
            ``("local", path)`` for a unix socket, ``("fd", n)`` for a descriptor that listens already, or
            ``("fd", name)`` for one that systemd hands over: ``"systemd"`` for the first, or its FileDescriptorName.
            Such a descriptor goes on listening when the server is suspended or stopped: clients wait in its backlog.
        port: the port; it must be 0 for a unix socket, and means nothing for a descriptor.
        inet6: whether ``"any"`` and ``"loopback"`` mean the IPv6 ones; every other address must then be IPv6, and IPv4
            where it is False. None: they mean the IPv4 ones, and another address may be of either kind.

    Raises:
        BadOption: ``ip`` is none of these, names what systemd has not handed over, or contradicts ``port`` or
            ``inet6``.

    Counterpart: the ``ip`` option of ``ThousandIsland.Transports.TCP``.
    """
    match ip:
        case ("local", path):
            return _local(path, port, inet6 or False)
        case ("fd", fd):
            return _inherited(fd)
        case str():
            return _internet(ip, _NAMED.get((ip, inet6 or False), ip), port, inet6)
        case tuple():
            return _internet(ip, _from_numbers(ip), port, inet6)
    raise _refusal(ip)


def _local(path: Any, port: int, inet6: bool) -> ListenAddress:
    if not isinstance(path, str | bytes | os.PathLike) or not os.fspath(path):
        raise BadOption(f"ip must be ('local', path) with the path of a unix socket, got {('local', path)!r}")
    if port != 0:
        raise BadOption(f"port must be 0 where ip is a unix socket, got {port}")
    if inet6:
        raise BadOption("inet6 must be False where ip is a unix socket, got True")
    _check_path(os.fsencode(path))
    return ListenAddress(_AF_UNIX, os.fspath(path))


def _check_path(path: bytes) -> None:
    """Refuse what the system could not take, which it would not tell by an error of its own."""
    is_abstract = path.startswith(b"\0")
    if not is_abstract and b"\0" in path:
        raise BadOption(f"ip must be ('local', path) with a path that has no zero byte in it, got {path!r}")
    longest = _PATH_SIZE if is_abstract else _PATH_SIZE - 1
    if len(path) > longest:
        raise BadOption(f"ip must be ('local', path) with a path of at most {longest} bytes, got {len(path)}: {path!r}")


def _inherited(fd: Any) -> ListenAddress:
    if isinstance(fd, str) and fd:
        return ListenAddress(None, None, fd=passed_descriptor(fd))
    if not isinstance(fd, int) or isinstance(fd, bool) or fd < 0:
        raise BadOption(f"ip must be ('fd', n) with the number of a listening descriptor, got {('fd', fd)!r}")
    return ListenAddress(None, None, fd=fd)


def _internet(ip: Any, text: str, port: int, inet6: bool | None) -> ListenAddress:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise _refusal(ip) from None
    if parsed.version == 6:
        if inet6 is False:
            raise BadOption(f"ip must be an IPv4 address where inet6 is False, got {ip!r}")
        has_ipv4 = int(parsed) == 0 or parsed.ipv4_mapped is not None
        return ListenAddress(socket.AF_INET6, (str(parsed), port), dual_stack=has_ipv4)
    if inet6:
        raise BadOption(f"ip must be an IPv6 address where inet6 is True, got {ip!r}")
    return ListenAddress(socket.AF_INET, (str(parsed), port))


def _from_numbers(numbers: tuple[Any, ...]) -> str:
    width = {4: 1, 8: 2}.get(len(numbers))
    if width is None or not all(_is_number(number, below=256**width) for number in numbers):
        raise _refusal(numbers)
    packed = b"".join(number.to_bytes(width, "big") for number in numbers)
    return str(ipaddress.ip_address(packed))


def _is_number(value: Any, *, below: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _refusal(ip: Any) -> BadOption:
    expected = "'any', 'loopback', an IP address, a tuple of 4 or 8 numbers, ('local', path) or ('fd', n)"
    return BadOption(f"ip must be {expected}, got {ip!r}")
