"""The process of one connection: the Actor loop, and what a Handler has beyond it.

Owns the flow readable → recv → ``handle_data`` → wait, and what results of callbacks lead to. The idle time and the end
of the connection are in its two base classes.

Counterpart: the GenServer that ``use ThousandIsland.Handler`` defines.
"""

from __future__ import annotations

import time
from typing import Any, Final

from supervision.calls import Call, Cast, SystemCall
from supervision.errors import BadReturn, Killed
from supervision.process_table import Process
from supervision.readiness import Source, post
from supervision.reports import NOTHING
from supervision.results import UNSET, NoReply, Ok, Reply, Stop
from supervision.shown import shown
from supervision.threads import ThreadRecord
from supervision.trampoline import run_exposed, survive
from thousand_island import endings
from thousand_island.connections import Drain
from thousand_island.ending_connection import EndingConnection
from thousand_island.errors import SocketTimeout, ThousandIslandError, reason_string
from thousand_island.handshake import Handshake
from thousand_island.readers import BlockingReader, reader_for
from thousand_island.ready import Ready
from thousand_island.results import Close, Continue, Error, Persistent, SwitchTransport, check_timeout
from thousand_island.socket import Socket
from thousand_island.telemetry import signal_of
from thousand_island.transport import SocketInfo

__all__ = ["Connection"]

_READY: Final = signal_of("connection.ready")
_ASYNC_RECV: Final = signal_of("connection.async_recv")

_EXPECTED: Final = "Continue, Close, Error or SwitchTransport"

# What ``source`` is before there is one: equal to no message, unlike None.
_NO_SOURCE: Final = object()


class Connection(EndingConnection):
    """The loop of one connection. ``state`` is the pair ``(socket, state)`` of the handler.

    ``drain`` is the last Drain it has heard of. While there is a ``handshake`` no callback runs, and the idle time is
    that of the handshake.
    """

    __slots__ = ("drain", "handler", "reader", "source")

    def __init__(self, actor: Any, process: Process) -> None:
        super().__init__(actor, process)
        actor.pid = process
        self.handler = actor  # the same object as ``actor``, under the type that has ``handle_data``
        process.trap_exit = True
        self.reader: Any = None
        self.source: Any = _NO_SOURCE
        self.drain: Drain | None = None

    # What arrives

    def handle(self, message: Any, record: ThreadRecord) -> None:
        """Handle one message."""
        if message is self.source:
            message.posted.release()  # before the read: what comes after it must be told again
            self.readable(self.process, record)
        elif type(message) is Ready:
            self._begin(message, record)
        elif type(message) is Drain:
            self._drain(message, record)
        elif self.handshake is not None and isinstance(message, Call) and type(message) is not SystemCall:
            self.handshake.deferred.append(message)  # before it counts as taken
        else:
            super().handle(message, record)

    def cast(self, message: Cast, record: ThreadRecord) -> None:
        """Take the way of all messages: a handshake defers them."""
        self.handle(message, record)

    def init(self, arg: Any, record: ThreadRecord) -> Any:
        """Run the user's ``init``; a first state that is no pair yet is made one."""
        result = super().init(arg, record)
        if type(result) is Ok and not (isinstance(result.state, tuple) and len(result.state) == 2):
            return Ok((None, result.state), result.timeout, result.continue_with)
        return result

    def _begin(self, ready: Ready, record: ThreadRecord) -> None:
        """Start the span, shake hands, and call ``handle_connection``."""
        self.socket = socket = ready.socket
        self.state = (socket, self.state[1])
        try:
            peer = socket.begin_span(ready.acceptor_span, ready.start_time)
        except OSError as error:
            self.finish(endings.premature(reason_string(error)), record)
            return
        except Exception as error:  # noqa: BLE001 - as in ``_readable``
            self.finish(endings.of_exception(error), record)
            return
        self._label(peer)
        span = socket.open_span
        if _READY.receivers and span is not None:
            span.event(_READY)
        self._shake_hands(Handshake(endings.handshake_failed, self._greet), record)

    def _label(self, client: SocketInfo) -> None:
        assert self.socket is not None
        if self.socket.config.genserver_options.get("label") is None:
            self.process.label = ("thousand_island", "connection", (type(self.actor), client))

    def _greet(self, record: ThreadRecord) -> None:
        assert self.socket is not None
        if self.socket.proxied:
            self._label(self.socket.peername())  # until now it was the proxy
        self.perform(NOTHING, record, "handle_connection")
        if self.drain is not None and not self.process.dead:  # it was quicker than the socket
            self.perform(NOTHING, record, "handle_drain", self.drain.deadline)

    def _shake_hands(self, handshake: Handshake, record: ThreadRecord) -> None:
        """Go on with the handshake as far as the client lets it."""
        socket = self.socket
        assert socket is not None
        try:
            done = socket.try_handshake()
        except Exception as error:  # noqa: BLE001 - as in ``_readable``
            self.finish(handshake.failed(reason_string(error)), record)
            return
        if done:
            self.handshake = self.idle_timeout = None
            self._attach()
            self.process.mailbox.extendleft(reversed(handshake.deferred))
            handshake.done(record)
        elif self.handshake is None:
            self.handshake = handshake
            self.source = socket.socket.source
            self.be_idle(socket.config.handshake_timeout)

    def _attach(self) -> None:
        socket = self.socket
        assert socket is not None
        reader = reader_for(socket.transport_module, socket.socket, self.process, self.reader)
        self.reader = socket.reader = reader
        self.source = reader.source
        socket.receive = reader.recv if isinstance(reader, BlockingReader) else None
        socket.changed = False

    def _attach_anew(self) -> None:
        """Read from what the connection has been upgraded to."""
        self._attach()
        if isinstance(self.source, Source):
            post(self.source)  # what was told of may be there for the new one, and nobody will tell of it again

    def readable(self, process: Process, record: ThreadRecord) -> None:
        """There may be data: read once and hand it to ``handle_data``. Never raises."""
        try:
            socket = self.socket
            if self.handshake is not None or socket.changed:  # type: ignore[union-attr]  # there has been a Ready
                self._readable_otherwise(record)
                return
            try:
                data = self.reader.read()
            except Exception as error:  # noqa: BLE001 - a transport is the user's; its mistake is one of the handler's
                self._read_nothing(error, record)
                return
            if _ASYNC_RECV.receivers:
                self._tell_of_data(data)
            self.deadline = None
            self._handle_data(data, socket, process, record)
        except BaseException as error:  # noqa: BLE001 - without this a worker would end and its processor be lost
            survive(process, record, error)

    def serve_what_came(self, record: ThreadRecord) -> None:
        """Hand data that has come already to ``handle_data``, as it would have come to a message ahead of this one."""
        if self.handshake is None and self.reader is not None and not self.process.suspended:
            self.readable(self.process, record)

    def _readable_otherwise(self, record: ThreadRecord) -> None:
        assert self.socket is not None
        if self.socket.closed:
            return
        if self.handshake is not None:
            self._shake_hands(self.handshake, record)
        else:  # upgraded by what was no callback, such as the function of ``sys.replace_state``
            self._attach_anew()
            self.reader.await_data()

    def _read_nothing(self, error: Exception, record: ThreadRecord) -> None:
        """The end has come, or a callback has read what there was already."""
        socket = self.socket
        assert socket is not None
        if not isinstance(error, SocketTimeout):
            self.finish(endings.of_failed_read(error, silent=socket.silent_terminate_on_error), record)
            return
        self.reader.await_data()
        left = self.idle_left()
        if left is not None:
            self.remind(time.monotonic() + left, 0.0)  # it may have passed while this was in the mailbox

    def _tell_of_data(self, data: bytes) -> None:
        span = self.socket.open_span if self.socket is not None else None
        if span is not None:
            span.untimed_event(_ASYNC_RECV, {"data": data})

    def _handle_data(self, data: bytes, socket: Any, process: Process, record: ThreadRecord) -> None:
        """``perform``, ``_apply`` and ``_await`` written out for the commonest result: the path of every request."""
        try:
            record.exposed = process
            try:
                if process.dead:
                    raise Killed
                result = self.handler.handle_data(data, socket, self.state[1])
            finally:
                record.exposed = None
                if process.dead:
                    record.settle(process)
                    raise Killed
            if (
                type(result) is not Continue
                or result.timeout is not None
                or result.continue_with is not UNSET
                or socket.changed
            ):
                self._settle("handle_data", result, NOTHING, record)
                return
            self.state = (socket, result.state)
            reminder = self.reminder
            if socket.read_timeout == self.idle_timeout and reminder is not None and not reminder.over:
                self.idle_since = time.monotonic()
            else:
                self.be_idle(socket.read_timeout)
            if not self.reader.drained:
                self.reader.await_data()
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises ends the connection
            self.escaped(error, record)

    # Callbacks and their results

    def perform(self, message: Any, record: ThreadRecord, name: str, *args: Any) -> None:
        """Run a callback and the ``handle_continue`` that its results ask for."""
        if self.handshake is not None:
            self.handshake.deferred.append(message)
            return
        try:
            function = getattr(self.actor, name)
            if name == "handle_drain":
                result = run_exposed(self.process, record, function, *self.state, *args)
            elif name in _HANDLER_CALLBACKS:
                result = run_exposed(self.process, record, function, *args, *self.state)
            else:
                result = run_exposed(self.process, record, function, *args, self.state)
            self._settle(name, result, message, record)
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises ends the connection
            self.escaped(error, record, message)

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
        if type(result) is Stop and result.state is None:
            result = Stop(result.reason, reply=result.reply)  # None is no pair: it means what leaving it out means
        if isinstance(result, NoReply | Reply | Stop) and result.state is not UNSET:
            self._check_shape(name, result.state)
        argument = super()._apply(name, result, message, record)
        socket = self.socket
        if self.process.dead or socket is None:
            return argument
        if socket.changed and self._changed_by_handler(record):
            return UNSET
        if socket.config.messages_defer_timeout and result.timeout is None:
            self._begin_anew(name, socket)
        if self.reader is not None:
            self.reader.await_data()  # the callback may have read a part
        return argument

    def _begin_anew(self, name: str, socket: Any) -> None:
        if name != "handle_continue":
            self.be_idle(socket.read_timeout)
        elif self.idle_timeout is not None:  # the limit that the result had which asked for it
            self.be_idle(self.idle_timeout)

    def _check_shape(self, name: str, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2 and (state[0] is self.socket or isinstance(state[0], Socket)):
            return
        returned = f"{type(self.actor).__name__}.{name} returned {shown(state)}"
        raise TypeError(f"The callback's `state` doesn't match the expected `(socket, state)` form: {returned}")

    def _continue(self, name: str, result: Any, record: ThreadRecord) -> Any:
        socket = self.socket
        assert socket is not None
        if socket.changed and self._changed_by_handler(record):
            return UNSET
        timeout = result.timeout
        if name == "handle_drain":
            self.puts_off = timeout is not None and self.drain is not None and self.drain.stops
        if timeout is None:
            timeout = socket.read_timeout
        else:
            check_timeout(type(self.actor), name, result)
            if type(timeout) is Persistent:
                timeout = socket.read_timeout = timeout.milliseconds
        self._await(timeout)
        return result.continue_with

    def _changed_by_handler(self, record: ThreadRecord) -> bool:
        """Do what is left to do if a callback has closed or upgraded the connection; True if that is the end."""
        assert self.socket is not None
        if self.socket.closed:
            self.finish(endings.CLOSED_BY_HANDLER, record)
            return True
        self._attach_anew()
        return False

    def _switch_transport(self, name: str, result: SwitchTransport, record: ThreadRecord) -> Any:
        socket = self.socket
        assert socket is not None
        try:
            socket.begin_upgrade(result.transport_module, result.options)
        except (OSError, ThousandIslandError, ValueError) as error:
            self.finish(endings.upgrade_failed(reason_string(error)), record)
            return UNSET
        if not socket.needs_handshake:
            self._attach_anew()
            return self._continue(name, result, record)
        go_on = Continue(result.state, result.timeout, continue_with=result.continue_with)
        self._shake_hands(Handshake(endings.upgrade_failed, lambda then: self._go_on(name, go_on, then)), record)
        return UNSET

    def _go_on(self, name: str, result: Continue, record: ThreadRecord) -> None:
        """Apply what a SwitchTransport says beside the switch, once that is done."""
        try:
            self._settle(name, result, NOTHING, record)
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises ends the connection
            self.escaped(error, record)

    # Time

    def _await(self, timeout: float) -> None:
        """Wait for data, for so many milliseconds at most."""
        self.be_idle(timeout)
        self.reader.await_data()

    def idle_too_long(self, record: ThreadRecord) -> None:
        """End the connection, unless there is data after all."""
        if self.handshake is not None:  # whatever has come: the time is for all of it
            assert self.socket is not None
            self.socket.handshake_is_late()
            self.finish(self.handshake.failed("timeout"), record)
            return
        if self.source is not _NO_SOURCE and self.source.posted.locked():
            return  # there is data, and its message is in the mailbox
        self.finish(endings.SHUTTING_DOWN if self.ordered else endings.TIMED_OUT, record)

    # Draining

    def _drain(self, message: Drain, record: ThreadRecord) -> None:
        """The server stops or suspends: let the handler say goodbye, once for each time."""
        if message is self.drain:
            return
        if self.handshake is not None:
            self.handshake.deferred.append(message)
            return
        self.drain = message
        if self.socket is not None:
            self.perform(NOTHING, record, "handle_drain", message.deadline)


_HANDLER_CALLBACKS: Final = frozenset({"handle_connection", "handle_data", "handle_drain"})
