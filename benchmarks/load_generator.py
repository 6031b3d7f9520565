"""Builds, chooses and drives the load generator, always a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.failures import WrongResultError

SOURCE = Path(__file__).with_name("load.c")
PYTHON = (sys.executable, "-m", "benchmarks.load")

#: Seconds beyond the slice after which a load generator that has not come back is given up.
PATIENCE = 60.0

#: Connections at a time, and seconds, of the forerunners.
FORERUNNERS = 50
FORERUN = 0.1


@dataclass(frozen=True, slots=True)
class LoadGenerator:
    """The commands that make load.

    Attributes:
        plain: the command for the TCP modes.
        tls: the command for the TLS modes.
        description: what they are, for the report.
    """

    plain: tuple[str, ...]
    tls: tuple[str, ...]
    description: str

    def run(self, mode: str, port: int, connections: int, seconds: float, warmup: float) -> dict[str, float]:
        """Makes load for `seconds` after `warmup` seconds and gives the figures; latencies in milliseconds.

        Raises:
            WrongResultError: an answer was wrong or missing, or nothing was answered in time.
        """
        command = self._command(mode, port, connections, seconds, warmup)
        try:
            patience = seconds + warmup + PATIENCE
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=patience)
        except subprocess.TimeoutExpired as error:
            raise WrongResultError("the server stopped answering") from error
        if done.returncode:
            raise WrongResultError(_last_line(done.stderr))
        figures = _checked(json.loads(done.stdout))
        if not figures["completed"]:
            raise WrongResultError("not one request was answered in the time that was counted")
        return figures

    def send_forerunners(self, port: int, *, tls: bool = False) -> None:
        """Lets some connections come and go before anything is counted.

        A server that has never closed a connection is no typical one. asyncio reads into 256 KB buffers, which glibc
        takes from the kernel and gives back at each read until it has seen one freed whole, as the end of a
        connection does; before that an echo costs asyncio three times as much as ever after. What is made only once
        is made then, too.
        """
        self.run("tls-connect" if tls else "connect", port, FORERUNNERS, FORERUN, 0)

    @contextmanager
    def holding(self, port: int, connections: int, *, tls: bool = False) -> Iterator[None]:
        """Holds that many idle connections, each of which has had one echo.

        Raises:
            WrongResultError: one could not be opened, or was not open and silent to the end.
        """
        command = self._command("tls-idle" if tls else "idle", port, connections, 0, 0)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdin
            assert holder.stdout
            try:
                opened = _checked(json.loads(holder.stdout.readline() or '{"errors": 1, "first_error": "no answer"}'))
                if opened["ready"] != connections:
                    raise WrongResultError(f"{opened['ready']} of {connections} connections could be opened")
                yield
                holder.stdin.close()
                _checked(json.loads(holder.stdout.readline()))
            finally:
                holder.kill()

    def _command(self, mode: str, *arguments: float) -> list[str]:
        return [*(self.tls if mode.startswith("tls-") else self.plain), mode, *map(str, arguments)]


def make_load_generator(directory: Path) -> LoadGenerator:
    """Compiles the C load generator into `directory`; where that cannot be done, takes the Python one."""
    plain = _compiled(directory / "load")
    tls = _compiled(directory / "load-tls", "-DWITH_TLS", "-lssl", "-lcrypto")
    names = {True: "C, compiled for this run", False: "Python, which may itself be the limit"}
    description = f"TCP: {names[plain is not None]}; TLS: {names[tls is not None]}"
    return LoadGenerator(plain or PYTHON, tls or PYTHON, description)


def _compiled(target: Path, *flags: str) -> tuple[str, ...] | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    command = [compiler, "-O2", "-o", str(target), str(SOURCE), *flags]
    return (str(target),) if subprocess.run(command, check=False, capture_output=True).returncode == 0 else None


def _checked(figures: Mapping[str, Any]) -> dict[str, float]:
    if figures["errors"]:
        raise WrongResultError(f"{figures['errors']} errors, the first: {figures['first_error'] or 'not open'}")
    return {key: value for key, value in figures.items() if not isinstance(value, str)}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["the load generator ended without a word"])[-1]
