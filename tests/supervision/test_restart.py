from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import restart
from supervision.errors import BadArgument, BadType
from supervision.messages import INFINITY
from supervision.restart import Backoff, RestartIntensity

PLANNED: list[Any] = ["normal", "shutdown", ("shutdown", "detail")]
UNPLANNED: list[Any] = ["kill", "killed", "noproc", "boom", ValueError("boom"), ("shutdown", 1, 2), None]


class TestShouldRestart:
    @pytest.mark.parametrize("reason", [*PLANNED, *UNPLANNED])
    def test_permanent_child_is_restarted_whatever_the_reason(self, reason: Any) -> None:
        assert restart.should_restart("permanent", reason)

    @pytest.mark.parametrize("reason", PLANNED)
    def test_transient_child_is_not_restarted_after_a_planned_exit(self, reason: Any) -> None:
        assert not restart.should_restart("transient", reason)

    @pytest.mark.parametrize("reason", UNPLANNED)
    def test_transient_child_is_restarted_after_a_crash(self, reason: Any) -> None:
        assert restart.should_restart("transient", reason)

    @pytest.mark.parametrize("reason", [*PLANNED, *UNPLANNED])
    def test_temporary_child_is_never_restarted(self, reason: Any) -> None:
        assert not restart.should_restart("temporary", reason)


class TestAffected:
    @pytest.mark.parametrize(
        ("strategy", "failed", "expected"),
        [
            ("one_for_one", "a", ["a"]),
            ("one_for_one", "b", ["b"]),
            ("one_for_one", "c", ["c"]),
            ("one_for_all", "a", ["a", "b", "c"]),
            ("one_for_all", "b", ["a", "b", "c"]),
            ("one_for_all", "c", ["a", "b", "c"]),
            ("rest_for_one", "a", ["a", "b", "c"]),
            ("rest_for_one", "b", ["b", "c"]),
            ("rest_for_one", "c", ["c"]),
        ],
    )
    def test_the_strategy_decides_who_is_restarted_in_the_order_of_start(
        self, strategy: restart.Strategy, failed: str, expected: list[str]
    ) -> None:
        assert restart.affected(strategy, ("a", "b", "c"), failed) == expected

    @pytest.mark.parametrize("strategy", restart.STRATEGIES)
    def test_an_only_child_is_restarted_alone(self, strategy: restart.Strategy) -> None:
        assert restart.affected(strategy, ["a"], "a") == ["a"]

    @pytest.mark.parametrize("strategy", restart.STRATEGIES)
    def test_a_child_that_is_not_there_is_refused(self, strategy: restart.Strategy) -> None:
        with pytest.raises(ValueError, match="x"):
            restart.affected(strategy, ["a"], "x")


class TestEndsSupervisor:
    @pytest.mark.parametrize(
        ("auto_shutdown", "significant", "significant_left", "expected"),
        [
            ("never", False, 0, False),
            ("never", False, 1, False),
            ("never", True, 0, False),
            ("never", True, 1, False),
            ("any_significant", False, 0, False),
            ("any_significant", False, 1, False),
            ("any_significant", True, 0, True),
            ("any_significant", True, 1, True),
            ("all_significant", False, 0, False),
            ("all_significant", False, 1, False),
            ("all_significant", True, 0, True),
            ("all_significant", True, 1, False),
        ],
    )
    def test_only_a_significant_child_ends_it_and_under_all_only_the_last(
        self, auto_shutdown: restart.AutoShutdown, significant: bool, significant_left: int, expected: bool
    ) -> None:
        ends = restart.ends_supervisor(auto_shutdown, significant=significant, significant_left=significant_left)
        assert ends is expected


class TestEndedAsAsked:
    @pytest.mark.parametrize(
        ("child", "brutally", "reason", "expected"),
        [
            ("permanent", False, "shutdown", True),
            ("permanent", False, "normal", False),
            ("permanent", False, ("shutdown", 1), False),
            ("permanent", False, "killed", False),
            ("permanent", True, "killed", True),
            ("permanent", True, "shutdown", False),
            ("permanent", True, "normal", False),
            ("transient", False, "shutdown", True),
            ("transient", False, "normal", True),
            ("transient", False, ("shutdown", 1), True),
            ("transient", False, "killed", False),
            ("transient", False, "boom", False),
            ("transient", True, "killed", True),
            ("transient", True, "normal", True),
            ("temporary", False, ("shutdown", 1), True),
            ("temporary", False, "killed", False),
            ("temporary", True, "shutdown", True),
            ("temporary", True, "boom", False),
        ],
    )
    def test_only_a_child_that_may_end_by_itself_may_end_with_another_planned_reason(
        self, child: restart.Restart, brutally: bool, reason: Any, expected: bool
    ) -> None:
        assert restart.ended_as_asked(child, reason, brutally=brutally) is expected


class TestRestartIntensity:
    def test_as_many_restarts_as_allowed_pass_and_one_more_does_not(self) -> None:
        intensity = RestartIntensity(3, 5)
        assert [intensity.add(0.0) for _ in range(4)] == [True, True, True, False]

    def test_zero_allows_no_restart(self) -> None:
        assert not RestartIntensity(0, 5).add(100.0)

    def test_a_restart_exactly_as_long_ago_as_the_window_still_counts(self) -> None:
        intensity = RestartIntensity(1, 5)
        intensity.add(10)
        assert not intensity.add(15)

    def test_a_restart_longer_ago_than_the_window_is_forgotten(self) -> None:
        intensity = RestartIntensity(1, 5)
        intensity.add(10.0)
        assert intensity.add(15.001)

    def test_the_window_slides_and_forgets_one_restart_at_a_time(self) -> None:
        intensity = RestartIntensity(2, 10)
        assert [intensity.add(now) for now in (0, 6, 11, 12)] == [True, True, True, False]

    def test_restarts_further_apart_than_the_window_are_allowed_for_ever(self) -> None:
        intensity = RestartIntensity(1, 1)
        assert all(intensity.add(n * 2.1) for n in range(100))

    def test_a_clock_that_starts_below_zero_is_as_good_as_any(self) -> None:
        intensity = RestartIntensity(1, 5)
        assert [intensity.add(now) for now in (-7, -1, 0)] == [True, True, False]

    @given(
        max_restarts=st.integers(0, 4),
        max_seconds=st.integers(1, 5),
        steps=st.lists(st.sampled_from([0, 0.25, 1, 1.5, 5, 6]), max_size=40),
    )
    def test_it_agrees_with_counting_all_restarts_of_the_window(
        self, max_restarts: int, max_seconds: int, steps: list[float]
    ) -> None:
        intensity = RestartIntensity(max_restarts, max_seconds)
        times: list[float] = []
        for step in steps:
            times.append((times[-1] if times else 0) + step)
            within = [time for time in times if times[-1] <= time + max_seconds]
            assert intensity.add(times[-1]) is (len(within) <= max_restarts)

    @pytest.mark.parametrize(("max_restarts", "max_seconds"), [(-1, 5), (INFINITY, 5), (3, 0), (3, -1), (3, INFINITY)])
    def test_a_negative_or_infinite_limit_is_a_bad_argument(self, max_restarts: Any, max_seconds: Any) -> None:
        with pytest.raises(BadArgument, match="max_"):
            RestartIntensity(max_restarts, max_seconds)

    @pytest.mark.parametrize(("max_restarts", "max_seconds"), [(1.5, 5), (True, 5), (3, 0.5), (3, "5"), (None, 5)])
    def test_what_is_no_whole_number_is_a_bad_type(self, max_restarts: Any, max_seconds: Any) -> None:
        with pytest.raises(BadType, match="max_"):
            RestartIntensity(max_restarts, max_seconds)


class TestBackoff:
    def test_each_wait_is_twice_the_one_before_up_to_the_maximum(self) -> None:
        backoff = Backoff(100, 1_000)
        assert [backoff.delay(attempt, 0.0) for attempt in range(1, 7)] == [100, 200, 400, 800, 1_000, 1_000]

    def test_without_jitter_chance_changes_nothing(self) -> None:
        assert {Backoff(100, 1_000).delay(2, chance) for chance in (0.0, 0.3, 1.0)} == {200}

    def test_jitter_takes_off_up_to_its_fraction_of_the_wait(self) -> None:
        backoff = Backoff(100, 1_000, jitter=0.5)
        assert [backoff.delay(2, chance) for chance in (0.0, 0.5, 1.0)] == [200, 150, 100]

    def test_jitter_spreads_the_longest_wait_too(self) -> None:
        assert Backoff(100, 1_000, jitter=0.2).delay(50, 0.5) == 900

    @given(
        initial=st.integers(1, 10_000),
        more=st.integers(0, 10_000_000),
        jitter=st.floats(0, 1),
        attempt=st.integers(1, 10**9),
        chance=st.floats(0, 1),
    )
    def test_no_wait_exceeds_the_maximum_or_falls_below_the_jittered_initial(
        self, initial: int, more: int, jitter: float, attempt: int, chance: float
    ) -> None:
        delay = Backoff(initial, initial + more, jitter).delay(attempt, chance)
        assert round(initial * (1 - jitter)) <= delay <= initial + more

    @pytest.mark.parametrize(("ran_for", "expected"), [(0, False), (1_000, False), (1_001, True), (10**9, True)])
    def test_a_child_that_outlived_the_longest_wait_starts_from_the_beginning(
        self, ran_for: int, expected: bool
    ) -> None:
        assert Backoff(100, 1_000).resets(ran_for) is expected

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ((0, 100), "initial"),
            ((-1, 100), "initial"),
            ((INFINITY, INFINITY), "initial"),
            ((100, 99), "maximum"),
            ((100, INFINITY), "maximum"),
            ((100, 200, -0.1), "jitter"),
            ((100, 200, 1.1), "jitter"),
        ],
    )
    def test_a_wrong_value_is_a_bad_argument_that_names_the_field(self, fields: tuple[Any, ...], named: str) -> None:
        with pytest.raises(BadArgument, match=f"^{named} must be"):
            Backoff(*fields)

    @pytest.mark.parametrize(
        ("fields", "named"), [((0.5, 100), "initial"), ((100, None), "maximum"), ((100, 200, "0.5"), "jitter")]
    )
    def test_a_wrong_type_is_a_bad_type_that_names_the_field(self, fields: tuple[Any, ...], named: str) -> None:
        with pytest.raises(BadType, match=f"^{named} must be"):
            Backoff(*fields)

    def test_equal_backoffs_are_equal_values_that_cannot_be_changed(self) -> None:
        backoff = Backoff(100, 1_000)
        assert backoff == Backoff(100, 1_000, 0.0)
        with pytest.raises(AttributeError):
            backoff.initial = 5  # type: ignore[misc]
