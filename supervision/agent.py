"""Agents: a state that others read and change by functions, which run in the agent's process.

Counterpart: ``Agent``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from supervision import calls
from supervision.actor import Actor
from supervision.arguments import a_callable
from supervision.calls import Caller, call
from supervision.errors import BadReturn
from supervision.messages import INFINITY
from supervision.process_table import Pid
from supervision.results import Ignore, NoReply, Ok, Reply, Stop

__all__ = ["Agent"]


T = TypeVar("T")


class _Get(NamedTuple):
    fn: Callable[[Any], Any]


class _Update(NamedTuple):
    fn: Callable[[Any], Any]


class _GetAndUpdate(NamedTuple):
    fn: Callable[[Any], tuple[Any, Any]]


class Agent(Actor):
    """Keeps a state. Every function given to it runs in the agent's process, one at a time.

    What such a function raises ends the agent, and reaches who called as ``ServerExit`` with the exception as its
    ``reason``. As a child of a supervisor: ``(Agent, fn)``.

    Counterpart: ``Agent``.
    """

    def init(self, arg: Callable[[], Any]) -> Ok | Ignore | Stop:
        """Make the first state."""
        return Ok(arg())

    @classmethod
    def start_link(cls, arg: Any = None, /, **options: Any) -> Pid:
        """Starts an agent linked to the caller, with the state that ``arg()`` returns.

        Args:
            arg: a function without arguments.
            **options: as of an Actor: ``name``, ``timeout`` (milliseconds for the function) and so on.

        Raises:
            BadType: ``arg`` cannot be called.
            AlreadyStarted, StartTimeout, StartError: as of an Actor.

        Counterpart: ``Agent.start_link/2``.
        """
        return super().start_link(a_callable("fn", arg), **options)

    @classmethod
    def start(cls, arg: Any = None, /, **options: Any) -> Pid:
        """Starts an agent that is not linked; otherwise like ``start_link``.

        Counterpart: ``Agent.start/2``.
        """
        return super().start(a_callable("fn", arg), **options)

    @staticmethod
    def get(agent: Any, fn: Callable[[Any], T], timeout: float = 5_000) -> T:
        """Returns ``fn(state)``.

        Args:
            agent: a pid, a registered name or a via.
            fn: runs in the agent.
            timeout: milliseconds, or INFINITY; the function goes on when it runs out.

        Raises:
            NoProcess, CallTimeout, ServerExit, CallError: as ``call``.

        Counterpart: ``Agent.get/3``.
        """
        return call(agent, _Get(a_callable("fn", fn)), timeout)  # type: ignore[no-any-return]

    @staticmethod
    def update(agent: Any, fn: Callable[[Any], Any], timeout: float = 5_000) -> None:
        """Makes ``fn(state)`` the state, and returns when that is done. Arguments and errors are those of ``get``.

        Counterpart: ``Agent.update/3``.
        """
        call(agent, _Update(a_callable("fn", fn)), timeout)

    @staticmethod
    def get_and_update(agent: Any, fn: Callable[[Any], tuple[T, Any]], timeout: float = 5_000) -> T:
        """Returns the value and keeps the state of ``fn(state)``, which returns ``(value, state)``.

        Anything else that it returns ends the agent with BadReturn. Arguments and errors are those of ``get``.

        Counterpart: ``Agent.get_and_update/3``.
        """
        return call(agent, _GetAndUpdate(a_callable("fn", fn)), timeout)  # type: ignore[no-any-return]

    @staticmethod
    def cast(agent: Any, fn: Callable[[Any], Any]) -> None:
        """Makes ``fn(state)`` the state, without waiting for it, and without an error if there is no such agent.

        Counterpart: ``Agent.cast/2``.
        """
        calls.cast(agent, _Update(a_callable("fn", fn)))

    @staticmethod
    def stop(agent: Any, reason: Any = "normal", timeout: float = INFINITY) -> None:
        """Stops an agent, after what it has been asked already, and waits until it has ended.

        Args:
            agent: a pid, a registered name or a via.
            reason: what it ends with.
            timeout: milliseconds, or INFINITY.

        Raises:
            NoProcess, CallTimeout, ServerExit, CallError: as ``stop``.

        Counterpart: ``Agent.stop/3``.
        """
        calls.stop(agent, reason, timeout)

    def handle_call(self, request: Any, caller: Caller, state: Any) -> Reply | NoReply | Stop:
        """Run a function that somebody waits for."""
        match request:
            case _Get(fn):
                return Reply(fn(state), state)
            case _Update(fn):
                return Reply(None, fn(state))
            case _GetAndUpdate(fn):
                return self._get_and_update(fn, state)
        return super().handle_call(request, caller, state)

    def handle_cast(self, message: Any, state: Any) -> NoReply | Stop:
        """Run a function that nobody waits for."""
        match message:
            case _Update(fn):
                return NoReply(fn(state))
        return super().handle_cast(message, state)

    def handle_info(self, message: Any, state: Any) -> NoReply | Stop:
        """Drop it."""
        return NoReply(state)

    def _get_and_update(self, fn: Callable[[Any], tuple[Any, Any]], state: Any) -> Reply:
        result = fn(state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise BadReturn(type(self), "get_and_update", result, "(value, state)")
        return Reply(*result)
