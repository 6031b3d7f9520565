"""Every question about exit reasons: what a reason means, who is told which one, and what a signal does.

There are two ways to be told to exit, and they differ. An *exit signal* is sent on purpose, by ``exit(pid, reason)``;
a *link signal* is what a linked process leaves behind when it ends. What they do to the process that receives them:

==========================  ===========================  ======================  =========
signal                      ``"normal"``                 ``"kill"``              any other
==========================  ===========================  ======================  =========
exit signal                 ignored; fatal from oneself  fatal, as ``"killed"``  fatal
exit signal, when trapping  message                      fatal, as ``"killed"``  message
link signal                 ignored                      fatal                   fatal
link signal, when trapping  message                      message                 message
==========================  ===========================  ======================  =========

Pure: no process, thread, clock or log.
"""

from __future__ import annotations

import enum
from traceback import TracebackException
from typing import Any, Final

from supervision.errors import ProcessExit
from supervision.shown import shown_briefly

__all__ = [
    "Delivery",
    "describe",
    "is_crash",
    "is_quiet",
    "is_reason",
    "of_exit_signal",
    "of_link_signal",
    "reason_of",
    "seen_by_others",
]


class Delivery(enum.Enum):
    """What a signal does to the process that receives it."""

    IGNORED = enum.auto()
    MESSAGE = enum.auto()
    FATAL = enum.auto()


def reason_of(exception: BaseException) -> Any:
    """Returns the exit reason of a process whose body ended with this exception.

    Counterpart: the class and reason that ``proc_lib`` turns into an exit reason.
    Differs: the reason of a crash is the exception object, which carries its traceback, not ``{Error, Stacktrace}``.
    """
    return exception.reason if isinstance(exception, ProcessExit) else exception


def seen_by_others(reason: Any) -> Any:
    """Returns the reason that links and monitors are told, of a process that an exit signal ended.

    Only the explicit signal ``"kill"`` is renamed, to ``"killed"``: what it passes on must be a reason that can be
    trapped. A process that ends itself with ``ProcessExit("kill")`` keeps its reason.

    Counterpart: ``erlang:exit/2`` with ``kill``.
    """
    return "killed" if is_reason(reason, "kill") else reason


def of_exit_signal(reason: Any, *, traps: bool, from_self: bool) -> tuple[Delivery, Any]:
    """Decides what ``exit(pid, reason)`` does.

    Args:
        reason: the reason that was sent.
        traps: whether the receiver traps exits.
        from_self: whether the receiver is the one that sent it.

    Returns:
        The delivery, and the reason: of the message where there is one, else what the receiver dies with.

    Counterpart: ``erlang:exit/2``.
    """
    if is_reason(reason, "kill"):
        return Delivery.FATAL, seen_by_others(reason)
    if traps:
        return Delivery.MESSAGE, reason
    if is_reason(reason, "normal") and not from_self:
        return Delivery.IGNORED, reason
    return Delivery.FATAL, reason


def of_link_signal(reason: Any, *, traps: bool) -> tuple[Delivery, Any]:
    """Decides what the end of a linked process does.

    The reason ``"kill"`` is an ordinary one here: it can be trapped, and it is not renamed.

    Args:
        reason: the reason the linked process exited with.
        traps: whether the receiver traps exits.

    Returns:
        The delivery, and the reason: of the message where there is one, else what the receiver dies with.

    Counterpart: the exit signals of links, as the Erlang reference manual describes them.
    """
    if traps:
        return Delivery.MESSAGE, reason
    return (Delivery.IGNORED if is_reason(reason, "normal") else Delivery.FATAL), reason


def is_quiet(reason: Any) -> bool:
    """Tells whether a process with this reason ended as planned, so that nothing is reported or mended.

    Counterpart: ``normal``, ``shutdown`` and ``{shutdown, Term}`` in ``proc_lib`` and ``supervisor``.
    """
    if isinstance(reason, tuple):
        return len(reason) == 2 and is_reason(reason[0], "shutdown")
    return is_reason(reason, "normal") or is_reason(reason, "shutdown")


def is_crash(reason: Any) -> bool:
    """Tells whether an end with this reason is one that somebody should hear of."""
    return not is_quiet(reason)


def is_reason(reason: Any, name: str) -> bool:
    """Tells whether a reason, which may be any object, is the named one."""
    # The type is asked first: a reason's own __eq__ may raise, or answer something that has no truth value.
    return isinstance(reason, str) and reason == name


def describe(reason: Any) -> str:
    """Returns the reason as one line for a log: an exception as ``TypeName: text``, anything else as its repr.

    Long values are shortened, and one whose ``__repr__`` or ``__str__`` fails is still described.
    """
    text = _describe_exception(reason) if isinstance(reason, BaseException) else shown_briefly(reason)
    line = " ".join(text.splitlines())
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


def _describe_exception(exception: BaseException) -> str:
    # str(exception) runs code of the user; the standard library's traceback knows how to survive that.
    name = type(exception).__name__
    try:
        text = str(TracebackException(type(exception), exception, None, compact=True))
    except KeyboardInterrupt:  # it may hit the main thread here as anywhere
        raise
    except BaseException:  # noqa: BLE001  a __bool__ that fails is beyond it, and whoever reports a crash must not crash
        text = "<exception str() failed>"
    return f"{name}: {text}" if text else name


# Characters. Enough for a reason with an address or a path in it, and still a line that can be read.
_LINE: Final = 300
