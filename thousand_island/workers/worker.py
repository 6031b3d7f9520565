"""One worker: an operating-system process that serves, with what the parent knows of it."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import sys
from typing import Any, ClassVar, Final

from supervision import process
from supervision.calls import Caller, reply
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.os_child import OsChild, OsCommand
from supervision.os_process import OsProcess, reason_of_status
from supervision.results import Ignore, NoReply, Ok, Reply, Stop
from thousand_island.errors import WorkerFailed
from thousand_island.workers.channel import ParentEnd, frame
from thousand_island.workers.sharing import Place, Sharing

__all__ = ["DRAIN", "SERVES", "Worker"]

DRAIN: Final = "drain"
"""The cast by which a worker that has been replaced is told to end."""

SERVES: Final = "serves"
"""The call that a worker answers, with None, once it serves."""

_DRAINS_TOO_LONG: Final = "drains for too long"
_STARTS_TOO_LONG: Final = "starts for too long"


class Worker(OsProcess):
    """Its argument is ``(sharing, number, generation)``. It has started when there is a process, which serves later.

    Not before that serves: its supervisor would wait meanwhile, and could neither restart nor end any other.

    It ends with ``("shutdown", "drained")`` where it was told to drain. Any other end of its process is a failure, the
    exit status 0 too: nobody has asked for it.
    """

    restart: ClassVar[Any] = "transient"

    def init(self, arg: tuple[Sharing, int, int]) -> Any:
        """Start the process."""
        sharing, number, generation = arg
        process.set_label(("thousand_island", "worker", number))
        self.sharing = sharing
        self.place: Place = sharing.join(this_process(), number, generation)
        if sharing.generations[number] > generation:
            return Ignore()  # replaced while it was about to be restarted
        self.questions: dict[int, Caller] = {}
        self.ids = itertools.count()
        self.starters: list[Caller] = []  # who waits until it serves
        result = self._start(number)
        if type(result) is Ok and sharing.config.start_timeout != INFINITY:
            process.send_after(process.self(), _STARTS_TOO_LONG, int(sharing.config.start_timeout))
        return result

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

    def _failed(self, child: OsChild, why: str) -> Stop:
        """End, since the process does not serve; there is nothing that it could drain."""
        child.signal(signal.SIGKILL)
        failure = WorkerFailed(f"worker {self.place.number}: {why}")
        start = self.sharing.first_starts.get((self.place.number, self.place.generation))
        if start is None:
            return Stop(failure)
        start.failure = failure
        return Stop(("shutdown", failure))  # which is no reason to restart it: the starter decides

    def handle_call(self, request: Any, caller: Caller, child: OsChild) -> Any:
        """Ask the worker for ``"info"`` or ``"metrics"``, and answer when it does; None if it cannot be asked."""
        if request == SERVES:
            if self.place.status != "starting":
                return Reply(None, child)
            self.starters.append(caller)
            return NoReply(child)
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
                process.send_after(process.self(), _DRAINS_TOO_LONG, int(timeout))
        return NoReply(child)

    def handle_info(self, message: Any, child: OsChild) -> Any:
        """Hear what the worker says, and of its end."""
        if self.channel.is_told_by(message):
            return self._hear(self.channel.told(), child)
        if message == _STARTS_TOO_LONG:
            if self.place.status != "starting":
                return NoReply(child)
            return self._failed(child, f"does not serve after {self.sharing.config.start_timeout} milliseconds")
        if message == _DRAINS_TOO_LONG:
            child.signal(signal.SIGKILL)
            return NoReply(child)
        return self._ended(message, child) if child.has_ended(message) else super().handle_info(message, child)

    def _ended(self, message: Any, child: OsChild) -> Any:
        last_words = self._hear(self.channel.take(), child)
        if type(last_words) is Stop:
            return last_words
        if self.place.status == "starting":
            return self._failed(child, f"has ended before it served: {reason_of_status(child.status)}")
        return super().handle_info(message, child)

    def _hear(self, messages: list[Any], child: OsChild) -> Any:
        for message in messages:
            match message:
                case {"failed": why}:
                    return self._failed(child, why)
                case {"serving": _}:
                    self._serves()
                case {"counted": counted}:
                    self.place.counted = counted
                case {"id": number, "answer": answer} if number in self.questions:
                    if isinstance(answer, list):
                        self.place.counted = answer
                    reply(self.questions.pop(number), answer)
        return NoReply(child)

    def _serves(self) -> None:
        if self.place.status == "starting":
            self.place.status = "serving"
        for starter in self.starters:
            reply(starter, None)
        self.starters.clear()

    def end_reason(self, status: int | None) -> Any:
        """The exit reason for the end of its process, of which nobody has told this one."""
        return ("shutdown", "drained") if self.place.status == "draining" else reason_of_status(status)


def _command(handler: str, number: int, channel: int, listener: int) -> OsCommand:
    # ``ps`` shows them.
    numbers = ("--number", str(number), "--channel", str(channel), "--listener", str(listener))
    arguments = (sys.executable, "-m", "thousand_island.workers", handler, *numbers)
    return OsCommand(arguments, pass_fds=(channel, listener))
