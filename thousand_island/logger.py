"""Logs what telemetry tells, at a level that can be changed while servers run.

A server itself logs nothing. Records go to ``logging.getLogger("thousand_island")``. Which event belongs to which level
is said in ``events``.

Counterpart: ``ThousandIsland.Logger``.
"""

from __future__ import annotations

import logging
import reprlib
import threading
from collections.abc import Mapping
from typing import Any, Final, get_args

from supervision import arguments
from supervision.log import HarmlessLogger
from supervision.threads import library_call
from thousand_island.errors import AlreadyAttached, NotAttached
from thousand_island.events import EVENTS, PREFIX, LogLevel
from thousand_island.options import check_values
from thousand_island.telemetry import signal_of

__all__ = ["TRACE", "attach_logger", "detach_logger"]

TRACE: Final = 5
"""The logging level of ``"trace"``, below ``logging.DEBUG`` (10)."""

logging.addLevelName(TRACE, "TRACE")

_LOGGER: Final = logging.getLogger(PREFIX)

# A receiver that raises is disconnected: one record that could not be written would be the last one tried.
_HARMLESS: Final = HarmlessLogger(_LOGGER)
_LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)
_LEVEL_NUMBERS: Final[dict[LogLevel, int]] = {
    "error": logging.ERROR,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
_EVENT_LEVELS: Final = {event.full_name: _LEVEL_NUMBERS[event.level] for event in EVENTS}


class _Attachment:
    """What is attached now. A level is attached with all the higher ones, so their number says it all."""

    def __init__(self) -> None:
        # Guards the fields below and the order in which signals are connected. Taken before blinker's and logging's.
        self.lock = threading.Lock()
        self.count = 0
        self.logger_level = logging.NOTSET


_attachment = _Attachment()


@library_call  # a kill half way would leave signals connected that the count knows nothing of
def attach_logger(level: LogLevel) -> None:
    """Starts logging the events of a level and of all higher ones, of every server.

    Where the program has set no level on the logger itself, it gets this one.

    Args:
        level: ``"error"``, ``"info"``, ``"debug"`` or ``"trace"``, which is level ``TRACE`` and shows all data.

    Raises:
        AlreadyAttached: the level is attached, itself or by a lower one.
        BadOption: there is no such level.

    Counterpart: ``ThousandIsland.Logger.attach_logger/1``.
    """
    rank = _rank(level)
    with _attachment.lock:
        if rank < _attachment.count:
            raise AlreadyAttached(f"the logger is already attached at level {level!r}")
        for name in _LEVELS[_attachment.count : rank + 1]:
            _connect(name)
        _set_count(rank + 1)


@library_call
def detach_logger(level: LogLevel) -> None:
    """Stops logging the events of a level and of all lower ones.

    Args:
        level: as in ``attach_logger``.

    Raises:
        NotAttached: the level is not attached.
        BadOption: there is no such level.

    Counterpart: ``ThousandIsland.Logger.detach_logger/1``.
    """
    rank = _rank(level)
    with _attachment.lock:
        if rank >= _attachment.count:
            raise NotAttached(f"the logger is not attached at level {level!r}")
        for name in _LEVELS[rank : _attachment.count]:
            _disconnect(name)
        _set_count(rank)


def _rank(level: Any) -> int:
    check_values({"level": level}, {"level": _a_level})
    return _LEVELS.index(level)


def _a_level(name: str, value: Any) -> str:
    return arguments.one_of(name, value, _LEVELS)


def _connect(level: LogLevel) -> None:
    for event in EVENTS:
        if event.level == level:
            signal_of(f"{event.span}.{event.name}").connect(_log)


def _disconnect(level: LogLevel) -> None:
    for event in EVENTS:
        if event.level == level:
            signal_of(f"{event.span}.{event.name}").disconnect(_log)


def _set_count(count: int) -> None:
    _attachment.count = count
    # A level that is not the one left here before was set by the program, which knows better.
    if _LOGGER.level == _attachment.logger_level:
        _attachment.logger_level = _LEVEL_NUMBERS[_LEVELS[count - 1]] if count else logging.NOTSET
        _LOGGER.setLevel(_attachment.logger_level)


def _log(_server: Any, *, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    level = _EVENT_LEVELS[event]
    if _LOGGER.isEnabledFor(level):
        _HARMLESS.log(level, "%s", _text(event, measurements, metadata))


# A time is the record's own, options may hold a password, and the contexts are objects: their ids are shown instead.
_NOT_SHOWN: Final = frozenset(
    {"handler", "monotonic_time", "parent_telemetry_span_context", "telemetry_span_context", "transport_options"}
)


def _text(event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    parts = [
        event.removeprefix(f"{PREFIX}."),
        _name(metadata["handler"]),
        f"{id(metadata['telemetry_span_context']):x}",
    ]
    fields = {**metadata, **measurements}
    parts += [f"{key}={_shown(key, value)}" for key, value in fields.items() if key not in _NOT_SHOWN]
    return " ".join(parts)


def _shown(key: str, value: Any) -> str:
    match value:
        case int() if key == "duration":
            return f"{value / 1_000_000:.3f}ms"
        case bytes() | bytearray():
            return _beginning(value)
        case memoryview():
            return f"<{value.nbytes} bytes>"
        case type():
            return _name(value)
    return _short.repr(value)


# Bytes. Enough to recognise a request by; a log is no place for a whole upload.
_SHOWN_BYTES: Final = 200


_short: Final = reprlib.Repr()
_short.maxstring = _short.maxother = _SHOWN_BYTES


def _beginning(data: bytes | bytearray) -> str:
    rest = len(data) - _SHOWN_BYTES
    return repr(bytes(data[:_SHOWN_BYTES])) + (f" and {rest} bytes more" if rest > 0 else "")


def _name(value: Any) -> str:
    return getattr(value, "__name__", None) or _short.repr(value)
