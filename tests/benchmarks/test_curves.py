from __future__ import annotations

from dataclasses import replace

from benchmarks.curves import Panel, series
from benchmarks.rounds import Metric
from tests.benchmarks.results import a_result, a_row

AT_1, AT_10 = (a_row("ours", "peer", name=name) for name in ("at-1", "at-10"))
PANEL = Panel("connections", "requests/s", "rate", {10: AT_10, 1: AT_1})


class TestSeries:
    def test_points_are_medians_in_the_order_of_size(self) -> None:
        results = {"at-1": a_result(AT_1, ours=[1.0, 9.0, 2.0]), "at-10": a_result(AT_10, ours=[30.0])}

        assert series(PANEL, results)["ours"] == [(1, 2.0), (10, 30.0)]

    def test_a_contender_without_a_figure_at_one_size_has_no_point_there(self) -> None:
        results = {"at-1": a_result(AT_1, ours=[1.0], peer=[2.0]), "at-10": a_result(AT_10, ours=[3.0])}

        assert series(PANEL, results)["peer"] == [(1, 2.0)]

    def test_a_contender_without_any_figure_is_still_named(self) -> None:
        results = {"at-1": a_result(AT_1, ours=[1.0]), "at-10": a_result(AT_10, ours=[3.0])}

        assert series(PANEL, results)["peer"] == []

    def test_panels_that_share_points_tell_different_figures(self) -> None:
        row = replace(AT_1, metrics=[Metric("rate", "requests/s"), Metric("p99", "ms")])
        result = a_result(row)
        result.samples["ours"] = {"rate": [5.0], "p99": [0.5]}

        assert series(Panel("connections", "p99", "p99", {1: row}), {"at-1": result})["ours"] == [(1, 0.5)]
