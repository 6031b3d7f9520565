from __future__ import annotations

from typing import Any

import prometheus_client

from thousand_island.workers.metric_sums import lasting, snapshot, total


def one(name: str, value: float, kind: str = "counter", **labels: str) -> list[Any]:
    return [name, "What it tells.", kind, [[f"{name}_total", labels, value]]]


def test_samples_of_the_same_name_and_labels_are_added() -> None:
    first = [one("started", 1.0, handler="A", error=""), one("reads", 5.0)]
    second = [one("started", 2.0, error="", handler="A")]
    assert total([first, second]) == [one("started", 3.0, handler="A", error=""), one("reads", 5.0)]


def test_samples_of_other_labels_stay_apart() -> None:
    (family,) = total([[one("started", 1.0, handler="A")], [one("started", 2.0, handler="B")]])
    assert family[3] == [["started_total", {"handler": "A"}, 1.0], ["started_total", {"handler": "B"}, 2.0]]


def test_adding_changes_no_snapshot() -> None:
    first = [one("started", 1.0)]
    total([first, first])
    assert first == [one("started", 1.0)]


def test_nothing_adds_up_to_nothing() -> None:
    assert total([]) == total([[], []]) == []


def test_gauges_do_not_last() -> None:
    counter, histogram, gauge = one("a", 1.0), one("b", 1.0, "histogram"), one("c", 1.0, "gauge")
    assert lasting([counter, histogram, gauge]) == [counter, histogram]


def test_a_snapshot_has_the_values_of_a_registry_and_no_times() -> None:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("seen", "Seen.", ["by"], registry=registry).labels("me").inc(2)
    assert snapshot(registry) == [["seen", "Seen.", "counter", [["seen_total", {"by": "me"}, 2.0]]]]
