"""PROXY headers as proxies send them."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from thousand_island.transports.crc32c import crc32c

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

CLIENT = ("192.0.2.7", 56_324)
ENTRANCE = ("198.51.100.1", 443)

UNKNOWN_LINE = b"PROXY UNKNOWN\r\n"


def line(source: tuple[str, int] = CLIENT, destination: tuple[str, int] = ENTRANCE) -> bytes:
    """A header of version 1."""
    family = f"TCP{ipaddress.ip_address(source[0]).version}"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def tlv(kind: int, value: bytes) -> bytes:
    """One type-length-value vector."""
    return struct.pack("!BH", kind, len(value)) + value


def addresses(source: Any = CLIENT, destination: Any = ENTRANCE) -> bytes:
    """The addresses of a header of version 2."""
    if source[0] == "local":
        return struct.pack("!108s108s", source[1].encode(), destination[1].encode())
    packed = b"".join(ipaddress.ip_address(host).packed for host, _ in (source, destination))
    return packed + struct.pack("!HH", source[1], destination[1])


def binary(block: bytes | None = None, tlvs: bytes = b"", *, command: int = 0x21, family: int = 0x11) -> bytes:
    """A header of version 2."""
    block = (addresses() if block is None else block) + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


def with_checksum(header: bytes) -> bytes:
    """The same header of version 2 with a TLV that has its checksum."""
    longer = header[:14] + struct.pack("!H", int.from_bytes(header[14:16]) + 7) + header[16:] + tlv(3, bytes(4))
    return longer[:-4] + struct.pack("!I", crc32c(longer))


LOCAL = binary(b"", command=0x20, family=0x00)
"""What HAProxy sends before its own health checks."""
