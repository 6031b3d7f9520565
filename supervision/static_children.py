"""The children of a Supervisor: in the order of their start, each under its id.

Counterpart: the part of ``supervisor`` that is for every strategy but ``simple_one_for_one``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from supervision import children
from supervision.child_reports import report_start_error
from supervision.child_spec import ChildSpec, check_significant
from supervision.children import Child, ChildCounts, ChildInfo
from supervision.errors import AlreadyPresent, AlreadyStarted, NotFound, ProcessExit, Restarting, Running, StartError
from supervision.exact_keys import exact
from supervision.process_table import Pid, Process
from supervision.restart import RestartIntensity, affected, ends_supervisor
from supervision.shown import shown
from supervision.supervisor_children import Clocks, SupervisorChildren
from supervision.supervisor_flags import SupervisorFlags
from supervision.termination import terminate_in_order

__all__ = ["StaticChildren"]


class StaticChildren(SupervisorChildren):
    """The state of a Supervisor.

    Requests raise what the caller gets raised.
    """

    def __init__(
        self,
        process: Process,
        flags: SupervisorFlags,
        clocks: Clocks,
        terminate: Callable[..., None] = terminate_in_order,
    ) -> None:
        super().__init__(process, RestartIntensity(flags.max_restarts, flags.max_seconds), clocks)
        self.strategy = flags.strategy
        self.auto_shutdown = flags.auto_shutdown
        self.terminate = terminate
        self.by_id: dict[Hashable, Child] = {}  # by what is ``exact`` of the id: 1 and True are two children

    def start_all(self, specs: tuple[ChildSpec, ...]) -> None:
        """Start the children of ``init``, each when the one before has started; or none of them.

        Raises:
            ProcessExit: one failed, and those before it have been terminated.
        """
        for spec in specs:
            try:
                self._start(spec)
            except StartError as error:
                report_start_error(self.process, error, "the supervisor does not start")
                self.terminate_all()
                reason = ("shutdown", ("failed_to_start_child", spec.id, error.reason))
                raise ProcessExit(reason) from error.__cause__

    def terminate_all(self) -> None:
        """End all children, the last that was started first."""
        self._terminate(list(self.by_id.values()))

    # Requests

    def start_child(self, spec: ChildSpec) -> Pid | None:
        """Start one more child, after the others."""
        child = self.by_id.get(exact(spec.id))
        if child is not None and child.retry is None and child.pid is not None:
            raise AlreadyStarted(child.pid, spec.id)
        if child is not None:
            raise AlreadyPresent(f"child {shown(spec.id)} exists and does not run; restart it or delete it")
        check_significant(spec, self.auto_shutdown)
        return self._start(spec)

    def terminate_child(self, id_: Hashable) -> None:
        """End a child; its spec stays, unless it is temporary."""
        self._terminate([self._find(id_)])

    def restart_child(self, id_: Hashable) -> Pid | None:
        """Start a child again that does not run."""
        child = self._find_stopped(id_)
        pid = children.start(self.process, child.spec)
        self.succeeded(child, pid)
        return pid

    def delete_child(self, id_: Hashable) -> None:
        """Forget a child that does not run."""
        del self.by_id[exact(self._find_stopped(id_).spec.id)]

    def which_children(self, _: None) -> list[ChildInfo]:
        """All children, the newest first."""
        return [child.shown(child.spec.id) for child in reversed(self.by_id.values())]

    def which_child(self, id_: Hashable) -> ChildInfo:
        """One child."""
        return self._find(id_).shown(id_)

    def count_children(self, _: None) -> ChildCounts:
        """How many there are."""
        return children.count(list(self.by_id.values()))

    def get_child_spec(self, id_: Hashable) -> ChildSpec:
        """The spec of a child, by its id or its pid."""
        child = self.by_pid.get(id_) if isinstance(id_, Pid) else None
        return self._find(id_).spec if child is None else child.spec

    def snapshot(self) -> list[Child]:
        """All children in the order of their start, for other threads to read."""
        return list(self.by_id.values())

    # What happens to children

    def forget(self, child: Child) -> bool:
        """The child has ended and is not restarted; tells whether the supervisor goes on."""
        self._ended(child)
        if not child.spec.significant:
            return True
        left = sum(self._is_significant(other) for other in self.by_id.values() if other is not child)
        return not ends_supervisor(self.auto_shutdown, significant=True, significant_left=left)

    def make_way(self, child: Child) -> None:
        """End the children that are restarted together with this one."""
        self._terminate(self._group(child))

    def attempt(self, child: Child) -> None:
        """Restart the child and, by the strategy, others with it.

        One that fails is tried again later, and with it those that come after it; the ones that have started run.
        """
        group = self._group(child)
        self._terminate(group)
        for member in group:
            if member.spec.restart != "temporary" and not self._restart_one(member):
                return

    def _restart_one(self, child: Child) -> bool:
        try:
            pid = children.start(self.process, child.spec)
        except StartError as error:
            self.failed(child, error)
            return False
        self.succeeded(child, pid)
        child.restarts += pid is not None
        return True

    def _group(self, child: Child) -> list[Child]:
        return [self.by_id[key] for key in affected(self.strategy, list(self.by_id), exact(child.spec.id))]

    def _start(self, spec: ChildSpec) -> Pid | None:
        pid = children.start(self.process, spec)
        if pid is not None or spec.restart != "temporary":
            child = Child(children.without_args(spec), pid)
            self.by_id[exact(spec.id)] = child
            self.succeeded(child, pid)
        return pid

    def _terminate(self, group: list[Child]) -> None:
        for child in group:
            self.cancel_retry(child)
        self.terminate(self.process, reversed(group))
        for child in group:
            self._ended(child)

    def _ended(self, child: Child) -> None:
        if child.pid is not None:
            self.by_pid.pop(child.pid, None)  # gone, if it was that of another child too
            child.pid = None
        if child.spec.restart == "temporary":
            del self.by_id[exact(child.spec.id)]

    @staticmethod
    def _is_significant(child: Child) -> bool:
        return child.spec.significant and (child.pid is not None or child.retry is not None)

    def _find(self, id_: Hashable) -> Child:
        child = self.by_id.get(exact(id_, "id"))
        if child is None:
            raise NotFound(f"the supervisor has no child {shown(id_)}")
        return child

    def _find_stopped(self, id_: Hashable) -> Child:
        child = self._find(id_)
        if child.retry is not None:
            raise Restarting(f"child {shown(id_)} is being restarted")
        if child.pid is not None:
            raise Running(f"child {shown(id_)} is running")
        return child
