"""Timers of the user: send_after, cancel_timer, read_timer."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest

from supervision import BadArgument, BadType, Down, Exit, Pid, call, process, stop
from tests.supervision.actors import DEADLINE, Echo, idle, nothing_more
from tests.supervision.runtime import eventually


class TestReadAndCancel:
    @pytest.mark.row("TM-03")
    def test_a_pending_timer_tells_what_is_left_and_can_be_cancelled_once(self) -> None:
        timer = process.send_after(process.self(), "late", 100_000)
        left = process.read_timer(timer)
        assert left is not None
        assert 90_000 < left <= 100_000
        cancelled = process.cancel_timer(timer)
        assert isinstance(cancelled, int)
        assert 90_000 < cancelled <= left
        assert process.cancel_timer(timer) is None
        assert process.read_timer(timer) is None

    @pytest.mark.row("TM-03")
    def test_a_fired_timer_has_nothing_left(self) -> None:
        timer = process.send_after(process.self(), "now", 0)
        assert process.receive(timeout=DEADLINE) == "now"
        assert process.read_timer(timer) is None
        assert process.cancel_timer(timer) is None

    @pytest.mark.row("TM-10")
    @pytest.mark.parametrize("ref", [None, 1, "ref", object()])
    def test_what_is_no_timer_is_refused(self, ref: Any) -> None:
        for function in (process.cancel_timer, process.read_timer):
            with pytest.raises(BadType, match="ref must be a TimerRef"):
                function(ref)

    def test_a_timer_may_be_cancelled_by_anybody(self) -> None:
        timer = process.send_after(process.self(), "late", 100_000)
        me = process.self()
        process.spawn(lambda: process.send(me, process.cancel_timer(timer)))
        assert process.receive(timeout=DEADLINE) > 90_000

    @pytest.mark.row("TM-07")
    def test_each_timer_is_either_cancelled_or_heard(self) -> None:
        timers = {number: process.send_after(process.self(), number, number % 200) for number in range(400)}
        heard = [process.receive(timeout=DEADLINE) for _ in range(20)]
        cancelled = {number for number, timer in timers.items() if process.cancel_timer(timer) is not None}
        heard += [process.receive(timeout=DEADLINE) for _ in range(400 - len(cancelled) - len(heard))]
        assert nothing_more()
        assert cancelled.isdisjoint(heard)
        assert cancelled | set(heard) == set(timers)
        assert cancelled


class TestFiring:
    @pytest.mark.row("TM-05")
    def test_messages_come_in_the_order_of_their_times(self) -> None:
        times = list(range(0, 60, 5))
        random.Random(1).shuffle(times)
        # By their deadlines: on a busy machine the next one may be started much later.
        due = {number: process.send_after(process.self(), number, number)._timer.deadline for number in times}
        assert [process.receive(timeout=DEADLINE) for _ in times] == sorted(times, key=due.__getitem__)

    @pytest.mark.row("TM-06")
    def test_none_is_early_and_all_come_while_others_are_busy(self) -> None:
        def compute() -> None:
            while True:
                sum(range(1_000))

        busy = process.spawn(compute)
        due = time.monotonic() + 0.05
        for _ in range(300):
            process.send_after(process.self(), "due", 50)
        for _ in range(300):
            assert process.receive(timeout=DEADLINE) == "due"
            assert time.monotonic() >= due
        assert time.monotonic() < due + 2
        process.exit(busy, "kill")

    def test_a_timer_outlives_the_process_that_started_it(self) -> None:
        me = process.self()
        process.spawn(lambda: process.send_after(me, "from the dead", 10))
        assert process.receive(timeout=DEADLINE) == "from the dead"

    @pytest.mark.row("TM-08")
    def test_a_name_is_looked_up_when_the_timer_fires(self) -> None:
        process.send_after("named later", "found", 300)
        process.register("named later", process.self())
        assert process.receive(timeout=DEADLINE) == "found"
        process.unregister("named later")
        process.send_after("named later", "lost", 0)
        process.send_after(process.self(), "after", 1)
        assert process.receive(timeout=DEADLINE) == "after"

    @pytest.mark.row("TM-12", "TM-16")
    def test_a_via_that_raises_does_not_stop_the_timers(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken:
            def register_name(self, pid: Pid) -> None: ...
            def unregister_name(self) -> None: ...
            def whereis_name(self) -> Pid | None:
                raise RuntimeError("no directory")

        process.send_after(Broken(), "lost", 0)
        process.send_after(process.self(), "after", 1)
        assert process.receive(timeout=DEADLINE) == "after"
        assert eventually(lambda: "could not be looked up" in caplog.text)

    def test_a_via_may_wait_and_holds_up_no_other_timer(self) -> None:
        class Slow:
            def register_name(self, pid: Pid) -> None: ...
            def unregister_name(self) -> None: ...
            def whereis_name(self) -> Pid | None:
                found.append(process.self())
                pid: Pid = process.receive(Pid)
                return pid

        found: list[Pid] = []
        process.send_after(Slow(), "found", 0)
        process.send_after(process.self(), "after", 1)
        assert process.receive(timeout=DEADLINE) == "after"
        assert eventually(lambda: bool(found))
        assert found[0] not in process.pids()
        process.send(found[0], process.self())
        assert process.receive(timeout=DEADLINE) == "found"


class TestExitAfter:
    @pytest.mark.row("TM-13")
    @pytest.mark.parametrize(("reason", "seen"), [("abc", "abc"), ("kill", "killed")])
    @pytest.mark.parametrize("named", [False, True])
    def test_its_process_ends_with_that_reason(self, reason: str, seen: str, named: bool) -> None:
        pid, ref = process.spawn_monitor(idle)
        if named:
            process.register("doomed", pid)
        process.exit_after("doomed" if named else pid, reason, 1)
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, seen)

    @pytest.mark.row("TM-13")
    def test_a_process_may_mean_itself(self) -> None:
        def body() -> None:
            process.exit_after(process.self(), "abc", 1)
            idle()

        pid, ref = process.spawn_monitor(body)
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, "abc")

    def test_one_that_traps_gets_it_from_whoever_asked(self) -> None:
        process.exit_after(process.self(), "abc", 0)
        assert process.receive(timeout=DEADLINE) == Exit(process.self(), "abc")

    @pytest.mark.row("TM-13")
    def test_nobody_there_is_no_error(self) -> None:
        pid = process.spawn(idle)
        process.exit(pid, "kill")
        for dest in (pid, "nobody has this name"):
            process.exit_after(dest, "abc", 0)
        process.send_after(process.self(), "later", 1)
        assert process.receive(timeout=DEADLINE) == "later"

    def test_the_code_of_the_user_in_such_a_death_may_wait_and_holds_up_nobody(self) -> None:
        class Slow:
            def register_name(self, pid: Pid) -> None: ...
            def whereis_name(self) -> Pid | None: ...
            def unregister_name(self) -> None:
                process.send(me, ("unregister", process.self()))
                assert leave.wait(DEADLINE / 1000)

        me, leave = process.self(), threading.Event()
        echo, named = Echo.start("state"), Echo.start("state", name=Slow())
        ref = process.monitor(named)
        process.exit_after(named, "kill", 0)
        _, guest = process.receive(tuple, timeout=DEADLINE)
        assert guest not in process.pids()
        assert call(echo, "others go on") == "others go on"
        leave.set()
        assert process.receive(timeout=DEADLINE) == Down(ref, named, "killed")
        stop(echo)

    def test_it_can_be_cancelled(self) -> None:
        pid = process.spawn(idle)
        timer = process.exit_after(pid, "abc", 60_000)
        assert process.read_timer(timer) in range(50_000, 60_001)
        assert process.cancel_timer(timer) is not None
        assert process.is_alive(pid)
        process.exit(pid, "kill")

    def test_what_is_no_time_is_refused(self) -> None:
        for wrong, error in ((0.5, BadType), (-1, BadArgument), (2**52, BadArgument)):
            with pytest.raises(error, match="milliseconds must be"):
                process.exit_after(process.self(), "abc", wrong)


class TestArguments:
    @pytest.mark.row("TM-09")
    @pytest.mark.parametrize(
        ("milliseconds", "error"),
        [(-4, BadArgument), (4.5, BadType), ("4", BadType), (True, BadType), (2**64, BadArgument), (None, BadType)],
    )
    def test_what_is_no_time_is_refused(self, milliseconds: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match="milliseconds must be"):
            process.send_after(process.self(), "never", milliseconds)

    def test_never_is_no_time(self) -> None:
        with pytest.raises(BadArgument, match="milliseconds must be a whole number of milliseconds, got inf"):
            process.send_after(process.self(), "never", float("inf"))  # type: ignore[arg-type]

    @pytest.mark.row("TM-09")
    @pytest.mark.parametrize("milliseconds", [2**31, 2**33, 2**40])
    def test_a_long_time_is_taken_and_stops_nobody(self, milliseconds: int) -> None:
        timer = process.send_after(process.self(), "in some months", milliseconds)
        process.sleep(20)  # meanwhile a worker waits for nothing but that
        for _ in range(3):
            process.send_after(process.self(), "soon", 5)
            assert process.receive(timeout=DEADLINE) == "soon"
        left = process.cancel_timer(timer)
        assert left is not None
        assert milliseconds - 10_000 < left <= milliseconds - 35

    @pytest.mark.parametrize("dest", [1, None, ("via", "x"), object()])
    def test_what_is_no_destination_is_refused(self, dest: Any) -> None:
        with pytest.raises(BadType, match="the destination must be"):
            process.send_after(dest, "never", 10)


class TestLifetime:
    @pytest.mark.row("TM-08", "TM-11")
    def test_the_message_to_a_process_that_ends_is_let_go_at_once(self) -> None:
        class Message:
            pass

        message = Message()
        alive = weakref.ref(message)
        pid = process.spawn(idle)
        timer = process.send_after(pid, message, 100_000)
        del message
        assert alive() is not None
        process.exit(pid, "kill")
        assert alive() is None
        assert process.read_timer(timer) is None

    def test_a_timer_for_the_dead_never_runs(self) -> None:
        pid = process.spawn(idle)
        process.exit(pid, "kill")
        assert process.read_timer(process.send_after(pid, "late", 100_000)) is None

    @pytest.mark.row("TM-11")
    def test_cancelled_and_fired_timers_are_let_go(self) -> None:
        class Message:
            pass

        messages = [Message() for _ in range(200)]
        alive = [weakref.ref(message) for message in messages]
        for number, message in enumerate(messages):
            timer = process.send_after(process.self(), message, 0 if number % 2 else 100_000)
            if number % 2 == 0:
                process.cancel_timer(timer)
        messages.clear()
        del message
        for _ in range(100):
            process.receive(timeout=DEADLINE)
        process.send_after(process.self(), "last", 0)
        assert process.receive(timeout=DEADLINE) == "last"
        assert not any(ref() for ref in alive)

    @pytest.mark.row("TM-18")
    def test_a_pending_timer_does_not_keep_the_interpreter(self) -> None:
        program = "from supervision import process; process.send_after(process.self(), 'late', 3_600_000)"
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=True)
        assert run.stderr == b""
