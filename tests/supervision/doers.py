"""Actors that do what a test tells them, each in its own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from supervision import Actor, Down, Ignore, NoProcess, Ok, Pid, Reply, Stop, call, process

DEADLINE = 5_000  # milliseconds; only a failure ever waits so long

T = TypeVar("T")


class Doer(Actor):
    def init(self, arg: Any) -> Any:
        match arg:
            case "ignore":
                return Ignore()
            case "stop":
                return Stop("refused")
            case "raise":
                raise ValueError("init failed")
        return Ok(arg)

    def handle_call(self, request: Callable[[], Any], caller: Any, state: Any) -> Reply:
        return Reply(request(), state)

    def handle_cast(self, message: Any, state: Any) -> Stop:
        return Stop(message)


def do(pid: Any, fn: Callable[[], T]) -> T:
    """Run a function in the process of a Doer."""
    return call(pid, fn, DEADLINE)  # type: ignore[no-any-return]


def end(pid: Pid, reason: Any = "kill") -> None:
    """End a process, and wait until its monitors know."""
    ref = process.monitor(pid)
    process.exit(pid, reason)
    assert process.receive(lambda message: type(message) is Down and message.ref is ref, timeout=DEADLINE)


class EarlyBird:
    """A via that uses what is started under it before it has started."""

    def __init__(self, use: Callable[[Pid], Any]) -> None:
        self.use = use
        self.found: Any = None
        self.pid: Pid | None = None

    def register_name(self, pid: Pid) -> None:
        self.pid = pid
        try:
            self.found = self.use(pid)
        except NoProcess as error:
            self.found = error

    def unregister_name(self) -> None:
        self.pid = None

    def whereis_name(self) -> Pid | None:
        return self.pid
