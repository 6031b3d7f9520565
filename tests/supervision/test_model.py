"""Random trees under random events, compared with a model that shares no code with the supervisors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from supervision import (
    ChildInfo,
    ChildSpec,
    Ignore,
    NoProcess,
    Pid,
    ServerExit,
    Stop,
    SupervisionError,
    Supervisor,
    child_spec,
    process,
)
from tests.supervision.supervised import Journal, Script, down, end, exit_of, pids_of, worker
from tests.supervision.supervisor_model import Plan, Shape, SupervisorPlan, Tree, WorkerPlan, named

pytest.importorskip("hypothesis")

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

STARTS = {"fail": Stop("refused"), "ignore": Ignore(), "start": None}
# A few seconds of them.
EXAMPLES = 60
# Without the explaining of a failure, which traces every line of the runtime.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
ENDS = ["normal", "shutdown", ("shutdown", "detail"), "crash"]
REASONS = [*ENDS, "kill"]


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
            return child_spec((Planned, (self, plan)), id=plan.name, **fields)
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
    return tuple((child.id, shape_of(child)) for child in reversed(Supervisor.which_children(supervisor)))


def shape_of(child: ChildInfo) -> Shape:
    if child.type == "supervisor" and isinstance(child.pid, Pid):
        return shape(child.pid)
    return "up" if isinstance(child.pid, Pid) and process.is_alive(child.pid) else child.pid


def below(supervisor: Pid) -> Iterator[Pid]:
    """All processes below a supervisor."""
    for child in Supervisor.which_children(supervisor):
        if isinstance(child.pid, Pid):
            yield child.pid
            if child.type == "supervisor":
                yield from below(child.pid)


RESTARTS = st.sampled_from(["permanent", "transient", "temporary"])
WORKERS = st.builds(WorkerPlan, restart=RESTARTS, significant=st.booleans(), traps=st.booleans())


def supervisors(children: st.SearchStrategy[Plan], patience: st.SearchStrategy[int]) -> st.SearchStrategy[Plan]:
    return st.builds(
        SupervisorPlan,
        restart=RESTARTS,
        significant=st.booleans(),
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        max_restarts=patience,
        max_seconds=st.integers(1, 3),
        auto_shutdown=st.sampled_from(["never", "any_significant", "all_significant"]),
        children=st.lists(children, min_size=1, max_size=4).map(tuple),
    )


PLANS = st.recursive(WORKERS, lambda plans: supervisors(plans, st.integers(0, 2)), max_leaves=6)
# An example ends with its root, so that one is patient.
TREES = supervisors(PLANS, st.integers(1, 5))

Event = tuple[str, str, Any]


def events(tree: Tree) -> st.SearchStrategy[Event]:
    """Whatever can happen to a tree next; ends of workers come often, for most of what matters follows from them."""
    workers = [node.plan.name for node in tree.running() if isinstance(node.plan, WorkerPlan)]
    supervisors = [node.plan.name for node in tree.running() if isinstance(node.plan, SupervisorPlan)]
    return st.one_of(
        on("end", workers, st.just("crash")),
        on("end", workers, st.sampled_from(REASONS)),
        on("plan_starts", workers, st.lists(st.sampled_from(list(STARTS)), min_size=1, max_size=3)),
        on("wait", supervisors[:1], st.integers(1, 3)),
        on("kill", supervisors[1:], st.none()),
        on("stop", supervisors[1:], st.sampled_from(ENDS)),
        st.sampled_from(supervisors).flatmap(lambda supervisor: requests(tree, supervisor)),
    )


def on(operation: str, names: list[str], arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    """One kind of event, at any of some processes."""
    return st.tuples(st.just(operation), st.sampled_from(names), arguments) if names else st.nothing()


def requests(tree: Tree, supervisor: str) -> st.SearchStrategy[Event]:
    """Whatever a supervisor can be asked, about its children and one that it does not have."""
    node = tree.find(supervisor)
    ids = st.sampled_from([*(child.plan.name for child in node.children), "nobody"])
    plans = st.builds(lambda plan, number: named(plan, f"{supervisor}.{number}", node.plan), PLANS, st.integers(0, 5))
    return st.one_of(
        on("start_child", [supervisor], plans),
        *(on(operation, [supervisor], ids) for operation in ("terminate_child", "restart_child", "delete_child")),
    )


def happens(model: Tree, tree: RealTree, event: Event) -> None:
    """Let something happen to both, and compare what has become of them."""
    operation, name, argument = event
    expected = getattr(model, operation)(model.find(name), argument)
    assert getattr(tree, operation)(name, argument) == expected
    assert tree.shape() == (model.root and model.root.shape())
    compare_journals(model, tree)


def compare_journals(model: Tree, tree: RealTree) -> None:
    """Check who came up and went down, in which order; orphans end at any time, but in order among themselves."""
    expected = [model.journal, *model.orphans]
    assert is_shuffle(tree.journal, expected), (tree.journal, expected)
    for journal in (tree.journal, model.journal, model.orphans):
        journal.clear()


def is_shuffle(journal: list[Any], parts: list[list[Any]]) -> bool:
    """Whether a journal is its parts, each in order, and nothing else."""
    if not journal:
        return not any(parts)
    nexts = [number for number, part in enumerate(parts) if part[:1] == journal[:1]]
    return any(is_shuffle(journal[1:], [*parts[:n], parts[n][1:], *parts[n + 1 :]]) for n in nexts)


@pytest.mark.row("SU-55", "SU-57", "SU-58", "SU-66", "SU-68", "SU-72", "SU-73", "SU-74", "SU-75", "SU-76", "SU-77")
@pytest.mark.timeout(240)  # seconds: to make a failing example small takes longer than any passing run
@settings(max_examples=EXAMPLES, phases=PHASES)
@given(plan=TREES, data=st.data())
def test_a_tree_of_supervisors_does_what_the_model_says(plan: SupervisorPlan, data: st.DataObject) -> None:
    plan = named(plan, "root")
    model, tree = Tree(plan), RealTree(plan)
    try:
        for _ in range(data.draw(st.integers(5, 20), "events")):
            happens(model, tree, data.draw(events(model), "event"))
            if model.root is None:
                assert exit_of(tree.root) == "shutdown"
                return
        happens(model, tree, ("stop", "root", "normal"))
        assert exit_of(tree.root) == "normal"
    finally:
        if process.is_alive(tree.root):
            Supervisor.stop(tree.root)
