"""TLS over TCP.

Counterpart: ``ThousandIsland.Transports.SSL``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from supervision.foreign import this_process
from supervision.messages import INFINITY
from thousand_island.errors import NotSecure, PlaintextPending, ProtocolNotNegotiated, SocketClosed, UnsupportedUpgrade
from thousand_island.options import a_dict, check_names
from thousand_island.transports import tls_options
from thousand_island.transports.addresses import address_info
from thousand_island.transports.listen_options import ListenOptions
from thousand_island.transports.listen_socket import ListenSocket
from thousand_island.transports.proxy_protocol import ProxyHeader
from thousand_island.transports.stream import Stream
from thousand_island.transports.tcp import TCP
from thousand_island.transports.tls_context import cached_context, new_context
from thousand_island.transports.tls_options import TLSOptions
from thousand_island.transports.tls_stream import TLSStream

__all__ = ["SSL", "TLSInformation"]

_UPGRADE: Final = "the options of the upgrade"


@dataclass(frozen=True, slots=True)
class TLSInformation:
    """What a handshake agreed on.

    Attributes:
        protocol: the version, such as ``"TLSv1.3"``.
        cipher: the cipher suite, as OpenSSL calls it.
        cipher_bits: the secret bits of its key.
        sni_hostname: the host name that the client asked for; None: none, or the server has a ready ``context``.
        alpn_protocol: the application protocol; None: none.
        session_reused: whether the client resumed an earlier session.
        proxy: what a PROXY header told before the handshake; None: there was none.

    Counterpart: the list that ``ssl:connection_information/1`` returns.
    """

    protocol: str
    cipher: str
    cipher_bits: int
    sni_hostname: str | None
    alpn_protocol: str | None
    session_reused: bool
    proxy: ProxyHeader | None = None


@dataclass(frozen=True, slots=True)
class _Certificates:
    """What a listening socket's connections begin with, and how to make it anew."""

    options: TLSOptions
    context: ssl.SSLContext


class SSL(TCP):
    """TLS. ``listen`` gives a ``ListenSocket`` and ``accept`` a ``TLSStream``, whose handshake is still to be done.

    What is not here is as in ``TCP``.
    """

    @staticmethod
    def check_options(port: int, options: Mapping[str, Any]) -> None:
        """Refuse bad ``transport_options`` before anything is started."""
        ListenOptions.new(port, options, tls_options.OPTION_NAMES)
        TLSOptions.new(options)

    @staticmethod
    def listen(port: int, options: Mapping[str, Any]) -> ListenSocket:
        """Return a listening socket; the certificates are read now.

        Raises:
            OSError: the system refuses, or a certificate or key cannot be read.

        Counterpart: ``ThousandIsland.Transports.SSL.listen/2``.
        """
        tls = TLSOptions.new(options)
        certificates = _Certificates(tls, new_context(tls))
        clear = {name: value for name, value in options.items() if name not in tls_options.OPTION_NAMES}
        listener = TCP.listen(port, clear)
        listener.tls = certificates
        return listener

    @staticmethod
    def accept(listener: ListenSocket) -> TLSStream:
        """Return a connection that is waiting; it belongs to the caller.

        Raises:
            BlockingIOError: none is waiting; ``listener.wait_turn`` tells of the next.
            OSError: what accept(2) can return.

        Counterpart: ``ThousandIsland.Transports.SSL.accept/1``.
        """
        sock, address = listener.accept()
        sock.setblocking(False)
        stream = TLSStream(sock, listener.options, this_process(), listener.tls.context)
        if listener.options.proxy_protocol is not None:
            stream.meet(address_info(address))
        return stream

    @staticmethod
    def handshake(stream: Stream, timeout: float = INFINITY) -> Stream:
        """Shake hands, within ``timeout`` milliseconds, and return the connection. A PROXY header comes before that.

        Raises:
            SocketTimeout: not in time.
            SocketClosed: the peer has gone, or the connection is closed.
            BadProxyHeader: the connection must begin with a header and does not, or it is a wrong one.
            ssl.SSLError: the two could not agree.

        Counterpart: ``ThousandIsland.Transports.SSL.handshake/1``.
        """
        assert isinstance(stream, TLSStream)
        stream.handshake(timeout)
        return stream

    @staticmethod
    def upgrade(stream: Any, options: Mapping[str, Any]) -> TLSStream:
        """Turn a clear connection into an encrypted one, whose handshake is still to be done.

        The certificates are read again whenever their files have changed.

        Args:
            stream: a connection of ``TCP``.
            options: the options that TLS adds to those of TCP.

        Raises:
            UnsupportedUpgrade: it is no clear connection of ``TCP``.
            PlaintextPending: bytes that came in clear are still to be read.
            OSError: a certificate or key cannot be read.

        Counterpart: ``ThousandIsland.Transports.SSL.upgrade/2``.
        """
        if not isinstance(stream, Stream) or stream.secure:
            raise UnsupportedUpgrade("only a clear TCP connection can be upgraded to TLS")
        options = a_dict(_UPGRADE, options)
        check_names("the upgrade", options, tls_options.OPTION_NAMES)
        if stream.closed:
            raise SocketClosed("the connection is closed")
        if stream.buffered:
            raise PlaintextPending(f"{len(stream.buffered)} bytes came in clear before the upgrade and were not read")
        return TLSStream.over(stream, cached_context(TLSOptions.new(options, _UPGRADE)))

    # The method itself: a function around it would be one more on the path of every request. It narrows the type of
    # the stream, and no connection of this transport has another.
    send = staticmethod(TLSStream.send)  # type: ignore[assignment]

    @staticmethod
    def peercert(stream: Stream) -> bytes:
        """Return the client's certificate (DER).

        Raises:
            NotSecure: it has sent none.

        Counterpart: ``ssl:peercert/1``.
        """
        certificate = _session(stream).getpeercert(True)
        if certificate is None:
            raise NotSecure("the client has sent no certificate")
        return bytes(certificate)

    @staticmethod
    def secure() -> bool:
        """Return True.

        Counterpart: ``ThousandIsland.Transports.SSL.secure?/0``.
        """
        return True

    @staticmethod
    def negotiated_protocol(stream: Stream) -> str:
        """Return the application protocol that the handshake agreed on.

        Raises:
            ProtocolNotNegotiated: none.

        Counterpart: ``ssl:negotiated_protocol/1``.
        """
        protocol = _session(stream).selected_alpn_protocol()
        if protocol is None:
            raise ProtocolNotNegotiated("the handshake agreed on no application protocol")
        return str(protocol)

    @staticmethod
    def connection_information(stream: Stream) -> TLSInformation:
        """Return what the handshake agreed on.

        Counterpart: ``ssl:connection_information/1``.
        """
        session = _session(stream)
        cipher, protocol, bits = session.cipher()
        return TLSInformation(
            protocol=session.version() or protocol,
            cipher=cipher,
            cipher_bits=bits,
            sni_hostname=getattr(session, "sni_hostname", None),
            alpn_protocol=session.selected_alpn_protocol(),
            session_reused=bool(session.session_reused),
            proxy=stream.proxy_header,
        )

    @staticmethod
    def reload_certificates(listeners: Iterable[ListenSocket]) -> None:
        """Read the certificates anew, for the connections that are accepted from now on. All or none change.

        Raises:
            OSError: one cannot be read; the old ones stay in use.
        """
        listeners = list(listeners)
        loaded = [_Certificates(listener.tls.options, new_context(listener.tls.options)) for listener in listeners]
        for listener, certificates in zip(listeners, loaded, strict=True):
            listener.tls = certificates  # one store: a connection begins with the old or with the new


def _session(stream: Stream) -> Any:
    assert isinstance(stream, TLSStream)
    stream.check_usable()
    return stream.tls
