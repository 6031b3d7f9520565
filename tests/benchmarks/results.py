"""Rows and results as the tests of the report need them: nothing is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.rounds import Contender, Metric, Row, RowResult
from benchmarks.settings import Settings


def no_work(_settings: Settings) -> Mapping[str, float]:
    raise AssertionError("the tests of the report measure nothing")


def a_row(*contenders: str, metric: Metric | None = None, name: str = "work", in_quick: bool = True) -> Row:
    metrics = [metric or Metric("rate", "requests/s")]
    return Row(name, name, [Contender(each, no_work) for each in contenders], metrics, in_quick=in_quick)


def a_result(row: Row, **samples: Sequence[float]) -> RowResult:
    """The samples of each contender, for the row's only figure."""
    key = row.metrics[0].key
    return RowResult(row, {name: {key: list(kept)} for name, kept in samples.items()})
