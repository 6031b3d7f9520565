from __future__ import annotations

from dataclasses import replace

from benchmarks.quick import for_quick
from benchmarks.rounds import Row
from tests.benchmarks.results import a_row


def with_full_run_only(row: Row, *names: str) -> Row:
    return replace(row, contenders=[replace(each, in_quick=each.name not in names) for each in row.contenders])


class TestForQuick:
    def test_a_row_for_quick_runs_stays_whole(self) -> None:
        row = a_row("ours", "peer")

        assert for_quick([row]) == ([row], [])

    def test_a_row_for_full_runs_only_is_left_out_and_named(self) -> None:
        rows = [a_row("ours", name="first"), a_row("ours", name="second", in_quick=False)]

        kept, left_out = for_quick(rows)

        assert kept == rows[:1]
        assert left_out == ["second"]

    def test_contenders_for_full_runs_only_are_left_out_and_named_with_their_row(self) -> None:
        row = with_full_run_only(a_row("ours", "peer", "slow", "rare"), "slow", "rare")

        kept, left_out = for_quick([row])

        assert [[each.name for each in row.contenders] for row in kept] == [["ours", "peer"]]
        assert left_out == ["work: slow, rare"]
