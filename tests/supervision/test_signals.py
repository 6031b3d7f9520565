"""Exit signals: what ``exit`` does to whom, and in which order a death is heard of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from supervision import BadType, Down, Exit, Pid, ProcessExit, ReceiveTimeout, death, process
from supervision.process_table import Process
from supervision.scheduler import notify
from supervision.signals import entrust

DEADLINE = 5_000


def idle() -> None:
    process.receive(lambda message: message == "stop")


def trapping(observer: Pid, linked: Pid | None) -> None:
    """Forward every message to ``observer``."""
    process.trap_exit(True)
    if linked is not None:
        process.link(linked)
    process.send(observer, "ready")
    while True:
        process.send(observer, process.receive())


def spawn_trapping(linked: Pid | None = None) -> Pid:
    pid = process.spawn(trapping, process.self(), linked)
    assert process.receive(timeout=DEADLINE) == "ready"
    return pid


def down(ref: Any) -> Any:
    return process.receive(lambda message: type(message) is Down and message.ref is ref, timeout=DEADLINE).reason


def end(pid: Pid) -> Any:
    ref = process.monitor(pid)
    process.exit(pid, "kill")
    return down(ref)


class TestExit:
    @pytest.mark.row("EX-05")
    @pytest.mark.parametrize("reason", ["abc", "shutdown", ("shutdown", 1), ValueError("x"), None, "killed"])
    def test_it_ends_another_process_with_that_reason(self, reason: Any) -> None:
        pid, ref = process.spawn_monitor(idle)
        process.exit(pid, reason)
        assert not process.is_alive(pid)
        assert down(ref) is reason

    @pytest.mark.row("EX-05")
    def test_it_ends_a_process_that_is_not_in_a_receive(self) -> None:
        entered, leave = threading.Event(), threading.Event()

        def busy() -> None:
            entered.set()
            leave.wait(5)

        pid, ref = process.spawn_monitor(busy)
        assert entered.wait(5)
        process.exit(pid, "abc")
        assert down(ref) == "abc"
        leave.set()

    @pytest.mark.row("EX-06")
    def test_normal_is_ignored_by_another_process(self) -> None:
        pid = process.spawn(idle)
        process.exit(pid, "normal")
        info = process.info(pid)
        assert info is not None
        assert info.message_queue_len == 0
        assert end(pid) == "killed"

    @pytest.mark.row("EX-07", "TR-05")
    @pytest.mark.parametrize("reason", ["normal", "abc", "killed", ("a", "tuple")])
    def test_a_process_that_traps_exits_gets_a_message_from_the_sender(self, reason: Any) -> None:
        pid = spawn_trapping()
        process.exit(pid, reason)
        assert process.receive(timeout=DEADLINE) == Exit(process.self(), reason)
        assert end(pid) == "killed"

    @pytest.mark.row("EX-08")
    @pytest.mark.parametrize("reason", ["normal", "abc"])
    def test_a_process_can_end_itself(self, reason: str) -> None:
        def suicide() -> None:
            process.exit(process.self(), reason)
            raise AssertionError("went on after its death")

        _, ref = process.spawn_monitor(suicide)
        assert down(ref) == reason

    def test_a_process_that_traps_exits_gets_its_own_signal_as_a_message(self) -> None:
        def body() -> None:
            process.trap_exit(True)
            process.exit(process.self(), "normal")
            raise ProcessExit(process.receive())

        pid, ref = process.spawn_monitor(body)
        assert down(ref) == Exit(pid, "normal")

    @pytest.mark.row("EX-11", "MO-16")
    def test_kill_cannot_be_trapped_and_is_seen_as_killed(self) -> None:
        pid = spawn_trapping()
        process.link(pid)
        ref = process.monitor(pid)
        process.exit(pid, "kill")
        assert process.receive(timeout=DEADLINE) == Exit(pid, "killed")
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, "killed")

    @pytest.mark.row("EX-11")
    def test_kill_from_oneself_is_killed_too(self) -> None:
        _, ref = process.spawn_monitor(lambda: process.exit(process.self(), "kill"))
        assert down(ref) == "killed"

    @pytest.mark.row("EX-12")
    @pytest.mark.parametrize("length", [1, 2, 9, 10])
    def test_a_killed_process_takes_the_chain_of_its_links_with_it(self, length: int) -> None:
        pids = [process.spawn_link(idle)]
        if length > 1:
            process.unlink(pids[0])
        for position in range(1, length):
            pids.append(spawn_linked_to(pids[-1], to_parent=position == length - 1))
        process.exit(pids[0], "kill")
        assert process.receive(Exit, timeout=DEADLINE) == Exit(pids[-1], "killed")
        assert not any(process.is_alive(pid) for pid in pids)

    @pytest.mark.row("EX-13")
    def test_a_process_that_exits_with_kill_by_itself_keeps_that_reason_and_it_can_be_trapped(self) -> None:
        def leave() -> None:
            process.receive()
            raise ProcessExit("kill")

        first = process.spawn(leave)
        second = spawn_linked_to(first, to_parent=True)
        ref = process.monitor(second)
        process.send(first, "go")
        assert process.receive(timeout=DEADLINE) == Exit(second, "kill")
        assert down(ref) == "kill"

    @pytest.mark.row("EX-15")
    def test_of_two_signals_only_the_first_counts(self) -> None:
        pid, ref = process.spawn_monitor(idle)
        process.exit(pid, "first")
        process.exit(pid, "second")
        assert down(ref) == "first"
        with pytest.raises(ReceiveTimeout):
            process.receive(timeout=0)

    @pytest.mark.row("EX-16")
    @pytest.mark.parametrize("timeout", [60_000, float("inf")])
    def test_a_process_that_waits_ends_at_once(self, timeout: float) -> None:
        pid, ref = process.spawn_monitor(lambda: process.receive(timeout=timeout))
        process.exit(pid, "abc")
        assert down(ref) == "abc"

    @pytest.mark.row("EX-17")
    def test_a_killed_process_is_dead_before_kill_returns(self) -> None:
        for _ in range(200):
            pid = process.spawn(idle)
            process.exit(pid, "kill")
            assert not process.is_alive(pid)
            assert pid not in process.pids()

    def test_a_signal_to_a_dead_process_is_dropped(self) -> None:
        pid = process.spawn(idle)
        end(pid)
        process.exit(pid, "again")
        assert not process.is_alive(pid)

    @pytest.mark.row("EX-20")
    def test_all_that_are_linked_die_of_the_same_reason(self) -> None:
        reason = ("boom", 1)
        first = process.spawn(idle)
        second = spawn_linked_to(first, to_parent=False)
        third = spawn_linked_to(second, to_parent=False)
        refs = [process.monitor(pid) for pid in (second, third)]
        process.exit(first, reason)
        assert [down(ref) for ref in refs] == [reason, reason]

    def test_a_ring_of_links_ends_whole(self) -> None:
        def link_to_next() -> None:
            process.link(process.receive())
            process.send(me, "linked")
            idle()

        me = process.self()
        pids = [process.spawn(link_to_next) for _ in range(5)]
        for index, pid in enumerate(pids):
            process.send(pid, pids[index - 1])
        for _ in pids:
            process.receive(timeout=DEADLINE)
        process.exit(pids[2], "boom")
        assert not any(process.is_alive(pid) for pid in pids)

    def test_a_process_cannot_act_after_its_death(self) -> None:
        me = process.self()

        def stubborn() -> None:
            process.send(me, "ready")
            with suppress(BaseException):
                process.sleep(float("inf"))
            process.send(me, "a dead man's word")

        pid = process.spawn(stubborn)
        assert process.receive(timeout=DEADLINE) == "ready"
        end(pid)
        process.send_after(me, "later", 20)
        assert process.receive(timeout=DEADLINE) == "later"


def spawn_linked_to(pid: Pid, *, to_parent: bool) -> Pid:
    """Start a process that is linked to ``pid`` and, if asked, to the caller."""
    me = process.self()

    def body() -> None:
        process.link(pid)
        process.send(me, "linked")
        idle()

    new = process.spawn_link(body) if to_parent else process.spawn(body)
    assert process.receive(timeout=DEADLINE) == "linked"
    return new


class TestTrapExit:
    @pytest.mark.row("TR-01")
    def test_it_is_off_at_first_and_the_former_value_is_returned(self) -> None:
        def body() -> None:
            raise ProcessExit([process.trap_exit(value) for value in (True, True, False, False)])

        _, ref = process.spawn_monitor(body)
        assert down(ref) == [False, True, True, False]

    def test_a_foreign_thread_traps_exits(self) -> None:
        assert process.trap_exit(True) is True

    @pytest.mark.row("TR-02")
    @pytest.mark.parametrize("value", [1, 0, "true", None])
    def test_what_is_no_boolean_is_refused_and_changes_nothing(self, value: Any) -> None:
        with pytest.raises(BadType, match=f"trap_exit must be True or False, got {value!r}"):
            process.trap_exit(value)
        assert process.trap_exit(True) is True

    @pytest.mark.row("TR-04")
    def test_what_is_queued_stays_a_message_when_trapping_ends_and_later_signals_kill(self) -> None:
        me = process.self()

        def body() -> None:
            process.trap_exit(True)
            process.send(me, "ready")
            process.receive(lambda message: message == "stop trapping")
            process.trap_exit(False)
            process.send(me, process.receive())
            idle()

        pid, ref = process.spawn_monitor(body)
        assert process.receive(timeout=DEADLINE) == "ready"
        process.exit(pid, "first")
        process.send(pid, "stop trapping")
        assert process.receive(timeout=DEADLINE) == Exit(me, "first")
        process.exit(pid, "second")
        assert down(ref) == "second"


class TestOrder:
    @pytest.mark.row("MB-02")
    def test_a_signal_keeps_its_place_among_the_messages_of_its_sender(self) -> None:
        pid = spawn_trapping()
        process.send(pid, "first")
        process.exit(pid, "signal")
        process.send(pid, "second")
        received = [process.receive(timeout=DEADLINE) for _ in range(3)]
        assert received == ["first", Exit(process.self(), "signal"), "second"]
        end(pid)

    @pytest.mark.row("MB-02")
    def test_a_process_never_handles_what_was_sent_after_a_fatal_signal(self) -> None:
        me = process.self()

        def forward() -> None:
            while True:
                process.send(me, process.receive())

        for _ in range(100):
            pid, ref = process.spawn_monitor(forward)
            process.exit(pid, "fatal")
            process.send(pid, "too late")
            assert process.receive(timeout=DEADLINE) == Down(ref, pid, "fatal")

    @pytest.mark.row("MB-03")
    @pytest.mark.parametrize("watch", [process.monitor, process.link])
    def test_a_death_is_heard_of_after_all_that_the_dead_has_sent(self, watch: Callable[[Pid], Any]) -> None:
        me = process.self()

        def body() -> None:
            process.receive()
            for number in range(100):
                process.send(me, number)

        pid = process.spawn(body)
        watch(pid)
        process.send(pid, "go")
        assert [process.receive(timeout=DEADLINE) for _ in range(100)] == list(range(100))
        assert isinstance(process.receive(timeout=DEADLINE), Down | Exit)

    @pytest.mark.row("EX-18", "MO-14", "NM-04")
    @pytest.mark.parametrize("watch", [process.monitor, process.link])
    @pytest.mark.parametrize("reason", ["kill", "abc"])
    def test_the_name_is_free_when_the_death_is_heard_of(self, watch: Callable[[Pid], Any], reason: str) -> None:
        for _ in range(100):
            pid = process.spawn(idle)
            process.register("mortal", pid)
            watch(pid)
            threading.Thread(target=process.exit, args=(pid, reason)).start()
            process.receive((Down, Exit), timeout=DEADLINE)
            assert process.whereis("mortal") is None
            process.register("mortal", process.self())
            process.unregister("mortal")

    @pytest.mark.row("EX-19")
    def test_the_linked_have_their_exit_before_the_monitoring_have_their_down(self) -> None:
        for _ in range(100):
            supervisor = process.spawn(linking)
            process.send(supervisor, process.self())
            child = process.receive(Pid, timeout=DEADLINE)
            ref = process.monitor(child)
            process.exit(child, "abc")
            down(ref)
            process.send(supervisor, "ask")
            assert process.receive(list, timeout=DEADLINE) == [Exit(child, "abc"), "ask"]

    def test_the_latest_link_hears_of_a_death_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # What the dead had started ends with it, and must have a chance to before the supervisor starts it anew.
        heard: list[Pid] = []

        def noted(target: Process) -> None:
            heard.append(target.pid)
            notify(target)

        victim = process.spawn(idle)
        peers = [spawn_trapping(victim) for _ in range(3)]
        monkeypatch.setattr(death, "notify", noted)
        process.exit(victim, "abc")
        assert [pid for pid in heard if pid in peers] == peers[::-1]
        assert [process.receive(timeout=DEADLINE) for _ in peers] == [Exit(victim, "abc")] * 3
        for pid in peers:
            end(pid)

    def test_the_names_of_all_that_die_together_are_free_before_anybody_hears(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def helping() -> None:
            process.link(victim)
            process.register("helper", process.self())
            process.send(test, "ready")
            idle()

        def noted(target: Process) -> None:
            if target.pid is peer:
                found.append(process.whereis("helper"))
            notify(target)

        test, found = process.self(), list[Pid | None]()
        victim = process.spawn(idle)
        process.spawn(helping)
        assert process.receive(timeout=DEADLINE) == "ready"
        peer = spawn_trapping(victim)
        monkeypatch.setattr(death, "notify", noted)
        process.exit(victim, "abc")
        assert process.receive(timeout=DEADLINE) == Exit(victim, "abc")
        assert found == [None]
        end(peer)


def linking() -> None:
    """Start a linked child, tell the asker of it, and tell what has come next in which order."""
    process.trap_exit(True)
    asker = process.receive(Pid)
    process.send(asker, process.spawn_link(idle))
    process.send(asker, [process.receive(), process.receive()])


class TestOwning:
    class Thing:
        def __init__(self) -> None:
            self.released: list[Any] = []

        def owner_died(self, owner: Process, reason: Any) -> None:
            self.released.append((owner, reason))

    def test_what_is_entrusted_is_released_once_by_the_end_of_its_owner(self) -> None:
        thing, pid = self.Thing(), process.spawn(idle)
        entrust(pid._process, thing)
        assert thing.released == []
        end(pid)
        assert thing.released == [(pid, "killed")]

    def test_what_is_entrusted_to_the_dead_is_released_at_once(self) -> None:
        thing, pid = self.Thing(), process.spawn(idle)
        end(pid)
        entrust(pid._process, thing)
        assert thing.released == [(pid, "killed")]
