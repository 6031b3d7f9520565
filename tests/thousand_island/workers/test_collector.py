from __future__ import annotations

from typing import Any

import prometheus_client
import pytest

from tests.thousand_island.workers.running import HANDLERS, running
from thousand_island import workers
from thousand_island.workers import MetricsCollector

LABELS = {"handler": f"{HANDLERS}.Identified"}


class Metrics:
    """A registry that has the metrics of workers and nothing else."""

    def __init__(self, pid: Any) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self.registry.register(MetricsCollector(pid, 10_000))

    def __getitem__(self, name: str) -> float:
        value = self.registry.get_sample_value(f"thousand_island_{name}", LABELS)
        assert value is not None
        return value


def test_the_metrics_of_all_workers_are_added() -> None:
    with running(metrics=True) as server:
        server.connect_to_each()
        metrics = Metrics(server.pid)
        assert metrics["connections_started_total"] == metrics["connections"] == len(server.clients)


def test_counters_keep_what_replaced_workers_have_counted() -> None:
    with running("Goodbye", metrics=True) as server:
        clients = server.connect_to_each()
        registry = prometheus_client.CollectorRegistry()
        registry.register(MetricsCollector(server.pid))
        workers.rolling_restart(server.pid)
        for client in clients.values():
            client.recv(100)
        server.wait_for_old_ones()
        labels = {"handler": f"{HANDLERS}.Goodbye"}
        assert registry.get_sample_value("thousand_island_connections_started_total", labels) == len(server.clients)
        assert registry.get_sample_value("thousand_island_connections", labels) in (None, 0.0)


def test_counters_keep_what_was_last_seen_of_a_worker_that_was_killed() -> None:
    with running(workers=1, metrics=True) as server:
        server.connect_to_each()
        metrics = Metrics(server.pid)
        before = metrics["connections_started_total"]
        (victim,) = server.os_pids()
        server.wait_for_restart(server.kill(victim))
        server.connect_to_each()
        assert metrics["connections_started_total"] == before + 1
        assert metrics["connections"] == 1


def test_without_the_option_workers_count_nothing() -> None:
    with running(workers=1) as server:
        server.connect_to_each()
        assert list(MetricsCollector(server.pid).collect()) == []


def test_there_are_no_metrics_of_workers_that_do_not_run() -> None:
    assert list(MetricsCollector("nobody").collect()) == []


def test_it_refuses_a_time_that_is_none() -> None:
    with pytest.raises(TypeError):
        MetricsCollector("nobody", 0.5)  # type: ignore[arg-type]
