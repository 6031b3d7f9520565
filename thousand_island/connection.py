"""The process of one connection: the Actor loop, and what a Handler has beyond it.

Owns the flow readable → recv → ``handle_data`` → wait, the idle time, and the end of the connection, which
``endings`` decides.

Counterpart: the GenServer that ``use ThousandIsland.Handler`` defines.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, Final

from supervision import exits
from supervision.actor import Actor
from supervision.calls import Call
from supervision.errors import BadReturn, ProcessExit
from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.reports import NOTHING
from supervision.results import UNSET
from supervision.server import Server, Start
from supervision.signals import disown, end, own
from supervision.threads import ThreadRecord
from supervision.trampoline import run_exposed
from thousand_island import endings
from thousand_island.endings import Ending
from thousand_island.errors import SocketClosed, SocketTimeout, ThousandIslandError, reason_string
from thousand_island.readers import reader_for
from thousand_island.results import Close, Continue, Error, Persistent, SwitchTransport, check_timeout
from thousand_island.socket import Socket
from thousand_island.telemetry import Span, signal_of

__all__ = ["Connection", "Ready"]

_READY: Final = signal_of("connection.ready")
_ASYNC_RECV: Final = signal_of("connection.async_recv")

_EXPECTED: Final = "Continue, Close, Error or SwitchTransport"


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message of a connection's process.

    Attributes:
        socket: the connection, owned by the receiver; call ``socket.handshake()`` before anything else.
        server_config: the server's options.
        acceptor_span: the parent of the connection's span.
        start_time: when it was accepted, by ``telemetry.monotonic_time``.

    Counterpart: ``{:thousand_island_ready, …}``.
    """

    socket: Socket
    server_config: Any
    acceptor_span: Span
    start_time: int


class Connection(Server):
    """The loop of one connection. ``state`` is the pair ``(socket, state)`` of the handler.

    ``idle_deadline`` is when the connection has been idle for too long; it is set when a callback has returned, so it
    never passes while one runs.
    """

    __slots__ = ("idle_deadline", "reader", "socket", "source")

    def __init__(self, actor: Any, process: Process) -> None:
        super().__init__(actor, process)
        actor.pid = process.pid
        process.trap_exit = True
        self.socket: Socket | None = None
        self.reader: Any = None
        self.source: Any = None
        self.idle_deadline: float | None = None

    # What arrives

    def handle(self, message: Any, record: ThreadRecord) -> None:
        """Handle one message."""
        if message is self.source and message is not None:
            self._readable(record)
        elif type(message) is Ready:
            self._begin(message, record)
        else:
            super().handle(message, record)

    def _start(self, order: Start, record: ThreadRecord) -> None:
        super()._start(order, record)
        state = self.state
        if not self.process.dead and not (isinstance(state, tuple) and len(state) == 2):
            self.state = (None, state)

    def _begin(self, ready: Ready, record: ThreadRecord) -> None:
        """Start the span, shake hands, and call ``handle_connection``."""
        self.socket = socket = ready.socket
        self.state = (socket, self.state[1])
        try:
            socket.begin_span(ready.acceptor_span, ready.start_time)
        except OSError as error:
            self.finish(endings.premature(reason_string(error)), record)
            return
        if not own(self.process, self):
            return  # killed just now; the socket is closed with the last reference to it
        self.process.label = ("thousand_island", "connection", (type(self.actor), socket.peername()))
        span = socket.telemetry_span
        if _READY.receivers and span is not None:
            span.event(_READY)
        try:
            socket.handshake()
        except (OSError, ThousandIslandError, ValueError) as error:
            self.finish(endings.handshake_failed(reason_string(error)), record)
            return
        self._attach()
        self.perform(NOTHING, record, "handle_connection")

    def _attach(self) -> None:
        socket = self.socket
        assert socket is not None
        self.reader = reader_for(socket.transport_module, socket.socket, self.process)
        self.source = self.reader.source

    def _readable(self, record: ThreadRecord) -> None:
        """There may be data: read once and hand it to ``handle_data``."""
        source = self.source
        source.posted.release()  # before the read: what comes after it must be told again
        socket = self.socket
        assert socket is not None
        if socket.closed:
            return
        try:
            data = self.reader.read()
        except SocketTimeout:  # told for nothing: a callback has read it already
            self.reader.await_data()
            return
        except (SocketClosed, ConnectionError):
            self.finish(endings.PEER_CLOSED, record)
            return
        except OSError as error:
            self.finish(endings.of_error(reason_string(error), silent=socket.silent_terminate_on_error), record)
            return
        if _ASYNC_RECV.receivers and socket.telemetry_span is not None:
            socket.telemetry_span.untimed_event(_ASYNC_RECV, {"data": data})
        self.deadline = None
        self.perform(NOTHING, record, "handle_data", data)

    # Callbacks and their results

    def perform(self, message: Any, record: ThreadRecord, name: str, *args: Any) -> None:
        """Run a callback and the ``handle_continue`` that its results ask for."""
        try:
            function = getattr(self.actor, name)
            if name in _HANDLER_CALLBACKS:
                result = run_exposed(self.process, record, function, *args, *self.state)
            else:
                result = run_exposed(self.process, record, function, *args, self.state)
            self._settle(name, result, message, record)
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises ends the connection
            if not self.process.dead:
                self.finish(self._of_escaped(error), record, message)

    def _of_escaped(self, error: BaseException) -> Ending:
        if isinstance(error, SocketTimeout):
            return endings.TIMED_OUT
        if self.socket is not None and self.socket.raised(error):
            reason = reason_string(error)
            return endings.of_error(reason, silent=self.socket.silent_terminate_on_error, crash=False)
        if isinstance(error, ProcessExit):
            return endings.of_reason(error.reason)
        return endings.of_exception(error)

    def _apply(self, name: str, result: Any, message: Any, record: ThreadRecord) -> Any:
        kind = type(result)
        socket = self.socket
        if kind is Continue and socket is not None:
            self.state = (socket, result.state)
            return self._continue(name, result, record)
        if kind is Close:
            self.state = (socket, result.state)
            self.finish(endings.LOCAL_CLOSED, record, message)
        elif kind is Error:
            self.state = (socket, result.state)
            silent = socket is not None and socket.silent_terminate_on_error
            self.finish(endings.of_error(result.reason, silent=silent), record, message)
        elif kind is SwitchTransport:
            self.state = (socket, result.state)
            return self._switch_transport(name, result, record)
        elif name in _HANDLER_CALLBACKS:
            raise BadReturn(type(self.actor), name, result, _EXPECTED)
        else:
            return self._apply_actor_result(name, result, message, record)
        return UNSET

    def _apply_actor_result(self, name: str, result: Any, message: Any, record: ThreadRecord) -> Any:
        if hasattr(result, "state") and result.state is not UNSET:
            _check_shape(result.state, self.socket)
        argument = super()._apply(name, result, message, record)
        socket = self.socket
        if self.process.dead or socket is None:
            return argument
        if self._ended_by_handler(record):
            return UNSET
        if socket.config.messages_defer_timeout and result.timeout is None:
            self._be_idle(socket.read_timeout)
        if self.reader is not None:
            self.reader.await_data()  # the callback may have read a part
        return argument

    def _continue(self, name: str, result: Any, record: ThreadRecord) -> Any:
        if self._ended_by_handler(record):
            return UNSET
        socket = self.socket
        assert socket is not None
        timeout = result.timeout
        if timeout is None:
            timeout = socket.read_timeout
        else:
            check_timeout(timeout)
            if type(timeout) is Persistent:
                timeout = socket.read_timeout = timeout.milliseconds
        self._be_idle(timeout)
        self.reader.await_data()
        return result.continue_with

    def _ended_by_handler(self, record: ThreadRecord) -> bool:
        if self.socket is not None and self.socket.closed:
            self.finish(endings.CLOSED_BY_HANDLER, record)
            return True
        return False

    def _switch_transport(self, name: str, result: SwitchTransport, record: ThreadRecord) -> Any:
        socket = self.socket
        assert socket is not None
        try:
            socket.upgrade(result.transport_module, result.options)
        except (OSError, ThousandIslandError, ValueError) as error:
            self.finish(endings.upgrade_failed(reason_string(error)), record)
            return UNSET
        self._attach()
        return self._continue(name, result, record)

    # Time

    def _be_idle(self, timeout: float) -> None:
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
        self._be_idle(result.timeout)

    def _check_timeout(self, message: Any, record: ThreadRecord) -> None:
        idle = self.idle_deadline
        if idle is not None:
            if time.monotonic() >= idle:
                self._idle_too_long(record)
                return
            self._arm(idle)
        super()._check_timeout(message, record)

    def _idle_too_long(self, record: ThreadRecord) -> None:
        if self.source is not None and self.source.posted.locked():
            return  # there is data, and its message is in the mailbox
        self.finish(endings.TIMED_OUT, record)

    # The end

    def _finish(self, reason: Any, message: Any, record: ThreadRecord, reply: Any = UNSET) -> None:
        self.finish(endings.of_reason(reason), record, message, reply)

    def finish(self, ending: Ending, record: ThreadRecord, message: Any = NOTHING, reply: Any = UNSET) -> None:
        """End the connection: one callback, the socket closed, one stop event, the process gone."""
        self.stopping = True
        socket = self.socket
        if not ending.socket_open:
            self._close()
        if socket is not None and ending.callback is not None:
            ending = self._last_callback(ending, record)
        if socket is None:  # the order to end came before the connection
            ending = dataclasses.replace(ending, crash=exits.is_crash(ending.reason))
        crash = self._crash(ending.reason, message, record) if ending.crash else None
        if disown(self.process, self):  # else it was killed meanwhile, and ``owner_died`` has done this
            self._close()
            self._stop_span(ending.error)
        elif not ending.span:
            self._close()
        if isinstance(message, Call) and reply is not UNSET:
            message.fire((True, reply))
        self._cancel_timer()
        end(self.process, ending.reason, crash)

    def _last_callback(self, ending: Ending, record: ThreadRecord) -> Ending:
        """Run the callback of ``ending``; if that raises, its exception is the exit reason, as in ``terminate``."""
        assert ending.callback is not None
        args = (ending.error,) if ending.callback == "handle_error" else ()
        try:
            run_exposed(self.process, record, getattr(self.actor, ending.callback), *args, *self.state)
            if type(self.actor).terminate is not Actor.terminate:
                run_exposed(self.process, record, self.actor.terminate, ending.reason, self.state)
        except BaseException as error:  # noqa: BLE001 - the connection is closed whatever the handler does
            reason = exits.reason_of(error)
            return dataclasses.replace(ending, reason=reason, error=reason, crash=exits.is_crash(reason))
        return ending

    def _close(self) -> None:
        socket = self.socket
        if socket is not None and not socket.closed:
            socket.closed = True
            try:
                socket.transport_module.close(socket.socket)
            except (OSError, ThousandIslandError):
                pass  # it was closing anyway

    def _stop_span(self, error: Any) -> None:
        socket = self.socket
        if socket is None or socket.telemetry_span is None:
            return
        stats = socket.getstat()
        metadata = {} if error is UNSET else {"error": error}
        socket.telemetry_span.stop(dataclasses.asdict(stats), metadata)

    def owner_died(self, process: Process, reason: Any) -> None:
        """The process was killed: the client sees its connection closed and the span ends, before anybody is told."""
        socket = self.socket
        if socket is None:
            return
        abort = getattr(socket.socket, "abort", None)
        if abort is not None:
            abort()
        else:
            self._close()
        self._stop_span(reason)

    def buried(self) -> None:
        """No thread can use the socket any more: give its descriptor back."""
        super().buried()
        self._close()


_HANDLER_CALLBACKS: Final = frozenset({"handle_connection", "handle_data"})


def _check_shape(state: Any, socket: Socket | None) -> None:
    if not (isinstance(state, tuple) and len(state) == 2 and (state[0] is socket or isinstance(state[0], Socket))):
        raise TypeError(f"The callback's `state` doesn't match the expected `(socket, state)` form: {state!r}")
