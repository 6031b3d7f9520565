"""``python -m thousand_island MODULE:HANDLER``: serves a handler until a signal ends it.

The first SIGTERM or SIGINT drains the server: nothing more is accepted, and the connections get ``shutdown_timeout``
to end. The second one kills what is left. The exit status is 0 then, 1 if the server failed for good while it ran,
and 2 if it could not be started as asked; in that case one line on stderr says why.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
from typing import Any

import supervision
import thousand_island
from supervision import ChildSpec, Pid, StartError
from thousand_island.command_line import CommandLine, refuse
from thousand_island.logger import attach_logger

__all__ = ["main"]


class _Program:
    """The server as the only child of the root supervisor.

    What is logged is kept until it has started once: of a start that fails the user is told in one line instead.
    """

    def __init__(self, command: CommandLine) -> None:
        self.command = command
        self.failure: str | None = None
        self.started = False
        stream = logging.StreamHandler()
        stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        # More records than any start makes; it never flushes by itself.
        self.kept = logging.handlers.MemoryHandler(1_000_000, logging.CRITICAL + 1, stream, flushOnClose=False)

    def run(self) -> int:
        """Serve; return the exit status."""
        logging.basicConfig(handlers=[self.kept])
        logging.getLogger("supervision").setLevel(logging.INFO)
        attach_logger(self.command.log_level)
        status = supervision.run([ChildSpec("server", self.start, type="supervisor")])
        if self.failure is not None:
            self.kept.buffer.clear()
            refuse(self.failure)
        return status

    def start(self) -> Pid:
        """Start the server, for the first time or again, and say where it listens."""
        try:
            server = thousand_island.start_link(**self.command.server)
        except StartError as error:
            if not self.started:
                self.failure = _cause(error)
            raise
        self._let_log()
        handler = self.command.server["handler_module"]
        print(f"{handler.__name__} listens on {_where(thousand_island.listener_info(server))}", flush=True)
        return server

    def _let_log(self) -> None:
        if not self.started:
            self.started = True
            assert self.kept.target is not None
            logging.getLogger().addHandler(self.kept.target)
            logging.getLogger().removeHandler(self.kept)
            self.kept.flush()


def _cause(error: BaseException) -> str:
    """Why a start failed, without the way it came."""
    while error.__cause__ is not None and not isinstance(error, OSError):
        error = error.__cause__
    if not isinstance(error, OSError):
        return f"the server cannot start: {type(error).__name__}: {error}"
    file = "" if error.filename is None else f": {error.filename}"
    return f"the server cannot start: {error.strerror or error}{file}"


def _where(info: tuple[str, Any]) -> str:
    host, port = info
    return f"the unix socket {port}" if host == "local" else f"{host} port {port}"


def main() -> int:
    """Run the program; return its exit status."""
    try:
        return _Program(CommandLine.of(sys.argv[1:])).run()
    except ValueError as error:  # of the environment: the options have been checked
        refuse(str(error))


if __name__ == "__main__":
    sys.exit(main())
