"""The ``transport_options`` of a TCP server: their names, defaults and checks.

Reads options only and opens no socket; how they are applied to one is the transport's business. Knows nothing of TLS
but that a transport may take more names than these.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from supervision import arguments
from thousand_island.errors import BadOption
from thousand_island.options import Check, a_c_int, a_dict, check_names, check_values
from thousand_island.transports.listen_address import ListenAddress, listen_address
from thousand_island.transports.trusted_peers import TrustedPeers

__all__ = ["OPTION_NAMES", "ListenOptions", "buffer_size", "linger"]


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """How to listen, checked and complete. Made by ``ListenOptions.new``.

    Attributes:
        address: where to listen, from ``ip``, ``inet6`` and the port.
        backlog: how many connections the system keeps for the acceptors.
        nodelay: whether small writes are sent at once (TCP_NODELAY).
        linger: whether unsent bytes are still delivered after a close, and for how many seconds at most.
        send_timeout: how long a send may wait for the peer, in milliseconds or ``INFINITY``.
        send_timeout_close: whether the connection is closed when that time runs out.
        reuseaddr: whether a port may be bound that old connections still use (SO_REUSEADDR).
        reuseport: whether several sockets may listen on the port (SO_REUSEPORT).
        keepalive: whether the system probes idle connections (SO_KEEPALIVE).
        recbuf: bytes of the system's receive buffer (SO_RCVBUF); None leaves it to the system.
        sndbuf: bytes of the system's send buffer (SO_SNDBUF); None leaves it to the system.
        buffer: most bytes that one read asks for; None leaves it to the transport.
        socket_mode: the file permissions of a unix socket, as a number; None leaves them to the umask.
        proxy_protocol: the proxies that begin every connection with a PROXY header; None: there are none. Given as a
            list of networks and addresses (strings, or objects of ``ipaddress``), with ``"local"`` for the peers of a
            unix socket. Everybody else is an ordinary client, whose bytes are data whatever they look like.

    Counterpart: ``t:ThousandIsland.Transports.TCP.options/0``.
    """

    address: ListenAddress
    backlog: int = 1_024
    nodelay: bool = True
    linger: tuple[bool, int] = (True, 30)
    send_timeout: int | float = 30_000
    send_timeout_close: bool = True
    reuseaddr: bool = True
    reuseport: bool = False
    keepalive: bool = False
    recbuf: int | None = None
    sndbuf: int | None = None
    buffer: int | None = None
    socket_mode: int | None = None
    proxy_protocol: TrustedPeers | None = None

    @classmethod
    def new(cls, port: int, options: Mapping[str, Any], extra_names: Collection[str] = ()) -> ListenOptions:
        """Checks the options and completes them with the defaults.

        Args:
            port: the server's ``port`` option.
            options: its ``transport_options``.
            extra_names: names that the transport itself reads; they are let through unread.

        Raises:
            UnknownOption: a name is unknown; the text has the nearest one. It is also a TypeError.
            BadOption: a value is refused, contradicts another option, or must not be set. It is also a ValueError.

        Counterpart: ``ThousandIsland.Transports.TCP.listen/2``, which sets the defaults there.
        """
        options = a_dict("transport_options", options)
        _refuse_fixed(options)
        check_names("transport_options", options, OPTION_NAMES.union(extra_names))
        checked = check_values(options, _CHECKS)
        inet6 = checked.pop("inet6", None)
        address = listen_address(options.get("ip", "any"), port, inet6=inet6)
        _check_socket_mode(address, checked.get("socket_mode"))
        _check_proxies(address, checked.get("proxy_protocol"))
        return cls(address=address, **checked)


# Erlang's names for what a port here does in one way only. Upstream overrides them in silence.
_FIXED: Final = {"mode": "data is always bytes", "active": "the server itself decides when it reads"}


def _refuse_fixed(options: Mapping[str, Any]) -> None:
    for name, why in _FIXED.items():
        if name in options:
            raise BadOption(f"{name} cannot be set in transport_options: {why}")


# Seconds. The system takes them as milliseconds, and those as an int of C.
_LONGEST_LINGER: Final = (2**31 - 1) // 1000


def linger(name: str, value: Any) -> tuple[bool, int]:
    """Refuse what is no pair of a bool and a whole number of seconds."""
    match value:
        case (bool(enabled), int(seconds)) if not isinstance(seconds, bool) and 0 <= seconds <= _LONGEST_LINGER:
            return enabled, seconds
    expected = f"a pair of a bool and a whole number of seconds, at most {_LONGEST_LINGER}, such as (True, 30)"
    raise BadOption(f"{name} must be {expected}, got {value!r}")


def _backlog(name: str, value: Any) -> int:
    return a_c_int(name, value, minimum=1)


def buffer_size(name: str, value: Any) -> int | None:
    """Refuse what is no number of bytes that the system could keep, or None."""
    return None if value is None else a_c_int(name, value, minimum=1)


def _socket_mode(name: str, value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o777):
        return value
    raise BadOption(f"{name} must be file permissions from 0 to 0o777, got {value!r}")


_CHECKS: Final[dict[str, Check]] = {
    "inet6": arguments.boolean,
    "backlog": _backlog,
    "nodelay": arguments.boolean,
    "linger": linger,
    "send_timeout": arguments.milliseconds,
    "send_timeout_close": arguments.boolean,
    "reuseaddr": arguments.boolean,
    "reuseport": arguments.boolean,
    "keepalive": arguments.boolean,
    "recbuf": buffer_size,
    "sndbuf": buffer_size,
    "buffer": buffer_size,
    "socket_mode": _socket_mode,
    "proxy_protocol": TrustedPeers.new,
}

OPTION_NAMES: Final = frozenset({"ip", *_CHECKS})
"""The names that ``transport_options`` of a TCP server may have."""


def _check_socket_mode(address: ListenAddress, mode: int | None) -> None:
    if mode is not None and not isinstance(address.address, str | bytes):
        raise BadOption("socket_mode is for unix sockets: it needs ip=('local', path)")


def _check_proxies(address: ListenAddress, proxies: TrustedPeers | None) -> None:
    if proxies is not None and isinstance(address.address, str | bytes) and not proxies.local:
        raise BadOption("proxy_protocol must name 'local' where ip is a unix socket: its peers have no address")
