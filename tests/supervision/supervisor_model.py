"""What a tree of supervisors should do, said a second time: lists instead of processes, one thing after the other.

It shares no line with the code that it judges. A tree of plans is started at once; each method is one event, and when
it returns the tree is as it will stay. What the workers would write down on the way is in ``journal``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

Entry: TypeAlias = tuple[Any, ...]
Shape: TypeAlias = tuple[Any, ...] | str | None


@dataclass(frozen=True)
class WorkerPlan:
    """A worker: ``traps`` tells whether it traps exits, and so has the time to write down its end."""

    name: str = ""
    restart: str = "permanent"
    significant: bool = False
    traps: bool = True


@dataclass(frozen=True)
class SupervisorPlan:
    """A supervisor and its children."""

    name: str = ""
    restart: str = "permanent"
    significant: bool = False
    strategy: str = "one_for_one"
    max_restarts: int = 3
    max_seconds: int = 5
    auto_shutdown: str = "never"
    children: tuple[Plan, ...] = ()


Plan: TypeAlias = WorkerPlan | SupervisorPlan


def named(plan: Plan, name: str, parent: SupervisorPlan | None = None) -> Plan:
    """Give a plan and all below it names that tell their place, and no significance where it could mean nothing."""
    matters = parent is not None and parent.auto_shutdown != "never" and plan.restart != "permanent"
    plan = replace(plan, name=name, significant=plan.significant and matters)
    if isinstance(plan, WorkerPlan):
        return plan
    children = (named(child, f"{name}.{number}", plan) for number, child in enumerate(plan.children))
    return replace(plan, children=tuple(children))


class Refused(Exception):
    """A start that failed."""


class Node:
    """A process that runs."""

    def __init__(self, plan: Plan, parent: Node | None) -> None:
        self.plan: Any = plan
        self.parent = parent
        self.children: list[Child] = []
        self.restarts: list[int] = []

    def child(self, name: str) -> Child | None:
        return next((child for child in self.children if child.plan.name == name), None)

    def shape(self) -> Shape:
        """The children of a supervisor by name, None for those that do not run; a worker is ``"up"``."""
        if isinstance(self.plan, WorkerPlan):
            return "up"
        return tuple((child.plan.name, child.node and child.node.shape()) for child in self.children)


@dataclass
class Child:
    """A child as its supervisor keeps it."""

    plan: Plan
    node: Node | None


class Tree:
    """The model of one tree.

    Attributes:
        root: the supervisor at the top; None when it has ended.
        outcomes: what the next starts of a worker come to, by its name: ``"fail"``, ``"ignore"`` or ``"start"``.
        now: the time in seconds.
        journal: ``("up", name)`` and ``("down", name, reason)`` in the one order that is right.
        orphans: the same of processes whose supervisor was killed. They end beside whatever happens meanwhile; only the
            order within each list is right.
    """

    def __init__(self, plan: SupervisorPlan) -> None:
        self.outcomes: dict[str, list[str]] = defaultdict(list)
        self.now = 0
        self.journal: list[Entry] = []
        self.orphans: list[list[Entry]] = []
        self.root: Node | None = self._start(plan, None)

    def running(self) -> list[Node]:
        """All that run, each after its supervisor."""
        found = [self.root] if self.root else []
        for node in found:
            found.extend(child.node for child in node.children if child.node)
        return found

    def find(self, name: str) -> Node:
        return next(node for node in self.running() if node.plan.name == name)

    # Events

    def plan_starts(self, worker: Node, outcomes: list[str]) -> str:
        """Decide what the next starts of a worker come to."""
        self.outcomes[worker.plan.name].extend(outcomes)
        return "ok"

    def wait(self, _: Node, seconds: int) -> str:
        """Time passes."""
        self.now += seconds
        return "ok"

    def end(self, worker: Node, reason: Any) -> str:
        """A worker ends by itself, or is killed."""
        if reason == "kill":
            self._exited(worker, "killed")
        else:
            self.journal.append(("down", worker.plan.name, reason))
            self._exited(worker, reason)
        return "ok"

    def kill(self, supervisor: Node, _: Any) -> str:
        """A supervisor is killed; its children are left to themselves."""
        for child in supervisor.children:
            if child.node:
                self._orphan(child.node)
        self._exited(supervisor, "killed")
        return "ok"

    def stop(self, supervisor: Node, reason: Any) -> str:
        """A supervisor is told to stop."""
        self._end_children(supervisor, self.journal)
        self._exited(supervisor, reason)
        return "ok"

    def start_child(self, supervisor: Node, plan: Plan) -> str:
        present = supervisor.child(plan.name)
        if present:
            return "AlreadyStarted" if present.node else "AlreadyPresent"
        try:
            self._add(supervisor, plan)
        except Refused:
            return "StartError"
        return "ok"

    def terminate_child(self, supervisor: Node, name: str) -> str:
        child = supervisor.child(name)
        if not child:
            return "NotFound"
        self._end_child(supervisor, child, self.journal)
        return "ok"

    def restart_child(self, supervisor: Node, name: str) -> str:
        child = supervisor.child(name)
        if not child or child.node:
            return "Running" if child else "NotFound"
        try:
            child.node = self._start(child.plan, supervisor)
        except Refused:
            return "StartError"
        return "ok"

    def delete_child(self, supervisor: Node, name: str) -> str:
        child = supervisor.child(name)
        if not child or child.node:
            return "Running" if child else "NotFound"
        supervisor.children.remove(child)
        return "ok"

    # Starting and ending

    def _start(self, plan: Plan, parent: Node | None) -> Node | None:
        node = Node(plan, parent)
        if isinstance(plan, WorkerPlan):
            return self._start_worker(node)
        try:
            for child in plan.children:
                self._add(node, child)
        except Refused:
            self._end_children(node, self.journal)
            raise
        return node

    def _start_worker(self, node: Node) -> Node | None:
        coming = self.outcomes[node.plan.name]
        outcome = coming.pop(0) if coming else "start"
        if outcome == "fail":
            raise Refused
        if outcome == "ignore":
            return None
        self.journal.append(("up", node.plan.name))
        return node

    def _add(self, supervisor: Node, plan: Plan) -> None:
        node = self._start(plan, supervisor)
        if node or plan.restart != "temporary":
            supervisor.children.append(Child(plan, node))

    def _end(self, node: Node, reason: str, journal: list[Entry]) -> None:
        self._end_children(node, journal)
        if isinstance(node.plan, WorkerPlan) and node.plan.traps:
            journal.append(("down", node.plan.name, reason))

    def _end_children(self, supervisor: Node, journal: list[Entry]) -> None:
        for child in reversed(list(supervisor.children)):
            self._end_child(supervisor, child, journal)

    def _end_child(self, supervisor: Node, child: Child, journal: list[Entry]) -> None:
        if child.node:
            self._end(child.node, "shutdown", journal)
        self._ended(supervisor, child)

    def _ended(self, supervisor: Node, child: Child) -> None:
        child.node = None
        if child.plan.restart == "temporary":
            supervisor.children.remove(child)

    def _orphan(self, node: Node) -> None:
        entries: list[Entry] = []
        self._end(node, "killed", entries)
        self.orphans.append(entries)

    # What the end of a child does

    def _exited(self, node: Node, reason: Any) -> None:
        supervisor = node.parent
        if supervisor is None:
            self.root = None
            return
        child = next(child for child in supervisor.children if child.node is node)
        child.node = None
        planned = reason in ("normal", "shutdown") or (isinstance(reason, tuple) and reason[0] == "shutdown")
        if child.plan.restart == "permanent" or (child.plan.restart == "transient" and not planned):
            self._restart(supervisor, child)
        else:
            self._leave(supervisor, child)

    def _leave(self, supervisor: Node, child: Child) -> None:
        self._ended(supervisor, child)
        others = any(other.node and other.plan.significant for other in supervisor.children)
        if child.plan.significant and not (supervisor.plan.auto_shutdown == "all_significant" and others):
            self._shut_down(supervisor)

    def _restart(self, supervisor: Node, child: Child) -> None:
        failed: Child | None = child
        while failed:
            supervisor.restarts.append(self.now)
            recent = [time for time in supervisor.restarts if self.now - time <= supervisor.plan.max_seconds]
            if len(recent) > supervisor.plan.max_restarts:
                self._shut_down(supervisor)
                return
            failed = self._attempt(supervisor, failed)

    def _attempt(self, supervisor: Node, child: Child) -> Child | None:
        """Restart a child and those that belong to it; returns the one that failed."""
        group = together(supervisor, child)
        for member in reversed(group):
            self._end_child(supervisor, member, self.journal)
        for member in group:
            if member.plan.restart != "temporary":
                try:
                    member.node = self._start(member.plan, supervisor)
                except Refused:
                    return member
        return None

    def _shut_down(self, supervisor: Node) -> None:
        self._end_children(supervisor, self.journal)
        self._exited(supervisor, "shutdown")


def together(supervisor: Node, child: Child) -> list[Child]:
    """The children that are restarted with one of them."""
    first = supervisor.children.index(child) if supervisor.plan.strategy == "rest_for_one" else 0
    return [child] if supervisor.plan.strategy == "one_for_one" else supervisor.children[first:]
