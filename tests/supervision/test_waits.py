from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import supervision
from supervision import INFINITY, Actor, CallTimeout, NoReply, Pid, Registry, Reply, process
from supervision.foreign import this_process
from supervision.messages import Down
from supervision.registry_process import table_of
from supervision.threads import ThreadRecord, current
from supervision.waits import Wait, deadline_after, park, wait_for
from tests.supervision.runtime import PATIENCE, end


class TestWait:
    def test_it_ends_once_and_keeps_the_first_value(self) -> None:
        wait = Wait(ThreadRecord())
        assert wait.fire("first")
        assert not wait.fire("second")
        assert wait.value == "first"
        assert park(wait.parker, None)

    def test_who_gives_up_first_is_not_fired_any_more(self) -> None:
        wait = Wait(ThreadRecord())
        assert wait.give_up()
        assert not wait.fire("late")
        assert wait.value is None
        assert wait.parker.locked()

    def test_who_gives_up_too_late_learns_it_and_finds_the_parker_locked(self) -> None:
        wait = Wait(ThreadRecord())
        wait.fire()
        assert not wait.give_up()
        assert wait.parker.locked()

    def test_of_giving_up_and_firing_at_the_same_time_exactly_one_wins(self) -> None:
        record = current.record
        for _ in range(2_000):
            wait = Wait(record)
            fired: list[bool] = []
            firing = threading.Thread(target=lambda wait=wait, fired=fired: fired.append(wait.fire()))
            firing.start()
            given_up = wait.give_up()
            firing.join()
            assert [given_up] != fired
            assert record.parker.locked()


class TestPark:
    def test_it_is_false_at_the_deadline(self) -> None:
        parker = threading.Lock()
        parker.acquire()
        began = time.monotonic()
        assert not park(parker, deadline_after(20))
        assert time.monotonic() - began >= 0.02

    def test_a_release_in_the_last_moment_counts(self) -> None:
        parker = threading.Lock()
        assert park(parker, time.monotonic() - 1)

    def test_a_deadline_beyond_what_the_system_can_sleep_is_no_error(self) -> None:
        parker = threading.Lock()
        parker.acquire()
        threading.Timer(0.01, parker.release).start()
        assert park(parker, deadline_after(10**15))


class TestDeadlineAfter:
    def test_infinity_is_none(self) -> None:
        assert deadline_after(INFINITY) is None


class TestWaitFor:
    def test_the_death_of_the_waiting_process_ends_it(self) -> None:
        waiting = threading.Event()
        outcome: list[BaseException] = []

        def wait() -> None:
            waiting.set()
            try:
                process.sleep(INFINITY)
            except BaseException as error:
                outcome.append(error)
                raise

        pid, ref = process.spawn_monitor(wait)
        assert waiting.wait(PATIENCE)
        process.exit(pid, "kill")
        assert process.receive(Down, timeout=10_000) == Down(ref, pid, "killed")
        pause = threading.Event()
        while not outcome:
            assert not pause.wait(0.001)
        assert isinstance(outcome[0], supervision.Killed)

    def test_a_process_that_is_dead_already_does_not_wait(self) -> None:
        def run() -> None:
            me = this_process()
            process.exit(me.pid, "kill")

        _, ref = process.spawn_monitor(run)
        assert process.receive(Down, timeout=10_000).ref is ref

    def test_it_is_true_for_what_was_fired_before(self) -> None:
        wait = Wait(current.record)
        wait.fire("early")
        assert wait_for(wait, current.record, this_process(), None)


class TestNestedWaits:
    """A thread that runs another process in place waits for two things at a time, one inside the other."""

    def test_a_late_answer_to_the_outer_call_never_wakes_the_inner_wait(self) -> None:
        answered, inner_woken = threading.Event(), threading.Event()
        order: list[str] = []

        class Answering(Actor):
            def handle_info(self, message: Any, state: Any) -> NoReply:
                supervision.reply(message[1], "early answer")
                answered.set()
                return NoReply(state)

        class Inner(Actor):
            def handle_call(self, request: Pid, caller: Any, state: Any) -> NoReply:
                process.send(request, ("answer", caller))
                process.receive(lambda message: message == "go on")  # inside the thread of the outer call
                order.append("inner")
                inner_woken.set()
                return NoReply(state)

        class Outer(Actor):
            def handle_call(self, request: tuple[Pid, Pid], caller: Any, state: Any) -> Reply:
                inner, answering = request
                answer = supervision.call(inner, answering, INFINITY)
                order.append("outer")
                return Reply(answer, state)

        answering, inner, outer = Answering.start_link(), Inner.start_link(), Outer.start_link()
        asked: list[Any] = []
        asking = threading.Thread(target=lambda: asked.append(supervision.call(outer, (inner, answering), 30_000)))
        asking.start()
        assert answered.wait(PATIENCE)
        assert not inner_woken.wait(0.05)
        assert order == []
        process.send(inner, "go on")
        asking.join(PATIENCE)
        assert asked == ["early answer"]
        assert order == ["inner", "outer"]
        end(answering, inner, outer)

    def test_a_late_answer_to_an_inner_call_never_ends_a_later_wait(self) -> None:
        class Slow(Actor):
            def handle_call(self, request: Any, caller: Any, state: list[Any]) -> NoReply:
                return NoReply([*state, caller])

            def handle_info(self, message: Any, state: list[Any]) -> NoReply:
                for caller in state:
                    supervision.reply(caller, "late")
                process.send(message, "answered")
                return NoReply([])

        def ask() -> None:
            with pytest.raises(CallTimeout):
                supervision.call(slow, "request", 1)
            process.send(slow, process.self())
            assert process.receive(str, timeout=10_000) == "answered"
            with pytest.raises(supervision.ReceiveTimeout):
                process.receive(timeout=20)

        slow = Slow.start_link([])
        for _ in range(20):
            ask()
        _, ref = process.spawn_monitor(ask)
        assert process.receive(Down, timeout=10_000).reason == "normal"
        assert ref
        end(slow)


class Silent(Actor):
    """Answers nothing but a ping, and what it is asked to answer late."""

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        if request == "ping":
            return Reply(request, state)
        if request == "answer in 2 ms":
            process.send_after(process.self(), ("answer", caller), 2)
        return NoReply(state)

    def handle_info(self, message: Any, state: Any) -> NoReply:
        supervision.reply(message[1], message[0])
        return NoReply(state)


WAITS: dict[str, Callable[[Pid], Any]] = {
    "receive": lambda pid: process.receive(),
    "receive with a timeout": lambda pid: process.receive(timeout=60_000),
    "call": lambda pid: supervision.call(pid, "request", INFINITY),
    "call with a timeout": lambda pid: supervision.call(pid, "request", 60_000),
    "sleep": lambda pid: process.sleep(INFINITY),
    "multi_call": lambda pid: supervision.multi_call([pid], "request", 60_000),
}


@pytest.fixture
def alarm_interrupts() -> Iterator[None]:
    """SIGALRM does what Ctrl-C does."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def alarmed(function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function``; the alarm goes off in a moment, and if that is too soon, at least in here.

    It goes off again and again: Python misses one that comes in the very moment in which a thread falls asleep.
    """
    signal.setitimer(signal.ITIMER_REAL, 0.01, 1)
    try:
        return function(*args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.usefixtures("alarm_interrupts")
class TestCtrlC:
    @pytest.mark.parametrize("what", WAITS)
    def test_it_frees_the_main_thread_which_can_then_go_on(self, what: str) -> None:
        pid = Silent.start_link()
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                alarmed(WAITS[what], pid)
            assert supervision.call(pid, "ping") == "ping"
            process.send(process.self(), "mail")
            assert process.receive(str, timeout=10_000) == "mail"
        end(pid)

    def test_a_wait_for_a_lock_gives_up_its_place_in_the_line(self) -> None:
        def hold() -> None:
            process.send(test, "holds")
            process.receive(lambda message: message == "leave")

        test = process.self()
        registry = Registry.start_link(keys="unique", name="registry")
        holder = process.spawn(lambda: Registry.lock("registry", "key", hold))
        assert process.receive(str, timeout=10_000) == "holds"
        with pytest.raises(KeyboardInterrupt):
            alarmed(Registry.lock, "registry", "key", dict)
        ref = process.monitor(holder)
        process.send(holder, "leave")
        assert process.receive(Down, timeout=10_000).ref is ref
        assert not table_of("registry").locks.lines
        end(registry)

    def test_at_the_very_moment_of_an_answer_it_leaves_nothing_stuck(self) -> None:
        """The interruption may hit while the thread is being woken; later waits must work all the same."""
        pid, me, armed, outcomes = Silent.start_link(), this_process(), list[bool](), set[str]()

        def interrupt(*_: object) -> None:
            if armed and me.wait is not None:
                armed.clear()
                raise KeyboardInterrupt
            if armed:
                signal.setitimer(signal.ITIMER_REAL, 0.0001)

        signal.signal(signal.SIGALRM, interrupt)
        for number in range(200):
            try:
                armed.append(True)
                signal.setitimer(signal.ITIMER_REAL, 0.001 + number % 50 * 0.0001)
                outcomes.add(supervision.call(pid, "answer in 2 ms", 20_000))
                armed.clear()
            except KeyboardInterrupt:
                outcomes.add("interrupted")
        assert outcomes == {"answer", "interrupted"}
        assert supervision.call(pid, "ping") == "ping"
        end(pid)
