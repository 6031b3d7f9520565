from __future__ import annotations

import functools
from typing import Any

import pytest

from supervision import (
    BRUTAL_KILL,
    INFINITY,
    AlreadyStarted,
    BadArgument,
    BadChildSpec,
    BadReturn,
    BadType,
    ChildCounts,
    ChildSpec,
    Ignore,
    Ignored,
    Ok,
    ProcessExit,
    StartError,
    Stop,
    SupervisionError,
    Supervisor,
    child_spec,
    process,
)
from tests.supervision.supervised import (
    Journal,
    Script,
    Worker,
    down,
    exit_of,
    no_exit,
    pid_of,
    pids_of,
    raising,
    worker,
    writers,
)


class App(Supervisor):
    """A module-based supervisor; what its ``init`` gives is passed in."""

    def init(self, arg: Any, **flags: Any) -> Any:
        return arg(**flags) if callable(arg) else super().init(arg, **{"strategy": "one_for_one", **flags})


class Picky(Supervisor):
    def init(self, arg: Any, *, workers: int = 1) -> Any:
        return super().init([worker(number) for number in range(workers)], strategy="one_for_one")


class TestStartLink:
    @pytest.mark.row("SU-01")
    def test_a_supervisor_without_children_ends_with_shutdown_when_its_parent_says_so(self) -> None:
        sup = Supervisor.start_link([], strategy="one_for_one")
        process.exit(sup, "shutdown")
        assert exit_of(sup) == "shutdown"

    @pytest.mark.row("SU-02")
    def test_an_init_that_returns_ignore_raises_ignored_and_leaves_no_exit(self) -> None:
        with pytest.raises(Ignored):
            App.start_link(Ignore)
        assert no_exit()

    @pytest.mark.row("SU-03")
    @pytest.mark.parametrize("result", ["invalid", Ok("state")])
    def test_an_init_that_returns_something_else_names_class_and_value(self, result: Any) -> None:
        with pytest.raises(StartError, match=r"App\.init returned") as caught:
            App.start_link(lambda: result)
        assert isinstance(caught.value.reason, BadReturn)
        assert no_exit()

    @pytest.mark.row("SU-04")
    def test_an_init_that_raises_is_the_cause(self) -> None:
        error = ValueError("fail")
        with pytest.raises(StartError) as caught:
            App.start_link(raising(error))
        assert caught.value.__cause__ is error
        assert caught.value.child_id is None
        assert no_exit()

    def test_an_init_that_stops_gives_its_reason(self) -> None:
        with pytest.raises(StartError) as caught:
            App.start_link(lambda: Stop("no"))
        assert caught.value.reason == "no"

    @pytest.mark.row("SU-05")
    def test_children_start_strictly_in_the_order_of_the_list(self, supervise: Any) -> None:
        journal: Journal = []
        ids = ["c7", "c3", "c10", "c2", "c5"]
        supervise(writers(journal, *ids))
        assert journal == [("up", id_) for id_ in ids]

    @pytest.mark.row("SU-53")
    def test_a_name_names_the_supervisor_until_it_has_ended(self) -> None:
        sup = Supervisor.start_link([], strategy="one_for_one", name="named")
        assert process.whereis("named") is sup
        assert Supervisor.which_children("named") == []
        with pytest.raises(AlreadyStarted) as caught:
            Supervisor.start_link([], strategy="one_for_one", name="named")
        assert caught.value.pid is sup
        Supervisor.stop("named")
        assert process.whereis("named") is None

    @pytest.mark.row("SU-53")
    def test_a_via_names_the_supervisor(self, supervise: Any) -> None:
        class Via:
            pid: Any = None

            def register_name(self, pid: Any) -> None:
                self.pid = pid

            def unregister_name(self) -> None:
                self.pid = None

            def whereis_name(self) -> Any:
                return self.pid

        via = Via()
        sup = supervise([], name=via)
        assert Supervisor.which_children(via) == []
        Supervisor.stop(sup)
        assert via.pid is None

    def test_start_does_not_link(self) -> None:
        sup = Supervisor.start([worker(1)], strategy="one_for_one")
        process.exit(sup, "kill")
        assert no_exit()

    def test_flags_reach_the_init_of_a_class(self) -> None:
        sup = Picky.start_link("arg", workers=3)
        assert Supervisor.count_children(sup).active == 3
        Supervisor.stop(sup)

    def test_a_supervisor_inside_a_supervisor_shows_as_one(self, supervise: Any) -> None:
        sup = supervise([(App, [worker(1)])])
        assert Supervisor.count_children(sup) == ChildCounts(specs=1, active=1, supervisors=1, workers=0)
        assert Supervisor.get_child_spec(sup, App).shutdown == INFINITY


class TestFailingStart:
    @pytest.mark.row("SU-06")
    def test_those_before_are_terminated_in_reverse_and_those_after_never_started(self) -> None:
        journal: Journal = []
        error = OSError("in use")
        first, second, fourth = writers(journal, "a", "b", "d")
        third = worker("c", Script("c", journal, starts=[raising(error)]))
        with pytest.raises(StartError) as caught:
            Supervisor.start_link([first, second, third, fourth], strategy="one_for_one")
        assert journal == [("up", "a"), ("up", "b"), ("down", "b", "shutdown"), ("down", "a", "shutdown")]
        assert caught.value.child_id == "c"
        assert caught.value.reason == ("shutdown", ("failed_to_start_child", "c", error))
        assert caught.value.__cause__ is error
        assert no_exit()

    @pytest.mark.row("SU-07")
    def test_a_caller_that_does_not_trap_dies_of_the_link(self) -> None:
        failing = worker("bad", Script(starts=[Stop("why")]))

        def start_it() -> None:
            Supervisor.start_link([failing], strategy="one_for_one")

        _, ref = process.spawn_monitor(start_it)
        assert down(ref) == ("shutdown", ("failed_to_start_child", "bad", "why"))

    def test_the_original_exception_comes_through_every_level(self) -> None:
        error = OSError("deep")
        inner = (App, [worker("leaf", Script(starts=[raising(error)]))])
        with pytest.raises(StartError) as caught:
            App.start_link([child_spec(inner, id="inner")])
        assert caught.value.__cause__ is error
        assert caught.value.child_id == "inner"
        leaf = ("shutdown", ("failed_to_start_child", "leaf", error))
        assert caught.value.reason == ("shutdown", ("failed_to_start_child", "inner", leaf))

    @pytest.mark.parametrize("failing", range(5))
    def test_whichever_child_fails_nothing_is_left(self, failing: int) -> None:
        journal: Journal = []
        specs = writers(journal, *range(5))
        specs[failing] = worker(failing, Script(failing, journal, starts=[Stop("no")]))
        before = set(process.pids())
        with pytest.raises(StartError) as caught:
            Supervisor.start_link(specs, strategy="rest_for_one")
        assert caught.value.child_id == failing
        assert set(process.pids()) == before
        ups = [("up", number) for number in range(failing)]
        assert journal == ups + [("down", number, "shutdown") for number in reversed(range(failing))]


class TestIgnoredChildren:
    @pytest.mark.row("SU-08")
    def test_the_spec_of_a_permanent_child_is_kept_without_a_pid(self, supervise: Any) -> None:
        sup = supervise([worker(1, Script(starts=[Ignore()])), worker(2)])
        assert [child.id for child in Supervisor.which_children(sup)] == [2, 1]
        assert pid_of(sup, 1) is None
        assert Supervisor.count_children(sup) == ChildCounts(specs=2, active=1, supervisors=0, workers=2)
        assert Supervisor.start_child(sup, worker(3, Script(starts=[Ignore()]))) is None
        assert pid_of(sup, 3) is None

    @pytest.mark.row("SU-09")
    def test_a_temporary_child_is_dropped(self, supervise: Any) -> None:
        sup = supervise([worker(1, Script(starts=[Ignore()]), restart="temporary"), worker(2)])
        assert Supervisor.count_children(sup) == ChildCounts(specs=1, active=1, supervisors=0, workers=1)
        assert Supervisor.start_child(sup, worker(3, Script(starts=[Ignore()]), restart="temporary")) is None
        assert list(pids_of(sup)) == [2]


class TestChildrenStartedLater:
    @pytest.mark.row("SU-11", "SU-13")
    @pytest.mark.parametrize(
        "start", [lambda: "error_reason", raising(ValueError("fail")), raising(ProcessExit("oops"))]
    )
    def test_a_start_that_fails_is_raised_and_the_child_not_kept(self, supervise: Any, start: Any) -> None:
        sup = supervise()
        with pytest.raises(StartError) as caught:
            Supervisor.start_child(sup, ChildSpec("x", start))
        assert caught.value.child_id == "x"
        assert Supervisor.which_children(sup) == []

    @pytest.mark.row("SU-11")
    def test_a_start_that_returns_no_pid_says_what_it_returned(self, supervise: Any) -> None:
        with pytest.raises(StartError) as caught:
            Supervisor.start_child(supervise(), ChildSpec("x", lambda: "error_reason"))
        assert isinstance(caught.value.reason, BadReturn)
        assert caught.value.reason.value == "error_reason"

    @pytest.mark.row("SU-13")
    def test_the_exception_is_the_cause_and_an_exit_the_reason(self, supervise: Any) -> None:
        error = ValueError("fail")
        sup = supervise()
        with pytest.raises(StartError) as caught:
            Supervisor.start_child(sup, ChildSpec("x", raising(error)))
        assert caught.value.reason is error is caught.value.__cause__
        with pytest.raises(StartError) as caught:
            Supervisor.start_child(sup, ChildSpec("x", raising(ProcessExit("oops"))))
        assert caught.value.reason == "oops"

    @pytest.mark.row("SU-14")
    def test_a_failing_restart_keeps_the_child_as_it_was(self, supervise: Any) -> None:
        sup = supervise([worker(1, Script(starts=[None, Stop("no")]))])
        Supervisor.terminate_child(sup, 1)
        with pytest.raises(StartError) as caught:
            Supervisor.restart_child(sup, 1)
        assert (caught.value.reason, caught.value.child_id) == ("no", 1)
        assert pids_of(sup) == {1: None}

    @pytest.mark.row("SU-15")
    def test_what_runs_already_elsewhere_is_named_and_left_alone(self, supervise: Any) -> None:
        elsewhere = Worker.start_link(Script(), name="taken")
        sup = supervise()
        named = functools.partial(Worker.start_link, name="taken")
        with pytest.raises(AlreadyStarted) as caught:
            Supervisor.start_child(sup, ChildSpec("x", named, (Script(),)))
        assert (caught.value.pid, caught.value.child_id) == (elsewhere, "x")
        Supervisor.stop(sup)
        assert process.is_alive(elsewhere)
        process.exit(elsewhere, "kill")


class TestSpecs:
    @pytest.mark.row("SU-16")
    def test_defaults_are_those_of_otp(self, supervise: Any) -> None:
        sup = supervise([ChildSpec("w", Worker.start_link, (Script(),)), child_spec((App, []), id="s")])
        spec = Supervisor.get_child_spec(sup, "w")
        assert (spec.restart, spec.shutdown, spec.type, spec.significant) == ("permanent", 5_000, "worker", False)
        assert Supervisor.get_child_spec(sup, "s").shutdown == INFINITY
        with pytest.raises(LookupError):
            Supervisor.get_child_spec(sup, "unknown")

    def test_a_spec_can_be_had_by_pid(self, supervise: Any) -> None:
        spec = worker(1)
        sup = supervise([spec])
        assert Supervisor.get_child_spec(sup, pid_of(sup, 1)) == spec

    @pytest.mark.row("SU-18", "SU-30")
    @pytest.mark.parametrize("child", ["name", 5, object(), (1, 2, 3), int])
    def test_what_is_no_child_is_refused_before_anything_starts(self, child: Any) -> None:
        script = Script()
        with pytest.raises(BadChildSpec):
            Supervisor.start_link([worker(1, script), child], strategy="one_for_one")
        assert script.journal == []

    @pytest.mark.row("SU-31")
    @pytest.mark.parametrize("fields", [{"start": 1}, {"args": [1]}, {"shutdown": -1}, {"restart": "often"}])
    def test_a_wrong_spec_is_refused_in_the_caller(self, fields: dict[str, Any]) -> None:
        with pytest.raises(BadChildSpec):
            Supervisor.start_child("nobody", child_spec(worker(1), **fields))

    @pytest.mark.row("SU-21", "SU-32")
    @pytest.mark.parametrize("shutdown", [0, 1, 1_000, INFINITY, BRUTAL_KILL])
    @pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
    def test_every_valid_spec_starts_and_is_ended(self, supervise: Any, shutdown: Any, restart: Any) -> None:
        sup = supervise([worker(1, shutdown=shutdown, restart=restart)])
        pid = pid_of(sup, 1)
        Supervisor.stop(sup)
        assert not process.is_alive(pid)

    @pytest.mark.row("SU-22")
    def test_a_significant_child_needs_auto_shutdown(self, supervise: Any) -> None:
        with pytest.raises(BadChildSpec, match="significant"):
            supervise([worker(1, restart="temporary", significant=True)])
        sup = supervise()
        with pytest.raises(BadChildSpec, match="significant"):
            Supervisor.start_child(sup, worker(1, restart="temporary", significant=True))

    @pytest.mark.row("SU-22")
    def test_a_permanent_child_cannot_be_significant(self) -> None:
        with pytest.raises(BadChildSpec, match="significant"):
            worker(1, significant=True)

    @pytest.mark.row("SU-23")
    def test_two_children_of_one_id_start_nothing(self) -> None:
        script = Script()
        with pytest.raises(BadChildSpec, match="unique"):
            Supervisor.start_link([worker(1, script), worker(1, script)], strategy="one_for_one")
        assert script.journal == []

    @pytest.mark.row("SU-28")
    def test_classes_and_pairs_become_specs(self, supervise: Any) -> None:
        sup = supervise([(Worker, Script()), child_spec((Worker, Script()), id="other", shutdown=7)])
        assert list(pids_of(sup)) == ["other", Worker]
        assert Supervisor.get_child_spec(sup, "other").shutdown == 7


class TestFlags:
    @pytest.mark.row("SU-25")
    @pytest.mark.parametrize(
        ("flags", "error"),
        [
            ({"strategy": "none_for_one"}, BadArgument),
            ({"strategy": 1}, BadType),
            ({"max_restarts": INFINITY}, BadArgument),
            ({"max_restarts": -1}, BadArgument),
            ({"max_restarts": 0.5}, BadType),
            ({"max_seconds": 0}, BadArgument),
            ({"max_seconds": INFINITY}, BadArgument),
            ({"auto_shutdown": "sometimes"}, BadArgument),
            ({"name": ""}, BadArgument),
            ({"name": 5}, BadType),
        ],
    )
    def test_a_wrong_flag_is_refused_by_name_before_anything_starts(
        self, flags: dict[str, Any], error: type[Exception]
    ) -> None:
        script = Script()
        with pytest.raises(error, match=next(iter(flags))):
            Supervisor.start_link([worker(1, script)], **{"strategy": "one_for_one", **flags})
        assert script.journal == []

    @pytest.mark.row("SU-26")
    def test_an_unknown_flag_is_refused_with_the_nearest_name(self) -> None:
        with pytest.raises(TypeError, match="max_restarts"):
            Supervisor.start_link([], strategy="one_for_one", max_restart=1)

    def test_an_init_refuses_flags_that_it_does_not_take(self) -> None:
        with pytest.raises(TypeError, match="workers"):
            Picky.start_link(None, worker=1)
        assert no_exit()

    @pytest.mark.row("SU-27")
    def test_there_is_no_default_strategy(self) -> None:
        with pytest.raises(BadType, match="strategy"):
            Supervisor.start_link([])

    def test_a_wrong_flag_in_a_class_is_the_cause_of_the_failure(self) -> None:
        with pytest.raises(StartError) as caught:
            App.start_link([], max_restarts="many")
        assert isinstance(caught.value.__cause__, BadType)
        assert isinstance(caught.value, SupervisionError)

    def test_the_name_of_a_class_based_supervisor_is_checked_too(self) -> None:
        with pytest.raises(BadType, match="name"):
            App.start_link([], name=5)
