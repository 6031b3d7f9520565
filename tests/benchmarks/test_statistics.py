from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import Summary, rotated, summarise, times_better, within

FIGURES = st.floats(min_value=0, max_value=1e12)


class TestSummarise:
    def test_median_of_an_odd_number_of_samples_is_the_middle_one(self) -> None:
        assert summarise([9.0, 1.0, 5.0]) == Summary(median=5.0, lowest=1.0, highest=9.0)

    def test_median_of_an_even_number_of_samples_lies_between_the_two_middle_ones(self) -> None:
        assert summarise([1.0, 10.0, 2.0, 4.0]).median == 3.0

    def test_one_slow_round_does_not_move_the_median(self) -> None:
        assert summarise([100.0, 101.0, 99.0, 3.0, 100.0]).median == 100.0

    def test_no_samples_are_refused(self) -> None:
        with pytest.raises(ValueError, match="no samples"):
            summarise([])

    @given(st.lists(FIGURES, min_size=1))
    def test_median_lies_within_the_spread(self, samples: list[float]) -> None:
        summary = summarise(samples)
        assert summary.lowest <= summary.median <= summary.highest


class TestTimesBetter:
    def test_twice_the_rate_is_twice_as_good(self) -> None:
        assert times_better(200.0, 100.0, "higher") == 2.0

    def test_half_the_latency_is_twice_as_good(self) -> None:
        assert times_better(5.0, 10.0, "lower") == 2.0

    def test_a_peer_that_is_ahead_gives_less_than_one(self) -> None:
        assert times_better(50.0, 100.0, "higher") == 0.5
        assert times_better(20.0, 10.0, "lower") == 0.5

    def test_nothing_against_nothing_is_level(self) -> None:
        assert times_better(0.0, 0.0, "lower") == 1.0

    def test_nothing_at_all_is_infinitely_better_where_less_is_better(self) -> None:
        assert times_better(0.0, 3.0, "lower") == math.inf

    def test_nothing_at_all_is_worth_nothing_where_more_is_better(self) -> None:
        assert times_better(0.0, 3.0, "higher") == 0.0

    @given(FIGURES, FIGURES)
    def test_less_is_better_mirrors_more_is_better(self, ours: float, peer: float) -> None:
        assert times_better(ours, peer, "lower") == times_better(peer, ours, "higher")


class TestWithin:
    @pytest.mark.parametrize(("value", "kept"), [(29.9, True), (30.0, True), (30.1, False)])
    def test_an_upper_limit_may_be_reached_but_not_passed(self, value: float, kept: bool) -> None:
        assert within(value, 30.0, "lower") is kept

    @pytest.mark.parametrize(("value", "kept"), [(1.6, False), (1.7, True), (1.8, True)])
    def test_a_lower_limit_may_be_reached_but_not_missed(self, value: float, kept: bool) -> None:
        assert within(value, 1.7, "higher") is kept


class TestRotated:
    def test_each_turn_begins_with_another_one(self) -> None:
        assert [rotated("abc", turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]

    def test_the_order_of_the_others_goes_round(self) -> None:
        assert rotated("abc", 1) == ["b", "c", "a"]

    def test_nobody_is_left_out_or_doubled(self) -> None:
        assert all(sorted(rotated("abcd", turn)) == list("abcd") for turn in range(9))

    def test_nothing_stays_nothing(self) -> None:
        assert rotated([], 3) == []
