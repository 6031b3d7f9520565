"""Admitting the clients that one acceptor has accepted: room, a process, and the hand-over of the socket.

A client for which there is no room waits in the system's backlog where that can be known before it is accepted, else
here; or it is closed. All of it belongs to its acceptor's thread.

Counterpart: ``ThousandIsland.Connection.start/4``.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from supervision import process
from supervision.child_spec import ChildSpec
from supervision.children import Child
from supervision.errors import MaxChildren, NoProcess, ProcessExit, ServerExit, StartError
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Pid, Process
from supervision.scheduler import deliver
from supervision.signals import end, own
from supervision.supervisor_base import ask
from supervision.termination import terminate_together
from supervision.threads import library_call
from thousand_island.closing import close
from thousand_island.errors import reason_string
from thousand_island.listening import Listening
from thousand_island.ready import Ready
from thousand_island.socket import Socket
from thousand_island.telemetry import Span, signal_of

__all__ = ["RETRY_START", "Admission"]

_SPAWN_ERROR: Final = signal_of("acceptor.spawn_error")

RETRY_START: Final = "retry_start"
"""Sent to the acceptor when it is time to look for room under ``num_connections`` again."""

# Clients of addresses at ``max_connections_per_ip`` that one acceptor holds back; those beyond are closed. An address
# is known only after accept(2). With a hundred acceptors as many wait in all as in a backlog of the usual size.
HELD_MOST: Final = 10


class _Client(NamedTuple):
    """An accepted client without a process.

    Attributes:
        raw: the transport's socket.
        start_time: when it was accepted.
        address: what it counts for under ``max_connections_per_ip``; None: for nothing.
    """

    raw: Any
    start_time: int
    address: str | None


class Admission:
    """The clients of one acceptor.

    Attributes:
        connections: how many have been handed to a process.
        waiting: the client that waits for room under ``num_connections``; meanwhile nothing is accepted.
    """

    def __init__(self, listening: Listening, connection_sup: Pid, acceptor: Process, span: Span) -> None:
        self.config = listening.config
        self.live = listening.connections
        self.limits = listening.limits
        self.connection_sup = connection_sup
        self.acceptor = acceptor
        self.span = span
        self.spec = ChildSpec(
            id="connection", start=self._start_handler, restart="temporary", shutdown=self.config.shutdown_timeout
        )  # one for all
        self.connections = 0
        self.waiting: _Client | None = None
        # The one whose handler is being started. Whoever takes it out, in one step, has to see to its socket: the
        # supervisor of the connections, which starts the handler, or whoever closes what a dead acceptor has left.
        self.starting: deque[_Client] = deque()
        self.retries = 0
        self.held: deque[_Client] = deque()
        if self.limits is not None:
            self.limits.join(acceptor)

    # Before accepting

    def may_accept(self) -> bool:
        """Take a place for the client that is accepted next; False: the acceptor will be sent ROOM."""
        limits = self.limits
        return limits is None or not limits.wait or limits.take(self.acceptor) is None

    def none_came(self) -> None:
        """Nothing was accepted: give the place back."""
        if self.limits is not None:
            self.limits.give_back(self.acceptor)

    # After

    def admit(self, raw: Any, start_time: int) -> None:
        """Start a process for an accepted client, or keep it here, or close it."""
        limits = self.limits
        if limits is None:
            self._start(_Client(raw, start_time, None))
            return
        client = _Client(raw, start_time, self._address(raw))
        limit = limits.take(self.acceptor, client.address)
        if limit is None:
            self._start(client)
        elif limits.wait and len(self.held) < HELD_MOST:
            self.held.append(client)
        else:
            self._close(client, {"error": limit})

    def use_room(self) -> None:
        """There is room: start those that were held back for want of it."""
        assert self.limits is not None
        if self.waiting is not None:  # its place is the acceptor's only one
            self.limits.pass_on()
            return
        for _ in range(len(self.held)):
            client = self.held.popleft()
            if self.waiting is None and self.limits.take(self.acceptor, client.address) is None:
                self._start(client)
            else:
                self.held.append(client)

    def retry(self) -> None:
        """Look for room under ``num_connections`` again."""
        client = self.waiting
        if client is not None:
            self.waiting = None
            self._start(client)
        if self.waiting is None and self.held:
            self.use_room()

    def close(self) -> None:
        """Close the clients that have no process; again without effect."""
        clients = [*self.held] if self.waiting is None else [self.waiting, *self.held]
        self.held.clear()
        self.waiting = None
        starting = _take_out(self.starting)
        for client in clients if starting is None else [starting, *clients]:
            self._give_up(client)

    def _address(self, raw: Any) -> str | None:
        if self.config.max_connections_per_ip == INFINITY:
            return None
        try:
            host, port = self.config.transport_module.peername(raw)
        except OSError:
            return None  # gone already; its connection will find that out
        return None if host == "local" and not isinstance(port, int) else host

    def _start(self, client: _Client) -> None:
        self.starting.append(client)
        try:
            pid = ask(self.connection_sup, "start_child", self.spec)
        except MaxChildren:
            self.starting.clear()
            self._no_room(client)
        except StartError as error:
            self.starting.clear()
            self._close(client, {"error": reason_string(error.reason)})
        except (NoProcess, ServerExit):  # this acceptor will be restarted together with that supervisor
            raise ProcessExit(("shutdown", "noproc")) from None
        else:
            if pid is None:
                self.starting.clear()
                self._close(client, {"error": "ignore"})
            else:
                self.retries = 0
                self.connections += 1

    def _start_handler(self) -> Any:
        """Start the handler of ``starting`` and give it the socket.

        The supervisor of the connections does both, in one go: if the acceptor is killed meanwhile, there is no handler
        that waits for a socket for ever.
        """
        config = self.config
        pid = config.handler_module.start_link((config.handler_options, config.genserver_options))
        if isinstance(pid, Pid):
            try:
                self._hand_over(pid._process)
            except Exception:  # of the transport
                self._shut_down(pid)
                raise
            except BaseException:
                end(pid._process, "killed")
                raise
        return pid

    @library_call
    def _hand_over(self, connection: Process) -> None:
        client = _take_out(self.starting)
        if client is None:  # closed: the acceptor is dead
            end(connection, "killed")
            return
        transport = self.config.transport_module
        self.live.add(connection)
        if self.limits is not None and not self.limits.hand_over(self.acceptor, connection):
            end(connection, "killed")  # so is the acceptor, and the place was its
            self._give_up(client)
            return
        transport.controlling_process(client.raw, connection)
        socket = Socket(transport, client.raw, self.config, connection)
        connection.at_burial = socket.release
        if own(connection, socket):
            deliver(connection, Ready(socket, self.config, self.span, client.start_time))
        else:  # it is dead already
            self._give_up(client)

    @library_call
    def _shut_down(self, handler: Pid) -> None:
        """End a handler that gets no socket as the supervisor, on whose thread this is, ends its children."""
        terminate_together(this_process(), [Child(self.spec, handler)])

    def _no_room(self, client: _Client) -> None:
        config = self.config
        if self.retries >= config.max_connections_retry_count:
            self._close(client, {})
            return
        self.retries += 1
        self.waiting = client
        if config.max_connections_retry_wait != INFINITY:
            process.send_after(process.self(), RETRY_START, int(config.max_connections_retry_wait))

    def _close(self, client: _Client, measurements: dict[str, Any]) -> None:
        self.retries = 0
        self.none_came()
        self._give_up(client)
        if _SPAWN_ERROR.receivers:
            self.span.event(_SPAWN_ERROR, measurements)

    def _give_up(self, client: _Client) -> None:
        close(self.config.transport_module, client.raw, self.acceptor.pid)


def _take_out(clients: deque[_Client]) -> _Client | None:
    try:
        return clients.popleft()
    except IndexError:
        return None
