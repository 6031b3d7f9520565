"""A child process of the operating system, owned by a process of this library that hears of its end.

Owns how the end is noticed, and that no child outlives its owner. What the end means is the owner's business.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from supervision.errors import BadArgument, BadType
from supervision.log import logger
from supervision.process_table import Process
from supervision.readiness import MailedSource, forget, watch
from supervision.scheduler import deliver
from supervision.signals import entrust

__all__ = ["OsChild", "OsCommand"]

# Seconds. A process that is killed is gone within milliseconds unless the kernel itself holds it, for a disk say.
KILLED_WITHIN: Final = 1.0

# What the operating system takes for an argument, as subprocess does.
_ARGUMENT: Final = (str, bytes, os.PathLike)


@dataclass(frozen=True, slots=True)
class OsCommand:
    """What to run.

    Attributes:
        arguments: the program and its arguments.
        cwd: the directory to run it in; None: the one of this process.
        environment: its environment variables; None: those of this process.
        pass_fds: the descriptors that it inherits besides stdout and stderr, under the same numbers.

    Raises:
        BadType: the arguments are no tuple of strings, or the environment is no mapping.
        BadArgument: there are no arguments.
    """

    arguments: tuple[str, ...]
    cwd: str | None = None
    environment: Mapping[str, str] | None = None
    pass_fds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        parts = self.arguments
        if not isinstance(parts, tuple | list) or not all(isinstance(part, _ARGUMENT) for part in parts):
            raise BadType(f"arguments must be a tuple of strings, got {parts!r}")
        if not parts:
            raise BadArgument(f"arguments must be a tuple of at least the program, got {parts!r}")
        if self.environment is not None and not isinstance(self.environment, Mapping):
            raise BadType(f"environment must be a mapping or None, got {self.environment!r}")


class _Notice(Protocol):
    """Tells the owner of the end, by a message."""

    def is_told_by(self, message: Any) -> bool: ...

    def wait(self, seconds: float) -> None: ...

    def close(self) -> None: ...


class _Pidfd:
    """Linux: a descriptor that becomes readable when the child has ended."""

    def __init__(self, pid: int, owner: Process) -> None:
        self.source = MailedSource(os.pidfd_open(pid), owner)
        watch(self.source)

    def is_told_by(self, message: Any) -> bool:
        return message is self.source

    def wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self.source.fd, select.POLLIN)
        poll.poll(seconds * 1000)

    def close(self) -> None:
        forget(self.source)
        os.close(self.source.fd)


class _Waiter:
    """Elsewhere: a thread that waits for the end of the child, and ends with it."""

    def __init__(self, popen: subprocess.Popen[bytes], owner: Process) -> None:
        self.popen = popen
        self.owner = owner
        self.ended = threading.Event()
        threading.Thread(target=self._run, name=f"supervision-waits-for-{popen.pid}", daemon=True).start()

    def _run(self) -> None:
        self.popen.wait()
        self.ended.set()
        deliver(self.owner, self)

    def is_told_by(self, message: Any) -> bool:
        return message is self

    def wait(self, seconds: float) -> None:
        self.ended.wait(seconds)

    def close(self) -> None:
        pass


class OsChild:
    """A child process. Made in the process that is to own it; killed when that ends, in whatever way.

    It gets a process group of its own: Ctrl-C on a terminal reaches the parent alone, which shuts it down in order.
    There is no PR_SET_PDEATHSIG, which would kill it when the *thread* that started it ends; threads come and go here.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: OsCommand, owner: Process) -> None:
        self.popen = subprocess.Popen(
            command.arguments,
            stdin=subprocess.DEVNULL,
            cwd=command.cwd,
            env=command.environment,
            pass_fds=command.pass_fds,
            process_group=0,
        )
        try:
            self.notice = _notice(self.popen, owner)
        except BaseException:  # no descriptor and no thread is left; nobody would ever end it
            self.popen.kill()
            self.popen.wait()
            raise
        entrust(owner, self)

    def __repr__(self) -> str:
        """For reports: who it was, without its arguments, which may hold a password."""
        return f"<OsChild {self.pid}>"

    @property
    def pid(self) -> int:
        """Its number in the operating system."""
        return self.popen.pid

    @property
    def status(self) -> int | None:
        """Its exit status, or the negative number of the signal that ended it; None while it runs."""
        return self.popen.poll()

    def has_ended(self, message: Any) -> bool:
        """Whether ``message`` to the owner says that this child has ended."""
        return self.notice.is_told_by(message)

    def signal(self, number: int) -> None:
        """Send it a signal; does nothing if it has ended."""
        self.popen.send_signal(number)

    def owner_died(self, process: Process, reason: Any) -> None:
        """Kill it if it still runs, and let the operating system forget it."""
        if self.status is None:
            self.popen.kill()
            self.notice.wait(KILLED_WITHIN)
            if self.status is None:
                logger.warning("the process %d was killed and has not ended yet", self.pid)
        self.notice.close()


def _notice(popen: subprocess.Popen[bytes], owner: Process) -> _Notice:
    try:
        return _Pidfd(popen.pid, owner)
    except (AttributeError, OSError):  # not this system, or forbidden in this container
        return _Waiter(popen, owner)
