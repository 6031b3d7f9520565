"""Timeouts of callbacks with a message of their own."""

from __future__ import annotations

from typing import Any

import pytest

from supervision import (
    INFINITY,
    TIMEOUT,
    BadArgument,
    BadType,
    NoReply,
    Ok,
    Pid,
    Reply,
    Timeout,
    call,
    cast,
    process,
    send,
    stop,
)
from supervision.scheduler import scheduler
from tests.supervision.actors import DEADLINE, Scripted, heard, nothing_more
from tests.supervision.runtime import eventually, idle


@pytest.fixture
def actor() -> Any:
    pid = Scripted.start(process.self())
    yield pid
    process.exit(pid, "kill")


@pytest.mark.row("GS-41")
class TestTimeout:
    @pytest.mark.parametrize("milliseconds", [0, 1, 20])
    @pytest.mark.parametrize("kind", ["call", "cast", "info", "continue"])
    def test_its_message_comes_once_when_nothing_arrives(self, actor: Pid, kind: str, milliseconds: int) -> None:
        def wait(state: Any) -> Any:
            timeout = Timeout(milliseconds, "tick")
            return Reply(1, state, timeout) if kind == "call" else NoReply(state, timeout)

        if kind == "continue":
            cast(actor, lambda state: NoReply(state, continue_with=wait))
        else:
            {"call": call, "cast": cast, "info": send}[kind](actor, wait)
        assert heard() == ("info", "tick")
        assert call(actor, "once only") == "once only"
        assert nothing_more()

    def test_it_may_come_from_init(self) -> None:
        class Waiting(Scripted):
            def init(self, arg: Any) -> Ok:
                return Ok(arg, Timeout(5, "tick"))

        pid = Waiting.start(process.self())
        assert heard() == ("info", "tick")
        stop(pid)

    @pytest.mark.parametrize("disturb", [call, cast, send])
    def test_any_message_cancels_it_for_good(self, actor: Pid, disturb: Any) -> None:
        cast(actor, lambda state: NoReply(state, Timeout(150, "tick")))
        disturb(actor, "disturbed")
        process.send_after(actor, "much later", 250)
        received = [heard() for _ in range(1 if disturb is call else 2)]
        assert ("info", "tick") not in received
        assert received[-1] == ("info", "much later")

    def test_a_plain_one_after_it_has_the_plain_message(self, actor: Pid) -> None:
        cast(actor, lambda state: NoReply(state, Timeout(100_000, "tick")))
        cast(actor, lambda state: NoReply(state, 1))
        assert heard() == ("info", TIMEOUT)

    def test_infinity_never_comes(self, actor: Pid) -> None:
        assert call(actor, lambda state: Reply("answer", state, Timeout(INFINITY, "tick"))) == "answer"
        assert call(actor, "next") == "next"

    @pytest.mark.parametrize(("wrong", "error"), [(0.5, BadType), (-1, BadArgument), (True, BadType), (None, BadType)])
    def test_a_time_that_is_none_is_refused(self, wrong: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match="milliseconds must be a whole number of milliseconds or INFINITY"):
            Timeout(wrong, "tick")


class TestReceiveInACallback:
    @pytest.mark.parametrize("match", [None, object, lambda message: message == "wanted"])
    def test_the_look_at_the_timeout_is_no_message(self, actor: Pid, match: Any) -> None:
        def receive(state: Any) -> Any:
            send(state, ("receives", None))
            send(state, ("received", process.receive(match, timeout=DEADLINE)))
            return NoReply(state)

        def wait(state: Any) -> Any:
            cast(actor, receive)
            return NoReply(state, timeout=0)

        cast(actor, wait)
        assert heard() == ("receives", None)
        send(actor, "wanted")
        assert heard() == ("received", "wanted")
        assert nothing_more()


@pytest.mark.row("GS-42")
class TestZero:
    def test_its_message_comes_before_what_is_queued(self, actor: Pid) -> None:
        def queue_and_wait(state: Any) -> NoReply:
            send(process.self(), "queued")
            return NoReply(state, Timeout(0, "tick"))

        cast(actor, queue_and_wait)
        assert [heard(), heard()] == [("info", "tick"), ("info", "queued")]

    def test_from_init_it_comes_before_what_was_sent_meanwhile(self) -> None:
        class Waiting(Scripted):
            def init(self, arg: Any) -> Ok:
                send(process.self(), "queued")
                return Ok(arg, Timeout(0, "tick"))

        pid = Waiting.start(process.self())
        assert [heard(), heard()] == [("info", "tick"), ("info", "queued")]
        stop(pid)

    def test_what_is_to_be_continued_with_comes_first(self, actor: Pid) -> None:
        cast(actor, lambda state: NoReply(state, Timeout(0, "tick"), continue_with="go on"))
        assert [heard(), heard()] == [("continue", "go on"), ("info", "tick")]


def test_a_shorter_one_leaves_no_timer_of_a_longer_one(actor: Pid) -> None:
    body: Any = actor._process.body
    call(actor, lambda state: Reply(1, state, 60_000))
    idle(actor)  # the answer comes before the timer
    longer = body.timer
    call(actor, lambda state: Reply(1, state, 30_000))
    idle(actor)
    assert scheduler.timers.is_pending(body.timer)
    assert not scheduler.timers.is_pending(longer)


class TestStaleCheck:
    @pytest.mark.parametrize("first", [0, 1])
    def test_a_message_that_waits_comes_before_a_timeout_whatever_an_earlier_one_has_left(
        self, actor: Pid, first: int
    ) -> None:
        """As in OTP, which looks at the queue first: the check of the first timeout is no answer to the second."""

        def expect_more(state: Any) -> NoReply:
            return NoReply(state, timeout=first)

        def wait_again(state: Any) -> NoReply:
            assert first == 0 or eventually(lambda: len(actor._process.mailbox) == 1)  # the check of the first
            send(process.self(), "waits")
            return NoReply(state, timeout=0)

        def begin(state: Any) -> Reply:
            cast(process.self(), expect_more)
            cast(process.self(), wait_again)
            return Reply("begun", state)

        assert call(actor, begin) == "begun"
        assert heard() == ("info", "waits")
        assert call(actor, "no timeout") == "no timeout"
        assert nothing_more()
