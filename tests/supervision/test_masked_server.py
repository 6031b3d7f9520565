"""The loop of the library's own actors: whatever callback a kill comes in, that goes on to its end."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from supervision import Actor, NoReply, Ok, Reply, StartError, Stop, cast, process
from supervision.masked_server import MaskedServer
from tests.supervision.supervised import down, until

Finished = list[str]


class Own(Actor):
    """An actor of the library's that is killed in the callback ``dies_in``, and notes that it has come to its end."""

    server_class: ClassVar[Any] = MaskedServer

    def init(self, arg: tuple[str, Finished]) -> Any:
        self.dies_in, self.finished = arg
        self.finish("init")
        return Ok(0)

    def finish(self, callback: str) -> None:
        if callback == self.dies_in:
            process.exit(process.self(), "kill")
            self.finished.append(callback)

    def handle_call(self, request: Any, caller: Any, state: int) -> Any:
        self.finish("handle_call")
        return Reply(None, state)

    def handle_cast(self, message: Any, state: int) -> Any:
        self.finish("handle_cast")
        return Stop("normal", state) if message == "stop" else NoReply(state, continue_with="go on")

    def handle_continue(self, argument: Any, state: int) -> Any:
        self.finish("handle_continue")
        process.send(process.self(), "a message")
        return NoReply(state)

    def handle_info(self, message: Any, state: int) -> Any:
        self.finish("handle_info")
        cast(process.self(), "stop")
        return NoReply(state)

    def terminate(self, reason: Any, state: int) -> None:
        self.finish("terminate")


@pytest.mark.parametrize("callback", ["handle_cast", "handle_continue", "handle_info", "terminate"])
def test_a_kill_does_not_interrupt_a_callback(callback: str) -> None:
    finished: Finished = []
    pid, ref = Own.start_monitor((callback, finished))
    cast(pid, "go on")
    assert down(ref) == "killed"
    until(lambda: finished == [callback])  # the death is heard of while the callback goes on


def test_a_kill_does_not_interrupt_init_and_the_start_has_failed() -> None:
    finished: Finished = []
    with pytest.raises(StartError, match="killed"):
        Own.start(("init", finished))
    assert finished == ["init"]
