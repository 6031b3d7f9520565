"""Runs the rows, prints the table, and writes it where a full run is asked for."""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import machine, report
from benchmarks.curve_report import render_figure
from benchmarks.curves import Figure, measure
from benchmarks.failures import UnavailableError
from benchmarks.files import Files
from benchmarks.load_generator import make_load_generator
from benchmarks.plots import draw
from benchmarks.quick import for_quick
from benchmarks.rounds import Row, RowResult, run_row
from benchmarks.rows.catalogue import all_figures, all_rows
from benchmarks.settings import Settings

RESULTS = Path(__file__).with_name("RESULTS.md")

#: Rounds, and seconds that are counted and seconds that are not, of each slice. More rounds tell more than longer ones.
FULL = (7, 1.0, 0.3)
QUICK = (2, 0.4, 0.1)


def main() -> int:
    """Runs what the command line asks for.

    Returns:
        0; 1 where something did its work wrongly or ours could not run, since the table then says nothing.
    """
    arguments = _parse()
    rows, figures, left_out = _chosen(arguments)
    output = arguments.output or (None if arguments.quick or arguments.only else RESULTS)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        settings = _settings(arguments, Path(directory))
        results = [run_row(row, settings, _progress) for row in rows]
        curves = [(figure, measure(figure, settings, _progress)) for figure in figures]
        page = report.render(results, _heading(settings), left_out)
    page += "".join(f"\n{_figure(figure, points, output)}" for figure, points in curves)
    print(page)
    if output:
        output.write_text(page)
    return _exit_status([*results, *(point for _, points in curves for point in points.values())])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short slices, two rounds, under two minutes")
    parser.add_argument(
        "--only",
        metavar="NAME",
        help="only what has a name that begins with NAME, such as echo, idle-5000, actor, curve-memory",
    )
    parser.add_argument("--rounds", type=_positive, help="rounds (default: 7, quick: 2)")
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="a Python without the GIL")
    parser.add_argument(
        "--output",
        type=Path,
        help="where to write the page, with its plots beside it (default: RESULTS.md, full runs only)",
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def _chosen(arguments: argparse.Namespace) -> tuple[list[Row], list[Figure], list[str]]:
    """What to measure, and what a quick run leaves out of it. Curves take minutes, so that no quick run has them."""
    rows, figures = all_rows(), all_figures()
    if arguments.only:
        return *_named(rows, figures, arguments.only), []
    if not arguments.quick:
        return rows, figures, []
    kept, left_out = for_quick(rows)
    return kept, [], [*left_out, *(figure.title for figure in figures)]


def _named(rows: Sequence[Row], figures: Sequence[Figure], name: str) -> tuple[list[Row], list[Figure]]:
    chosen = (
        [each for each in rows if each.name.startswith(name)],
        [each for each in figures if each.name.startswith(name)],
    )
    if not any(chosen):
        names = ", ".join(each.name for each in [*rows, *figures])
        sys.exit(f"nothing's name begins with {name!r}; there are: {names}")
    return chosen


def _settings(arguments: argparse.Namespace, directory: Path) -> Settings:
    rounds, seconds, warmup = QUICK if arguments.quick else FULL
    return Settings(
        rounds=arguments.rounds or rounds,
        seconds=seconds,
        warmup=warmup,
        load=make_load_generator(directory),
        files=Files(directory),
        free_threaded_python=arguments.python,
    )


def _heading(settings: Settings) -> list[str]:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return [
        f"Date: {today}",
        *machine.description(),
        f"Rounds: {settings.rounds}, slices of {settings.seconds:g} s after {settings.warmup:g} s of warm-up",
        f"Load generator: {settings.load.description}",
    ]


def _figure(figure: Figure, points: Mapping[str, RowResult], output: Path | None) -> str:
    """The section of a figure, which is drawn where there is a page beside which it can lie."""
    picture = None
    if output:
        try:
            picture = draw(figure, points, output.parent).name
        except UnavailableError as error:
            _progress(f"{figure.title}: {error}")
    return render_figure(figure, points, picture)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _exit_status(results: Sequence[RowResult]) -> int:
    wrong = [why for result in results for why in result.wrong.values()]
    absent = any(result.row.contenders[0].name in result.unavailable for result in results if not result.row.optional)
    for line in report.missed(results):
        _progress(f"target missed: {line}")
    for line in wrong:
        _progress(f"FAILED: {line}")
    return 1 if wrong or absent else 0


if __name__ == "__main__":
    sys.exit(main())
