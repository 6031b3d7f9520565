from __future__ import annotations

import itertools
import logging

import blinker
import pytest

from supervision import process
from tests.thousand_island.serving import reason_of, strike
from thousand_island import logger
from thousand_island.errors import AlreadyAttached, BadOption, NotAttached
from thousand_island.events import EVENTS
from thousand_island.logger import TRACE, attach_logger, detach_logger
from thousand_island.telemetry import Origin, signal_of, start_span

LEVELS = ["error", "info", "debug", "trace"]
HIGHER_AND_LOWER = list(itertools.combinations(LEVELS, 2))
LOGGER = logging.getLogger("thousand_island")
SEND = signal_of("connection.send")


@pytest.fixture(autouse=True)
def detached():
    yield
    try:
        detach_logger("error")
    except NotAttached:
        pass
    LOGGER.setLevel(logging.NOTSET)
    assert attached_levels() == []


class Echo:
    pass


def attached_levels():
    """The levels of which every event is logged; fails where only some are."""
    levels = []
    for level in LEVELS:
        receivers = [bool(blinker.signal(event.full_name).receivers) for event in EVENTS if event.level == level]
        assert any(receivers) == all(receivers)
        if all(receivers):
            levels.append(level)
    return levels


def a_connection():
    acceptor = start_span(Origin("server", Echo), "acceptor")
    return acceptor.start_child_span("connection", ("192.0.2.1", 5000))


class TestLevels:
    @pytest.mark.row("TID-56")
    @pytest.mark.parametrize(
        ("level", "events"),
        [
            (
                "error",
                {
                    *("acceptor.spawn_error", "acceptor.econnaborted", "acceptor.einval"),
                    *("acceptor.accept_error", "acceptor.emfile", "connection.proxy_error"),
                },
            ),
            ("info", {"listener.start", "listener.stop"}),
            (
                "debug",
                {"acceptor.start", "acceptor.stop", "connection.start", "connection.stop", "connection.proxied"},
            ),
            (
                "trace",
                {
                    *("connection.ready", "connection.async_recv", "connection.recv", "connection.recv_error"),
                    *("connection.send", "connection.send_error", "connection.sendfile", "connection.sendfile_error"),
                    "connection.socket_shutdown",
                },
            ),
        ],
    )
    def test_level_shows_the_events_that_the_original_shows(self, level, events):
        assert {f"{event.span}.{event.name}" for event in EVENTS if event.level == level} == events

    def test_trace_is_a_named_level_below_debug(self):
        assert logging.getLevelName(TRACE) == "TRACE"
        assert TRACE < logging.DEBUG


class TestAttachLogger:
    @pytest.mark.row("TID-56")
    @pytest.mark.parametrize("level", LEVELS)
    def test_level_is_attached_with_all_higher_ones(self, level):
        attach_logger(level)
        assert attached_levels() == LEVELS[: LEVELS.index(level) + 1]

    @pytest.mark.row("TID-56")
    @pytest.mark.parametrize("level", LEVELS)
    def test_attaching_twice_is_refused(self, level):
        attach_logger(level)
        with pytest.raises(AlreadyAttached, match=level):
            attach_logger(level)

    @pytest.mark.parametrize(("higher", "lower"), HIGHER_AND_LOWER)
    def test_lower_level_can_be_added_to_a_higher_one(self, higher, lower):
        attach_logger(higher)
        attach_logger(lower)
        assert attached_levels() == LEVELS[: LEVELS.index(lower) + 1]

    @pytest.mark.parametrize(("higher", "lower"), HIGHER_AND_LOWER)
    def test_higher_level_is_attached_by_a_lower_one_already(self, higher, lower):
        attach_logger(lower)
        with pytest.raises(AlreadyAttached, match=higher):
            attach_logger(higher)

    def test_it_stays_attached_when_a_log_handler_raises(self, monkeypatch):
        def fail(record):
            raise RuntimeError("no log")

        monkeypatch.setattr(LOGGER, "handle", fail)
        attach_logger("debug")
        a_connection().stop()
        assert attached_levels() == ["error", "info", "debug"]

    @pytest.mark.parametrize("level", ["warning", "TRACE", "", None, 10])
    def test_unknown_level_is_refused(self, level):
        with pytest.raises(BadOption, match="level must be 'error', 'info', 'debug' or 'trace'"):
            attach_logger(level)

    @pytest.mark.parametrize(
        ("level", "number"),
        [("error", logging.ERROR), ("info", logging.INFO), ("debug", logging.DEBUG), ("trace", TRACE)],
    )
    def test_logger_without_a_level_gets_the_attached_one(self, level, number):
        attach_logger(level)
        assert LOGGER.level == number

    def test_level_that_the_program_has_set_is_kept(self):
        LOGGER.setLevel(logging.WARNING)
        attach_logger("trace")
        detach_logger("info")
        assert LOGGER.level == logging.WARNING


class TestDetachLogger:
    @pytest.mark.row("TID-57")
    @pytest.mark.parametrize("level", LEVELS)
    def test_level_is_detached_with_all_lower_ones(self, level):
        attach_logger("trace")
        detach_logger(level)
        assert attached_levels() == LEVELS[: LEVELS.index(level)]

    @pytest.mark.row("TID-57")
    @pytest.mark.parametrize("level", LEVELS)
    def test_what_is_not_attached_cannot_be_detached(self, level):
        with pytest.raises(NotAttached, match=level):
            detach_logger(level)

    @pytest.mark.parametrize(("higher", "lower"), HIGHER_AND_LOWER)
    def test_level_below_the_attached_one_cannot_be_detached(self, higher, lower):
        attach_logger(higher)
        with pytest.raises(NotAttached, match=lower):
            detach_logger(lower)

    def test_detached_level_can_be_attached_again(self):
        attach_logger("debug")
        detach_logger("debug")
        attach_logger("debug")
        assert attached_levels() == ["error", "info", "debug"]

    def test_logger_gets_the_level_that_is_left(self):
        attach_logger("trace")
        detach_logger("debug")
        assert LOGGER.level == logging.INFO
        detach_logger("error")
        assert LOGGER.level == logging.NOTSET

    def test_unknown_level_is_refused(self):
        with pytest.raises(BadOption, match="level must be"):
            detach_logger("all")


class TestRecords:
    @pytest.mark.row("TID-57")
    def test_nothing_is_logged_before_attaching(self, caplog):
        caplog.set_level(0)
        a_connection().stop()
        assert caplog.records == []

    def test_each_event_is_logged_at_its_level(self, caplog):
        attach_logger("trace")
        span = a_connection()
        span.untimed_event(SEND, {"data": b"HELLO"})
        span.parent.event(signal_of("acceptor.emfile"), {"error": "enfile"})
        assert [record.levelno for record in caplog.records] == [logging.DEBUG, logging.DEBUG, TRACE, logging.ERROR]
        assert {record.name for record in caplog.records} == {"thousand_island"}

    def test_record_shows_event_handler_and_what_happened(self, caplog):
        attach_logger("trace")
        a_connection().untimed_event(SEND, {"data": b"HELLO"})
        message = caplog.messages[-1]
        assert message.startswith("connection.send Echo ")
        assert message.endswith(" data=b'HELLO'")

    def test_records_of_one_connection_bear_one_id(self, caplog):
        attach_logger("trace")
        span = a_connection()
        span.untimed_event(SEND, {"data": b"HELLO"})
        span.stop()
        start, send, stop = (message.split()[2] for message in caplog.messages[1:])
        assert start == send == stop

    def test_end_of_a_connection_shows_address_duration_counters_and_error(self, caplog):
        attach_logger("debug")
        span = a_connection()
        span.start_time -= 1_500_000
        span.stop({"send_oct": 5}, {"error": "nope"})
        message = caplog.messages[-1]
        assert "remote_address='192.0.2.1' remote_port=5000 error='nope'" in message
        assert "send_oct=5" in message
        (duration,) = (part for part in message.split() if part.startswith("duration="))
        assert float(duration.removeprefix("duration=").removesuffix("ms")) >= 1.5

    def test_transport_options_are_not_shown_for_they_may_hold_a_password(self, caplog):
        attach_logger("info")
        start_span(Origin("server", Echo), "listener", ("127.0.0.1", 4000, Echo, {"password": "secret"}))
        (message,) = caplog.messages
        assert "transport_module=Echo" in message
        assert "secret" not in message

    @pytest.mark.parametrize(
        ("data", "shown"),
        [
            (b"x" * 1_000, f"{b'x' * 200!r} and 800 bytes more"),
            (bytearray(b"xy"), "b'xy'"),
            (memoryview(b"xyz"), "<3 bytes>"),
            ([b"x", b"y"], "[b'x', b'y']"),
        ],
    )
    def test_data_is_shown_by_its_beginning(self, caplog, data, shown):
        attach_logger("trace")
        a_connection().untimed_event(SEND, {"data": data})
        assert caplog.messages[-1].endswith(f"data={shown}")

    def test_nothing_is_put_together_for_a_level_that_the_program_has_switched_off(self, caplog):
        class Unprintable:
            __name__ = property(lambda self: pytest.fail("the text was put together"))

        LOGGER.setLevel(logging.WARNING)
        attach_logger("debug")
        start_span(Origin("server", Unprintable()), "acceptor").stop()
        assert caplog.records == []


class TestKill:
    """Whoever attaches or detaches is killed while it is at it: the next one waits for its thread, which goes on."""

    def killed_after_the_first(self, monkeypatch, step, function, level):
        original = getattr(logger, step)

        def strike_after(one):
            original(one)
            if one == "error":
                strike(process.self())

        monkeypatch.setattr(logger, step, strike_after)
        _, ref = process.spawn_monitor(function, level)
        assert reason_of(ref) == "killed"

    def test_what_was_begun_is_attached_whole(self, monkeypatch):
        self.killed_after_the_first(monkeypatch, "_connect", attach_logger, "trace")
        with pytest.raises(AlreadyAttached):
            attach_logger("trace")
        assert attached_levels() == LEVELS

    def test_what_was_begun_is_detached_whole(self, monkeypatch):
        attach_logger("trace")
        self.killed_after_the_first(monkeypatch, "_disconnect", detach_logger, "error")
        with pytest.raises(NotAttached):
            detach_logger("trace")
        assert attached_levels() == []
