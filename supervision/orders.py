"""What the runtime itself tells an actor: to start, to continue, to look at the time.

They come through the mailbox like the messages of others; ``server`` carries them out.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from supervision.process_table import Pid, Process
from supervision.threads import ThreadRecord
from supervision.waits import Wait

__all__ = ["TIMEOUT_CHECK", "Continuation", "Start", "TimeoutCheck"]


class TimeoutCheck:
    """Delivered when a timeout may have run out.

    ``deadline`` is the very object of the actor that it was made for, or None: what it is about is compared when it is
    taken.
    """

    for_the_loop: ClassVar[bool] = True

    __slots__ = ("deadline",)

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline


TIMEOUT_CHECK: Final = TimeoutCheck()


class Continuation:
    """Has ``handle_continue`` run, ahead of all mail, in a slice of its own."""

    for_the_loop: ClassVar[bool] = True

    __slots__ = ("argument",)

    def __init__(self, argument: Any) -> None:
        self.argument = argument


class Start(Wait):
    """The first message of every actor: run ``init``. ``value`` is ``(True, None)`` or ``(False, reason)``."""

    __slots__ = ("arg", "cause", "ignored", "pid", "trapping")

    def __init__(self, record: ThreadRecord, pid: Pid, arg: Any, *, trapping: bool) -> None:
        super().__init__(record)
        self.pid = pid
        self.arg = arg
        self.trapping = trapping
        self.ignored = False
        self.cause: BaseException | None = None  # the exception behind a failure

    def down(self, ref: Any, process: Process, reason: Any) -> None:
        """End the wait because the actor has ended."""
        self.fire((False, reason))
