"""Random trees under random events, compared with a model that shares no code with the supervisors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from supervision import ChildSpec, Ignore, NoProcess, Pid, ServerExit, Stop, SupervisionError, Supervisor, process
from supervision import child_spec as spec_of
from tests.supervision.supervised import Journal, Script, down, end, exit_of, pids_of, worker
from tests.supervision.supervisor_model import Entry, Plan, Shape, SupervisorPlan, Tree, WorkerPlan, named

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

STARTS = {"fail": Stop("refused"), "ignore": Ignore(), "start": None}
REASONS = ["normal", "shutdown", ("shutdown", "detail"), "crash"]


class FakeTime:
    """The clock of every supervisor under test, in seconds."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> float:
        return self.now


class Planned(Supervisor):
    """A supervisor as a plan describes it."""

    clock = FakeTime()

    def init(self, arg: tuple[RealTree, SupervisorPlan]) -> Any:
        tree, plan = arg
        return super().init(
            [tree.spec(child) for child in plan.children],
            strategy=plan.strategy,
            max_restarts=plan.max_restarts,
            max_seconds=plan.max_seconds,
            auto_shutdown=plan.auto_shutdown,
        )


class RealTree:
    """The same events as the model's, for processes. Each returns when the tree has come to rest.

    It never waits for time to pass: the end of a child is in its supervisor's mailbox before the test hears of it, so
    whatever the supervisor is asked then, it answers afterwards.
    """

    def __init__(self, plan: SupervisorPlan) -> None:
        self.journal: Journal = []
        self.starts: dict[str, list[Any]] = defaultdict(list)
        self.root = Planned.start_link((self, plan))

    def spec(self, plan: Plan) -> ChildSpec:
        fields: dict[str, Any] = {"restart": plan.restart, "significant": plan.significant}
        if isinstance(plan, SupervisorPlan):
            return spec_of((Planned, (self, plan)), id=plan.name, **fields)
        return worker(plan.name, Script(plan.name, self.journal, self.starts[plan.name], plan.traps), **fields)

    def shape(self) -> Shape:
        return shape(self.root) if process.is_alive(self.root) else None

    # Events

    def plan_starts(self, name: str, outcomes: list[str]) -> str:
        self.starts[name].extend(STARTS[outcome] for outcome in outcomes)
        return "ok"

    def wait(self, _: str, seconds: int) -> str:
        Planned.clock.now += seconds
        return "ok"

    def end(self, name: str, reason: Any) -> str:
        *above, pid = self._path(name)
        end(pid, reason)
        return self._settle(above)

    def kill(self, name: str, _: Any) -> str:
        *above, pid = self._path(name)
        orphans = [process.monitor(orphan) for orphan in below(pid)]
        end(pid, "kill")
        for orphan in orphans:
            down(orphan)
        return self._settle(above)

    def stop(self, name: str, reason: Any) -> str:
        *above, pid = self._path(name)
        Supervisor.stop(pid, reason)
        return self._settle(above)

    def start_child(self, supervisor: str, plan: Plan) -> str:
        return self._ask(supervisor, Supervisor.start_child, self.spec(plan))

    def terminate_child(self, supervisor: str, name: str) -> str:
        return self._ask(supervisor, Supervisor.terminate_child, name)

    def restart_child(self, supervisor: str, name: str) -> str:
        return self._ask(supervisor, Supervisor.restart_child, name)

    def delete_child(self, supervisor: str, name: str) -> str:
        return self._ask(supervisor, Supervisor.delete_child, name)

    def _ask(self, supervisor: str, operation: Any, argument: Any) -> str:
        try:
            operation(self._path(supervisor)[-1], argument)
        except SupervisionError as refusal:
            return type(refusal).__name__
        return "ok"

    def _path(self, name: str) -> list[Pid]:
        """The pids from the root to a process, whose name tells where it is."""
        path, places = [self.root], name.split(".")
        for depth in range(2, len(places) + 1):
            path.append(pids_of(path[-1])[".".join(places[:depth])])
        return path

    def _settle(self, path: list[Pid]) -> str:
        """Have the supervisors handle what they have, each before the one above; some of them end by it."""
        for pid in reversed(path):
            try:
                while "restarting" in pids_of(pid).values():
                    pass
            except (NoProcess, ServerExit):
                continue
        return "ok"


def shape(supervisor: Pid) -> Shape:
    """What the model's ``Node.shape`` says, of processes."""
    children = reversed(Supervisor.which_children(supervisor))
    shapes = {child.id: shape(child.pid) if child.type == "supervisor" and child.pid else child for child in children}
    return tuple(shapes.items())


def below(supervisor: Pid) -> Iterable[Pid]:
    for child in Supervisor.which_children(supervisor):
        if isinstance(child.pid, Pid):
            yield child.pid
            if child.type == "supervisor":
                yield from below(child.pid)
