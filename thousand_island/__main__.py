"""``python -m thousand_island MODULE:HANDLER``: serves a handler until a signal ends it.

The first SIGTERM or SIGINT drains the server: nothing more is accepted, and the connections get ``shutdown_timeout``
to end. The second one kills what is left. The exit status is 0 then, 1 if the server failed for good while it ran,
and 2 if it could not be started as asked; in that case one line on stderr says why.

With ``--workers N`` this process serves nobody itself: it runs N others that do, and SIGHUP replaces them one by one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from typing import Any, Final

import thousand_island
from supervision import Pid, StartError, process
from thousand_island import workers
from thousand_island.command_line import CommandLine, refuse
from thousand_island.program import Program

__all__ = ["main"]

_WORKERS: Final = "workers"


def _serve(command: CommandLine) -> Pid:
    """Start the server and say where it listens."""
    server = thousand_island.start_link(**command.server)
    _say(f"{_name(command)} listens on {_where(thousand_island.listener_info(server))}")
    return server


def _serve_with_workers(command: CommandLine, options: dict[str, Any]) -> Pid:
    logging.getLogger("thousand_island.workers").setLevel(logging.INFO)
    server = workers.start_link(name=_WORKERS, **options)
    where = _where(workers.listener_info(server))
    _say(f"{options['workers']} workers of {_name(command)} listen on {where}")
    return server


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:  # nobody reads it any more; nor what is left of it, which would be written at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _name(command: CommandLine) -> str:
    return str(command.server["handler_module"].__name__)


def _where(info: tuple[str, Any]) -> str:
    host, port = info
    return f"the unix socket {port}" if host == "local" else f"{host} port {port}"


def _rolling_restart() -> None:
    with contextlib.suppress(StartError, LookupError):  # which has been logged; or there are none, not yet or no longer
        workers.rolling_restart(_WORKERS)


def _program(command: CommandLine) -> tuple[Program, dict[str, Any]]:
    """Return the program, and the options it runs with."""
    options = command.workers
    if options is None:
        return Program(lambda: _serve(command), command.log_level), {}
    program = Program(lambda: _serve_with_workers(command, options), command.log_level)
    # In a process of its own: it takes time, and a second signal must be heard meanwhile.
    return program, {"on_signal": {signal.SIGHUP: lambda: process.spawn(_rolling_restart)}}


def main() -> int:
    """Run the program; return its exit status."""
    try:
        program, options = _program(CommandLine.of(sys.argv[1:]))
        status = program.run(**options)
    except ValueError as error:  # of the environment: the options have been checked
        refuse(str(error))
    if program.failure is not None:
        refuse(f"the server cannot start: {program.failure}")
    return status


if __name__ == "__main__":
    sys.exit(main())
