"""Two things at once, many times over: whichever comes first, there is no third outcome."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from supervision import (
    INFINITY,
    Actor,
    AlreadyStarted,
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
    StartError,
    call,
    cast,
    process,
    reply,
    stop,
)
from supervision import sys as sys_

DEADLINE = 5_000
ROUNDS = 2_000


@pytest.fixture(autouse=True)
def threads_take_turns_all_the_time() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def idle() -> None:
    process.receive(lambda message: message == "stop")


def at_once(*functions: Callable[[], Any]) -> None:
    """Have another thread run each, as nearly at the same time as threads do, and wait for them."""
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], Any]) -> None:
        barrier.wait()
        function()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Killer:
    """A process that ends those it is sent, at once."""

    def __init__(self) -> None:
        self.pid = process.spawn(self.body)

    def body(self) -> None:
        while True:
            process.exit(process.receive(Pid), "abc")


@pytest.fixture
def killer() -> Iterator[Pid]:
    pid = Killer().pid
    yield pid
    process.exit(pid, "kill")


def heard() -> Any:
    try:
        return process.receive(timeout=0)
    except ReceiveTimeout:
        return None


class TestDemonitor:
    @pytest.mark.row("MO-09")
    def test_either_it_prevents_the_down_or_the_down_is_there(self, killer: Pid) -> None:
        outcomes = set()
        for round_ in range(ROUNDS):
            pid, ref = process.spawn_monitor(idle)
            process.send(killer, pid)
            for _ in range(round_ % 40):
                process.is_alive(pid)
            prevented = process.demonitor(ref)
            message = heard()
            assert message == (None if prevented else Down(ref, pid, "abc"))
            outcomes.add(prevented)
            process.exit(pid, "kill")
        assert heard() is None
        assert outcomes

    @pytest.mark.row("MO-08")
    def test_after_a_flush_no_down_comes(self, killer: Pid) -> None:
        for _ in range(ROUNDS):
            pid, ref = process.spawn_monitor(idle)
            process.send(killer, pid)
            process.demonitor(ref, flush=True)
            process.exit(pid, "kill")
            assert heard() is None


class TestUnlink:
    @pytest.mark.row("LK-07")
    def test_after_it_and_one_flush_no_exit_comes(self, killer: Pid) -> None:
        for _ in range(ROUNDS):
            pid = process.spawn_link(idle)
            process.send(killer, pid)
            process.unlink(pid)
            assert heard() in (None, Exit(pid, "abc"))
            process.exit(pid, "kill")
            assert heard() is None

    @pytest.mark.row("LK-07")
    def test_one_that_does_not_trap_survives_from_there_on(self, killer: Pid) -> None:
        me = process.self()

        def body() -> None:
            pid = process.spawn_link(idle)
            process.send(killer, pid)
            process.unlink(pid)
            process.send(me, ("unlinked", pid))
            process.exit(pid, "kill")
            raise ProcessExit("survived")

        for _ in range(ROUNDS // 4):
            pid, ref = process.spawn_monitor(body)
            reason = process.receive(Down, timeout=DEADLINE).reason
            unlinked = heard()
            assert reason == ("abc" if unlinked is None else "survived")
            if unlinked is None:
                assert ref is not None
                assert not process.is_alive(pid)


class TestLink:
    @pytest.mark.row("LK-03", "LK-04")
    def test_a_link_to_the_dying_is_always_heard_of(self, killer: Pid) -> None:
        for _ in range(ROUNDS):
            pid = process.spawn(idle)
            process.send(killer, pid)
            process.link(pid)
            assert process.receive(timeout=DEADLINE) in (Exit(pid, "abc"), Exit(pid, "noproc"))
            assert heard() is None

    def test_two_that_link_each_other_while_dying_leave_nothing(self) -> None:
        for _ in range(100):
            first, second = process.spawn(linker), process.spawn(linker)
            process.send(first, second)
            process.send(second, first)
            at_once(lambda pid=first: process.exit(pid, "a"), lambda pid=second: process.exit(pid, "b"))
            assert not process.is_alive(first)
            assert not process.is_alive(second)


def linker() -> None:
    process.link(process.receive())
    idle()


class Slow(Actor):
    """Answers from another process, so that the answer races with whatever the caller does."""

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        if request == "at once":
            return Reply(request, state)
        process.spawn(reply, caller, request)
        return NoReply(state)


def outcome_of_call(pid: Pid, number: int, timeout: float) -> Any:
    try:
        return "answered" if call(pid, number, timeout) == number else "wrong answer"
    except ServerExit as exited:
        return exited.reason
    except LookupError:
        return "gone"


class TestCall:
    @pytest.mark.row("GS-16")
    def test_an_answer_at_the_last_moment_comes_or_is_dropped(self) -> None:
        pid = Slow.start()
        outcomes = set()
        for number in range(ROUNDS // 2):
            try:
                assert call(pid, number, number % 3) == number
                outcomes.add("answered")
            except CallTimeout:
                outcomes.add("too late")
        assert call(pid, "at once") == "at once"
        assert heard() is None
        assert outcomes == {"answered", "too late"}
        stop(pid)

    def test_a_server_killed_while_it_answers_has_answered_or_not(self, killer: Pid) -> None:
        outcomes = set()
        for number in range(ROUNDS // 2):
            pid = Slow.start()
            process.send(killer, pid)
            outcomes.add(outcome_of_call(pid, number, DEADLINE if number % 2 else INFINITY))
            assert heard() is None
            process.exit(pid, "kill")
        assert outcomes <= {"answered", "abc", "gone"}
        assert len(outcomes) > 1

    def test_a_caller_killed_while_it_waits_harms_nobody(self) -> None:
        server = Slow.start()
        for number in range(ROUNDS // 4):
            pid, ref = process.spawn_monitor(call, server, number, INFINITY)
            for _ in range(number % 50):
                process.is_alive(pid)
            process.exit(pid, "kill")
            down = process.receive(timeout=DEADLINE)
            assert (down.ref, down.reason in ("killed", "normal")) == (ref, True)
        assert call(server, "at once") == "at once"
        stop(server)


def outcome_of_start(actor: type[Actor], timeout: float) -> Any:
    try:
        pid = actor.start_link(timeout=timeout)
    except StartError as error:
        return error.reason
    return process.receive(lambda message: message[0] is pid, timeout=DEADLINE).reason


class TestStart:
    @pytest.mark.parametrize("start", [Slow.start_link, Slow.start])
    def test_a_starter_killed_meanwhile_leaves_no_half_started_actor(self, start: Any) -> None:
        before = set(process.pids())
        reasons = {}

        def starter(timeout: float) -> None:
            start(timeout=timeout)

        for number in range(ROUNDS // 4):
            pid, ref = process.spawn_monitor(starter, DEADLINE if number % 2 else INFINITY)
            for _ in range(number % 50):
                process.is_alive(pid)
            process.exit(pid, "kill")
            down = process.receive(Down, timeout=DEADLINE)
            assert down.ref is ref
            reasons[pid] = down.reason
        for pid in set(process.pids()) - before:
            ref = process.monitor(pid)
            with suppress(NoProcess, ServerExit):  # about to be ended by its starter, which has just found itself dead
                parent = sys_.get_status(pid).parent
                assert call(pid, "at once") == "at once"
                if parent is None or reasons[parent] == "normal":
                    stop(pid)
            assert process.receive(Down, timeout=DEADLINE).ref is ref

    def test_an_actor_that_is_killed_while_it_starts_is_an_error_or_a_dead_pid(self, killer: Pid) -> None:
        class Doomed(Slow):
            def init(self, arg: Any) -> Any:
                process.send(killer, process.self())
                return super().init(arg)

        for number in range(ROUNDS // 4):
            assert outcome_of_start(Doomed, DEADLINE if number % 2 else INFINITY) == "abc"
            assert heard() is None

    def test_one_name_is_given_once(self) -> None:
        for _ in range(100):
            outcomes: list[Any] = []

            def start(outcomes: list[Any] = outcomes) -> None:
                try:
                    outcomes.append(Slow.start(name="contested"))
                except AlreadyStarted as error:
                    outcomes.append(error)

            at_once(start, start, start)
            [winner] = [outcome for outcome in outcomes if isinstance(outcome, Pid)]
            assert {outcome.pid for outcome in outcomes if isinstance(outcome, AlreadyStarted)} == {winner}
            stop(winner)


class TestNames:
    @pytest.mark.row("NM-04")
    def test_a_name_is_never_left_with_the_dead(self, killer: Pid) -> None:
        for _ in range(ROUNDS // 2):
            pid = process.spawn(idle)
            process.send(killer, pid)
            with suppress(NoProcess):
                process.register("short-lived", pid)
            process.exit(pid, "kill")
            ref = process.monitor(pid)
            assert process.receive(Down, timeout=DEADLINE).ref is ref
            assert_free("short-lived")


def assert_free(name: str) -> None:
    process.register(name, process.self())
    process.unregister(name)


class TestCast:
    def test_casts_from_many_threads_all_arrive(self) -> None:
        class Counter(Actor):
            def handle_cast(self, message: int, state: int) -> NoReply:
                return NoReply(state + message)

            def handle_call(self, request: Any, caller: Any, state: int) -> Reply:
                return Reply(state, state)

        pid = Counter.start(0)
        at_once(*[lambda: [cast(pid, 1) for _ in range(1_000)]] * 6)
        assert call(pid, "count") == 6_000
        stop(pid)
