"""stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    CallError,
    CallTimeout,
    Down,
    Exit,
    NoProcess,
    NoReply,
    Pid,
    ProcessExit,
    ReceiveTimeout,
    Reply,
    ServerExit,
    call,
    calls,
    cast,
    process,
    send,
    stop,
)
from supervision.threads import current
from tests.supervision.actors import DEADLINE, Echo
from tests.supervision.supervised import until


def busy(entered: threading.Event, leave: threading.Event) -> Callable[[Any, Any], NoReply]:
    def work(caller: Any, state: Any) -> NoReply:
        entered.set()
        assert leave.wait(5)
        return NoReply(state)

    return work


class TestStop:
    @pytest.mark.row("GS-44", "PL-10")
    def test_the_server_is_dead_when_it_returns(self) -> None:
        pid = Echo.start()
        stop(pid)
        assert not process.is_alive(pid)
        for dest in (pid, "nobody has this name", None):
            with pytest.raises(NoProcess):
                stop(dest)

    @pytest.mark.row("GS-45")
    def test_another_reason_is_the_exit_reason_and_terminate_runs_without_trapping(self) -> None:
        heard = []

        class Cleaning(Echo):
            def terminate(self, reason: Any, state: Any) -> None:
                heard.append((reason, state))

        pid = Cleaning.start("state")
        ref = process.monitor(pid)
        stop(pid, ("shutdown", "later"))
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, ("shutdown", "later"))
        assert heard == [(("shutdown", "later"), "state")]

    @pytest.mark.row("GS-47")
    def test_a_server_is_stopped_by_its_name(self) -> None:
        Echo.start(name="server")
        stop("server")
        with pytest.raises(NoProcess):
            stop("server")

    def test_messages_that_came_before_are_handled_before(self) -> None:
        handled = []
        pid = Echo.start()
        for number in range(200):
            cast(pid, lambda _, state, number=number: (handled.append(number), NoReply(state))[1])
        stop(pid)
        assert handled == list(range(200))

    def test_a_callback_that_receives_does_not_take_it_away(self, server: Pid) -> None:
        entered, leave, received = threading.Event(), threading.Event(), []

        def receive_all(caller: Any, state: Any) -> NoReply:
            entered.set()
            assert leave.wait(5)
            received.append(process.receive(timeout=0))
            with pytest.raises(ReceiveTimeout):
                process.receive(timeout=0)
            return NoReply(state)

        cast(server, receive_all)
        assert entered.wait(5)
        _, ref = process.spawn_monitor(stop, server)
        until(lambda: server._process.mailbox)
        send(server, "behind it")
        leave.set()
        down = process.receive(Down, timeout=DEADLINE)
        assert (down.ref, down.reason) == (ref, "normal")
        assert received == ["behind it"]
        assert not process.is_alive(server)

    def test_a_function_obeys_once_it_enters_a_loop(self) -> None:
        entered, received = threading.Event(), []

        def run() -> None:
            entered.set()
            received.append(process.receive(lambda message: message == "now"))
            Echo.enter_loop(None)

        pid = process.spawn(run)
        assert entered.wait(5)
        _, ref = process.spawn_monitor(stop, pid)
        until(lambda: pid._process.mailbox or pid._process.skipped)
        send(pid, "now")
        down = process.receive(Down, timeout=DEADLINE)
        assert (down.ref, down.reason) == (ref, "normal")
        assert received == ["now"]
        assert not process.is_alive(pid)

    def test_a_foreign_thread_has_no_loop_to_obey(self) -> None:
        me = process.self()
        _, ref = process.spawn_monitor(stop, me)
        down = process.receive(timeout=DEADLINE)
        assert (down.ref, type(down.reason)) == (ref, CallError)

    @pytest.mark.row("GS-48")
    def test_a_server_cannot_stop_itself(self, server: Pid) -> None:
        def stop_itself(caller: Any, state: Any) -> Reply:
            with pytest.raises(CallError, match=r"cannot stop itself, return Stop\(reason, state\) instead"):
                stop(process.self())
            return Reply("survived", state)

        assert call(server, stop_itself) == "survived"

    @pytest.mark.row("GS-49", "PL-10")
    def test_one_that_is_too_slow_raises_and_the_server_is_not_killed(self) -> None:
        entered, leave = threading.Event(), threading.Event()

        class Slow(Echo):
            def terminate(self, reason: Any, state: Any) -> None:
                entered.set()
                leave.wait(5)

        pid = Slow.start()
        ref = process.monitor(pid)
        with pytest.raises(CallTimeout, match="did not stop within 20 milliseconds"):
            stop(pid, timeout=20)
        assert entered.wait(5)
        assert process.is_alive(pid)
        leave.set()
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, "normal")

    @pytest.mark.row("PL-10")
    def test_a_server_that_ends_for_another_reason_raises_that(self) -> None:
        error = ValueError("in terminate")

        class Failing(Echo):
            def terminate(self, reason: Any, state: Any) -> None:
                raise error

        with pytest.raises(ServerExit) as caught:
            stop(Failing.start())
        assert caught.value.reason is caught.value.__cause__ is error

    def test_a_linked_caller_that_traps_gets_the_exit_as_well(self) -> None:
        pid = Echo.start_link()
        stop(pid, "shutdown")
        assert process.receive(timeout=DEADLINE) == Exit(pid, "shutdown")

    @pytest.mark.parametrize("others", [["normal"], ["shutdown", "normal"]])
    def test_of_several_the_first_decides_and_the_others_hear_of_it(self, server: Pid, others: list[Any]) -> None:
        entered, leave = threading.Event(), threading.Event()
        cast(server, busy(entered, leave))
        assert entered.wait(5)
        heard = {}
        for reason in ("normal", *others):
            pid, _ = process.spawn_monitor(stop, server, reason)
            heard[pid] = reason
            until(lambda: len(server._process.mailbox) >= len(heard))
        leave.set()
        for _ in list(heard):
            down = process.receive(Down, timeout=DEADLINE)
            if heard[down.pid] == "normal":
                assert down.reason == "normal"
            else:
                assert down.reason.reason == "normal"

    def test_without_time_it_goes_on_all_the_same(self, server: Pid) -> None:
        entered, leave = threading.Event(), threading.Event()
        cast(server, busy(entered, leave))
        assert entered.wait(5)
        ref = process.monitor(server)
        with pytest.raises(CallTimeout):
            stop(server, timeout=0)
        leave.set()
        assert process.receive(timeout=DEADLINE) == Down(ref, server, "normal")

    def test_a_reason_that_terminate_raises_is_heard(self) -> None:
        class Stubborn(Echo):
            def terminate(self, reason: Any, state: Any) -> None:
                raise ProcessExit("other")

        with pytest.raises(ServerExit) as caught:
            stop(Stubborn.start())
        assert caught.value.reason == "other"

    def test_what_is_posted_to_one_that_has_just_died_is_dropped(self, server: Pid) -> None:
        target = server._process
        process.exit(server, "kill")
        calls.post_ahead(target, "question")
        calls._queue_stop(target, calls.Call(current.record, None, "normal"))
        assert not target.mailbox
        assert not target.system
