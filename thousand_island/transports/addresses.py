"""Addresses of the socket module, in the form that handlers, telemetry and limits know."""

from __future__ import annotations

import os
from typing import Any, Final

from thousand_island.transport import SocketInfo

__all__ = ["address_info"]

_NO_PEER: Final = ("local", "")


def address_info(address: Any) -> SocketInfo:
    """Return an address of the socket module as ``(host, port)`` or ``("local", path)``; mapped IPv4 as IPv4."""
    if isinstance(address, tuple):
        host, port = address[:2]
        if host.startswith("::ffff:") and "." in host:
            host = host[len("::ffff:") :]
        return host, port
    if isinstance(address, bytes):
        address = os.fsdecode(address)
    return ("local", address) if address else _NO_PEER
