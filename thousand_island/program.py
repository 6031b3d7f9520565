"""A program whose tree is a server and what belongs to it: its log, and what is said of a start that fails."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Callable
from typing import Any

import supervision
from supervision import ChildSpec, Pid, StartError
from thousand_island.errors import WorkerFailed
from thousand_island.events import LogLevel
from thousand_island.logger import attach_logger

__all__ = ["Program"]


class Program:
    """The server as the first child of the root supervisor.

    What is logged is kept until it has started once: of a start that fails the user is told in one line instead.

    Attributes:
        server: the pid of the server that was started last.
        failure: why the first start failed, in one line; None: it has not.
    """

    def __init__(self, launch: Callable[[], Pid], log_level: LogLevel | None) -> None:
        self.launch = launch
        self.log_level = log_level
        self.server: Pid | None = None
        self.failure: str | None = None
        stream = logging.StreamHandler()
        stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        # More records than any start makes; it never flushes by itself.
        self.kept = logging.handlers.MemoryHandler(1_000_000, logging.CRITICAL + 1, stream, flushOnClose=False)

    def run(self, *others: Any, **options: Any) -> int:
        """Serve, with ``others`` as further children and ``options`` for ``supervision.run``; return the status."""
        logging.basicConfig(handlers=[self.kept])
        logging.getLogger("supervision").setLevel(logging.INFO)
        if self.log_level is not None:
            attach_logger(self.log_level)
        status = supervision.run([ChildSpec("server", self._start, type="supervisor"), *others], **options)
        if self.failure is not None:
            self.kept.buffer.clear()
        return status

    def _start(self) -> Pid:
        """Start the server, for the first time or again."""
        try:
            server = self.launch()
        except StartError as error:
            if self.server is None:
                self.failure = _cause(error)
            raise
        if self.server is None:
            self._let_log()
        self.server = server
        return server

    def _let_log(self) -> None:
        root = logging.getLogger()
        if self.kept in root.handlers:  # the handler's module may have set up logging before
            assert self.kept.target is not None
            root.addHandler(self.kept.target)
            root.removeHandler(self.kept)
            self.kept.flush()


def _cause(error: BaseException) -> str:
    """Why a start failed, without the way it came."""
    while error.__cause__ is not None and not isinstance(error, OSError | WorkerFailed):
        error = error.__cause__
    if isinstance(error, WorkerFailed):
        return str(error)
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    file = "" if error.filename is None else f": {error.filename}"
    return f"{error.strerror or error}{file}"
