"""Whose exit is an order to an actor, and whose is news."""

from __future__ import annotations

from typing import Any

import pytest

from supervision import (
    Actor,
    Exit,
    NoReply,
    Ok,
    Pid,
    ProcessExit,
    ReceiveTimeout,
    Reply,
    process,
    send,
    stop,
)

DEADLINE = 5_000


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


def heard() -> Any:
    return process.receive(tuple, timeout=DEADLINE)


def heard_nothing() -> bool:
    try:
        process.receive(timeout=0)
    except ReceiveTimeout:
        return True
    return False


class TestParent:
    @pytest.mark.row("GS-51")
    @pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", 1), "abc"])
    def test_its_exit_is_an_order_for_an_actor_that_traps(self, reason: Any) -> None:
        class Trapping(Scripted):
            def init(self, arg: Any) -> Ok:
                process.trap_exit(True)
                return Ok(arg)

            def terminate(self, reason: Any, state: Any) -> None:
                send(state, ("terminate", reason))

        me = process.self()

        def parent() -> None:
            Trapping.start_link(me)
            raise ProcessExit(reason)

        process.spawn(parent)
        assert heard() == ("terminate", reason)
        assert heard_nothing()

    def test_the_exit_of_anybody_else_is_a_message(self) -> None:
        class Trapping(Scripted):
            def init(self, arg: Any) -> Ok:
                process.trap_exit(True)
                return Ok(arg)

        pid = Trapping.start(process.self())
        process.exit(pid, "abc")
        assert heard() == ("info", Exit(process.self(), "abc"))
        stop(pid)

    @pytest.mark.row("GS-50")
    def test_an_actor_that_does_not_trap_dies_without_terminate(self) -> None:
        terminated = []

        class Cleaning(Scripted):
            def terminate(self, reason: Any, state: Any) -> None:
                terminated.append(reason)

        pid = Cleaning.start_link(process.self())
        process.exit(pid, "shutdown")
        assert process.receive(Exit, timeout=DEADLINE) == Exit(pid, "shutdown")
        assert not terminated
