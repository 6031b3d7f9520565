"""Deaths that something comes into: Ctrl-C, a stack without room, and the user's code that waits or raises."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervision import (
    Actor,
    Down,
    Exit,
    NoReply,
    Pid,
    Reply,
    Stop,
    call,
    cast,
    process,
    send_request,
    signals,
    stop,
    wait_response,
)
from supervision.log import logger
from supervision.names import ViaName
from tests.supervision.actors import DEADLINE, Echo, idle, nothing_more
from tests.supervision.runtime import eventually


class Names(Actor):
    """Keeps names for vias, and records of the log."""

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        return Reply(request(), state) if callable(request) else Reply(request, state)


class Named:
    """A via that asks an actor, or does as it is told, when its name is given back."""

    def __init__(self, unregister: Callable[[], object] = lambda: None) -> None:
        self.unregister = unregister
        self.taken_back = 0

    def register_name(self, pid: Pid) -> bool:
        return True

    def unregister_name(self) -> None:
        self.taken_back += 1
        self.unregister()

    def whereis_name(self) -> None:
        return None


class Ending(Actor):
    """Ends as it is told."""

    def handle_cast(self, message: Any, state: Any) -> Any:
        if message == "stop":
            return Stop("normal")
        raise message


def down_of(ref: Any) -> Any:
    return process.receive(lambda message: type(message) is Down and message.ref is ref, timeout=DEADLINE).reason


def interrupted_at(number: int, work: Callable[[], object]) -> bool:
    """Do ``work`` with Ctrl-C at the beginning of its ``number``-th call; False if there are not so many."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        if event == "call":
            calls += 1
            if calls == number:
                sys.setprofile(None)
                raise KeyboardInterrupt

    gc.disable()  # or the call might be one of its callbacks, out of which nothing comes
    sys.setprofile(count)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
        gc.enable()
    return False


def below(depth: int, work: Callable[..., object], *args: Any) -> None:
    """Do ``work`` so many frames further down."""
    if depth:
        below(depth - 1, work, *args)
    else:
        work(*args)


def has_room(depth: int) -> bool:
    try:
        below(depth, lambda: None)
    except RecursionError:
        return False
    return True


class TestInterruption:
    def test_wherever_ctrl_c_hits_a_death_is_whole_or_has_not_begun(self) -> None:
        number = 1
        while self.is_whole_if_interrupted_at(number):
            number += 1
        assert number > 30

    def is_whole_if_interrupted_at(self, number: int) -> bool:
        """Kill one of three linked processes; False if there is no such call to interrupt."""
        via = Named()
        dying = [process.spawn(idle) for _ in range(3)]
        for one, other in itertools.pairwise(dying):
            signals.link(one._process, other._process)
        assert eventually(lambda: all(pid._process.parked is not None for pid in dying))
        process.link(dying[0])
        signals.own(dying[1]._process, ViaName(via))
        refs = {process.monitor(pid): pid for pid in dying}
        interrupted = interrupted_at(number, lambda: process.exit(dying[0], "abc"))
        if process.is_alive(dying[0]):
            assert nothing_more()
            assert not via.taken_back
            process.exit(dying[0], "abc")
        assert not any(process.is_alive(pid) for pid in dying)
        assert not set(dying) & set(process.pids())
        assert eventually(lambda: all(pid._process.body is None for pid in dying))  # their threads have ended
        assert via.taken_back
        heard = [process.receive(timeout=DEADLINE) for _ in range(4)]
        assert heard.count(Exit(dying[0], "abc")) == 1
        assert {message.ref: message.pid for message in heard if type(message) is Down} == refs
        assert nothing_more()
        return interrupted

    def test_nor_is_a_response_lost_or_told_twice(self) -> None:
        number, going = 1, True
        while going:
            server = Echo.start("state")
            request = send_request(server, lambda caller, state: NoReply(state))
            going = interrupted_at(number, lambda server=server: process.exit(server, "abc"))  # type: ignore[misc]
            process.exit(server, "abc")
            assert wait_response(request, DEADLINE) == ("error", "abc")
            assert nothing_more()
            number += 1

    def test_one_that_hits_the_same_again_and_again_does_not_hold_the_death_up(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        via = Named(interrupt)
        pid, ref = process.spawn_monitor(idle)
        signals.own(pid._process, ViaName(via))
        with pytest.raises(KeyboardInterrupt):
            process.exit(pid, "abc")
        assert down_of(ref) == "abc"
        assert "could not be released" in caplog.text
        assert via.taken_back == 3

    def test_a_kill_with_hardly_any_stack_left_is_announced_or_refused(self) -> None:
        deepest = sys.getrecursionlimit()
        while not has_room(deepest):
            deepest -= 1
        outcomes = set()
        for depth in range(deepest - 60, deepest):
            pid, ref = process.spawn_monitor(idle)
            with contextlib.suppress(RecursionError):
                below(depth, process.exit, pid, "abc")
            outcomes.add(process.is_alive(pid))
            if process.is_alive(pid):
                process.exit(pid, "abc")
            assert down_of(ref) == "abc"
        assert outcomes == {True, False}


@pytest.fixture
def names() -> Iterator[Pid]:
    pid = Names.start()
    yield pid
    stop(pid)


@pytest.fixture
def handler(names: Pid) -> Iterator[list[str]]:
    """A handler of the log that makes a call; what it has logged."""
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(call(names, record.getMessage()))

    handler = Handler()
    logger.logger.addHandler(handler)
    yield said
    logger.logger.removeHandler(handler)


class TestCodeOfTheUser:
    @pytest.mark.parametrize("how", ["stop", ValueError("boom")], ids=["stops", "crashes"])
    def test_a_via_may_make_a_call_when_its_process_ends_by_itself(self, names: Pid, how: Any) -> None:
        seen: list[Any] = []
        pid = Ending.start(name=Named(lambda: seen.append((process.self(), call(names, "gone")))))
        ref = process.monitor(pid)
        cast(pid, how)
        assert down_of(ref) == ("normal" if how == "stop" else how)
        ((guest, answer),) = seen
        assert answer == "gone"
        assert guest not in (pid, *process.pids())
        assert eventually(lambda: not process.is_alive(guest))  # when all is told

    def test_it_runs_as_a_guest_also_on_the_thread_of_who_kills(self) -> None:
        seen: list[Pid] = []
        me = process.self()
        pid = Ending.start(name=Named(lambda: seen.append(process.self())))
        process.exit(pid, "kill")
        assert me not in seen
        assert process.self() is me
        assert process.is_alive(me)

    def test_a_handler_of_the_log_may_make_a_call_when_a_crash_is_reported(self, handler: list[str]) -> None:
        pid = Ending.start()
        ref = process.monitor(pid)
        error = ValueError("boom")
        cast(pid, error)
        assert down_of(ref) is error
        assert "boom" in handler[0]

    def test_whatever_a_via_raises_the_death_is_heard_of(self, caplog: pytest.LogCaptureFixture) -> None:
        pid = Ending.start(name=Named(sys.exit))
        ref = process.monitor(pid)
        cast(pid, "stop")
        assert down_of(ref) == "normal"
        assert "could not be released" in caplog.text

    def test_a_wait_in_it_is_one_of_its_own(self) -> None:
        echo = Echo.start("state")
        pid = Ending.start(name=Named(lambda: (process.send(process.self(), "note"), process.receive(str, timeout=0))))
        ref = process.monitor(pid)
        cast(pid, "stop")
        assert down_of(ref) == "normal"
        stop(echo)
