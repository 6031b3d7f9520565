"""Curves: one kind of work measured at several sizes, each size like a row of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.rounds import Row, RowResult, run_row
from benchmarks.settings import Settings
from benchmarks.statistics import summarise

#: Contender → pairs of size and median.
Series = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram: a figure against a size.

    Attributes:
        size: what grows along the x axis.
        figure: what is measured, with its unit.
        key: the figure's name in what a slice gives.
        points: size → the row that measures there. Several panels may share them.
    """

    size: str
    figure: str
    key: str
    points: Mapping[int, Row]


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels that are drawn side by side.

    Attributes:
        name: what `--only` selects, and the name of the file without its ending.
        title: as the page shows it.
        note: what a reader has to know to read it.
    """

    name: str
    title: str
    panels: Sequence[Panel]
    note: str = ""


def measure(figure: Figure, settings: Settings, progress: Callable[[str], None]) -> dict[str, RowResult]:
    """Measures every point of the figure once, however many panels show it; gives the results by the row's name."""
    rows = {row.name: row for panel in figure.panels for row in panel.points.values()}
    return {name: run_row(row, settings, progress) for name, row in rows.items()}


def series(panel: Panel, results: Mapping[str, RowResult]) -> Series:
    """The medians of a panel, contender by contender; a size at which one has no figure is not among its own."""
    found: Series = {}
    for size, row in sorted(panel.points.items()):
        samples = results[row.name].samples
        for contender in row.contenders:
            kept = found.setdefault(contender.name, [])
            if contender.name in samples:
                kept.append((size, summarise(samples[contender.name][panel.key]).median))
    return found
