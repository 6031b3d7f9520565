"""The section of a figure in the page: the picture, and the same medians as a table."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.curves import Figure, Panel, Series, series
from benchmarks.report import number, table_row
from benchmarks.rounds import RowResult


def render_figure(figure: Figure, results: Mapping[str, RowResult], picture: str | None) -> str:
    """Gives the section.

    Args:
        figure: what was measured.
        results: its points, by the row's name.
        picture: the PNG's address relative to the page; None where it could not be drawn.
    """
    parts = [
        f"## {figure.title}",
        f"![{figure.title}]({picture})" if picture else "",
        f"{figure.note} Medians over the rounds.".strip(),
        *(_table(panel, series(panel, results)) for panel in figure.panels),
        "\n".join(_problems(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(panel: Panel, lines: Series) -> str:
    sizes = sorted(panel.points)
    head = table_row(f"{panel.figure} at … {panel.size}", *(f"{size:,}" for size in sizes))
    return "\n".join([head, table_row("---", *("--:" for _ in sizes)), *(_line(lines, name, sizes) for name in lines)])


def _line(lines: Series, name: str, sizes: list[int]) -> str:
    figures = dict(lines[name])
    return table_row(name, *(number(figures[size]) if size in figures else "" for size in sizes))


def _problems(results: Mapping[str, RowResult]) -> list[str]:
    return [f"- {kept.row.title}, {name}: {why}" for kept in results.values() for name, why in kept.problems.items()]
