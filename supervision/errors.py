"""Every error of the library: what it means, and which built-in it also is.

Owns the exception classes and their texts. Knows nothing of processes: a pid is only something to print.
"""

from __future__ import annotations

from typing import Any

from supervision.shown import shown

__all__ = [
    "AlreadyPresent",
    "AlreadyRegistered",
    "AlreadyStarted",
    "BadArgument",
    "BadChildSpec",
    "BadReturn",
    "BadType",
    "CallError",
    "CallTimeout",
    "Ignored",
    "Killed",
    "MaxChildren",
    "NoProcess",
    "NotFound",
    "ProcessExit",
    "ReceiveTimeout",
    "Restarting",
    "Running",
    "ServerExit",
    "StartError",
    "StartTimeout",
    "SupervisionError",
    "TaskExit",
]


class ProcessExit(BaseException):
    """Ends the process that raises it, with exactly this exit reason.

    It is a BaseException, so that ``except Exception`` in user code cannot swallow an exit.

    Counterpart: ``erlang:exit/1``.
    """

    def __init__(self, reason: Any = "normal") -> None:
        super().__init__(reason)
        self.reason = reason


class Killed(BaseException):
    """Raised inside a process that is dead already, to push its thread out of the code it runs.

    Never raise it yourself. Code that swallows it meets it again at its next call into the library.
    """


class SupervisionError(Exception):
    """The base of every error that the library finds and raises."""

    def __reduce__(self) -> Any:
        # What Exception has calls the class with the text, where most of these take something else.
        return _remade, (type(self), self.args), self.__dict__


def _remade(kind: type[SupervisionError], args: tuple[Any, ...]) -> SupervisionError:
    """An error that has been copied or pickled; its attributes are set after this."""
    error = kind.__new__(kind)
    error.args = args
    return error


class BadArgument(SupervisionError, ValueError):
    """An argument has the right type and a value that is refused."""


class BadType(SupervisionError, TypeError):
    """An argument has the wrong type, or a keyword is unknown."""


class NoProcess(SupervisionError, LookupError):
    """There is no live process behind the pid or name: OTP's ``noproc``."""

    def __init__(self, dest: Any) -> None:
        super().__init__(f"no live process is behind {shown(dest)}")
        self.dest = dest


class CallTimeout(SupervisionError, TimeoutError):
    """No answer came in time. A late one is dropped and never reaches the mailbox."""


class CallError(SupervisionError, ValueError):
    """The request cannot be made at all: a process cannot call, stop or await itself."""


class ServerExit(SupervisionError):
    """The server ended before it answered.

    Attributes:
        reason: the exit reason of the server.
    """

    def __init__(self, reason: Any, dest: Any = None) -> None:
        super().__init__(f"the server {shown(dest)} exited before it answered: {shown(reason)}")
        self.reason = reason
        self.dest = dest


class ReceiveTimeout(SupervisionError, TimeoutError):
    """No matching message came in time."""


class BadReturn(SupervisionError, TypeError):
    """A callback returned something that is no result.

    Attributes:
        callback: the name of the callback.
        value: what it returned.
    """

    def __init__(self, owner: type | str, callback: str, value: Any, expected: str) -> None:
        name = owner if isinstance(owner, str) else owner.__name__
        super().__init__(f"{name}.{callback} returned {shown(value)}; expected {expected}")
        self.callback = callback
        self.value = value


class StartError(SupervisionError):
    """A process could not be started.

    Attributes:
        reason: why; the exit reason of the process that failed.
        child_id: the id of the child that failed, where a supervisor was starting it; else None.
        pid: the process that failed, which is dead; None if it did not come to be.
    """

    def __init__(self, reason: Any, child_id: Any = None) -> None:
        of_child = "" if child_id is None else f" child {shown(child_id)}"
        super().__init__(f"could not start{of_child}: {shown(reason)}")
        self.reason = reason
        self.child_id = child_id
        self.pid: Any = None


class StartTimeout(StartError, TimeoutError):
    """``init`` did not end in time. The process it belonged to is dead."""


class AlreadyStarted(StartError):
    """The name or the child id belongs to a live process.

    Attributes:
        pid: that process.
    """

    def __init__(self, pid: Any, child_id: Any = None) -> None:
        super().__init__(("already_started", pid), child_id)
        self.pid = pid


class Ignored(SupervisionError):
    """``init`` returned ``Ignore()``: there is no process, and that is no failure."""


class AlreadyPresent(SupervisionError, ValueError):
    """A child with this id exists and is not running; restart or delete it."""


class NotFound(SupervisionError, LookupError):
    """The supervisor has no such child, or the registry no such key of the caller's."""


class Running(SupervisionError):
    """The child is running; terminate it first."""


class Restarting(SupervisionError):
    """The child is waiting to be restarted."""


class BadChildSpec(BadArgument):
    """A child specification is not one; the text names the field, the value and what was expected."""


class MaxChildren(SupervisionError):
    """The supervisor has as many children as ``max_children`` allows."""


class TaskExit(SupervisionError):
    """The task that was awaited exited without a value.

    Attributes:
        reason: the exit reason of the task.
    """

    def __init__(self, reason: Any) -> None:
        super().__init__(f"the task exited: {shown(reason)}")
        self.reason = reason


class AlreadyRegistered(SupervisionError, ValueError):
    """The key or name is taken.

    Attributes:
        pid: the process that holds it.
    """

    def __init__(self, pid: Any, key: Any = None) -> None:
        super().__init__(f"{shown(key)} is already registered by {pid!r}")
        self.pid = pid
