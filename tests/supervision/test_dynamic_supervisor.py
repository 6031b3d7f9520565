from __future__ import annotations

import functools
import random
import threading
import time
from typing import Any

import pytest

from supervision import (
    BRUTAL_KILL,
    INFINITY,
    Actor,
    AlreadyStarted,
    Backoff,
    BadArgument,
    BadChildSpec,
    BadReturn,
    BadType,
    ChildCounts,
    ChildInfo,
    ChildSpec,
    DynamicSupervisor,
    Ignore,
    Ignored,
    MaxChildren,
    NoProcess,
    NotFound,
    Ok,
    Pid,
    ProcessExit,
    Reply,
    ServerExit,
    StartError,
    Stop,
    Supervisor,
    Task,
    call,
    child_spec,
    in_place,
    process,
    receive_response,
    send_request,
    sys,
)
from supervision.dynamic_children import DynamicChildren
from supervision.process_table import Process
from supervision.scheduler import deliver, scheduler
from supervision.threads import ThreadRecord
from tests.supervision.doers import Doer, do
from tests.supervision.runtime import instructions_of
from tests.supervision.supervised import (
    PATIENCE,
    Script,
    Worker,
    down,
    end,
    exit_of,
    no_exit,
    pids_of,
    raising,
    until,
    worker,
)


def counts(sup: Any) -> tuple[int, int]:
    """Workers, and how many of them are active."""
    found = Supervisor.count_children(sup)
    assert found.specs == found.workers + found.supervisors
    return found.workers, found.active


def shown(sup: Any) -> list[Any]:
    children = Supervisor.which_children(sup)
    assert {child.id for child in children} <= {None}
    return [child.pid for child in children]


class Pool(DynamicSupervisor):
    def init(self, arg: Any, *, size: int = 1) -> Any:
        return super().init(max_children=size) if arg is None else arg


class TestStartLink:
    @pytest.mark.row("DS-02")
    def test_named_ones_coexist_under_one_supervisor_and_unnamed_ones_do_not(self, supervise: Any) -> None:
        sup = supervise([(DynamicSupervisor, {"name": "one"}), (DynamicSupervisor, {"name": "two"}), DynamicSupervisor])
        assert list(pids_of(sup)) == [DynamicSupervisor, "two", "one"]
        assert process.whereis("one") is pids_of(sup)["one"]
        with pytest.raises(AlreadyStarted):
            Supervisor.start_child(sup, DynamicSupervisor)

    @pytest.mark.row("DS-03")
    def test_defaults_are_those_of_elixir(self, supervise_dynamic: Any) -> None:
        sup = DynamicSupervisor.start_link()
        for _ in range(3):
            end(DynamicSupervisor.start_child(sup, worker(1)), "crash")
            Supervisor.terminate_child(sup, shown(sup)[0])
        end(DynamicSupervisor.start_child(sup, worker(1)), "crash")
        assert exit_of(sup) == "shutdown"

    @pytest.mark.row("DS-05")
    def test_a_named_one_is_linked_found_and_stopped(self) -> None:
        sup = DynamicSupervisor.start_link(name="dynamic")
        assert sup in process.info(process.self()).links
        assert process.whereis("dynamic") is sup
        DynamicSupervisor.stop("dynamic")
        assert exit_of(sup) == "normal"

    def test_it_is_a_supervisor_to_its_own(self, supervise: Any) -> None:
        sup = supervise([DynamicSupervisor])
        assert Supervisor.count_children(sup) == ChildCounts(specs=1, active=1, supervisors=1, workers=0)
        assert Supervisor.get_child_spec(sup, DynamicSupervisor).shutdown == INFINITY

    @pytest.mark.parametrize(
        ("flags", "error"),
        [
            ({"max_children": -1}, BadArgument),
            ({"max_children": 1.5}, BadType),
            ({"extra_arguments": 5}, BadType),
            ({"max_restarts": -1}, BadArgument),
            ({"max_seconds": INFINITY}, BadArgument),
            ({"max_childern": 1}, BadType),
            ({"strategy": "one_for_all"}, BadArgument),
            ({"name": 5}, BadType),
        ],
    )
    def test_a_wrong_flag_is_refused_by_name_before_anything_starts(
        self, flags: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error, match=next(iter(flags))):
            DynamicSupervisor.start_link(**flags)
        assert no_exit()

    def test_the_only_strategy_may_be_named(self) -> None:
        sup = DynamicSupervisor.start_link(strategy="one_for_one")
        assert Supervisor.count_children(sup).specs == 0
        DynamicSupervisor.stop(sup)
        assert exit_of(sup) == "normal"

    def test_it_takes_no_argument(self) -> None:
        with pytest.raises(BadType, match="keywords"):
            DynamicSupervisor.start_link([])
        with pytest.raises(BadChildSpec, match="dict"):
            child_spec((DynamicSupervisor, []))

    @pytest.mark.row("SU-105")
    @pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
    def test_it_has_no_auto_shutdown(self, auto_shutdown: str) -> None:
        with pytest.raises(BadType, match="auto_shutdown"):
            DynamicSupervisor.start_link(auto_shutdown=auto_shutdown)


class TestClasses:
    def test_its_init_gives_the_flags(self) -> None:
        sup = Pool.start_link(None, size=2)
        for _ in range(2):
            Pool.start_child(sup, worker(1))
        with pytest.raises(MaxChildren):
            Pool.start_child(sup, worker(1))
        Pool.stop(sup)

    def test_it_is_a_child_with_its_argument(self, supervise: Any) -> None:
        sup = supervise([(Pool, None)])
        assert list(pids_of(sup)) == [Pool]

    def test_an_init_that_ignores_raises_ignored(self) -> None:
        with pytest.raises(Ignored):
            Pool.start_link(Ignore())

    def test_an_init_that_returns_something_else_is_named(self) -> None:
        with pytest.raises(StartError, match=r"Pool\.init") as caught:
            Pool.start_link(Ok(5))
        assert isinstance(caught.value.reason, BadReturn)

    def test_flags_that_its_init_does_not_take_are_refused(self) -> None:
        with pytest.raises(BadType, match="size"):
            Pool.start_link(None, sizes=2)

    def test_start_does_not_link(self) -> None:
        sup = Pool.start(None)
        process.exit(sup, "kill")
        assert no_exit()


class TestStartChild:
    @pytest.mark.row("DS-09", "SU-31")
    @pytest.mark.parametrize("child", [{}, (1, 2, 3), "name", 5])
    def test_what_is_no_child_is_refused_in_the_caller(self, child: Any) -> None:
        with pytest.raises(BadChildSpec):
            DynamicSupervisor.start_child("nobody", child)

    @pytest.mark.row("DS-09")
    def test_a_significant_child_that_was_meant_for_another_supervisor_is_refused(self) -> None:
        sup = DynamicSupervisor.start_link()
        with pytest.raises(BadChildSpec, match="significant must be False under a DynamicSupervisor"):
            Supervisor.start_child(sup, worker(1, restart="temporary", significant=True))
        DynamicSupervisor.stop(sup)

    def test_a_significant_child_is_refused_in_the_caller(self) -> None:
        with pytest.raises(BadChildSpec, match="significant"):
            DynamicSupervisor.start_child("nobody", worker(1, restart="temporary", significant=True))

    @pytest.mark.row("DS-10")
    def test_a_started_child_is_kept_without_an_id(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        pid = DynamicSupervisor.start_child(sup, worker(1))
        assert Supervisor.which_children(sup) == [ChildInfo(None, pid, "worker")]

    def test_children_of_one_id_do_not_collide(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        pids = [DynamicSupervisor.start_child(sup, worker("same")) for _ in range(3)]
        assert shown(sup) == pids[::-1]

    @pytest.mark.row("DS-10")
    def test_an_ignored_child_is_none_and_not_kept(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        assert DynamicSupervisor.start_child(sup, worker(1, Script(starts=[Ignore()]))) is None
        assert counts(sup) == (0, 0)

    @pytest.mark.row("DS-10", "DS-11", "SU-12")
    @pytest.mark.parametrize(
        ("start", "reason"),
        [
            (raising(StartError("found")), "found"),
            (raising(ProcessExit("oops")), "oops"),
            (lambda: "unknown", BadReturn),
            (raising(RuntimeError("oops")), RuntimeError),
        ],
    )
    def test_a_start_that_fails_is_raised_and_not_kept(self, supervise_dynamic: Any, start: Any, reason: Any) -> None:
        sup = supervise_dynamic()
        with pytest.raises(StartError) as caught:
            DynamicSupervisor.start_child(sup, ChildSpec("x", start))
        given = caught.value.reason
        assert given == reason or type(given) is reason
        assert counts(sup) == (0, 0)

    def test_a_child_that_fails_in_init_leaves_nothing(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        before = set(process.pids())
        for _ in range(5):
            with pytest.raises(StartError, match="no"):
                DynamicSupervisor.start_child(sup, worker(1, Script(starts=[Stop("no")])))
        assert set(process.pids()) == before
        assert process.info(sup).message_queue_len == 0

    def test_at_max_children_it_refuses_until_one_has_ended(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic(max_children=1)
        pid = DynamicSupervisor.start_child(sup, worker(1, restart="temporary"))
        with pytest.raises(MaxChildren):
            DynamicSupervisor.start_child(sup, worker(1))
        end(pid, "normal")
        assert process.is_alive(DynamicSupervisor.start_child(sup, worker(1)))

    def test_an_actor_starts_children_too(self, supervise_dynamic: Any) -> None:
        class Starter(Actor):
            def handle_call(self, request: Any, caller: Any, sup: Any) -> Any:
                return Reply([DynamicSupervisor.start_child(sup, worker(1)) for _ in range(request)], sup)

        sup = supervise_dynamic()
        starter = Starter.start_link(sup)
        assert call(starter, 3) == shown(sup)[::-1]
        supervision_stop(starter)

    def test_many_callers_start_children_at_once(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic(max_children=100)
        starters = [process.spawn_monitor(start_many, sup, 30) for _ in range(5)]
        for _, ref in starters:
            assert down(ref) == "normal"
        assert counts(sup) == (100, 100)


def start_many(sup: Pid, number: int) -> None:
    for _ in range(number):
        try:
            DynamicSupervisor.start_child(sup, worker(1))
        except MaxChildren:
            return


def supervision_stop(pid: Pid) -> None:
    ref = process.monitor(pid)
    process.unlink(pid)
    process.exit(pid, "kill")
    down(ref)

    def test_none_may_be_allowed(self, supervise_dynamic: Any) -> None:
        with pytest.raises(MaxChildren):
            DynamicSupervisor.start_child(supervise_dynamic(max_children=0), worker(1))

    def test_one_that_is_ignored_takes_no_place_and_one_that_is_restarted_keeps_its_own(
        self, supervise_dynamic: Any
    ) -> None:
        sup = supervise_dynamic(max_children=1)
        assert DynamicSupervisor.start_child(sup, worker(1, Script(1, starts=[Ignore()]))) is None
        pid = DynamicSupervisor.start_child(sup, worker(1, backoff=Backoff(10_000, 10_000)))
        end(pid, "boom")
        assert shown(sup) == ["restarting"]
        with pytest.raises(MaxChildren):
            DynamicSupervisor.start_child(sup, worker(1))
        DynamicSupervisor.terminate_child(sup, pid)
        assert DynamicSupervisor.start_child(sup, worker(1))

    def test_a_child_may_start_and_end_others_and_itself(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        child = DynamicSupervisor.start_child(sup, (Doer, None))
        other = do(child, lambda: DynamicSupervisor.start_child(sup, worker(2)))
        do(child, lambda: DynamicSupervisor.terminate_child(sup, other))
        assert shown(sup) == [child]
        with pytest.raises(ServerExit) as caught:
            do(child, lambda: DynamicSupervisor.terminate_child(sup, child))
        assert caught.value.reason == "shutdown"
        assert shown(sup) == []


class TestRestart:
    @pytest.mark.row("DS-13", "DS-14", "DS-15")
    @pytest.mark.parametrize(
        ("restart", "reason", "left"),
        [
            ("temporary", "shutdown", 0),
            ("temporary", "whatever", 0),
            ("transient", "normal", 0),
            ("transient", "shutdown", 0),
            ("transient", ("shutdown", "signal"), 0),
            ("transient", "whatever", 1),
            ("permanent", "normal", 1),
            ("permanent", "shutdown", 1),
            ("permanent", ("shutdown", "signal"), 1),
            ("permanent", "whatever", 1),
            ("permanent", "kill", 1),
        ],
    )
    def test_what_is_left_after_an_end(self, supervise_dynamic: Any, restart: Any, reason: Any, left: int) -> None:
        sup = supervise_dynamic()
        pid = DynamicSupervisor.start_child(sup, worker(1, restart=restart))
        end(pid, reason)
        assert counts(sup) == (left, left)
        assert pid not in shown(sup)

    @pytest.mark.row("SU-78")
    def test_only_the_one_that_ended_is_restarted_with_the_same_arguments(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        journal: list[Any] = []
        one = DynamicSupervisor.start_child(sup, worker(1, Script("one", journal)))
        two = DynamicSupervisor.start_child(sup, worker(1, Script("two", journal)))
        end(one, "crash")
        assert two in shown(sup)
        assert counts(sup) == (2, 2)
        assert journal == [("up", "one"), ("up", "two"), ("down", "one", "crash"), ("up", "one")]

    @pytest.mark.row("DS-16", "SU-47")
    def test_what_a_restart_gives_decides_what_is_kept(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic(max_restarts=100_000)
        ignoring = Script(starts=[None, Ignore()])
        failing = Script(starts=[None, *[Stop("no")] * 1_000_000])
        broken = []

        def start() -> Any:
            broken.append(len(broken))
            return Worker.start_link(Script()) if len(broken) == 1 else "unknown"

        end(DynamicSupervisor.start_child(sup, worker(1)), "crash")
        end(DynamicSupervisor.start_child(sup, worker(1, ignoring)), "crash")
        assert counts(sup) == (1, 1)
        patient = Backoff(60_000, 60_000)
        end(DynamicSupervisor.start_child(sup, worker(1, failing, backoff=patient)), "crash")
        assert counts(sup) == (2, 1)
        end(DynamicSupervisor.start_child(sup, ChildSpec(1, start, backoff=patient)), "crash")
        assert counts(sup) == (3, 1)
        assert [pid for pid in shown(sup) if isinstance(pid, str)] == ["restarting", "restarting"]

    def test_an_exit_that_a_child_sends_before_its_end_counts_for_that_too(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic(max_restarts=1)
        pid = DynamicSupervisor.start_child(sup, child_spec(Doer, backoff=Backoff(60_000, 60_000)))
        do(pid, lambda: process.exit(sup, "early"))
        assert shown(sup) == ["restarting"]
        end(pid, "crash")
        assert shown(sup) == ["restarting"]

    @pytest.mark.row("DS-18")
    def test_extra_arguments_come_first_and_once(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic(extra_arguments=("extra", "more"))
        given: list[Any] = []

        def start(*args: Any) -> Any:
            given.append(args)
            return Worker.start_link(Script())

        pid = DynamicSupervisor.start_child(sup, ChildSpec("x", start, ("own",)))
        end(pid, "crash")
        assert counts(sup) == (1, 1)
        assert given == [("extra", "more", "own")] * 2

    @pytest.mark.row("DS-19")
    def test_a_restart_that_fails_once_is_tried_again(self, supervise_dynamic: Any) -> None:
        came_back = threading.Event()
        sup = supervise_dynamic(max_restarts=2)
        end(DynamicSupervisor.start_child(sup, worker(1, Script(starts=[None, Stop("no"), came_back.set]))), "crash")
        assert came_back.wait(PATIENCE / 1000)
        assert counts(sup) == (1, 1)

    @pytest.mark.row("DS-20")
    @pytest.mark.parametrize("max_restarts", [1, 10])
    def test_failing_restarts_count_until_it_gives_up(self, max_restarts: int) -> None:
        sup = DynamicSupervisor.start_link(max_restarts=max_restarts)
        other = DynamicSupervisor.start_child(sup, worker(1))
        script = Script(starts=[None, *[raising(OSError("no"))] * 100])
        end(DynamicSupervisor.start_child(sup, worker(1, script)), "crash")
        assert exit_of(sup) == "shutdown"
        assert len(script.starts) == 100 - max_restarts
        assert not process.is_alive(other)

    def test_a_restarted_child_keeps_its_name(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        pid = DynamicSupervisor.start_child(sup, worker(1, start=functools.partial(Worker.start_link, name="dyn")))
        end(pid, "kill")
        assert shown(sup) == [process.whereis("dyn")]


class TestTerminateChild:
    @pytest.mark.row("DS-27")
    @pytest.mark.parametrize(
        ("shutdown", "reason"), [(BRUTAL_KILL, "killed"), (1_000, "shutdown"), (INFINITY, "shutdown")]
    )
    def test_it_is_ended_and_forgotten(self, supervise_dynamic: Any, shutdown: Any, reason: str) -> None:
        sup = supervise_dynamic()
        pid = DynamicSupervisor.start_child(sup, worker(1, shutdown=shutdown))
        ref = process.monitor(pid)
        DynamicSupervisor.terminate_child(sup, pid)
        assert down(ref) == reason
        assert counts(sup) == (0, 0)
        with pytest.raises(NotFound):
            DynamicSupervisor.terminate_child(sup, pid)

    @pytest.mark.row("DS-28", "SU-86")
    def test_one_that_is_being_restarted_is_found_by_its_former_pid(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        pid = DynamicSupervisor.start_child(sup, worker(1, backoff=Backoff(60_000, 60_000)))
        end(pid, "crash")
        assert shown(sup) == ["restarting"]
        DynamicSupervisor.terminate_child(sup, pid)
        assert counts(sup) == (0, 0)
        with pytest.raises(NotFound):
            DynamicSupervisor.terminate_child(sup, pid)

    def test_one_that_is_ended_while_it_waits_to_be_restarted_stays_ended(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        pid = DynamicSupervisor.start_child(sup, worker(1, backoff=Backoff(60_000, 60_000)))
        end(pid, "crash")
        assert shown(sup) == ["restarting"]
        (child,) = sup._process.body.state.snapshot()
        order = child.retry
        DynamicSupervisor.terminate_child(sup, pid)
        assert not scheduler.timers.is_pending(order.timer)
        deliver(sup._process, order)  # it was on its way
        assert shown(sup) == []

    @pytest.mark.parametrize("unknown", [None, "name", 5])
    def test_what_is_no_child_is_not_found(self, supervise_dynamic: Any, unknown: Any) -> None:
        with pytest.raises(NotFound):
            DynamicSupervisor.terminate_child(supervise_dynamic(), unknown)

    @pytest.mark.row("SU-51")
    def test_ending_many_children_one_by_one_is_linear(self, supervise_dynamic: Any) -> None:
        def instructions(number: int) -> int:
            sup = supervise_dynamic()
            spec = worker(1, restart="temporary")
            pids = [DynamicSupervisor.start_child(sup, spec) for _ in range(number)]

            random.Random(number).shuffle(pids)  # or one that looks through all finds each at once

            def end_all() -> None:
                for pid in pids:
                    DynamicSupervisor.terminate_child(sup, pid)

            return Task.async_(instructions_of, end_all).await_(60_000)  # on whose thread the supervisor runs

        assert instructions(1_000) < 15 * instructions(100)


class TestAdministration:
    @pytest.mark.row("SU-17")
    def test_a_spec_is_had_by_pid(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        spec = worker(1)
        assert Supervisor.get_child_spec(sup, DynamicSupervisor.start_child(sup, spec)) == spec
        with pytest.raises(NotFound):
            Supervisor.get_child_spec(sup, process.self())

    @pytest.mark.row("SU-86")
    @pytest.mark.parametrize("operation", [Supervisor.restart_child, Supervisor.delete_child, Supervisor.which_child])
    def test_there_are_no_ids_and_no_stopped_children(self, supervise_dynamic: Any, operation: Any) -> None:
        sup = supervise_dynamic()
        pid = DynamicSupervisor.start_child(sup, worker(1))
        with pytest.raises(BadArgument):
            operation(sup, pid)
        assert counts(sup) == (1, 1)

    @pytest.mark.row("SU-44")
    def test_the_children_of_any_supervisor_are_shown(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        pids = [DynamicSupervisor.start_child(sup, worker(number)) for number in range(2)]
        DynamicSupervisor.terminate_child(sup, pids[0])
        assert DynamicSupervisor.which_children(sup) == [ChildInfo(None, pids[1], "worker")]

    @pytest.mark.row("SU-46")
    def test_workers_and_supervisors_are_counted_apart(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        for number in range(200):
            DynamicSupervisor.start_child(sup, worker(number, type="supervisor" if number % 4 == 0 else "worker"))
        assert Supervisor.count_children(sup) == ChildCounts(specs=200, active=200, supervisors=50, workers=150)


class TestShutdown:
    @pytest.mark.row("DS-23", "DS-25", "DS-26", "SU-90", "SU-92")
    @pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
    @pytest.mark.parametrize(
        ("last_words", "shutdown", "reason"),
        [
            (None, INFINITY, "shutdown"),
            (None, 1_000, "shutdown"),
            (("shutdown", "oops"), INFINITY, ("shutdown", "oops")),
            (("shutdown", "oops"), 1_000, ("shutdown", "oops")),
            ("normal", 1_000, "normal"),
            ("other", 1_000, "other"),
            (None, BRUTAL_KILL, "killed"),
        ],
    )
    def test_each_child_ends_with_its_own_reason(
        self, restart: Any, last_words: Any, shutdown: Any, reason: Any
    ) -> None:
        sup = DynamicSupervisor.start_link()
        spec = worker(1, Script(last_words=last_words), shutdown=shutdown, restart=restart)
        refs = [process.monitor(DynamicSupervisor.start_child(sup, spec)) for _ in range(3)]
        process.exit(sup, "shutdown")
        assert exit_of(sup) == "shutdown"
        assert [down(ref) for ref in refs] == [reason] * 3

    @pytest.mark.row("DS-21", "DS-24")
    @pytest.mark.parametrize("shutdown", [0, 1])
    def test_with_hardly_any_time_only_those_that_trap_are_killed(self, shutdown: int) -> None:
        sup = DynamicSupervisor.start_link()
        scripts = [Script(traps=False), Script(traps=False), Script(stubborn=True)]
        refs = [
            process.monitor(DynamicSupervisor.start_child(sup, worker(1, script, shutdown=shutdown)))
            for script in scripts
        ]
        Supervisor.stop(sup)
        assert [down(ref) for ref in refs] == ["shutdown", "shutdown", "killed"]

    @pytest.mark.row("DS-29")
    def test_all_spend_their_time_at_the_same_time(self) -> None:
        sup = DynamicSupervisor.start_link()
        for number in range(40):
            DynamicSupervisor.start_child(sup, worker(1, Script(stubborn=True), shutdown=20 + number))
        began = time.monotonic()
        Supervisor.stop(sup)
        assert time.monotonic() - began < 40 * 0.02

    def test_one_that_waits_to_be_restarted_holds_nothing_up(self) -> None:
        sup = DynamicSupervisor.start_link()
        end(DynamicSupervisor.start_child(sup, worker(1, backoff=Backoff(60_000, 60_000))), "crash")
        assert shown(sup) == ["restarting"]
        (child,) = sup._process.body.state.snapshot()
        timer = child.retry.timer
        Supervisor.stop(sup)
        assert not process.is_alive(sup)
        assert not scheduler.timers.is_pending(timer)

    def test_a_killed_supervisor_takes_its_children_along(self) -> None:
        sup = DynamicSupervisor.start_link()
        refs = [process.monitor(DynamicSupervisor.start_child(sup, worker(1, Script(traps=False)))) for _ in range(5)]
        process.exit(sup, "kill")
        assert [down(ref) for ref in refs] == ["killed"] * 5
        assert exit_of(sup) == "killed"


def started_or_failed(sup: Pid, spec: ChildSpec) -> Any:
    """``"started"``, or the id that the error of the start names."""
    try:
        DynamicSupervisor.start_child(sup, spec)
    except StartError as error:
        return error.child_id
    return "started"


class TestAskedByActors:
    """An actor's request may be carried out on its own thread, past the supervisor's mailbox."""

    def test_what_the_supervisor_has_been_told_before_comes_first(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic(max_children=1)
        actor = Doer.start(None)

        def replace() -> bool:
            for number in range(100):
                child = DynamicSupervisor.start_child(sup, worker(number, restart="temporary"))
                assert child is not None
                process.exit(child, "kill")
            return True

        assert do(actor, replace)
        end(actor, "kill")

    def test_it_runs_on_their_thread_and_as_the_supervisor(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic()
        actor = Doer.start(None)
        ran: list[Any] = []

        def start() -> Pid:
            ran.append((threading.get_ident(), process.self()))
            return Worker.start_link(Script())

        def ask() -> int:
            DynamicSupervisor.start_child(sup, ChildSpec(1, start))
            return threading.get_ident()

        assert ran == [(do(actor, ask), sup)]
        end(actor, "kill")

    def test_a_refusal_is_raised_where_it_was_asked_for(self, supervise_dynamic: Any) -> None:
        sup = supervise_dynamic(max_children=0)
        actor = Doer.start(None)

        def ask() -> bool:
            with pytest.raises(MaxChildren):
                DynamicSupervisor.start_child(sup, worker(1))
            with pytest.raises(NotFound):
                DynamicSupervisor.terminate_child(sup, process.self())
            return True

        assert do(actor, ask)
        end(actor, "kill")

    def test_a_fault_of_the_supervisor_itself_ends_it_and_is_told_to_who_asked(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        fault = RuntimeError("a bug")
        monkeypatch.setattr(DynamicChildren, "count_children", lambda *_: raising(fault)())
        sup, actor = DynamicSupervisor.start(), Doer.start(None)
        ref = process.monitor(sup)

        def ask() -> Any:
            with pytest.raises(ServerExit) as caught:
                DynamicSupervisor.count_children(sup)
            return caught.value

        error = do(actor, ask)
        assert error.reason is error.__cause__ is fault
        assert down(ref) is fault
        assert "RuntimeError: a bug" in caplog.text
        assert f"caller: {actor!r}" in caplog.text
        end(actor, "kill")

    def test_one_that_has_ended_is_nobody(self) -> None:
        sup = DynamicSupervisor.start()
        DynamicSupervisor.stop(sup)
        actor = Doer.start(None)

        def ask() -> bool:
            with pytest.raises(NoProcess):
                DynamicSupervisor.count_children(sup)
            return True

        assert do(actor, ask)
        end(actor, "kill")

    def test_one_that_is_suspended_just_then_answers_when_it_is_resumed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sup, actor = DynamicSupervisor.start(), Doer.start(None)
        take_over = in_place._take_over

        def suspend_first(target: Process, record: ThreadRecord) -> bool:
            if target is sup._process and not target.suspended:
                monkeypatch.undo()
                do(other, lambda: sys.suspend(sup))
            return take_over(target, record)

        other = Doer.start(None)
        monkeypatch.setattr(in_place, "_take_over", suspend_first)
        asked = send_request(actor, lambda: DynamicSupervisor.count_children(sup).specs)
        until(lambda: sup._process.suspended and sup._process.mailbox)
        sys.resume(sup)
        assert receive_response(asked, timeout=PATIENCE) == ("reply", 0)
        DynamicSupervisor.stop(sup)
        end(actor, "kill")
        end(other, "kill")

    def test_another_kind_of_actor_is_refused(self) -> None:
        actor, other = Doer.start(None), Doer.start(None)

        def ask() -> None:
            with pytest.raises(BadArgument, match="expected a supervisor"):
                DynamicSupervisor.count_children(other)

        do(actor, ask)
        end(actor, "kill")
        end(other, "kill")


class TestFaults:
    @pytest.mark.parametrize("failing", range(5))
    def test_whichever_start_fails_the_others_live_and_nothing_leaks(
        self, supervise_dynamic: Any, failing: int
    ) -> None:
        sup = supervise_dynamic()
        before = len(process.pids())
        specs = [worker(number) for number in range(5)]
        specs[failing] = worker(failing, Script(starts=[raising(OSError("no"))]))
        outcomes = [started_or_failed(sup, spec) for spec in specs]
        assert outcomes == ["started" if number != failing else failing for number in range(5)]
        assert counts(sup) == (4, 4)
        assert len(process.pids()) == before + 4

    def test_a_starter_that_is_killed_leaves_a_supervisor_that_works(self, supervise_dynamic: Any) -> None:
        entered, release = threading.Event(), threading.Event()

        class Slow(Worker):
            def init(self, arg: Script) -> Any:
                entered.set()
                release.wait(PATIENCE / 1000)
                return super().init(arg)

        sup = supervise_dynamic()
        starter, ref = process.spawn_monitor(DynamicSupervisor.start_child, sup, worker(1, start=Slow.start_link))
        assert entered.wait(PATIENCE / 1000)
        process.exit(starter, "kill")
        assert down(ref) == "killed"
        release.set()
        assert process.is_alive(DynamicSupervisor.start_child(sup, worker(2)))
        assert counts(sup) == (2, 2)

    def test_a_supervisor_killed_while_it_starts_a_child_leaves_no_child(self) -> None:
        entered, release = threading.Event(), threading.Event()
        started: list[Pid] = []

        class Slow(Worker):
            def init(self, arg: Script) -> Any:
                started.append(process.self())
                entered.set()
                release.wait(PATIENCE / 1000)
                return super().init(arg)

        sup = DynamicSupervisor.start_link()
        _, ref = process.spawn_monitor(DynamicSupervisor.start_child, sup, worker(1, start=Slow.start_link))
        assert entered.wait(PATIENCE / 1000)
        of_child = process.monitor(started[0])
        process.exit(sup, "kill")
        release.set()
        assert down(of_child) == "killed"
        assert down(ref).reason == "killed"
        assert exit_of(sup) == "killed"
