"""Crash reports: what is said, once, about each process that ended by a fault.

Owns the text and the record that goes to ``logging.getLogger("supervision")``. Whether a reason is a fault is
decided in ``exits``; what a supervisor did about it is told to us.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

from supervision import exits
from supervision.process_table import Pid, Process

__all__ = ["NOTHING", "Crash", "report"]

logger: Final = logging.getLogger("supervision")

# Longest text of a message or a state in a report, in characters: a report is read by people.
SHOWN: Final = 2_000


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = _Nothing()
"""There was no message, or the state cannot be shown."""


@dataclass(frozen=True, slots=True)
class Crash:
    """What a report says, as data; it is the ``crash`` attribute of the log record.

    Attributes:
        pid: the process.
        label: its label, or what it runs.
        name: its registered name, or None.
        reason: its exit reason.
        message: what it worked on.
        state: its state, after ``format_status``.
        ancestors: its creator, the creator of that, and so on.
        caller: who waited for an answer, or None.
    """

    pid: Pid
    label: Any
    name: Any
    reason: Any
    message: Any
    state: Any
    ancestors: tuple[Pid, ...]
    caller: Any = None


def report(process: Process, child_id: Any = None, decision: str | None = None) -> None:
    """Log the crash of ``process``, unless there is none or it has been reported.

    Args:
        process: the one that crashed; its ``crash`` is taken from it.
        child_id: its id under the supervisor that reports it.
        decision: what the supervisor does about it.
    """
    with process.lock:  # one of several reporters takes it
        crash, process.crash = process.crash, None
    if crash is None:
        return
    reason = crash.reason
    trace = (type(reason), reason, reason.__traceback__) if isinstance(reason, BaseException) else None
    logger.error("%s", _text(crash, child_id, decision), exc_info=trace, extra={"crash": crash, "child_id": child_id})


def _text(crash: Crash, child_id: Any, decision: str | None) -> str:
    who = f"{crash.pid!r}" if crash.label is None else f"{crash.pid!r} ({_shown(crash.label)})"
    lines = [f"{who} terminated: {exits.describe(crash.reason)}"]
    if child_id is not None:
        lines.append(f"  child id: {_shown(child_id)}")
    if decision is not None:
        lines.append(f"  supervisor: {decision}")
    if crash.message is not NOTHING:
        lines.append(f"  last message: {_shown(crash.message)}")
    if crash.state is not NOTHING:
        lines.append(f"  state: {_shown(crash.state)}")
    if crash.caller is not None:
        lines.append(f"  caller: {crash.caller!r}")
    if crash.ancestors:
        lines.append(f"  ancestors: {list(crash.ancestors)!r}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # the repr is the user's; without this a broken one would hide the crash itself
        text = f"<unprintable {type(value).__name__}: {error!r}>"
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
