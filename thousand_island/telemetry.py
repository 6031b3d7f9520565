"""Spans of a server's life, and the signals that tell of them.

Each event is a named signal of blinker's default namespace: ``blinker.signal("thousand_island.connection.stop")``. Its
receivers are called as ``receiver(server_pid, event=…, measurements=…, metadata=…)`` in the thread and process that
the event happens in, so they should be quick. ``connect(receiver, sender=server)`` follows one server.

Owns the spans and the protection of the server from its receivers. Which events there are is said in ``events``.

Counterpart: ``ThousandIsland.Telemetry`` and the ``telemetry`` library.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from blinker import NamedSignal, signal

from supervision.errors import ProcessExit
from thousand_island.events import EVENTS, PREFIX, SpanName, span_keys

__all__ = ["FAILURE", "Origin", "Span", "SpanContext", "monotonic_time", "signal_of", "start_span"]

Fields: TypeAlias = dict[str, Any]

monotonic_time = time.monotonic_ns
"""The clock of all events, in nanoseconds.

Counterpart: ``ThousandIsland.Telemetry.monotonic_time/0``.
"""

_SIGNALS: Final = {f"{event.span}.{event.name}": signal(event.full_name, event.doc) for event in EVENTS}
_KEYS: Final = {event.span: span_keys(event.span) for event in EVENTS}
_START: Final = {span: _SIGNALS[f"{span}.start"] for span in _KEYS}
_STOP: Final = {span: _SIGNALS[f"{span}.stop"] for span in _KEYS}

FAILURE: Final = signal(f"{PREFIX}.telemetry.failure", "A receiver raised and was disconnected.")
"""Tells of a receiver that raised. Its metadata has ``event_name``, ``receiver`` and ``error`` (the exception)."""


def signal_of(name: str) -> NamedSignal:
    """Gives the signal of an event, for emitters to keep. They emit under ``if signal.receivers:`` only.

    Args:
        name: span and event: ``"connection.send"``.

    Raises:
        KeyError: there is no such event.
    """
    return _SIGNALS[name]


@dataclass(frozen=True, slots=True)
class Origin:
    """What all spans of one server share.

    Attributes:
        server_pid: the sender of their events.
        handler: the server's ``handler_module``.
    """

    server_pid: Any
    handler: Any


class SpanContext:
    """Identifies a span: equal to nothing but itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<SpanContext {id(self):#x}>"


class Span:
    """The life of a listener, an acceptor or a connection. Made by ``start_span`` and ``start_child_span``.

    Its metadata is put together when somebody asks for it: thousands of spans may be open while nobody listens.

    Attributes:
        origin: the server's share.
        name: ``"listener"``, ``"acceptor"`` or ``"connection"``.
        start_time: when it began, by ``monotonic_time``, in nanoseconds.
        telemetry_span_context: what identifies it in metadata.
        parent: the span that it belongs to, or None.

    Counterpart: ``t:ThousandIsland.Telemetry.t/0``.
    """

    __slots__ = ("_values", "name", "origin", "parent", "start_time", "telemetry_span_context")

    def __init__(
        self, origin: Origin, name: SpanName, values: tuple[Any, ...], start_time: int, parent: Span | None
    ) -> None:
        self.origin = origin
        self.name = name
        self._values = values
        self.start_time = start_time
        self.parent = parent
        self.telemetry_span_context = SpanContext()

    @property
    def start_metadata(self) -> Fields:
        """The metadata of its start event, which its stop event repeats."""
        metadata = self._event_metadata()
        if self.parent is not None:
            metadata["parent_telemetry_span_context"] = self.parent.telemetry_span_context
        metadata.update(zip(_KEYS[self.name], self._values, strict=True))
        return metadata

    def start_child_span(self, name: SpanName, values: tuple[Any, ...] = (), start_time: int | None = None) -> Span:
        """Starts a span that belongs to this one. The arguments are those of ``start_span``.

        Counterpart: ``ThousandIsland.Telemetry.start_child_span/4``.
        """
        return start_span(self.origin, name, values, start_time, self)

    def stop(self, measurements: Fields | None = None, metadata: Fields | None = None) -> None:
        """Emits the span's stop event: its start metadata and its duration in nanoseconds, and what is given.

        Counterpart: ``ThousandIsland.Telemetry.stop_span/3``.
        """
        event = _STOP[self.name]
        if event.receivers:
            now = monotonic_time()
            measured = {"monotonic_time": now, "duration": now - self.start_time, **(measurements or {})}
            _emit(event, self.origin.server_pid, measured, {**self.start_metadata, **(metadata or {})})

    def event(self, event: NamedSignal, measurements: Fields | None = None) -> None:
        """Emits an event of this span with the time of now.

        Counterpart: ``ThousandIsland.Telemetry.span_event/4``.
        """
        self.untimed_event(event, {"monotonic_time": monotonic_time(), **(measurements or {})})

    def untimed_event(self, event: NamedSignal, measurements: Fields) -> None:
        """Emits an event of this span that carries no time.

        Counterpart: ``ThousandIsland.Telemetry.untimed_span_event/4``.
        """
        _emit(event, self.origin.server_pid, measurements, self._event_metadata())

    def _event_metadata(self) -> Fields:
        return {"handler": self.origin.handler, "telemetry_span_context": self.telemetry_span_context}


def start_span(
    origin: Origin,
    name: SpanName,
    values: tuple[Any, ...] = (),
    start_time: int | None = None,
    parent: Span | None = None,
) -> Span:
    """Starts a span and emits its start event.

    Args:
        origin: the server's share.
        name: the kind of span.
        values: the values of ``span_keys(name)``: a connection's are what ``peername`` gave.
        start_time: when it began, by ``monotonic_time``; None: now.
        parent: the span that it belongs to.

    Counterpart: ``ThousandIsland.Telemetry.start_span/3``.
    """
    if start_time is None:
        start_time = monotonic_time()
    span = Span(origin, name, values, start_time, parent)
    event = _START[name]
    if event.receivers:
        _emit(event, origin.server_pid, {"monotonic_time": start_time}, span.start_metadata)
    return span


# Everything by which a receiver can fail. What is not here must pass: Killed, which pushes the thread of a dead process
# out of whatever it runs, and KeyboardInterrupt.
_RECEIVER_FAILURES: Final = (Exception, SystemExit, ProcessExit)


def _emit(event: NamedSignal, server_pid: Any, measurements: Fields, metadata: Fields) -> None:
    if event.is_muted:
        return
    # Left a generator: it skips receivers that an earlier one, or its failure, has disconnected.
    for receiver in event.receivers_for(server_pid):
        try:
            # Copies, so that a receiver which changes them changes nobody else's.
            receiver(server_pid, event=event.name, measurements=dict(measurements), metadata=dict(metadata))
        except _RECEIVER_FAILURES as error:  # else one receiver's mistake would end the connection it was told of
            _disconnect(event, receiver)
            _report(event, receiver, server_pid, error)


def _disconnect(event: NamedSignal, receiver: Any) -> None:
    try:
        event.disconnect(receiver)
    except RuntimeError:
        # blinker walks its table of senders without a lock, and another thread connected meanwhile. The walk is the
        # second of its three steps; asked again it skips that and does the third, which is the one that counts.
        event.disconnect(receiver)


def _report(event: NamedSignal, receiver: Any, server_pid: Any, error: BaseException) -> None:
    if FAILURE.receivers:
        metadata = {"event_name": event.name, "receiver": receiver, "error": error}
        _emit(FAILURE, server_pid, {"monotonic_time": monotonic_time()}, metadata)
