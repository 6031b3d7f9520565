"""What a supervisor says about its children, through ``logging.getLogger("supervision")``.

A child that crashed has a crash report of its own, which is given the child's id and what was decided; so each crash is
reported once. Other ends and failures that nobody else would hear of get one line here.

Counterpart: the supervisor reports of OTP, whose ``errorContext`` is the ``error_context`` of the log record.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any, Literal, TypeAlias

from supervision import exits, reports
from supervision.errors import AlreadyStarted, StartError
from supervision.log import logger
from supervision.messages import Exit
from supervision.process_table import Process
from supervision.shown import shown

__all__ = [
    "ErrorContext",
    "report_exit",
    "report_failed_start",
    "report_giving_up",
    "report_start_error",
    "report_unexpected",
]

ErrorContext: TypeAlias = Literal["child_terminated", "shutdown", "shutdown_error", "start_error"]


def report_exit(supervisor: Process, child_id: Hashable, exit_: Exit, context: ErrorContext, decision: str) -> None:
    """Report that a child has ended as it should not."""
    pid, reason = exit_
    if reports.report(pid._process, child_id, decision):
        return
    # An exception that is not this child's own crash came along a link, from a process that has reported it.
    level = logging.WARNING if isinstance(reason, BaseException) else logging.ERROR
    text = f"{supervisor.pid!r}: child {shown(child_id)} {pid!r} terminated: {exits.describe(reason)}; {decision}"
    logger.log(level, "%s", text, extra=_fields(supervisor, context, reason, child_id))


def report_start_error(supervisor: Process, error: StartError, decision: str) -> None:
    """Report that a child could not be started, where no caller is told."""
    if report_failed_start(error, decision):
        return
    if exits.is_quiet(error.reason):  # a supervisor below has failed, and has said why
        return
    reason = exits.describe(error.reason)
    text = f"{supervisor.pid!r}: child {shown(error.child_id)} could not be started: {reason}; {decision}"
    cause = error.__cause__
    trace = (type(cause), cause, cause.__traceback__) if cause is not None else None
    extra = _fields(supervisor, "start_error", error.reason, error.child_id)
    logger.error("%s", text, exc_info=trace, extra=extra)


def report_failed_start(error: StartError, decision: str) -> bool:
    """Report the crash of a child in its ``init``, if that was it."""
    if error.pid is None or isinstance(error, AlreadyStarted):
        return False
    return reports.report(error.pid._process, error.child_id, decision)


def report_giving_up(supervisor: Process, child_id: Hashable, max_restarts: float, max_seconds: int) -> None:
    """Report that the supervisor shuts down because children had to be restarted too often."""
    limit = f"more than {max_restarts} restarts within {max_seconds} s"
    text = f"{supervisor.pid!r} shuts down: {limit}, child {shown(child_id)}"
    logger.error("%s", text, extra=_fields(supervisor, "shutdown", "reached_max_restart_intensity", child_id))


def report_unexpected(supervisor: Process, what: str, message: Any) -> None:
    """Report a message that no supervisor understands."""
    logger.error("%r got an unexpected %s: %s", supervisor.pid, what, exits.describe(message))


def _fields(supervisor: Process, context: ErrorContext, reason: Any, child_id: Hashable) -> dict[str, Any]:
    return {"supervisor": supervisor.pid, "error_context": context, "reason": reason, "child_id": child_id}
