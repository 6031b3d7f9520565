from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    INFINITY,
    AlreadyPresent,
    AlreadyStarted,
    BadArgument,
    BadType,
    ChildCounts,
    ChildInfo,
    DynamicSupervisor,
    NoProcess,
    NotFound,
    Running,
    ServerExit,
    Supervisor,
    TaskSupervisor,
    call,
    cast,
    process,
)
from tests.supervision.supervised import Journal, Script, Worker, down, end, pid_of, pids_of, worker, writers
from tests.supervision.tasks import idle


class TestStartChild:
    @pytest.mark.row("SU-36")
    def test_an_id_that_runs_is_already_started(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        with pytest.raises(AlreadyStarted) as caught:
            Supervisor.start_child(sup, worker(1))
        assert (caught.value.pid, caught.value.child_id) == (pid_of(sup, 1), 1)

    @pytest.mark.row("SU-36")
    def test_an_id_that_is_stopped_is_already_present(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        Supervisor.terminate_child(sup, 1)
        with pytest.raises(AlreadyPresent):
            Supervisor.start_child(sup, worker(1))

    @pytest.mark.row("SU-41")
    def test_the_pid_is_that_of_the_child(self, supervise: Any) -> None:
        sup = supervise()
        pid = Supervisor.start_child(sup, worker(1))
        assert pid is pid_of(sup, 1)
        assert call(pid, "who") == ("who", pid)


class TestTerminateChild:
    @pytest.mark.row("SU-37")
    def test_the_spec_stays_and_the_child_is_not_restarted(self, supervise: Any) -> None:
        journal: Journal = []
        sup = supervise(writers(journal, 1))
        Supervisor.terminate_child(sup, 1)
        assert journal == [("up", 1), ("down", 1, "shutdown")]
        assert pids_of(sup) == {1: None}
        assert Supervisor.count_children(sup) == ChildCounts(specs=1, active=0, supervisors=0, workers=1)

    @pytest.mark.row("SU-37")
    def test_a_stopped_child_can_be_terminated_again(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        Supervisor.terminate_child(sup, 1)
        Supervisor.terminate_child(sup, 1)
        assert pids_of(sup) == {1: None}

    @pytest.mark.row("SU-37")
    def test_an_unknown_id_and_a_pid_are_not_found(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        for unknown in ("unknown", pid_of(sup, 1)):
            with pytest.raises(NotFound):
                Supervisor.terminate_child(sup, unknown)

    def test_a_temporary_child_is_forgotten(self, supervise: Any) -> None:
        sup = supervise([worker(1, restart="temporary")])
        Supervisor.terminate_child(sup, 1)
        assert Supervisor.which_children(sup) == []

    def test_a_child_may_have_itself_terminated(self, supervise: Any) -> None:
        class Suicidal(Worker):
            def handle_cast(self, message: Any, script: Script) -> Any:
                Supervisor.terminate_child(message, 1)

        sup = supervise()
        pid = Supervisor.start_child(sup, worker(1, Script(traps=False), start=Suicidal.start_link))
        ref = process.monitor(pid)
        cast(pid, sup)
        assert down(ref) == "shutdown"
        assert pids_of(sup) == {1: None}

    @pytest.mark.row("SU-94")
    def test_a_child_that_unlinked_itself_is_ended_all_the_same(self, supervise: Any) -> None:
        class Unlinked(Worker):
            def handle_call(self, request: Any, caller: Any, script: Any) -> Any:
                process.unlink(request)
                return super().handle_call(request, caller, script)

        sup = supervise()
        pid = Supervisor.start_child(sup, worker(1, start=Unlinked.start_link))
        call(pid, sup)
        Supervisor.terminate_child(sup, 1)
        assert not process.is_alive(pid)
        assert process.info(sup).message_queue_len == 0


class TestRestartChild:
    @pytest.mark.row("SU-38")
    def test_a_stopped_child_gets_a_new_pid(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        old = pid_of(sup, 1)
        Supervisor.terminate_child(sup, 1)
        new = Supervisor.restart_child(sup, 1)
        assert new is pid_of(sup, 1)
        assert new is not old

    @pytest.mark.row("SU-38")
    def test_a_running_child_is_refused(self, supervise: Any) -> None:
        with pytest.raises(Running):
            Supervisor.restart_child(supervise([worker(1)]), 1)

    @pytest.mark.row("SU-38")
    def test_a_child_that_is_unknown_or_deleted_is_not_found(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        Supervisor.terminate_child(sup, 1)
        Supervisor.delete_child(sup, 1)
        for id_ in (1, "unknown"):
            with pytest.raises(NotFound):
                Supervisor.restart_child(sup, id_)

    def test_a_restarted_child_is_supervised_again(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        Supervisor.terminate_child(sup, 1)
        pid = Supervisor.restart_child(sup, 1)
        end(pid, "crash")
        assert pid_of(sup, 1) not in (pid, None)


class TestDeleteChild:
    @pytest.mark.row("SU-39")
    def test_running_is_refused_stopped_is_forgotten_unknown_is_not_found(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        with pytest.raises(Running):
            Supervisor.delete_child(sup, 1)
        Supervisor.terminate_child(sup, 1)
        Supervisor.delete_child(sup, 1)
        assert Supervisor.which_children(sup) == []
        with pytest.raises(NotFound):
            Supervisor.delete_child(sup, 1)

    @pytest.mark.row("SU-49", "SU-48")
    def test_the_life_of_a_child(self, supervise: Any) -> None:
        sup = supervise()
        assert Supervisor.count_children(sup) == ChildCounts(specs=0, active=0, supervisors=0, workers=0)
        first = Supervisor.start_child(sup, worker(1))
        assert Supervisor.which_children(sup) == [ChildInfo(1, first, "worker")]
        assert Supervisor.count_children(sup) == ChildCounts(specs=1, active=1, supervisors=0, workers=1)
        Supervisor.terminate_child(sup, 1)
        second = Supervisor.restart_child(sup, 1)
        assert second is not first
        Supervisor.terminate_child(sup, 1)
        Supervisor.delete_child(sup, 1)
        Supervisor.stop(sup)
        assert not process.is_alive(sup)


class TestWhichChildren:
    @pytest.mark.row("SU-42")
    def test_the_newest_comes_first(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        pid = Supervisor.start_child(sup, worker(2))
        assert Supervisor.which_children(sup)[0] == ChildInfo(2, pid, "worker")
        assert list(pids_of(sup)) == [2, 1]
        Supervisor.terminate_child(sup, 1)
        assert pids_of(sup) == {2: pid, 1: None}
        Supervisor.delete_child(sup, 1)
        assert list(pids_of(sup)) == [2]


class TestWhichChild:
    @pytest.mark.row("SU-43")
    def test_one_is_told_by_its_id(self, supervise: Any) -> None:
        sup = supervise([worker(1), worker(2)])
        assert Supervisor.which_child(sup, 1) == ChildInfo(1, pid_of(sup, 1), "worker")
        Supervisor.terminate_child(sup, 1)
        assert Supervisor.which_child(sup, 1) == ChildInfo(1, None, "worker")

    @pytest.mark.row("SU-43")
    def test_an_unknown_id_is_not_found(self, supervise: Any) -> None:
        with pytest.raises(NotFound, match="the supervisor has no child 3"):
            Supervisor.which_child(supervise([worker(1)]), 3)


class TestGetCallbackModule:
    @pytest.mark.row("SU-35")
    def test_the_class_is_told(self, supervise: Any) -> None:
        class Own(Supervisor):
            def init(self, arg: Any) -> Any:
                return super().init([], strategy="one_for_one")

        own = Own.start_link()
        assert Supervisor.get_callback_module(own) is Own
        assert Supervisor.get_callback_module(supervise([])) is Supervisor
        Supervisor.stop(own)


class TestIds:
    @pytest.mark.parametrize("id_", [None, (), ("a", 1), frozenset({1}), Worker, 0, 1.5, b"x", True])
    def test_any_hashable_value_names_a_child_all_its_life(self, supervise: Any, id_: Any) -> None:
        sup = supervise([worker(id_)])
        pid = pid_of(sup, id_)
        with pytest.raises(AlreadyStarted):
            Supervisor.start_child(sup, worker(id_))
        Supervisor.terminate_child(sup, id_)
        assert Supervisor.restart_child(sup, id_) is pid_of(sup, id_) is not pid
        Supervisor.terminate_child(sup, id_)
        Supervisor.delete_child(sup, id_)
        assert Supervisor.which_children(sup) == []

    def test_ids_of_different_types_differ(self, supervise: Any) -> None:
        sup = supervise([worker(1), worker(1.0)], strategy="one_for_all")
        Supervisor.start_child(sup, worker(True))
        before = [child.pid for child in Supervisor.which_children(sup)]
        assert [repr(child.id) for child in Supervisor.which_children(sup)] == ["True", "1.0", "1"]
        end(Supervisor.which_child(sup, 1.0).pid, "kill")
        assert not set(before) & {child.pid for child in Supervisor.which_children(sup)}
        Supervisor.terminate_child(sup, 1)
        Supervisor.delete_child(sup, 1)
        assert [repr(child.id) for child in Supervisor.which_children(sup)] == ["True", "1.0"]

    def test_what_can_be_no_id_is_refused_and_does_not_harm_the_supervisor(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        for ask in (
            Supervisor.which_child,
            Supervisor.get_child_spec,
            Supervisor.terminate_child,
            Supervisor.restart_child,
            Supervisor.delete_child,
        ):
            with pytest.raises(BadType, match=r"id must be hashable, got \[\]"):
                ask(sup, [])
        assert Supervisor.count_children(sup).active == 1


class TestAnySupervisor:
    @pytest.mark.row("SU-40")
    @pytest.mark.parametrize(
        "operation",
        [
            Supervisor.which_children,
            Supervisor.count_children,
            lambda sup: Supervisor.start_child(sup, worker(1)),
            lambda sup: Supervisor.terminate_child(sup, 1),
            lambda sup: Supervisor.restart_child(sup, 1),
            lambda sup: Supervisor.delete_child(sup, 1),
            lambda sup: Supervisor.get_child_spec(sup, 1),
            Supervisor.stop,
        ],
    )
    def test_an_unknown_supervisor_raises_no_process(self, operation: Any) -> None:
        with pytest.raises(NoProcess):
            operation("foo")

    @pytest.mark.row("SU-50")
    def test_what_it_does_not_understand_is_logged_and_ignored(self, supervise: Any, caplog: Any) -> None:
        sup = supervise([worker(1)])
        process.send(sup, "foo")
        cast(sup, "bar")
        with pytest.raises(ServerExit, match="a supervisor has no answer to 'baz'"):
            call(sup, "baz", timeout=INFINITY)
        assert Supervisor.count_children(sup).active == 1
        said = [record.getMessage() for record in caplog.records]
        assert [text.rsplit(": ")[-1] for text in said] == ["'foo'", "'bar'", "'baz'"]
        assert process.info(sup).message_queue_len == 0

    def test_an_exit_of_a_stranger_changes_nothing(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        stranger = process.spawn(lambda: process.exit(sup, "shutdown"))
        ref = process.monitor(stranger)
        down(ref)
        assert Supervisor.count_children(sup).active == 1

    @pytest.mark.row("SU-54")
    @pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", "bye"), "other"])
    def test_stop_ends_the_children_in_reverse_and_gives_its_reason(self, reason: Any) -> None:
        journal: Journal = []
        sup = Supervisor.start_link(writers(journal, 1, 2, 3), strategy="one_for_one")
        ref = process.monitor(sup)
        Supervisor.stop(sup, reason)
        assert journal[3:] == [("down", number, "shutdown") for number in (3, 2, 1)]
        assert down(ref) == reason


class TestNoSupervisor:
    @pytest.mark.parametrize("named", [True, False])
    @pytest.mark.parametrize(
        "ask",
        [
            lambda pid: Supervisor.start_child(pid, Worker),
            lambda pid: Supervisor.terminate_child(pid, "child"),
            Supervisor.which_children,
            Supervisor.count_children,
            lambda pid: DynamicSupervisor.start_child(pid, Worker),
            TaskSupervisor.children,
            lambda pid: TaskSupervisor.async_(pid, dict),
            lambda pid: TaskSupervisor.start_child(pid, dict),
            lambda pid: list(TaskSupervisor.async_stream(pid, [1], int)),
        ],
    )
    def test_another_process_is_refused_and_hears_of_nothing(self, ask: Callable[[Any], Any], named: bool) -> None:
        pid = process.spawn(idle)
        process.register("no supervisor", pid)
        with pytest.raises(BadArgument, match=r"expected a supervisor, got .*, which is none"):
            ask("no supervisor" if named else pid)
        assert not pid._process.mailbox
        process.exit(pid, "kill")


class TestMemory:
    @pytest.mark.row("SU-60")
    @pytest.mark.parametrize(("restart", "kept"), [("temporary", False), ("transient", True), ("permanent", True)])
    def test_only_children_that_can_be_restarted_keep_their_arguments(
        self, supervise: Any, restart: Any, kept: bool
    ) -> None:
        class Forgetful(Worker):
            def init(self, arg: Script) -> Any:
                return super().init(Script())

        script = Script()
        alive = weakref.ref(script)
        sup = supervise()
        Supervisor.start_child(sup, worker(1, script, start=Forgetful.start_link, restart=restart))
        del script
        gc.collect()
        assert (alive() is not None) is kept
