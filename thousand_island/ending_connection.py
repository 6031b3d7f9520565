"""How a connection ends: what is called, released and told, and in which order.

``endings`` decides what belongs to which cause; this does it.

Counterpart: ``terminate/2`` in ``ThousandIsland.Handler``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from supervision import exits
from supervision.actor import Actor
from supervision.calls import Call
from supervision.errors import ProcessExit
from supervision.messages import Exit
from supervision.process_table import Process
from supervision.reports import NOTHING, QUIET
from supervision.results import UNSET
from supervision.signals import disown, end
from supervision.threads import ThreadRecord
from supervision.trampoline import run_exposed
from thousand_island import endings
from thousand_island.endings import Ending
from thousand_island.errors import SocketClosed, SocketTimeout, reason_string
from thousand_island.handshake import Handshake
from thousand_island.idle_time import IdleTime

__all__ = ["EndingConnection"]


class EndingConnection(IdleTime):
    """The end of a connection's loop.

    ``handshake`` is the one that is under way. ``puts_off`` says whether ``handle_drain`` asked for time, and
    ``ordered`` whether the order to end has come since.
    """

    __slots__ = ("handshake", "ordered", "puts_off")

    def __init__(self, actor: Any, process: Process) -> None:
        super().__init__(actor, process)
        self.handshake: Handshake | None = None
        self.puts_off = False
        self.ordered = False

    def escaped(self, error: BaseException, record: ThreadRecord, message: Any = NOTHING) -> None:
        """End the connection because of what a callback raised; if it was killed, that has ended it."""
        if not self.process.dead:
            self.finish(self._of_escaped(error), record, message)

    def _of_escaped(self, error: BaseException) -> Ending:
        if isinstance(error, SocketTimeout):
            return endings.TIMED_OUT
        # A SocketClosed that the handler has made itself means the same. Other errors may be of other sockets or files.
        if self.socket is not None and (self.socket.raised(error) or isinstance(error, SocketClosed)):
            reason = reason_string(error)
            return endings.of_error(reason, silent=self.socket.silent_terminate_on_error, crash=False)
        if isinstance(error, ProcessExit):
            return endings.of_reason(error.reason)
        return endings.of_exception(error)

    def _finish(self, reason: Any, message: Any, record: ThreadRecord, reply: Any = UNSET) -> None:
        if type(message) is Exit and message.pid is self.process.parent:
            if self.puts_off:
                self.ordered = True  # the idle time that ``handle_drain`` asked for ends it, or else it is killed
                return
            self.serve_what_came(record)
            if self.process.dead:
                return
        self.finish(endings.of_reason(reason), record, message, reply)

    def finish(self, ending: Ending, record: ThreadRecord, message: Any = NOTHING, reply: Any = UNSET) -> None:
        """End the connection: one callback, the socket closed, one stop event, the process gone."""
        self.stopping = True
        self.handshake = None
        socket = self.socket
        if socket is not None and not ending.socket_open:
            socket.release()
        if socket is not None and ending.callback is not None:
            ending = self._last_callback(ending, record)
        crash: Any = None
        if ending.crash:
            crash = self._crash(ending.reason, message, record)
        elif exits.is_crash(ending.reason):
            crash = QUIET
        if socket is not None and disown(self.process, socket):  # else it was killed meanwhile, and that has done this
            socket.release()
            socket.stop_span(ending.error)
        if isinstance(message, Call) and reply is not UNSET:
            message.fire((True, reply))
        self._cancel_timer()
        end(self.process, ending.reason, crash)

    def _last_callback(self, ending: Ending, record: ThreadRecord) -> Ending:
        """Run the callback of ``ending``; what that raises is why the connection ends, as in ``terminate``."""
        assert ending.callback is not None
        args = (ending.error,) if ending.callback == "handle_error" else ()
        try:
            run_exposed(self.process, record, getattr(self.actor, ending.callback), *args, *self.state)
            if type(self.actor).terminate is not Actor.terminate:
                run_exposed(self.process, record, self.actor.terminate, ending.reason, self.state)
        except BaseException as error:  # noqa: BLE001 - the connection is closed whatever the handler does
            if self.socket is not None and self.socket.raised(error):  # nobody to say goodbye to
                if not ending.socket_open:
                    return ending
                reason, crash = reason_string(error), False
            else:
                reason = exits.reason_of(error)
                crash = exits.is_crash(reason)
            return dataclasses.replace(ending, reason=reason, error=reason, crash=crash)
        return ending

    def serve_what_came(self, record: ThreadRecord) -> None:
        """Do what is due before an order to end."""
        raise NotImplementedError

    def buried(self) -> None:
        """Let go of everything, which a killed connection had no chance to do."""
        super().buried()
        self.handshake = None
