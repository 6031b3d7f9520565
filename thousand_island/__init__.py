"""A socket server as a supervision tree, with handlers in plain blocking Python.

Counterpart: ``ThousandIsland``.
"""

from __future__ import annotations

from thousand_island import logger, telemetry, transports
from thousand_island.api import (
    ServerInfo,
    child_spec,
    connection_pids,
    info,
    listener_info,
    resume,
    start_link,
    status,
    stop,
    suspend,
)
from thousand_island.certificates import reload_certificates
from thousand_island.errors import (
    AlreadyAttached,
    BadOption,
    BadProxyHeader,
    MissingOption,
    NotAttached,
    NotOwner,
    NotSecure,
    PlaintextPending,
    ProtocolNotNegotiated,
    SendTimeout,
    ServerUnavailable,
    SocketClosed,
    SocketTimeout,
    ThousandIslandError,
    UnknownOption,
    UnsupportedUpgrade,
)
from thousand_island.handler import Handler
from thousand_island.ready import Ready
from thousand_island.results import Close, Continue, Error, Persistent, SwitchTransport
from thousand_island.server_config import ServerConfig
from thousand_island.socket import Socket
from thousand_island.transport import SocketStats, Transport

__all__ = [
    "AlreadyAttached",
    "BadOption",
    "BadProxyHeader",
    "Close",
    "Continue",
    "Error",
    "Handler",
    "MissingOption",
    "NotAttached",
    "NotOwner",
    "NotSecure",
    "Persistent",
    "PlaintextPending",
    "ProtocolNotNegotiated",
    "Ready",
    "SendTimeout",
    "ServerConfig",
    "ServerInfo",
    "ServerUnavailable",
    "Socket",
    "SocketClosed",
    "SocketStats",
    "SocketTimeout",
    "SwitchTransport",
    "ThousandIslandError",
    "Transport",
    "UnknownOption",
    "UnsupportedUpgrade",
    "child_spec",
    "connection_pids",
    "info",
    "listener_info",
    "logger",
    "reload_certificates",
    "resume",
    "start_link",
    "status",
    "stop",
    "suspend",
    "telemetry",
    "transports",
]
