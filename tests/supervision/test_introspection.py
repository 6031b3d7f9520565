from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import supervision
from supervision import Actor, BadArgument, BadType, NoReply, Supervisor, child_spec, process
from supervision.death import STUCK_AFTER_SECONDS, _push_again
from supervision.messages import Down
from supervision.process_table import quarantined
from supervision.threads import ThreadRecord
from tests.supervision.supervised import until

PATIENCE = 10.0


class Napper(Actor):
    """Blocks in code that the library does not own, until the gate opens."""

    def handle_cast(self, gate: Gate, state: Any) -> NoReply:
        gate.hold()
        return NoReply(state)


class Gate:
    """A place where threads get stuck, and a kill cannot free them.

    They wait in the system: a kill in the middle of a threading.Event would leave its lock taken.
    """

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.is_open = False
        self.inside, self.outside = socket.socketpair()

    def hold(self) -> None:
        has_entered = False
        while not self.is_open:
            try:
                if not has_entered:
                    has_entered = True
                    self.entered.release()
                self.inside.recv(1)
            except (supervision.Killed, OSError):
                continue

    def open(self) -> None:
        self.is_open = True
        self.outside.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()
    gate.inside.close()


def stuck(gate: Gate, **options: Any) -> supervision.Pid:
    pid = Napper.start(**options)
    supervision.cast(pid, gate)
    assert gate.entered.acquire(timeout=PATIENCE)
    return pid


def kill(pid: supervision.Pid) -> None:
    ref = process.monitor(pid)
    process.exit(pid, "kill")
    assert process.receive(Down, timeout=10_000).ref is ref


def end(*pids: supervision.Pid) -> None:
    for pid in pids:
        process.unlink(pid)
        kill(pid)


class TestZombies:
    def test_a_dead_process_whose_thread_is_stuck_is_listed_with_its_label_and_stack(self, gate: Gate) -> None:
        pid = stuck(gate, label="stuck one")
        kill(pid)
        (zombie,) = supervision.zombies()
        assert (zombie.pid, zombie.label) == (pid, "stuck one")
        assert "in hold\n" in zombie.stack
        assert supervision.stats().zombies == 1

    def test_one_whose_thread_has_come_back_is_gone(self, gate: Gate) -> None:
        kill(stuck(gate))
        gate.open()
        self.wait_until_none_is_left()
        assert supervision.stats().zombies == 0

    def test_one_whose_thread_came_back_just_as_it_died_is_not_kept(self) -> None:
        pid = Napper.start()
        kill(pid)
        quarantined[pid._process] = ThreadRecord()  # too late: nobody would take it out any more
        _push_again((pid._process, STUCK_AFTER_SECONDS))
        assert pid._process not in quarantined

    def test_a_live_process_that_is_stuck_is_none(self, gate: Gate) -> None:
        pid = stuck(gate)
        assert supervision.zombies() == []
        gate.open()
        kill(pid)

    def test_an_idle_process_that_is_killed_is_none(self) -> None:
        kill(Napper.start())
        assert supervision.zombies() == []

    def test_a_killed_process_that_can_be_pushed_out_does_not_stay_one(self) -> None:
        looping = threading.Event()

        def loop() -> None:
            looping.set()
            while True:
                pass

        pid = process.spawn(loop)
        assert looping.wait(PATIENCE)
        kill(pid)
        self.wait_until_none_is_left()

    @staticmethod
    def wait_until_none_is_left() -> None:
        pause = threading.Event()
        for _ in range(1_000):
            if not supervision.zombies():
                return
            pause.wait(0.01)
        pytest.fail("a zombie is left")


class TestActors:
    def test_they_are_listed_with_what_is_known_of_them(self) -> None:
        pid = Napper.start(name="napper", label="a label")
        until(lambda: not pid._process.running.locked())
        (info,) = supervision.actors()
        assert (info.pid, info.label, info.name, info.kind, info.status, info.message_queue_len) == (
            pid,
            "a label",
            "napper",
            "actor",
            "waiting",
            0,
        )
        kill(pid)

    def test_the_status_tells_what_runs_waits_or_is_suspended(self, gate: Gate) -> None:
        running, waiting, suspended = stuck(gate, label="running"), Napper.start(), Napper.start()
        supervision.sys.suspend(suspended)
        until(lambda: not waiting._process.running.locked())
        assert [info.status for info in supervision.actors()] == ["running", "waiting", "suspended"]
        gate.open()
        for pid in (running, waiting, suspended):
            kill(pid)

    def test_they_are_sorted_as_asked_and_the_oldest_come_first_among_equals(self, gate: Gate) -> None:
        first, second, third = (stuck(gate, label=label) for label in "bca")
        for pid in (second, third, third):
            process.send(pid, "mail")
        orders = {
            "pid": [first, second, third],
            "message_queue_len": [third, second, first],
            "label": [third, first, second],
            "status": [first, second, third],
        }
        for sort, expected in orders.items():
            assert [info.pid for info in supervision.actors(sort)] == expected
        assert [info.pid for info in supervision.actors()] == orders["pid"]
        for pid in (first, second, third):
            kill(pid)
        gate.open()

    def test_adopted_threads_are_not_among_them(self) -> None:
        process.self()
        assert supervision.actors() == []

    @pytest.mark.parametrize(("sort", "error"), [("age", BadArgument), (None, BadType)])
    def test_an_unknown_order_is_refused(self, sort: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match=r"^sort must be 'pid', 'message_queue_len', 'label' or 'status', got"):
            supervision.actors(sort)


class TestStats:
    def test_everything_that_lives_is_counted(self) -> None:
        before = supervision.stats()
        pids = [Napper.start(name=f"napper-{n}") for n in range(3)]
        timer = process.send_after(pids[0], "later", 60_000)
        sup = Supervisor.start_link([], strategy="one_for_one")
        now = supervision.stats()
        assert now.processes - before.processes == 4
        assert now.supervisors - before.supervisors == 1
        assert now.names - before.names == 3
        assert now.timers - before.timers == 1
        assert now.threads >= 1
        process.cancel_timer(timer)
        end(sup, *pids)


class TestNobodyIsAsked:
    def test_all_of_it_answers_at_once_while_a_supervisor_and_an_actor_are_stuck(self, gate: Gate) -> None:
        def start() -> supervision.Pid:
            if gate.entered.acquire(blocking=False):
                raise AssertionError
            pid = Napper.start_link()
            starts.append(pid)
            if len(starts) == 2:
                gate.hold()
            return pid

        starts: list[supervision.Pid] = []
        sup = Supervisor.start_link([child_spec(Napper, id="child", start=start, args=())], strategy="one_for_one")
        process.exit(starts[0], "kill")  # the supervisor restarts it, and gets stuck
        assert gate.entered.acquire(timeout=PATIENCE)
        answers: list[Any] = []
        asking = threading.Thread(
            target=lambda: answers.extend([supervision.tree(), supervision.actors(), supervision.stats()])
        )
        asking.start()
        asking.join(PATIENCE)
        assert len(answers) == 3
        gate.open()
        end(sup)
