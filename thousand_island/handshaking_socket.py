"""How a Socket begins: the PROXY header and the handshake of its transport, and the handshake of an upgrade.

A transport of this library does not wait for the client in ``try_handshake``; another one does all at once, and may
block.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from operator import methodcaller
from typing import Any, Final, TypeVar

from supervision.errors import BadType
from thousand_island.errors import BadProxyHeader, SocketTimeout, ThousandIslandError
from thousand_island.owned_socket import OwnedSocket
from thousand_island.telemetry import signal_of
from thousand_island.transports.ssl import SSL
from thousand_island.transports.stream import Stream
from thousand_island.transports.tcp import TCP
from thousand_island.transports.tls_stream import TLSStream

__all__ = ["HandshakingSocket"]

_PROXIED: Final = signal_of("connection.proxied")
_PROXY_ERROR: Final = signal_of("connection.proxy_error")

_TRY: Final = methodcaller("try_handshake")

Self = TypeVar("Self", bound="HandshakingSocket")


class HandshakingSocket(OwnedSocket):
    """The part of Socket that its module's text names."""

    __slots__ = ()

    def handshake(self: Self) -> Self:
        """Completes the setup of the connection, within ``handshake_timeout``.

        Only handlers with a ``start_link`` of their own call it.

        Raises:
            BadProxyHeader: a trusted proxy has not sent a PROXY header, or a wrong one.

        Counterpart: ``ThousandIsland.Socket.handshake/1``.
        """
        self._check_owner()
        handshake = self.transport_module.handshake
        timeout = (self.config.handshake_timeout,) if _takes_timeout(handshake) else ()
        self.socket = self._go_on(handshake, *timeout)
        return self

    def upgrade(self: Self, transport_module: Any, options: Mapping[str, Any]) -> Self:
        """Turns the connection into one of ``transport_module``, in place, within ``handshake_timeout``.

        Raises:
            BadType: ``transport_module`` is no transport.
            UnsupportedUpgrade: that cannot be done.
            PlaintextPending: bytes that came in clear are still to be read.
            SocketTimeout: the client took too long.

        Counterpart: ``ThousandIsland.Socket.upgrade/3``.
        """
        self._check_owner()
        self.begin_upgrade(transport_module, options)
        if self.needs_handshake:
            self.handshake()
        return self

    # What the connection's process does with it

    @property
    def needs_handshake(self) -> bool:
        """Whether nothing can be sent and received before the rest of an upgrade, which is a handshake."""
        return isinstance(self.socket, TLSStream) and not self.socket.established

    def try_handshake(self) -> bool:
        """Goes on with the handshake, and tells whether it is done.

        If it is not, the owner is sent the ``source`` of its socket when there is a reason to go on.
        """
        handshake = self.transport_module.handshake
        awaits_header = self._awaits_header()
        if handshake is TCP.handshake and not awaits_header:
            return True
        if isinstance(self.socket, Stream) and (handshake is TCP.handshake or handshake is SSL.handshake):
            return bool(self._go_on(_TRY) if awaits_header else self._ask(_TRY))
        self.handshake()
        return True

    @property
    def proxied(self) -> bool:
        """Whether a PROXY header has come."""
        return isinstance(self.socket, Stream) and self.socket.proxy_header is not None

    def handshake_is_late(self) -> None:
        """Tells of a PROXY header that did not come in time, if it is that which is missing."""
        if self._awaits_header() and _PROXY_ERROR.receivers and self.open_span is not None:
            self.open_span.event(_PROXY_ERROR, {"error": SocketTimeout.reason})

    def begin_upgrade(self, transport_module: Any, options: Mapping[str, Any]) -> None:
        """Does what ``upgrade`` does but for the handshake, if there is one (``needs_handshake``)."""
        if not callable(getattr(transport_module, "upgrade", None)):
            # Not a BadOption: with that SwitchTransport ends the connection without a crash report.
            expected = "a transport, with the functions of thousand_island.Transport"
            raise BadType(f"transport_module must be {expected}, got {transport_module!r}")
        self.socket = self._ask(transport_module.upgrade, options)
        self.transport_module = transport_module
        self.receive = None
        self.changed = True

    def _go_on(self, function: Callable[..., Any], *args: Any) -> Any:
        """Do what ``_ask`` does, and tell what becomes of the PROXY header if one is to come."""
        if not self._awaits_header():
            return self._ask(function, *args)
        try:
            return function(self.socket, *args)
        except SocketTimeout as error:
            self.handshake_is_late()
            raise self._failed(error) from None
        except (OSError, ThousandIslandError) as error:
            raise self._failed(error, _PROXY_ERROR if isinstance(error, BadProxyHeader) else None) from None
        finally:
            self._tell_of_client()

    def _awaits_header(self) -> bool:
        return isinstance(self.socket, Stream) and self.socket.proxy_arrival is not None

    def _tell_of_client(self) -> None:
        header = self.socket.proxy_header
        if header is not None and header.source is not None and _PROXIED.receivers and self.open_span is not None:
            host, port = header.source
            self.open_span.event(_PROXIED, {"client_address": host, "client_port": port})


@functools.lru_cache(maxsize=64)  # asked for each connection, and there are few transports
def _takes_timeout(handshake: Any) -> bool:
    """Whether a transport's ``handshake`` takes a timeout, which older ones do not."""
    try:
        inspect.signature(handshake).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True
