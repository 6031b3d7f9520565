"""The messages and constants that processes of the library exchange with their users.

All of them are immutable values. Nothing here knows who sends or receives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

__all__ = ["BRUTAL_KILL", "INFINITY", "TIMEOUT", "Down", "Exit", "TaskResult", "TimeoutType"]

INFINITY: Final = math.inf
"""No limit, wherever milliseconds are asked for."""

BRUTAL_KILL: Final = "brutal_kill"
"""The ``shutdown`` value that kills a child at once instead of asking it to exit."""


class Exit(NamedTuple):
    """An exit signal, as a process that traps exits sees it.

    Attributes:
        pid: the process that exited or that called ``exit``.
        reason: its exit reason.

    Counterpart: ``{'EXIT', Pid, Reason}``.
    """

    pid: Any
    reason: Any


class Down(NamedTuple):
    """A monitored process is gone.

    Attributes:
        ref: what ``monitor`` returned.
        pid: the process, or the name where a name was monitored.
        reason: its exit reason, or ``"noproc"``.

    Counterpart: ``{'DOWN', Ref, process, Pid, Reason}``.
    """

    ref: Any
    pid: Any
    reason: Any


class TaskResult(NamedTuple):
    """The value of a task that nobody was awaiting when it ended.

    Attributes:
        ref: the task's ``ref``.
        value: what its function returned.

    Counterpart: ``{Ref, Result}``.
    """

    ref: Any
    value: Any


@dataclass(frozen=True, slots=True)
class TimeoutType:
    """The type of ``TIMEOUT``, which ``handle_info`` gets when a callback's ``timeout=`` runs out.

    Counterpart: the atom ``timeout`` in ``handle_info/2``.
    """

    def __repr__(self) -> str:
        return "TIMEOUT"


TIMEOUT: Final = TimeoutType()
