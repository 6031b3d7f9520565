"""Changing the certificates of a running server."""

from __future__ import annotations

from typing import Any

from supervision.threads import library_call
from thousand_island.errors import NotSecure, ServerUnavailable
from thousand_island.server import shared

__all__ = ["reload_certificates"]


@library_call
def reload_certificates(server: Any) -> None:
    """Reads the certificates and keys of a TLS server anew, from the same files, for the connections to come.

    If one of them cannot be read, all the old ones stay in use. Connections that are open keep theirs. A server that
    switches to TLS by ``SwitchTransport`` needs no call: it notices by itself that files have changed.

    Args:
        server: a pid, a registered name or a via.

    Raises:
        OSError: a file cannot be read, or (an ``ssl.SSLError``) is not what it should be; the text names it.
        NotSecure: the server's transport has no certificates.
        ServerUnavailable: it is not running, or suspended; ``resume`` reads them anew.

    Counterpart: ``ssl:clear_pem_cache/0``.
    """
    listening = shared(server)
    transport = listening.config.transport_module
    reload = getattr(transport, "reload_certificates", None)
    if reload is None or not transport.secure():
        raise NotSecure(f"the server {server!r} has no certificates")
    sockets = list(listening.sockets)
    if not sockets:
        raise ServerUnavailable(f"the server {server!r} does not listen")
    reload(sockets)
