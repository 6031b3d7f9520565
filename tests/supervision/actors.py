"""Actors that do what their messages say, and what the tests of calls and callbacks say to them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from supervision import Actor, NoReply, Pid, ReceiveTimeout, Reply, process, send

DEADLINE = 5_000  # milliseconds; only a failure ever waits so long


class Echo(Actor):
    """Does as it is told: a request or message is a function of the caller and the state."""

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        return request(caller, state) if callable(request) else Reply(request, state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return message(None, state) if callable(message) else NoReply(message)


class Scripted(Actor):
    """Tells its observer, the state, what arrives; a message that is a function decides the result."""

    def handle_call(self, request: Any, caller: Any, state: Pid) -> Any:
        return request(state) if callable(request) else Reply(request, state)

    def handle_cast(self, message: Any, state: Pid) -> Any:
        return message(state) if callable(message) else self.tell("cast", message, state)

    def handle_info(self, message: Any, state: Pid) -> Any:
        return message(state) if callable(message) else self.tell("info", message, state)

    def handle_continue(self, argument: Any, state: Pid) -> Any:
        return argument(state) if callable(argument) else self.tell("continue", argument, state)

    def tell(self, callback: str, message: Any, state: Pid) -> NoReply:
        send(state, (callback, message))
        return NoReply(state)


class Recorder(Actor):
    """Its state is the list of what it has handled."""

    def handle_call(self, request: Any, caller: Any, state: list[Any]) -> Reply:
        return Reply(request() if callable(request) else request, [*state, request])

    def handle_cast(self, message: Any, state: list[Any]) -> NoReply:
        if callable(message):
            message()
            return NoReply(state)
        return NoReply([*state, message])

    def handle_info(self, message: Any, state: list[Any]) -> NoReply:
        return NoReply([*state, message])


def held(entered: threading.Event, leave: threading.Event) -> Callable[[Any, Any], Reply]:
    """What keeps an Echo in its callback from ``entered`` until ``leave``, to answer "late"."""

    def work(caller: Any, state: Any) -> Reply:
        entered.set()
        assert leave.wait(5)
        return Reply("late", state)

    return work


def heard() -> Any:
    """The next thing that a Scripted has told."""
    return process.receive(tuple, timeout=DEADLINE)


def nothing_more() -> bool:
    """Whether the mailbox is empty."""
    try:
        process.receive(timeout=0)
    except ReceiveTimeout:
        return True
    return False


def idle() -> None:
    """The body of a process that lives until it is told to stop."""
    process.receive(lambda message: message == "stop")
