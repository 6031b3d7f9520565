"""Crash reports: what is said, once, about each process that ended by a fault.

Owns the text and the record that goes to ``logging.getLogger("supervision")``. Whether a reason is a fault is
decided in ``exits``; what a supervisor did about it is told to us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from supervision import exits
from supervision.log import logger
from supervision.process_table import Pid, Process

__all__ = ["NOTHING", "QUIET", "Crash", "report"]

# Longest text of a message or a state in a report, in characters: a report is read by people.
SHOWN: Final = 2_000


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = _Nothing()
"""There was no message, or the state cannot be shown."""


QUIET: Final[Any] = object()
"""Given as the crash of a process whose reason looks like one, and of which nobody is to hear."""


@dataclass(frozen=True, slots=True)
class Crash:
    """What a report says, as data; it is the ``crash`` attribute of the log record.

    Attributes:
        pid: the process.
        label: its label, or None.
        initial_call: what it was started to run, as text.
        name: its registered name, or None.
        reason: its exit reason.
        message: what it worked on.
        state: its state, after ``format_status``.
        ancestors: its creator, the creator of that, and so on.
        caller: who waited for an answer, or None.
    """

    pid: Pid
    label: Any
    initial_call: str | None
    name: Any
    reason: Any
    message: Any
    state: Any
    ancestors: tuple[Pid, ...]
    caller: Any = None


def report(process: Process, child_id: Any = None, decision: str | None = None) -> bool:
    """Log the crash of ``process``, unless there is none or it has been reported.

    Args:
        process: the one that crashed; its ``crash`` is taken from it.
        child_id: its id under the supervisor that reports it.
        decision: what the supervisor does about it.

    Returns:
        Whether there was one, or its absence was meant (QUIET).
    """
    with process.lock:  # one of several reporters takes it
        crash, process.crash = process.crash, None
    if crash is None or crash is QUIET:
        return crash is QUIET
    reason = crash.reason
    trace = (type(reason), reason, reason.__traceback__) if isinstance(reason, BaseException) else None
    logger.error("%s", _text(crash, child_id, decision), exc_info=trace, extra={"crash": crash, "child_id": child_id})
    return True


def _text(crash: Crash, child_id: Any, decision: str | None) -> str:
    known = {
        "initial call": crash.initial_call,
        "label": crash.label,
        "child id": child_id,
        "supervisor": decision,
        "last message": crash.message,
        "state": crash.state,
        "caller": crash.caller,
        "ancestors": list(crash.ancestors) or None,
    }
    lines = [f"{crash.pid!r} terminated: {exits.describe(crash.reason)}"]
    lines += [f"  {what}: {_shown(value)}" for what, value in known.items() if _is_known(what, value)]
    return "\n".join(lines)


def _is_known(what: str, value: Any) -> bool:
    # None is something that a message or a state can be.
    return value is not (NOTHING if what in ("last message", "state") else None)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except KeyboardInterrupt:  # it may hit the main thread here as anywhere
        raise
    except BaseException as error:  # noqa: BLE001  the repr is the user's; a broken one must not hide the crash
        text = f"<unprintable {type(value).__name__}: {error!r}>"
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
