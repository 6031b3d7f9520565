"""All rows, in the order of the table."""

from __future__ import annotations

from benchmarks.rounds import Row
from benchmarks.rows import echo, fairness, idle, processors, runtime


def all_rows() -> list[Row]:
    """Every row there is."""
    return [*echo.rows(), *idle.rows(), *fairness.rows(), *runtime.rows(), *processors.rows()]
