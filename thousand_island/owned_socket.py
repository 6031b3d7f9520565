"""What a Socket is to the connection's process and to whoever ends it: its owner, its span, its end.

Here is who may use it, how each of its errors is known by, and how it is closed exactly once, by its owner's thread or
after that is done with it.
"""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from blinker import NamedSignal

from supervision.errors import Killed
from supervision.process_table import Process
from supervision.threads import current, library_call
from thousand_island.closing import close
from thousand_island.errors import NotOwner, SocketClosed, ThousandIslandError, reason_string
from thousand_island.results import UNSET
from thousand_island.telemetry import signal_of
from thousand_island.transport import SocketInfo, SocketStats

if TYPE_CHECKING:
    from thousand_island.readers import Reader
    from thousand_island.server_config import ServerConfig
    from thousand_island.telemetry import Span

__all__ = ["OwnedSocket"]

_STOP: Final = signal_of("connection.stop")

# The attribute by which an error tells which Socket it came out of. Kept on the error: kept on the Socket it would keep
# the error's traceback, and all that the frames in it know, for as long as the connection lives.
_ORIGIN: Final = "_thousand_island_socket"


_NOTHING_YET: Final = SocketStats()


class OwnedSocket:
    """The base of Socket, which has what handlers do with it.

    ``open_span`` is the connection's span from its begin to its end: no event is told without one. ``_span`` is the
    same and stays. ``changed`` says that the connection has been closed, or upgraded since its process has attached
    itself to what is read now.
    """

    __slots__ = (
        "_owner",
        "_span",
        "_stats",
        "changed",
        "closed",
        "config",
        "open_span",
        "read_timeout",
        "reader",
        "receive",
        "socket",
        "transport_module",
    )

    def __init__(self, transport_module: Any, socket: Any, config: ServerConfig, owner: Process) -> None:
        self.transport_module = transport_module
        self.socket = socket
        self.config = config
        self.read_timeout = config.read_timeout
        self.closed = self.changed = False
        self._owner = owner
        self.reader: Reader | None = None
        self.receive: Any = None
        self._span: Span | None = None
        self.open_span: Span | None = None
        self._stats = _NOTHING_YET

    def begin_span(self, acceptor_span: Span, start_time: int) -> SocketInfo:
        """Starts the connection's span, and returns who the client is; called once, by whoever handles the connection.

        Raises:
            OSError: the client is gone already.
        """
        peer: SocketInfo = self._ask(self.transport_module.peername)
        span = acceptor_span.start_child_span("connection", peer, start_time)
        self._span = self.open_span = span  # before the look: ``owner_died`` looks here after the owner is dead
        if self._owner.dead:
            self.stop_span("killed")
        return peer

    def stop_span(self, error: Any = UNSET) -> None:
        """Ends the span, once, with ``error`` if there is one."""
        owner = self._owner
        with owner.lock:  # one of the owner's thread and of the one that kills it
            span, self.open_span = self.open_span, None
        if span is not None and _STOP.receivers:
            counters = dataclasses.asdict(self._counters())
            span.stop(counters, {} if error is UNSET else {"error": error})

    @library_call  # a kill between the mark and the closing would leave it open
    def release(self) -> None:
        """Closes the connection if it is open. Called by the thread that runs the owner, or buries it."""
        if not self.closed:
            self.closed = self.changed = True
            if _STOP.receivers:
                self._stats = self._counters()  # a transport need not know them once it is closed
            if self.reader is not None:
                try:
                    self.reader.detach()  # first: once the socket is closed, its descriptor's number may be another's
                except OSError:
                    pass  # a transport has closed it already
            close(self.transport_module, self.socket, self._owner.pid)

    def owner_died(self, process: Process, reason: Any) -> None:
        """The process has ended without closing it: the client sees it closed and the span ends, before others hear.

        Its thread may be using the socket: the descriptor is given back when that has come back.
        """
        try:
            if process.carrier is current.record:
                self.release()
            else:
                self._abort()
        finally:
            self.stop_span(reason)

    def raised(self, error: BaseException) -> bool:
        """Whether ``error`` came out of this socket."""
        return getattr(error, _ORIGIN, None) is self

    def _abort(self) -> None:
        abort = getattr(self.socket, "abort", None)
        try:
            if abort is not None:
                abort()
            else:
                self.transport_module.shutdown(self.socket, "read_write")
        except (OSError, ThousandIslandError):
            pass  # not connected any more

    def _counters(self) -> SocketStats:
        try:
            return self.transport_module.getstat(self.socket)  # type: ignore[no-any-return]
        except Exception:  # noqa: BLE001 - a transport is the user's; without this the connection would not be closed
            return self._stats

    def _check_owner(self) -> None:
        if current.record.process is not self._owner:
            raise NotOwner("a socket is used by the process that owns it; send that process a message instead")
        if self._owner.dead:
            raise Killed

    def _ask(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(self.socket, *args)
        except (OSError, ThousandIslandError) as error:
            raise self._failed(error) from None

    def _failed(
        self, error: Exception, event: NamedSignal | None = None, measurements: dict[str, Any] | None = None
    ) -> Exception:
        """Return the error to raise, which knows that it came out of this socket."""
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            error = SocketClosed("the connection is closed")
        if isinstance(error, OSError) or getattr(error, "reason", None) is not None:  # no mistake of the caller's
            setattr(error, _ORIGIN, self)
        if event is not None and event.receivers and self.open_span is not None:
            self.open_span.event(event, {**(measurements or {}), "error": reason_string(error)})
        return error

    def _tell(self, event: NamedSignal, measurements: dict[str, Any]) -> None:
        if self.open_span is not None:
            self.open_span.untimed_event(event, measurements)
