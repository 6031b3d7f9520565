from __future__ import annotations

from benchmarks.quick import for_quick
from benchmarks.rows.catalogue import all_figures, all_rows


class TestAllRows:
    def test_no_two_rows_or_figures_share_a_name(self) -> None:
        names = [each.name for each in [*all_rows(), *all_figures()]]

        assert len(set(names)) == len(names)

    def test_every_target_is_set_against_a_contender_of_its_row(self) -> None:
        for row in all_rows():
            peers = {contender.name for contender in row.contenders[1:]}
            assert all(set(metric.targets) <= peers for metric in row.metrics), row.name

    def test_a_quick_run_keeps_every_figure_that_has_a_target(self) -> None:
        kept = {row.name: {contender.name for contender in row.contenders} for row in for_quick(all_rows())[0]}
        for row in all_rows():
            if row.name in kept:
                assert all(set(metric.targets) <= kept[row.name] for metric in row.metrics), row.name

    def test_ours_is_in_every_quick_row(self) -> None:
        ours = {row.name: row.contenders[0].name for row in all_rows()}

        assert all(row.contenders[0].name == ours[row.name] for row in for_quick(all_rows())[0])


class TestAllFigures:
    def test_ours_is_measured_at_every_size(self) -> None:
        for figure in all_figures():
            for panel in figure.panels:
                assert len({row.contenders[0].name for row in panel.points.values()}) == 1

    def test_no_point_shares_its_name_with_a_row(self) -> None:
        points = {row.name for figure in all_figures() for panel in figure.panels for row in panel.points.values()}

        assert not points & {row.name for row in all_rows()}
