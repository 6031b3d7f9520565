"""Rounds of deadlines: who is told, how late, and what is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.process_table import Process
from supervision.rough_timers import ROUGHNESS, SHORTEST, RoughTimers, Round, length_of
from supervision.timers import Timer, Timers


class Clock:
    """Rough timers on a heap that fires when told to, and what they have delivered."""

    def __init__(self, while_adding: Callable[[], object] = lambda: None) -> None:
        self.while_adding = while_adding
        self.timers = Timers()
        self.rough = RoughTimers(self.add, self.timers.cancel)
        self.told: list[Process] = []

    def add(self, timer: Timer) -> None:
        self.while_adding()
        self.timers.add(timer)

    def enter(self, process: Process, deadline: float = 1.0, wait: float = 1.0) -> Round:
        return self.rough.enter(process, deadline, wait, "due", self.deliver)

    def deliver(self, process: Process, message: Any) -> None:
        assert message == "due"
        self.told.append(process)


def new_process() -> Process:
    return Process("test", None, None)


class TestEnter:
    def test_processes_of_one_round_are_told_by_one_timer(self) -> None:
        clock = Clock()
        several = [new_process() for _ in range(3)]
        rounds = {clock.enter(process) for process in several}
        assert len(clock.timers) == len(rounds) == 1
        clock.timers.fire_due()
        assert clock.told == several

    def test_entering_twice_is_told_once(self) -> None:
        clock, process = Clock(), new_process()
        clock.enter(process)
        clock.enter(process)
        clock.timers.fire_due()
        assert clock.told == [process]

    def test_after_it_is_over_there_is_a_new_round(self) -> None:
        clock, process = Clock(), new_process()
        first = clock.enter(process)
        clock.timers.fire_due()
        second = clock.enter(process)
        clock.timers.fire_due()
        assert first.over
        assert second is not first
        assert clock.told == [process, process]

    @pytest.mark.parametrize("leaves", [False, True])
    def test_a_timer_is_started_while_others_may_enter_and_leave(self, leaves: bool) -> None:
        def enter_and_leave() -> None:
            clock.while_adding = lambda: None
            rounds.append(clock.enter(another))
            if leaves:
                clock.rough.leave(another, rounds[0])
                clock.rough.leave(process, rounds[0])

        process, another = new_process(), new_process()
        rounds: list[Round] = []
        clock = Clock(enter_and_leave)
        assert clock.enter(process) is rounds[0]
        assert len(clock.timers) == (0 if leaves else 1)
        clock.timers.fire_due()
        assert clock.told == ([] if leaves else [process, another])
        assert clock.rough.rounds == {}

    @given(st.floats(0.0, 1e6), st.floats(0.0, 1e5))
    def test_a_round_is_never_early_and_hardly_late(self, now: float, wait: float) -> None:
        due = Clock().enter(new_process(), now + wait, wait).due
        assert now + wait <= due <= now + wait + max(wait / ROUGHNESS, SHORTEST)


class TestLeave:
    def test_who_has_left_is_not_told(self) -> None:
        clock, stays, leaves = Clock(), new_process(), new_process()
        clock.enter(stays)
        clock.rough.leave(leaves, clock.enter(leaves))
        clock.timers.fire_due()
        assert clock.told == [stays]

    def test_the_last_one_leaves_nothing_behind(self) -> None:
        clock, process = Clock(), new_process()
        clock.rough.leave(process, clock.enter(process))
        assert len(clock.timers) == 0
        assert clock.rough.rounds == {}

    def test_after_the_round_is_over_it_has_no_effect_on_the_next(self) -> None:
        clock, process = Clock(), new_process()
        first = clock.enter(process)
        clock.timers.fire_due()
        clock.enter(process)
        clock.rough.leave(process, first)
        clock.timers.fire_due()
        assert clock.told == [process, process]

    def test_the_last_one_that_leaves_as_it_is_due_is_not_told(self) -> None:
        clock, process = Clock(), new_process()
        entered: list[Round] = []
        clock.timers.add(Timer(0.5, lambda one: clock.rough.leave(one, entered[0]), process))
        entered.append(clock.enter(process))
        clock.timers.fire_due()
        assert clock.told == []
        assert clock.rough.rounds == {}

    def test_while_it_fires_each_is_told_at_most_once_and_nothing_is_left(self) -> None:
        clock = Clock()
        several = [new_process() for _ in range(300)]
        for turn in range(20):
            entered = [clock.enter(process, deadline=turn / 16) for process in several]
            start = threading.Barrier(2)
            firing = threading.Thread(target=lambda start=start: (start.wait(), clock.timers.fire_due()))
            firing.start()
            start.wait()
            for process, round_ in zip(several, entered, strict=True):
                clock.rough.leave(process, round_)
            firing.join()
            assert len(set(clock.told)) == len(clock.told)
            assert (len(clock.timers), clock.rough.rounds) == (0, {})
            clock.told.clear()


@pytest.mark.parametrize(("wait", "length"), [(60.0, 0.5), (1.0, 2.0**-6), (0.001, SHORTEST), (0.0, SHORTEST)])
def test_the_length_is_a_power_of_two(wait: float, length: float) -> None:
    assert length_of(wait) == length
