"""How the owner of tasks waits for their outcomes: one or several, all or some, for a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.task_monitor import Outcome, TaskMonitor, TaskWait, forget_exits, take_posted
from supervision.threads import current
from supervision.waits import deadline_after, wait_for

__all__ = ["Terms", "collect"]


@dataclass(frozen=True, slots=True)
class Terms:
    """When a wait for tasks is over, and what is then of those that have no outcome.

    Attributes:
        timeout: milliseconds, or INFINITY.
        limit: so many outcomes are enough.
        impatient: an exit ends the wait at once.
        for_good: give the others up; nothing will be heard of them any more.
    """

    timeout: float
    limit: float = INFINITY
    impatient: bool = False
    for_good: bool = False


def collect(owner: Process, monitors: Iterable[TaskMonitor], terms: Terms) -> dict[TaskMonitor, Outcome]:
    """Wait for the outcomes of tasks of ``owner``, which the calling thread runs.

    The mailbox is searched for outcomes that came before, and only if there are such.

    Returns:
        The outcomes that have come; a task that is spent has none, and is not waited for.

    Raises:
        Killed: the owner is dead.
    """
    outcomes = take_posted(owner, monitors)
    still_open = [monitor for monitor in monitors if monitor not in outcomes and not monitor.is_spent()]
    if _is_over(outcomes, terms):
        if terms.for_good:
            _give_up(owner, still_open)
    elif still_open:
        _await(owner, still_open, outcomes, terms)
    forget_exits(owner, outcomes)
    return outcomes


def _is_over(outcomes: dict[TaskMonitor, Outcome], terms: Terms) -> bool:
    exits = terms.impatient and any(kind == "exit" for kind, _ in outcomes.values())
    return exits or len(outcomes) >= terms.limit


def _give_up(owner: Process, monitors: list[TaskMonitor]) -> None:
    for monitor in monitors:
        monitor.withdraw(for_good=True)
    take_posted(owner, monitors)  # what came in the last moment


def _await(owner: Process, monitors: list[TaskMonitor], outcomes: dict[TaskMonitor, Outcome], terms: Terms) -> None:
    """Wait, and add what comes to ``outcomes``.

    Ends by: an outcome, which fires the wait when it is the last one needed; and as ``wait_for`` says.
    """
    record = current.record
    needed = int(min(len(monitors), terms.limit - len(outcomes)))
    wait = TaskWait(record, needed, impatient=terms.impatient)
    try:
        out_already = [monitor for monitor in monitors if not monitor.enlist(wait)]
        for monitor, outcome in take_posted(owner, out_already).items():
            outcomes[monitor] = outcome
            wait.heard(outcome)
        if terms.timeout == 0:
            wait.give_up()
        else:
            wait_for(wait, record, owner, deadline_after(terms.timeout))
    except BaseException:  # or a result would come to nobody instead of the mailbox
        wait.leave(record)
        for monitor in monitors:
            monitor.hand_back()
        raise
    for monitor in monitors:
        outcome_now = monitor.withdraw(for_good=terms.for_good)
        if outcome_now is not None:
            outcomes[monitor] = outcome_now
