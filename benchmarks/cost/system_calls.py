"""System calls of a running process, counted by strace."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.failures import UnavailableError

#: A line of strace's summary: share, seconds, microseconds each, calls, errors where there are any, and the name.
LINE = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)


@contextmanager
def traced(pid: int) -> Iterator[dict[str, float]]:
    """Counts the system calls of all threads of the process; they are in the dict when the block has ended.

    Raises:
        UnavailableError: there is no strace, or it may not attach to the process.
    """
    if shutil.which("strace") is None:
        raise UnavailableError("strace is not installed")
    counts: dict[str, float] = {}
    command = ["strace", "-f", "-c", "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as strace:
        assert strace.stderr
        attached = strace.stderr.readline()
        if "attached" not in attached:
            raise UnavailableError(attached.strip())
        try:
            yield counts
        finally:
            strace.send_signal(signal.SIGINT)
            counts.update(parse(strace.stderr.read()))


def parse(summary: str) -> dict[str, float]:
    """Calls by name, from what `strace -c` prints."""
    return {name: int(calls) for calls, name in LINE.findall(summary) if name != "total"}
