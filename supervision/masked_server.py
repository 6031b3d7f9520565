"""The loop of the library's own actors: a kill never strikes in their callbacks.

They hold locks of the runtime, change what others rely on, and own what has to be released; what they call of the
user's, a start function say, they expose themselves.
"""

from __future__ import annotations

from typing import Any

from supervision import exits
from supervision.calls import Cast
from supervision.errors import Killed
from supervision.results import UNSET, NoReply
from supervision.server import Server
from supervision.threads import ThreadRecord

__all__ = ["MaskedServer"]


class MaskedServer(Server):
    """One running actor of the library."""

    __slots__ = ()

    def init(self, arg: Any, record: ThreadRecord) -> Any:
        """Run ``init``; what a dead actor returns has no effect."""
        result = self.actor.init(arg)
        if self.process.dead:
            raise Killed
        return result

    def cast(self, message: Cast, record: ThreadRecord) -> None:
        """Take the way of all messages."""
        self.handle(message, record)

    def perform(self, message: Any, record: ThreadRecord, name: str, *args: Any) -> None:
        """Run a callback and what its result asks for; what a dead actor returns has no effect."""
        process = self.process
        try:
            result = getattr(self.actor, name)(*args, self.state)
            if process.dead:
                return
            if type(result) is NoReply and result.timeout is None and result.continue_with is UNSET:
                self.state = result.state
            else:
                self._settle(name, result, message, record)
        except BaseException as error:  # noqa: BLE001  whatever a callback raises is the actor's exit reason
            if not process.dead:
                self._finish(exits.reason_of(error), message, record)

    def _settle(self, name: str, result: Any, message: Any, record: ThreadRecord) -> None:
        argument = self._apply(name, result, message, record)
        if argument is not UNSET:
            self._postpone(argument)

    def run_terminate(self, reason: Any, record: ThreadRecord) -> tuple[Any, bool]:
        """Run ``terminate``."""
        try:
            self.actor.terminate(reason, self.state)
        except BaseException as error:  # noqa: BLE001  what terminate raises is the reason instead, as in OTP
            return exits.reason_of(error), True
        return reason, False
