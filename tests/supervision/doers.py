"""Actors that do what a test tells them, each in its own process."""

from __future__ import annotations

import threading
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


def in_a_thread(fn: Callable[[], T]) -> T:
    """What a function returns in a thread of its own, which does not hang."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(fn()), daemon=True)
    thread.start()
    thread.join(DEADLINE / 1000)
    assert not thread.is_alive()
    return results[0]


class Interposed:
    """A key in whose hashing, and so in the middle of what is done with it, something else is done.

    It stands for a finalizer, which the garbage collector may run in the middle of anything.
    """

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action
        self.acting = False

    def __hash__(self) -> int:
        if not self.acting:
            self.acting = True
            self.action()
            self.acting = False
        return 1


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
