"""Children and callers that come at a bad moment, or do what none should."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from supervision import (
    Actor,
    AlreadyStarted,
    ChildSpec,
    Down,
    NoReply,
    Ok,
    Pid,
    ServerExit,
    StartError,
    Supervisor,
    cast,
    child_spec,
    process,
    sys,
)
from tests.supervision.actors import idle
from tests.supervision.doers import Doer, do
from tests.supervision.supervised import PATIENCE, down, pid_of, until, worker


class TestChildThatAsks:
    def test_a_child_may_ask_its_supervisor_when_it_continues(self) -> None:
        answers: list[int] = []

        class Asking(Actor):
            def init(self, sup: str) -> Ok:
                return Ok(sup, continue_with=None)

            def handle_continue(self, argument: Any, sup: str) -> NoReply:
                answers.append(len(Supervisor.which_children(sup)))
                return NoReply(sup)

        children = [child_spec((Asking, "asked"), id=number) for number in range(3)]
        sup = Supervisor.start([*children], strategy="one_for_one", name="asked")
        for child in Supervisor.which_children(sup):
            sys.get_state(child.pid)
        assert answers == [3, 3, 3]
        Supervisor.stop(sup)

    def test_a_child_that_stops_its_supervisor_ends_with_it(self) -> None:
        sup = Supervisor.start([(Doer, None)], strategy="one_for_one")
        child, ref = pid_of(sup, Doer), process.monitor(sup)
        with pytest.raises(ServerExit) as caught:
            do(child, lambda: Supervisor.stop(sup))
        assert caught.value.reason == "shutdown"
        assert down(ref) == "normal"

    def test_a_child_that_kills_its_supervisor_dies_with_it(self) -> None:
        sup = Supervisor.start([(Doer, None)], strategy="one_for_one")
        child = pid_of(sup, Doer)
        with pytest.raises(ServerExit) as caught:
            do(child, lambda: process.exit(sup, "kill"))
        assert caught.value.reason == "killed"
        assert not process.is_alive(sup)


class TestOneProcessForTwoChildren:
    @pytest.fixture
    def sup(self) -> Any:
        def single() -> Pid:
            """What whoever starts a service that may run already does."""
            try:
                return Doer.start_link(None, name="single")
            except AlreadyStarted as already:
                process.link(already.pid)
                return already.pid

        children = [child_spec(Doer, id=id_, start=single, args=()) for id_ in ("a", "b")]
        sup = Supervisor.start(children, strategy="one_for_all")
        assert pid_of(sup, "a") is pid_of(sup, "b")
        return sup

    def test_it_is_restarted_for_both(self, sup: Any) -> None:
        before = pid_of(sup, "a")
        process.exit(before, "kill")
        until(lambda: process.whereis("single") not in (None, before))
        assert pid_of(sup, "a") is pid_of(sup, "b") is process.whereis("single")
        Supervisor.stop(sup)

    def test_it_is_ended_with_the_first_and_the_other_can_be_ended_too(self, sup: Any) -> None:
        for id_ in ("a", "b"):
            Supervisor.terminate_child(sup, id_)
        assert process.whereis("single") is None
        Supervisor.stop(sup)


class TestOddChildren:
    def test_whoever_starts_a_child_of_one_that_shuts_down_hears_of_its_end(self) -> None:
        inside, leave = threading.Event(), threading.Event()

        class Slow(Actor):
            def init(self, arg: Any) -> Ok:
                process.trap_exit(True)
                return Ok()

            def terminate(self, reason: Any, state: Any) -> None:
                inside.set()
                assert leave.wait(5)

        sup = Supervisor.start([Slow], strategy="one_for_one")
        stopping, _ = process.spawn_monitor(Supervisor.stop, sup, "shutdown")
        assert inside.wait(5)
        starting, _ = process.spawn_monitor(Supervisor.start_child, sup, worker("late"))
        until(lambda: sup._process.mailbox)
        leave.set()
        downs = [process.receive(Down, timeout=PATIENCE) for _ in range(2)]
        reasons = {message.pid: message.reason for message in downs}
        assert reasons[stopping] == "normal"
        assert isinstance(reasons[starting], ServerExit)
        assert reasons[starting].reason == "shutdown"

    def test_a_crash_of_what_a_failed_start_has_left_is_reported(
        self, supervise: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        left: list[Pid] = []

        def start() -> Pid:
            left.append(Doer.start_link())
            raise ValueError("no child")

        sup = supervise()
        with pytest.raises(StartError):
            Supervisor.start_child(sup, ChildSpec("failing", start))
        ref = process.monitor(left[0])
        cast(left[0], ValueError("what was left"))
        down(ref)
        assert Supervisor.which_children(sup) == []
        assert "what was left" in caplog.text

    def test_a_child_that_was_dead_when_its_start_returned_is_restarted(self, supervise: Any) -> None:
        starts: list[Pid] = []

        def start() -> Pid:
            pid = process.spawn_link(idle)
            if len(starts) < 2:
                process.exit(pid, "boom")
            starts.append(pid)
            return pid

        sup = supervise([ChildSpec("child", start)])
        until(lambda: len(starts) == 3)
        assert pid_of(sup, "child") is starts[2]

    def test_the_end_of_a_child_that_is_not_linked_goes_unnoticed(self, supervise: Any) -> None:
        sup = supervise([ChildSpec("child", lambda: process.spawn(idle))])
        pid = pid_of(sup, "child")
        process.exit(pid, "kill")
        assert pid_of(sup, "child") is pid
        Supervisor.terminate_child(sup, "child")
        assert pid_of(sup, "child") is None
