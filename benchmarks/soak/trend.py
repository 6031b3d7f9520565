"""Whether a series of samples grows: pure arithmetic, no clock, no process.

Two questions, and only two yeses mean growth:

* *How much?* The Theil-Sen slope, the median of the slopes between all pairs of samples, times the length of the
  series. Up to 29 % of the samples may be anything at all without moving it far: a late worker thread, a burst of the
  allocator.
* *By chance?* The Mann-Kendall test: of all pairs, how many more rise than fall, in standard deviations of what
  samples in random order would give.

A tolerance goes with the first: an allocator takes memory in steps, and a step is not a leak. A leak of one object for
each connection or actor is far above it, since there are thousands of them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

#: Standard deviations: in one series out of a thousand without a trend chance gives more.
CERTAIN = 3.09

#: The share of the samples at the start that is dropped: caches fill, workers start, the allocator finds its size.
WARM_UP = 1 / 3

#: Samples after the warm-up below which nothing is said.
FEWEST = 10

Sample = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Trend:
    """What a series does.

    Attributes:
        growth: from its first sample to its last along the Theil-Sen slope, in the unit of the samples.
        certainty: the Mann-Kendall statistic, in standard deviations; positive where it rises.
    """

    growth: float
    certainty: float


def after_warm_up(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Drops the warm-up.

    Raises:
        ValueError: fewer than ten samples would be left.
    """
    kept = samples[round(len(samples) * WARM_UP) :]
    if len(kept) < FEWEST:
        raise ValueError(
            f"{len(kept)} samples after the warm-up say nothing about growth; at least {FEWEST} are needed"
        )
    return kept


def trend(samples: Sequence[Sample]) -> Trend:
    """Gives the trend of at least two samples, pairs of time and value in the order of time."""
    pairs = list(combinations(samples, 2))
    slope = statistics.median((later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in pairs)
    balance = sum((later[1] > earlier[1]) - (later[1] < earlier[1]) for earlier, later in pairs)
    return Trend(slope * (samples[-1][0] - samples[0][0]), _deviations(balance, len(samples)))


def grows(found: Trend, tolerance: float) -> bool:
    """Whether the series grows by more than the tolerance, and not by chance."""
    return found.growth > tolerance and found.certainty > CERTAIN


def _deviations(balance: int, count: int) -> float:
    """Mann and Kendall's variance without ties; ties make it smaller, so that this errs on the side of no trend."""
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return (balance - math.copysign(1, balance)) / deviation if balance else 0.0
