"""Makes docs/telemetry.md from the list of events: ``python -m docs.telemetry_page``.

What an event is and when it comes is said in ``thousand_island.events``; what its keys mean is said here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

from thousand_island.events import EVENTS, Event, LogLevel, SpanName
from thousand_island.telemetry import FAILURE

__all__ = ["PAGE", "page"]

PAGE: Final = Path(__file__).with_name("telemetry.md")

# Common to all events, and told once.
_EVERYWHERE: Final = ("handler", "telemetry_span_context")

_SPANS: Final[dict[SpanName, str]] = {
    "listener": "A server listens on a port: from its start, or `resume`, until it stops, or `suspend`.",
    "acceptor": "One of a server's acceptors takes connections. Its parent is the listener.",
    "connection": "A handler serves a client: from the moment of accepting until the socket is closed. Its parent is "
    "the acceptor that accepted it. Whatever happens, there is one start and one stop.",
}

_KEYS: Final = {
    "handler": "the server's `handler_module`",
    "telemetry_span_context": "what identifies the span: equal to nothing but itself",
    "parent_telemetry_span_context": "the same of the span that this one belongs to",
    "monotonic_time": "the time of the event by `time.monotonic_ns()`, in nanoseconds",
    "duration": "how long the span lasted, in nanoseconds",
    "local_address": 'the address that the server listens on; `"local"` for a unix socket',
    "local_port": "the port, or the path of the unix socket",
    "transport_module": "the server's transport",
    "transport_options": "its options, which may hold a password",
    "connections": "how many connections the acceptor has handed to a handler",
    "remote_address": 'the client\'s address; `"local"` on a unix socket; that of the proxy if there is one',
    "remote_port": "its port",
    "client_address": 'the address of the client behind the proxy; `"local"` if it came by a unix socket',
    "client_port": "its port, or the path",
    "send_oct": "bytes sent",
    "send_cnt": "writes",
    "recv_oct": "bytes received",
    "recv_cnt": "reads",
    "error": 'why it went wrong: a word such as `"timeout"` or `"econnreset"`, an exception, or what the handler gave',
    "data": "the bytes that came; for what was sent, the object that was given to `send`",
    "filename": "the file",
    "offset": "where in the file sending began, in bytes",
    "length": "how many bytes were asked for",
    "bytes_written": "how many bytes were sent",
    "way": 'the direction: `"read"`, `"write"` or `"read_write"`',
}

_HEAD: Final = """\
# Telemetry

A server tells what happens to it by [blinker](https://blinker.readthedocs.io) signals, one for each kind of event, in
the default namespace. It logs nothing by itself, and an event that nobody listens to costs next to nothing.

```python
import blinker


def tell(server, *, event, measurements, metadata):
    print(metadata["handler"].__name__, metadata["remote_address"], measurements["duration"] / 1_000_000, "ms")


blinker.signal("thousand_island.connection.stop").connect(tell)
```

- A receiver is called in the thread and process that the event happens in, before that goes on: it should be quick.
- It must not call the server that it is told of, by `info`, `stop` and their like: the answer may have to wait for the
  process that the receiver runs in, and then neither goes on. A server starts only when the receivers of
  `listener.start` have returned. Let another thread or process ask, later.
- `connect(tell, sender=server)` follows one server, named by the pid that `start_link` gave.
- blinker keeps receivers weakly: keep a reference, or connect with `weak=False`.
- `measurements` and `metadata` are copies; a receiver may change them.
- A receiver that raises is disconnected and reported on `{failure}`, with `event_name`, `receiver` and the
  exception as `error` in `metadata`. The server does not notice.

Two subscribers come with the package:

```python
from thousand_island import metrics
from thousand_island.logger import attach_logger

attach_logger("info")
metrics.attach()
```

`attach_logger` writes to `logging.getLogger("thousand_island")` the events of a level
({levels}) and of those before it. `metrics.attach()` counts them for Prometheus
(`pip install 'thousand-island[metrics]'`; `help(metrics)` lists the metrics).
"""


def page() -> str:
    """Return the text of the page."""
    levels = ", ".join(f"`{level}`" for level in get_args(LogLevel))
    spans = "".join(_span(span) for span in get_args(SpanName))
    return f"{_HEAD.format(failure=FAILURE.name, levels=levels)}\n{_keys()}{spans}"


def _keys() -> str:
    used = dict.fromkeys([*_EVERYWHERE, *(key for event in EVENTS for key in _keys_of(event))])
    rows = (f"| `{key}` | {_KEYS[key]} |" for key in used)
    intro = (
        f"All events have {' and '.join(f'`{key}`' for key in _EVERYWHERE)} in their metadata, besides what is listed."
    )
    return "\n".join(["## Keys", "", intro, "", "| key | what it is |", "|---|---|", *rows, ""])


def _keys_of(event: Event) -> Iterator[str]:
    yield from event.measurements
    yield from event.metadata


def _span(span: SpanName) -> str:
    rows = [_row(event) for event in EVENTS if event.span == span]
    head = ["| event | when | level | measurements | metadata |", "|---|---|---|---|---|"]
    return "\n".join(["", f"## `thousand_island.{span}.*`", "", _SPANS[span], "", *head, *rows, ""])


def _row(event: Event) -> str:
    measurements, metadata = (_list(keys, event.optional) for keys in (event.measurements, event.metadata))
    return f"| `{event.name}` | {event.doc} | {event.level} | {measurements} | {metadata} |"


def _list(keys: tuple[str, ...], optional: tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`{' (if any)' if key in optional else ''}" for key in keys)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
