from __future__ import annotations

import threading
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from supervision.timers import COMPACT_ABOVE, Timer, Timers

LONG_PAST = 0.0
FAR_AWAY = time.monotonic() + 1_000_000.0


def due(fired: list[Any], argument: Any, deadline: float = LONG_PAST) -> Timer:
    return Timer(deadline, fired.append, argument)


class TestFireDue:
    def test_what_is_due_fires_once_with_its_argument(self) -> None:
        timers, fired = Timers(), list[Any]()
        timers.add(due(fired, "argument"))
        timers.fire_due()
        timers.fire_due()
        assert fired == ["argument"]

    def test_what_is_not_due_stays(self) -> None:
        timers, fired = Timers(), list[Any]()
        timer = due(fired, "later", FAR_AWAY)
        timers.add(timer)
        timers.fire_due()
        assert fired == []
        assert timers.is_pending(timer)

    @given(st.lists(st.integers(min_value=0, max_value=3)))
    def test_the_earlier_deadline_fires_first_and_among_equals_the_earlier_start(self, deadlines: list[int]) -> None:
        timers, fired = Timers(), list[Any]()
        for number, deadline in enumerate(deadlines):
            timers.add(due(fired, (deadline, number), float(deadline)))
        timers.fire_due()
        assert fired == sorted(fired)
        assert len(fired) == len(deadlines)

    def test_an_action_may_start_and_cancel_timers(self) -> None:
        timers, fired = Timers(), list[Any]()
        other = due(fired, "other", FAR_AWAY)
        timers.add(other)
        timers.add(Timer(LONG_PAST, lambda _: (timers.cancel(other), timers.add(due(fired, "next"))), None))
        timers.fire_due()
        timers.fire_due()
        assert fired == ["next"]

    def test_a_timer_that_has_fired_keeps_its_argument_no_longer(self) -> None:
        timers, fired = Timers(), list[Any]()
        timer = due(fired, "argument")
        timers.add(timer)
        timers.fire_due()
        assert (timer.action, timer.argument) == (None, None)


class TestAdd:
    def test_it_tells_whether_the_timer_is_the_first_to_be_due(self) -> None:
        timers, fired = Timers(), list[Any]()
        assert timers.add(due(fired, 1, FAR_AWAY))
        assert not timers.add(due(fired, 2, FAR_AWAY))
        assert timers.add(due(fired, 3, FAR_AWAY - 1))


class TestCancel:
    def test_it_prevents_the_timer_from_firing_and_is_true_once(self) -> None:
        timers, fired = Timers(), list[Any]()
        timer = due(fired, "never")
        timers.add(timer)
        assert timers.cancel(timer)
        assert not timers.cancel(timer)
        assert not timers.is_pending(timer)
        timers.fire_due()
        assert fired == []

    def test_it_is_false_after_the_timer_has_fired(self) -> None:
        timers, fired = Timers(), list[Any]()
        timer = due(fired, "fired")
        timers.add(timer)
        timers.fire_due()
        assert not timers.cancel(timer)
        assert len(timers) == 0

    def test_thousands_that_are_cancelled_take_no_room(self) -> None:
        timers, fired = Timers(), list[Any]()
        kept = due(fired, "kept")
        timers.add(kept)
        for _ in range(10_000):
            timer = due(fired, "cancelled", FAR_AWAY)
            timers.add(timer)
            timers.cancel(timer)
            assert len(timers.heap) <= 2 * COMPACT_ABOVE + 2
        assert len(timers) == 1
        timers.fire_due()
        assert fired == ["kept"]

    def test_those_that_are_left_by_thousands_keep_their_order(self) -> None:
        timers, fired = Timers(), list[Any]()
        added = {number: due(fired, number, LONG_PAST + number / 1_000) for number in range(4 * COMPACT_ABOVE)}
        for number in sorted(added, key=lambda number: number % 7):
            timers.add(added[number])
        left = range(3 * COMPACT_ABOVE, 4 * COMPACT_ABOVE)
        for number in added.keys() - set(left):
            timers.cancel(added[number])
        assert len(timers.heap) < len(added)
        timers.fire_due()
        assert fired == list(left)

    def test_of_cancel_and_fire_at_the_same_time_exactly_one_wins(self) -> None:
        timers, fired = Timers(), list[Any]()
        all_timers = [due(fired, number) for number in range(5_000)]
        for timer in all_timers:
            timers.add(timer)
        start = threading.Barrier(2)
        firing = threading.Thread(target=lambda: (start.wait(), timers.fire_due()))
        firing.start()
        start.wait()
        cancelled = [timer for timer in reversed(all_timers) if timers.cancel(timer)]
        firing.join()
        assert len(fired) + len(cancelled) == len(all_timers)
        assert len(timers) == 0


class TestNextDeadline:
    def test_it_is_that_of_the_first_timer_not_cancelled(self) -> None:
        timers, fired = Timers(), list[Any]()
        first, second = due(fired, 1, 1.0), due(fired, 2, 2.0)
        timers.add(second)
        timers.add(first)
        assert timers.next_deadline() == 1.0
        timers.cancel(first)
        assert timers.next_deadline() == 2.0
        timers.cancel(second)
        assert timers.next_deadline() is None


@given(st.lists(st.tuples(st.sampled_from(["add", "cancel", "fire"]), st.integers(0, 5)), max_size=60))
def test_any_sequence_fires_what_was_added_and_neither_cancelled_nor_due_later(steps: list[tuple[str, int]]) -> None:
    timers, fired = Timers(), list[Any]()
    pending: dict[int, Timer] = {}
    expected: list[int] = []
    for number, (step, value) in enumerate(steps):
        if step == "add":
            pending[number] = due(fired, number, LONG_PAST if value < 3 else FAR_AWAY + value)
            timers.add(pending[number])
        elif step == "cancel" and pending:
            chosen = list(pending)[value % len(pending)]
            assert timers.cancel(pending.pop(chosen))
        elif step == "fire":
            timers.fire_due()
            expected += [n for n, timer in pending.items() if timer.deadline == LONG_PAST]
            pending = {n: timer for n, timer in pending.items() if timer.deadline != LONG_PAST}
            assert fired == expected
        assert len(timers) == len(pending)
