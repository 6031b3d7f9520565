"""What the callbacks of a Handler return.

Owns the result objects and the check of the timeouts in them. Decides nothing: what a result leads to is the
connection's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias, final

from supervision import arguments
from supervision.errors import BadReturn
from supervision.results import UNSET, Unset
from thousand_island.options import check_values

__all__ = [
    "UNSET",
    "Close",
    "Continue",
    "Error",
    "HandlerResult",
    "Persistent",
    "SwitchTransport",
    "Timeout",
    "Unset",
    "check_timeout",
]


@dataclass(frozen=True, slots=True)
class Persistent:
    """A timeout that replaces ``read_timeout`` for the rest of the connection.

    Attributes:
        milliseconds: a whole number of milliseconds, or ``INFINITY``.

    Raises:
        BadOption: it is anything else.

    Counterpart: ``{:persistent, timeout}``.
    """

    milliseconds: int | float

    def __post_init__(self) -> None:
        check_values({"a persistent timeout": self.milliseconds}, {"a persistent timeout": arguments.milliseconds})


Timeout: TypeAlias = int | float | Persistent | None


# The results below are not frozen, and check nothing when they are made, because each request makes one: a frozen
# dataclass stores its fields through object.__setattr__ and takes three times as long to make (0.43 µs for 0.14 µs on
# CPython 3.11). Nobody keeps them, so there is nothing to protect from changes.


@final
@dataclass(slots=True)
class Continue:
    """Keeps the connection open and waits for the client's next bytes, which go to ``handle_data``.

    Attributes:
        state: the handler's new state.
        timeout: how long to wait, in milliseconds or ``INFINITY``, before ``handle_timeout`` is called and the
            connection is closed: for this wait only, or from now on as ``Persistent(milliseconds)``. None stands for
            ``read_timeout``.
        continue_with: where given, ``handle_continue`` is called with it before anything else happens.

    Counterpart: ``{:continue, state}``, ``{:continue, state, timeout | {:persistent, timeout} | {:continue, term}}``.
    """

    state: Any
    timeout: Timeout = None
    continue_with: Any = field(default=UNSET, kw_only=True)


@final
@dataclass(slots=True)
class Close:
    """Ends the connection: ``handle_close`` is called while the socket is still open, then the socket is closed.

    Attributes:
        state: the state that ``handle_close`` gets.

    Counterpart: ``{:close, state}``.
    """

    state: Any


@final
@dataclass(slots=True)
class Error:
    """Ends the connection for a reason: the socket is closed, then ``handle_error`` is called.

    Attributes:
        reason: what ``handle_error`` and telemetry get, and the exit reason. ``"timeout"`` ends in ``handle_timeout``.
        state: the state that the callback gets.

    Counterpart: ``{:error, reason, state}``.
    """

    reason: Any
    state: Any


@final
@dataclass(slots=True)
class SwitchTransport:
    """Turns the open connection into one of another transport, then goes on as ``Continue`` does: STARTTLS in place.

    Attributes:
        transport_module: the transport to switch to.
        options: its ``transport_options``.
        state: the handler's new state.
        timeout: as in ``Continue``.
        continue_with: as in ``Continue``.

    Counterpart: ``{:switch_transport, {transport_module, options}, state}``, with a fourth element as ``Continue`` has.
    """

    transport_module: Any
    options: dict[str, Any]
    state: Any
    timeout: Timeout = None
    continue_with: Any = field(default=UNSET, kw_only=True)


HandlerResult: TypeAlias = Continue | Close | Error | SwitchTransport


def check_timeout(handler: type, callback: str, result: Any) -> None:
    """Refuses what cannot be the ``timeout`` of a result. Whoever waits by it asks, since making a result is hot.

    Raises:
        BadReturn: it is neither milliseconds, nor ``INFINITY``, ``Persistent`` or None.
    """
    timeout = result.timeout
    if timeout is None or isinstance(timeout, Persistent) or arguments.is_milliseconds(timeout):
        return
    expected = "a timeout that is a whole number of milliseconds, INFINITY, Persistent(milliseconds) or None"
    raise BadReturn(handler, callback, result, expected)
