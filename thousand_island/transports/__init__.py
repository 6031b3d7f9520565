"""The transports: clear TCP, and TLS; and what their connections tell of themselves.

Counterpart: ``ThousandIsland.Transports``.
"""

from __future__ import annotations

from thousand_island.transports.proxy_protocol import ProxyHeader
from thousand_island.transports.proxy_tlvs import ClientTLS
from thousand_island.transports.ssl import SSL, TLSInformation
from thousand_island.transports.tcp import TCP, TCPInformation

__all__ = ["SSL", "TCP", "ClientTLS", "ProxyHeader", "TCPInformation", "TLSInformation"]
