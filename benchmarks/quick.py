"""What a quick run does without, so that it ends in under two minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.rounds import Contender, Row


def for_quick(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Leaves out the rows that are not for quick runs, and the peers without a target, who only show where ours stands.

    Returns:
        What is left, and one line for each row about what was left out of it.
    """
    kept = [replace(row, contenders=[row.contenders[0], *_with_target(row)]) for row in rows if row.in_quick]
    return kept, [line for row in rows if (line := _left_out(row))]


def _with_target(row: Row) -> list[Contender]:
    targets = {name for metric in row.metrics for name in metric.targets}
    return [contender for contender in row.contenders[1:] if contender.name in targets]


def _left_out(row: Row) -> str:
    if not row.in_quick:
        return row.title
    with_target = _with_target(row)
    names = [contender.name for contender in row.contenders[1:] if contender not in with_target]
    return f"{row.title}: {', '.join(names)}" if names else ""
