"""What every server under test is given, and how it reports that it is ready."""

from __future__ import annotations

import gc
import resource
import signal
from dataclasses import dataclass
from pathlib import Path

#: Pending connections the kernel may hold; the same for all, so that nobody is measured by a short queue.
BACKLOG = 1_024

#: Bytes asked for by one read where the server chooses.
READ_SIZE = 65_536


#: Seconds that a handler sleeps which blocks in foreign code before each echo, as in a query of a database.
NAP = 0.005


@dataclass(frozen=True, slots=True)
class Options:
    """Where a server finds its files.

    Attributes:
        certificate: PEM file with certificate and key, for the TLS servers.
        large_file: the file that the sendfile servers send.
    """

    certificate: Path | None = None
    large_file: Path | None = None


def raise_descriptor_limit() -> None:
    """Raises the soft limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def announce(port: int) -> None:
    """Prints the port, and from then on collects garbage when told by SIGUSR1."""
    signal.signal(signal.SIGUSR1, lambda _number, _frame: _collect())
    print(port, flush=True)


def _collect() -> None:
    gc.collect()
    print("collected", flush=True)
