"""The metrics of all workers together, for ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from supervision.arguments import milliseconds
from thousand_island.errors import ServerUnavailable
from thousand_island.metrics import require_client
from thousand_island.workers.api import ask_workers
from thousand_island.workers.supervisor import shared

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["MetricsCollector"]


class MetricsCollector:
    """Asks the workers when it is asked: ``prometheus_client.REGISTRY.register(MetricsCollector("shop"))``.

    The metrics are those of ``thousand_island.metrics``, summed; the workers need the option ``metrics=True``. Counters
    keep what workers have counted that have ended: all of it after draining, else as of the last time they were asked.

    Args:
        workers: the supervisor: a pid, a registered name or a via. While it is not running there are no metrics.
        timeout: milliseconds that the workers have to answer; those that do not count with their last answer.

    Raises:
        ModuleNotFoundError: ``prometheus_client`` is not installed.
    """

    def __init__(self, workers: Any, timeout: int = 2_000) -> None:
        self.workers = workers
        self.timeout = milliseconds("timeout", timeout)
        self.client = require_client()

    def describe(self) -> list[Metric]:
        """Give no names: what is to be found is not known before the workers are asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give the sums."""
        try:
            sharing = shared(self.workers)
        except ServerUnavailable:
            return
        ask_workers(list(sharing.live()), "metrics", self.timeout)  # the answers are kept where ``counted`` finds them
        for name, documentation, kind, samples in sharing.counted():
            metric = self.client.Metric(name, documentation, kind)
            for sample, labels, value in samples:
                metric.add_sample(sample, labels, value)
            yield metric
