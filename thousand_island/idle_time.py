"""How long a connection has been idle.

One reminder serves many deadlines: it is not set anew for each message, the deadline is compared when it comes. It is
shared with all connections whose time is up at about the same moment, late by at most a 64th of the timeout.
"""

from __future__ import annotations

import time
from typing import Any

from supervision.arguments import is_milliseconds
from supervision.messages import INFINITY
from supervision.orders import TIMEOUT_CHECK, TimeoutCheck
from supervision.process_table import Process
from supervision.rough_timers import Round
from supervision.scheduler import deliver, scheduler
from supervision.server import Server
from supervision.threads import ThreadRecord
from thousand_island.socket import Socket

__all__ = ["IdleTime"]


class IdleTime(Server):
    """The base of a connection's loop.

    The connection has been idle for too long ``idle_timeout`` milliseconds after ``idle_since``, a moment on the
    monotonic clock in seconds; None: it never has. The moment is that at which a callback has returned, so the time
    never passes while one runs. ``reminder`` comes when it has passed or earlier; once it has come (``over``) there is
    none until the next time that the connection begins to be idle.
    """

    __slots__ = ("idle_since", "idle_timeout", "reminder", "socket")

    def __init__(self, actor: Any, process: Process) -> None:
        super().__init__(actor, process)
        self.socket: Socket | None = None
        self.idle_timeout: float | None = None
        self.idle_since = 0.0
        self.reminder: Round | None = None

    def be_idle(self, timeout: float) -> None:
        """Let the time run from now on, for so many milliseconds."""
        if timeout == INFINITY:
            self.idle_timeout = None
            return
        self.idle_timeout = timeout
        self.idle_since = now = time.monotonic()
        wait = timeout / 1000
        deadline = now + wait
        reminder = self.reminder
        # One that comes earlier will do. One that was set for a longer timeout would come too late.
        if reminder is None or reminder.over or reminder.due > deadline + wait / 32:
            self.remind(deadline, wait)

    def idle_left(self) -> float | None:
        """Seconds until the connection has been idle for too long; None: it never has."""
        timeout = self.idle_timeout
        return None if timeout is None else self.idle_since + timeout / 1000 - time.monotonic()

    def remind(self, deadline: float, wait: float) -> None:
        """Have the deadline, which is ``wait`` seconds long, looked at when it has passed."""
        self._forget_reminder()
        self.reminder = scheduler.rough_timers.enter(self.process, deadline, wait, TIMEOUT_CHECK, deliver)

    def set_timeout(self, name: str, result: Any) -> None:
        """An Actor callback has returned a timeout: the next idle limit, or (as the options say) a TIMEOUT."""
        socket = self.socket
        if socket is None or not socket.config.messages_defer_timeout:
            super().set_timeout(name, result)
        elif is_milliseconds(result.timeout):
            self.be_idle(result.timeout)
        else:  # a Timeout, whose message comes besides; hibernation; or what nobody can wait for
            super().set_timeout(name, result)
            self.be_idle(socket.read_timeout)

    def _check_timeout(self, message: TimeoutCheck, record: ThreadRecord) -> None:
        left = self.idle_left()
        if left is not None:
            if left <= 0:
                self.idle_too_long(record)
                return
            if self.reminder is None or self.reminder.over:
                self.remind(time.monotonic() + left, left)
        super()._check_timeout(message, record)

    def idle_too_long(self, record: ThreadRecord) -> None:
        """The deadline has passed."""
        raise NotImplementedError

    def _cancel_timer(self) -> None:
        super()._cancel_timer()
        self._forget_reminder()

    def buried(self) -> None:
        """Let go of everything, which a killed connection had no chance to do."""
        super().buried()
        self._forget_reminder()

    def _forget_reminder(self) -> None:
        reminder, self.reminder = self.reminder, None
        if reminder is not None and not reminder.over:
            scheduler.rough_timers.leave(self.process, reminder)
