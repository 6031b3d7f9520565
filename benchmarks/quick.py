"""What a quick run does without, so that it ends in under two minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.rounds import Row


def for_quick(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Leaves out the rows and contenders that are not for quick runs.

    Returns:
        What is left, and one line for each row about what was left out of it.
    """
    kept = [replace(row, contenders=[each for each in row.contenders if each.in_quick]) for row in rows if row.in_quick]
    return kept, [line for row in rows if (line := _left_out(row))]


def _left_out(row: Row) -> str:
    if not row.in_quick:
        return row.title
    names = [contender.name for contender in row.contenders if not contender.in_quick]
    return f"{row.title}: {', '.join(names)}" if names else ""
