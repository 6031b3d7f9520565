"""Accepting connections.

An acceptor holds no thread while it waits: it is told when it is its turn, takes one connection, passes the turn on
and gets in line again. What it does about each error of accept(2) is in ``_accept_failed``; only one that accept(2)
does not list ends it. What becomes of the client is ``admission``'s business.

Counterpart: ``ThousandIsland.Acceptor``.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from supervision import process
from supervision.actor import Actor
from supervision.exits import is_quiet
from supervision.foreign import this_process
from supervision.masked_server import MaskedServer
from supervision.process_table import Pid, Process
from supervision.results import Ignore, NoReply, Ok, Stop
from supervision.scheduler import deliver
from supervision.signals import entrust
from supervision.threads import current
from supervision.trampoline import run_exposed
from thousand_island.admission import RETRY_START, Admission
from thousand_island.errors import reason_string
from thousand_island.limits import ROOM
from thousand_island.listening import Listening
from thousand_island.server_config import ServerConfig
from thousand_island.telemetry import Span, monotonic_time, signal_of
from thousand_island.transports.turns import Turns, YourTurn

__all__ = ["Acceptor", "AcceptorContext"]

_ECONNABORTED: Final = signal_of("acceptor.econnaborted")
_EINVAL: Final = signal_of("acceptor.einval")
_ACCEPT_ERROR: Final = signal_of("acceptor.accept_error")
_EMFILE: Final = signal_of("acceptor.emfile")

# Milliseconds until the next attempt when the system has no descriptor or memory left, which is upstream's value, or
# when there was no connection and nobody can tell of the next.
BACK_OFF: Final = 100

_TRY_AGAIN: Final = "try_again"

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


class _AcceptorServer(MaskedServer):
    """The loop of an acceptor, whose clients are closed even if it is killed."""

    __slots__ = ()

    def buried(self) -> None:
        """Close the clients that have no process; no thread uses them any more."""
        super().buried()
        acceptor = self.actor
        if isinstance(acceptor, Acceptor) and hasattr(acceptor, "admission"):
            acceptor.leave()


class Acceptor(Actor):
    """One acceptor. Its argument is the AcceptorContext; its state is None, what it knows are its attributes."""

    restart: ClassVar[Any] = "transient"
    server_class: ClassVar[Any] = _AcceptorServer

    config: ServerConfig
    listening: Listening
    listener: Any
    turns: Turns | None
    span: Span
    admission: Admission
    process: Process

    def init(self, context: AcceptorContext) -> Any:
        """Start the span and get in line."""
        process.trap_exit(True)  # so that ``terminate`` ends the span at suspend and shutdown too
        listening = context.listening
        config = listening.config
        process.set_label(("thousand_island", "acceptor", ((config.port, config.handler_module), context.number)))
        self.listener, self.turns = listening.for_acceptor(context.number)
        self.listening = listening
        if self.listener is None or listening.span is None:
            return Ignore()  # suspended, or shutting down; ``resume`` starts it
        assert context.connection_sup is not None
        self.config = config
        self.span = listening.span.start_child_span("acceptor")
        self.process = this_process()
        self.admission = Admission(listening, context.connection_sup, self.process, self.span)
        self.turned_away = False  # for want of room; then it is not in line
        if self.turns is not None:
            self.turns.join()
            self._wait()  # before the server has started, or the first clients would go to the first in line
        entrust(self.process, self)
        return Ok(None, continue_with="accept")

    def handle_continue(self, argument: Any, state: None) -> Any:
        """See to it that somebody looks, be there a client or not.

        The last turn may have been that of an acceptor that is dead, and what is wrong with accepting shows at once.
        """
        if self.turns is not None:
            self.turns.pass_turn()
        else:
            process.send_after(process.self(), _TRY_AGAIN, 0)  # not now: it would block on the supervisor's thread
        return NoReply(state)

    def handle_info(self, message: Any, state: None) -> Any:
        """It is this acceptor's turn, or there is room, or it is time to try again."""
        if type(message) is YourTurn or message == _TRY_AGAIN:
            return self._accept(state)
        if message is ROOM:
            self.admission.use_room()
            if self.turned_away:
                return self._accept(state)
        elif message == RETRY_START:
            self.admission.retry()
            self._wait()
        return NoReply(state)

    def terminate(self, reason: Any, state: None) -> None:
        """Close the clients that were waiting for room."""
        self.admission.close()

    def leave(self) -> None:
        """No thread runs this acceptor any more."""
        if self.turns is not None:
            self.turns.leave(self.process)
        self.admission.close()

    def owner_died(self, process: Process, reason: Any) -> None:
        """End the span, however this acceptor has ended."""
        error = {} if is_quiet(reason) else {"error": reason_string(reason)}
        self.span.stop({"connections": self.admission.connections}, error)

    def _wait(self, *, first: bool = False) -> None:
        if self.admission.waiting is not None:
            return  # until there is room for that one
        if self.turns is not None:
            self.turns.wait_turn(self.process, first=first)
        elif first:  # a listener without a descriptor, whose accept does not wait either
            process.send_after(process.self(), _TRY_AGAIN, BACK_OFF)
        else:  # a transport of somebody else without descriptors: its accept waits
            deliver(self.process, _TRY_AGAIN)

    def _accept(self, state: None) -> Any:
        if self.admission.waiting is not None:  # one that was held back has come to wait, after it got in line
            self.turned_away = False
            if self.turns is not None:
                self.turns.pass_on(self.process)
            return NoReply(state)
        self.turned_away = not self.admission.may_accept()
        if self.turned_away:
            if self.turns is not None:
                self.turns.decline(self.process)
            return NoReply(state)
        try:
            raw = self._take()
        except BlockingIOError:
            self.admission.none_came()
            self._wait(first=True)
            return NoReply(state)
        except OSError as error:
            self.admission.none_came()
            return self._accept_failed(error, state)
        start_time = monotonic_time()
        if self.turns is not None:
            self.turns.pass_on(self.process)  # somebody else can take the next
        self.admission.admit(raw, start_time)
        self._wait()
        return NoReply(state)

    def _take(self) -> Any:
        accept = self.config.transport_module.accept
        if self.turns is self.listener:
            return accept(self.listener)
        if self.turns is not None and not self.turns.is_ready():
            raise BlockingIOError
        return run_exposed(self.process, current.record, accept, self.listener)  # it may block for long

    def _accept_failed(self, error: OSError, state: None) -> Any:
        if not self.listening.is_open(self.listener):
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
        elif error.errno != errno.EINTR:  # of a transport of somebody else; it says nothing of any client
            raise error
        deliver(self.process, _TRY_AGAIN)  # this attempt took the turn, and there may be more connections
        return NoReply(state)

    def _tell(self, event: Any, error: Any = None) -> None:
        if event.receivers:
            self.span.event(event, {} if error is None else {"error": reason_string(error)})
