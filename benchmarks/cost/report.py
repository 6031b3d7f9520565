"""The tables: what one of each kind of work costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.report import table_row

#: What happens less often than this for one piece of work is noise of the runtime's own housekeeping.
RARE = 0.01

HEADER = ("work", "server", "Python calls", "built-in calls", "lock operations", "system calls", "peak", "kept")

#: Digits behind the point: enough for something that happens once in a hundred.
DIGITS = 2


@dataclass(slots=True)
class Cost:
    """What `count` pieces of work have cost.

    Attributes:
        work: what was done.
        server: who did it.
        counts: kind of cost → name → how often for one piece of work; None where it cannot be counted here.
    """

    work: str
    server: str
    counts: dict[str, Mapping[str, float] | None] = field(default_factory=dict)


def each(counts: Mapping[str, float], count: int) -> dict[str, float]:
    """Divides by the number of pieces of work and drops what is rare."""
    shares = {name: total / count for name, total in counts.items()}
    return {name: share for name, share in sorted(shares.items(), key=lambda item: -item[1]) if share >= RARE}


def summary_line(cost: Cost) -> str:
    """The line of the table."""
    python, built_in = _split(cost.counts.get("calls"))
    memory = cost.counts.get("memory") or {}
    return table_row(
        cost.work,
        cost.server,
        _total(python),
        _total(built_in),
        _total(cost.counts.get("locks")),
        _total(cost.counts.get("system")),
        _bytes(memory.get("peak")),
        _bytes(memory.get("kept")),
    )


def details(cost: Cost) -> str:
    """Everything that was counted, by name."""
    kinds = (cost.counts.get(kind) for kind in ("calls", "locks", "system"))
    parts = ["\n".join(f"- {share:.{DIGITS}f} {name}" for name, share in counts.items()) for counts in kinds if counts]
    return "\n\n".join([f"### {cost.work}, {cost.server}", *parts])


def _split(counts: Mapping[str, float] | None) -> tuple[Mapping[str, float] | None, Mapping[str, float] | None]:
    if counts is None:
        return None, None
    python = {name: share for name, share in counts.items() if name.startswith("python ")}
    return python, {name: share for name, share in counts.items() if name not in python}


def _total(counts: Mapping[str, float] | None) -> str:
    return "?" if counts is None else f"{sum(counts.values()):.{DIGITS}f}"


def _bytes(number: float | None) -> str:
    return "?" if number is None else f"{number:,.0f}"
