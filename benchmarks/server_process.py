"""One server under test as a process: its port while it runs, and what the kernel says about it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from benchmarks.failures import UnavailableError, WrongResultError

#: Seconds that a server may take until it prints its port.
START_TIMEOUT = 30.0

ROOT = Path(__file__).resolve().parent.parent
PAGE = os.sysconf("SC_PAGE_SIZE")


class ServerProcess:
    """Runs `python -m benchmarks.servers NAME` for the length of a with block."""

    def __init__(
        self,
        name: str,
        files: Sequence[str] = (),
        *,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the server's name, its command line options, and the Python that runs it."""
        self._command = [python, "-m", "benchmarks.servers", name, *files]
        self._environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> ServerProcess:
        """Waits until the server listens.

        Raises:
            UnavailableError: it ended before it listened; the last line it wrote says why.
        """
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=self._environment,
        )
        line = self._read_line()
        if not line:
            raise UnavailableError(self._end())
        self.port = int(line)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Ends the server; where it was at fault, adds its own last words to the error."""
        crashed = self._process.poll() is not None
        last_words = self._end()
        if isinstance(error, WrongResultError) or (crashed and error is None):
            raise WrongResultError(f"{error or 'the server ended by itself'}; it says: {last_words}") from error

    def collect_garbage(self) -> None:
        """Returns when the server has run a full collection."""
        self._process.send_signal(signal.SIGUSR1)
        if self._read_line() != "collected\n":
            raise WrongResultError("the server did not answer SIGUSR1")

    def resident_bytes(self) -> int:
        """The server's resident memory, without what the kernel holds for its sockets."""
        return int(self._proc("statm").read_text().split()[1]) * PAGE

    def threads(self) -> int:
        """The number of its threads."""
        return sum(1 for _ in self._proc("task").iterdir())

    def voluntary_switches(self) -> dict[str, int]:
        """How often each of its threads, by id, has gone to sleep."""
        return {task.name: _voluntary(task / "status") for task in self._proc("task").iterdir()}

    def _proc(self, entry: str) -> Path:
        return Path("/proc", str(self._process.pid), entry)

    def _read_line(self) -> str:
        assert self._process.stdout
        watch = threading.Timer(START_TIMEOUT, self._process.kill)
        watch.start()
        try:
            return self._process.stdout.readline()
        finally:
            watch.cancel()

    def _end(self) -> str:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        with self._errors:
            self._errors.seek(0)
            return (self._errors.read().strip().splitlines() or ["nothing"])[-1]


def _voluntary(status: Path) -> int:
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read_text(), re.MULTILINE)
    assert found
    return int(found[1])
