"""Fixtures: what a test starts and does not leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervision import DynamicSupervisor, Pid, Supervisor, process
from tests.supervision.actors import Echo


@pytest.fixture
def server() -> Iterator[Pid]:
    """An Echo."""
    pid = Echo.start("state")
    yield pid
    process.exit(pid, "kill")


@pytest.fixture
def supervise() -> Iterator[Callable[..., Pid]]:
    """Starts an inline supervisor, one_for_one by default, that does not outlive the test."""
    started: list[Pid] = []

    def start(children: Any = (), *, supervisor: type[Supervisor] = Supervisor, **flags: Any) -> Pid:
        pid = supervisor.start_link(children, **{"strategy": "one_for_one", "max_restarts": 100, **flags})
        started.append(pid)
        return pid

    yield start
    for pid in started:
        if process.is_alive(pid):
            Supervisor.stop(pid)


@pytest.fixture
def supervise_dynamic() -> Iterator[Callable[..., Pid]]:
    """Starts a dynamic supervisor that does not outlive the test."""
    started: list[Pid] = []

    def start(**flags: Any) -> Pid:
        pid = DynamicSupervisor.start_link(**{"max_restarts": 100, **flags})
        started.append(pid)
        return pid

    yield start
    for pid in started:
        if process.is_alive(pid):
            Supervisor.stop(pid)
