"""start_monitor: a start that tells of the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    Actor,
    AlreadyStarted,
    BadType,
    Down,
    Ignore,
    Ignored,
    Ok,
    ProcessExit,
    StartError,
    StartTimeout,
    Stop,
    process,
    stop,
)
from tests.supervision.actors import DEADLINE, Scripted, nothing_more
from tests.supervision.supervised import raising


class Starting(Actor):
    """``init`` does what its argument, a function, says."""

    def init(self, arg: Callable[[], Any]) -> Any:
        return arg()


def never() -> None:
    process.sleep(float("inf"))


class TestStartMonitor:
    @pytest.mark.row("PL-08")
    def test_the_end_is_told_once_and_nothing_is_linked(self) -> None:
        pid, ref = Scripted.start_monitor(process.self(), name="monitored")
        info = process.info(pid)
        assert info is not None
        assert (info.links, info.monitored_by, info.name) == ((), (process.self(),), "monitored")
        stop(pid, ("shutdown", "done"))
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, ("shutdown", "done"))
        assert nothing_more()

    @pytest.mark.row("PL-08")
    def test_one_that_ends_at_once_is_down_with_its_reason(self) -> None:
        class Fleeting(Actor):
            def init(self, arg: Any) -> Ok:
                return Ok(continue_with=arg)

            def handle_continue(self, argument: Any, state: Any) -> Stop:
                return Stop(argument)

        pid, ref = Fleeting.start_monitor("at once")
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, "at once")

    @pytest.mark.row("PL-08", "GS-07")
    @pytest.mark.parametrize(
        ("init", "error"),
        [
            (lambda: Stop("refused"), StartError),
            (lambda: "no result", StartError),
            (raising(ValueError("in init")), StartError),
            (raising(ProcessExit("left")), StartError),
            (Ignore, Ignored),
            (never, StartTimeout),
        ],
    )
    def test_a_start_that_fails_leaves_no_down(self, init: Any, error: type[Exception]) -> None:
        for _ in range(5):
            with pytest.raises(error):
                Starting.start_monitor(init, timeout=1 if init is never else DEADLINE, name="monitored")
            assert process.whereis("monitored") is None
            assert nothing_more()

    @pytest.mark.row("PL-08", "GS-11")
    def test_a_name_that_is_taken_leaves_no_down(self) -> None:
        pid, ref = Scripted.start_monitor(process.self(), name="monitored")
        with pytest.raises(AlreadyStarted) as caught:
            Scripted.start_monitor(process.self(), name="monitored")
        assert caught.value.pid is pid
        assert nothing_more()
        stop(pid)
        assert process.receive(timeout=DEADLINE).ref is ref

    def test_wrong_options_are_refused_before_anything_starts(self) -> None:
        with pytest.raises(BadType, match="monitor"):
            Scripted.start_monitor(process.self(), monitor=True)
        assert nothing_more()
