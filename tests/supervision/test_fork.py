from __future__ import annotations

import pytest

from supervision.threads import GIL_ENABLED
from tests.programs import output_of

# What every program begins with: a runtime in which everything is going on. Forking it is what these tests are about,
# so the warning that newer Pythons give is no news.
BUSY_PARENT = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import supervision
from supervision import process
from supervision.names import find
from supervision.scheduler import scheduler

class Worker(supervision.Actor):
    def handle_call(self, request, caller, state):
        return supervision.Reply(request(), state)

class Napper(supervision.Actor):
    def handle_cast(self, message, state):
        message.set()
        time.sleep(60)

def in_child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

worker = Worker.start_link(name="worker")
napper = Napper.start_link()
napping = threading.Event()
supervision.cast(napper, napping)
napping.wait()
timer = process.send_after(worker, "much later", 60_000)
tree = supervision.Supervisor.start_link([Worker], strategy="one_for_one")
process.self()
"""


def child(work: str, *, before: str = "", after: str = "", processors: int | None = None) -> list[str]:
    """Fork a busy program, run ``work`` in the child, and return the lines that it printed."""
    body = "".join(f"    {line}\n" for line in work.strip("\n").splitlines())
    program = f"{BUSY_PARENT}\ndef work():\n{body}\n{before}\nassert in_child(work) == 0\n{after}\n"
    program += "assert supervision.call(worker, lambda: 'alive') == 'alive'\n"
    return output_of(program, processors=processors).splitlines()


@pytest.mark.parametrize("processors", [1, 4])
class TestForkedChild:
    def test_it_has_no_processes_names_timers_or_threads(self, processors: int) -> None:
        lines = child(
            """
print(process.pids(), process.registered(), supervision.tree(), supervision.zombies())
print(len(scheduler.timers), len(scheduler.run_queue), scheduler.processors.threads, threading.active_count())
""",
            processors=processors,
        )
        assert lines == ["[] [] () []", "0 0 0 1"]

    def test_the_parents_processes_are_dead_to_it(self, processors: int) -> None:
        lines = child(
            """
print(process.is_alive(worker), process.info(worker), process.whereis("worker"))
process.send(worker, "dropped")
process.exit(worker, "kill")
for dest in (worker, "worker", tree):
    try:
        supervision.call(dest, print, supervision.INFINITY)
    except supervision.NoProcess:
        print("no process")
print(process.cancel_timer(timer), len(scheduler.timers))
""",
            processors=processors,
        )
        assert lines == ["False None None", "no process", "no process", "no process", "None 0"]

    def test_it_can_start_a_runtime_of_its_own(self, processors: int) -> None:
        lines = child(
            """
mine = Worker.start_link(name="worker")
print(supervision.call("worker", lambda: "answered"), process.pids() == [process.self(), mine])
process.send_after(process.self(), "timer", 1)
print(process.receive(timeout=20_000))
print(supervision.stats().processors)
""",
            processors=processors,
        )
        assert lines == ["answered True", "timer", str(processors)]

    def test_it_keeps_what_was_configured(self, processors: int) -> None:
        lines = child(
            """
print(supervision.stats().max_threads)
""",
            before="supervision.configure(max_threads=77)",
            processors=processors,
        )
        assert lines == ["77"]

    def test_a_thread_that_is_stuck_in_the_parent_is_not_its_own(self, processors: int) -> None:
        lines = child(
            "print(supervision.zombies())",
            before="process.unlink(napper)\nprocess.exit(napper, 'kill')\nassert supervision.zombies()",
            processors=processors,
        )
        assert lines == ["[]"]

    def test_locks_that_were_held_in_the_parent_hold_nothing_up(self, processors: int) -> None:
        lines = child(
            """
process.monitor(worker)
print(process.receive().reason)
""",
            before="worker._process.lock.acquire()",
            after="worker._process.lock.release()",
            processors=processors,
        )
        assert lines == ["noproc"]

    @pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL nobody waits for a turn")
    def test_it_takes_turns_as_usual_though_the_parent_computes(self, processors: int) -> None:
        lines = child(
            """
print(sys.getswitchinterval() == usual)
""",
            before="""
class Computing(supervision.Actor):
    def handle_cast(self, message, state):
        while True:
            pass
usual = sys.getswitchinterval()
computing = Computing.start()
supervision.cast(computing, "compute")
while sys.getswitchinterval() == usual:
    time.sleep(0.001)
""",
            after="process.exit(computing, 'kill')",
            processors=processors,
        )
        assert lines == ["True"]

    def test_the_forking_thread_is_not_the_process_it_was(self, processors: int) -> None:
        assert child("print(process.self() is main, process.is_alive(main))\n".replace("main", "worker")) == [
            "False False"
        ]

    def test_it_shares_no_poller_with_the_parent(self, processors: int) -> None:
        lines = child(
            """
links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
targets = [os.readlink(link) for link in links if os.path.lexists(link)]
print(targets.count("anon_inode:[eventpoll]"), targets.count("anon_inode:[eventfd]"))
""",
            processors=processors,
        )
        assert lines == ["1 1"]

    def test_a_child_of_the_child_is_empty_too(self, processors: int) -> None:
        lines = child(
            """
Worker.start_link(name="worker")
print(in_child(lambda: print(process.pids(), process.registered(), flush=True)))
print(supervision.call("worker", lambda: "alive"))
""",
            processors=processors,
        )
        assert lines == ["[] []", "0", "alive"]


class TestForkInAnActor:
    def test_the_child_is_no_process_and_the_parent_goes_on(self) -> None:
        program = f"""{BUSY_PARENT}
def fork():
    return in_child(lambda: print(process.pids(), process.is_alive(worker), flush=True))
print(supervision.call(worker, fork))
print(supervision.call(worker, lambda: "alive"))
"""
        assert output_of(program).splitlines() == ["[] False", "0", "alive"]

    def test_a_child_that_comes_back_out_of_the_callback_ends_without_running_the_parents_actors(self) -> None:
        program = f"""{BUSY_PARENT}
def fork():
    for _ in range(100):
        supervision.cast(witness, "the parent's")
    pid = os.fork()
    return pid if pid == 0 else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
class Witness(supervision.Actor):
    def handle_cast(self, message, state):
        os.write(1, b"x")
        return supervision.NoReply(state)
witness = Witness.start_link()
print(supervision.call(worker, fork), flush=True)
supervision.stop(witness)
"""
        output = output_of(program)
        assert output.count("x") == 100
        assert output.replace("x", "").strip() == "0"

    @pytest.mark.parametrize("dedicated", [False, True])
    def test_a_spawned_process_and_one_with_a_thread_of_its_own_may_fork_too(self, dedicated: bool) -> None:
        program = f"""{BUSY_PARENT}
class Forker(Worker):
    dedicated_thread = {dedicated}
forker = Forker.start_link()
print(supervision.call(forker, lambda: in_child(lambda: None)))
pid, ref = process.spawn_monitor(in_child, lambda: None)
print(process.receive(supervision.Down, timeout=20_000).reason)
"""
        assert output_of(program).splitlines() == ["0", "normal"]


class TestMultiprocessing:
    def test_a_forked_worker_has_an_empty_runtime_and_can_use_it(self) -> None:
        program = f"""{BUSY_PARENT}
import multiprocessing
def work(queue):
    before = len(process.pids())
    mine = Worker.start_link()
    queue.put((before, supervision.call(mine, lambda: "answered")))
context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
forked = context.Process(target=work, args=(queue,))
forked.start()
print(queue.get())
forked.join(30)
print(forked.exitcode)
"""
        assert output_of(program).splitlines() == ["(0, 'answered')", "0"]


class TestForkWhileOthersAreBusy:
    def test_no_lock_is_left_taken_in_the_child(self) -> None:
        program = f"""{BUSY_PARENT}
sys.setswitchinterval(1e-5)
def churn():
    while True:
        name = f"name-{{threading.get_ident()}}"
        pid = Worker.start(name=name)
        process.cancel_timer(process.send_after(pid, 1, 1_000))
        supervision.call(pid, lambda: None)
        process.exit(pid, "kill")
for _ in range(4):
    threading.Thread(target=churn, daemon=True).start()
def work():
    process.register("mine", process.self())
    pid = Worker.start_link(name="worker")
    process.cancel_timer(process.send_after(pid, 1, 1_000))
    assert supervision.call(pid, lambda: 1) == 1
    supervision.stop(pid)
print([in_child(work) for _ in range(20)])
"""
        assert output_of(program, processors=2) == str([0] * 20)
