from __future__ import annotations

from benchmarks.curve_report import render_figure
from benchmarks.curves import Figure, Panel
from tests.benchmarks.results import a_result, a_row

AT_1, AT_10 = (a_row("ours", "peer", name=name) for name in ("at-1", "at-10"))
FIGURE = Figure("curve", "Growth", [Panel("connections", "requests/s", "rate", {1: AT_1, 10: AT_10})], "A note.")
RESULTS = {"at-1": a_result(AT_1, ours=[1.0], peer=[2.0]), "at-10": a_result(AT_10, ours=[3.0])}


class TestRenderFigure:
    def test_the_picture_is_linked_by_its_place_beside_the_page(self) -> None:
        assert "![Growth](curve.png)" in render_figure(FIGURE, RESULTS, "curve.png")

    def test_without_a_picture_the_figures_are_still_there(self) -> None:
        section = render_figure(FIGURE, RESULTS, None)

        assert "![" not in section
        assert "| ours | 1 | 3 |" in section

    def test_a_size_without_a_figure_is_an_empty_cell(self) -> None:
        assert "| peer | 2 |  |" in render_figure(FIGURE, RESULTS, None)

    def test_a_contender_that_failed_is_named_with_the_reason(self) -> None:
        failed = a_result(AT_10, ours=[3.0])
        failed.wrong["peer"] = "closed by the server"

        section = render_figure(FIGURE, {**RESULTS, "at-10": failed}, None)

        assert "- at-10, peer: FAILED: closed by the server" in section
