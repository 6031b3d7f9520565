"""Monitors: one Down for each, whatever came first."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from supervision import BadType, Down, Pid, Ref, process
from supervision.signals import ProcessMonitor
from tests.supervision.actors import DEADLINE, idle, nothing_more


def crash(error: Exception) -> None:
    raise error


def watchers_of(pid: Pid) -> tuple[Pid, ...]:
    info = process.info(pid)
    assert info is not None
    return info.monitored_by


def watched_by(pid: Pid) -> tuple[Pid, ...]:
    info = process.info(pid)
    assert info is not None
    return info.monitors


class TestMonitor:
    @pytest.mark.row("MO-01")
    @pytest.mark.parametrize("reason", ["stop", "abc", ("a", "tuple")])
    def test_one_down_comes_for_each_monitor(self, reason: Any) -> None:
        pid = process.spawn(idle)
        refs = [process.monitor(pid), process.monitor(pid)]
        if reason == "stop":
            process.send(pid, "stop")
        else:
            process.exit(pid, reason)
        expected = "normal" if reason == "stop" else reason
        assert [process.receive(timeout=DEADLINE) for _ in refs] == [Down(ref, pid, expected) for ref in refs]
        assert nothing_more()

    @pytest.mark.row("MO-02")
    @pytest.mark.parametrize("dest", ["pid", "name"])
    def test_one_that_is_gone_is_down_at_once(self, dest: str) -> None:
        pid = process.spawn(idle)
        process.exit(pid, "kill")
        target = pid if dest == "pid" else "nobody has this name"
        ref = process.monitor(target)
        assert process.receive(timeout=0) == Down(ref, target, "noproc")
        assert process.demonitor(ref) is False

    def test_a_monitored_name_is_what_the_down_shows(self) -> None:
        pid = process.spawn(idle)
        process.register("watched", pid)
        ref = process.monitor("watched")
        process.unregister("watched")
        process.exit(pid, "abc")
        assert process.receive(timeout=DEADLINE) == Down(ref, "watched", "abc")

    def test_flush_is_true_or_false(self) -> None:
        with pytest.raises(BadType, match="flush must be True or False, got 1"):
            process.demonitor(process.monitor(process.self()), flush=1)  # type: ignore[arg-type]

    @pytest.mark.row("MO-05")
    def test_a_process_may_monitor_itself_and_never_hears_of_it(self) -> None:
        ref = process.monitor(process.self())
        assert process.demonitor(ref) is False
        assert process.demonitor(ref) is False
        assert nothing_more()

    @pytest.mark.row("MO-11")
    @pytest.mark.parametrize("dest", [42, 4.2, ("via", "x"), object()])
    def test_what_is_no_destination_is_refused(self, dest: Any) -> None:
        with pytest.raises(BadType, match="the destination must be a Pid, a non-empty string or a via"):
            process.monitor(dest)

    @pytest.mark.row("MO-12")
    def test_the_end_of_the_watcher_is_nothing_to_the_watched(self) -> None:
        pid = process.spawn(idle)
        me = process.self()

        def watcher() -> None:
            process.monitor(pid)
            process.send(me, "watching")
            idle()

        other = process.spawn(watcher)
        assert process.receive(timeout=DEADLINE) == "watching"
        assert watchers_of(pid) == (other,)
        process.exit(other, "kill")
        assert process.is_alive(pid)
        assert watchers_of(pid) == ()
        process.exit(pid, "kill")

    @pytest.mark.row("MO-13")
    def test_nothing_stale_is_listed_after_a_demonitor_or_a_death(self) -> None:
        first, second = process.spawn(idle), process.spawn(idle)
        refs = [process.monitor(first), process.monitor(second)]
        assert watched_by(process.self()) == (first, second)
        process.demonitor(refs[0])
        assert (watchers_of(first), watched_by(process.self())) == ((), (second,))
        process.exit(second, "kill")
        assert watched_by(process.self()) == ()
        process.exit(first, "kill")

    @pytest.mark.row("MO-17")
    def test_spawn_monitor_tells_the_real_reason_of_one_that_fails_at_once(self) -> None:
        for number in range(100):
            error = ValueError(number)
            pid, ref = process.spawn_monitor(crash, error)
            assert process.receive(timeout=DEADLINE) == Down(ref, pid, error)

    def test_a_name_that_moves_on_leaves_the_monitor_with_its_process(self) -> None:
        first, second = process.spawn(idle), process.spawn(idle)
        process.register("moving", first)
        ref = process.monitor("moving")
        process.unregister("moving")
        process.register("moving", second)
        process.exit(second, "kill")
        assert nothing_more()
        process.exit(first, "abc")
        assert process.receive(timeout=0) == Down(ref, "moving", "abc")

    def test_a_successor_under_the_name_is_not_monitored(self) -> None:
        first, second = process.spawn(idle), process.spawn(idle)
        process.register("moving", first)
        ref = process.monitor("moving")
        process.exit(first, "abc")
        process.register("moving", second)
        assert process.receive(timeout=0) == Down(ref, "moving", "abc")
        process.exit(second, "kill")
        assert nothing_more()

    def test_downs_come_in_the_order_of_the_deaths(self) -> None:
        pids = [process.spawn(idle) for _ in range(20)]
        for pid in pids:
            process.monitor(pid)
        for pid in reversed(pids):
            process.exit(pid, "abc")
        assert [process.receive(timeout=0).pid for _ in pids] == pids[::-1]

    def test_the_end_of_a_foreign_thread_is_one(self) -> None:
        ready, leave = threading.Event(), threading.Event()
        pids: list[Pid] = []

        def body() -> None:
            pids.append(process.self())
            ready.set()
            assert leave.wait(5)

        thread = threading.Thread(target=body)
        thread.start()
        assert ready.wait(5)
        ref = process.monitor(pids[0])
        leave.set()
        thread.join()
        assert process.receive(timeout=DEADLINE) == Down(ref, pids[0], "normal")

    def test_a_watcher_that_has_just_died_gets_no_mail(self) -> None:
        watcher = process.spawn(idle)
        process.exit(watcher, "kill")
        watching = ProcessMonitor(watcher._process, "shown")
        assert watching.down(Ref(), process.self()._process, "abc") is None
        assert not watcher._process.mailbox


class TestDemonitor:
    @pytest.mark.row("MO-06")
    @pytest.mark.parametrize("flush", [False, True])
    def test_before_the_death_it_prevents_the_down(self, flush: bool) -> None:
        pid = process.spawn(idle)
        ref = process.monitor(pid)
        assert process.demonitor(ref, flush=flush) is True
        process.exit(pid, "abc")
        assert nothing_more()

    @pytest.mark.row("MO-08")
    def test_flush_removes_the_down_of_that_ref_and_leaves_the_rest_in_order(self) -> None:
        pid = process.spawn(idle)
        first, second = process.monitor(pid), process.monitor(pid)
        process.send(process.self(), "before")
        process.exit(pid, "abc")
        process.send(process.self(), "after")
        assert process.demonitor(first, flush=True) is False
        received = [process.receive(timeout=0) for _ in range(3)]
        assert received == ["before", Down(second, pid, "abc"), "after"]
        assert nothing_more()

    @pytest.mark.row("MO-10")
    @pytest.mark.parametrize("ref", [None, 1, "ref", ()])
    def test_what_is_no_ref_is_refused(self, ref: Any) -> None:
        with pytest.raises(BadType, match="ref must be a Ref, got"):
            process.demonitor(ref)

    @pytest.mark.row("MO-10")
    def test_a_ref_of_nothing_prevents_nothing(self) -> None:
        assert process.demonitor(Ref()) is False

    @pytest.mark.row("MO-10")
    def test_the_monitor_of_somebody_else_is_left_alone(self) -> None:
        me = process.self()
        pid = process.spawn(idle)

        def watcher() -> None:
            process.send(me, process.monitor(pid))
            process.send(me, process.receive(Down))

        process.spawn(watcher)
        ref = process.receive(Ref, timeout=DEADLINE)
        assert process.demonitor(ref) is False
        process.exit(pid, "abc")
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, "abc")


class TestTag:
    @pytest.mark.row("MO-15")
    @pytest.mark.parametrize("tag", ["gone", ("worker", 1), 0])
    def test_it_comes_in_the_place_of_down(self, tag: Any) -> None:
        pid = process.spawn(idle)
        ref = process.monitor(pid, tag=tag)
        process.exit(pid, "abc")
        assert process.receive(timeout=DEADLINE) == (tag, ref, pid, "abc")
        assert nothing_more()

    @pytest.mark.row("MO-15")
    def test_one_that_is_gone_has_it_too(self) -> None:
        ref = process.monitor("nobody has this name", tag="gone")
        assert process.receive(timeout=0) == ("gone", ref, "nobody has this name", "noproc")

    @pytest.mark.row("MO-15")
    def test_each_monitor_has_its_own(self) -> None:
        pid = process.spawn(idle)
        plain, tagged = process.monitor(pid), process.monitor(pid, tag="gone")
        process.exit(pid, "abc")
        assert process.receive(timeout=DEADLINE) == Down(plain, pid, "abc")
        assert process.receive(timeout=DEADLINE) == ("gone", tagged, pid, "abc")

    def test_flush_removes_its_message_and_leaves_those_that_look_like_it(self) -> None:
        pid = process.spawn(idle)
        ref, other = process.monitor(pid, tag="gone"), process.Ref()
        process.send(process.self(), ("gone", other, pid, "abc"))
        process.exit(pid, "abc")
        assert not process.demonitor(ref, flush=True)
        assert process.receive(timeout=0) == ("gone", other, pid, "abc")
        assert nothing_more()
