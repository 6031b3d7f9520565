from __future__ import annotations

import sys

import pytest

from supervision.interpreter_exit import PATIENCE_SECONDS, TURN_SECONDS
from tests.programs import output_of, run

# Seconds. Whatever ends by itself does so in a fraction of the turn that each is given. Only 3.12, which then starts no
# thread any more, may have nobody to run a process when another one has just begun to block.
AT_ONCE = PATIENCE_SECONDS if sys.version_info[:2] == (3, 12) else TURN_SECONDS

# The callback registered first runs last, and tells how long the others have taken.
BEGIN = """
import atexit, sys, threading, time
ends = []
atexit.register(lambda: print("took", time.monotonic() - ends[-1]) if ends else None)
import supervision
from supervision import process

class Plain(supervision.Actor):
    pass

class Tidy(supervision.Actor):
    def init(self, arg):
        process.trap_exit(True)
        return supervision.Ok(arg)
    def terminate(self, reason, state):
        print("terminate", state, reason, flush=True)

class Busy(supervision.Actor):
    def handle_cast(self, started, state):
        started.set()
        self.block()
    def block(self):
        time.sleep(600)

class Spinning(Busy):
    def block(self):
        while True:
            pass

class Stubborn(Busy):
    def init(self, arg):
        process.trap_exit(True)
        return supervision.Ok(arg)
    def block(self):
        while True:
            try:
                time.sleep(600)
            except BaseException:
                pass

class InOneThread(Tidy):
    dedicated_thread = True

def block(kind):
    started = threading.Event()
    supervision.cast(kind.start_link(), started)
    assert started.wait(30)
"""

# Each leaves something of another kind behind.
LEAVINGS = {
    "nothing": "",
    "an adopted thread": "process.self()",
    "actors": "for _ in range(100): Plain.start_link()",
    "unlinked actors": "for _ in range(100): Plain.start()",
    "an actor with a thread of its own": "InOneThread.start_link(1)",
    "processes that receive": "for _ in range(10): process.spawn(process.receive)",
    "processes that sleep": "process.spawn(process.sleep, supervision.INFINITY)",
    "a blocked actor": "block(Busy)",
    "blocked actors": "for _ in range(20): block(Busy)",
    "a spinning actor": "block(Spinning)",
    "timers": "process.send_after(Plain.start_link(), 1, 600_000)",
    "a supervisor": "supervision.Supervisor.start_link([Plain, (Tidy, 1)], strategy='one_for_one')",
    "a supervisor of a spinning actor": """
class Spinner(Spinning):
    def init(self, started):
        supervision.cast(process.self(), started)
        return supervision.Ok(None)
started = threading.Event()
supervision.Supervisor.start_link([(Spinner, started)], strategy='one_for_all')
assert started.wait(30)
""",
    "foreign threads that wait": """
for _ in range(3):
    threading.Thread(target=process.receive, daemon=True).start()
""",
    "foreign threads in calls": """
class Silent(supervision.Actor):
    def handle_call(self, request, caller, state):
        return supervision.NoReply(state)
pid = Silent.start_link(name="silent")
for _ in range(3):
    threading.Thread(target=supervision.call, args=(pid, 1, supervision.INFINITY), daemon=True).start()
""",
    "foreign threads that make calls": """
class Answering(supervision.Actor):
    def handle_call(self, request, caller, state):
        return supervision.Reply(request, state)
Answering.start_link(name="answering")
def ask():
    while True:
        supervision.call("answering", 1)
for _ in range(3):
    threading.Thread(target=ask, daemon=True).start()
""",
    "processes that start others": """
def breed():
    while True:
        process.spawn(process.sleep, 1)
process.spawn(breed)
""",
}


END = "\nends.append(time.monotonic())\n"


def run_and_time(program: str, processors: int = 1) -> tuple[list[str], float]:
    """The lines that a program printed, and the seconds that its exit took."""
    *lines, took = output_of(f"{BEGIN}\n{program}{END}", processors=processors).splitlines()
    assert took.startswith("took ")
    return lines, float(took.removeprefix("took "))


class TestProgramThatSimplyEnds:
    @pytest.mark.row("SU-97")
    @pytest.mark.parametrize("processors", [1, 4])
    @pytest.mark.parametrize("what", LEAVINGS)
    def test_it_ends_at_once_with_status_zero_and_a_clean_stderr(self, what: str, processors: int) -> None:
        _, took = run_and_time(LEAVINGS[what], processors)
        assert took < AT_ONCE

    @pytest.mark.row("SU-97")
    def test_one_that_refuses_to_end_is_given_up_within_bounds(self) -> None:
        lines, took = run_and_time("for _ in range(6): block(Stubborn)")
        assert lines == []
        assert PATIENCE_SECONDS <= took < PATIENCE_SECONDS + 1

    @pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="3.12 starts no thread any more that could run others")
    def test_one_that_refuses_to_end_does_not_keep_older_ones_from_ending_in_order(self) -> None:
        lines, took = run_and_time("Tidy.start_link('older')\nblock(Stubborn)")
        assert lines == ["terminate older shutdown"]
        assert TURN_SECONDS <= took < TURN_SECONDS + 1

    @pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="3.12 starts no thread any more that could run others")
    def test_each_has_its_share_however_many_refuse_to_end(self) -> None:
        lines, took = run_and_time("Tidy.start_link('older')\nfor _ in range(6): block(Stubborn)")
        assert lines == ["terminate older shutdown"]
        assert took < PATIENCE_SECONDS + 1

    def test_those_that_are_linked_to_nobody_end_at_once(self) -> None:
        lines, took = run_and_time("for n in range(9): Tidy.start(n)")
        assert sorted(lines) == [f"terminate {n} shutdown" for n in range(9)]
        assert took < AT_ONCE

    def test_those_that_are_linked_to_nobody_and_ignore_the_order_share_one_turn(self) -> None:
        lines, took = run_and_time("""
def ignore(started):
    process.trap_exit(True)
    started.set()
    process.receive(lambda message: False)
for _ in range(9):
    started = threading.Event()
    process.spawn(ignore, started)
    assert started.wait(30)
""")
        assert lines == []
        assert TURN_SECONDS <= took < TURN_SECONDS + 1


class TestOrder:
    def test_roots_end_in_the_reverse_order_of_their_start(self) -> None:
        program = f"{BEGIN}\nfor n in range(3): Tidy.start_link(n)\n"
        assert output_of(program).splitlines() == [f"terminate {n} shutdown" for n in (2, 1, 0)]

    @pytest.mark.row("SU-97")
    def test_a_supervisor_ends_its_children_itself_and_restarts_none(self) -> None:
        program = f"""{BEGIN}
children = [supervision.child_spec((Tidy, n), id=n) for n in range(3)]
supervision.Supervisor.start_link(children, strategy="one_for_all")
"""
        assert output_of(program).splitlines() == [f"terminate {n} shutdown" for n in (2, 1, 0)]

    def test_a_supervisor_ends_before_others_that_are_younger(self) -> None:
        program = f"""{BEGIN}
supervision.Supervisor.start_link([(Tidy, "app")], strategy="one_for_all")
Tidy.start_link("linked")
Tidy.start("unlinked")
"""
        assert output_of(program).splitlines() == [f"terminate {who} shutdown" for who in ("app", "linked", "unlinked")]

    @pytest.mark.parametrize("supervisor", ["Supervisor.start([child], strategy='one_for_one')", "DynamicSupervisor"])
    def test_a_supervisor_that_is_linked_to_nobody_ends_its_children_too(self, supervisor: str) -> None:
        start = f"supervision.{supervisor}"
        if supervisor == "DynamicSupervisor":
            start = "supervision.DynamicSupervisor.start_child(supervision.DynamicSupervisor.start(), child)"
        assert output_of(f"{BEGIN}\nchild = (Tidy, 'app')\n{start}") == "terminate app shutdown"

    def test_one_that_is_suspended_and_linked_to_nobody_ends_in_order_too(self) -> None:
        lines, took = run_and_time("supervision.sys.suspend(Tidy.start('suspended'))")
        assert lines == ["terminate suspended shutdown"]
        assert took < AT_ONCE

    def test_a_child_that_is_only_linked_to_its_supervisor_is_left_to_it(self) -> None:
        program = f"""{BEGIN}
def start():
    print("start", flush=True)
    return process.spawn_link(process.receive)
supervision.Supervisor.start_link([supervision.ChildSpec("linked", start)], strategy="one_for_one")
"""
        assert output_of(program) == "start"

    @pytest.mark.parametrize("processors", [1, 4])
    def test_a_terminate_that_blocks_does_not_hang_the_exit(self, processors: int) -> None:
        lines, took = run_and_time(
            """
class Blocking(Tidy):
    def terminate(self, reason, state):
        time.sleep(600)
for _ in range(4):
    Blocking.start_link()
""",
            processors,
        )
        assert lines == []
        assert took < PATIENCE_SECONDS + 1

    def test_a_nested_tree_ends_from_its_leaves(self) -> None:
        lines, took = run_and_time("""
from supervision import Supervisor, child_spec
def inner(name, *children):
    return child_spec((Supervisor, None), id=name, args=(),
                      start=lambda: Supervisor.start_link(list(children), strategy="one_for_one"))
leaf = inner("c", child_spec((Tidy, "leaf"), id="leaf"))
Supervisor.start_link([inner("a", inner("b", leaf)), (Tidy, "last")], strategy="rest_for_one")
""")
        assert lines == ["terminate last shutdown", "terminate leaf shutdown"]
        assert took < TURN_SECONDS


class TestWaiting:
    @pytest.mark.parametrize("processors", [1, 4])
    def test_whoever_waits_meanwhile_sleeps_until_it_is_woken(self, processors: int) -> None:
        program = f"""{BEGIN}
from supervision import stand_in
from supervision.scheduler import scheduler
looks = 0
def counted(function):
    def look(*args):
        global looks
        looks += 1
        return function(*args)
    return look
stand_in._look = counted(stand_in._look)
scheduler.processors.reclaim = counted(scheduler.processors.reclaim)
class Slow(Tidy):
    def terminate(self, reason, state):
        process.sleep(300)
Slow.start_link()
supervision.Supervisor.start_link([Slow], strategy="one_for_one")
atexit.unregister(supervision.interpreter_exit.stop_everything)
atexit.register(lambda: print(looks < 30, looks))
atexit.register(supervision.interpreter_exit.stop_everything)
"""
        assert output_of(program, processors=processors).startswith("True")


class TestInterruption:
    def test_ctrl_c_during_the_shutdown_goes_on_to_the_end_without_a_traceback(self) -> None:
        lines, took = run_and_time("""
import signal
for _ in range(3):
    block(Stubborn)
signal.signal(signal.SIGALRM, signal.default_int_handler)
atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.1)
""")
        assert lines == []
        assert took < TURN_SECONDS


class TestExitCallbacks:
    def test_one_registered_later_still_finds_everything_running(self) -> None:
        program = f"""{BEGIN}
pid = Plain.start_link(name="plain")
atexit.register(lambda: print(process.is_alive(pid)))
"""
        assert output_of(program) == "True"

    def test_an_exception_that_ends_the_program_is_all_that_is_printed(self) -> None:
        program = f"{BEGIN}\nblock(Spinning)\nsys.exit('what I wanted to say')"
        ended = run(program)
        assert (ended.returncode, ended.stderr) == (1, "what I wanted to say\n")
