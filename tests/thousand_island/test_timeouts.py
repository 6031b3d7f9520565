"""How long a connection may be idle, and what counts as being so."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from supervision import INFINITY, NoReply, Pid, ReceiveTimeout, Reply, Timeout, call, cast, process, sys
from supervision.messages import TIMEOUT
from supervision.rough_timers import Round
from supervision.scheduler import scheduler
from tests.supervision.supervised import until
from tests.thousand_island.serving import (
    DEADLINE,
    Telling,
    exchange,
    is_closed,
    is_silent,
    message,
    receive_exactly,
    serve,
)
from thousand_island import Continue, Error, Persistent, SocketTimeout

TIMED_OUT = ("handle_timeout", True, None)

# Milliseconds. Shorter than any wait of a client, longer than the machine may hold a thread up.
LONG = 60_000


class Idling(Telling):
    """Answers ``"ok"`` and waits; ``handler_options[1:]`` are the timeouts of its results, one after the other."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        to, *timeouts = state
        self.timeouts = timeouts
        return self._continue(to)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(b"ok")
        return self._continue(state)

    def _continue(self, state: Any) -> Any:
        return Continue(state, self.timeouts.pop(0) if self.timeouts else None)


def ends_after(*timeouts: Any, words: int = 0, **options: Any) -> float:
    """Talk to an Idling handler ``words`` times and return after how many milliseconds it gives up."""
    options = {"handler_options": (process.self(), *timeouts), "read_timeout": LONG} | options
    with serve(Idling, **options) as server, server.connect() as client:
        for _ in range(words):
            client.sendall(b"word")
            assert receive_exactly(client, 2) == b"ok"
        started = time.monotonic()
        assert is_closed(client)
        assert message() == TIMED_OUT
        return (time.monotonic() - started) * 1000


class TestResults:
    @pytest.mark.row("TIH-17", "TID-40")
    @pytest.mark.parametrize("defer", [True, False])
    def test_a_timeout_of_handle_connection_limits_the_wait(self, defer: bool) -> None:
        assert ends_after(50, messages_defer_timeout=defer) < 5_000

    @pytest.mark.row("TIH-18", "TIH-22")
    def test_a_timeout_of_handle_data_replaces_read_timeout(self) -> None:
        assert ends_after(None, 50, words=1) < 5_000

    def test_read_timeout_is_the_limit_without_one(self) -> None:
        assert 40 < ends_after(read_timeout=50) < 5_000

    @pytest.mark.row("TID-40")
    def test_it_is_for_one_wait_only(self) -> None:
        with serve(Idling, handler_options=(process.self(), 1_000), read_timeout=50) as server:
            with server.connect() as client:
                client.sendall(b"word")
                assert receive_exactly(client, 2) == b"ok"
                started = time.monotonic()
                assert is_closed(client)
                assert time.monotonic() - started < 0.9
            assert message() == TIMED_OUT

    @pytest.mark.row("TIH-23")
    def test_a_persistent_one_is_for_all_that_follow(self) -> None:
        assert ends_after(None, Persistent(50), words=2) < 5_000

    def test_a_persistent_one_is_the_read_timeout_of_recv_too(self) -> None:
        class Reading(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                return Continue(state, Persistent(30))

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                with pytest.raises(SocketTimeout):
                    socket.recv(1)
                assert socket.read_timeout == 30
                socket.send(b"ok")
                return Continue(state)

        with serve(Reading, handler_options=process.self(), read_timeout=LONG) as server, server.connect() as client:
            client.sendall(b"x")
            assert receive_exactly(client, 2) == b"ok"
            assert is_closed(client)
            assert message() == TIMED_OUT

    def test_zero_ends_it_unless_data_is_there(self) -> None:
        class Impatient(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                socket.recv(1, DEADLINE)
                return Continue(state, 0)

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(data)
                return Continue(state, 0)

        with serve(Impatient, handler_options=process.self(), read_timeout=LONG) as server, server.connect() as client:
            client.sendall(b"data")
            assert is_closed(client) or client.recv(10) == b"ta"
            assert is_closed(client)
            assert message() == TIMED_OUT

    @pytest.mark.parametrize("defer", [True, False])
    @pytest.mark.parametrize(("timeout", "read_timeout"), [(50, INFINITY), (INFINITY, 1)])
    def test_it_outlasts_the_handle_continue_that_the_same_result_asks_for(
        self, timeout: float, read_timeout: float, defer: bool
    ) -> None:
        class Continuing(Idling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                return Continue(state, timeout, continue_with="go on")

            def handle_continue(self, argument: Any, state: Any) -> Any:
                process.send(state[1], ("continued", argument))
                return NoReply(state)

        options = {"handler_options": process.self(), "read_timeout": read_timeout, "messages_defer_timeout": defer}
        with serve(Continuing, **options) as server, server.connect() as client:
            assert message() == ("continued", "go on")
            assert is_closed(client) if timeout == 50 else is_silent(client)

    @pytest.mark.parametrize("infinity", [INFINITY, Persistent(INFINITY)], ids=repr)
    def test_infinity_is_no_limit(self, infinity: Any) -> None:
        with serve(Idling, handler_options=(process.self(), infinity), read_timeout=10) as server:
            with server.connect() as client:
                assert is_silent(client)
            assert message()[0] == "handle_close"

    @pytest.mark.parametrize("timeout", [0.5, -1, True, "5", None])
    def test_a_wrong_one_ends_the_connection_with_a_text_that_names_it(self, timeout: Any) -> None:
        class Wrong(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                return Continue(state, timeout) if timeout is not None else Continue(state, Persistent(timeout))

        with serve(Wrong, handler_options=process.self()) as server, server.connect() as client:
            assert is_closed(client)
            name, _, error = message()
            assert name == "handle_error"
            assert "whole number of milliseconds" in str(error)
            assert repr(timeout) in str(error)


class TestReading:
    @pytest.mark.row("TIH-21")
    def test_recv_without_a_timeout_waits_for_read_timeout_and_an_error_called_timeout_is_one(self) -> None:
        class Reading(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                try:
                    socket.recv(0)
                except SocketTimeout as error:
                    return Error(error.reason, state)
                raise AssertionError("nothing comes")

        with serve(Reading, handler_options=process.self(), read_timeout=50) as server, server.connect() as client:
            client.sendall(b"x")
            assert is_closed(client)
            assert message() == TIMED_OUT

    @pytest.mark.row("TID-40")
    def test_an_explicit_recv_does_not_call_handle_timeout(self) -> None:
        class Patient(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                with pytest.raises(SocketTimeout):
                    socket.recv(1, 60)
                socket.send(b"still here")
                return Continue(state)

        with serve(Patient, handler_options=process.self(), read_timeout=LONG) as server, server.connect() as client:
            client.sendall(b"x")
            assert receive_exactly(client, 10) == b"still here"


class Busy(Telling):
    """Sends itself a message every 10 ms from the first data on."""

    timeout: Any = None

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(b"ok")
        if data == b"start":
            process.send_after(self.pid, "tick", 10)
        return Continue(state, self.timeout)

    def handle_info(self, message: Any, state: Any) -> Any:
        process.send_after(self.pid, "tick", 10)
        return NoReply(state)


class BusyOnce(Busy):
    timeout = 50


class BusyPersistently(Busy):
    timeout = Persistent(80)


class TestLocalMessages:
    @pytest.mark.row("TIH-19")
    def test_they_do_not_defer_read_timeout_if_the_server_is_so_configured(self) -> None:
        options = {"handler_options": process.self(), "read_timeout": 100, "messages_defer_timeout": False}
        with serve(Busy, **options) as server, server.connect() as client:
            client.sendall(b"start")
            assert receive_exactly(client, 2) == b"ok"
            assert is_closed(client)
            assert message() == TIMED_OUT

    @pytest.mark.row("TIH-32", "TIH-33")
    @pytest.mark.parametrize("handler", [BusyOnce, BusyPersistently])
    def test_nor_a_timeout_of_a_result(self, handler: type[Busy]) -> None:
        options = {"handler_options": process.self(), "read_timeout": LONG, "messages_defer_timeout": False}
        with serve(handler, **options) as server, server.connect() as client:
            client.sendall(b"start")
            assert receive_exactly(client, 2) == b"ok"
            assert exchange(client, b"go") == b"ok"
            assert is_closed(client)
            assert message() == TIMED_OUT

    def test_they_do_by_default(self) -> None:
        with serve(Busy, handler_options=process.self(), read_timeout=300) as server, server.connect() as client:
            client.sendall(b"start")
            assert receive_exactly(client, 2) == b"ok"
            client.settimeout(0.6)
            with pytest.raises(TimeoutError):
                client.recv(1)

    @pytest.mark.row("TIH-20")
    @pytest.mark.parametrize("defer", [True, False])
    def test_a_client_that_keeps_sending_is_not_idle(self, defer: bool) -> None:
        options = {"handler_options": process.self(), "read_timeout": 400, "messages_defer_timeout": defer}
        with serve(Busy, **options) as server, server.connect() as client:
            client.sendall(b"start")
            assert receive_exactly(client, 2) == b"ok"
            client.settimeout(0.1)
            for _ in range(6):
                with pytest.raises(TimeoutError):
                    client.recv(1)
                assert exchange(client, b"go") == b"ok"

    @pytest.mark.row("TIH-31")
    @pytest.mark.parametrize("defer", [True, False])
    def test_the_clock_runs_from_the_last_data(self, defer: bool) -> None:
        started = time.monotonic()
        assert ends_after(read_timeout=200, words=3, messages_defer_timeout=defer) > 150
        assert time.monotonic() - started > 0.2


class Slow(Telling):
    """Blocks for longer than read_timeout, in the callback that the data names."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        if data == b"network":
            process.sleep(200)
            process.send_after(self.pid, "answer", 30)
        else:
            process.send(self.pid, "local")
        return Continue(state)

    def handle_info(self, message: Any, state: Any) -> Any:
        if message == "answer":
            state[0].send(b"A")
        else:
            process.sleep(150)
            process.send_after(self.pid, "answer", 100)
        return NoReply(state)


class TestTimeInCallbacks:
    @pytest.mark.row("TIH-28")
    @pytest.mark.parametrize("defer", [True, False])
    def test_a_network_callback_is_not_idle_time(self, defer: bool) -> None:
        options = {"handler_options": process.self(), "read_timeout": 150, "messages_defer_timeout": defer}
        with serve(Slow, **options) as server, server.connect() as client:
            client.sendall(b"network")
            assert receive_exactly(client, 1) == b"A"
            assert is_closed(client)
            assert message() == TIMED_OUT

    @pytest.mark.row("TIH-29")
    def test_a_local_one_is_if_messages_do_not_defer(self) -> None:
        options = {"handler_options": process.self(), "read_timeout": 120, "messages_defer_timeout": False}
        with serve(Slow, **options) as server, server.connect() as client:
            client.sendall(b"local")
            assert is_closed(client)
            assert message() == TIMED_OUT

    def test_a_local_one_is_not_by_default(self) -> None:
        with serve(Slow, handler_options=process.self(), read_timeout=140) as server, server.connect() as client:
            client.sendall(b"local")
            assert receive_exactly(client, 1) == b"A"


class Calling(Telling):
    """Returns from ``handle_call`` with the timeout that was asked for, and tells of every TIMEOUT."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        process.send(state, ("pid", self.pid))
        return Continue(state)

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        return Reply("ok", state, request)

    def handle_info(self, message: Any, state: Any) -> Any:
        process.send(state[1], ("info", message))
        return NoReply(state)


class TestTimeoutsOfActorCallbacks:
    @pytest.mark.row("TIH-25", "TIH-26", "TIH-27", "TIH-30")
    def test_they_reach_handle_info_if_messages_do_not_defer(self) -> None:
        options = {"handler_options": process.self(), "read_timeout": LONG, "messages_defer_timeout": False}
        with serve(Calling, **options) as server, server.connect() as client:
            assert call(message()[1], 1) == "ok"
            assert message() == ("info", TIMEOUT)
            assert is_silent(client)

    def test_they_are_the_next_idle_limit_by_default(self) -> None:
        with serve(Calling, handler_options=process.self(), read_timeout=LONG) as server, server.connect() as client:
            assert call(message()[1], 30) == "ok"
            assert is_closed(client)
            assert message() == TIMED_OUT

    @pytest.mark.parametrize("defer", [True, False])
    def test_one_with_a_message_has_it_sent_and_the_connection_stays(self, defer: bool) -> None:
        options = {"handler_options": process.self(), "read_timeout": LONG, "messages_defer_timeout": defer}
        with serve(Calling, **options) as server, server.connect() as client:
            assert call(message()[1], Timeout(1, "tick")) == "ok"
            assert message() == ("info", "tick")
            assert is_silent(client)

    @pytest.mark.parametrize("timeout", [Timeout(LONG, "tick"), "hibernate"], ids=repr)
    def test_beside_one_that_is_no_idle_limit_read_timeout_is(self, timeout: Any) -> None:
        with serve(Calling, handler_options=process.self(), read_timeout=50) as server, server.connect() as client:
            assert call(message()[1], timeout) == "ok"
            assert is_closed(client)
            assert message() == TIMED_OUT

    def test_without_one_read_timeout_begins_anew_by_default(self) -> None:
        with serve(Calling, handler_options=process.self(), read_timeout=300) as server, server.connect() as client:
            pid = message()[1]
            for _ in range(4):
                client.settimeout(0.15)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                assert call(pid, None) == "ok"
            client.settimeout(DEADLINE / 1000)
            assert is_closed(client)
            assert message() == TIMED_OUT


class TestIdleTime:
    def test_a_message_that_means_nothing_to_the_loop_does_not_lose_the_limit(self) -> None:
        class Forgetful(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("pid", self.pid))
                return Continue(state)

            def handle_info(self, message: Any, state: Any) -> Any:
                return NoReply(state)

        options = {"handler_options": process.self(), "read_timeout": 100, "messages_defer_timeout": False}
        with serve(Forgetful, **options) as server, server.connect() as client:
            pid = message()[1]
            for _ in range(100):
                process.send(pid, "noise")
            assert is_closed(client)
            assert message() == TIMED_OUT

    def test_the_limit_outlasts_a_callback_that_takes_whatever_is_in_the_mailbox(self) -> None:
        class Greedy(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                with contextlib.suppress(ReceiveTimeout):
                    process.receive(timeout=100)  # not the loop's own word that it is time to look
                socket.send(b"ok")
                return Continue(state)

        options = {"handler_options": process.self(), "read_timeout": 50}
        with serve(Greedy, **options) as server, server.connect() as client:
            client.sendall(b"word")
            assert receive_exactly(client, 2) == b"ok"
            assert is_closed(client)
            assert message() == TIMED_OUT

    def test_the_limit_outlasts_data_that_comes_when_it_has_passed(self) -> None:
        options = {"handler_options": (process.self(),), "read_timeout": 50}
        with serve(Idling, **options) as server, server.connect() as client:
            client.sendall(b"word")
            assert receive_exactly(client, 2) == b"ok"
            (pid,) = server.connections()
            sys.suspend(pid)
            until(lambda: queue_length(pid) == 1)  # the time is up
            client.sendall(b"word")
            until(lambda: queue_length(pid) == 2)
            sys.resume(pid)
            assert receive_exactly(client, 2) == b"ok"
            assert is_closed(client)
            assert message() == TIMED_OUT

    def test_the_limit_outlasts_data_that_a_message_has_read(self) -> None:
        class Reading(Telling):
            def handle_cast(self, message: Any, state: Any) -> Any:
                state[0].send(state[0].recv(4))
                return NoReply(state)

        options = {"handler_options": process.self(), "read_timeout": 50, "messages_defer_timeout": False}
        with serve(Reading, **options) as server, server.connect() as client:
            until(server.connections)
            (pid,) = server.connections()
            sys.suspend(pid)
            until(lambda: queue_length(pid) == 1)  # the time is up
            cast(pid, "read")
            client.sendall(b"word")
            until(lambda: queue_length(pid) == 3)
            sys.resume(pid)
            assert receive_exactly(client, 4) == b"word"
            assert is_closed(client)
            assert message() == TIMED_OUT

    def test_a_shorter_one_takes_the_place_of_a_longer_one(self) -> None:
        options = {"handler_options": (process.self(), LONG, LONG // 2)}
        with serve(Idling, **options) as server, server.connect() as client:
            client.sendall(b"word")
            assert receive_exactly(client, 2) == b"ok"
            pid = server.only_connection()
            sys.get_state(pid)
            assert len(rounds_of(pid)) == 1

    def test_nothing_is_kept_of_a_connection_that_was_killed(self) -> None:
        with serve(Idling, handler_options=(process.self(),), read_timeout=LONG) as server, server.connect() as client:
            client.sendall(b"word")
            assert receive_exactly(client, 2) == b"ok"
            pid = server.only_connection()
            sys.get_state(pid)
            assert rounds_of(pid)
            process.exit(pid, "kill")
            until(lambda: not rounds_of(pid))


def rounds_of(pid: Pid) -> list[Round]:
    """The rounds in which a process waits for its time to be up."""
    with scheduler.rough_timers.lock:
        return [one for one in scheduler.rough_timers.rounds.values() if pid._process in one.members]


def queue_length(pid: Pid) -> int:
    info = process.info(pid)
    assert info is not None
    return info.message_queue_len
