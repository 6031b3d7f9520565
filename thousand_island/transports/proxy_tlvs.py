"""What a PROXY header of version 2 tells beside the addresses: its type-length-value vectors.

Pure; what the numbers mean is section 2.2 of the specification. Texts in them come from the client, by way of the
proxy: they are decoded without ever failing, and the bytes stay at hand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from thousand_island.errors import BadProxyHeader
from thousand_island.transports.crc32c import crc32c

__all__ = ["ALPN", "AUTHORITY", "NETNS", "SSL", "UNIQUE_ID", "ClientTLS", "check_crc32c", "client_tls", "text", "tlvs"]

ALPN: Final = 0x01
AUTHORITY: Final = 0x02
CRC32C: Final = 0x03
UNIQUE_ID: Final = 0x05
SSL: Final = 0x20
NETNS: Final = 0x30

_SSL_VERSION: Final = 0x21
_SSL_CN: Final = 0x22
_SSL_CIPHER: Final = 0x23
_SSL_SIG_ALG: Final = 0x24
_SSL_KEY_ALG: Final = 0x25

# Bits of the field ``client``.
_CLIENT_SSL: Final = 0x01
_CLIENT_CERT_CONN: Final = 0x02
_CLIENT_CERT_SESS: Final = 0x04

_HEAD: Final = struct.Struct("!BH")
_SSL_HEAD: Final = struct.Struct("!BI")
_CHECKSUM: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """How the client is connected to the proxy, as the proxy tells it (PP2_TYPE_SSL).

    Attributes:
        secure: whether by TLS.
        certificate_shown: whether the client has shown a certificate, on this connection or earlier in the session.
        certificate_verified: whether it has, and the proxy has verified it.
        version: the version of TLS, such as ``"TLSv1.3"``; None: not told.
        common_name: that of the certificate's subject; None: not told.
        cipher: the cipher suite; None: not told.
        signature_algorithm: of the proxy's certificate; None: not told.
        key_algorithm: of the proxy's certificate; None: not told.
    """

    secure: bool
    certificate_shown: bool
    certificate_verified: bool
    version: str | None = None
    common_name: str | None = None
    cipher: str | None = None
    signature_algorithm: str | None = None
    key_algorithm: str | None = None


def tlvs(data: bytes, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """Yield the vectors from ``start`` on: the type, where the value begins in ``data``, and the value.

    Raises:
        BadProxyHeader: one goes beyond the end.
    """
    while start < len(data):
        if len(data) - start < _HEAD.size:
            raise BadProxyHeader("it ends within the head of a TLV")
        kind, length = _HEAD.unpack_from(data, start)
        start += _HEAD.size
        if length > len(data) - start:
            raise BadProxyHeader(f"a TLV of type {kind:#04x} has {length} bytes, but {len(data) - start} are left")
        yield kind, start, data[start : start + length]
        start += length


def check_crc32c(header: bytes, start: int) -> None:
    """Refuse a header whose checksum is wrong; one that has none is let through.

    Args:
        header: all of it.
        start: where its TLVs begin.

    Raises:
        BadProxyHeader: the checksum, or a TLV, is wrong.
    """
    for kind, position, value in tlvs(header, start):
        if kind == CRC32C:
            end = position + len(value)
            # It was made with zeros in its own place.
            expected = _CHECKSUM.pack(crc32c(header[:position] + bytes(len(value)) + header[end:]))
            if value != expected:
                raise BadProxyHeader(f"its checksum is {value.hex()}, but should be {expected.hex()}")


def client_tls(value: bytes) -> ClientTLS:
    """Read the value of PP2_TYPE_SSL.

    Raises:
        BadProxyHeader: it is too short, or a TLV in it is wrong.
    """
    if len(value) < _SSL_HEAD.size:
        raise BadProxyHeader(f"its TLV about TLS has {len(value)} bytes, not at least {_SSL_HEAD.size}")
    client, verify = _SSL_HEAD.unpack_from(value)
    shown = bool(client & (_CLIENT_CERT_CONN | _CLIENT_CERT_SESS))
    more = {kind: one for kind, _, one in tlvs(value, _SSL_HEAD.size)}
    return ClientTLS(
        secure=bool(client & _CLIENT_SSL),
        certificate_shown=shown,
        certificate_verified=shown and verify == 0,  # HAProxy says 0 also where there was no certificate to verify
        version=text(more.get(_SSL_VERSION)),
        common_name=text(more.get(_SSL_CN)),
        cipher=text(more.get(_SSL_CIPHER)),
        signature_algorithm=text(more.get(_SSL_SIG_ALG)),
        key_algorithm=text(more.get(_SSL_KEY_ALG)),
    )


def text(value: bytes | None) -> str | None:
    """Return a value as text; None if there is none."""
    return None if value is None else value.decode(errors="replace")
