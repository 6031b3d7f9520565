"""What is computed from samples: no clock, no process, no text."""

from __future__ import annotations

import math
import statistics as standard
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Better = Literal["higher", "lower"]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Summary:
    """Several samples of one figure: their median, and the lowest and highest of them."""

    median: float
    lowest: float
    highest: float


def summarise(samples: Sequence[float]) -> Summary:
    """Gives the median and the range of the samples.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("there are no samples to summarise")
    return Summary(standard.median(samples), min(samples), max(samples))


def times_better(ours: float, peer: float, better: Better) -> float:
    """Says how many times better ours is: 2.0 is twice as fast, or half the latency; below 1.0 the peer is ahead."""
    good, bad = (ours, peer) if better == "higher" else (peer, ours)
    if good == bad:
        return 1.0
    return good / bad if bad else math.inf


def within(value: float, limit: float, better: Better) -> bool:
    """Whether the value is on the good side of the limit, or on it."""
    return value >= limit if better == "higher" else value <= limit


def rotated(items: Sequence[Item], turn: int) -> list[Item]:
    """The items with another one first each turn, so that none always runs after the same neighbour."""
    start = turn % len(items) if items else 0
    return [*items[start:], *items[:start]]
