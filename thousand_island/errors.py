"""Every error of the server: what it means, which built-in it also is, and the reason it stands for.

Owns the exception classes and ``reason_string``, which turns an error into the value that handlers, exit reasons and
telemetry see. Knows nothing of sockets, processes or options.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any, ClassVar, Final

__all__ = [
    "AlreadyAttached",
    "BadOption",
    "BadProxyHeader",
    "MissingOption",
    "NotAttached",
    "NotOwner",
    "NotSecure",
    "PlaintextPending",
    "ProtocolNotNegotiated",
    "SendTimeout",
    "ServerUnavailable",
    "SocketClosed",
    "SocketTimeout",
    "ThousandIslandError",
    "UnknownOption",
    "UnsupportedUpgrade",
    "WorkerFailed",
    "reason_string",
]


class ThousandIslandError(Exception):
    """The base of every error that the server library finds and raises.

    Attributes:
        reason: the short name of the error as ``handle_error`` and telemetry show it; None where it has none.
    """

    reason: ClassVar[str | None] = None


class ServerUnavailable(ThousandIslandError, LookupError):
    """The server cannot answer: it is suspended, starting, stopping, gone, or could not bind its port.

    Counterpart: ``:error`` of ``ThousandIsland.listener_info/1``, ``suspend/1``, ``resume/1`` and their like.
    """


class SocketClosed(ThousandIslandError, ConnectionError):
    """The connection is closed, by the peer or by this side.

    Counterpart: ``{:error, :closed}``.
    """

    reason = "closed"


class SocketTimeout(ThousandIslandError, TimeoutError):
    """Nothing came, or not enough, before the timeout ran out. What did come is kept for the next ``recv``.

    Counterpart: ``{:error, :timeout}``.
    """

    reason = "timeout"


class SendTimeout(SocketTimeout):
    """The peer did not take everything within ``send_timeout``.

    Counterpart: ``{:error, {:timeout, rest_data}}``.
    """

    def __init__(self, *rest: bytes | memoryview) -> None:
        super().__init__(f"{sum(map(len, rest))} bytes were not sent before send_timeout ran out")
        self._pieces = rest

    @property
    def rest(self) -> bytes:
        """The bytes that were not sent, and are not about to be by themselves."""
        # Joined only for those who ask: a thousand clients may be given up at once, with megabytes for each.
        return b"".join(self._pieces)

    def __reduce__(self) -> tuple[type[SendTimeout], tuple[bytes]]:
        return type(self), (self.rest,)


class NotSecure(ThousandIslandError):
    """The question makes sense for an encrypted connection only.

    Counterpart: ``{:error, :not_secure}``.
    """

    reason = "not_secure"


class ProtocolNotNegotiated(ThousandIslandError, LookupError):
    """The handshake agreed on no application protocol.

    Counterpart: ``{:error, :protocol_not_negotiated}``.
    """

    reason = "protocol_not_negotiated"


class UnsupportedUpgrade(ThousandIslandError, ValueError):
    """The connection's transport cannot be turned into the one that was asked for.

    Counterpart: ``{:error, :unsupported_upgrade}``.
    """

    reason = "unsupported_upgrade"


class PlaintextPending(UnsupportedUpgrade):
    """Bytes that came in clear are still to be read: after the upgrade they would pass for encrypted ones."""

    reason = "plaintext_pending"


class BadProxyHeader(ThousandIslandError, ValueError):
    """A trusted proxy did not begin with a header of the PROXY protocol, or with one that is wrong; the text says how.

    It is itself the reason that ``handle_error`` and telemetry get, as the errors of a TLS handshake are.
    """


class NotOwner(ThousandIslandError):
    """The socket belongs to another process.

    Counterpart: ``{:error, :not_owner}``.
    """

    reason = "not_owner"


class AlreadyAttached(ThousandIslandError, ValueError):
    """The logger is attached at this level already.

    Counterpart: ``{:error, :already_exists}`` of ``ThousandIsland.Logger.attach_logger/1``.
    """


class NotAttached(ThousandIslandError, LookupError):
    """The logger is not attached at this level.

    Counterpart: ``{:error, :not_found}`` of ``ThousandIsland.Logger.detach_logger/1``.
    """


class BadOption(ThousandIslandError, ValueError):
    """An option, or a ``Persistent`` timeout, has a value that is refused or contradicts another option."""


class UnknownOption(ThousandIslandError, TypeError):
    """There is no option of this name; the text offers the nearest one."""


class MissingOption(ThousandIslandError, TypeError):
    """An option without a default was not given."""


class WorkerFailed(ThousandIslandError, RuntimeError):
    """A worker, which is an operating-system process, could not be started; the text says which and why."""


# One number may have two names, and the table of the errno module keeps only one of them. accept(2), send(2) and
# Erlang's inet speak of these.
_ERRNO_NAMES: Final = dict(errno.errorcode) | {
    errno.EAGAIN: "EAGAIN",
    errno.EDEADLK: "EDEADLK",
    errno.EOPNOTSUPP: "EOPNOTSUPP",
}

# For errors that Python code raised without an errno.
_NAMES_WITHOUT_ERRNO: Final[dict[type[OSError], str]] = {
    BlockingIOError: "eagain",
    BrokenPipeError: "epipe",
    ConnectionAbortedError: "econnaborted",
    ConnectionRefusedError: "econnrefused",
    ConnectionResetError: "econnreset",
    TimeoutError: "timeout",
}


def reason_string(error: Any) -> Any:
    """Gives the value by which an error is known to ``handle_error``, exit reasons and telemetry.

    Returns:
        ``"closed"``, ``"timeout"`` and the other short names for the errors of this library; the errno name in lower
        case for an OSError (``"econnreset"``, ``"emfile"``); ``"closed"`` for a TLS connection that ended;
        ``"nxdomain"`` for a name that does not resolve. Anything else as it is: other TLS errors, exceptions of other
        kinds, plain values.

    Counterpart: ``t:inet.posix/0`` and the reasons of ``gen_tcp`` and ``ssl``.
    """
    match error:
        case ThousandIslandError():
            return error if error.reason is None else error.reason
        case ssl.SSLZeroReturnError() | ssl.SSLEOFError():
            return "closed"
        case ssl.SSLError():
            return error
        case socket.gaierror():
            return "nxdomain"
        case OSError():
            return _os_error_name(error)
    return error


def _os_error_name(error: OSError) -> Any:
    if error.errno in _ERRNO_NAMES:
        return _ERRNO_NAMES[error.errno].lower()
    return _NAMES_WITHOUT_ERRNO.get(type(error), error)
