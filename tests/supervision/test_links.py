"""Links: both ends hear of the other's death, unless somebody unlinked in time."""

from __future__ import annotations

from typing import Any

import pytest

from supervision import Down, Exit, NoProcess, Pid, ProcessExit, ReceiveTimeout, process, signals

DEADLINE = 5_000


def idle() -> None:
    process.receive(lambda message: message == "stop")


def crash(error: Exception) -> None:
    raise error


def end(pid: Pid, reason: Any = "kill") -> Any:
    ref = process.monitor(pid)
    process.exit(pid, reason)
    return process.receive(lambda message: message[0] is ref, timeout=DEADLINE).reason


def links_of(pid: Pid) -> tuple[Pid, ...]:
    info = process.info(pid)
    assert info is not None
    return info.links


def run(body: Any, *args: Any) -> Any:
    """The reason with which a process that runs ``body`` ends."""
    _, ref = process.spawn_monitor(body, *args)
    return process.receive(lambda message: type(message) is Down and message.ref is ref, timeout=DEADLINE).reason


class TestLink:
    @pytest.mark.row("LK-01")
    @pytest.mark.parametrize("first_dies", [True, False])
    def test_either_end_dies_with_the_other(self, first_dies: bool) -> None:
        me = process.self()
        first = process.spawn(idle)

        def second_body() -> None:
            process.link(first)
            process.send(me, "linked")
            idle()

        second = process.spawn(second_body)
        assert process.receive(timeout=DEADLINE) == "linked"
        dying, survivor = (first, second) if first_dies else (second, first)
        ref = process.monitor(survivor)
        process.exit(dying, ("why", 1))
        assert process.receive(Down, timeout=DEADLINE) == Down(ref, survivor, ("why", 1))

    @pytest.mark.row("LK-02")
    @pytest.mark.parametrize("unlinker", ["first", "second"])
    def test_however_often_two_link_one_unlink_of_either_removes_it(self, unlinker: str) -> None:
        me = process.self()

        def body() -> None:
            process.link(me)
            process.link(me)
            process.send(me, "linked")
            process.receive()
            process.unlink(me)
            process.send(me, "unlinked")
            idle()

        pid = process.spawn(body)
        assert process.receive(timeout=DEADLINE) == "linked"
        process.link(pid)
        assert (links_of(pid), links_of(me)) == ((me,), (pid,))
        if unlinker == "first":
            process.unlink(pid)
        else:
            process.send(pid, "unlink")
            assert process.receive(timeout=DEADLINE) == "unlinked"
        assert (links_of(pid), links_of(me)) == ((), ())
        end(pid)
        with pytest.raises(ReceiveTimeout):
            process.receive(timeout=0)

    @pytest.mark.row("LK-03")
    def test_a_function_that_fails_at_once_is_heard_of_with_its_real_reason(self) -> None:
        for number in range(100):
            error = ValueError(number)
            pid = process.spawn_link(crash, error)
            assert process.receive(timeout=DEADLINE) == Exit(pid, error)

    @pytest.mark.row("LK-04")
    def test_a_link_to_the_dead_is_an_exit_message_for_those_that_trap(self) -> None:
        pid = process.spawn(idle)
        end(pid)
        process.link(pid)
        assert process.receive(timeout=DEADLINE) == Exit(pid, "noproc")

    @pytest.mark.row("LK-05")
    def test_a_link_to_the_dead_raises_in_others(self) -> None:
        pid = process.spawn(idle)
        end(pid)

        def body() -> None:
            with pytest.raises(NoProcess):
                process.link(pid)
            process.link(pid)

        assert isinstance(run(body), NoProcess)

    def test_the_dead_are_linked_to_nobody_and_told_nothing_wrong_of_the_living(self) -> None:
        dead, alive = process.spawn(idle), process.spawn(idle)
        end(dead)
        assert signals.link(dead._process, alive._process)
        assert not signals.link(alive._process, dead._process)
        assert links_of(alive) == ()
        end(alive)

    @pytest.mark.row("LK-06")
    def test_a_link_to_oneself_is_nothing(self) -> None:
        process.link(process.self())
        assert links_of(process.self()) == ()
        process.unlink(process.self())

    @pytest.mark.row("LK-09")
    def test_a_normal_exit_does_not_hurt_the_linked(self) -> None:
        def parent() -> None:
            child = process.spawn_link(lambda: None)
            ref = process.monitor(child)
            assert process.receive(timeout=DEADLINE)[0] is ref
            with pytest.raises(ReceiveTimeout):
                process.receive(timeout=0)
            raise ProcessExit("survived")

        assert run(parent) == "survived"

    @pytest.mark.row("LK-10")
    def test_both_ends_show_it_and_the_survivor_shows_it_no_longer_when_it_hears(self) -> None:
        pid = process.spawn_link(idle)
        assert (links_of(pid), links_of(process.self())) == ((process.self(),), (pid,))
        end(pid)
        assert process.receive(timeout=DEADLINE) == Exit(pid, "killed")
        assert links_of(process.self()) == ()

    def test_a_survivor_that_does_not_trap_shows_it_no_longer_after_a_normal_exit(self) -> None:
        def parent() -> None:
            child = process.spawn_link(lambda: None)
            ref = process.monitor(child)
            assert process.receive(timeout=DEADLINE)[0] is ref
            raise ProcessExit(links_of(process.self()))

        assert run(parent) == ()

    def test_one_that_traps_hears_of_a_normal_exit_too(self) -> None:
        pid = process.spawn_link(lambda: None)
        assert process.receive(timeout=DEADLINE) == Exit(pid, "normal")

    def test_one_that_traps_hears_of_a_kill_as_killed(self) -> None:
        pid = process.spawn_link(idle)
        process.exit(pid, "kill")
        assert process.receive(timeout=0) == Exit(pid, "killed")

    def test_exits_come_in_the_order_of_the_deaths(self) -> None:
        pids = [process.spawn_link(idle) for _ in range(20)]
        for pid in reversed(pids):
            process.exit(pid, "abc")
        assert [process.receive(timeout=0).pid for _ in pids] == pids[::-1]


class TestUnlink:
    @pytest.mark.row("LK-08")
    def test_a_new_link_to_the_dead_does_not_bring_the_old_reason_back(self) -> None:
        pid = process.spawn_link(idle)
        process.unlink(pid)
        end(pid, "stale")
        process.link(pid)
        assert process.receive(timeout=DEADLINE) == Exit(pid, "noproc")

    def test_one_that_is_not_linked_may_be_unlinked(self) -> None:
        pid = process.spawn(idle)
        process.unlink(pid)
        end(pid)
        process.unlink(pid)
