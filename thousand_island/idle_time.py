"""How long a connection has been idle.

One timer serves many deadlines: it is not set anew for each message, the deadline is compared when it fires.
"""

from __future__ import annotations

import time
from typing import Any

from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.server import Server
from supervision.threads import ThreadRecord
from thousand_island.results import check_timeout
from thousand_island.socket import Socket

__all__ = ["IdleTime"]


class IdleTime(Server):
    """The base of a connection's loop.

    ``idle_deadline`` is when the connection has been idle for too long; it is set when a callback has returned, so it
    never passes while one runs.
    """

    __slots__ = ("idle_deadline", "socket")

    def __init__(self, actor: Any, process: Process) -> None:
        super().__init__(actor, process)
        self.socket: Socket | None = None
        self.idle_deadline: float | None = None

    def be_idle(self, timeout: float) -> None:
        """Let the time run from now on, for so many milliseconds."""
        if timeout == INFINITY:
            self.idle_deadline = None
            return
        self.idle_deadline = deadline = time.monotonic() + timeout / 1000
        self._arm(deadline)

    def set_timeout(self, name: str, result: Any) -> None:
        """An Actor callback has returned a timeout: the next idle limit, or (as the options say) a TIMEOUT."""
        socket = self.socket
        if socket is None or not socket.config.messages_defer_timeout:
            super().set_timeout(name, result)
            return
        check_timeout(result.timeout)
        self.be_idle(result.timeout)

    def _check_timeout(self, message: Any, record: ThreadRecord) -> None:
        idle = self.idle_deadline
        if idle is not None:
            if time.monotonic() >= idle:
                self.idle_too_long(record)
                return
            self._arm(idle)
        super()._check_timeout(message, record)

    def idle_too_long(self, record: ThreadRecord) -> None:
        """The deadline has passed."""
        raise NotImplementedError
