"""The PROXY protocol: what a proxy says of its client, versions 1 (a line) and 2 (binary), before the client's bytes.

Pure: it reads the bytes that there are, and knows no socket, no clock and no trust. The parser of ``proxy-protocol``
does not serve: it sets no limits, lets errors of ``struct`` and ``int`` out, and needs two more packages at run time.

Counterpart: none; the specification is https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from thousand_island.errors import BadProxyHeader
from thousand_island.transport import SocketInfo
from thousand_island.transports import proxy_tlvs
from thousand_island.transports.addresses import address_info
from thousand_island.transports.proxy_tlvs import ClientTLS, check_crc32c, client_tls, text, tlvs

__all__ = ["HEADER_MOST", "ProxyHeader", "parse"]

# Bytes of a whole header of version 2. The length field allows for 64 KB; HAProxy builds and takes what fits into one
# of its buffers, which have this size.
HEADER_MOST: Final = 16_384

# Bytes of a whole header of version 1; the specification has counted the worst case.
LINE_MOST: Final = 107

_SIGNATURE_1: Final = b"PROXY "
_SIGNATURE_2: Final = b"\r\n\r\n\x00\r\nQUIT\n"

_HEAD: Final = struct.Struct("!12sBBH")

_LOCAL: Final = 0
_PROXY: Final = 1
_UNSPEC: Final = 0

# By the address family: the two addresses, and the two ports where there are some.
_ADDRESSES: Final = {1: struct.Struct("!4s4sHH"), 2: struct.Struct("!16s16sHH"), 3: struct.Struct("!108s108s")}
_FAMILIES: Final = {1: socket.AF_INET, 2: socket.AF_INET6}
_PROTOCOLS: Final = frozenset({0, 1, 2})  # unspecified, stream, datagram

# By what a line calls them.
_LINE_FAMILIES: Final[dict[bytes, tuple[Any, Any]]] = {
    b"TCP4": (socket.AF_INET, ipaddress.IPv4Address),
    b"TCP6": (socket.AF_INET6, ipaddress.IPv6Address),
}


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a proxy has told of its client.

    Attributes:
        version: of the protocol, 1 or 2.
        source: the client, as ``peername()`` gives it: ``(host, port)`` or ``("local", path)``; None: the proxy speaks
            for itself (LOCAL), or does not know (UNKNOWN), and the connection is the proxy's own.
        destination: what the client had connected to; None likewise.
        alpn: the application protocol that the client and the proxy agreed on; None: not told, as below.
        authority: the host name that the client asked for.
        unique_id: what the proxy calls the connection.
        netns: the network namespace in which the proxy met the client.
        tls: how the client is connected to the proxy.
        tlvs: all that was told, as pairs of type and value, in the order in which it came; none in version 1.
    """

    version: int
    source: SocketInfo | None = None
    destination: SocketInfo | None = None
    alpn: str | None = None
    authority: str | None = None
    unique_id: bytes | None = None
    netns: str | None = None
    tls: ClientTLS | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()


Found: TypeAlias = tuple[ProxyHeader, int]


def parse(data: bytes) -> Found | None:
    """Read the header that ``data`` begins with.

    Returns:
        The header and how many bytes it takes; what follows is the client's. None: more bytes are needed.

    Raises:
        BadProxyHeader: whatever follows, it is none.
    """
    if data[:6] == _SIGNATURE_1[: len(data)]:
        return _parse_line(data)
    if data[:12] == _SIGNATURE_2[: len(data)]:
        return _parse_binary(data)
    raise BadProxyHeader(f"it begins with {data[:12]!r}, which is the signature of neither version")


# Version 1


def _parse_line(data: bytes) -> Found | None:
    end = data.find(b"\r\n", 0, LINE_MOST)
    if end >= 0:
        return _of_line(data[:end]), end + 2
    if len(data) >= LINE_MOST:
        raise BadProxyHeader(f"its line does not end within {LINE_MOST} bytes")
    return None


def _of_line(line: bytes) -> ProxyHeader:
    match line.split(b" "):
        case [_, b"UNKNOWN", *_]:  # the rest is to be ignored
            return ProxyHeader(1)
        case [_, b"TCP4" | b"TCP6" as family, source, destination, source_port, destination_port]:
            return ProxyHeader(
                1, _end_of(family, source, source_port, line), _end_of(family, destination, destination_port, line)
            )
    raise _bad(line)


def _end_of(name: bytes, host: bytes, port: bytes, line: bytes) -> SocketInfo:
    family, address = _LINE_FAMILIES[name]
    try:
        packed = address(host.decode("ascii")).packed
    except ValueError:
        raise _bad(line) from None
    if b"%" in host or not _is_port(port):
        raise _bad(line)
    return _internet(family, packed, int(port))


def _is_port(port: bytes) -> bool:
    return port.isdigit() and (port == b"0" or port[:1] != b"0") and len(port) <= 5 and int(port) <= 0xFFFF


def _bad(line: bytes) -> BadProxyHeader:
    return BadProxyHeader(f"its line must name UNKNOWN, or TCP4 or TCP6 with two addresses and two ports, got {line!r}")


# Version 2


def _parse_binary(data: bytes) -> Found | None:
    if len(data) < _HEAD.size:
        return None
    _, version_and_command, family_and_protocol, length = _HEAD.unpack_from(data)
    size = _HEAD.size + length
    _check_head(version_and_command, family_and_protocol, size)
    if len(data) < size:
        return None
    family = family_and_protocol >> 4
    if version_and_command & 0xF == _LOCAL or family == _UNSPEC:
        return ProxyHeader(2), size  # the rest is to be ignored
    return _of_block(data[:size], family), size


def _check_head(version_and_command: int, family_and_protocol: int, size: int) -> None:
    if version_and_command >> 4 != 2 or version_and_command & 0xF not in (_LOCAL, _PROXY):
        raise BadProxyHeader(f"its version and command are {version_and_command:#04x}, which is none of 0x20 and 0x21")
    family, protocol = family_and_protocol >> 4, family_and_protocol & 0xF
    if (family != _UNSPEC and family not in _ADDRESSES) or protocol not in _PROTOCOLS:
        raise BadProxyHeader(f"its address family and protocol are {family_and_protocol:#04x}, which is not known")
    if size > HEADER_MOST:
        raise BadProxyHeader(f"it has {size} bytes, more than {HEADER_MOST}")


def _of_block(header: bytes, family: int) -> ProxyHeader:
    addresses = _ADDRESSES[family]
    start = _HEAD.size + addresses.size
    if len(header) < start:
        raise BadProxyHeader(f"it has {len(header)} bytes, but its addresses end at {start}")
    check_crc32c(header, start)
    source, destination = _ends(family, addresses.unpack_from(header, _HEAD.size))
    told = tuple((kind, value) for kind, _, value in tlvs(header, start))
    return ProxyHeader(2, source, destination, **_details(dict(told)), tlvs=told)


def _ends(family: int, fields: tuple[Any, ...]) -> tuple[SocketInfo, SocketInfo]:
    internet = _FAMILIES.get(family)
    if internet is None:
        source, destination = fields
        return address_info(source.rstrip(b"\0")), address_info(destination.rstrip(b"\0"))
    source, destination, source_port, destination_port = fields
    return _internet(internet, source, source_port), _internet(internet, destination, destination_port)


def _details(told: dict[int, bytes]) -> dict[str, Any]:
    return {
        "alpn": text(told.get(proxy_tlvs.ALPN)),
        "authority": text(told.get(proxy_tlvs.AUTHORITY)),
        "unique_id": told.get(proxy_tlvs.UNIQUE_ID),
        "netns": text(told.get(proxy_tlvs.NETNS)),
        "tls": client_tls(told[proxy_tlvs.SSL]) if proxy_tlvs.SSL in told else None,
    }


def _internet(family: Any, packed: bytes, port: int) -> SocketInfo:
    return address_info((socket.inet_ntop(family, packed), port))
