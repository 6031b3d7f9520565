from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.soak.trend import FEWEST, Sample, Trend, after_warm_up, grows, trend

COUNT = 60


def samples(values: list[float]) -> list[Sample]:
    return [(float(second), value) for second, value in enumerate(values)]


def noisy(*, per_second: float = 0.0, noise: float = 10.0) -> list[Sample]:
    chance = random.Random(7)
    return samples([1_000.0 + per_second * second + chance.uniform(-noise, noise) for second in range(COUNT)])


class TestTrend:
    def test_growth_is_the_slope_times_the_length(self) -> None:
        assert trend(samples([5.0 + 2.0 * second for second in range(11)])).growth == pytest.approx(20.0)

    def test_what_stays_does_neither_grow_nor_rise(self) -> None:
        assert trend(samples([7.0] * COUNT)) == Trend(growth=0.0, certainty=0.0)

    def test_a_quarter_of_wild_samples_hardly_moves_the_growth(self) -> None:
        values = [1_000.0 + second for second in range(COUNT)]
        values[::4] = [9_999_999.0] * len(values[::4])

        assert trend(samples(values)).growth == pytest.approx(COUNT - 1, rel=0.5)

    def test_samples_need_no_equal_distance(self) -> None:
        assert trend([(0.0, 0.0), (1.0, 3.0), (10.0, 30.0)]).growth == pytest.approx(30.0)

    @given(st.lists(st.floats(min_value=0, max_value=1e9), min_size=2, max_size=30))
    def test_the_mirror_image_has_the_opposite_trend(self, values: list[float]) -> None:
        forwards, backwards = trend(samples(values)), trend(samples(values[::-1]))

        assert forwards.growth == pytest.approx(-backwards.growth)
        assert forwards.certainty == -backwards.certainty


class TestGrows:
    def test_noise_is_no_growth(self) -> None:
        assert not grows(trend(noisy()), tolerance=0.0)

    def test_a_leak_under_noise_is_growth(self) -> None:
        assert grows(trend(noisy(per_second=1.0)), tolerance=20.0)

    def test_a_leak_in_steps_is_growth(self) -> None:
        assert grows(trend(samples([float(second // 10 * 100) for second in range(COUNT)])), tolerance=50.0)

    def test_growth_within_the_tolerance_is_none(self) -> None:
        assert not grows(trend(noisy(per_second=1.0)), tolerance=100.0)

    def test_a_single_step_that_stays_within_the_tolerance_is_none(self) -> None:
        assert not grows(trend(samples([0.0] * 30 + [80.0] * 30)), tolerance=100.0)

    def test_one_last_peak_is_no_growth(self) -> None:
        assert not grows(trend(samples([5.0] * 59 + [1e9])), tolerance=0.0)

    def test_what_shrinks_does_not_grow(self) -> None:
        assert not grows(trend(noisy(per_second=-5.0)), tolerance=0.0)

    def test_growth_that_chance_may_give_is_none(self) -> None:
        assert not grows(Trend(growth=500.0, certainty=2.0), tolerance=100.0)


class TestAfterWarmUp:
    def test_the_first_third_is_dropped(self) -> None:
        values = [float(second) for second in range(COUNT)]

        assert after_warm_up(samples(values)) == samples(values)[20:]

    def test_growth_during_the_warm_up_does_not_count(self) -> None:
        values = [float(min(second, 19)) for second in range(COUNT)]

        assert trend(after_warm_up(samples(values))).growth == 0.0

    def test_too_few_samples_are_refused_with_the_number_needed(self) -> None:
        with pytest.raises(ValueError, match=f"{FEWEST} are needed"):
            after_warm_up(samples([1.0] * 12))
