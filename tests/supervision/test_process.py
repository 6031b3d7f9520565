"""Spawning, exit reasons, and what can be seen of a process."""

from __future__ import annotations

import contextvars
import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from supervision import Agent, BadType, Down, Exit, Pid, ProcessExit, Task, process, signals
from supervision.process_table import MOST_ANCESTORS, Process
from supervision.threads import GIL_ENABLED
from tests.supervision.runtime import eventually

DEADLINE = 5_000


def wait_for_messages() -> None:
    process.receive(lambda message: message == "go")


def reason_of(body: Callable[..., Any], *args: Any) -> Any:
    pid, ref = process.spawn_monitor(body, *args)
    down = process.receive(lambda message: message.ref is ref, timeout=DEADLINE)
    assert down.pid is pid
    return down.reason


def end(pid: Pid) -> Any:
    ref = process.monitor(pid)
    process.exit(pid, "kill")
    return process.receive(lambda message: message[0] is ref, timeout=DEADLINE).reason


class TestExitReasons:
    @pytest.mark.row("EX-01")
    def test_a_process_whose_function_returns_exits_normally_and_silently(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert reason_of(lambda: "a value") == "normal"
        assert not caplog.records

    @pytest.mark.row("EX-02")
    @pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
    def test_an_exception_of_any_kind_is_the_exit_reason(self, kind: type[BaseException]) -> None:
        error = kind("why")

        def crash() -> None:
            raise error

        reason = reason_of(crash)
        assert reason is error
        assert reason.__traceback__.tb_next is not None

    @pytest.mark.row("EX-03")
    @pytest.mark.parametrize("reason", [("a", "tuple"), b"x" * 100_000, list(range(1_000)), None, 0, "normal"])
    def test_process_exit_ends_a_process_with_exactly_its_reason(self, reason: Any) -> None:
        def leave() -> None:
            raise ProcessExit(reason)

        assert reason_of(leave) is reason

    def test_except_exception_does_not_swallow_an_exit(self) -> None:
        def leave() -> None:
            with suppress(Exception):
                raise ProcessExit("gone")

        assert reason_of(leave) == "gone"

    def test_arguments_reach_the_function(self) -> None:
        def leave(*args: int, **kwargs: int) -> None:
            raise ProcessExit((args, kwargs))

        pid, _ = process.spawn_monitor(leave, 1, 2, fn=3, name=4)
        down = process.receive(lambda message: message.pid is pid, timeout=DEADLINE)
        assert down.reason == ((1, 2), {"fn": 3, "name": 4})

    @pytest.mark.parametrize("spawn", [process.spawn, process.spawn_link, process.spawn_monitor])
    def test_what_cannot_be_called_is_refused(self, spawn: Callable[[Any], Any]) -> None:
        before = process.pids()
        with pytest.raises(BadType, match="fn must be callable, got 'nothing'"):
            spawn("nothing")
        assert process.pids() == before


class TestPids:
    @pytest.mark.row("EX-23")
    def test_a_pid_is_never_reused(self) -> None:
        pids = [process.spawn_monitor(lambda: None)[0] for _ in range(1_000)]
        for _ in pids:
            process.receive(timeout=DEADLINE)
        assert len({repr(pid) for pid in pids}) == len(set(pids)) == 1_000
        assert not any(process.is_alive(pid) for pid in pids)

    def test_every_process_knows_its_own(self) -> None:
        me = process.self()
        pid = process.spawn(lambda: process.send(me, process.self()))
        assert process.receive(timeout=DEADLINE) is pid
        assert process.self() is me

    def test_a_foreign_thread_has_one_as_long_as_it_lives(self) -> None:
        seen: list[Pid] = []

        def look() -> None:
            seen.extend([process.self(), process.self()])
            process.monitor(process.self())

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen[0] is seen[1] is not process.self()
        assert not process.is_alive(seen[0])

    def test_a_foreign_threads_process_ends_with_it_though_a_traceback_keeps_the_threads_frames(self) -> None:
        kept: list[Any] = []

        def fail() -> None:
            kept.append(process.self())
            with pytest.raises(BadType) as caught:
                process.demonitor("no ref")  # type: ignore[arg-type]
            kept.append(caught.value)

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        assert not process.is_alive(kept[0])
        assert kept[1].__traceback__ is not None

    def test_live_processes_are_listed(self) -> None:
        pid = process.spawn(wait_for_messages)
        assert pid in process.pids()
        assert process.self() in process.pids()
        end(pid)
        assert pid not in process.pids()

    @pytest.mark.parametrize(
        ("start", "step"),
        [
            (process.spawn_link, "link"),
            (process.spawn_monitor, "monitor"),
            (Task.start_link, "link"),
            (lambda body: Agent.stop(Agent.start_link(body, timeout=DEADLINE)), "link"),
        ],
    )
    def test_nobody_finds_one_before_its_creator_would_hear_of_its_end(
        self, start: Callable[[Any], Any], step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who finds it may send to it, and then it runs."""
        listed: list[bool] = []
        real = getattr(signals, step)

        def look(one: Process, other: Process, *args: Any) -> Any:
            listed.append(not {one.pid, other.pid} <= set(process.pids()))
            return real(one, other, *args)

        monkeypatch.setattr(signals, step, look)
        start(lambda: None)
        assert listed[0]

    def test_one_that_dies_before_it_is_listed_never_is(self) -> None:
        stillborn = Process("process", None, None)
        signals.end(stillborn, "killed")
        stillborn.publish()
        assert stillborn not in process.pids()

    def test_what_is_no_pid_is_refused(self) -> None:
        for function in (process.is_alive, process.info, process.link, process.unlink, process.get_label):
            with pytest.raises(BadType, match="expected a Pid, got 'name'"):
                function("name")
        with pytest.raises(BadType, match="expected a Pid"):
            process.exit(7, "kill")  # type: ignore[arg-type]

    @pytest.mark.parametrize("remake", [copy.copy, copy.deepcopy])
    def test_a_copy_of_what_stands_for_something_is_the_same_object(self, remake: Any) -> None:
        pid, ref = process.spawn_monitor(dict)
        timer = process.send_after(pid, "message", 1)
        for identity in (pid, ref, timer):
            assert remake(identity) is identity
        process.receive(Down)

    def test_one_cannot_be_pickled(self) -> None:
        with pytest.raises(TypeError, match="meaningful only in the operating-system process that made it"):
            pickle.dumps(process.self())

    def test_a_process_that_has_ended_is_not_left_to_the_garbage_collector(self) -> None:
        gc.disable()
        try:
            pid, ref = process.spawn_monitor(lambda: None)
            assert process.receive(Down).ref is ref
            last, gone = weakref.ref(pid), threading.Event()
            weakref.finalize(pid, gone.set)
            del pid
            # Without the GIL what is given up by another thread than the one that made it is freed by that one, here a
            # worker, when it next runs.
            deadline = time.monotonic() + 10
            while not gone.wait(10 if GIL_ENABLED else 0.01) and time.monotonic() < deadline:
                process.spawn(lambda: None)
            assert gone.is_set(), gc.get_referrers(last())
        finally:
            gc.enable()

    @pytest.mark.parametrize("spawn", [process.spawn, process.spawn_link, Task.start_link])
    def test_a_line_of_processes_that_start_their_successors_does_not_keep_the_first(self, spawn: Any) -> None:
        def body(left: int) -> None:
            if left:
                spawn(body, left - 1)
            else:
                process.send(test, process.self())
                wait_for_messages()

        test = process.self()
        first = weakref.ref(process.spawn(body, 3 * MOST_ANCESTORS))
        last = process.receive(Pid, timeout=10_000)
        # Without the GIL a worker has to run once more to free what it has made.
        assert eventually(lambda: bool(process.spawn(dict)) and gc.collect() >= 0 and first() is None)
        end(last)


class TestInfo:
    @pytest.mark.row("EX-24")
    def test_a_dead_process_has_none(self) -> None:
        pid = process.spawn(wait_for_messages)
        end(pid)
        assert process.info(pid) is None

    @pytest.mark.row("EX-24")
    def test_a_live_process_shows_its_links_monitors_mail_and_flags(self) -> None:
        me = process.self()

        def body(other: Pid) -> None:
            process.monitor(other)
            process.trap_exit(True)
            process.register("shown", process.self())
            process.send(me, "ready")
            wait_for_messages()

        other = process.spawn(wait_for_messages)
        pid = process.spawn_link(body, other)
        assert process.receive(timeout=DEADLINE) == "ready"
        ref = process.monitor(pid)
        process.send(pid, "a")
        process.send(pid, "b")
        info = process.info(pid)
        assert info is not None
        assert (info.pid, info.name, info.names) == (pid, "shown", ("shown",))
        assert (info.links, info.monitors, info.monitored_by) == ((me,), (other,), (me,))
        assert (info.trap_exit, info.message_queue_len) == (True, 2)
        assert info.ancestors[0] is me
        assert "body" in info.current_function
        process.demonitor(ref)
        end(pid)
        end(other)

    @pytest.mark.row("EX-24")
    def test_a_process_that_has_nothing_shows_nothing(self) -> None:
        pid = process.spawn(wait_for_messages)
        info = process.info(pid)
        assert info is not None
        assert (info.name, info.names, info.links, info.monitors, info.monitored_by) == (None, (), (), (), ())
        assert (info.trap_exit, info.label) == (False, None)
        end(pid)

    def test_a_process_that_waits_is_waiting_and_one_that_works_is_running(self) -> None:
        me = process.self()
        entered, leave = threading.Event(), threading.Event()

        def body() -> None:
            process.send(me, process.info(process.self()))
            entered.set()
            leave.wait(5)
            process.receive()

        pid = process.spawn(body)
        assert process.receive(timeout=DEADLINE).status == "running"
        assert entered.wait(5)
        info = process.info(pid)
        assert info is not None
        assert info.status == "running"
        leave.set()
        end(pid)

    def test_a_line_of_successors_does_not_grow_its_memory_of_creators(self) -> None:
        me = process.self()

        def successor(left: int) -> None:
            if left:
                process.spawn(successor, left - 1)
            else:
                process.send(me, process.info(process.self()))

        process.spawn(successor, 100)
        assert len(process.receive(timeout=DEADLINE).ancestors) == 16


class TestLabels:
    @pytest.mark.row("EX-26")
    def test_a_label_is_shown_until_its_process_is_dead(self) -> None:
        me = process.self()

        def body() -> None:
            process.set_label(("worker", 1))
            process.send(me, "ready")
            wait_for_messages()

        pid = process.spawn(body)
        assert process.receive(timeout=DEADLINE) == "ready"
        assert process.get_label(pid) == ("worker", 1)
        assert "('worker', 1)" in repr(pid)
        end(pid)
        assert process.get_label(pid) is None

    def test_one_whose_repr_fails_leaves_the_pid_printable(self) -> None:
        class Unprintable:
            def __repr__(self) -> str:
                raise RuntimeError("no text")

        pid = process.spawn(wait_for_messages)
        pid._process.label = Unprintable()
        assert "Unprintable" in repr(pid)
        end(pid)

    @pytest.mark.row("EX-26")
    def test_a_process_that_never_set_one_has_none(self) -> None:
        pid = process.spawn(wait_for_messages)
        assert process.get_label(pid) is None
        end(pid)


variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")


class TestContext:
    @pytest.mark.row("EX-25")
    def test_every_process_has_variables_of_its_own(self) -> None:
        me = process.self()

        def body(value: int) -> None:
            before = variable.get(None)
            token = variable.set(value)
            process.receive()
            process.send(me, (before, variable.get()))
            variable.reset(token)
            process.send(me, (value, variable.get(None)))

        pids = [process.spawn(body, value) for value in (1, 2)]
        for pid in pids:
            process.send(pid, "go")
        seen = {process.receive(timeout=DEADLINE) for _ in range(4)}
        assert seen == {(None, 1), (None, 2), (1, None), (2, None)}
        assert variable.get(None) is None

    def test_a_new_process_starts_with_a_copy_of_its_creators(self) -> None:
        me = process.self()
        token = variable.set("inherited")
        pid = process.spawn_link(lambda: process.send(me, variable.get()))
        variable.reset(token)
        assert process.receive(str, timeout=DEADLINE) == "inherited"
        assert process.receive(Exit, timeout=DEADLINE) == Exit(pid, "normal")


class TestSleep:
    @pytest.mark.row("TM-17")
    @pytest.mark.parametrize("milliseconds", [-1, 0.5, "1", True, None])
    def test_what_is_no_duration_is_refused(self, milliseconds: Any) -> None:
        with pytest.raises(ValueError if milliseconds == -1 else TypeError, match="whole number of milliseconds"):
            process.sleep(milliseconds)

    @pytest.mark.row("TM-17")
    @pytest.mark.parametrize("milliseconds", [0, 1, 20])
    def test_it_does_not_end_early(self, milliseconds: int) -> None:
        started = time.monotonic()
        process.sleep(milliseconds)
        assert time.monotonic() - started >= milliseconds / 1000

    @pytest.mark.row("TM-17", "EX-16")
    @pytest.mark.parametrize("milliseconds", [2**32, 2**40, float("inf")])
    def test_a_kill_ends_it_at_once(self, milliseconds: float) -> None:
        me = process.self()

        def body() -> None:
            process.send(me, "ready")
            process.sleep(milliseconds)

        pid = process.spawn(body)
        assert process.receive(timeout=DEADLINE) == "ready"
        assert end(pid) == "killed"

    def test_it_holds_up_nobody(self) -> None:
        sleepers = [process.spawn(process.sleep, 60_000) for _ in range(20)]
        me = process.self()
        process.spawn(lambda: process.send(me, "quick"))
        assert process.receive(timeout=DEADLINE) == "quick"
        for pid in sleepers:
            end(pid)
