"""The transports: clear TCP, and TLS.

Counterpart: ``ThousandIsland.Transports``.
"""

from __future__ import annotations

from thousand_island.transports.ssl import SSL
from thousand_island.transports.tcp import TCP

__all__ = ["SSL", "TCP"]
