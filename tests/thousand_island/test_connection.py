"""Every way in which a connection ends, end to end: exit reason, callback, the client's view, and the stop event."""

from __future__ import annotations

import logging
import socket
import struct
from typing import Any

import pytest

from supervision import NoReply, Pid, ProcessExit, Stop, process, send
from supervision.errors import NoProcess
from tests.thousand_island.serving import (
    DEADLINE,
    Events,
    Server,
    Telling,
    events_of,
    has_message,
    is_closed,
    message,
    reason_of,
    receive_exactly,
    serve,
)
from thousand_island import Close, Continue, Error, SocketClosed, stop

BOOM = ValueError("boom")
RESET = struct.pack("ii", 1, 0)


class Subject(Telling):
    """Answers ``"hello"``, then does what the client's word says."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        socket.send(b"hello")
        process.send(state, ("pid", self.pid))
        return Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        return getattr(self, data.decode())(socket, state)

    def close(self, socket: Any, state: Any) -> Any:
        return Close(state)

    def close_itself(self, socket: Any, state: Any) -> Any:
        socket.close()
        return Continue(state)

    def error(self, socket: Any, state: Any) -> Any:
        return Error("nope", state)

    def error_timeout(self, socket: Any, state: Any) -> Any:
        return Error("timeout", state)

    def crash(self, socket: Any, state: Any) -> Any:
        raise BOOM

    def leave(self, socket: Any, state: Any) -> Any:
        raise ProcessExit("gone")

    def idle(self, socket: Any, state: Any) -> Any:
        return Continue(state, 10)

    def read(self, socket: Any, state: Any) -> Any:
        socket.recv(10, 10)
        raise AssertionError("nothing comes")

    def read_until_closed(self, socket: Any, state: Any) -> Any:
        process.send(state, "reading")
        socket.recv(10)
        raise AssertionError("nothing comes")

    def give_up(self, socket: Any, state: Any) -> Any:
        raise SocketClosed("the frame has no end")

    def nothing(self, socket: Any, state: Any) -> Any:
        return None

    def stop_normally(self, socket: Any, state: Any) -> Any:
        send(self.pid, "normal")
        return Continue(state)

    def stop_otherwise(self, socket: Any, state: Any) -> Any:
        send(self.pid, "otherwise")
        return Continue(state)

    def wait(self, socket: Any, state: Any) -> Any:
        process.send(state, "waiting")
        process.receive(lambda message: False)

    def handle_info(self, message: Any, state: Any) -> Any:
        return Stop(message, state) if message != "stay" else NoReply(state)


class Case:
    """One connection of a Subject to its end."""

    def __init__(self, server: Server, events: Events) -> None:
        self.server = server
        self.events = events
        self.client = server.connect()
        assert receive_exactly(self.client, 5) == b"hello"
        self.pid: Pid = message()[1]
        self.ref = process.monitor(self.pid)

    def ends(self, word: bytes) -> Any:
        """Tell the handler what to do and return the exit reason."""
        self.client.sendall(word)
        return reason_of(self.ref)

    def stopped(self, received: bytes | None) -> Any:
        """Return ``error`` of the stop event, ``()`` if there is none; its counters must tell of ``received``."""
        measurements, metadata = self.events.wait("connection.stop")
        assert set(measurements) == {
            *("monotonic_time", "duration", "send_oct", "send_cnt", "recv_oct", "recv_cnt"),
        }
        assert (measurements["send_oct"], measurements["send_cnt"]) == (5, 1)
        if received is not None:
            counted = (measurements["recv_oct"], measurements["recv_cnt"])
            assert counted == (len(received), 1 if received else 0)
        assert measurements["duration"] > 0
        assert self.server.connections() == []
        assert self.events.names("connection.st") == ["connection.start", "connection.stop"]
        return metadata.get("error", ())


@pytest.fixture
def events() -> Any:
    with events_of(Subject) as recorded:
        yield recorded


@pytest.fixture
def case(events: Events) -> Any:
    with serve(Subject, handler_options=process.self()) as server:
        case = Case(server, events)
        with case.client:
            yield case


ENDINGS = [
    (b"close", ("shutdown", "local_closed"), ("handle_close", True, None), ()),
    (b"idle", ("shutdown", "read_timeout"), ("handle_timeout", True, None), "timeout"),
    (b"error_timeout", ("shutdown", "read_timeout"), ("handle_timeout", True, None), "timeout"),
    (b"read", ("shutdown", "read_timeout"), ("handle_timeout", True, None), "timeout"),
    (b"error", "nope", ("handle_error", False, "nope"), "nope"),
    (b"crash", BOOM, ("handle_error", False, BOOM), BOOM),
    (b"leave", "gone", ("handle_error", False, "gone"), "gone"),
    (b"stop_normally", "normal", ("handle_close", True, None), ()),
    (b"stop_otherwise", "otherwise", ("handle_error", False, "otherwise"), "otherwise"),
]


class TestTable:
    @pytest.mark.row("TID-28", "TID-29", "TIH-05", "TIH-06", "TIH-08", "TIH-14", "TIH-15", "TIH-16", "TIK-07")
    @pytest.mark.parametrize(("word", "reason", "callback", "error"), ENDINGS)
    def test_each_cause_ends_as_the_table_says(
        self, case: Case, word: bytes, reason: Any, callback: Any, error: Any
    ) -> None:
        assert case.ends(word) == reason
        assert message() == callback
        assert is_closed(case.client)
        assert case.stopped(word) == error

    def test_closing_the_socket_oneself_ends_the_connection_without_a_callback(self, case: Case) -> None:
        assert case.ends(b"close_itself") == ("shutdown", "local_closed")
        assert is_closed(case.client)
        assert case.stopped(b"close_itself") == ()
        assert not has_message()

    @pytest.mark.row("TIH-36", "TID-48")
    def test_a_client_that_closes_ends_it_as_peer_closed(self, case: Case) -> None:
        case.client.close()
        assert reason_of(case.ref) == ("shutdown", "peer_closed")
        assert message() == ("handle_close", False, None)
        assert case.stopped(b"") == ()

    @pytest.mark.row("TID-74")
    def test_a_half_closed_connection_is_closed(self, case: Case) -> None:
        case.client.shutdown(socket.SHUT_WR)
        assert reason_of(case.ref) == ("shutdown", "peer_closed")
        assert message() == ("handle_close", False, None)
        assert is_closed(case.client)

    @pytest.mark.row("TID-73")
    def test_a_reset_is_a_close(self, case: Case) -> None:
        case.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        case.client.close()
        assert reason_of(case.ref) == ("shutdown", "peer_closed")
        assert message() == ("handle_close", False, None)
        assert case.stopped(b"") == ()

    def test_a_result_that_is_none_is_a_crash_that_names_the_callback(self, case: Case) -> None:
        reason = case.ends(b"nothing")
        assert "handle_data" in str(reason)
        assert "None" in str(reason)
        assert message() == ("handle_error", False, reason)
        assert case.stopped(b"nothing") is reason

    @pytest.mark.row("TID-34")
    def test_a_socket_error_that_escapes_ends_it_without_a_report(
        self, case: Case, caplog: pytest.LogCaptureFixture
    ) -> None:
        case.client.sendall(b"read_until_closed")
        assert process.receive(str, timeout=DEADLINE) == "reading"
        case.client.close()
        assert reason_of(case.ref) == "closed"
        assert message() == ("handle_error", False, "closed")
        assert case.stopped(b"read_until_closed") == "closed"
        assert not caplog.records

    def test_so_does_one_that_the_handler_has_made_itself(self, case: Case, caplog: pytest.LogCaptureFixture) -> None:
        assert case.ends(b"give_up") == "closed"
        assert message() == ("handle_error", False, "closed")
        assert case.stopped(b"give_up") == "closed"
        assert not caplog.records

    @pytest.mark.row("TIS-07", "TID-22")
    def test_a_server_that_stops_shuts_an_idle_connection_down(self, case: Case) -> None:
        stop(case.server.pid)
        assert reason_of(case.ref) == "shutdown"
        assert message() == ("handle_shutdown", True, None)
        assert is_closed(case.client)
        assert case.events.wait("connection.stop")[1].keys() >= {"remote_port"}
        assert "error" not in case.events.all("connection.stop")[0][1]

    def test_a_killed_connection_is_closed_and_its_span_ends(self, case: Case) -> None:
        process.exit(case.pid, "kill")
        assert case.events.names("connection.stop") == ["connection.stop"]  # before the call that kills returns
        assert reason_of(case.ref) == "killed"
        assert is_closed(case.client)
        assert case.stopped(b"") == "killed"

    def test_a_connection_killed_in_a_callback_is_closed_at_once(self, case: Case) -> None:
        case.client.sendall(b"wait")
        assert process.receive(str, timeout=DEADLINE) == "waiting"
        process.exit(case.pid, "kill")
        assert is_closed(case.client)
        assert case.stopped(b"wait") == "killed"

    @pytest.mark.row("TID-25")
    def test_an_exit_signal_is_a_message(self, case: Case) -> None:
        process.exit(case.pid, "stay")
        assert case.ends(b"close") != ("shutdown", "local_closed")
        assert message()[0] == "handle_error"


class TestSilentTermination:
    @pytest.mark.row("TIH-07")
    def test_an_error_result_is_silent_if_the_server_is_so_configured(
        self, events: Events, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serve(Subject, handler_options=process.self(), silent_terminate_on_error=True) as server:
            case = Case(server, events)
            assert case.ends(b"error") == ("shutdown", ("silent_termination", "nope"))
            assert message() == ("handle_error", False, "nope")
            assert case.stopped(b"error") == "nope"
            case.client.close()
        assert not caplog.records

    @pytest.mark.row("TIH-06")
    def test_an_error_result_is_reported_else(self, case: Case, caplog: pytest.LogCaptureFixture) -> None:
        case.ends(b"error")
        assert case.stopped(b"error") == "nope"
        case.server.settle()
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "nope" in caplog.text

    @pytest.mark.row("TIH-09")
    def test_an_exception_is_reported_even_so(self, events: Events, caplog: pytest.LogCaptureFixture) -> None:
        with serve(Subject, handler_options=process.self(), silent_terminate_on_error=True) as server:
            case = Case(server, events)
            assert case.ends(b"crash") is BOOM
            assert case.stopped(b"crash") is BOOM
            case.client.close()
        assert "boom" in caplog.text


class LastWords(Telling):
    """Fails, sends, or sends too late in its last callback, as ``handler_options`` say: ``(callback, action, …)``."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        return Continue(state, 10) if state[0] == "handle_timeout" else Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        return Close(state) if state[0] == "handle_close" else Error("nope", state)

    def _last(self, name: str, socket: Any, state: Any) -> None:
        assert name == state[0]
        if state[1] == "send too late":
            socket.shutdown("write")
        if state[1].startswith("send"):
            socket.send(b"bye")
            return
        raise state[2]

    def handle_close(self, socket: Any, state: Any) -> None:
        self._last("handle_close", socket, state)

    def handle_error(self, reason: Any, socket: Any, state: Any) -> None:
        self._last("handle_error", socket, state)

    def handle_shutdown(self, socket: Any, state: Any) -> None:
        self._last("handle_shutdown", socket, state)

    def handle_timeout(self, socket: Any, state: Any) -> None:
        self._last("handle_timeout", socket, state)


LAST_CALLBACKS = ["handle_close", "handle_error", "handle_shutdown", "handle_timeout"]


class TestLastCallback:
    @pytest.mark.row("TID-31")
    @pytest.mark.parametrize("error", [BOOM, SystemExit(1), KeyboardInterrupt(), ProcessExit("left")], ids=repr)
    @pytest.mark.parametrize("callback", LAST_CALLBACKS)
    def test_what_it_raises_is_the_reason_and_everything_is_still_released(
        self, callback: str, error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        with (
            events_of(LastWords) as events,
            serve(LastWords, handler_options=(callback, "raise", error)) as server,
        ):
            ref_and_client = server.connect()
            with ref_and_client as client:
                events.wait("connection.ready")
                if callback in ("handle_close", "handle_error"):
                    client.sendall(b"now")
                elif callback == "handle_shutdown":
                    stop(server.pid)
                expected = "left" if isinstance(error, ProcessExit) else error
                assert events.wait("connection.stop")[1]["error"] == expected
                assert is_closed(client)
            assert events.names("connection.st") == ["connection.start", "connection.stop"]

    @pytest.mark.row("TID-29", "TIS-08")
    @pytest.mark.parametrize("callback", ["handle_close", "handle_shutdown", "handle_timeout"])
    def test_a_goodbye_reaches_the_client_where_the_socket_is_open(self, callback: str) -> None:
        with events_of(LastWords) as events, serve(LastWords, handler_options=(callback, "send")) as server:
            with server.connect() as client:
                events.wait("connection.ready")
                if callback == "handle_close":
                    client.sendall(b"now")
                elif callback == "handle_shutdown":
                    stop(server.pid)
                assert receive_exactly(client, 4) == b"bye"
            assert events.wait("connection.stop")[0]["send_oct"] == 3

    @pytest.mark.row("TID-34")
    @pytest.mark.parametrize("callback", ["handle_close", "handle_shutdown", "handle_timeout"])
    def test_a_goodbye_that_cannot_be_sent_is_no_crash(self, callback: str, caplog: pytest.LogCaptureFixture) -> None:
        options = (callback, "send too late")
        with (
            events_of(LastWords) as events,
            serve(LastWords, handler_options=options) as server,
            server.connect() as client,
        ):
            events.wait("connection.ready")
            if callback == "handle_close":
                client.sendall(b"now")
            elif callback == "handle_shutdown":
                stop(server.pid)
            assert events.wait("connection.stop")[1]["error"] == "epipe"
            assert is_closed(client)
        assert not caplog.records

    @pytest.mark.row("TID-29")
    def test_nothing_can_be_sent_in_handle_error_which_changes_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        with events_of(LastWords) as events, serve(LastWords, handler_options=("handle_error", "send")) as server:
            with server.connect() as client:
                client.sendall(b"now")
                assert is_closed(client)
            assert events.wait("connection.stop")[1]["error"] == "nope"
        (report,) = caplog.records
        assert "nope" in report.getMessage()

    @pytest.mark.row("TID-29")
    def test_nor_in_handle_close_of_a_client_that_has_gone(self, caplog: pytest.LogCaptureFixture) -> None:
        with events_of(LastWords) as events, serve(LastWords, handler_options=("handle_close", "send")) as server:
            with server.connect():
                events.wait("connection.ready")
            assert "error" not in events.wait("connection.stop")[1]
        assert not caplog.records


class TestBeforeTheBeginning:
    @pytest.mark.row("TID-33")
    def test_a_client_that_was_gone_already_leaves_no_trace(self) -> None:
        class Slow(Telling):
            def init(self, arg: Any) -> Any:
                process.send(arg, ("init", self.pid))
                process.receive(lambda message: message == "go", timeout=DEADLINE)
                return super().init(arg)

        with events_of(Slow) as events, serve(Slow, handler_options=process.self()) as server:
            client = server.connect()
            _, pid = message()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
            ref = process.monitor(pid)
            process.send(pid, "go")
            assert reason_of(ref) == ("shutdown", ("premature_conn_closing", "enotconn"))
            assert server.connections() == []
            assert events.names("connection") == []
            assert not has_message()

    def test_a_server_that_is_gone_cannot_be_stopped(self) -> None:
        with serve(Subject) as server:
            stop(server.pid)
            with pytest.raises(NoProcess):
                stop(server.pid)
