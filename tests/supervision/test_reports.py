"""Crash reports: one for each crash, none for a planned end, and what they say."""

from __future__ import annotations

import gc
import logging
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from supervision import (
    Actor,
    Down,
    Exit,
    NoReply,
    Ok,
    Pid,
    ProcessExit,
    Reply,
    ServerExit,
    StartError,
    Status,
    Stop,
    call,
    cast,
    process,
    stop,
)
from supervision.reports import NOTHING, Crash, _shown

DEADLINE = 5_000


class Failing(Actor):
    """Does what its messages, functions of the state, say."""

    def init(self, arg: Any) -> Any:
        return arg() if callable(arg) else Ok(arg)

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        return request(state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return message(state)


def boom(*args: Any) -> Any:
    raise ValueError("boom")


def end_by_cast(pid: Pid, message: Any) -> Any:
    """Send what ends an actor, and tell its reason. The report is there by then: it comes before the Down."""
    ref = process.monitor(pid)
    cast(pid, message)
    return process.receive(lambda message: type(message) is Down and message.ref is ref, timeout=DEADLINE).reason


class Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def reports() -> Iterator[list[logging.LogRecord]]:
    collector = Collector()
    logger = logging.getLogger("supervision")
    logger.addHandler(collector)
    yield collector.records
    logger.removeHandler(collector)


def crash_of(record: logging.LogRecord) -> Crash:
    crash: Crash = record.__dict__["crash"]
    return crash


class TestContent:
    @pytest.mark.row("GS-59")
    def test_it_tells_who_why_on_what_with_which_state_and_for_whom(self, reports: list[logging.LogRecord]) -> None:
        pid = Failing.start({"count": 3}, name="server", label="label")
        with pytest.raises(ServerExit):
            call(pid, boom)
        [record] = reports
        crash = crash_of(record)
        assert record.name == "supervision"
        assert record.levelno == logging.ERROR
        assert (crash.pid, crash.label, crash.name, crash.initial_call) == (pid, "label", "server", "Failing")
        assert isinstance(crash.reason, ValueError)
        assert (crash.message, crash.state, crash.caller) == (boom, {"count": 3}, process.self())
        assert crash.ancestors == (process.self(),)
        text = record.getMessage()
        for part in (
            "terminated: ValueError: boom",
            "label: 'label'",
            "state: {'count': 3}",
            "function boom",
            "ancestors",
        ):
            assert part in text
        assert record.exc_info is not None
        assert record.exc_info[1] is crash.reason

    @pytest.mark.row("EX-02", "EX-22")
    def test_a_spawned_function_tells_what_it_ran(self, reports: list[logging.LogRecord]) -> None:
        pid = process.spawn_link(boom)
        process.receive(Exit, timeout=DEADLINE)
        [record] = reports
        crash = crash_of(record)
        assert (crash.pid, crash.initial_call, crash.ancestors) == (pid, "boom", (process.self(),))
        assert crash.message is crash.state is NOTHING
        assert "message=nothing, state=nothing" in repr(crash)
        assert "initial call: 'boom'" in record.getMessage()
        assert "state" not in record.getMessage()

    def test_none_is_a_state_that_is_shown(self, reports: list[logging.LogRecord]) -> None:
        end_by_cast(Failing.start(None), boom)
        assert "state: None" in reports[0].getMessage()

    @pytest.mark.parametrize("error", [RuntimeError, SystemExit, GeneratorExit])
    def test_what_cannot_be_printed_does_not_hide_the_crash(
        self, reports: list[logging.LogRecord], error: type[BaseException]
    ) -> None:
        class Unprintable:
            def __repr__(self) -> str:
                raise error("no repr")

        pid = Failing.start(Unprintable())
        end_by_cast(pid, boom)
        assert f"<unprintable Unprintable: {error.__name__}('no repr')>" in reports[0].getMessage()

    def test_ctrl_c_in_a_repr_is_not_swallowed(self) -> None:
        class Interrupted:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _shown(Interrupted())

    def test_a_long_state_is_cut(self, reports: list[logging.LogRecord]) -> None:
        pid = Failing.start("x" * 100_000)
        end_by_cast(pid, boom)
        assert len(reports[0].getMessage()) < 10_000


class TestMemory:
    def test_a_crashed_actor_keeps_neither_its_state_nor_its_last_message(self, silent: None) -> None:
        class Thing:
            pass

        things = [Thing(), Thing()]
        alive = [weakref.ref(thing) for thing in things]
        pid = Failing.start(things[0])
        ref = process.monitor(pid)
        cast(pid, partial(boom, things[1]))
        assert process.receive(timeout=DEADLINE).ref is ref
        things.clear()
        assert eventually(lambda: gc.collect() >= 0 and [thing() for thing in alive] == [None, None])
        assert not process.is_alive(pid)


@pytest.fixture
def silent() -> Iterator[None]:
    """Nobody keeps the reports, as the handlers of the test run do."""
    logger = logging.getLogger("supervision")

    def drop(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    yield
    logger.removeFilter(drop)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true: the thread of an actor that has just ended may still be on its way out."""
    deadline = time.monotonic() + DEADLINE / 1000
    while not condition():
        if time.monotonic() > deadline:
            return False
        process.sleep(1)
    return True


class TestHowMany:
    @pytest.mark.row("GS-58", "EX-01")
    @pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", "why")])
    @pytest.mark.parametrize("how", ["stop", "exit", "result"])
    def test_a_planned_end_has_none(self, reports: list[logging.LogRecord], reason: Any, how: str) -> None:
        def leave(state: Any) -> Any:
            if how == "result":
                return Stop(reason, state)
            raise ProcessExit(reason)

        pid = Failing.start_link("state")
        if how == "stop":
            stop(pid, reason)
        else:
            with pytest.raises(ServerExit) as caught:
                call(pid, leave)
            assert caught.value.reason == reason
        assert process.receive(timeout=DEADLINE) == Exit(pid, reason)
        assert not reports

    @pytest.mark.row("GS-59", "EX-22")
    @pytest.mark.parametrize("reason", ["crashed", ("shutdown", 1, 2), None, "kill"])
    @pytest.mark.parametrize("how", ["exit", "result", "stop"])
    def test_any_other_has_one(self, reports: list[logging.LogRecord], reason: Any, how: str) -> None:
        def leave(state: Any) -> Any:
            if how == "result":
                return Stop(reason, state)
            raise ProcessExit(reason)

        pid = Failing.start("state")
        if how == "stop":
            stop(pid, reason)
        else:
            end_by_cast(pid, leave)
        assert [crash_of(record).reason for record in reports] == [reason]

    def test_those_that_die_of_a_signal_or_a_link_have_none(self, reports: list[logging.LogRecord]) -> None:
        def body() -> None:
            process.spawn_link(boom)
            process.receive()

        pid, ref = process.spawn_monitor(body)
        assert isinstance(process.receive(timeout=DEADLINE).reason, ValueError)
        killed = process.spawn(process.receive)
        process.exit(killed, "kill")
        assert [crash_of(record).initial_call for record in reports] == ["boom"]
        assert (ref, process.is_alive(pid)) != (None, True)

    def test_a_failure_of_init_has_one(self, reports: list[logging.LogRecord]) -> None:
        with pytest.raises(StartError):
            Failing.start_link(boom)
        assert [type(crash_of(record).reason) for record in reports] == [ValueError]

    @pytest.mark.row("GS-04")
    def test_a_start_that_is_refused_has_none(self, reports: list[logging.LogRecord]) -> None:
        for reason in ("shutdown", "foobar", "normal"):
            with pytest.raises(StartError):
                Failing.start_link(lambda reason=reason: Stop(reason))
        assert not reports

    @pytest.mark.row("GS-55")
    def test_a_crash_in_terminate_is_the_one_that_is_reported(self, reports: list[logging.LogRecord]) -> None:
        class Worse(Failing):
            def terminate(self, reason: Any, state: Any) -> None:
                raise KeyError("in terminate")

        pid = Worse.start("state")
        end_by_cast(pid, boom)
        assert [type(crash_of(record).reason) for record in reports] == [KeyError]


class TestFormatStatus:
    def test_it_decides_what_is_shown(self, reports: list[logging.LogRecord]) -> None:
        class Discreet(Failing):
            def format_status(self, status: Status) -> Status:
                assert isinstance(status.reason, ValueError)
                return replace(status, state="redacted", message="a message")

        pid = Discreet.start("secret")
        end_by_cast(pid, boom)
        crash = crash_of(reports[0])
        assert (crash.state, crash.message) == ("redacted", "a message")
        assert "secret" not in reports[0].getMessage()

    @pytest.mark.parametrize("bad", ["raises", "wrong result"])
    def test_where_it_fails_neither_state_nor_message_is_shown(
        self, reports: list[logging.LogRecord], bad: str
    ) -> None:
        class Broken(Failing):
            def format_status(self, status: Status) -> Any:
                return boom() if bad == "raises" else "no status"

        pid = Broken.start("secret")
        assert isinstance(end_by_cast(pid, boom), ValueError)
        crash = crash_of(reports[0])
        assert crash.state is crash.message is NOTHING
        assert "secret" not in reports[0].getMessage()


class TestStopResult:
    @pytest.mark.row("GS-24")
    @pytest.mark.parametrize("fails", [False, True])
    def test_terminate_runs_then_the_answer_goes_out_then_the_actor_ends(
        self, reports: list[logging.LogRecord], fails: bool
    ) -> None:
        order: list[str] = []
        me = process.self()

        class Stopping(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
                return Stop("normal", "last", reply="bye")

            def terminate(self, reason: Any, state: Any) -> None:
                order.append(f"terminate {reason} {state}")
                process.send(me, "terminate")
                if fails:
                    boom()

        pid = Stopping.start_link()
        assert call(pid, "stop") == "bye"
        assert order == ["terminate normal last"]
        assert process.receive(timeout=0) == "terminate"
        exited = process.receive(timeout=DEADLINE)
        assert exited.pid is pid
        assert isinstance(exited.reason, ValueError) if fails else exited.reason == "normal"
        assert len(reports) == fails

    def test_none_is_an_answer_and_no_answer_is_none(self) -> None:
        pid = Failing.start()
        assert call(pid, lambda state: Stop("normal", state, reply=None)) is None
        other = Failing.start()
        with pytest.raises(ServerExit):
            call(other, lambda state: Stop("normal", state))

    def test_a_state_that_is_left_out_is_the_present_one(self) -> None:
        states = []

        class Keeping(Failing):
            def terminate(self, reason: Any, state: Any) -> None:
                states.append(state)

        for result in (Stop("normal"), Stop("normal", None), Stop("normal", "new")):
            pid = Keeping.start("present")
            end_by_cast(pid, lambda state, result=result: result)
        assert states == ["present", None, "new"]

    @pytest.mark.row("GS-57")
    def test_a_killed_actor_does_not_run_terminate(self) -> None:
        terminated = []

        class Cleaning(Failing):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply("alive", state)

            def handle_info(self, message: Any, state: Any) -> NoReply | Stop:
                try:
                    process.sleep(60_000)
                except BaseException:  # noqa: BLE001  swallows what ends it
                    return Stop("normal", state)
                return NoReply(state)

            def terminate(self, reason: Any, state: Any) -> None:
                terminated.append(reason)

        pid = Cleaning.start()
        process.send(pid, "sleep")
        process.exit(pid, "kill")
        other = Cleaning.start()
        assert call(other, "question") == "alive"
        process.exit(other, "kill")
        assert not terminated
