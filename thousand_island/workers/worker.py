"""One worker: an operating-system process that serves, with what the parent knows of it."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import sys
import time
from typing import Any, ClassVar, Final

from supervision import process
from supervision.calls import Caller, reply
from supervision.errors import ReceiveTimeout
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.os_child import OsChild, OsCommand
from supervision.os_process import OsProcess, reason_of_status
from supervision.results import Ignore, NoReply, Ok, Reply, Stop
from thousand_island.errors import WorkerFailed
from thousand_island.workers.channel import ParentEnd, frame
from thousand_island.workers.sharing import Place, Sharing

__all__ = ["DRAIN", "Worker"]

DRAIN: Final = "drain"
"""The cast by which a worker that has been replaced is told to end."""

_TOO_LONG: Final = "drains for too long"


class Worker(OsProcess):
    """Its argument is ``(sharing, number, generation)``. It has started when its process serves.

    It ends with ``("shutdown", "drained")`` where it was told to drain. Any other end of its process is a failure, the
    exit status 0 too: nobody has asked for it.
    """

    restart: ClassVar[Any] = "transient"

    def init(self, arg: tuple[Sharing, int, int]) -> Any:
        """Start the process and wait until it serves."""
        sharing, number, generation = arg
        process.set_label(("thousand_island", "worker", number))
        self.sharing = sharing
        self.place: Place = sharing.join(this_process(), number, generation)
        if sharing.generations[number] > generation:
            return Ignore()  # replaced while it was about to be restarted
        self.questions: dict[int, Caller] = {}
        self.ids = itertools.count()
        result = self._start(number)
        return self._wait_until_it_serves(result.state) if type(result) is Ok else result

    def _start(self, number: int) -> Any:
        listener = self.sharing.descriptor(number)
        if listener is None:
            return Ignore()  # all of them are about to end
        ours, theirs = socket.socketpair()
        with theirs:
            # Not to wait for: what it is told is read by a process that is just being started, and fits the buffer.
            ours.settimeout(self._start_seconds())
            result = super().init(_command(self.sharing.config.handler, number, theirs.fileno(), listener))
        if type(result) is not Ok:
            ours.close()
            return result
        self.place.os_pid = result.state.pid
        with contextlib.suppress(OSError):  # it has ended already, which is noticed next
            ours.sendall(frame(self.sharing.config.order()))
        self.channel = ParentEnd(ours, this_process())
        return result

    def _start_seconds(self) -> float | None:
        timeout = self.sharing.config.start_timeout
        return None if timeout == INFINITY else timeout / 1000

    def _wait_until_it_serves(self, child: OsChild) -> Any:
        """Wait for its word; ends by that, by the end of the process, or by ``start_timeout``."""
        seconds = self._start_seconds()
        deadline = INFINITY if seconds is None else time.monotonic() + seconds
        while True:
            left = INFINITY if deadline == INFINITY else max(0, int((deadline - time.monotonic()) * 1000))
            try:
                message = process.receive(lambda one: self._is_of(one, child), timeout=left)
            except ReceiveTimeout:
                return self._failed(f"does not serve after {self.sharing.config.start_timeout} milliseconds")
            said = self.channel.told() if self.channel.is_told_by(message) else self.channel.take()
            for one in said:
                if "failed" in one:
                    return self._failed(one["failed"])
                if "serving" in one:
                    self.place.status = "serving"
                    return Ok(child)
            if child.has_ended(message):
                return self._failed(f"has ended before it served: {reason_of_status(child.status)}")

    def _is_of(self, message: Any, child: OsChild) -> bool:
        return self.channel.is_told_by(message) or child.has_ended(message)

    def _failed(self, why: str) -> Stop:
        return Stop(WorkerFailed(f"worker {self.place.number}: {why}"))

    def handle_call(self, request: Any, caller: Caller, child: OsChild) -> Any:
        """Ask the worker for ``"info"`` or ``"metrics"``, and answer when it does; None if it cannot be asked."""
        if request not in ("info", "metrics"):
            return super().handle_call(request, caller, child)
        number = next(self.ids)
        if not self.channel.tell({"id": number, "ask": request}):
            return Reply(None, child)
        self.questions[number] = caller
        return NoReply(child)

    def handle_cast(self, message: Any, child: OsChild) -> Any:
        """Drain: another one serves in its place."""
        if message == DRAIN and self.place.status != "draining":
            self.place.status = "draining"
            child.signal(signal.SIGTERM)
            timeout = self.sharing.config.shutdown
            if timeout != INFINITY:
                process.send_after(process.self(), _TOO_LONG, int(timeout))
        return NoReply(child)

    def handle_info(self, message: Any, child: OsChild) -> Any:
        """Hear what the worker says, and of its end."""
        if self.channel.is_told_by(message):
            self._hear(self.channel.told())
            return NoReply(child)
        if message == _TOO_LONG:
            child.signal(signal.SIGKILL)
            return NoReply(child)
        if child.has_ended(message):
            self._hear(self.channel.take())  # its last words
        return super().handle_info(message, child)

    def _hear(self, messages: list[Any]) -> None:
        for message in messages:
            match message:
                case {"counted": counted}:
                    self.place.counted = counted
                case {"id": number, "answer": answer} if number in self.questions:
                    if isinstance(answer, list):
                        self.place.counted = answer
                    reply(self.questions.pop(number), answer)

    def end_reason(self, status: int | None) -> Any:
        """The exit reason for the end of its process, of which nobody has told this one."""
        return ("shutdown", "drained") if self.place.status == "draining" else reason_of_status(status)


def _command(handler: str, number: int, channel: int, listener: int) -> OsCommand:
    # ``ps`` shows them.
    numbers = ("--number", str(number), "--channel", str(channel), "--listener", str(listener))
    arguments = (sys.executable, "-m", "thousand_island.workers", handler, *numbers)
    return OsCommand(arguments, pass_fds=(channel, listener))
