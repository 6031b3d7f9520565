"""Metrics of every server in the program, made from telemetry and exported by ``prometheus_client``.

One line switches them on, best before the first server starts::

    from thousand_island import metrics

    metrics.attach()

``prometheus_client`` comes with ``pip install 'thousand-island[metrics]'``; its ``start_http_server(9100)``, or one of
its WSGI and ASGI applications, then shows the metrics beside the program's own. All have the label ``handler``, the
full name of the server's ``handler_module``.

===================================================  =========  ====================================================
metric                                               kind       what it tells
===================================================  =========  ====================================================
thousand_island_connections                          gauge      connections that are open
thousand_island_connections_started_total            counter    connections that a handler got
thousand_island_connections_stopped_total            counter    those that ended; ``error`` is empty if all was well
thousand_island_connections_refused_total            counter    those closed without a handler; ``error`` says why, or
                                                                which limit was reached
thousand_island_accept_errors_total                  counter    failures to accept, by ``error``
thousand_island_socket_errors_total                  counter    failures to read and write, by ``operation`` (``recv``,
                                                                ``send``, ``sendfile``) and ``error``
thousand_island_reads_total                          counter    reads of connections that have ended
thousand_island_writes_total                         counter    writes of connections that have ended
thousand_island_connection_duration_seconds          histogram  how long connections lasted
thousand_island_connection_received_bytes            histogram  what came in by each connection
thousand_island_connection_sent_bytes                histogram  what went out by each connection
===================================================  =========  ====================================================

Reads, writes and bytes are counted when a connection ends, so that nothing is paid for a message. ``error`` is the
reason as telemetry has it where that is a plain word, the class of an exception, and ``"other"`` for anything else:
what a client sends must not make new time series.

Owns the metrics and where they are registered. What happens to a server it knows from its events only.

Counterpart: a ``Telemetry.Metrics`` reporter, such as ``TelemetryMetricsPrometheus``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from supervision.threads import library_call
from thousand_island.errors import AlreadyAttached, NotAttached
from thousand_island.events import PREFIX
from thousand_island.telemetry import signal_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

__all__ = ["attach", "detach"]

# Seconds: from a health check to a client that stays for a day.
_DURATIONS: Final = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0)

# Bytes: from a short line to a large download, each sixteen times the one before.
_SIZES: Final = tuple(float(64 * 16**power) for power in range(7))

# How many different words are taken for ``error``. A handler that puts names or numbers into its reasons must not fill
# the memory of whoever keeps the time series; no good protocol has so many reasons.
_MOST_WORDS: Final = 100

# Characters. What is longer is a sentence, or data.
_LONGEST_WORD: Final = 40

_OTHER: Final = "other"

_HANDLER: Final = ("handler",)
_ERROR: Final = ("handler", "error")

Fields: TypeAlias = dict[str, Any]


class _Attachment:
    """What is attached now."""

    def __init__(self) -> None:
        # Guards the fields below, and the order of registering and connecting. Taken before the registry's lock.
        self.lock = threading.Lock()
        self.metrics: _Metrics | None = None
        self.registry: CollectorRegistry | None = None


_attachment = _Attachment()


@library_call
def attach(registry: CollectorRegistry | None = None) -> None:
    """Starts counting what happens to the servers of this program, those that run already included.

    Args:
        registry: where the metrics are registered; None: the default one of ``prometheus_client``.

    Raises:
        AlreadyAttached: they are counted already.
        ModuleNotFoundError: ``prometheus_client`` is not installed.
        ValueError: the registry has metrics of these names; nothing has been attached.

    Counterpart: ``:telemetry.attach_many/4``.
    """
    with _attachment.lock:
        if _attachment.metrics is not None:
            raise AlreadyAttached("the metrics are attached already")
        client = require_client()
        metrics = _Metrics(client)
        registry = client.REGISTRY if registry is None else registry
        registry.register(metrics)
        for event, receiver in metrics.receivers().items():
            signal_of(event).connect(receiver)
        _attachment.metrics, _attachment.registry = metrics, registry


@library_call
def detach() -> None:
    """Stops counting, and takes the metrics out of their registry. Attached again they begin at zero.

    Raises:
        NotAttached: they are not attached.

    Counterpart: ``:telemetry.detach/1``.
    """
    with _attachment.lock:
        metrics, registry = _attachment.metrics, _attachment.registry
        if metrics is None or registry is None:
            raise NotAttached("the metrics are not attached")
        _attachment.metrics = _attachment.registry = None
        for event, receiver in metrics.receivers().items():
            signal_of(event).disconnect(receiver)
        registry.unregister(metrics)


def require_client() -> Any:
    """Return the module ``prometheus_client``.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        import prometheus_client
    except ModuleNotFoundError as error:
        text = "thousand_island.metrics needs prometheus_client: pip install 'thousand-island[metrics]'"
        raise ModuleNotFoundError(text, name=error.name) from error
    return prometheus_client


class _Metrics:
    """The metrics of one attachment: a collector of ``prometheus_client``, so that they are registered all or none.

    The receivers are library calls: a kill must not interrupt one that holds the lock of a metric. Each runs in the
    thread that its event happens in.

    Attributes:
        open: the spans of the connections that ``connections`` has. It never counts down one that it has not counted
            up: connections may be older than this.
        words: the values that ``error`` has had.
    """

    def __init__(self, client: Any) -> None:
        kinds = (client.Counter, client.Gauge, client.Histogram)
        counter, gauge, histogram = (functools.partial(kind, namespace=PREFIX, registry=None) for kind in kinds)
        self.connections = gauge("connections", "Open connections.", _HANDLER, multiprocess_mode="livesum")
        self.started = counter("connections_started", "Connections that a handler got.", _HANDLER)
        self.stopped = counter("connections_stopped", "Connections that ended.", _ERROR)
        self.refused = counter("connections_refused", "Connections closed without a handler.", _ERROR)
        self.accept_errors = counter("accept_errors", "Failures to accept.", _ERROR)
        self.socket_errors = counter("socket_errors", "Failures to read and write.", (*_ERROR, "operation"))
        self.reads = counter("reads", "Reads of connections that have ended.", _HANDLER)
        self.writes = counter("writes", "Writes of connections that have ended.", _HANDLER)
        self.duration = histogram(
            "connection_duration_seconds", "How long connections lasted.", _HANDLER, buckets=_DURATIONS
        )
        self.received = histogram("connection_received_bytes", "Bytes from each client.", _HANDLER, buckets=_SIZES)
        self.sent = histogram("connection_sent_bytes", "Bytes to each client.", _HANDLER, buckets=_SIZES)
        self.all = [one for one in vars(self).values() if hasattr(one, "collect")]
        self.open: set[Any] = set()
        self.words: set[str] = set()

    def describe(self) -> Iterator[Metric]:
        """Give the names, for the registry to look for clashes."""
        for metric in self.all:
            yield from metric.describe()

    def collect(self) -> Iterator[Metric]:
        """Give the values."""
        for metric in self.all:
            yield from metric.collect()

    def receivers(self) -> dict[str, Callable[..., None]]:
        """Give the events that are listened to."""
        return {
            "acceptor.stop": self.acceptor_stopped,
            "acceptor.spawn_error": self.connection_refused,
            "acceptor.econnaborted": self.accept_failed,
            "acceptor.einval": self.accept_failed,
            "acceptor.accept_error": self.accept_failed,
            "acceptor.emfile": self.accept_failed,
            "connection.start": self.connection_started,
            "connection.stop": self.connection_stopped,
            "connection.recv_error": self.socket_failed,
            "connection.send_error": self.socket_failed,
            "connection.sendfile_error": self.socket_failed,
        }

    @library_call
    def connection_started(self, _server: Any, *, event: str, measurements: Fields, metadata: Fields) -> None:
        handler = _name(metadata["handler"])
        self.open.add(metadata["telemetry_span_context"])
        self.connections.labels(handler).inc()
        self.started.labels(handler).inc()

    @library_call
    def connection_stopped(self, _server: Any, *, event: str, measurements: Fields, metadata: Fields) -> None:
        handler = _name(metadata["handler"])
        span = metadata["telemetry_span_context"]
        if span in self.open:
            self.open.remove(span)
            self.connections.labels(handler).dec()
        self.stopped.labels(handler, self._cause(metadata.get("error", ""))).inc()
        self.duration.labels(handler).observe(measurements["duration"] / 1_000_000_000)
        self.received.labels(handler).observe(measurements["recv_oct"])
        self.sent.labels(handler).observe(measurements["send_oct"])
        self.reads.labels(handler).inc(measurements["recv_cnt"])
        self.writes.labels(handler).inc(measurements["send_cnt"])

    @library_call
    def connection_refused(self, _server: Any, *, event: str, measurements: Fields, metadata: Fields) -> None:
        cause = self._cause(measurements.get("error", "num_connections"))
        self.refused.labels(_name(metadata["handler"]), cause).inc()

    @library_call
    def accept_failed(self, _server: Any, *, event: str, measurements: Fields, metadata: Fields) -> None:
        cause = self._cause(measurements.get("error", _last_word(event)))
        self.accept_errors.labels(_name(metadata["handler"]), cause).inc()

    @library_call
    def acceptor_stopped(self, _server: Any, *, event: str, measurements: Fields, metadata: Fields) -> None:
        if "error" in metadata:  # one that its acceptor could not go on after, and has no event of its own
            self.accept_errors.labels(_name(metadata["handler"]), self._cause(metadata["error"])).inc()

    @library_call
    def socket_failed(self, _server: Any, *, event: str, measurements: Fields, metadata: Fields) -> None:
        operation = _last_word(event).removesuffix("_error")
        self.socket_errors.labels(_name(metadata["handler"]), self._cause(measurements["error"]), operation).inc()

    def _cause(self, error: Any) -> str:
        """Give the label for a reason."""
        match error:
            case "":
                return ""
            case str() if error in self.words:
                return error
            case str() if error.isidentifier() and len(error) <= _LONGEST_WORD and len(self.words) < _MOST_WORDS:
                self.words.add(error)  # several threads may do so at once, and exceed the number by a few
                return error
            case BaseException():
                return type(error).__name__
        return _OTHER


def _last_word(event: str) -> str:
    return event.rpartition(".")[2]


def _name(handler: Any) -> str:
    """Give the full name of a class or module, and of the class of anything else."""
    if isinstance(handler, ModuleType):
        return handler.__name__
    cls = handler if isinstance(handler, type) else type(handler)
    return f"{cls.__module__}.{cls.__qualname__}"
