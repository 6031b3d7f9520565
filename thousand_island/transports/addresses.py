"""Addresses of the socket module, in the form that handlers, telemetry and limits know."""

from __future__ import annotations

import os
import socket
from typing import Any, Final

from thousand_island.transport import SocketInfo

__all__ = ["address_info"]

_NO_PEER: Final = ("local", "")


def address_info(address: Any) -> SocketInfo:
    """Return an address of the socket module as ``(host, port)`` or ``("local", path)``; mapped IPv4 as IPv4.

    A link-local host has its zone: nobody could connect to it without.
    """
    if isinstance(address, tuple):
        host, port = address[:2]
        if len(address) == 4 and address[3]:
            host = f"{host}%{_zone(address[3])}"
        if host.startswith("::ffff:") and "." in host:
            host = host[len("::ffff:") :]
        return host, port
    if isinstance(address, bytes):
        address = os.fsdecode(address)
    return ("local", address) if address else _NO_PEER


def _zone(number: int) -> str:
    try:
        return socket.if_indextoname(number)
    except OSError:  # there is no such interface any more
        return str(number)
