"""Interleaved rounds: in each, every contender of a row works once for a short slice, in rotating order.

A machine's speed drifts by tens of percents within minutes. Contenders that take turns meet the same weather, so the
ratio of their medians holds where the figures themselves do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.failures import UnavailableError, WrongResultError
from benchmarks.settings import Settings
from benchmarks.statistics import Better, rotated

Slice = Callable[[Settings], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the row's work.

    Attributes:
        name: as the table shows it.
        work: does one slice and gives its figures by metric key; each slice starts processes of its own.
    """

    name: str
    work: Slice


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a row.

    Attributes:
        key: its name in what a slice gives.
        unit: as the table shows it.
        better: which direction is the good one.
        targets: how many times better than each peer ours has to be, by the peer's name.
        limit: what ours itself has to keep, whatever the peers do.
    """

    key: str
    unit: str
    better: Better = "higher"
    targets: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work; the first contender is ours.

    Attributes:
        name: what `--only` selects.
        title: as the table shows it.
        most_rounds: where a slice is slow and its figure hardly varies, fewer rounds than asked for are enough.
        note: what a reader has to know to read the figures.
        optional: ours may be absent, where it needs what few machines have.
        in_quick: whether quick runs have it.
    """

    name: str
    title: str
    contenders: Sequence[Contender]
    metrics: Sequence[Metric]
    most_rounds: int | None = None
    note: str = ""
    optional: bool = False
    in_quick: bool = True


@dataclass(slots=True)
class RowResult:
    """All samples of a row.

    Attributes:
        samples: contender → metric key → one figure per round.
        unavailable: contender → why it could not run.
        wrong: contender → what it did wrong; its samples are dropped.
    """

    row: Row
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> dict[str, str]:
        """Why contenders have no figures, by name."""
        gone = {name: f"not available: {why}" for name, why in self.unavailable.items()}
        return gone | {name: f"FAILED: {why}" for name, why in self.wrong.items()}


def run_row(row: Row, settings: Settings, progress: Callable[[str], None]) -> RowResult:
    """Runs all rounds of one row; a contender that cannot run, or does wrong, is left out from then on."""
    result = RowResult(row)
    for turn in range(min(settings.rounds, row.most_rounds or settings.rounds)):
        for contender in rotated(row.contenders, turn):
            if contender.name not in result.problems:
                _run_slice(contender, settings, result)
                progress(_progress_line(turn, contender, result))
    return result


def _run_slice(contender: Contender, settings: Settings, result: RowResult) -> None:
    try:
        figures = contender.work(settings)
    except UnavailableError as error:
        result.unavailable[contender.name] = str(error)
    except WrongResultError as error:
        result.wrong[contender.name] = str(error)
        result.samples.pop(contender.name, None)
    else:
        samples = result.samples.setdefault(contender.name, defaultdict(list))
        for key, value in figures.items():
            samples[key].append(value)


def _progress_line(turn: int, contender: Contender, result: RowResult) -> str:
    figures = [
        f"{result.samples[contender.name][metric.key][-1]:,.2f} {metric.unit}"
        for metric in result.row.metrics
        if contender.name in result.samples
    ]
    outcome = result.problems.get(contender.name) or ", ".join(figures)
    return f"{result.row.name}, round {turn + 1}: {contender.name}: {outcome}"
