"""What ``sys`` notes of the messages of one actor: how many, and, while it is traced, which."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from supervision.calls import Call, Cast
from supervision.exits import describe
from supervision.log import logger
from supervision.process_table import Pid

__all__ = ["Observer", "Statistics"]

# Events that a traced actor remembers for its Status: OTP's default for ``sys:log``.
REMEMBERED: Final = 10


@dataclass(frozen=True, slots=True)
class Statistics:
    """What an actor has done since its statistics were turned on.

    Attributes:
        milliseconds: how long ago that was.
        messages_in: messages it has taken: calls, casts and others.
        messages_out: answers it has given by a result.
    """

    milliseconds: int
    messages_in: int
    messages_out: int


class Observer:
    """Notes the messages of one actor; used by the thread that runs it."""

    __slots__ = ("events", "messages_in", "messages_out", "pid", "since")

    def __init__(self, pid: Pid) -> None:
        self.pid = pid
        self.since: float | None = None  # when the statistics were turned on, on the monotonic clock in seconds
        self.messages_in = 0
        self.messages_out = 0
        self.events: deque[str] | None = None  # the latest, while it is traced

    def took(self, message: Any) -> None:
        """The actor has taken ``message``."""
        self.messages_in += 1
        if self.events is None:
            return
        if isinstance(message, Call) and not message.taken:
            self._note(f"got call {describe(message.request)} from {message.pid!r}")
        elif type(message) is Cast:
            self._note(f"got cast {describe(message.message)}")
        else:
            self._note(f"got {describe(message)}")

    def answered(self, caller: Call, value: Any) -> None:
        """The actor has answered ``caller``."""
        self.messages_out += 1
        if self.events is not None:
            self._note(f"sent {describe(value)} to {caller.pid!r}")

    def count(self, enabled: bool) -> None:
        """Turn the statistics on, from nothing, or off."""
        self.since = time.monotonic() if enabled else None
        self.messages_in = self.messages_out = 0

    def trace(self, enabled: bool) -> None:
        """Turn the log of events on or off."""
        self.events = deque(maxlen=REMEMBERED) if enabled else None

    def statistics(self) -> Statistics | None:
        """The counts; None if they are off."""
        if self.since is None:
            return None
        milliseconds = round((time.monotonic() - self.since) * 1000)
        return Statistics(milliseconds, self.messages_in, self.messages_out)

    def recent(self) -> list[str] | None:
        """The latest events, oldest first; None if the actor is not traced."""
        return None if self.events is None else list(self.events)

    def is_idle(self) -> bool:
        """Whether there is nothing to note."""
        return self.since is None and self.events is None

    def _note(self, event: str) -> None:
        assert self.events is not None
        self.events.append(event)
        logger.info("%r %s", self.pid, event)
