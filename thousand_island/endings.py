"""How a connection ends: for each cause the exit reason, the one callback, and whether the socket is open then.

This is the only place that knows. It decides; ``ending_connection`` acts.

Counterpart: the clauses of ``terminate/2`` in ``ThousandIsland.Handler``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from thousand_island.errors import reason_string
from thousand_island.results import UNSET

__all__ = ["Ending"]


@dataclass(frozen=True, slots=True)
class Ending:
    """What happens at the end of a connection.

    Attributes:
        reason: the exit reason.
        callback: the Handler callback that is called, or None.
        socket_open: whether the socket is still open then; it is closed afterwards in any case.
        error: ``error`` of the stop event; UNSET: none. Also the argument of ``handle_error``.
        crash: whether there is a crash report.
        span: whether there is a span to stop.
    """

    reason: Any
    callback: str | None
    socket_open: bool
    error: Any = UNSET
    crash: bool = False
    span: bool = True


LOCAL_CLOSED: Final = Ending(("shutdown", "local_closed"), "handle_close", socket_open=True)
"""``Close(state)``."""

CLOSED_BY_HANDLER: Final = Ending(("shutdown", "local_closed"), None, socket_open=False)
"""``socket.close()`` in a callback that then went on."""

PEER_CLOSED: Final = Ending(("shutdown", "peer_closed"), "handle_close", socket_open=False)
"""The peer closed or reset the connection."""

TIMED_OUT: Final = Ending(("shutdown", "read_timeout"), "handle_timeout", socket_open=True, error="timeout")
"""Idle too long, or ``Error("timeout", state)``."""

SHUTTING_DOWN: Final = Ending("shutdown", "handle_shutdown", socket_open=True)
"""The server shuts down."""

STOPPED: Final = Ending("normal", "handle_close", socket_open=True)
"""``Stop("normal", state)``."""


def premature(reason: Any) -> Ending:
    """The peer was gone before the connection began."""
    return Ending(("shutdown", ("premature_conn_closing", reason)), None, socket_open=False, span=False)


def handshake_failed(reason: Any) -> Ending:
    """The transport's handshake failed."""
    return Ending(("shutdown", ("handshake", reason)), "handle_error", socket_open=False, error=reason)


def upgrade_failed(reason: Any) -> Ending:
    """``SwitchTransport`` failed."""
    return Ending(("shutdown", ("upgrade", reason)), "handle_error", socket_open=False, error=reason)


def of_error(reason: Any, *, silent: bool, crash: bool = True) -> Ending:
    """``Error(reason, state)``, or (``crash`` False) a socket error that escaped from a callback."""
    if isinstance(reason, str) and reason == "timeout":
        return TIMED_OUT
    if silent:
        exit_reason: Any = ("shutdown", ("silent_termination", reason))
        return Ending(exit_reason, "handle_error", socket_open=False, error=reason)
    return Ending(reason, "handle_error", socket_open=False, error=reason, crash=crash)


def of_failed_read(error: Exception, *, silent: bool) -> Ending:
    """Reading what the client has sent raised ``error``."""
    if isinstance(error, ConnectionError):  # SocketClosed is one too
        return PEER_CLOSED
    if isinstance(error, OSError):
        # As where it escapes from a callback: what a client sends, such as an alert of TLS, must not fill the log.
        return of_error(reason_string(error), silent=silent, crash=False)
    return of_exception(error)


def of_exception(error: BaseException) -> Ending:
    """An exception in a callback."""
    return Ending(error, "handle_error", socket_open=False, error=error, crash=True)


_BY_REASON: Final = (LOCAL_CLOSED, PEER_CLOSED, TIMED_OUT, SHUTTING_DOWN, STOPPED)


def of_reason(reason: Any) -> Ending:
    """``Stop(reason, state)``, ``ProcessExit(reason)``, or the supervisor's order to exit with ``reason``."""
    for ending in _BY_REASON:
        if type(reason) is type(ending.reason) and reason == ending.reason:
            return ending
    if type(reason) is tuple and len(reason) == 2 and reason[0] == "shutdown":
        return Ending(reason, "handle_close", socket_open=True, error=reason[1])
    return Ending(reason, "handle_error", socket_open=False, error=reason, crash=True)
