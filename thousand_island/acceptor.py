"""Accepting connections and starting their processes.

An acceptor holds no thread while it waits: it is told when it is its turn, takes one connection, passes the turn on
and gets in line again. What it does about each error of accept(2) is in ``_accept_failed``; only one that accept(2)
does not list ends it.

Counterpart: ``ThousandIsland.Acceptor``.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from supervision import process
from supervision.actor import Actor
from supervision.child_spec import ChildSpec
from supervision.dynamic_supervisor import DynamicSupervisor
from supervision.errors import MaxChildren, StartError
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Pid
from supervision.results import NoReply, Ok, Stop
from supervision.scheduler import deliver
from thousand_island.connection import Ready
from thousand_island.errors import reason_string
from thousand_island.listening import Listening
from thousand_island.server_config import ServerConfig
from thousand_island.socket import Socket
from thousand_island.telemetry import Span, monotonic_time, signal_of
from thousand_island.transports.listen_socket import ListenSocket, YourTurn

__all__ = ["Acceptor", "AcceptorContext"]

_SPAWN_ERROR: Final = signal_of("acceptor.spawn_error")
_ECONNABORTED: Final = signal_of("acceptor.econnaborted")
_EINVAL: Final = signal_of("acceptor.einval")
_ACCEPT_ERROR: Final = signal_of("acceptor.accept_error")
_EMFILE: Final = signal_of("acceptor.emfile")

# Milliseconds until the next attempt when the system has no descriptor or memory left; upstream's value.
BACK_OFF: Final = 100

_TRY_AGAIN: Final = "try_again"
_RETRY_START: Final = "retry_start"

# accept(2): "Linux accept() passes already-pending network errors on the new socket"; they are the peer's trouble.
_NETWORK_ERRORS: Final = frozenset(
    getattr(errno, name)
    for name in (
        "ENETDOWN",
        "EPROTO",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "ETIMEDOUT",
        "EPERM",
        "ECONNRESET",
    )
    if hasattr(errno, name)
)
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(slots=True)
class AcceptorContext:
    """What an AcceptorSupervisor's children share.

    Attributes:
        listening: the server's sockets.
        number: which acceptor this is, counted from 1.
        connection_sup: the sibling that supervises its connections; it stores itself here before the acceptor starts.
    """

    listening: Listening
    number: int
    connection_sup: Pid | None = None


class Acceptor(Actor):
    """One acceptor. Its argument is the AcceptorContext; its state is None, what it knows are its attributes."""

    restart: ClassVar[Any] = "transient"

    config: ServerConfig
    listener: Any
    span: Span
    connection_spec: ChildSpec

    def init(self, context: AcceptorContext) -> Any:
        """Start the span and get in line."""
        process.trap_exit(True)  # so that ``terminate`` ends the span at suspend and shutdown too
        listening = context.listening
        config = listening.config
        process.set_label(("thousand_island", "acceptor", ((config.port, config.handler_module), context.number)))
        if not listening.sockets or listening.span is None:
            return Stop("shutdown")  # the server shuts down while this acceptor restarts
        self.config = config
        self.listener = listening.for_acceptor(context.number)
        self.connection_sup = context.connection_sup
        self.connection_spec = _connection_spec(config)
        self.connections = 0
        self.waiting: Any = None  # an accepted socket for which there is no room yet, and when it was accepted
        self.retries = 0
        self.span = listening.span.start_child_span("acceptor")
        return Ok(None, continue_with="wait")

    def handle_continue(self, argument: Any, state: None) -> Any:
        """Get in line, after the start."""
        self._wait()
        return NoReply(state)

    def handle_info(self, message: Any, state: None) -> Any:
        """It is this acceptor's turn, or time to try again."""
        if type(message) is YourTurn or message == _TRY_AGAIN:
            return self._accept(state)
        if message == _RETRY_START:
            self._retry(state)
            return NoReply(state)
        return NoReply(state)

    def terminate(self, reason: Any, state: None) -> None:
        """End the span; a client that was waiting for room is closed."""
        if self.waiting is not None:
            self.config.transport_module.close(self.waiting[0])
        error = {} if _is_orderly(reason) else {"error": reason_string(reason)}
        self.span.stop({"connections": self.connections}, error)

    # Accepting

    def _wait(self) -> None:
        if isinstance(self.listener, ListenSocket):
            self.listener.wait_turn(this_process())
        else:  # a transport of somebody else: its accept blocks
            deliver(this_process(), _TRY_AGAIN)

    def _accept(self, state: None) -> Any:
        try:
            raw = self.config.transport_module.accept(self.listener)
        except BlockingIOError:
            self._wait()
            return NoReply(state)
        except OSError as error:
            return self._accept_failed(error, state)
        start_time = monotonic_time()
        if isinstance(self.listener, ListenSocket):
            self.listener.pass_turn()  # there may be more, and somebody else can take it
        self._start(raw, start_time)
        if self.waiting is None:
            self._wait()
        return NoReply(state)

    def _accept_failed(self, error: OSError, state: None) -> Any:
        if getattr(self.listener, "closed", False):
            return Stop("normal", state)
        if error.errno in _EXHAUSTED:
            self._tell(_EMFILE, error)
            process.send_after(process.self(), _TRY_AGAIN, BACK_OFF)
            return NoReply(state)
        if error.errno == errno.ECONNABORTED:
            self._tell(_ECONNABORTED)
        elif error.errno == errno.EINVAL:
            self._tell(_EINVAL)
        elif error.errno in _NETWORK_ERRORS:
            self._tell(_ACCEPT_ERROR, error)
        else:
            raise error
        deliver(this_process(), _TRY_AGAIN)  # this attempt took the turn, and there may be more connections
        return NoReply(state)

    def _tell(self, event: Any, error: Any = None) -> None:
        if event.receivers:
            self.span.event(event, {} if error is None else {"error": reason_string(error)})

    # Starting the connection's process

    def _start(self, raw: Any, start_time: int) -> None:
        assert self.connection_sup is not None
        try:
            pid = DynamicSupervisor.start_child(self.connection_sup, self.connection_spec)
        except MaxChildren:
            self._no_room(raw, start_time)
        except StartError as error:
            self._spawn_failed(raw, {"error": reason_string(error.reason)})
        else:
            if pid is None:
                self._spawn_failed(raw, {"error": "ignore"})
            else:
                self._hand_over(raw, start_time, pid)

    def _hand_over(self, raw: Any, start_time: int, pid: Pid) -> None:
        self.connections += 1
        transport = self.config.transport_module
        transport.controlling_process(raw, pid)
        socket = Socket(transport, raw, self.config, pid._process)
        deliver(pid._process, Ready(socket, self.config, self.span, start_time))
        if pid._process.dead:  # before it could take the socket
            transport.close(raw)

    def _no_room(self, raw: Any, start_time: int) -> None:
        if self.waiting is None:
            self.waiting = (raw, start_time)
            self.retries = self.config.max_connections_retry_count
        if self.retries <= 0:
            self.waiting = None
            self._spawn_failed(raw, {})
            return
        self.retries -= 1
        if self.config.max_connections_retry_wait != INFINITY:
            process.send_after(process.self(), _RETRY_START, int(self.config.max_connections_retry_wait))

    def _retry(self, state: None) -> None:
        raw, start_time = self.waiting
        retries = self.retries
        self._start(raw, start_time)
        if self.retries == retries:  # it found room, or failed for another reason
            self.waiting = None
        if self.waiting is None:
            self._wait()

    def _spawn_failed(self, raw: Any, measurements: dict[str, Any]) -> None:
        self.config.transport_module.close(raw)
        if _SPAWN_ERROR.receivers:
            self.span.event(_SPAWN_ERROR, measurements)


def _is_orderly(reason: Any) -> bool:
    return reason in ("normal", "shutdown") if isinstance(reason, str) else isinstance(reason, tuple)


def _connection_spec(config: ServerConfig) -> ChildSpec:
    """How each connection's process is started. One spec serves them all."""
    return ChildSpec(
        id="connection",
        start=config.handler_module.start_link,
        args=((config.handler_options, config.genserver_options),),
        restart="temporary",
        shutdown=config.shutdown_timeout,
    )
