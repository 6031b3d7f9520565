from __future__ import annotations

import pytest

from benchmarks.report import missed, number, render
from benchmarks.rounds import Metric, RowResult
from tests.benchmarks.results import a_result, a_row

FASTER = Metric("rate", "requests/s", targets={"peer": 1.5})
BOUNDED = Metric("bytes", "bytes each", "lower", limit=4_096)


def cells(result: RowResult) -> list[str]:
    """The cells of the only line that the row has in the table."""
    (line,) = [
        line for line in render([result], []).splitlines() if line.startswith("| work | ") and "figure" not in line
    ]
    return [cell.strip() for cell in line.strip("|").split("|")]


class TestRender:
    def test_a_peer_that_is_beaten_by_the_target_is_met(self) -> None:
        result = a_result(a_row("ours", "peer", metric=FASTER), ours=[300.0], peer=[200.0])

        assert cells(result)[2:8] == ["300", "peer", "200", "1.50", "≥ 1.5 times", "yes"]

    def test_a_peer_that_is_not_beaten_by_the_target_is_missed(self) -> None:
        result = a_result(a_row("ours", "peer", metric=FASTER), ours=[299.0], peer=[200.0])

        assert cells(result)[7] == "**no**"

    def test_a_peer_that_is_absent_leaves_the_target_open_and_is_named_with_the_reason(self) -> None:
        result = a_result(a_row("ours", "peer", metric=FASTER), ours=[300.0])
        result.unavailable["peer"] = "ModuleNotFoundError: No module named 'peer'"

        assert cells(result)[4:8] == ["not available", "", "≥ 1.5 times", "?"]
        assert "- work, peer: not available: ModuleNotFoundError: No module named 'peer'" in render([result], [])

    def test_a_limit_holds_for_ours_whatever_the_peers_do(self) -> None:
        result = a_result(a_row("ours", metric=BOUNDED), ours=[4_097.0])

        assert cells(result)[2:8] == ["4,097", "", "", "", "≤ 4,096", "**no**"]

    def test_the_spread_is_the_lowest_and_the_highest_round(self) -> None:
        result = a_result(a_row("ours", "peer", metric=FASTER), ours=[300.0, 100.0, 200.0], peer=[2.0, 1.0])

        assert cells(result)[8:10] == ["100 … 300", "1 … 2"]

    def test_a_full_run_has_left_nothing_out(self) -> None:
        assert "Left out" not in render([], ["Date: today"])

    def test_a_quick_run_names_what_it_left_out(self) -> None:
        page = render([], [], ["15,000 idle connections"])

        assert "## Left out of this quick run\n\n- 15,000 idle connections" in page

    def test_without_rows_there_is_no_table(self) -> None:
        assert "|" not in render([], [])

    def test_a_load_generator_that_fills_a_core_is_pointed_out(self) -> None:
        result = a_result(a_row("ours", metric=Metric("rate", "requests/s", limit=1)), ours=[5.0])
        result.samples["ours"]["load_cpu"] = [0.97]

        assert "| work | ours 97% (the limit?) |" in render([result], [])


class TestMissed:
    def test_only_what_misses_its_target_is_named(self) -> None:
        met = a_result(a_row("ours", metric=BOUNDED, name="small"), ours=[4_096.0])
        over = a_result(a_row("ours", metric=BOUNDED, name="large"), ours=[5_000.0])

        (line,) = missed([met, over])

        assert line.startswith("| large |")


class TestNumber:
    @pytest.mark.parametrize(
        ("value", "text"), [(0.0, "0"), (3.0, "3"), (3.14159, "3.14"), (172.4, "172"), (15_226.7, "15,227")]
    )
    def test_digits_behind_the_point_are_kept_where_they_tell_something(self, value: float, text: str) -> None:
        assert number(value) == text
