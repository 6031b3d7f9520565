"""The supervision tree as plain data.

Read off the records of the processes and of their supervisors, without asking any of them; see ``introspection``.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, overload

from supervision import names
from supervision.children import Child
from supervision.process_table import Pid, Process, live_processes
from supervision.supervisor_children import SupervisorChildren

__all__ = ["TreeNode", "tree"]


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One process, or one child of a supervisor that does not run.

    Attributes:
        pid: the process; None for a child that does not run.
        label: its label, else what it was started to run.
        id: its id under its supervisor; None if it has none.
        kind: ``"actor"``, ``"supervisor"`` or ``"process"``; for a child that does not run the type of its spec.
        status: ``"running"`` (a thread runs it), ``"waiting"``, ``"suspended"``, ``"restarting"`` or ``"stopped"``.
        message_queue_len: messages it has not taken.
        restarts: how often its supervisor has restarted it.
        children: what its supervisor started, in that order, then whatever else it started.
    """

    pid: Pid | None
    label: Any
    id: Hashable
    kind: str
    status: str
    message_queue_len: int
    restarts: int
    children: tuple[TreeNode, ...]


@overload
def tree(pid: None = None) -> tuple[TreeNode, ...]: ...


@overload
def tree(pid: Any) -> TreeNode | None: ...


def tree(pid: Any = None) -> tuple[TreeNode, ...] | TreeNode | None:
    """Returns what runs below a process, or everything.

    Args:
        pid: a pid, a name or a via; None for everything that nobody, or a foreign thread, has started.

    Returns:
        The node of ``pid``, None if there is no such live process; without ``pid`` all roots, the oldest first.

    Counterpart: the tree that ``observer`` shows.
    """
    if pid is None:
        return _Forest().roots()
    process = names.find(pid)
    return None if process is None else _Forest().nodes.get(process)


class _Forest:
    """A snapshot: who belongs to whom, and the node of each process.

    Whoever belongs to another is younger than that one, so the nodes can be made from the youngest to the oldest.
    """

    def __init__(self) -> None:
        living = [process for process in list(live_processes.values()) if process.kind != "foreign"]
        self.living = sorted(living, key=_number)
        self.entries: dict[Process, Child] = {}
        self.owners: dict[Process, Process] = {}
        self.below: dict[Process, list[Process | Child]] = {process: [] for process in self.living}
        for process in self.living:
            self._read_supervisor(process)
        for process in self.living:
            self._read_parent(process)
        self.nodes: dict[Process, TreeNode] = {}
        for process in reversed(self.living):
            self.nodes[process] = self._node(process)

    def roots(self) -> tuple[TreeNode, ...]:
        """The nodes of those that belong to nobody."""
        return tuple(self.nodes[process] for process in self.living if process not in self.owners)

    def _read_supervisor(self, supervisor: Process) -> None:
        state = getattr(supervisor.body, "state", None)
        if not isinstance(state, SupervisorChildren):  # no supervisor, or one that still starts its first children
            return
        for child in state.snapshot():
            process = None if child.pid is None or child.retry is not None else child.pid._process
            if process is None or process.dead:
                self.below[supervisor].append(child)
            elif self._belongs(process, supervisor):
                self.entries[process] = child

    def _read_parent(self, process: Process) -> None:
        parent = process.parent
        if parent is not None and process not in self.owners:
            self._belongs(process, parent._process)

    def _belongs(self, process: Process, owner: Process) -> bool:
        if owner not in self.below or process not in self.below or _number(process) <= _number(owner):
            return False
        self.owners[process] = owner
        self.below[owner].append(process)
        return True

    def _node(self, process: Process) -> TreeNode:
        entry = self.entries.get(process)
        below = self.below[process]
        return TreeNode(
            pid=process.pid,
            label=process.initial_call if process.label is None else process.label,
            id=None if entry is None else entry.spec.id,
            kind=process.kind,
            status=process.status(),
            message_queue_len=process.queue_length(),
            restarts=0 if entry is None else entry.restarts,
            children=tuple(_stopped(one) if isinstance(one, Child) else self.nodes[one] for one in below),
        )


def _number(process: Process) -> int:
    return process.pid._number


def _stopped(child: Child) -> TreeNode:
    """The node of a child that does not run."""
    status = "stopped" if child.retry is None else "restarting"
    return TreeNode(None, None, child.spec.id, child.spec.type, status, 0, child.restarts, ())
