"""The events of a connection's life, with exactly the keys that upstream documents."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervision import INFINITY, Pid, process
from tests.supervision.supervised import until
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import (
    DEADLINE,
    Events,
    Telling,
    events_of,
    exchange,
    is_closed,
    message,
    receive_exactly,
    serve,
)
from tests.thousand_island.tls import connect_tls, serve_tls
from tests.thousand_island.transports import Flaky, oserror
from thousand_island import Close, Continue, Error, Handler, SocketStats, stop
from thousand_island.telemetry import FAILURE, signal_of
from thousand_island.transports import TCP

START = {"handler", "telemetry_span_context", "parent_telemetry_span_context", "remote_address", "remote_port"}
COUNTERS = {"recv_oct", "recv_cnt", "send_oct", "send_cnt"}


class Closer(Handler):
    def handle_connection(self, socket: Any, state: Any) -> Any:
        socket.send(b"HELLO")
        return Close(state)


class CloseOnData(Handler):
    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        return Close(state)


class Failing(Telling):
    def handle_connection(self, socket: Any, state: Any) -> Any:
        return Error("nope", state)


class Forgetful(Flaky):
    """Knows nothing of a socket that it has closed."""

    def getstat(self, stream: Any) -> SocketStats:
        if stream.closed:
            raise oserror(errno.EBADF)
        return TCP.getstat(stream)


def visit(handler: Any, events: Events, send: bytes = b"", **options: Any) -> tuple[str, int]:
    """Connect once and wait for the end; return the client's address."""
    with serve(handler, **options) as server, server.connect() as client:
        if send:
            client.sendall(send)
        address: tuple[str, int] = client.getsockname()
        events.wait("connection.stop")
        return address


class TestLife:
    @pytest.mark.row("TIH-37")
    def test_start_tells_who_connected(self) -> None:
        with events_of(Closer) as events:
            host, port = visit(Closer, events)
            ((measurements, metadata),) = events.all("connection.start")
            assert measurements.keys() == {"monotonic_time"}
            assert metadata.keys() == START
            assert (metadata["remote_address"], metadata["remote_port"]) == (host, port)
            assert metadata["handler"] is Closer

    @pytest.mark.row("TIH-38", "TID-45")
    def test_ready_comes_after_start(self) -> None:
        with events_of(Closer) as events:
            visit(Closer, events)
            ((measurements, metadata),) = events.all("connection.ready")
            assert measurements.keys() == {"monotonic_time"}
            assert metadata.keys() == {"handler", "telemetry_span_context"}
            assert events.names("connection") == [
                *("connection.start", "connection.ready", "connection.send", "connection.stop"),
            ]

    @pytest.mark.row("TIH-39")
    def test_async_recv_has_the_data_and_no_time(self) -> None:
        with events_of(CloseOnData) as events:
            visit(CloseOnData, events, b"ping")
            ((measurements, metadata),) = events.all("connection.async_recv")
            assert measurements == {"data": b"ping"}
            assert metadata.keys() == {"handler", "telemetry_span_context"}

    @pytest.mark.row("TIH-40", "TIH-41", "TID-48")
    def test_stop_has_the_duration_the_counters_and_what_start_had(self) -> None:
        with events_of(Closer) as events:
            visit(Closer, events)
            ((measurements, metadata),) = events.all("connection.stop")
            assert measurements.keys() == {"monotonic_time", "duration", *COUNTERS}
            counters = {name: measurements[name] for name in COUNTERS}
            assert counters == {"recv_oct": 0, "recv_cnt": 0, "send_oct": 5, "send_cnt": 1}
            assert metadata == events.all("connection.start")[0][1]

    def test_stop_has_the_counters_of_a_transport_that_forgets_them_when_it_closes(self) -> None:
        with events_of(Closer) as events:
            visit(Closer, events, transport_module=Forgetful())
            ((measurements, _),) = events.all("connection.stop")
            assert (measurements["send_oct"], measurements["send_cnt"]) == (5, 1)

    @pytest.mark.row("TID-45")
    def test_the_duration_is_from_the_accept_on(self) -> None:
        with events_of(Closer) as events:
            visit(Closer, events)
            started = events.all("connection.start")[0][0]["monotonic_time"]
            stopped = events.all("connection.stop")[0][0]
            assert stopped["duration"] == stopped["monotonic_time"] - started > 0

    @pytest.mark.row("TIH-42")
    def test_stop_has_the_error_if_there_was_one(self) -> None:
        with events_of(Failing) as events:
            visit(Failing, events, handler_options=process.self())
            ((measurements, metadata),) = events.all("connection.stop")
            assert metadata.keys() == {*START, "error"}
            assert metadata["error"] == "nope"
            assert {measurements[name] for name in COUNTERS} == {0}

    @pytest.mark.row("TID-46")
    @pytest.mark.parametrize(
        ("error", "reason"), [(oserror(104), "econnreset"), (TimeoutError("slow"), "timeout")], ids=repr
    )
    def test_a_failed_handshake_ends_the_span_with_its_reason(self, error: Exception, reason: str) -> None:
        flaky = Flaky()
        flaky.fail("handshake", error)
        with (
            events_of(Failing) as events,
            serve(Failing, transport_module=flaky, handler_options=process.self()) as server,
            server.connect() as client,
        ):
            assert is_closed(client)
            assert message() == ("handle_error", False, reason)
            assert events.wait("connection.stop")[1]["error"] == reason
            assert events.names("connection") == ["connection.start", "connection.ready", "connection.stop"]


class TestSpans:
    @pytest.mark.row("TID-52")
    def test_each_knows_its_parent_and_all_are_different(self) -> None:
        with events_of(Closer) as events, serve(Closer) as server:
            for _ in range(2):
                with server.connect() as client:
                    assert receive_exactly(client, 6) == b"HELLO"
                events.wait("connection.stop")
            stop(server.pid)
            listener, acceptor = (events.wait(f"{name}.stop")[1] for name in ("listener", "acceptor"))
            connections = [metadata for _, metadata in events.all("connection.start")]
            assert acceptor["parent_telemetry_span_context"] is listener["telemetry_span_context"]
            for metadata in connections:
                assert metadata["parent_telemetry_span_context"] is acceptor["telemetry_span_context"]
            contexts = {metadata["telemetry_span_context"] for metadata in [listener, acceptor, *connections]}
            assert len(contexts) == 4

    @pytest.mark.parametrize("end", ["close", "kill"])
    def test_it_is_known_after_its_end_and_ends_once(self, end: str) -> None:
        class Showing(Handler):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("socket", self.pid, socket, socket.telemetry_span))
                return Continue(state)

        with (
            events_of(Showing) as events,
            serve(Showing, handler_options=process.self()) as server,
            server.connect() as client,
        ):
            _, pid, socket, span = message()
            if end == "kill":
                process.exit(pid, "kill")
            else:
                client.close()
            _, metadata = events.wait("connection.stop")
            assert socket.telemetry_span is span
            assert metadata["telemetry_span_context"] is span.telemetry_span_context
            socket.stop_span("again")
            assert len(events.all("connection.stop")) == 1

    def test_receivers_are_called_with_the_server_as_the_sender(self) -> None:
        seen: list[Any] = []

        def receive(sender: Any, **_: Any) -> None:
            seen.append(sender)

        signal = signal_of("connection.stop")
        with serve(Closer) as server, serve(Closer) as other, events_of(Closer) as events:
            signal.connect(receive, sender=server.pid)
            try:
                for one in (other, server):
                    with one.connect() as client:
                        assert receive_exactly(client, 6) == b"HELLO"
                    events.wait("connection.stop")
            finally:
                signal.disconnect(receive)
            assert seen == [server.pid]


class TestReceivers:
    def test_one_that_raises_harms_no_connection_and_is_told(self) -> None:
        failures: list[Any] = []

        def fail(sender: Any, **_: Any) -> None:
            raise RuntimeError("receiver")

        def note(sender: Any, *, metadata: Any, **_: Any) -> None:
            failures.append(metadata["error"])

        signal = signal_of("connection.async_recv")
        signal.connect(fail)
        FAILURE.connect(note)
        try:

            class Echo(Handler):
                def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                    socket.send(data)
                    return Continue(state)

            with serve(Echo) as server, server.connect() as client:
                assert exchange(client, b"one") == b"one"
                assert exchange(client, b"two") == b"two"
        finally:
            FAILURE.disconnect(note)
            signal.disconnect(fail)
        assert [str(error) for error in failures] == ["receiver"]

    def test_one_that_blocks_holds_its_own_connection_up_only(self) -> None:
        def block(sender: Any, *, measurements: Any, **_: Any) -> None:
            if measurements["data"] == b"block":
                process.receive(lambda message: message == "go on", timeout=DEADLINE)

        class Echo(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(data)
                return Continue(state)

        signal = signal_of("connection.async_recv")
        signal.connect(block)
        try:
            with serve(Echo) as server, server.connect() as blocked:
                blocked.sendall(b"block")
                with server.connect() as free:
                    assert exchange(free, b"free") == b"free"
                for pid in server.connections():
                    process.send(pid, "go on")
                assert receive_exactly(blocked, 5) == b"block"
        finally:
            signal.disconnect(block)


class Pouring(Handler):
    """Does with its socket what its options say as soon as there is data, and tells of it before."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        teller, pour = state
        process.send(teller, ("pours", self.pid, socket))
        pour(socket)
        return Continue(state)


class TestWhatIsCutShort:
    """An operation of which bytes have gone counts as one, however it ends."""

    # Bytes that no buffers of the system take for a client that does not read.
    MUCH = 2_000_000

    @pytest.fixture(params=["bytes", "pieces", "file"])
    def pour(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        path = tmp_path / "large"
        path.write_bytes(bytes(self.MUCH))
        return {
            "bytes": lambda socket: socket.send(bytes(self.MUCH)),
            "pieces": lambda socket: socket.send([bytes(100_000)] * (self.MUCH // 100_000)),
            "file": lambda socket: socket.sendfile(path),
        }[request.param]

    @pytest.fixture(params=["TCP", "SSL"])
    def identity(self, request: pytest.FixtureRequest) -> Certificates | None:
        return request.getfixturevalue("certificates") if request.param == "SSL" else None

    @contextlib.contextmanager
    def poured(self, identity: Certificates | None, pour: Any, send_timeout: float) -> Iterator[tuple[Pid, Any]]:
        """Yield a connection that pours to a client that does not read, and its socket."""
        options = {"sndbuf": 8_192, "linger": (True, 0), "send_timeout": send_timeout}
        common = {"handler_options": (process.self(), pour)}
        with contextlib.ExitStack() as stack:
            if identity is None:
                server = stack.enter_context(serve(Pouring, transport_options={"ip": "loopback", **options}, **common))
                client = stack.enter_context(server.connect())
            else:
                server = stack.enter_context(serve_tls(Pouring, identity, options, **common))
                client = stack.enter_context(connect_tls(server, identity.trusting()))
            client.sendall(b"x")
            _, pid, socket = message()
            yield pid, socket

    def counted(self, events: Events) -> int:
        measurements, _ = events.wait("connection.stop")
        assert 0 < measurements["send_oct"] < self.MUCH
        count: int = measurements["send_cnt"]
        return count

    def test_by_a_client_that_does_not_read(self, identity: Certificates | None, pour: Any) -> None:
        with events_of(Pouring) as events, self.poured(identity, pour, 50):
            assert self.counted(events) == 1

    def test_by_a_kill(self, identity: Certificates | None, pour: Any) -> None:
        with events_of(Pouring) as events, self.poured(identity, pour, INFINITY) as (pid, socket):
            until(lambda: socket.getstat().send_oct > 0)
            process.exit(pid, "kill")
            assert self.counted(events) == 1
