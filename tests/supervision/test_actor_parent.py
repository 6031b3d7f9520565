"""Whose exit is an order to an actor, and whose is news."""

from __future__ import annotations

from typing import Any

import pytest

from supervision import (
    Exit,
    Ok,
    ProcessExit,
    process,
    send,
    stop,
)
from tests.supervision.actors import DEADLINE, Scripted, heard, nothing_more


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
        assert nothing_more()

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
