"""The table, in Markdown, from the samples of all rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rounds import Metric, RowResult
from benchmarks.statistics import Summary, summarise, times_better, within

HEADER = """\
| work | figure | ours | peer | theirs | times better | target | met | spread, ours | spread, theirs |
|---|---|--:|---|--:|--:|--:|---|---|---|"""

LEGEND = """\
Figures are medians over the rounds; a spread is the lowest and the highest round. "Times better" compares the medians:
2.00 means twice the rate, or half the latency or memory; below 1.00 the peer is ahead. A target is either such a factor
or a limit for our own figure. In every round each contender runs once, in rotating order, as a new process; the load
comes from another process, which compares every byte that returns. What is in the way where a target is missed, a page
of its own says: [What things cost](../docs/performance.md#where-a-target-is-missed)."""

#: Above this share of a core the load generator may itself be what limits the figure.
BUSY_LOAD = 0.95

LOAD_HEADER = """\
| work | load generator's share of a core |
|---|---|"""


def render(results: Sequence[RowResult], heading: Sequence[str], left_out: Sequence[str] = ()) -> str:
    """Gives the whole page.

    Args:
        results: all rows, in the order of the table.
        heading: lines about when, where and with what it was measured.
        left_out: what only a full run measures, where this is none.
    """
    parts = [
        "# Benchmark results",
        "\n".join(f"- {line}" for line in heading),
        LEGEND,
        _table(results),
        _section("Missing figures", _problems(results)),
        _section("Left out of this quick run", left_out),
        _section("Notes", _notes(results)),
        _load_shares(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(results: Sequence[RowResult]) -> str:
    return "\n".join([HEADER, *(line for result in results for line in _lines(result))]) if results else ""


def missed(results: Sequence[RowResult]) -> list[str]:
    """Names the figures that miss their target, one line each."""
    return [line for result in results for line in _lines(result) if "| **no** |" in line]


def _lines(result: RowResult) -> Iterator[str]:
    ours = result.row.contenders[0].name
    for metric in result.row.metrics:
        summary = _summary(result, ours, metric)
        if metric.limit is not None:
            yield _limit_line(result, metric, summary)
        for peer in result.row.contenders[1:]:
            yield _peer_line(result, metric, summary, peer.name)


def _summary(result: RowResult, contender: str, metric: Metric) -> Summary | None:
    return summarise(result.samples[contender][metric.key]) if contender in result.samples else None


def _limit_line(result: RowResult, metric: Metric, ours: Summary | None) -> str:
    assert metric.limit is not None
    sign = "≥" if metric.better == "higher" else "≤"
    target = f"{sign} {number(metric.limit)}"
    met = _met(within(ours.median, metric.limit, metric.better) if ours else None)
    return table_row(result.row.title, metric.unit, _median(ours), "", "", "", target, met, _spread(ours), "")


def _peer_line(result: RowResult, metric: Metric, ours: Summary | None, peer: str) -> str:
    theirs = _summary(result, peer, metric)
    factor = times_better(ours.median, theirs.median, metric.better) if ours and theirs else None
    target = metric.targets.get(peer)
    return table_row(
        result.row.title,
        metric.unit,
        _median(ours),
        peer,
        _median(theirs),
        "" if factor is None else f"{factor:.2f}",
        "" if target is None else f"≥ {target:g} times",
        "" if target is None else _met(None if factor is None else factor >= target),
        _spread(ours),
        _spread(theirs),
    )


def table_row(*cells: str) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def _met(answer: bool | None) -> str:
    return {None: "?", True: "yes", False: "**no**"}[answer]


def _median(summary: Summary | None) -> str:
    return number(summary.median) if summary else "not available"


def _spread(summary: Summary | None) -> str:
    return f"{number(summary.lowest)} … {number(summary.highest)}" if summary else ""


def number(value: float) -> str:
    """A figure as the tables show it: digits behind the point only where they tell something."""
    digits = 0 if value == int(value) or abs(value) >= 100 else 2
    return f"{value:,.{digits}f}"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)]) if lines else ""


def _problems(results: Sequence[RowResult]) -> list[str]:
    return [f"{result.row.title}, {name}: {why}" for result in results for name, why in result.problems.items()]


def _notes(results: Sequence[RowResult]) -> list[str]:
    return [f"{result.row.title}: {result.row.note}" for result in results if result.row.note]


def _load_shares(results: Sequence[RowResult]) -> str:
    lines = [line for result in results for line in _load_share(result)]
    return "\n".join(["## The load generator", "", LOAD_HEADER, *lines]) if lines else ""


def _load_share(result: RowResult) -> Iterator[str]:
    shares = {name: summarise(kept["load_cpu"]).median for name, kept in result.samples.items() if "load_cpu" in kept}
    if shares:
        cells = [f"{name} {share:.0%}{' (the limit?)' * (share >= BUSY_LOAD)}" for name, share in shares.items()]
        yield table_row(result.row.title, ", ".join(cells))
