"""The checksum of a PROXY header: CRC-32C (Castagnoli), which the standard library does not have.

Counterpart: RFC 3720, B.4.
"""

from __future__ import annotations

from typing import Final

__all__ = ["crc32c"]

_POLYNOMIAL: Final = 0x82F63B78  # with its bits reversed, as they are sent


def _of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ _POLYNOMIAL if byte & 1 else byte >> 1
    return byte


_TABLE: Final = tuple(_of_byte(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """Return the checksum of ``data``."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = checksum >> 8 ^ _TABLE[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF
