"""How a supervisor ends its children: monitor, exit signal, wait, report.

The wait is not one for a message. Each child is watched by an object that is waited for, so that neither the number of
children nor what has piled up in the supervisor's mailbox makes the end of one child slower.

Counterpart: ``supervisor:shutdown/1``; ``DynamicSupervisor``'s ``terminate_children`` for children that end together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

from supervision import reports, restart
from supervision.child_reports import report_exit
from supervision.children import Child
from supervision.in_place import run_in_place
from supervision.messages import BRUTAL_KILL, Exit
from supervision.process_table import Pid, Process
from supervision.scheduler import notify
from supervision.signals import exit_signal, unwatch, watch_end
from supervision.threads import ThreadRecord, current
from supervision.waits import Wait, deadline_after, wait_for

__all__ = ["terminate_in_order", "terminate_together"]

_DECISION: Final = "it was being shut down"

# How long a child is waited for that is dead and has yet to let go of all it held. Code of users runs meanwhile, such
# as ``unregister_name`` of a via, and may itself wait for the supervisor.
DYING_MILLISECONDS: Final = 1_000


class _Ending(Wait):
    """The end of one child, waited for.

    It has a parker of its own: several are under way at a time, and end in any order.
    """

    __slots__ = ("child", "deadline", "died_before", "pid")

    def __init__(self, record: ThreadRecord, child: Child, pid: Pid) -> None:
        super().__init__(record)
        self.parker = threading.Lock()
        self.parker.acquire()
        self.child = child
        self.pid = pid
        self.died_before = pid._process.dead
        self.deadline: float | None = None

    def down(self, ref: Any, process: Process, reason: Any) -> None:
        """The child has ended."""
        self.fire(reason)

    def give_up(self) -> bool:
        """Leave off waiting at the deadline, but not for good: a child that is killed is waited for once more."""
        if not self.fired.locked():
            return True
        self.parker.acquire()
        return False


def terminate_in_order(supervisor: Process, children: Iterable[Child]) -> None:
    """End running children one after the other, in the order given; each is dead before the next hears of it."""
    for child in children:
        if child.pid is not None:
            terminate_together(supervisor, [child])


def terminate_together(supervisor: Process, children: Iterable[Child]) -> None:
    """End running children at once; each gets its own time, which all spend at the same time."""
    record = current.record
    endings = [_monitor(record, child, child.pid) for child in children if child.pid is not None]
    for ending in endings:
        if not ending.died_before:
            _signal(supervisor, ending)
    # Those with the least time first, so that while one is waited for nobody else's time runs out.
    for ending in sorted(endings, key=_time_left):
        _await(supervisor, record, ending)
        _report(supervisor, ending)


def _monitor(record: ThreadRecord, child: Child, pid: Pid) -> _Ending:
    ending = _Ending(record, child, pid)
    # One that is just dying is waited for as well: what follows may rely on the end of what it held.
    if not watch_end(pid._process, ending, ending):
        ending.died_before = True
        ending.fire()
    if ending.died_before:
        ending.deadline = deadline_after(DYING_MILLISECONDS)
    return ending


def _signal(supervisor: Process, ending: _Ending) -> None:
    shutdown = ending.child.spec.shutdown
    if shutdown == BRUTAL_KILL:
        exit_signal(supervisor.pid, ending.pid._process, "kill")
        return
    exit_signal(supervisor.pid, ending.pid._process, "shutdown")
    ending.deadline = deadline_after(float(shutdown))


def _time_left(ending: _Ending) -> float:
    if ending.child.spec.shutdown == BRUTAL_KILL:
        return 0.0
    return float("inf") if ending.deadline is None else ending.deadline


def _await(supervisor: Process, record: ThreadRecord, ending: _Ending) -> None:
    """Wait for the end of the child, and kill it when its time is over.

    Ends by the death of the child, by its deadline, or by the death of the supervisor; a child with the ``shutdown``
    INFINITY may take for ever, which is what that means.
    """
    child = ending.pid._process
    try:
        if ending.died_before:
            wait_for(ending, record, supervisor, ending.deadline)
            return
        # Without a deadline nothing is to be done meanwhile, so it may end on this thread.
        if ending.deadline is None and not run_in_place(child, record, ending):
            notify(child)
        if not wait_for(ending, record, supervisor, ending.deadline):
            exit_signal(supervisor.pid, child, "kill")
            # It is dead now. If it was dying already, this ends when all that it held has been released.
            wait_for(ending, record, supervisor, deadline_after(DYING_MILLISECONDS))
    finally:
        unwatch(child, ending)


def _report(supervisor: Process, ending: _Ending) -> None:
    spec = ending.child.spec
    if ending.died_before:
        reports.report(ending.pid._process, spec.id, _DECISION)
    elif not restart.ended_as_asked(spec.restart, ending.value, brutally=spec.shutdown == BRUTAL_KILL):
        report_exit(supervisor, spec.id, Exit(ending.pid, ending.value), "shutdown_error", _DECISION)
