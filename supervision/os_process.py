"""A process of the operating system as a process of this library, so that a supervisor can start, end and restart it.

Counterpart: a port opened with ``{spawn_executable, File}``; ``MuonTrap.Daemon``.
"""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from supervision import exits, process
from supervision.actor import Actor
from supervision.foreign import this_process
from supervision.masked_server import MaskedServer
from supervision.messages import Exit
from supervision.os_child import OsChild, OsCommand
from supervision.results import NoReply, Ok, Reply, Stop

__all__ = ["OsProcess"]


class OsProcess(Actor):
    """Lives as long as the process that it has started; ``(OsProcess, OsCommand(("redis-server",)))`` is a child.

    Told to shut down it sends SIGTERM and waits; when the ``shutdown`` time of its child spec is over, or it dies in
    any other way, the process gets SIGKILL. A process that ends by itself ends it with the reason ``"normal"`` where
    the exit status is 0, else ``("exit_status", number)`` or ``("signal", name)``. ``call(pid, "os_pid")`` gives the
    number that the operating system knows it by.

    Counterpart: ``MuonTrap.Daemon``.
    """

    server_class: ClassVar[Any] = MaskedServer

    def init(self, command: Any) -> Any:
        """Start the process; the reason of a failure is the OSError."""
        process.trap_exit(True)
        if not isinstance(command, OsCommand):
            return Stop(TypeError(f"OsProcess takes an OsCommand, got {command!r}"))
        try:
            return Ok(OsChild(command, this_process()))
        except OSError as error:
            return Stop(error)

    def handle_call(self, request: Any, caller: Any, child: OsChild) -> Any:
        """Answer ``"os_pid"``."""
        return Reply(child.pid, child) if request == "os_pid" else super().handle_call(request, caller, child)

    def handle_info(self, message: Any, child: OsChild) -> Any:
        """End with the process; or as an Exit asks, which a trapping actor gets as a message."""
        if child.has_ended(message):
            return Stop(self.end_reason(child.status))
        if type(message) is Exit and exits.is_crash(message.reason):
            return Stop(message.reason)
        return NoReply(child)

    def end_reason(self, status: int | None) -> Any:
        """The exit reason for the status of a process that has ended by itself."""
        return "normal" if status == 0 else reason_of_status(status)

    def terminate(self, reason: Any, child: OsChild) -> None:
        """Ask the process to end and wait for it, without a deadline: whoever shuts this one down has one.

        A crash has nobody who would wait, and what is left is killed at once.
        """
        if child.status is None and not exits.is_crash(reason):
            child.signal(signal.SIGTERM)
            # Ends by the end of the process, or by the death of this one.
            process.receive(child.has_ended)


def reason_of_status(status: int | None) -> tuple[str, Any]:
    """Returns ``("exit_status", number)``, or ``("signal", name)`` of a process that a signal has ended."""
    if status is None or status >= 0:
        return "exit_status", status
    try:
        return "signal", signal.Signals(-status).name
    except ValueError:  # a real-time signal has no name
        return "signal", -status
