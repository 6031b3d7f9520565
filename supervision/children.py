"""The children of a supervisor: the record of each, how one is started, and how they are shown.

What is done when a child exits is decided in ``restart`` and carried out in ``static_children`` and
``dynamic_children``.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

from supervision import exits
from supervision.child_spec import ChildSpec, ChildType
from supervision.errors import AlreadyStarted, BadReturn, Ignored, StartError, StartTimeout
from supervision.process_table import Pid, Process
from supervision.shown import shown
from supervision.threads import current
from supervision.timers import Timer
from supervision.trampoline import run_exposed

__all__ = ["RESTARTING", "Child", "ChildCounts", "ChildInfo", "TryAgain", "count", "start", "without_args"]

RESTARTING = "restarting"
"""What is shown instead of a pid while the supervisor has yet to succeed in restarting the child."""


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One child, as ``which_children`` shows it.

    Attributes:
        id: its id; None under a DynamicSupervisor.
        pid: its pid, None if it does not run, or ``"restarting"``.
        type: ``"worker"`` or ``"supervisor"``.
    """

    id: Hashable
    pid: Pid | str | None
    type: ChildType


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """How many children a supervisor has.

    Attributes:
        specs: all of them, running or not.
        active: those that run.
        supervisors: those of type ``"supervisor"``, running or not.
        workers: those of type ``"worker"``, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


class TryAgain:
    """What a supervisor sends itself, to restart a child once it has looked at its other messages.

    ``counted`` tells whether the attempt has been counted as a restart, before a wait of the child's ``backoff``.
    """

    for_the_loop: ClassVar[bool] = True

    __slots__ = ("child", "counted", "timer")

    def __init__(self, child: Child, *, counted: bool) -> None:
        self.child = child
        self.counted = counted
        self.timer: Timer | None = None


class Child:
    """One child. Belongs to its supervisor alone.

    Attributes:
        spec: how to start it; without the arguments if it is temporary, for it is never started again.
        pid: the process, or None. Under a DynamicSupervisor, where it is the key, the former one while it is restarted.
        retry: the attempt that is to come; None if it is not being restarted.
        started_at: when it last started, in seconds of the supervisor's clock.
        attempts: restarts since it was last healthy, for its ``backoff``.
        restarts: successful restarts, ever.
    """

    __slots__ = ("attempts", "pid", "restarts", "retry", "spec", "started_at")

    def __init__(self, spec: ChildSpec, pid: Pid | None) -> None:
        self.spec = spec
        self.pid = pid
        self.retry: TryAgain | None = None
        self.started_at = 0.0
        self.attempts = 0
        self.restarts = 0

    def shown(self, id_: Hashable) -> ChildInfo:
        """The entry of ``which_children``."""
        return ChildInfo(id_, self.pid if self.retry is None else RESTARTING, self.spec.type)

    def is_active(self) -> bool:
        """Whether it runs; not if it is dead and its Exit still to be taken."""
        return self.retry is None and self.pid is not None and not self.pid._process.dead


def count(children: list[Child]) -> ChildCounts:
    """The answer of ``count_children``."""
    supervisors = sum(child.spec.type == "supervisor" for child in children)
    active = sum(child.is_active() for child in children)
    return ChildCounts(len(children), active, supervisors, len(children) - supervisors)


def without_args(spec: ChildSpec) -> ChildSpec:
    """The spec as it is kept: the arguments of a temporary child must not live as long as the child."""
    if spec.restart != "temporary" or not spec.args:
        return spec
    # Past the checks: the fields have been checked, and this is on the path of each accepted connection.
    kept = object.__new__(ChildSpec)
    for name in ChildSpec.__slots__:
        object.__setattr__(kept, name, getattr(spec, name))
    object.__setattr__(kept, "args", ())
    return kept


def start(supervisor: Process, spec: ChildSpec, extra_arguments: tuple[Any, ...] = ()) -> Pid | None:
    """Start a child, in the supervisor's own callback: it is linked to the supervisor by its start function.

    Returns:
        Its pid, or None if it does not want to run (Ignored).

    Raises:
        StartError: it failed, with the child's id and the original exception as the ``__cause__``.
    """
    try:
        pid = run_exposed(supervisor, current.record, spec.start, *extra_arguments, *spec.args)
    except Ignored:
        return None
    except BaseException as error:  # the start function is the user's; what it raises must not end the supervisor
        if supervisor.dead:
            raise
        cause = error.__cause__ if isinstance(error, StartError) else error
        raise _failure(error, spec.id) from cause
    if isinstance(pid, Pid):
        return pid
    wrong = BadReturn(f"child {shown(spec.id)}", "start", pid, "a Pid")
    raise StartError(wrong, spec.id) from wrong


def _failure(error: BaseException, child_id: Hashable) -> StartError:
    if isinstance(error, AlreadyStarted):
        return AlreadyStarted(error.pid, child_id)
    if not isinstance(error, StartError):
        return StartError(exits.reason_of(error), child_id)
    kind = StartTimeout if isinstance(error, StartTimeout) else StartError
    failure = kind(error.reason, child_id)
    failure.pid = error.pid
    return failure
