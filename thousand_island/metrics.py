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

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from supervision.threads import library_call
from thousand_island.errors import AlreadyAttached, NotAttached
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

_OTHER: Final = "other"


class _Attachment:
    """What is attached now."""

    def __init__(self) -> None:
        # Guards the fields below, and the order of registering and connecting. Taken before the registry's and blinker's.
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
        client = _prometheus_client()
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


def _prometheus_client() -> Any:
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
        def made(kind: Any, name: str, doc: str, *labels: str, **options: Any) -> Any:
            return kind(f"thousand_island_{name}", doc, ("handler", *labels), registry=None, **options)

        counter, histogram = client.Counter, client.Histogram
        self.connections = made(client.Gauge, "connections", "Open connections.", multiprocess_mode="livesum")
        self.started = made(counter, "connections_started", "Connections that a handler got.")
        self.stopped = made(counter, "connections_stopped", "Connections that ended.", "error")
        self.refused = made(counter, "connections_refused", "Connections closed without a handler.", "error")
        self.accept_errors = made(counter, "accept_errors", "Failures to accept.", "error")
        self.socket_errors = made(counter, "socket_errors", "Failures to read and write.", "operation", "error")
        self.reads = made(counter, "reads", "Reads of connections that have ended.")
        self.writes = made(counter, "writes", "Writes of connections that have ended.")
        of_each = "connection_{}".format
        self.duration = made(
            histogram, of_each("duration_seconds"), "How long connections lasted.", buckets=_DURATIONS
        )
        self.received = made(histogram, of_each("received_bytes"), "Bytes from each client.", buckets=_SIZES)
        self.sent = made(histogram, of_each("sent_bytes"), "Bytes to each client.", buckets=_SIZES)
        self.open: dict[Any, None] = {}
        self.words: dict[str, None] = {}
