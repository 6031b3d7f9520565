"""The program of one worker.

It serves until SIGTERM, or until its parent is gone, and then drains. Whatever it has to say beyond its log goes over
the control channel; who started it decides when its time is over.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import signal
import sys
import threading
from typing import Any, Final

from supervision import ChildSpec, Pid
from thousand_island.api import start_link
from thousand_island.errors import ServerUnavailable
from thousand_island.handler_path import load_handler
from thousand_island.program import Program
from thousand_island.server import shared
from thousand_island.server_config import ServerConfig
from thousand_island.workers.announcement import Announcement
from thousand_island.workers.channel import WorkerEnd
from thousand_island.workers.config import Order
from thousand_island.workers.labelled_stream import label_output
from thousand_island.workers.metric_sums import Snapshot, snapshot

__all__ = ["main"]

# The exit status of a worker that cannot start as asked, as of the command line.
_REFUSED: Final = 2


def main() -> int:
    """Run the worker that the arguments and the first frame of the channel describe; return the exit status."""
    given = _arguments()
    channel = WorkerEnd(given.channel)
    os.set_inheritable(given.listener, False)
    label_output(f"worker {given.number} [{os.getpid()}]: ")
    content = channel.receive()
    if content is None:  # the parent is gone
        return 0
    # Pickle, from the process that started this one, over a socket that nobody else has.
    worker = _Worker(channel, pickle.loads(content), given.listener)
    threading.Thread(target=worker.answer, name="supervision-control", daemon=True).start()
    failure = worker.run()
    if failure is None:
        return worker.status
    channel.tell({"failed": failure})
    return _REFUSED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m thousand_island.workers", description="Its parent starts it.")
    parser.add_argument("handler")
    for name in ("--number", "--channel", "--listener"):
        parser.add_argument(name, type=int, required=True)
    return parser.parse_args()


class _Worker:
    """The server, and what the parent may ask of it."""

    def __init__(self, channel: WorkerEnd, order: Order, listener: int) -> None:
        self.channel = channel
        self.order = order
        self.listener = listener
        self.options: dict[str, Any] = {}
        self.program = Program(self._launch, order.log_level)
        self.registry = _count() if order.metrics else None
        self.status = 0

    def run(self) -> str | None:
        """Serve to the end; returns why it cannot, in one line, or None."""
        announcement = ChildSpec("announcement", Announcement.start_link, ((self.channel, self.listener),))
        try:
            self._prepare()
            self.status = self.program.run(announcement, hurry=False)
        except (TypeError, ValueError, OSError) as error:  # the handler's module, or the environment
            return str(error)
        if self.registry is not None:
            self.channel.tell({"counted": snapshot(self.registry)})
        return self.program.failure

    def _prepare(self) -> None:
        sys.path[:] = self.order.sys_path
        options = dict(self.order.options)
        options["transport_options"] = {**options["transport_options"], "ip": ("fd", self.listener)}
        options["handler_module"] = load_handler(self.order.handler)
        ServerConfig.new(**options)
        self.options = options

    def _launch(self) -> Pid:
        return start_link(**self.options)

    def answer(self) -> None:
        """Answer the parent until it is gone, which is when the worker drains as at SIGTERM. Runs in a thread.

        Before it has started that signal ends it at once.
        """
        while (content := self.channel.receive()) is not None:
            question = json.loads(content)
            answer = self._info() if question["ask"] == "info" else self._metrics()
            self.channel.tell({"id": question["id"], "answer": answer})
        os.kill(os.getpid(), signal.SIGTERM)

    def _info(self) -> dict[str, int]:
        try:
            return {"active_connections": len(shared(self.program.server).connections)}
        except ServerUnavailable:
            return {"active_connections": 0}

    def _metrics(self) -> Snapshot:
        return [] if self.registry is None else snapshot(self.registry)


def _count() -> Any:
    from thousand_island import metrics

    registry = metrics.require_client().CollectorRegistry()
    metrics.attach(registry)
    return registry
