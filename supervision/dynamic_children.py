"""The children of a DynamicSupervisor: in no order, each under its pid.

Counterpart: the state of Elixir's ``DynamicSupervisor``.
"""

from __future__ import annotations

from typing import Any

from supervision import children
from supervision.child_spec import ChildSpec
from supervision.children import Child, ChildCounts, ChildInfo
from supervision.errors import BadArgument, BadChildSpec, MaxChildren, NotFound, StartError
from supervision.process_table import Pid, Process
from supervision.restart import RestartIntensity
from supervision.shown import shown
from supervision.supervisor_children import Clocks, SupervisorChildren
from supervision.supervisor_flags import DynamicFlags
from supervision.termination import terminate_together

__all__ = ["DynamicChildren", "significant_is_refused"]


def significant_is_refused(spec: ChildSpec) -> BadChildSpec:
    """What to raise where a child is significant: a DynamicSupervisor never ends by the end of a child."""
    return BadChildSpec(f"child {shown(spec.id)}: significant must be False under a DynamicSupervisor, got True")


class DynamicChildren(SupervisorChildren):
    """The state of a DynamicSupervisor.

    A child that is being restarted stays under its former pid until that has succeeded.
    """

    def __init__(self, process: Process, flags: DynamicFlags, clocks: Clocks) -> None:
        super().__init__(process, RestartIntensity(flags.max_restarts, flags.max_seconds), clocks)
        self.max_children = flags.max_children
        self.extra_arguments = flags.extra_arguments

    def terminate_all(self) -> None:
        """End all children at once."""
        running = [child for child in self.by_pid.values() if child.retry is None]
        for child in self.by_pid.values():
            self.cancel_retry(child)
        terminate_together(self.process, running)
        self.by_pid.clear()

    # Requests

    def start_child(self, spec: ChildSpec) -> Pid | None:
        """Start one more child."""
        if spec.significant:  # it was meant for a Supervisor
            raise significant_is_refused(spec)
        if len(self.by_pid) >= self.max_children:
            raise MaxChildren(f"the supervisor has {len(self.by_pid)} children, as many as max_children allows")
        pid = children.start(self.process, spec, self.extra_arguments)
        if pid is not None:
            self.succeeded(Child(children.without_args(spec), pid), pid)
        return pid

    def terminate_child(self, pid: Pid) -> None:
        """End a child and forget it."""
        child = self._find(pid)
        if child.retry is None:
            terminate_together(self.process, [child])
        self.cancel_retry(child)
        self.forget(child)

    def restart_child(self, id_: Any) -> None:
        """Refuse: children are forgotten when they end."""
        raise BadArgument(f"a DynamicSupervisor has no stopped children; {shown(id_)} cannot be restarted")

    def delete_child(self, id_: Any) -> None:
        """Refuse: children are forgotten when they end."""
        raise BadArgument(f"a DynamicSupervisor has no stopped children; {shown(id_)} cannot be deleted")

    def which_child(self, id_: Any) -> None:
        """Refuse: children have no ids."""
        raise BadArgument(f"the children of a DynamicSupervisor have no ids; {shown(id_)} cannot be looked up")

    def which_children(self, _: None) -> list[ChildInfo]:
        """All children, the newest first."""
        return [child.shown(None) for child in reversed(self.by_pid.values())]

    def count_children(self, _: None) -> ChildCounts:
        """How many there are."""
        return children.count(list(self.by_pid.values()))

    def get_child_spec(self, pid: Pid) -> ChildSpec:
        """The spec of a child."""
        return self._find(pid).spec

    def snapshot(self) -> list[Child]:
        """All children in the order of their start, for other threads to read."""
        return list(self.by_pid.values())

    # What happens to children

    def forget(self, child: Child) -> bool:
        """The child has ended and is not restarted; the supervisor goes on."""
        self._remove(child)
        return True

    def make_way(self, child: Child) -> None:
        """Nothing is restarted together with a child."""

    def attempt(self, child: Child) -> None:
        """Restart the child."""
        try:
            pid = children.start(self.process, child.spec, self.extra_arguments)
        except StartError as error:
            self.failed(child, error)
            return
        self._remove(child)
        if pid is not None:
            self.succeeded(child, pid)
            child.restarts += 1

    def _remove(self, child: Child) -> None:
        assert child.pid is not None  # of one that is being restarted it is the former one
        self.by_pid.pop(child.pid, None)

    def _find(self, pid: Any) -> Child:
        child = self.by_pid.get(pid) if isinstance(pid, Pid) else None
        if child is None:
            raise NotFound(f"the supervisor has no child {shown(pid)}")
        return child
