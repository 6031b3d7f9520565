from __future__ import annotations

import functools
import threading
from typing import Any

import pytest

from supervision import (
    AlreadyPresent,
    Backoff,
    ChildCounts,
    ChildSpec,
    Ignore,
    Restarting,
    Stop,
    SupervisionError,
    Supervisor,
    call,
    child_spec,
    process,
)
from supervision.calls import Call
from tests.supervision.supervised import (
    PATIENCE,
    Journal,
    Script,
    Worker,
    down,
    end,
    exit_of,
    pid_of,
    pids_of,
    raising,
    until,
    worker,
    writers,
)

PLANNED: list[Any] = ["normal", "shutdown", ("shutdown", "detail")]
UNPLANNED: list[Any] = ["abnormal", "kill", ValueError("boom")]


class FakeTime:
    """The clock of a supervisor under test, in seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def failing_restarts(id_: Any, failures: int, journal: Journal | None = None, **fields: Any) -> ChildSpec:
    """A worker that starts, and fails so many times when it is restarted."""
    script = Script(id_, [] if journal is None else journal, starts=[None, *[Stop("no")] * failures])
    return worker(id_, script, **fields)


class Gate:
    """Start outcomes that wait until the test says how they end; each says first that it waits."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.answers: list[Any] = []
        self.opened = threading.Semaphore(0)

    def __call__(self) -> Any:
        self.reached.release()
        self.opened.acquire(timeout=PATIENCE / 1000)
        return self.answers.pop(0)

    def wait(self) -> None:
        assert self.reached.acquire(timeout=PATIENCE / 1000)

    def open(self, answer: Any) -> None:
        self.answers.append(answer)
        self.opened.release()


class TestRestartTypes:
    @pytest.mark.row("SU-55", "SU-57")
    @pytest.mark.parametrize(
        ("restart", "reason"),
        [("permanent", reason) for reason in PLANNED + UNPLANNED] + [("transient", reason) for reason in UNPLANNED],
    )
    def test_the_child_is_restarted(self, supervise: Any, restart: Any, reason: Any) -> None:
        sup = supervise([worker(1, restart=restart)])
        old = pid_of(sup, 1)
        end(old, reason)
        new = pid_of(sup, 1)
        assert call(new, "who") == ("who", new)
        assert new is not old
        assert Supervisor.count_children(sup) == ChildCounts(specs=1, active=1, supervisors=0, workers=1)

    @pytest.mark.row("SU-57")
    @pytest.mark.parametrize("reason", PLANNED)
    def test_a_transient_child_that_ended_as_planned_is_kept_and_not_restarted(
        self, supervise: Any, reason: Any
    ) -> None:
        sup = supervise([worker(1, restart="transient")])
        end(pid_of(sup, 1), reason)
        assert pids_of(sup) == {1: None}
        assert process.is_alive(Supervisor.restart_child(sup, 1))

    @pytest.mark.row("SU-58")
    @pytest.mark.parametrize("reason", PLANNED + UNPLANNED)
    def test_a_temporary_child_is_forgotten(self, supervise: Any, reason: Any) -> None:
        sup = supervise([worker(1, restart="temporary")])
        end(pid_of(sup, 1), reason)
        assert Supervisor.which_children(sup) == []
        assert Supervisor.count_children(sup) == ChildCounts(specs=0, active=0, supervisors=0, workers=0)
        assert process.is_alive(Supervisor.start_child(sup, worker(1, restart="temporary")))

    @pytest.mark.row("SU-80")
    def test_a_child_whose_restart_is_ignored_is_kept_without_a_pid(self, supervise: Any) -> None:
        sup = supervise([worker(1, Script(starts=[None, Ignore()]))])
        end(pid_of(sup, 1), "crash")
        assert pids_of(sup) == {1: None}
        assert process.is_alive(Supervisor.restart_child(sup, 1))

    @pytest.mark.row("SU-69")
    def test_a_registered_child_has_its_name_again(self, supervise: Any) -> None:
        start = functools.partial(Worker.start_link, name="registered")
        sup = supervise([worker(1, start=start)])
        for _ in range(20):
            old = process.whereis("registered")
            end(old, "kill")
            assert pid_of(sup, 1) is process.whereis("registered") is not old


class TestIntensity:
    @pytest.mark.row("SU-62")
    def test_one_restart_too_many_ends_the_supervisor_and_its_children(self) -> None:
        journal: Journal = []
        children = [worker(1), *writers(journal, 2)]
        sup = Supervisor.start_link(children, strategy="one_for_one", max_restarts=2, max_seconds=3_600)
        for _ in range(2):
            end(pid_of(sup, 1), "crash")
        last = pid_of(sup, 1)
        end(last, "crash")
        assert exit_of(sup) == "shutdown"
        assert journal == [("up", 2), ("down", 2, "shutdown")]

    @pytest.mark.row("SU-63")
    def test_restarts_that_are_far_apart_are_not_too_many(self, supervise: Any) -> None:
        class Timed(Supervisor):
            clock = FakeTime()

        sup = supervise([worker(1)], supervisor=Timed, max_restarts=1, max_seconds=1)
        for _ in range(4):
            end(pid_of(sup, 1), "crash")
            assert process.is_alive(pid_of(sup, 1))
            Timed.clock.now += 2.1

    def test_without_restarts_the_first_crash_ends_the_supervisor(self) -> None:
        sup = Supervisor.start_link([worker(1)], strategy="one_for_one", max_restarts=0)
        end(pid_of(sup, 1), "crash")
        assert exit_of(sup) == "shutdown"

    @pytest.mark.row("SU-66")
    def test_every_failed_restart_counts(self) -> None:
        journal: Journal = []
        children = [failing_restarts(1, 100), *writers(journal, 2)]
        sup = Supervisor.start_link(children, strategy="one_for_one", max_restarts=4, max_seconds=3_600)
        script = Supervisor.get_child_spec(sup, 1).args[0]
        end(pid_of(sup, 1), "crash")
        assert exit_of(sup) == "shutdown"
        assert len(script.starts) == 100 - 4
        assert journal == [("up", 2), ("down", 2, "shutdown")]

    @pytest.mark.row("SU-68")
    @pytest.mark.parametrize(("restart", "restarted"), [("permanent", True), ("transient", False)])
    def test_a_supervisor_that_gave_up_is_restarted_only_if_it_is_permanent(
        self, supervise: Any, restart: Any, restarted: bool
    ) -> None:
        class Inner(Supervisor):
            def init(self, arg: Any) -> Any:
                return super().init([worker(1)], strategy="one_for_one", max_restarts=0)

        sup = supervise([child_spec(Inner, id="inner", restart=restart)])
        inner = pid_of(sup, "inner")
        ref = process.monitor(inner)
        end(pid_of(inner, 1), "crash")
        assert down(ref) == "shutdown"
        again = pid_of(sup, "inner")
        assert (again is not None and process.is_alive(pid_of(again, 1))) is restarted

    @pytest.mark.row("SU-70")
    def test_a_killed_supervisor_takes_its_children_along_and_comes_back_with_their_names(self, supervise: Any) -> None:
        class Inner(Supervisor):
            def init(self, arg: Any) -> Any:
                start = functools.partial(Worker.start_link, name="leaf")
                return super().init([worker(1, Script(traps=False), start=start)], strategy="one_for_one")

        sup = supervise([Inner])
        leaf = process.whereis("leaf")
        ref = process.monitor(leaf)
        end(pid_of(sup, Inner), "kill")
        assert down(ref) == "killed"
        assert process.is_alive(pid_of(sup, Inner))
        assert process.whereis("leaf") not in (None, leaf)


class TestStrategies:
    def test_one_for_one_restarts_only_the_child_that_ended(self, supervise: Any) -> None:
        sup = supervise([worker(1), worker(2), worker(3)])
        before = pids_of(sup)
        end(before[2], "crash")
        after = pids_of(sup)
        assert (after[1], after[3]) == (before[1], before[3])
        assert after[2] is not before[2]

    @pytest.mark.row("SU-72")
    def test_one_for_all_ends_the_others_and_restarts_all_in_order(self, supervise: Any) -> None:
        journal: Journal = []
        sup = supervise(writers(journal, 1, 2, 3), strategy="one_for_all", max_restarts=1)
        before = pids_of(sup)
        journal.clear()
        end(before[2], "crash")
        after = pids_of(sup)
        assert all(after[id_] is not before[id_] for id_ in after)
        ends = [("down", 2, "crash"), ("down", 3, "shutdown"), ("down", 1, "shutdown")]
        assert journal == [*ends, ("up", 1), ("up", 2), ("up", 3)]

    def test_one_for_all_counts_as_one_restart(self) -> None:
        sup = Supervisor.start_link([worker(1), worker(2)], strategy="one_for_all", max_restarts=1, max_seconds=3_600)
        end(pid_of(sup, 1), "crash")
        assert Supervisor.count_children(sup).active == 2
        end(pid_of(sup, 2), "crash")
        assert exit_of(sup) == "shutdown"

    @pytest.mark.row("SU-74", "SU-76")
    def test_rest_for_one_restarts_the_child_and_those_after_it(self, supervise: Any) -> None:
        journal: Journal = []
        sup = supervise(writers(journal, 1, 2, 3, 4, 5), strategy="rest_for_one")
        before = pids_of(sup)
        journal.clear()
        end(before[3], "crash")
        after = pids_of(sup)
        assert [after[id_] is before[id_] for id_ in (1, 2, 3, 4, 5)] == [True, True, False, False, False]
        ends = [("down", 3, "crash"), ("down", 5, "shutdown"), ("down", 4, "shutdown")]
        assert journal == [*ends, ("up", 3), ("up", 4), ("up", 5)]
        assert Supervisor.count_children(sup) == ChildCounts(specs=5, active=5, supervisors=0, workers=5)

    @pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
    def test_temporary_children_are_ended_with_the_others_and_not_restarted(
        self, supervise: Any, strategy: Any
    ) -> None:
        sup = supervise([worker(1), worker(2, restart="temporary"), worker(3)], strategy=strategy)
        temporary = pid_of(sup, 2)
        end(pid_of(sup, 1), "crash")
        assert list(pids_of(sup)) == [3, 1]
        assert not process.is_alive(temporary)

    @pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
    def test_a_planned_end_of_a_transient_child_takes_nobody_along(self, supervise: Any, strategy: Any) -> None:
        sup = supervise([worker(1, restart="transient"), worker(2)], strategy=strategy)
        second = pid_of(sup, 2)
        end(pid_of(sup, 1), "normal")
        assert pids_of(sup) == {2: second, 1: None}

    @pytest.mark.row("SU-73")
    def test_one_for_all_ends_those_restarted_already_when_a_later_one_fails(self, supervise: Any) -> None:
        journal: Journal = []
        came_back = threading.Event()
        second = worker(2, Script(2, journal, starts=[None, Stop("no"), came_back.set]))
        sup = supervise([*writers(journal, 1), second], strategy="one_for_all")
        journal.clear()
        end(pid_of(sup, 1), "crash")
        assert came_back.wait(PATIENCE / 1000)
        assert all(process.is_alive(pid) for pid in pids_of(sup).values())
        ends = [("down", 1, "crash"), ("down", 2, "shutdown")]
        assert journal == [*ends, ("up", 1), ("down", 1, "shutdown"), ("up", 1), ("up", 2)]

    @pytest.mark.row("SU-75")
    def test_rest_for_one_tries_again_from_the_child_that_failed(self, supervise: Any) -> None:
        journal: Journal = []
        came_back = threading.Event()
        last = worker(3, Script(3, journal, starts=[None, came_back.set]))
        sup = supervise([*writers(journal, 1), failing_restarts(2, 2, journal), last], strategy="rest_for_one")
        journal.clear()
        end(pid_of(sup, 1), "crash")
        assert came_back.wait(PATIENCE / 1000)
        assert Supervisor.count_children(sup).active == 3
        ends = [("down", 1, "crash"), ("down", 3, "shutdown"), ("down", 2, "shutdown")]
        assert journal == [*ends, ("up", 1), ("up", 2), ("up", 3)]


class TestTryingAgain:
    """While a restart fails the supervisor answers between the attempts."""

    def start(self, supervise: Any, strategy: str = "one_for_one") -> tuple[Any, Gate]:
        """Three children, the second of which has crashed and waits in its restart."""
        gate = Gate()
        stuck = worker(2, Script(2, starts=[None, *[gate] * 10]))
        sup = supervise([worker(1), stuck, worker(3)], strategy=strategy)
        end(pid_of(sup, 2), "crash")
        gate.wait()
        return sup, gate

    def fail_once(self, sup: Any, gate: Gate, request: Any) -> Any:
        """Send a request that arrives before the next attempt; returns its answer."""
        answers: list[Any] = []
        asker = process.spawn(lambda: answers.append(outcome_of(request, sup)))
        ref = process.monitor(asker)
        until_queued(sup)
        gate.open(Stop("no"))
        down(ref)
        return answers[0]

    @pytest.mark.row("SU-82")
    @pytest.mark.parametrize(
        ("request_", "answer"),
        [
            (lambda sup: Supervisor.start_child(sup, worker(2)), AlreadyPresent),
            (lambda sup: Supervisor.restart_child(sup, 2), Restarting),
            (lambda sup: Supervisor.delete_child(sup, 2), Restarting),
            (lambda sup: pid_of(sup, 2), "restarting"),
            (Supervisor.count_children, ChildCounts(specs=3, active=2, supervisors=0, workers=3)),
        ],
    )
    def test_requests_are_answered_between_attempts(self, supervise: Any, request_: Any, answer: Any) -> None:
        sup, gate = self.start(supervise)
        given = self.fail_once(sup, gate, request_)
        assert given == answer or type(given) is answer
        gate.wait()
        gate.open(None)
        assert process.is_alive(pid_of(sup, 2))

    @pytest.mark.row("SU-83")
    def test_terminating_the_child_ends_the_attempts(self, supervise: Any) -> None:
        sup, gate = self.start(supervise)
        self.fail_once(sup, gate, lambda sup: Supervisor.terminate_child(sup, 2))
        assert pid_of(sup, 2) is None
        assert not gate.reached.acquire(blocking=False)
        gate.open(None)
        assert process.is_alive(Supervisor.restart_child(sup, 2))

    @pytest.mark.row("SU-84")
    def test_a_shutdown_waits_for_one_attempt_at_most(self, supervise: Any) -> None:
        sup, gate = self.start(supervise)
        process.exit(sup, "shutdown")
        gate.open(Stop("no"))
        assert exit_of(sup) == "shutdown"
        assert not gate.reached.acquire(blocking=False)

    @pytest.mark.row("SU-85")
    def test_under_rest_for_one_those_after_it_are_stopped_meanwhile(self, supervise: Any) -> None:
        sup, gate = self.start(supervise, "rest_for_one")
        shown = self.fail_once(sup, gate, pids_of)
        assert (process.is_alive(shown[1]), shown[2], shown[3]) == (True, "restarting", None)
        gate.wait()
        self.fail_once(sup, gate, lambda sup: Supervisor.terminate_child(sup, 2))
        assert (pid_of(sup, 2), pid_of(sup, 3)) == (None, None)
        gate.open(None)
        assert process.is_alive(Supervisor.restart_child(sup, 2))

    def test_an_earlier_child_that_crashes_takes_the_attempts_over(self, supervise: Any) -> None:
        sup, gate = self.start(supervise, "rest_for_one")
        first = pid_of_direct(sup, 1)
        process.exit(first, "kill")
        gate.open(Stop("no"))
        gate.wait()
        gate.open(None)
        shown = pids_of(sup)
        assert all(process.is_alive(pid) for pid in shown.values())
        assert shown[1] is not first
        assert not gate.reached.acquire(blocking=False)

    @pytest.mark.row("SU-82")
    def test_a_child_that_raises_in_every_restart_is_tried_until_it_starts(self, supervise: Any) -> None:
        came_back = threading.Event()
        sup = supervise([worker(1, Script(starts=[None, *[raising(OSError("down"))] * 5, came_back.set]))])
        end(pid_of(sup, 1), "crash")
        assert came_back.wait(PATIENCE / 1000)
        assert process.is_alive(pid_of(sup, 1))


def outcome_of(request: Any, sup: Any) -> Any:
    try:
        return request(sup)
    except SupervisionError as error:
        return error


def pid_of_direct(sup: Any, id_: Any) -> Any:
    """The pid of a child of a supervisor that is too busy to be asked."""
    return next(child.pid for child in sup._process.body.state.snapshot() if child.spec.id == id_)


def until_queued(sup: Any) -> None:
    """Wait until a request is in the mailbox of a busy supervisor."""
    until(lambda: any(isinstance(message, Call) for message in list(sup._process.mailbox)))


class Asked(Backoff):
    """A backoff that writes down what it is asked, and never has anybody wait."""

    __slots__ = ("answers",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", [])

    def delay(self, attempt: int, random_fraction: float) -> int:
        self.answers.append((attempt, random_fraction))
        return 0


class TestBackoff:
    def test_the_child_shows_as_restarting_and_can_be_terminated(self, supervise: Any) -> None:
        sup = supervise([worker(1, backoff=Backoff(60_000, 60_000))])
        end(pid_of(sup, 1), "crash")
        assert pid_of(sup, 1) == "restarting"
        assert Supervisor.count_children(sup).active == 0
        Supervisor.terminate_child(sup, 1)
        assert pid_of(sup, 1) is None
        assert process.is_alive(Supervisor.restart_child(sup, 1))

    def test_the_child_comes_back_after_the_wait(self, supervise: Any) -> None:
        came_back = threading.Event()
        sup = supervise([worker(1, Script(starts=[None, came_back.set]), backoff=Backoff(1, 1))])
        end(pid_of(sup, 1), "crash")
        assert came_back.wait(PATIENCE / 1000)
        assert process.is_alive(pid_of(sup, 1))

    def test_each_attempt_asks_for_a_longer_wait_with_chance_from_the_supervisor(self, supervise: Any) -> None:
        class Random(Supervisor):
            chance = staticmethod(lambda: 0.25)

        came_back = threading.Event()
        asked = Asked(10, 10)
        script = Script(starts=[None, Stop("no"), Stop("no"), came_back.set])
        sup = supervise([worker(1, script, backoff=asked)], supervisor=Random)
        end(pid_of(sup, 1), "crash")
        assert came_back.wait(PATIENCE / 1000)
        assert asked.answers == [(1, 0.25), (2, 0.25), (3, 0.25)]

    @pytest.mark.parametrize(("healthy_for", "attempt"), [(0.009, 2), (0.011, 1)])
    def test_a_child_that_ran_longer_than_the_longest_wait_begins_anew(
        self, supervise: Any, healthy_for: float, attempt: int
    ) -> None:
        class Timed(Supervisor):
            clock = FakeTime()

        restarted = threading.Semaphore(0)
        asked = Asked(10, 10)
        script = Script(starts=[None, restarted.release, restarted.release])
        sup = supervise([worker(1, script, backoff=asked)], supervisor=Timed)
        for seconds in (0.0, healthy_for):
            pid = pid_of(sup, 1)  # first, for by then the supervisor has noted when it started
            Timed.clock.now += seconds
            end(pid, "crash")
            assert restarted.acquire(timeout=PATIENCE / 1000)
        assert [number for number, _ in asked.answers] == [1, attempt]

    def test_the_supervisor_ends_while_a_child_waits(self) -> None:
        sup = Supervisor.start_link([worker(1, backoff=Backoff(60_000, 60_000))], strategy="one_for_one")
        end(pid_of(sup, 1), "crash")
        assert pid_of(sup, 1) == "restarting"
        Supervisor.stop(sup)
        assert not process.is_alive(sup)

    def test_under_one_for_all_the_others_wait_as_well(self, supervise: Any) -> None:
        children = [worker(1), worker(2, backoff=Backoff(60_000, 60_000))]
        sup = supervise(children, strategy="one_for_all")
        end(pid_of(sup, 2), "crash")
        assert pids_of(sup) == {1: None, 2: "restarting"}

    def test_each_wait_counts_as_one_restart(self) -> None:
        failing = failing_restarts(1, 100, backoff=Backoff(1, 1))
        sup = Supervisor.start_link([failing], strategy="one_for_one", max_restarts=3, max_seconds=3_600)
        script = failing.args[0]
        end(pid_of(sup, 1), "crash")
        assert exit_of(sup) == "shutdown"
        assert len(script.starts) == 100 - 3
