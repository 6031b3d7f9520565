"""call, reply, cast and abcast."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    INFINITY,
    BadArgument,
    BadType,
    CallError,
    CallTimeout,
    Down,
    NoProcess,
    NoReply,
    Pid,
    ProcessExit,
    Reply,
    ServerExit,
    Stop,
    abcast,
    call,
    cast,
    multi_call,
    process,
    reply,
    stop,
)
from tests.supervision.actors import DEADLINE, Echo, held, idle, nothing_more
from tests.supervision.supervised import until


class TestCall:
    @pytest.mark.row("GS-01", "GS-13", "GS-17")
    @pytest.mark.parametrize("timeout", [5_000, INFINITY])
    def test_the_answer_comes_back(self, server: Pid, timeout: float) -> None:
        assert call(server, "question") == "question"
        assert call(server, "question", timeout=timeout) == "question"
        assert call(server, "question", timeout) == "question"

    @pytest.mark.row("GS-13")
    def test_an_answer_may_come_from_another_callback_and_comes_once(self, server: Pid) -> None:
        def answer_twice(caller: Any, state: Any) -> NoReply:
            reply(caller, "later")
            reply(caller, "again")
            return NoReply(state)

        def later(caller: Any, state: Any) -> NoReply:
            cast(process.self(), lambda _, state: answer_twice(caller, state))
            return NoReply(state)

        assert call(server, later) == "later"
        assert call(server, "next") == "next"
        assert nothing_more()

    @pytest.mark.row("GS-14")
    def test_an_answer_may_come_from_another_process_or_thread(self, server: Pid) -> None:
        def by_process(caller: Any, state: Any) -> NoReply:
            process.spawn(reply, caller, "by a process")
            return NoReply(state)

        def by_thread(caller: Any, state: Any) -> NoReply:
            threading.Thread(target=reply, args=(caller, "by a thread")).start()
            return NoReply(state)

        assert call(server, by_process) == "by a process"
        assert call(server, by_thread) == "by a thread"

    def test_the_caller_is_named_by_its_pid(self, server: Pid) -> None:
        assert call(server, lambda caller, state: Reply(caller.pid, state)) is process.self()

    @pytest.mark.parametrize("caller", [None, 1, "caller", object()])
    def test_a_reply_to_what_is_no_caller_is_refused(self, caller: Any) -> None:
        with pytest.raises(BadType, match="caller must be what handle_call got"):
            reply(caller, "value")

    @pytest.mark.row("GS-15", "GS-16", "MB-08", "MB-10")
    @pytest.mark.parametrize("timeout", [0, 1, 20])
    def test_one_that_is_too_slow_raises_and_its_late_answer_never_arrives(self, server: Pid, timeout: int) -> None:
        entered, leave = threading.Event(), threading.Event()
        with pytest.raises(CallTimeout, match=rf"did not answer .* within {timeout} milliseconds") as caught:
            call(server, held(entered, leave), timeout)
        assert isinstance(caught.value, TimeoutError)
        leave.set()
        assert call(server, "next") == "next"
        assert nothing_more()

    def test_the_timeout_names_server_request_and_limit(self, server: Pid) -> None:
        process.register("slow", server)
        entered, leave = threading.Event(), threading.Event()
        cast(server, held(entered, leave))
        with pytest.raises(CallTimeout, match=r"^'slow' did not answer 'question' within 1 milliseconds$"):
            call("slow", "question", 1)
        leave.set()

    def test_an_uncaught_timeout_is_the_exit_reason_of_the_caller(self, server: Pid) -> None:
        entered, leave = threading.Event(), threading.Event()
        pid, ref = process.spawn_monitor(call, server, held(entered, leave), 1)
        down = process.receive(timeout=DEADLINE)
        assert (down.ref, down.pid) == (ref, pid)
        assert isinstance(down.reason, CallTimeout)
        leave.set()

    @pytest.mark.row("GS-18")
    def test_nobody_to_call_raises(self) -> None:
        pid = process.spawn(idle)
        process.exit(pid, "kill")
        for dest in (pid, "nobody has this name", None):
            with pytest.raises(NoProcess, match="no live process is behind") as caught:
                call(dest, "question")
            assert caught.value.dest is dest

    @pytest.mark.row("GS-19", "GS-25")
    @pytest.mark.parametrize("timeout", [DEADLINE, INFINITY])
    def test_a_server_that_ends_tells_the_caller_at_once(self, timeout: float) -> None:
        pid = Echo.start()
        with pytest.raises(ServerExit) as caught:
            call(pid, lambda caller, state: Stop(("why", 1), state), timeout)
        assert caught.value.reason == ("why", 1)
        assert not process.is_alive(pid)

    @pytest.mark.row("GS-19")
    def test_a_crash_is_the_cause_of_what_the_caller_gets(self) -> None:
        error = ValueError("crash")

        def crash(caller: Any, state: Any) -> Any:
            raise error

        with pytest.raises(ServerExit) as caught:
            call(Echo.start(), crash)
        assert caught.value.reason is caught.value.__cause__ is error

    def test_a_server_that_crashes_in_a_call_is_not_left_to_the_garbage_collector(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL + 1, "supervision")  # what is captured would keep the traceback

        def crash(caller: Any, state: Any) -> Any:
            raise ValueError

        crashed = Echo.start()
        gone = weakref.ref(crashed)
        gc.disable()
        try:
            with contextlib.suppress(ServerExit):
                call(crashed, crash)
            del crashed
            # Without the GIL what a worker has made is freed by that one, when it next runs.
            until(lambda: gone() is None or not process.spawn(lambda: None))
        finally:
            gc.enable()

    @pytest.mark.row("GS-19")
    def test_a_server_that_is_killed_tells_all_that_wait(self, server: Pid) -> None:
        entered, leave = threading.Event(), threading.Event()

        def ask(request: Any) -> None:
            with pytest.raises(ServerExit) as caught:
                call(server, request)
            raise ProcessExit(caught.value.reason)

        refs = {process.spawn_monitor(ask, held(entered, leave))[1] for _ in range(3)}
        assert entered.wait(5)
        while process.info(server).message_queue_len < 2:  # type: ignore[union-attr]
            process.sleep(1)
        process.exit(server, "kill")
        downs = [process.receive(Down, timeout=DEADLINE) for _ in refs]
        assert {down.ref for down in downs} == refs
        assert {down.reason for down in downs} == {"killed"}
        leave.set()

    @pytest.mark.row("GS-20")
    def test_a_process_cannot_call_itself_by_whatever_name(self, server: Pid) -> None:
        process.register("itself", server)

        def call_itself(caller: Any, state: Any) -> Reply:
            texts = []
            for dest in (process.self(), "itself"):
                with pytest.raises(CallError) as caught:
                    call(dest, "question")
                texts.append(str(caught.value))
            return Reply(texts, state)

        assert call(server, call_itself) == [
            f"a process cannot call itself: {server!r}",
            "a process cannot call itself: 'itself'",
        ]

    @pytest.mark.row("GS-46")
    @pytest.mark.parametrize(("timeout", "error"), [(-1, BadArgument), (0.5, BadType), (True, BadType), ("1", BadType)])
    def test_a_bad_timeout_is_refused_before_the_server_hears_of_it(
        self, server: Pid, timeout: Any, error: type[Exception]
    ) -> None:
        heard: list[Any] = []
        asks: list[Callable[[], Any]] = [
            lambda: call(server, lambda caller, _: heard.append(caller), timeout),
            lambda: multi_call([server], lambda caller, _: heard.append(caller), timeout),
            lambda: stop(server, "normal", timeout),
        ]
        for ask in asks:
            with pytest.raises(error, match="timeout must be a whole number of milliseconds or INFINITY"):
                ask()
        assert call(server, "still there") == "still there"
        assert not heard

    @pytest.mark.row("MB-07")
    def test_a_full_mailbox_does_not_slow_the_caller_down(self, server: Pid) -> None:
        def seconds_of_calls() -> float:
            started = time.perf_counter()
            for _ in range(300):
                call(server, "question")
            return time.perf_counter() - started

        empty = min(seconds_of_calls() for _ in range(3))
        for number in range(50_000):
            process.send(process.self(), number)
        full = min(seconds_of_calls() for _ in range(3))
        assert full < 10 * empty + 0.1

    def test_processes_may_call_each_other_in_a_deep_chain(self) -> None:
        def deeper(left: int) -> Callable[[Any, Any], Reply]:
            def ask(caller: Any, state: Any) -> Reply:
                return Reply(call(pids[left - 1], deeper(left - 1), INFINITY) + 1 if left else 0, state)

            return ask

        pids = [Echo.start() for _ in range(101)]
        assert call(pids[100], deeper(100), INFINITY) == 100
        for pid in pids:
            stop(pid)

    @pytest.mark.parametrize("value", [None, False, ValueError("no error"), NoReply(1)])
    def test_whatever_is_replied_is_returned(self, server: Pid, value: Any) -> None:
        assert call(server, lambda caller, state: Reply(value, state)) is value

    def test_terminate_may_answer_as_the_last_word(self) -> None:
        class Polite(Echo):
            def terminate(self, reason: Any, state: Any) -> None:
                reply(state, "last words")

        assert call(Polite.start(), lambda caller, state: Stop("normal", caller)) == "last words"

    def test_an_answer_to_a_caller_that_has_died_goes_nowhere(self, server: Pid) -> None:
        kept: list[Any] = []

        def keep(caller: Any, state: Any) -> NoReply:
            kept.append(caller)
            return NoReply(state)

        pid, ref = process.spawn_monitor(call, server, keep, INFINITY)
        until(lambda: kept)
        process.exit(pid, "kill")
        assert process.receive(timeout=DEADLINE).ref is ref
        reply(kept[0], "too late")
        assert call(server, "well") == "well"

    def test_a_plain_process_may_answer_or_pass_a_call_on(self, server: Pid) -> None:
        def answer() -> None:
            asked = process.receive()
            reply(asked, ("answered", asked.request))

        def pass_on() -> None:
            process.send(server, process.receive())
            idle()

        passing = process.spawn(pass_on)
        assert call(process.spawn(answer), "question") == ("answered", "question")
        assert call(passing, "question") == "question"
        process.exit(passing, "kill")

    def test_a_callee_may_kill_its_caller(self, server: Pid) -> None:
        other = Echo.start()

        def murder(caller: Any, state: Any) -> Reply:
            process.exit(caller.pid, "kill")
            return Reply("nobody hears", "done")

        with pytest.raises(ServerExit) as caught:
            call(other, lambda caller, state: Reply(call(server, murder, INFINITY), state))
        assert caught.value.reason == "killed"
        assert call(server, lambda caller, state: Reply(state, state)) == "done"

    def test_two_that_call_each_other_end_by_the_timeout(self, server: Pid) -> None:
        other = Echo.start()

        def ask_back(caller: Any, state: Any) -> Reply:
            with pytest.raises(CallTimeout):
                call(caller.pid, "busy", 20)
            return Reply("timed out", state)

        assert call(server, lambda caller, state: Reply(call(other, ask_back, INFINITY), state)) == "timed out"
        assert call(server, "well") == "well"
        stop(other)

    def test_casts_before_a_call_without_a_deadline_are_handled_before_it(self, server: Pid) -> None:
        other = Echo.start([])

        def cast_and_call(caller: Any, state: Any) -> Reply:
            for number in range(40):
                cast(other, lambda _, state, number=number: NoReply([*state, number]))
            return Reply(call(other, lambda caller, state: Reply(state, state), INFINITY), state)

        assert call(server, cast_and_call) == list(range(40))
        stop(other)


class Broken:
    """A via that cannot say who has its name."""

    def register_name(self, pid: Any) -> bool:
        return False

    def unregister_name(self) -> None:
        raise AssertionError

    def whereis_name(self) -> Any:
        raise LookupError("it is down")


class TestCast:
    @pytest.mark.row("GS-26")
    def test_it_never_raises_for_want_of_a_receiver(self, server: Pid) -> None:
        cast(server, "new state")
        assert call(server, lambda caller, state: Reply(state, state)) == "new state"
        process.exit(server, "kill")
        for dest in (server, "nobody has this name", None, Broken()):
            cast(dest, "message")

    @pytest.mark.parametrize("dest", [1, ("via", "x")])
    def test_what_is_no_destination_is_refused(self, dest: Any) -> None:
        with pytest.raises(BadType, match="the destination must be"):
            cast(dest, "message")

    def test_abcast_reaches_each(self) -> None:
        pids = [Echo.start() for _ in range(3)]
        abcast([*pids, "nobody has this name"], "news")
        assert [call(pid, lambda caller, state: Reply(state, state)) for pid in pids] == ["news"] * 3
        for pid in pids:
            stop(pid)
