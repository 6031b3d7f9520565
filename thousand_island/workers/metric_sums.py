"""Adding up the metrics of several workers.

A snapshot is what one worker has counted, in a form that JSON can carry: a list of families ``[name, documentation,
type, samples]``, where a sample is ``[name, labels, value]``. Pure, but for ``snapshot``, which reads a registry.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

__all__ = ["Snapshot", "lasting", "snapshot", "total"]

Snapshot: TypeAlias = list[list[Any]]


def snapshot(registry: Any) -> Snapshot:
    """Takes the values of a ``CollectorRegistry``; the times when counters were made are none that can be added."""
    return [
        [
            family.name,
            family.documentation,
            family.type,
            [[one.name, one.labels, one.value] for one in family.samples if not one.name.endswith("_created")],
        ]
        for family in registry.collect()
    ]


def lasting(one: Snapshot) -> Snapshot:
    """What remains true of a worker that has ended: counters and histograms, not gauges."""
    return [family for family in one if family[2] != "gauge"]


def total(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Adds up all samples of the same name and labels."""
    families: dict[str, list[Any]] = {}
    values: dict[tuple[str, tuple[tuple[str, str], ...]], list[Any]] = {}
    for one in snapshots:
        for name, documentation, kind, samples in one:
            family = families.setdefault(name, [name, documentation, kind, []])
            for sample, labels, value in samples:
                key = sample, tuple(sorted(labels.items()))
                if key not in values:
                    values[key] = [sample, labels, 0.0]
                    family[3].append(values[key])
                values[key][2] += value
    return list(families.values())
