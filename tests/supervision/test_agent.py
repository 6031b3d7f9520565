"""Agents: a state that others use by functions."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import supervision.sys
from supervision import (
    Agent,
    AlreadyStarted,
    BadReturn,
    BadType,
    CallError,
    CallTimeout,
    Exit,
    NoProcess,
    Pid,
    ServerExit,
    StartError,
    StartTimeout,
    Supervisor,
    child_spec,
    process,
    send,
)

DEADLINE = 5_000

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("colour")


def identity(state: Any) -> Any:
    return state


def fail(state: Any = None) -> Any:
    raise ZeroDivisionError


@pytest.fixture
def agent() -> Iterator[Pid]:
    pid = Agent.start(dict)
    yield pid
    process.exit(pid, "kill")


class Counter(Agent):
    """An agent of a program's own: what starts it makes the function."""

    @classmethod
    def start_link(cls, arg: Any = None, /, **options: Any) -> Pid:
        return super().start_link(lambda: arg, name="counter", **options)

    @staticmethod
    def next() -> int:
        return Agent.get_and_update("counter", lambda count: (count, count + 1))  # type: ignore[no-any-return]


class TestStart:
    @pytest.mark.row("AG-02")
    def test_it_is_linked_and_its_state_is_what_the_function_returns(self) -> None:
        pid = Agent.start_link(dict)
        assert pid in process.info(process.self()).links  # type: ignore[union-attr]
        assert Agent.get(pid, identity) == {}
        Agent.stop(pid)
        assert process.receive(timeout=DEADLINE) == Exit(pid, "normal")

    @pytest.mark.row("AG-03")
    def test_it_can_be_named_and_unlinked(self) -> None:
        pid = Agent.start(dict, name="agent")
        assert pid not in process.info(process.self()).links  # type: ignore[union-attr]
        with pytest.raises(AlreadyStarted):
            Agent.start(dict, name="agent")
        Agent.cast("agent", lambda state: {**state, "hello": "world"})
        assert Agent.get("agent", lambda state: state["hello"]) == "world"
        Agent.stop("agent")
        assert process.info(pid) is None

    def test_a_function_that_fails_fails_the_start(self) -> None:
        with pytest.raises(StartError) as caught:
            Agent.start(fail)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_a_function_that_takes_too_long_fails_the_start(self) -> None:
        with pytest.raises(StartTimeout):
            Agent.start(lambda: process.sleep(DEADLINE), timeout=1)

    @pytest.mark.parametrize("wrong", [None, {}, "dict"])
    def test_what_cannot_be_called_is_refused(self, wrong: Any) -> None:
        for start in (Agent.start, Agent.start_link):
            with pytest.raises(BadType, match="fn must be callable, got"):
                start(wrong)


class TestChildSpec:
    @pytest.mark.row("AG-01")
    def test_it_can_be_supervised(self, supervise: Callable[..., Pid]) -> None:
        spec = child_spec((Agent, dict))
        assert (spec.id, spec.restart, spec.type) == (Agent, "permanent", "worker")
        sup = supervise([spec])
        assert Agent.get(Supervisor.which_children(sup)[0].pid, identity) == {}

    def test_an_agent_of_ones_own_can_be_supervised(self, supervise: Callable[..., Pid]) -> None:
        supervise([(Counter, 5)])
        assert [Counter.next(), Counter.next()] == [5, 6]


class TestUse:
    @pytest.mark.row("AG-02")
    def test_functions_read_and_change_the_state(self, agent: Pid) -> None:
        Agent.update(agent, lambda state: {**state, "hello": "world"})
        assert Agent.get(agent, lambda state: state["hello"]) == "world"
        assert Agent.get_and_update(agent, lambda state: (state["hello"], {})) == "world"
        assert Agent.get(agent, identity) == {}
        Agent.stop(agent)
        assert not process.is_alive(agent)

    def test_functions_run_in_the_agent(self, agent: Pid) -> None:
        Agent.update(agent, lambda state: COLOUR.set("red"))
        assert Agent.get(agent, lambda state: (process.self(), COLOUR.get())) == (agent, "red")
        assert COLOUR.get(None) is None

    def test_they_run_in_the_order_of_their_sending(self, agent: Pid) -> None:
        Agent.update(agent, lambda state: [])
        for number in range(10):
            Agent.cast(agent, lambda state, number=number: [*state, number])
        assert Agent.get(agent, identity) == list(range(10))

    def test_a_result_may_be_anything(self, agent: Pid) -> None:
        for value in (None, False, (), BadType("a value")):
            Agent.update(agent, lambda state, value=value: value)
            assert Agent.get(agent, identity) is value

    @pytest.mark.parametrize("use", [Agent.get, Agent.update, Agent.get_and_update])
    def test_a_function_that_raises_ends_the_agent(self, agent: Pid, use: Callable[..., Any]) -> None:
        with pytest.raises(ServerExit) as caught:
            use(agent, fail)
        assert isinstance(caught.value.reason, ZeroDivisionError)
        assert not process.is_alive(agent)

    @pytest.mark.parametrize("wrong", [None, 1, (1,), (1, 2, 3), [1, 2]])
    def test_get_and_update_needs_a_value_and_a_state(self, agent: Pid, wrong: Any) -> None:
        with pytest.raises(ServerExit) as caught:
            Agent.get_and_update(agent, lambda state: wrong)
        assert isinstance(caught.value.reason, BadReturn)
        assert "Agent.get_and_update returned" in str(caught.value.reason)

    def test_one_that_is_too_slow_goes_on(self, agent: Pid) -> None:
        with pytest.raises(CallTimeout):
            Agent.update(agent, lambda state: process.receive(lambda message: message == "go on"), timeout=1)
        send(agent, "go on")
        assert Agent.get(agent, identity) == "go on"

    def test_nobody_is_asked_where_there_is_no_agent(self) -> None:
        Agent.cast("nowhere", identity)
        for use in (Agent.get, Agent.update, Agent.get_and_update):
            with pytest.raises(NoProcess):
                use("nowhere", identity)
        with pytest.raises(NoProcess):
            Agent.stop("nowhere")

    @pytest.mark.parametrize("use", [Agent.get, Agent.update, Agent.get_and_update, Agent.cast])
    def test_what_cannot_be_called_is_refused_in_the_caller(self, agent: Pid, use: Callable[..., Any]) -> None:
        with pytest.raises(BadType, match="fn must be callable, got 'fn'"):
            use(agent, "fn")
        assert process.is_alive(agent)

    def test_other_messages_are_dropped(self, agent: Pid, caplog: pytest.LogCaptureFixture) -> None:
        send(agent, "message")
        assert Agent.get(agent, identity) == {}
        assert caplog.records == []

    def test_a_call_that_is_no_function_is_a_crash(self, agent: Pid) -> None:
        with pytest.raises(ServerExit) as caught:
            supervision.call(agent, "request")
        assert isinstance(caught.value.reason, NotImplementedError)

    def test_a_cast_that_is_no_function_is_a_crash(self, agent: Pid) -> None:
        ref = process.monitor(agent)
        supervision.cast(agent, "message")
        down = process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)
        assert isinstance(down.reason, NotImplementedError)

    def test_sys_sees_its_state(self, agent: Pid) -> None:
        assert supervision.sys.get_state(agent) == {}
        supervision.sys.replace_state(agent, lambda state: "replaced")
        assert Agent.get(agent, identity) == "replaced"

    def test_stop_gives_the_reason(self, agent: Pid) -> None:
        ref = process.monitor(agent)
        Agent.stop(agent, "shutdown", 1_000)
        assert process.receive(lambda message: getattr(message, "ref", None) is ref).reason == "shutdown"

    def test_one_that_asks_itself_crashes(self, agent: Pid) -> None:
        with pytest.raises(ServerExit) as caught:
            Agent.update(agent, lambda state: Agent.get(agent, identity))
        assert isinstance(caught.value.reason, CallError)

    def test_a_function_may_kill_the_agent(self, agent: Pid) -> None:
        with pytest.raises(ServerExit) as caught:
            Agent.get(agent, lambda state: process.exit(process.self(), "kill"))
        assert caught.value.reason == "killed"

    def test_a_crash_in_an_update_that_nobody_waits_for_is_heard_by_the_linked(self) -> None:
        pid = Agent.start_link(dict)
        Agent.cast(pid, fail)
        exit_ = process.receive(Exit, timeout=DEADLINE)
        assert exit_.pid is pid
        assert isinstance(exit_.reason, ZeroDivisionError)
