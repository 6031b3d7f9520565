"""multi_call."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from supervision import (
    BadType,
    Pid,
    Reply,
    Stop,
    abcast,
    call,
    cast,
    multi_call,
    process,
    stop,
)
from tests.supervision.actors import DEADLINE, Echo, held, idle, nothing_more


class TestDestinations:
    @pytest.mark.parametrize("ask", [multi_call, abcast])
    @pytest.mark.parametrize("wrong", ["name", None, 5])
    def test_what_is_no_list_is_refused(self, ask: Any, wrong: Any) -> None:
        with pytest.raises(BadType, match=f"pids must be a list of pids, names and vias, got {wrong!r}"):
            ask(wrong, "question")

    @pytest.mark.parametrize("ask", [multi_call, abcast])
    def test_a_single_pid_is_refused(self, ask: Any, server: Pid) -> None:
        with pytest.raises(BadType, match="pids must be a list of pids, names and vias, got <Pid"):
            ask(server, "question")


class TestMultiCall:
    def test_answers_and_failures_are_told_apart(self) -> None:
        good = [Echo.start(), Echo.start(name="named")]
        dead = process.spawn(idle)
        process.exit(dead, "kill")
        answers, failed = multi_call([good[0], "named", dead, "nobody has this name"], "question", DEADLINE)
        assert answers == {good[0]: "question", "named": "question"}
        assert failed == [dead, "nobody has this name"]
        for pid in good:
            stop(pid)

    def test_each_destination_is_asked_once(self, server: Pid) -> None:
        asked = []

        def count(caller: Any, state: Any) -> Reply:
            asked.append(caller)
            return Reply(len(asked), state)

        assert multi_call([server, server, server], count) == ({server: 1}, [])
        assert multi_call(["nobody"] * 3, "question") == ({}, ["nobody"])
        assert call(server, "in between") == "in between"
        assert len(asked) == 1

    def test_one_deadline_holds_for_all_and_late_answers_never_arrive(self, server: Pid) -> None:
        other = Echo.start()
        entered, leave = threading.Event(), threading.Event()
        cast(server, held(entered, leave))
        assert entered.wait(5)
        assert multi_call([server, other], "question", 300) == ({other: "question"}, [server])
        leave.set()
        assert call(other, "next") == "next"
        assert nothing_more()
        stop(other)

    def test_one_that_dies_meanwhile_has_failed(self, server: Pid) -> None:
        assert multi_call([server], lambda caller, state: Stop("shutdown", state)) == ({}, [server])

    def test_what_is_no_destination_is_refused_before_anybody_is_asked(self, server: Pid) -> None:
        asked: list[Any] = []
        with pytest.raises(BadType, match="the destination must be"):
            multi_call([server, 1], lambda caller, state: asked.append(caller))
        assert call(server, "next") == "next"
        assert not asked

    def test_nobody_to_ask_is_no_failure(self) -> None:
        assert multi_call([], "question") == ({}, [])
