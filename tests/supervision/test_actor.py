"""The callbacks of an actor: which one runs when, and what its results mean."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from typing import Any

import pytest

from supervision import (
    INFINITY,
    TIMEOUT,
    Actor,
    BadReturn,
    CallTimeout,
    ChildSpec,
    Down,
    NoReply,
    Ok,
    Pid,
    Reply,
    ServerExit,
    Stop,
    call,
    cast,
    process,
    send,
    stop,
)
from tests.supervision.actors import DEADLINE, Echo, Scripted, heard, nothing_more


@pytest.fixture
def actor() -> Any:
    pid = Scripted.start(process.self())
    yield pid
    process.exit(pid, "kill")


class Unshowable:
    def __repr__(self) -> str:
        raise ValueError("no repr")


class TestHandleInfo:
    @pytest.mark.row("GS-29")
    def test_it_gets_every_message_that_is_no_call_and_no_cast(self, actor: Pid) -> None:
        for message in ("plain", ("a", "tuple"), None):
            send(actor, message)
            assert heard() == ("info", message)

    def test_a_caller_that_is_passed_on_is_a_message_and_no_call(self, actor: Pid) -> None:
        given: list[Any] = []
        keeper = Echo.start()

        def pass_on(caller: Any, state: Any) -> NoReply:
            given.append(caller)
            send(actor, caller)
            return NoReply(state)

        with pytest.raises(CallTimeout):
            call(keeper, pass_on, timeout=0)
        assert heard() == ("info", given[0])
        stop(keeper)

    def test_the_call_behind_a_caller_that_is_passed_on_is_not_answered_by_a_stop(self) -> None:
        class Stopping(Echo):
            def handle_info(self, message: Any, state: Any) -> Stop:
                return Stop("normal", state, reply="not mine")

        stopping, passing, answers = Stopping.start(), Echo.start(), []

        def pass_on(caller: Any, state: Any) -> NoReply:
            send(stopping, caller)
            return NoReply(state)

        def ask() -> None:
            answers.append(call(passing, pass_on))

        monitor = process.monitor(stopping)
        _, ref = process.spawn_monitor(ask)
        down = process.receive(Down, timeout=DEADLINE)
        assert down.ref is monitor
        assert isinstance(down.reason, BadReturn)  # there is no call that it could have answered
        stop(passing, ("shutdown", "unanswered"))
        assert process.receive(Down, timeout=DEADLINE).ref is ref
        assert answers == []

    @pytest.mark.parametrize("how", [send, cast])
    def test_it_gets_a_message_whose_class_has_no_hash(self, actor: Pid, how: Any) -> None:
        class Unhashable(type):
            __hash__ = None  # type: ignore[assignment]

        class Message(metaclass=Unhashable):
            pass

        message = Message()
        how(actor, message)
        assert heard()[1] is message
        assert call(actor, "question") == "question"

    @pytest.mark.row("GS-30")
    def test_an_actor_without_it_warns_and_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        pid = Actor.start("state")
        send(pid, "unexpected")
        stop(pid)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "Actor has no handle_info; dropped 'unexpected'" in caplog.text

    def test_an_actor_without_it_logs_also_what_cannot_be_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        pid = Actor.start("state")
        send(pid, Unshowable())
        stop(pid)
        assert "Actor has no handle_info; dropped <Unshowable instance" in caplog.text

    @pytest.mark.row("GS-31")
    @pytest.mark.parametrize("error", [AttributeError("handle_info"), NotImplementedError("inside")])
    def test_what_it_raises_is_a_crash_whatever_it_looks_like(self, actor: Pid, error: Exception) -> None:
        def crash(state: Any) -> Any:
            raise error

        ref = process.monitor(actor)
        send(actor, crash)
        assert process.receive(timeout=DEADLINE) == Down(ref, actor, error)


class TestMissingCallbacks:
    @pytest.mark.row("GS-22", "GS-28", "GS-36")
    @pytest.mark.parametrize("what", ["call", "cast", "continue"])
    def test_an_actor_without_the_callback_crashes_and_says_so(self, what: str) -> None:
        class Bare(Actor):
            def handle_info(self, message: Any, state: Any) -> NoReply:
                return NoReply(state, continue_with="more")

        pid = Bare.start()
        ref = process.monitor(pid)
        if what == "call":
            with pytest.raises(ServerExit) as caught:
                call(pid, "question")
            assert isinstance(caught.value.reason, NotImplementedError)
        else:
            cast(pid, "message") if what == "cast" else send(pid, "message")
        reason = process.receive(lambda message: message.ref is ref, timeout=DEADLINE).reason
        assert isinstance(reason, NotImplementedError)
        assert f"Bare has no handle_{what}" in str(reason)

    @pytest.mark.parametrize("kind", ["call", "cast", "continue"])
    def test_it_says_so_also_of_what_cannot_be_shown(self, kind: str) -> None:
        class Bare(Actor):
            def handle_info(self, message: Any, state: Any) -> NoReply:
                return NoReply(state, continue_with=message)

        pid = Bare.start()
        ref = process.monitor(pid)
        if kind == "call":
            with pytest.raises(ServerExit):
                call(pid, Unshowable())
        else:
            {"cast": cast, "continue": send}[kind](pid, Unshowable())
        reason = process.receive(lambda message: message.ref is ref, timeout=DEADLINE).reason
        assert "<Unshowable instance" in str(reason)


class TestBadReturns:
    @pytest.mark.row("GS-21")
    @pytest.mark.parametrize("value", [None, "bad", ("reply", 1, 2), Ok(1), Reply])
    @pytest.mark.parametrize("callback", ["handle_call", "handle_cast", "handle_info", "handle_continue"])
    def test_anything_else_is_a_crash_that_names_callback_class_and_value(self, callback: str, value: Any) -> None:
        pid = Scripted.start(process.self())
        ref = process.monitor(pid)
        if callback == "handle_call":
            with pytest.raises(ServerExit):
                call(pid, lambda state: value)
        elif callback == "handle_cast":
            cast(pid, lambda state: value)
        elif callback == "handle_info":
            send(pid, lambda state: value)
        else:
            cast(pid, lambda state: NoReply(state, continue_with=lambda state: value))
        reason = process.receive(lambda message: message.ref is ref, timeout=DEADLINE).reason
        assert isinstance(reason, BadReturn)
        assert (reason.callback, reason.value) == (callback, value)
        assert f"Scripted.{callback} returned {value!r}; expected" in str(reason)

    def test_a_reply_is_a_result_of_handle_call_only(self, actor: Pid) -> None:
        ref = process.monitor(actor)
        cast(actor, lambda state: Reply("to nobody", state))
        down = process.receive(timeout=DEADLINE)
        assert down.ref is ref
        assert isinstance(down.reason, BadReturn)

    @pytest.mark.parametrize("callback", ["handle_cast", "handle_info", "handle_continue"])
    def test_a_stop_with_a_reply_is_one_too(self, actor: Pid, callback: str) -> None:
        def reply(state: Any) -> Stop:
            return Stop("normal", state, reply="to nobody")

        ref = process.monitor(actor)
        if callback == "handle_info":
            send(actor, reply)
        else:
            cast(actor, reply if callback == "handle_cast" else lambda state: NoReply(state, continue_with=reply))
        down = process.receive(timeout=DEADLINE)
        assert down.ref is ref
        assert isinstance(down.reason, BadReturn)
        assert f"{callback} returned Stop(" in str(down.reason)
        assert "expected NoReply, or Stop without a reply" in str(down.reason)

    @pytest.mark.parametrize("timeout", [0.5, -1, "1", True])
    def test_a_timeout_that_is_no_duration_is_one_too(self, timeout: Any) -> None:
        pid = Scripted.start(process.self())
        with pytest.raises(ServerExit) as caught:
            call(pid, lambda state: NoReply(state, timeout))
        assert isinstance(caught.value.reason, BadReturn)
        assert "a timeout that is a whole number of milliseconds or INFINITY" in str(caught.value.reason)


class TestContinue:
    @pytest.mark.row("GS-32", "GS-37")
    def test_it_runs_before_what_was_queued_during_init(self) -> None:
        class Continuing(Scripted):
            def init(self, arg: Any) -> Ok:
                send(process.self(), "queued")
                return Ok(arg, continue_with="first")

        pid = Continuing.start(process.self())
        assert [heard(), heard()] == [("continue", "first"), ("info", "queued")]
        stop(pid)

    @pytest.mark.row("GS-37")
    def test_start_returns_before_it_has_run(self) -> None:
        leave = threading.Event()

        class Continuing(Scripted):
            def init(self, arg: Any) -> Ok:
                return Ok(arg, continue_with="slow")

            def handle_continue(self, argument: Any, state: Any) -> NoReply:
                leave.wait(5)
                return NoReply("continued")

            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply(state, state)

        pid = Continuing.start(process.self())
        leave.set()
        assert call(pid, "state") == "continued"
        stop(pid)

    @pytest.mark.row("GS-33")
    def test_an_answer_goes_out_before_it_runs(self, actor: Pid) -> None:
        answered = threading.Event()

        def go_on(state: Any) -> NoReply:
            send(state, ("answered first", answered.wait(5)))
            return NoReply(state)

        assert call(actor, lambda state: Reply("answer", state, continue_with=go_on)) == "answer"
        answered.set()
        assert heard() == ("answered first", True)

    @pytest.mark.row("GS-37")
    def test_an_actor_that_starts_one_is_not_held_up_by_it(self, actor: Pid) -> None:
        class Asking(Scripted):
            def init(self, arg: Any) -> Ok:
                return Ok(arg, continue_with=None)

            def handle_continue(self, argument: Any, state: Any) -> NoReply:
                return self.tell("asked", call(actor, "question", INFINITY), state)

        me = process.self()
        pid = call(actor, lambda state: Reply(Asking.start(me), state))
        assert heard() == ("asked", "question")
        stop(pid)

    @pytest.mark.row("GS-33", "GS-37")
    @pytest.mark.parametrize("asks", [False, True])
    def test_an_actor_that_calls_without_a_deadline_is_not_held_up_by_it(self, actor: Pid, asks: bool) -> None:
        other, third = Scripted.start(process.self()), Scripted.start(process.self())

        def ask_back(state: Any) -> NoReply:
            send(state, ("asked", call(actor, "question", INFINITY)))
            return NoReply(state)

        def answer_first(state: Any) -> Reply:
            if asks:  # in place too, one level deeper
                call(third, "question", INFINITY)
            send(process.self(), "queued")
            return Reply("answer", state, continue_with=ask_back)

        assert call(actor, lambda state: Reply(call(other, answer_first, INFINITY), state)) == "answer"
        assert [heard(), heard()] == [("asked", "question"), ("info", "queued")]
        stop(other)
        stop(third)

    @pytest.mark.row("GS-34")
    @pytest.mark.parametrize("kind", ["call", "cast", "info"])
    def test_each_in_a_chain_runs_before_any_message(self, actor: Pid, kind: str) -> None:
        def start(state: Any) -> Any:
            send(process.self(), "queued")
            if kind == "call":
                return Reply(None, state, continue_with=first)
            return NoReply(state, continue_with=first)

        def first(state: Any) -> NoReply:
            send(state, ("continue", "first"))
            return NoReply(state, continue_with="second")

        {"call": call, "cast": cast, "info": send}[kind](actor, start)
        assert [heard(), heard(), heard()] == [("continue", "first"), ("continue", "second"), ("info", "queued")]

    def test_none_is_something_to_continue_with(self, actor: Pid) -> None:
        cast(actor, lambda state: NoReply(state, continue_with=None))
        assert heard() == ("continue", None)

    def test_it_may_stop_the_actor(self, actor: Pid) -> None:
        ref = process.monitor(actor)
        cast(actor, lambda state: NoReply(state, continue_with=lambda state: Stop("done", state)))
        assert process.receive(timeout=DEADLINE) == Down(ref, actor, "done")


class TestTimeout:
    @pytest.mark.row("GS-27")
    @pytest.mark.parametrize("milliseconds", [0, 1, 20])
    @pytest.mark.parametrize("kind", ["call", "cast", "info", "continue"])
    def test_it_reaches_handle_info_when_nothing_arrives(self, actor: Pid, kind: str, milliseconds: int) -> None:
        def wait(state: Any) -> Any:
            return Reply(1, state, milliseconds) if kind == "call" else NoReply(state, milliseconds)

        if kind == "continue":
            cast(actor, lambda state: NoReply(state, continue_with=wait))
        else:
            {"call": call, "cast": cast, "info": send}[kind](actor, wait)
        assert heard() == ("info", TIMEOUT)
        assert call(actor, "once only") == "once only"
        assert nothing_more()

    def test_it_may_come_from_init(self) -> None:
        class Waiting(Scripted):
            def init(self, arg: Any) -> Ok:
                return Ok(arg, 5)

        pid = Waiting.start(process.self())
        assert heard() == ("info", TIMEOUT)
        stop(pid)

    @pytest.mark.row("GS-39", "GS-43")
    @pytest.mark.parametrize("disturb", [call, cast, send])
    def test_any_message_cancels_it_for_good(self, actor: Pid, disturb: Any) -> None:
        cast(actor, lambda state: NoReply(state, 150))
        disturb(actor, "disturbed")
        process.send_after(actor, "much later", 250)
        received = [heard() for _ in range(1 if disturb is call else 2)]
        assert ("info", TIMEOUT) not in received
        assert received[-1] == ("info", "much later")

    @pytest.mark.row("GS-68")
    @pytest.mark.parametrize("kind", ["init", "call", "cast", "info", "continue"])
    def test_hibernation_is_the_wait_for_the_next_message(self, kind: str) -> None:
        class Hibernating(Scripted):
            def init(self, arg: Any) -> Ok:
                return Ok(arg, "hibernate" if kind == "init" else None)

        def hibernate(state: Any) -> Any:
            return Reply(1, state, "hibernate") if kind == "call" else NoReply(state, "hibernate")

        pid = Hibernating.start(process.self())
        if kind == "continue":
            cast(pid, lambda state: NoReply(state, continue_with=hibernate))
        elif kind != "init":
            {"call": call, "cast": cast, "info": send}[kind](pid, hibernate)
        assert call(pid, "awake") == "awake"
        assert nothing_more()
        stop(pid)

    def test_a_later_one_replaces_an_earlier_one(self, actor: Pid) -> None:
        cast(actor, lambda state: NoReply(state, 1_000))
        cast(actor, lambda state: NoReply(state, 100_000))
        cast(actor, lambda state: NoReply(state, 20))
        assert heard() == ("info", TIMEOUT)
        assert call(actor, "next") == "next"
        assert nothing_more()

    @pytest.mark.row("GS-40")
    def test_zero_comes_only_if_nothing_is_queued(self, actor: Pid) -> None:
        def queue_and_wait(state: Any) -> NoReply:
            send(process.self(), "queued")
            return NoReply(state, 0)

        cast(actor, queue_and_wait)
        assert heard() == ("info", "queued")
        assert call(actor, "next") == "next"
        assert nothing_more()

    def test_infinity_never_comes(self, actor: Pid) -> None:
        assert call(actor, lambda state: Reply("answer", state, float("inf"))) == "answer"
        assert call(actor, "next") == "next"

    def test_a_later_one_is_not_early_though_a_timer_was_armed_for_an_earlier_one(self, actor: Pid) -> None:
        began = time.monotonic()
        cast(actor, lambda state: NoReply(state, 10))
        cast(actor, lambda state: NoReply(state, 50))
        assert heard() == ("info", TIMEOUT)
        assert time.monotonic() - began >= 0.05
        assert call(actor, "once") == "once"
        assert nothing_more()


class TestIsolation:
    def test_all_callbacks_run_in_the_context_of_the_actor(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

        class Remembering(Actor):
            def init(self, arg: Any) -> Ok:
                variable.set(arg)
                return Ok()

            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply(variable.get(), state)

        pids = [Remembering.start(name) for name in ("a", "b")]
        assert [call(pid, "question") for pid in pids] == ["a", "b"]
        assert variable.get(None) is None
        for pid in pids:
            stop(pid)

    def test_an_actor_in_the_middle_of_a_callback_holds_up_no_other(self) -> None:
        entered, leave = threading.Event(), threading.Event()

        def block(state: Any) -> NoReply:
            entered.set()
            leave.wait(5)
            return NoReply(state)

        blocked, free = Scripted.start(process.self()), Scripted.start(process.self())
        cast(blocked, block)
        assert entered.wait(5)
        assert call(free, "question") == "question"
        leave.set()
        stop(blocked)
        stop(free)

    def test_an_actor_may_receive_in_a_callback(self, actor: Pid) -> None:
        def ask(state: Any) -> Reply:
            send(state, ("asked", process.self()))
            return Reply(process.receive(str, timeout=DEADLINE), state)

        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(call(actor, ask)))
        thread.start()
        assert heard() == ("asked", actor)
        cast(actor, "first")
        send(actor, "answer")
        thread.join()
        assert answers == ["answer"]
        assert heard() == ("cast", "first")


class TestChildSpec:
    @pytest.mark.row("GS-12")
    def test_it_starts_the_class_with_the_argument_and_its_attributes(self) -> None:
        class Custom(Actor):
            restart = "transient"
            shutdown = 1_000

        assert Actor.child_spec(1) == ChildSpec(Actor, Actor.start_link, (1,))
        assert Custom.child_spec() == ChildSpec(Custom, Custom.start_link, (None,), restart="transient", shutdown=1_000)


def test_warnings_go_to_the_logger_of_the_package(caplog: pytest.LogCaptureFixture) -> None:
    pid = Actor.start()
    with caplog.at_level(logging.WARNING, logger="supervision"):
        send(pid, "unexpected")
        stop(pid)
    assert {record.name for record in caplog.records} == {"supervision"}
