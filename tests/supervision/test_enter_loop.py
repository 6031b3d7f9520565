"""enter_loop: a process that was spawned goes on as an actor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    TIMEOUT,
    Caller,
    CallError,
    Down,
    Pid,
    Registry,
    Stop,
    Supervisor,
    Task,
    TaskExit,
    Timeout,
    actors,
    call,
    cast,
    process,
    reply,
    send,
    stop,
    sys,
)
from tests.supervision.actors import DEADLINE, Echo, Scripted, heard, nothing_more
from tests.supervision.supervised import until


def spawn(work: Callable[[], Any] = lambda: None, **options: Any) -> Pid:
    """A process that works, and then becomes a Scripted of the test's."""
    me = process.self()

    def body() -> None:
        work()
        Scripted.enter_loop(me, **options)

    return process.spawn(body)


def refusal_of(body: Callable[[], Any]) -> Any:
    """What a process that runs ``body`` dies of."""
    process.spawn_monitor(body)
    return process.receive(Down, timeout=DEADLINE).reason


@pytest.mark.row("GS-69")
class TestEnterLoop:
    def test_the_process_is_an_actor_from_then_on(self) -> None:
        pid = spawn(lambda: process.set_label("entered"))
        assert call(pid, "question") == "question"
        cast(pid, "cast")
        send(pid, "info")
        assert [heard(), heard()] == [("cast", "cast"), ("info", "info")]
        assert sys.get_state(pid) is process.self()
        assert [(info.pid, info.label) for info in actors() if info.pid is pid] == [(pid, "entered")]
        stop(pid)
        assert not process.is_alive(pid)

    def test_what_came_before_is_handled(self) -> None:
        gate = threading.Event()
        pid = spawn(lambda: gate.wait(5))
        send(pid, 1)
        send(pid, 2)
        gate.set()
        assert [heard(), heard()] == [("info", 1), ("info", 2)]
        stop(pid)

    def test_it_waits_without_a_thread(self) -> None:
        pids = [spawn() for _ in range(50)]
        for pid in pids:
            assert call(pid, "there") == "there"
        until(lambda: all(pid._process.parked is None and pid._process.carrier is None for pid in pids))
        for pid in pids:
            stop(pid)

    def test_its_function_is_left_as_by_an_exception(self) -> None:
        me = process.self()

        def body() -> None:
            try:
                Scripted.enter_loop(me)
            finally:
                send(me, ("left", process.self()))

        pid = process.spawn(body)
        assert heard() == ("left", pid)
        assert call(pid, "question") == "question"
        stop(pid)

    def test_it_may_go_on_with_a_timeout_or_a_continuation(self) -> None:
        for options, said in (
            ({"timeout": 1}, ("info", TIMEOUT)),
            ({"timeout": Timeout(1, "tick")}, ("info", "tick")),
            ({"continue_with": "go on"}, ("continue", "go on")),
        ):
            pid = spawn(**options)
            assert heard() == said
            stop(pid)

    def test_a_call_that_came_before_may_be_answered_by_the_actor(self) -> None:
        me = process.self()

        def body() -> None:
            Echo.enter_loop(process.receive(Caller))

        pid = process.spawn(body)
        asking, ref = process.spawn_monitor(lambda: send(me, ("answer", call(pid, "early"))))
        cast(pid, lambda caller, early: (reply(early, early.request), Stop("normal"))[1])
        assert heard() == ("answer", "early")
        assert process.receive(Down, timeout=DEADLINE).ref is ref
        assert asking

    @pytest.mark.parametrize("early", [False, True])
    def test_the_exit_of_a_linked_creator_is_an_order(self, early: bool) -> None:
        me, gate = process.self(), threading.Event()

        class Trapping(Scripted):
            def terminate(self, reason: Any, state: Any) -> None:
                send(state, ("terminate", reason))

        def body() -> None:
            process.trap_exit(True)
            send(me, ("entering", None))
            assert gate.wait(5)
            Trapping.enter_loop(me, continue_with="entered")

        def creator() -> None:
            process.spawn_link(body)
            process.receive()

        pid = process.spawn(creator)
        assert heard() == ("entering", None)
        if early:
            process.exit(pid, "abc")
        gate.set()
        assert heard() == ("continue", "entered")
        if not early:
            process.exit(pid, "abc")
        assert heard() == ("terminate", "abc")


@pytest.mark.row("GS-69")
class TestNames:
    def test_a_name_that_the_process_has_is_fine(self) -> None:
        pid = spawn(lambda: process.register("entered", process.self()), name="entered")
        assert call(pid, "question") == "question"
        assert call("entered", "question") == "question"
        stop(pid)

    def test_a_via_is_fine_too(self) -> None:
        Registry.start_link(keys="unique", name="registry")
        via = Registry.via("registry", "entered")
        pid = spawn(lambda: Registry.register("registry", "entered"), name=via)
        assert call(pid, "question") == "question"
        assert process.whereis(via) is pid
        stop(pid)
        stop("registry")

    def test_a_name_that_it_does_not_have_is_refused(self) -> None:
        process.register("not its own", process.self())
        for name in ("not its own", "nobody has this name"):
            reason = refusal_of(lambda name=name: Scripted.enter_loop(None, name=name))
            assert isinstance(reason, CallError)
            assert f"the process is not registered as {name!r}" in str(reason)
        process.unregister("not its own")


@pytest.mark.row("GS-69")
class TestRefusal:
    def test_what_was_not_spawned_cannot_enter(self) -> None:
        with pytest.raises(CallError, match="only a process that was spawned can become an actor"):
            Scripted.enter_loop(None)
        with pytest.raises(TaskExit, match="only a process that was spawned can become an actor"):
            Task.async_(lambda: Scripted.enter_loop(None)).await_(DEADLINE)

    def test_a_supervisor_is_not_entered(self) -> None:
        reason = refusal_of(lambda: Supervisor.enter_loop(None))
        assert isinstance(reason, CallError)
        assert "Supervisor has a loop of its own" in str(reason)
        assert nothing_more()

    def test_whoever_swallows_it_stays_what_it_was(self) -> None:
        def body() -> None:
            try:
                Scripted.enter_loop(None)
            except BaseException:  # noqa: BLE001 - what a program should not do
                pass
            raise process.ProcessExit("still a function")

        assert refusal_of(body) == "still a function"

    def test_one_that_nobody_created_is_nobodys_order(self) -> None:
        me, pids = process.self(), []

        def body() -> None:
            Scripted.enter_loop(me)

        thread = threading.Thread(target=lambda: pids.append(process.spawn(body)))  # which has no pid of its own
        thread.start()
        thread.join()
        assert call(pids[0], "question") == "question"
        assert sys.get_status(pids[0]).parent is None
        stop(pids[0])
