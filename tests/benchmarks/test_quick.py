from __future__ import annotations

from benchmarks.quick import for_quick
from benchmarks.rounds import Metric
from tests.benchmarks.results import a_row

AGAINST_PEER = Metric("rate", "requests/s", targets={"peer": 1.5})


class TestForQuick:
    def test_a_peer_with_a_target_stays(self) -> None:
        row = a_row("ours", "peer", metric=AGAINST_PEER)

        assert for_quick([row]) == ([row], [])

    def test_peers_without_a_target_are_left_out_and_named_with_their_row(self) -> None:
        row = a_row("ours", "slow", "peer", "rare", metric=AGAINST_PEER)

        kept, left_out = for_quick([row])

        assert [[each.name for each in row.contenders] for row in kept] == [["ours", "peer"]]
        assert left_out == ["work: slow, rare"]

    def test_ours_stays_without_any_peer(self) -> None:
        (kept,), _ = for_quick([a_row("ours", "peer")])

        assert [contender.name for contender in kept.contenders] == ["ours"]

    def test_a_row_for_full_runs_only_is_left_out_and_named(self) -> None:
        rows = [a_row("ours", name="first"), a_row("ours", name="second", in_quick=False)]

        kept, left_out = for_quick(rows)

        assert kept == rows[:1]
        assert left_out == ["second"]
