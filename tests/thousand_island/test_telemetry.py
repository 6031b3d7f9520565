from __future__ import annotations

import sys
import threading

import blinker
import pytest

from supervision.errors import Killed, ProcessExit
from thousand_island import telemetry
from thousand_island.events import EVENTS, Event, span_keys
from thousand_island.telemetry import FAILURE, Origin, SpanContext, signal_of, start_span

ORIGIN = Origin("server", "Echo")
ALL_SIGNALS = [FAILURE, *(blinker.signal(event.full_name) for event in EVENTS)]
SEND = signal_of("connection.send")


@pytest.fixture(autouse=True)
def no_receivers_left():
    yield
    left = {signal.name: list(signal.receivers.values()) for signal in ALL_SIGNALS if signal.receivers}
    for signal in ALL_SIGNALS:
        signal.receivers.clear()
    assert left == {}


class Recorder:
    """Receives everything: (sender, event, measurements, metadata) each."""

    def __init__(self):
        self.received = []

    def __call__(self, sender, *, event, measurements, metadata):
        self.received.append((sender, event, measurements, metadata))

    @property
    def events(self):
        return [event for _, event, _, _ in self.received]


@pytest.fixture
def recorder():
    made = Recorder()
    for signal in ALL_SIGNALS:
        signal.connect(made)
    yield made
    for signal in ALL_SIGNALS:
        signal.disconnect(made)


def connection_span():
    """A listener's, an acceptor's and a connection's span, all begun at 0 and the last two in silence."""
    listener = start_span(ORIGIN, "listener", ("0.0.0.0", 4000, "tcp", {}), 0)
    return listener.start_child_span("acceptor", (), 0).start_child_span("connection", ("192.0.2.1", 5000), 0)


class TestEvents:
    def test_every_event_of_the_reference_pages_is_there(self):
        assert {event.full_name.removeprefix("thousand_island.") for event in EVENTS} == {
            *("listener.start", "listener.stop"),
            *("acceptor.start", "acceptor.stop", "acceptor.spawn_error", "acceptor.econnaborted"),
            *("acceptor.einval", "acceptor.accept_error", "acceptor.emfile"),
            *("connection.start", "connection.stop", "connection.ready", "connection.async_recv", "connection.recv"),
            *("connection.recv_error", "connection.send", "connection.send_error", "connection.sendfile"),
            *("connection.sendfile_error", "connection.socket_shutdown"),
        } | {"connection.proxied", "connection.proxy_error"}  # of the PROXY protocol, which the original does not speak

    def test_no_event_is_listed_twice(self):
        assert len({event.full_name for event in EVENTS}) == len(EVENTS)

    @pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.full_name)
    def test_optional_keys_are_keys(self, event: Event):
        assert set(event.optional) <= {*event.measurements, *event.metadata}

    @pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.full_name)
    def test_every_event_is_documented_by_a_sentence(self, event: Event):
        assert event.doc.endswith(".")
        assert blinker.signal(event.full_name).__doc__ == event.doc

    @pytest.mark.parametrize(
        "event", [event for event in EVENTS if event.name.endswith("_error")], ids=lambda event: event.full_name
    )
    def test_error_events_carry_their_time(self, event: Event):
        assert "monotonic_time" in event.measurements

    @pytest.mark.parametrize("span", ["listener", "acceptor", "connection"])
    def test_stop_repeats_the_metadata_of_start(self, span):
        start, stop = (next(e for e in EVENTS if (e.span, e.name) == (span, name)) for name in ("start", "stop"))
        assert set(start.metadata) == set(stop.metadata) - {"error"}

    def test_span_keys_leave_out_the_parent(self):
        assert span_keys("connection") == ("remote_address", "remote_port")
        assert span_keys("acceptor") == ()


class TestSignalOf:
    @pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.full_name)
    def test_signal_is_the_one_of_the_default_namespace(self, event: Event):
        assert signal_of(f"{event.span}.{event.name}") is blinker.signal(event.full_name)

    def test_unknown_event_is_refused(self):
        with pytest.raises(KeyError, match=r"connection\.sent"):
            signal_of("connection.sent")


class TestStart:
    def test_listener_starts_with_exactly_its_keys(self, recorder):
        span = start_span(ORIGIN, "listener", ("0.0.0.0", 4000, "tcp", {"backlog": 5}), 17)
        assert recorder.received == [
            (
                "server",
                "thousand_island.listener.start",
                {"monotonic_time": 17},
                {
                    "handler": "Echo",
                    "telemetry_span_context": span.telemetry_span_context,
                    "local_address": "0.0.0.0",
                    "local_port": 4000,
                    "transport_module": "tcp",
                    "transport_options": {"backlog": 5},
                },
            )
        ]

    @pytest.mark.row("TE-01")
    def test_connection_starts_with_exactly_its_keys(self, recorder):
        acceptor = start_span(ORIGIN, "acceptor")
        span = acceptor.start_child_span("connection", ("192.0.2.1", 5000), 17)
        assert recorder.received[-1] == (
            "server",
            "thousand_island.connection.start",
            {"monotonic_time": 17},
            {
                "handler": "Echo",
                "telemetry_span_context": span.telemetry_span_context,
                "parent_telemetry_span_context": acceptor.telemetry_span_context,
                "remote_address": "192.0.2.1",
                "remote_port": 5000,
            },
        )

    def test_without_a_start_time_a_span_starts_now(self, recorder):
        before = telemetry.monotonic_time()
        span = start_span(ORIGIN, "acceptor")
        assert before <= span.start_time <= telemetry.monotonic_time()
        assert recorder.received[0][2] == {"monotonic_time": span.start_time}

    def test_contexts_are_unique(self):
        spans = [start_span(ORIGIN, "acceptor") for _ in range(3)]
        contexts = {span.telemetry_span_context for span in spans}
        assert len(contexts) == 3
        assert all(isinstance(context, SpanContext) for context in contexts)
        assert len({repr(context) for context in contexts}) == 3

    def test_span_knows_its_name_and_parent(self):
        span = connection_span()
        assert (span.name, span.parent.name, span.parent.parent.name) == ("connection", "acceptor", "listener")
        assert span.parent.parent.parent is None

    def test_no_metadata_is_built_while_nobody_listens(self, monkeypatch):
        def built(span):
            raise AssertionError("metadata was built")

        monkeypatch.setattr(telemetry.Span, "start_metadata", property(built))
        connection_span().stop({"send_oct": 1})

    def test_span_is_small(self):
        assert sys.getsizeof(connection_span()) <= 96


class TestStop:
    def test_stop_carries_the_start_metadata_its_duration_and_what_is_given(self, recorder, monkeypatch):
        span = connection_span()
        monkeypatch.setattr(telemetry, "monotonic_time", lambda: 42)
        span.start_time = 40
        span.stop({"send_oct": 5}, {"error": "nope"})
        assert recorder.received[-1] == (
            "server",
            "thousand_island.connection.stop",
            {"monotonic_time": 42, "duration": 2, "send_oct": 5},
            {**span.start_metadata, "error": "nope"},
        )

    def test_stop_without_arguments_has_time_and_start_metadata_only(self, recorder):
        span = start_span(ORIGIN, "acceptor", (), 0)
        span.stop()
        _, event, measurements, metadata = recorder.received[-1]
        assert (event, metadata) == ("thousand_island.acceptor.stop", span.start_metadata)
        assert measurements["duration"] == measurements["monotonic_time"]


class TestEventOfASpan:
    def test_event_has_its_time_and_the_short_metadata(self, recorder):
        span = connection_span()
        span.event(signal_of("connection.socket_shutdown"), {"way": "write"})
        sender, event, measurements, metadata = recorder.received[-1]
        assert (sender, event) == ("server", "thousand_island.connection.socket_shutdown")
        assert measurements == {"monotonic_time": measurements["monotonic_time"], "way": "write"}
        assert isinstance(measurements["monotonic_time"], int)
        assert metadata == {"handler": "Echo", "telemetry_span_context": span.telemetry_span_context}

    def test_event_without_measurements_has_its_time_only(self, recorder):
        connection_span().event(signal_of("connection.ready"))
        assert recorder.received[-1][2].keys() == {"monotonic_time"}

    def test_untimed_event_has_what_is_given_only(self, recorder):
        connection_span().untimed_event(SEND, {"data": b"HELLO"})
        assert recorder.received[-1][1:3] == ("thousand_island.connection.send", {"data": b"HELLO"})


class TestReceivers:
    def test_receiver_of_one_server_hears_of_no_other(self):
        mine, other = object(), object()
        recorder = Recorder()
        SEND.connect(recorder, sender=mine)
        for server in (mine, other):
            start_span(Origin(server, "Echo"), "acceptor").untimed_event(SEND, {"data": b""})
        assert [sender for sender, *_ in recorder.received] == [mine]
        SEND.disconnect(recorder)

    def test_receiver_that_changes_its_metadata_changes_nobody_elses(self):
        def greedy(sender, *, event, measurements, metadata):
            measurements.clear()
            metadata.clear()

        recorders = [Recorder(), Recorder()]
        for receiver in (recorders[0], greedy, recorders[1]):
            SEND.connect(receiver)
        connection_span().untimed_event(SEND, {"data": b"x"})
        for recorder in recorders:
            ((_, _, measurements, metadata),) = recorder.received
            assert (measurements, metadata.keys()) == ({"data": b"x"}, {"handler", "telemetry_span_context"})
        for receiver in (*recorders, greedy):
            SEND.disconnect(receiver)

    def test_muted_signal_reaches_nobody(self, recorder):
        with SEND.muted():
            connection_span().untimed_event(SEND, {"data": b"x"})
        assert SEND.name not in recorder.events

    def test_receiver_that_disconnects_another_keeps_it_from_hearing_this_event(self):
        heard = []

        def first_come(name, others):
            def receiver(sender, **_):
                heard.append(name)
                SEND.disconnect(others[0])

            return receiver

        others_of_a, others_of_b = [], []
        a, b = first_come("a", others_of_a), first_come("b", others_of_b)
        others_of_a.append(b)
        others_of_b.append(a)
        SEND.connect(a)
        SEND.connect(b)
        connection_span().untimed_event(SEND, {"data": b"x"})
        assert heard in (["a"], ["b"])
        SEND.disconnect(a)
        SEND.disconnect(b)


class TestFailingReceiver:
    @pytest.mark.row("TE-06")
    @pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(1), ProcessExit("boom")])
    def test_is_disconnected_and_reported_and_harms_nobody(self, recorder, error):
        def failing(sender, **_):
            raise error

        SEND.connect(failing)
        span = connection_span()
        del recorder.received[:]
        span.untimed_event(SEND, {"data": b"1"})
        span.untimed_event(SEND, {"data": b"2"})
        assert [measurements["data"] for _, event, measurements, _ in recorder.received if event == SEND.name] == [
            b"1",
            b"2",
        ]
        (failure,) = (received for received in recorder.received if received[1] == FAILURE.name)
        sender, _, measurements, metadata = failure
        assert sender == "server"
        assert measurements.keys() == {"monotonic_time"}
        assert metadata == {"event_name": SEND.name, "receiver": failing, "error": error}

    @pytest.mark.row("TE-06")
    def test_keeps_no_other_receiver_from_hearing(self):
        # blinker calls receivers in no certain order: with one failing receiver before or after each good one, some
        # failure comes before some success.
        recorders = [Recorder() for _ in range(5)]
        failing = [lambda sender, **_: 1 / 0 for _ in range(5)]
        for good, bad in zip(recorders, failing, strict=True):
            SEND.connect(good)
            SEND.connect(bad)
        connection_span().untimed_event(SEND, {"data": b"x"})
        assert [len(recorder.received) for recorder in recorders] == [1] * 5
        assert len(SEND.receivers) == 5
        for recorder in recorders:
            SEND.disconnect(recorder)

    def test_stays_connected_to_other_events(self):
        def failing(sender, **_):
            raise RuntimeError

        ready = signal_of("connection.ready")
        SEND.connect(failing)
        ready.connect(failing)
        connection_span().untimed_event(SEND, {"data": b"x"})
        assert not SEND.receivers
        assert ready.receivers
        ready.disconnect(failing)

    def test_failing_receiver_of_failures_is_disconnected_too(self):
        failing = [lambda sender, **_: 1 / 0 for _ in range(3)]
        recorder = Recorder()
        FAILURE.connect(recorder)
        for signal, receiver in zip([SEND, FAILURE, FAILURE], failing, strict=True):
            signal.connect(receiver)
        connection_span().untimed_event(SEND, {"data": b"x"})
        assert [metadata["event_name"] for *_, metadata in recorder.received].count(SEND.name) == 1
        assert [metadata["receiver"] for *_, metadata in recorder.received].count(failing[0]) == 1
        FAILURE.disconnect(recorder)

    def test_what_ends_a_dead_process_passes(self):
        def killed(sender, **_):
            raise Killed

        SEND.connect(killed)
        with pytest.raises(Killed):
            connection_span().untimed_event(SEND, {"data": b"x"})
        SEND.disconnect(killed)

    def test_is_disconnected_although_another_thread_connects_meanwhile(self, monkeypatch):
        def failing(sender, **_):
            raise RuntimeError("boom")

        calls = []
        disconnect = SEND.disconnect

        def disturbed(receiver):
            calls.append(receiver)
            if len(calls) == 1:
                raise RuntimeError("dictionary changed size during iteration")
            disconnect(receiver)

        SEND.connect(failing)
        monkeypatch.setattr(SEND, "disconnect", disturbed)
        connection_span().untimed_event(SEND, {"data": b"x"})
        assert calls == [failing, failing]

    def test_ends_no_thread_of_several_that_emit_at_once(self):
        barrier = threading.Barrier(4)
        span = connection_span()
        ended_well = []

        def emit():
            barrier.wait()
            for _ in range(200):
                span.untimed_event(SEND, {"data": b"x"})
            ended_well.append(True)

        def failing(sender, **_):
            raise RuntimeError("boom")

        threads = [threading.Thread(target=emit) for _ in range(3)]
        for thread in threads:
            thread.start()
        SEND.connect(failing)
        barrier.wait()
        for thread in threads:
            thread.join()
        assert ended_well == [True] * 3
        assert not SEND.receivers
