"""Every telemetry event of a server, as data.

This is the one list of them: signals, logging and documentation are derived from it. It emits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["EVENTS", "PREFIX", "Event", "LogLevel", "SpanName", "span_keys"]

SpanName: TypeAlias = Literal["listener", "acceptor", "connection"]
LogLevel: TypeAlias = Literal["error", "info", "debug", "trace"]

PREFIX: Final = "thousand_island"


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event.

    Attributes:
        span: what it happens to.
        name: what happens.
        level: the level at which the logger shows it.
        measurements: the keys of its measurements. Times are in nanoseconds, ``_oct`` counts bytes and ``_cnt`` reads
            or writes.
        metadata: the keys of its metadata besides ``handler`` and ``telemetry_span_context``, which all events have.
        doc: when it is emitted, in a sentence.
        optional: those of the keys that are there only when there is something to say.
    """

    span: SpanName
    name: str
    level: LogLevel
    measurements: tuple[str, ...]
    metadata: tuple[str, ...]
    doc: str
    optional: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name of the signal: ``"thousand_island.connection.stop"``."""
        return f"{PREFIX}.{self.span}.{self.name}"


_TIME: Final = ("monotonic_time",)
_END: Final = ("monotonic_time", "duration")
_LISTENER: Final = ("local_address", "local_port", "transport_module", "transport_options")
_CHILD: Final = ("parent_telemetry_span_context",)
_CONNECTION: Final = (*_CHILD, "remote_address", "remote_port")
_COUNTERS: Final = ("send_oct", "send_cnt", "recv_oct", "recv_cnt")
_ERROR: Final = ("error",)

EVENTS: Final = (
    Event("listener", "start", "info", _TIME, _LISTENER, "A server listens on a port."),
    Event("listener", "stop", "info", _END, _LISTENER, "The server's port is closed."),
    Event("acceptor", "start", "debug", _TIME, _CHILD, "An acceptor waits for connections."),
    Event(
        "acceptor", "stop", "debug", (*_END, "connections"), (*_CHILD, "error"),
        "The acceptor ended, after this many connections.", optional=_ERROR,
    ),
    Event(
        "acceptor", "spawn_error", "error", (*_TIME, "error"), (),
        "An accepted connection was closed because no handler could be started for it. Without an error, the limit "
        "num_connections was reached.", optional=_ERROR,
    ),
    Event("acceptor", "econnaborted", "error", _TIME, (), "A client was gone before it could be accepted."),
    Event("acceptor", "einval", "error", _TIME, (), "Accepting failed with EINVAL."),
    Event("acceptor", "accept_error", "error", (*_TIME, "error"), (), "Accepting failed because of the network."),
    Event("acceptor", "emfile", "error", (*_TIME, "error"), (), "Accepting failed for want of file descriptors."),
    Event("connection", "start", "debug", _TIME, _CONNECTION, "A connection was accepted, at this time."),
    Event(
        "connection", "stop", "debug", (*_END, *_COUNTERS), (*_CONNECTION, "error"),
        "The connection ended.", optional=_ERROR,
    ),
    Event("connection", "ready", "trace", _TIME, (), "The connection has its process and comes to its handshake."),
    Event(
        "connection", "proxied", "debug", (*_TIME, "client_address", "client_port"), (),
        "A trusted proxy has told by a PROXY header who the client is.",
    ),
    Event(
        "connection", "proxy_error", "error", (*_TIME, "error"), (),
        "A trusted proxy did not begin with a PROXY header, not in time, or with a wrong one; the connection ends.",
    ),
    Event("connection", "async_recv", "trace", ("data",), (), "Data came in and goes to handle_data."),
    Event("connection", "recv", "trace", ("data",), (), "The handler received data by Socket.recv."),
    Event("connection", "recv_error", "trace", (*_TIME, "error"), (), "Reading from the client failed."),
    Event("connection", "send", "trace", ("data",), (), "Data was sent to the client."),
    Event("connection", "send_error", "trace", (*_TIME, "data", "error"), (), "Sending to the client failed."),
    Event("connection", "sendfile", "trace", ("filename", "offset", "bytes_written"), (), "A file was sent."),
    Event(
        "connection", "sendfile_error", "trace", (*_TIME, "filename", "offset", "length", "error"), (),
        "Sending a file failed.",
    ),
    Event("connection", "socket_shutdown", "trace", (*_TIME, "way"), (), "The handler shut down a direction."),
)  # fmt: skip
"""All events, in the order in which a server's life meets them."""


def span_keys(span: SpanName) -> tuple[str, ...]:
    """Gives the keys of a span's own metadata, in the order in which ``start_span`` takes their values."""
    (start,) = (event for event in EVENTS if event.span == span and event.name == "start")
    return tuple(key for key in start.metadata if key not in _CHILD)
