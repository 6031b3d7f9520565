"""What is made of a worker that is late."""

from __future__ import annotations

import pytest

from supervision.late_slices import (
    SHORT_TICK_SECONDS,
    TICK_SECONDS,
    Sighting,
    Verdict,
    judge,
    judge_runnable,
    seem_to_block,
)


def seen_after(seconds: float, used: float, *, in_slice: bool = True) -> Sighting:
    return Sighting(slice=1, in_slice=in_slice, since=seconds, used=used)


FIRST = seen_after(0.0, 0.0)


class TestJudge:
    @pytest.mark.parametrize(
        ("elapsed", "part", "computing", "verdict"),
        [
            (SHORT_TICK_SECONDS / 2, 0.0, 0, Verdict.ON_TIME),
            (SHORT_TICK_SECONDS, 0.0, 0, Verdict.BLOCKED),
            (SHORT_TICK_SECONDS, 0.09, 0, Verdict.BLOCKED),
            (SHORT_TICK_SECONDS, 0.5, 0, Verdict.ON_TIME),
            (TICK_SECONDS / 2, 1.0, 0, Verdict.ON_TIME),
            (TICK_SECONDS, 1.0, 0, Verdict.COMPUTES),
            (TICK_SECONDS, 0.11, 0, Verdict.COMPUTES),
            (TICK_SECONDS, 0.0, 0, Verdict.BLOCKED),
            # It may be waiting for the GIL:
            (SHORT_TICK_SECONDS * 4, 0.0, 1, Verdict.ON_TIME),
            (SHORT_TICK_SECONDS * 5, 0.0, 1, Verdict.BLOCKED),
            (TICK_SECONDS / 2, 0.0, 50, Verdict.ON_TIME),
            (TICK_SECONDS, 0.0, 50, Verdict.BLOCKED),
        ],
    )
    def test_it_depends_on_the_time_that_passed_and_on_the_part_of_it_that_was_used(
        self, elapsed: float, part: float, computing: int, verdict: Verdict
    ) -> None:
        assert judge(FIRST, seen_after(elapsed, elapsed * part), computing) is verdict

    def test_a_look_that_comes_a_little_early_counts(self) -> None:
        assert judge(FIRST, seen_after(TICK_SECONDS * 0.95, TICK_SECONDS), 0) is Verdict.COMPUTES


class TestJudgeRunnable:
    @pytest.mark.parametrize(
        ("elapsed", "verdict"), [(SHORT_TICK_SECONDS, Verdict.ON_TIME), (TICK_SECONDS, Verdict.COMPUTES)]
    )
    def test_it_has_a_tick_whatever_it_has_used(self, elapsed: float, verdict: Verdict) -> None:
        assert judge_runnable(FIRST, seen_after(elapsed, 0.0)) is verdict


class TestSeemToBlock:
    def test_one_that_is_in_slices_without_running_does(self) -> None:
        assert seem_to_block(FIRST, seen_after(TICK_SECONDS, 0.0), 0)

    def test_one_that_runs_does_not(self) -> None:
        assert not seem_to_block(FIRST, seen_after(TICK_SECONDS, TICK_SECONDS), 0)

    def test_one_that_may_wait_for_the_gil_does_not(self) -> None:
        assert not seem_to_block(FIRST, seen_after(TICK_SECONDS, 0.0), 1)

    @pytest.mark.parametrize(("before", "now"), [(True, False), (False, True)])
    def test_one_that_was_between_slices_does_not(self, before: bool, now: bool) -> None:
        first, then = (seen_after(0.0, 0.0, in_slice=before), seen_after(TICK_SECONDS, 0.0, in_slice=now))
        assert not seem_to_block(first, then, 0)
