from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import supervision
from supervision import (
    INFINITY,
    Actor,
    Down,
    NoProcess,
    NoReply,
    Pid,
    Reply,
    ServerExit,
    SupervisionError,
    Task,
    calls,
    in_place,
    process,
)
from supervision.process_table import Process
from supervision.threads import ThreadRecord, current
from tests.supervision.actors import DEADLINE, Echo
from tests.supervision.runtime import PATIENCE, end, eventually, killed


class Parked(Actor):
    """Waits for mail on a thread of its own."""

    dedicated_thread = True

    def handle_cast(self, message: threading.Event, state: Any) -> NoReply:
        message.set()
        return NoReply(state)


class Seam:
    """A ``running`` flag; ``meanwhile`` happens once, when it has just been taken."""

    def __init__(self, flag: threading.Lock, meanwhile: Callable[[], object]) -> None:
        self.flag = flag
        self.meanwhile: Callable[[], object] | None = meanwhile
        self.release, self.locked = flag.release, flag.locked

    def acquire(self, blocking: bool) -> bool:
        taken = self.flag.acquire(blocking)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return taken


def far_down(levels: int, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function`` with so many more frames on the stack."""
    return far_down(levels - 1, function, *args) if levels > 0 else function(*args)


class TestTakeOver:
    """Of one that waits on its own thread, whose ``running`` the caller has for a moment."""

    @pytest.fixture
    def parked(self) -> Process:
        pid = Parked.start()
        supervision.sys.get_state(pid)
        assert eventually(lambda: pid._process.parked is not None and not pid._process.running.locked())
        return pid._process

    @pytest.fixture
    def caller(self) -> ThreadRecord:
        record = ThreadRecord()
        record.worker = True
        return record

    def test_one_that_is_killed_meanwhile_ends(self, parked: Process, caller: ThreadRecord) -> None:
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "Parked"]
        parked.running = Seam(parked.running, lambda: process.exit(parked, "kill"))  # type: ignore[assignment]
        assert not in_place._take_over(parked, caller)
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_what_it_is_sent_meanwhile_is_handled(self, parked: Process, caller: ThreadRecord) -> None:
        handled = threading.Event()
        parked.running = Seam(parked.running, lambda: supervision.cast(parked, handled))  # type: ignore[assignment]
        assert not in_place._take_over(parked, caller)
        assert handled.wait(PATIENCE)
        killed(parked)


class TestDirectHandOff:
    def test_a_callee_may_run_coroutines_though_its_caller_runs_one(self) -> None:
        async def answer(request: Any) -> Any:
            return request

        class Running(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply(asyncio.run(answer(request)), state)

        class Asking(Actor):
            def handle_call(self, callee: Any, caller: Any, state: Any) -> Reply:
                async def ask() -> Any:
                    return supervision.call(callee, "question", INFINITY)

                return Reply(asyncio.run(ask()), state)

        callee, caller = Running.start(), Asking.start()
        assert supervision.call(caller, callee, DEADLINE) == "question"
        end(callee, caller)

    def test_a_call_without_a_deadline_runs_the_callee_on_the_callers_thread(self) -> None:
        class Where(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                if request is None:
                    return Reply([threading.get_ident()], state)
                return Reply([threading.get_ident(), *supervision.call(request, None, INFINITY)], state)

        outer, inner = Where.start_link(), Where.start_link()
        first, second = supervision.call(outer, inner)
        assert first == second
        end(outer, inner)

    def test_how_deep_a_callee_may_go_does_not_depend_on_its_caller(self) -> None:
        third = sys.getrecursionlimit() // 3

        class Deep(Actor):
            def handle_call(self, chain: list[Pid], caller: Any, state: Any) -> Reply:
                return Reply(far_down(third, lambda: ask(chain)), state)

        def ask(chain: list[Pid]) -> int:
            return 1 + supervision.call(chain[0], chain[1:], INFINITY) if chain else 0

        chain = [Deep.start() for _ in range(10)]
        assert Task.async_(far_down, 2 * third, lambda: ask(chain)).await_() == len(chain)
        end(*chain)

    # What is looked at may not be enough: the limit may be low, or the stack of C the lesser one.
    @pytest.mark.parametrize(("deadline", "looks"), [(INFINITY, True), (INFINITY, False), (DEADLINE, True)])
    def test_a_caller_on_a_full_stack_leaves_neither_itself_nor_the_callee_broken(
        self, deadline: float, looks: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit = sys.getrecursionlimit()
        if not looks:
            monkeypatch.setattr(in_place, "_has_room", lambda: True)

        def ask_at_all_depths() -> None:
            me = process.self()
            for levels in range(limit - 60, limit):
                callee = Echo.start()
                with contextlib.suppress(RecursionError, SupervisionError):
                    far_down(levels, supervision.call, callee, "far down", deadline)
                assert process.self() is me
                # It may have ended, but not in such a way that who asks it waits.
                with contextlib.suppress(NoProcess, ServerExit):
                    assert supervision.call(callee, "again", DEADLINE) == "again"
                process.exit(callee, "kill")

        _, ref = process.spawn_monitor(ask_at_all_depths)
        down = process.receive(Down, timeout=4 * DEADLINE)
        assert (down.ref, down.reason) == (ref, "normal")

    def test_nests_are_bounded(self) -> None:
        depths: list[int] = []

        class Link(Actor):
            def handle_call(self, chain: list[Pid], caller: Any, state: Any) -> Reply:
                depths.append(current.record.depth)
                if not chain:
                    return Reply(0, state)
                return Reply(1 + supervision.call(chain[0], chain[1:], INFINITY), state)

        chain = [Link.start_link() for _ in range(100)]
        assert supervision.call(chain[0], chain[1:], 30_000) == 99
        assert 1 < max(depths) <= in_place.DEEPEST
        end(*chain)

    @pytest.mark.parametrize("mail", [0, 1])
    def test_messages_after_the_request_do_not_hold_the_caller_up(self, mail: int) -> None:
        leave = threading.Event()

        class Callee(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                supervision.cast(process.self(), leave)
                return Reply("answer", state)

            def handle_cast(self, message: threading.Event, state: Any) -> NoReply:
                assert message.wait(PATIENCE)
                return NoReply(state)

            def handle_info(self, message: Any, state: Any) -> NoReply:
                return NoReply(state)

        class Caller(Actor):
            def handle_call(self, request: Pid, caller: Any, state: Any) -> Reply:
                request._process.mailbox.extend(["mail"] * mail)  # not sent, or another processor may have it handled
                return Reply(supervision.call(request, "question", INFINITY), state)

        callee, caller = Callee.start_link(), Caller.start_link()
        assert supervision.call(caller, callee) == "answer"
        leave.set()
        end(caller, callee)

    def test_a_callee_with_much_mail_is_not_run_in_place(self) -> None:
        class Callee(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply(current.record.depth, state)

            def handle_info(self, message: Any, state: Any) -> NoReply:
                return NoReply(state)

        class Caller(Actor):
            def handle_call(self, request: tuple[Pid, int], caller: Any, state: Any) -> Reply:
                callee, mail = request
                callee._process.mailbox.extend(["mail"] * mail)  # not sent, or another processor may have it handled
                return Reply(supervision.call(callee, "depth", INFINITY), state)

        callee, caller = Callee.start_link(), Caller.start_link()
        assert supervision.call(caller, (callee, 0)) == 1
        assert supervision.call(caller, (callee, in_place.MOST_MAIL + 1)) == 0
        end(caller, callee)

    def test_a_spawned_function_is_never_run_in_place(self) -> None:
        class Caller(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                def answer_and_stay() -> None:
                    question = process.receive(calls.Call)
                    supervision.reply(question, "answer")
                    process.receive()

                pid = process.spawn(answer_and_stay)
                return Reply((pid, supervision.call(pid, "question", INFINITY)), state)

        caller = Caller.start_link()
        pid, answer = supervision.call(caller, None)
        assert answer == "answer"
        end(caller, pid)
