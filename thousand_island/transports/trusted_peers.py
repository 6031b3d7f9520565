"""The ``proxy_protocol`` option: from which peers a PROXY header is taken.

Whether a connection begins with a header is decided by its peer's address alone, before anything is read. It is never
guessed from what comes: the specification forbids that, because then any client could give itself another address.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from thousand_island.errors import BadOption
from thousand_island.transport import SocketInfo

__all__ = ["TrustedPeers"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOCAL: Final = "local"
_NETWORKS: Final = (str, ipaddress.IPv4Network, ipaddress.IPv6Network, ipaddress.IPv4Address, ipaddress.IPv6Address)


@dataclass(frozen=True, slots=True)
class TrustedPeers:
    """The proxies, by their addresses. Made by ``TrustedPeers.new``.

    Attributes:
        networks: those that connect from there are proxies.
        local: whether those that connect to a unix socket are.
    """

    networks: tuple[Network, ...] = ()
    local: bool = False

    @classmethod
    def new(cls, name: str, value: Any) -> TrustedPeers | None:
        """Checks the option: a list of networks and addresses as ``ipaddress`` knows them, and ``"local"``; or None.

        Raises:
            BadOption: it is something else, or names nobody.
        """
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not value:
            raise BadOption(
                f"{name} must be a list that names the trusted proxies, such as ['10.0.0.0/8'], got {value!r}"
            )
        networks = tuple(_network(name, one) for one in value if not _is_local(one))
        return cls(networks, any(_is_local(one) for one in value))

    def include(self, peer: SocketInfo) -> bool:
        """Whether ``peer`` is one of the proxies."""
        host, port = peer
        if not isinstance(port, int):
            return self.local
        address = ipaddress.ip_address(host)
        return any(address in network for network in self.networks)


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and value == _LOCAL


def _network(name: str, value: Any) -> Network:
    if not isinstance(value, _NETWORKS):
        raise BadOption(f"{name} must have strings, or networks of ipaddress, got {value!r}")
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise BadOption(f"{name} must have networks, addresses and 'local', but {error}") from None
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        raise BadOption(f"{name} must have the IPv4 network itself: such peers are known by IPv4, got {value!r}")
    return network
