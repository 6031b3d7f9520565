"""Draws the figures. Knows nothing of how they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.curves import Figure, Panel, Series, series
from benchmarks.failures import UnavailableError
from benchmarks.rounds import RowResult

#: Inches of one panel, and dots per inch.
PANEL_SIZE = (6.4, 4.8)
RESOLUTION = 110

#: Beyond this ratio of the highest figure to the lowest only the powers of ten are labelled, or labels would overlap.
MOST_LABELLED = 50


def draw(figure: Figure, results: Mapping[str, RowResult], directory: Path) -> Path:
    """Writes the figure as a PNG into `directory` and gives its path.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    width, height = PANEL_SIZE
    canvas = _new_canvas(width * len(figure.panels), height)
    for number, panel in enumerate(figure.panels, start=1):
        _draw_panel(canvas.add_subplot(1, len(figure.panels), number), panel, series(panel, results))
    canvas.suptitle(figure.title)
    path = directory / f"{figure.name}.png"
    canvas.savefig(path, dpi=RESOLUTION)
    return path


def _new_canvas(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise UnavailableError(f"no plots without matplotlib ({error})") from error
    return Canvas(figsize=(width, height), layout="constrained")


def _draw_panel(axes: Any, panel: Panel, lines: Series) -> None:
    """Both axes are logarithmic: sizes and figures range over powers of ten. The first contender, ours, is thicker."""
    for number, (name, points) in enumerate(lines.items()):
        sizes, figures = [size for size, _ in points], [figure for _, figure in points]
        axes.plot(sizes, figures, label=name, marker="o", markersize=4, linewidth=1.3 if number else 2.6)
    axes.set(xscale="log", yscale="log", xlabel=panel.size, ylabel=panel.figure)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,g}")
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter("{x:,g}" if high < MOST_LABELLED * low else "")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small")
