"""All rows and figures, in the order of the page."""

from __future__ import annotations

from benchmarks.curves import Figure
from benchmarks.rounds import Row
from benchmarks.rows import curves, echo, fairness, idle, processors, runtime


def all_rows() -> list[Row]:
    """Every row there is."""
    return [*echo.rows(), *idle.rows(), *fairness.rows(), *runtime.rows(), *processors.rows()]


def all_figures() -> list[Figure]:
    """Every figure there is."""
    return curves.figures()
