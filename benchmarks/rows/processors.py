"""What a second core brings: to one process without the GIL, and to two processes with it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from benchmarks.failures import UnavailableError
from benchmarks.rounds import Contender, Metric, Row, Slice
from benchmarks.server_process import ServerProcess
from benchmarks.settings import Settings

CONNECTIONS = 50
TARGET = 1.7
GIL_QUESTION = "import sys; print(getattr(sys, '_is_gil_enabled', lambda: True)())"


def rows() -> list[Row]:
    """All rows of this file."""
    echo = "The load generator needs a core too: on a machine of two cores the second processor has to share one."
    busy = "Each request costs a few tenths of a millisecond of Python, so that the load generator hardly counts."
    return [
        _row("processors-echo", "echo 64 B without the GIL", "thousand_island", echo),
        _row("processors-busy", "CPU-bound handler without the GIL", "thousand_island-busy", busy),
        _workers_row("workers-echo", "echo 64 B, two workers", "thousand_island", echo.replace("processor", "worker")),
        _workers_row("workers-busy", "CPU-bound handler, two workers", "thousand_island-busy", busy),
    ]


def _row(name: str, title: str, server: str, note: str) -> Row:
    contenders = [
        Contender("two processors", _with_processors(server, 2)),
        Contender("one processor", _with_processors(server, 1)),
    ]
    return Row(name, title, contenders, [_rate("one processor")], note=note, optional=True)


def _workers_row(name: str, title: str, server: str, note: str) -> Row:
    contenders = [
        Contender("two workers", _measured(f"{server}-2-workers")),
        Contender("one worker", _measured(f"{server}-1-worker")),
    ]
    return Row(name, title, contenders, [_rate("one worker")], note=note)


def _rate(peer: str) -> Metric:
    return Metric("rate", "requests/s", targets={peer: TARGET})


def _with_processors(server: str, processors: int) -> Slice:
    def work(settings: Settings) -> Mapping[str, float]:
        python = settings.free_threaded_python
        _require_no_gil(python)
        environment = {"SUPERVISION_PROCESSORS": str(processors)}
        return _load(settings, ServerProcess(server, python=python, environment=environment))

    return work


def _measured(server: str) -> Slice:
    return lambda settings: _load(settings, ServerProcess(server))


def _load(settings: Settings, server: ServerProcess) -> Mapping[str, float]:
    with server as process:
        settings.load.send_forerunners(process.port)
        return settings.load.run("echo", process.port, CONNECTIONS, settings.seconds, settings.warmup)


def _require_no_gil(python: str) -> None:
    try:
        answer = subprocess.run([python, "-c", GIL_QUESTION], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"this Python does not run: {error}") from error
    if answer.strip() != "False":
        raise UnavailableError("this Python has the GIL; name a free-threaded build with --python PATH")
