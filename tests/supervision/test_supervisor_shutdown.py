from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    BRUTAL_KILL,
    INFINITY,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    ProcessExit,
    Stop,
    Supervisor,
    child_spec,
    process,
    sys,
)
from supervision.process_table import Process
from supervision.signals import own
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


class Together(Supervisor):
    terminates_together = True


def reasons_at_stop(sup: Any) -> dict[Any, Any]:
    """Shut a supervisor down; returns what each child ended with."""
    refs = {id_: process.monitor(pid) for id_, pid in pids_of(sup).items()}
    process.exit(sup, "shutdown")
    assert exit_of(sup) == "shutdown"
    return {id_: down(ref) for id_, ref in refs.items()}


class TestShutdown:
    @pytest.mark.row("SU-87")
    def test_children_with_infinity_get_shutdown(self) -> None:
        children = [worker(1, shutdown=INFINITY), child_spec((Sub, []), id=2)]
        assert reasons_at_stop(Supervisor.start_link(children, strategy="one_for_one")) == {
            1: "shutdown",
            2: "shutdown",
        }

    @pytest.mark.row("SU-88")
    def test_a_child_whose_time_is_over_is_killed(self) -> None:
        children = [worker(1), worker(2, Script(stubborn=True), shutdown=20)]
        assert reasons_at_stop(Supervisor.start_link(children, strategy="one_for_one")) == {1: "shutdown", 2: "killed"}

    @pytest.mark.row("SU-88")
    def test_a_child_stuck_in_foreign_code_does_not_hold_the_supervisor_up(self) -> None:
        blocked, never = threading.Event(), threading.Lock()
        never.acquire()

        class Stuck(Worker):
            def handle_info(self, message: Any, script: Script) -> Any:
                blocked.set()
                never.acquire(timeout=0.5)

        sup = Supervisor.start_link([worker(1, start=Stuck.start_link, shutdown=20)], strategy="one_for_one")
        process.send(pid_of(sup, 1), "block")
        assert blocked.wait(PATIENCE / 1000)
        # If the supervisor had waited for the callback to end the child would have ended as it was asked.
        assert reasons_at_stop(sup) == {1: "killed"}

    @pytest.mark.row("SU-89")
    def test_a_brutal_kill_asks_for_nothing(self) -> None:
        journal: Journal = []
        children = [worker(1), *writers(journal, 2, shutdown=BRUTAL_KILL)]
        assert reasons_at_stop(Supervisor.start_link(children, strategy="one_for_one")) == {1: "shutdown", 2: "killed"}
        assert journal == [("up", 2)]

    @pytest.mark.parametrize("shutdown", [0, 1])
    def test_a_child_that_does_not_trap_ends_with_shutdown_however_short_its_time(self, shutdown: int) -> None:
        children = [worker(1, Script(traps=False), shutdown=shutdown)]
        assert reasons_at_stop(Supervisor.start_link(children, strategy="one_for_one")) == {1: "shutdown"}

    @pytest.mark.row("SU-77")
    def test_each_child_is_dead_before_the_next_is_told(self) -> None:
        journal: Journal = []

        class Witness(Worker):
            def terminate(self, reason: Any, script: Script) -> None:
                later = [pid for pid in started[script.name + 1 :] if process.is_alive(pid)]
                script.journal.append((script.name, later))

        specs = [worker(number, Script(number, journal), start=Witness.start_link) for number in range(4)]
        sup = Supervisor.start_link(specs, strategy="one_for_one")
        started = [pid_of(sup, number) for number in range(4)]
        Supervisor.stop(sup)
        assert journal == [("up", number) for number in range(4)] + [(number, []) for number in reversed(range(4))]

    @pytest.mark.row("SU-96")
    def test_the_end_of_the_parent_ends_the_children_and_the_supervisor_with_its_reason(self) -> None:
        journal: Journal = []
        told = threading.Event()
        found: list[Any] = []

        def parent() -> None:
            found.append(Supervisor.start_link(writers(journal, 1, 2), strategy="one_for_one"))
            told.set()
            raise ProcessExit(process.receive())

        pid = process.spawn(parent)
        assert told.wait(PATIENCE / 1000)
        ref = process.monitor(found[0])
        process.send(pid, "moving on")
        assert down(ref) == "moving on"
        assert journal[2:] == [("down", 2, "shutdown"), ("down", 1, "shutdown")]

    @pytest.mark.row("SU-95")
    def test_a_child_that_is_dead_already_is_no_hindrance(self) -> None:
        entered, release = threading.Event(), threading.Event()

        class Slow(Worker):
            def terminate(self, reason: Any, script: Script) -> None:
                entered.set()
                release.wait(PATIENCE / 1000)

        sup = Supervisor.start_link([worker(1), worker(2, start=Slow.start_link)], strategy="one_for_one")
        first = pid_of(sup, 1)
        process.exit(sup, "shutdown")
        assert entered.wait(PATIENCE / 1000)
        end(first, "kill")
        release.set()
        assert exit_of(sup) == "shutdown"

    def test_a_supervisor_killed_while_it_waits_for_a_child_leaves_no_child_behind(self) -> None:
        journal: Journal = []
        stubborn = worker(2, Script(2, journal, stubborn=True), shutdown=INFINITY)
        sup = Supervisor.start_link([worker(1, Script(traps=False)), stubborn], strategy="one_for_one")
        first, second = pid_of(sup, 1), pid_of(sup, 2)
        refs = [process.monitor(first), process.monitor(second)]
        process.exit(sup, "shutdown")
        until(lambda: ("down", 2, "shutdown") in journal)
        process.exit(sup, "kill")
        assert exit_of(sup) == "killed"
        assert down(refs[0]) == "killed"
        process.exit(second, "kill")
        assert down(refs[1]) == "killed"

    def test_supervisors_below_shut_down_their_own_children_first(self) -> None:
        journal: Journal = []
        inner = child_spec((Sub, writers(journal, "c", "d")), id="inner")
        sup = Supervisor.start_link([*writers(journal, "a"), inner], strategy="one_for_one")
        Supervisor.stop(sup)
        assert [name for what, name, *_ in journal if what == "down"] == ["d", "c", "a"]


class Sub(Supervisor):
    def init(self, arg: Any) -> Any:
        return super().init(arg, strategy="one_for_one")


class TestTogether:
    def test_all_are_told_at_once_and_share_the_time(self) -> None:
        children = [worker(number, Script(stubborn=True), shutdown=50) for number in range(20)]
        sup = Together.start_link(children, strategy="one_for_one")
        began = time.monotonic()
        assert set(reasons_at_stop(sup).values()) == {"killed"}
        assert time.monotonic() - began < 20 * 0.05

    def test_the_shortest_time_is_not_lengthened_by_a_longer_one(self) -> None:
        gone = threading.Event()

        class Patient(Worker):
            def terminate(self, reason: Any, script: Script) -> None:
                script.journal.append(("freed", gone.wait(PATIENCE / 1000)))

        patient = Script(1)
        children = [worker(1, patient, start=Patient.start_link, shutdown=INFINITY)]
        children.append(worker(2, Script(stubborn=True), shutdown=1))
        sup = Together.start_link(children, strategy="one_for_one")
        watching = process.spawn(lambda pid: (process.monitor(pid), process.receive(), gone.set()), pid_of(sup, 2))
        ref = process.monitor(watching)
        assert reasons_at_stop(sup) == {1: "shutdown", 2: "killed"}
        assert patient.journal == [("up", 1), ("freed", True)]
        down(ref)


def significant(id_: Any, restart: Any, **fields: Any) -> ChildSpec:
    return worker(id_, restart=restart, significant=True, **fields)


class TestAutoShutdown:
    @pytest.mark.row("SU-98")
    @pytest.mark.parametrize("auto_shutdown", ["never", "any_significant", "all_significant"])
    @pytest.mark.parametrize("reason", ["normal", "abnormal", "kill"])
    def test_children_that_are_not_significant_end_nothing(
        self, supervise: Any, auto_shutdown: Any, reason: Any
    ) -> None:
        sup = supervise([worker(1, restart="temporary"), worker(2, restart="temporary")], auto_shutdown=auto_shutdown)
        end(pid_of(sup, 1), reason)
        Supervisor.terminate_child(sup, 2)
        assert Supervisor.which_children(sup) == []

    @pytest.mark.row("SU-100")
    @pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
    def test_terminating_a_significant_child_ends_nothing(self, supervise: Any, auto_shutdown: Any) -> None:
        sup = supervise([significant(1, "temporary")], auto_shutdown=auto_shutdown)
        Supervisor.terminate_child(sup, 1)
        assert Supervisor.which_children(sup) == []

    @pytest.mark.row("SU-100")
    @pytest.mark.parametrize("reason", ["normal", "shutdown", "abnormal", "kill"])
    def test_the_end_of_any_significant_temporary_child_ends_the_supervisor(self, reason: Any) -> None:
        journal: Journal = []
        children = [significant(1, "temporary"), significant(2, "temporary"), *writers(journal, 3)]
        sup = Supervisor.start_link(children, strategy="one_for_one", auto_shutdown="any_significant")
        end(pid_of(sup, 1), reason)
        assert exit_of(sup) == "shutdown"
        assert journal == [("up", 3), ("down", 3, "shutdown")]

    @pytest.mark.row("SU-102", "SU-104")
    @pytest.mark.parametrize("restart", ["temporary", "transient"])
    def test_all_significant_waits_for_the_last(self, restart: Any) -> None:
        children = [significant(1, restart), significant(2, restart), worker(3)]
        sup = Supervisor.start_link(children, strategy="one_for_one", auto_shutdown="all_significant")
        last = pid_of(sup, 2)
        end(pid_of(sup, 1), "normal")
        assert pid_of(sup, 2) is last
        end(last, "normal")
        assert exit_of(sup) == "shutdown"

    def test_one_that_waits_to_be_restarted_is_not_the_last(self, supervise: Any) -> None:
        children = [significant(1, "transient", backoff=Backoff(60_000, 60_000)), significant(2, "transient")]
        sup = supervise(children, auto_shutdown="all_significant")
        end(pid_of(sup, 1), "abnormal")
        end(pid_of(sup, 2), "normal")
        assert pids_of(sup) == {1: "restarting", 2: None}

    @pytest.mark.row("SU-103")
    @pytest.mark.parametrize("reason", ["kill", "abnormal"])
    def test_a_significant_transient_child_is_restarted_after_a_crash_and_ends_the_supervisor_as_planned(
        self, reason: Any
    ) -> None:
        sup = Supervisor.start_link(
            [significant(1, "transient")], strategy="one_for_one", auto_shutdown="any_significant"
        )
        end(pid_of(sup, 1), reason)
        again = pid_of(sup, 1)
        assert process.is_alive(again)
        end(again, "normal")
        assert exit_of(sup) == "shutdown"

    def test_a_parent_does_not_restart_a_transient_supervisor_that_shut_itself_down(self, supervise: Any) -> None:
        class Finite(Supervisor):
            def init(self, arg: Any) -> Any:
                return super().init(
                    [significant(1, "temporary")], strategy="one_for_one", auto_shutdown="all_significant"
                )

        sup = supervise([child_spec(Finite, id="finite", restart="transient")])
        finite = pid_of(sup, "finite")
        ref = process.monitor(finite)
        end(pid_of(finite, 1), "normal")
        assert down(ref) == "shutdown"
        assert pids_of(sup) == {"finite": None}


class TestReports:
    """One record for each crash, and one for each failure that nobody else would hear of."""

    def said(self, caplog: Any) -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "supervision"]

    @pytest.mark.row("SU-110")
    def test_a_crash_is_reported_once_with_id_and_decision(self, supervise: Any, caplog: Any) -> None:
        sup = supervise([worker("one")])
        end(pid_of(sup, "one"), ValueError("boom"))
        assert process.is_alive(pid_of(sup, "one"))
        (record,) = self.said(caplog)
        assert (record.levelno, record.child_id) == (logging.ERROR, "one")
        assert "ValueError: boom" in record.getMessage()
        assert "it is restarted" in record.getMessage()

    @pytest.mark.parametrize(
        ("fields", "decision"),
        [
            ({"restart": "temporary"}, "it is not restarted"),
            ({"restart": "temporary", "significant": True}, "the supervisor shuts down"),
        ],
    )
    def test_the_report_says_what_becomes_of_the_child(
        self, supervise: Any, caplog: Any, fields: Any, decision: str
    ) -> None:
        sup = supervise([worker(1, **fields)], auto_shutdown="any_significant")
        ref = process.monitor(sup)
        end(pid_of(sup, 1), ValueError("boom"))
        process.exit(sup, "shutdown")
        down(ref)
        (record,) = self.said(caplog)
        assert decision in record.getMessage()

    def test_a_crash_that_a_killed_supervisor_had_not_looked_at_is_reported_all_the_same(self, caplog: Any) -> None:
        sup = Supervisor.start([worker("one")], strategy="one_for_one")
        child = pid_of(sup, "one")
        sys.suspend(sup)
        end(child, ValueError("boom"))
        assert self.said(caplog) == []
        process.exit(sup, "kill")
        (record,) = self.said(caplog)
        assert "ValueError: boom" in record.getMessage()

    def test_nor_is_one_lost_of_which_the_supervisor_cannot_hear_any_more(self, caplog: Any) -> None:
        class Last:
            """Released when the child dies, before its supervisor hears of it."""

            def owner_died(self, dead: Process, reason: Any) -> None:
                process.exit(sup, "kill")

        sup = Supervisor.start([worker("one")], strategy="one_for_one")
        child = pid_of(sup, "one")
        assert own(child._process, Last())
        end(child, ValueError("boom"))
        (record,) = self.said(caplog)
        assert "ValueError: boom" in record.getMessage()

    @pytest.mark.row("SU-110")
    def test_a_killed_child_is_reported_by_its_supervisor(self, supervise: Any, caplog: Any) -> None:
        sup = supervise([worker(1)])
        end(pid_of(sup, 1), "kill")
        assert process.is_alive(pid_of(sup, 1))
        (record,) = self.said(caplog)
        assert (record.error_context, record.reason, record.child_id, record.supervisor) == (
            "child_terminated",
            "killed",
            1,
            sup,
        )

    @pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", 1)])
    def test_planned_ends_are_silent(self, supervise: Any, caplog: Any, reason: Any) -> None:
        sup = supervise([worker(1), worker(2, restart="temporary")])
        end(pid_of(sup, 1), reason)
        end(pid_of(sup, 2), reason)
        Supervisor.stop(sup)
        assert self.said(caplog) == []

    @pytest.mark.row("SU-110")
    def test_giving_up_is_said_with_the_limits(self, caplog: Any) -> None:
        sup = Supervisor.start_link([worker(1)], strategy="one_for_one", max_restarts=0, max_seconds=7)
        end(pid_of(sup, 1), ValueError("boom"))
        exit_of(sup)
        crash, giving_up = self.said(caplog)
        assert "too many restarts" in crash.getMessage()
        assert giving_up.error_context == "shutdown"
        assert "more than 0 restarts within 7 s" in giving_up.getMessage()

    @pytest.mark.row("SU-95", "SU-110")
    @pytest.mark.parametrize(
        ("script", "fields", "reason"),
        [
            (Script(stubborn=True), {"shutdown": 1}, "killed"),
            (Script(last_words="other"), {}, "other"),
            (Script(last_words="normal"), {}, "normal"),
        ],
    )
    def test_a_child_that_does_not_end_as_it_was_asked_is_reported_once(
        self, caplog: Any, script: Script, fields: Any, reason: Any
    ) -> None:
        sup = Supervisor.start_link([worker(1, script, **fields)], strategy="one_for_one")
        Supervisor.stop(sup)
        (record,) = self.said(caplog)
        assert record.child_id == 1
        assert repr(reason) in record.getMessage()

    def test_a_transient_child_may_end_normally_when_it_is_asked_to(self, caplog: Any) -> None:
        script = Script(last_words="normal")
        sup = Supervisor.start_link([worker(1, script, restart="transient")], strategy="one_for_one")
        Supervisor.stop(sup)
        assert self.said(caplog) == []

    def test_a_crash_in_init_is_reported_once_with_the_id(self, caplog: Any) -> None:
        spec = worker("bad", Script(starts=[raising(OSError("in use"))]))
        inner = child_spec((Sub, [spec]), id="inner")
        with pytest.raises(Exception, match="inner"):
            Supervisor.start_link([inner], strategy="one_for_one")
        (record,) = self.said(caplog)
        assert record.child_id == "bad"
        assert record.exc_info[1].args == ("in use",)

    def test_a_crash_in_a_child_started_later_is_reported_once_with_the_id(self, supervise: Any, caplog: Any) -> None:
        with pytest.raises(Exception, match="bad"):
            Supervisor.start_child(supervise(), worker("bad", Script(starts=[raising(OSError("in use"))])))
        (record,) = self.said(caplog)
        assert record.child_id == "bad"

    @pytest.mark.parametrize("start", [lambda: 5, raising(OSError("in use"))])
    def test_a_start_function_that_fails_at_start_is_reported_once(self, caplog: Any, start: Any) -> None:
        with pytest.raises(Exception, match="bad"):
            Supervisor.start_link([ChildSpec("bad", start)], strategy="one_for_one")
        (record,) = self.said(caplog)
        assert (record.error_context, record.child_id) == ("start_error", "bad")

    @pytest.mark.row("SU-110")
    def test_a_failed_restart_is_reported(self, supervise: Any, caplog: Any) -> None:
        came_back = threading.Event()
        sup = supervise([worker(1, Script(starts=[None, Stop("no"), came_back.set]))])
        end(pid_of(sup, 1), "normal")
        assert came_back.wait(PATIENCE / 1000)
        (record,) = self.said(caplog)
        assert (record.error_context, record.reason, record.child_id) == ("start_error", "no", 1)


class Holding:
    """Something that a process holds, and of which it does not let go at once."""

    def __init__(self, let_go: Callable[[], None]) -> None:
        self.let_go = let_go

    def owner_died(self, process: Process, reason: Any) -> None:
        self.let_go()


class TestChildThatIsJustDying:
    def test_it_is_waited_for_until_it_has_let_go_of_what_it_held(self) -> None:
        sup = DynamicSupervisor.start_link()
        child = DynamicSupervisor.start_child(sup, worker(1))
        assert child is not None
        done: list[str] = []
        terminating = threading.Thread(
            target=lambda: (DynamicSupervisor.terminate_child(sup, child), done.append("terminated"))
        )

        def let_go() -> None:
            terminating.start()
            until(lambda: sup._process.wait is not None or bool(done))
            done.append("let go")

        assert own(child._process, Holding(let_go))
        process.exit(child, "kill")
        terminating.join()
        assert done == ["let go", "terminated"]
        DynamicSupervisor.stop(sup)

    def test_it_is_not_waited_for_by_whom_its_own_end_waits_for(self) -> None:
        sup = DynamicSupervisor.start()
        child = DynamicSupervisor.start_child(sup, worker(1))
        assert child is not None
        ref = process.monitor(sup)
        assert own(child._process, Holding(lambda: DynamicSupervisor.stop(sup)))
        process.exit(child, "kill")
        assert down(ref) == "normal"
