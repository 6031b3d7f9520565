"""Calls that a coroutine awaits, without a thread for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from supervision import names
from supervision.arguments import milliseconds
from supervision.calls import Call, outcome
from supervision.errors import CallError, CallTimeout, NoProcess
from supervision.exits import describe, is_reason
from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.scheduler import deliver
from supervision.signals import forget_monitor, unwatch, watch, watch_for
from supervision.threads import current, library_call

__all__ = ["AsyncCall", "acall"]


# How long the loop of a killed process may go on after it has been stopped in vain.
_STOP_AGAIN_SECONDS: Final = 0.05


class AsyncCall(Call):
    """A call that a coroutine awaits: its end sets a future, in the thread of the event loop."""

    __slots__ = ("asker", "future", "loop")

    def __init__(self, request: Any) -> None:
        super().__init__(current.record, None, request)
        self.asker = current.record.process  # whose coroutine it is; None for a thread that is no process yet
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[tuple[bool, Any]] = self.loop.create_future()

    def fire(self, value: Any = None) -> bool:
        """End the wait with ``value``; False if it has ended already, or there is no loop any more to be told."""
        return self.fired.acquire(False) and self._call_soon(self._settle, value)

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """End the wait because the callee has ended; or the event loop, because whoever runs it has been killed."""
        if process is not self.asker:
            return super().down(ref, process, reason)
        if is_reason(reason, "normal"):  # it has left the loop, which somebody else may run
            return None
        # Twice: what pushes the thread out may hit the first, and the loop catches that and goes on.
        self._call_soon(self._stop_loop)
        self._call_soon(self._stop_loop)
        return None

    def _stop_loop(self) -> None:
        """Stop the event loop of a killed process, again and again: it runs once more to cancel its tasks."""
        self.loop.stop()
        self.loop.call_later(_STOP_AGAIN_SECONDS, self._stop_loop)

    def _call_soon(self, function: Callable[..., object], *args: Any) -> bool:
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _settle(self, value: tuple[bool, Any]) -> None:
        if not self.future.done():
            self.future.set_result(value)


async def acall(dest: Any, request: Any, timeout: float = 5_000) -> Any:
    """``call`` for coroutines: awaits the answer without a thread. Cancelling it drops the answer.

    Args:
        dest: a pid, a registered name or a via.
        request: what ``handle_call`` gets, with a caller whose ``pid`` is None.
        timeout: milliseconds, or INFINITY.

    Raises:
        NoProcess, CallTimeout, ServerExit, CallError: as ``call``.

    Counterpart: ``gen_server:call/3``.
    """
    milliseconds("timeout", timeout)
    question = AsyncCall(request)
    target = _post(dest, question)
    try:
        value = await asyncio.wait_for(question.future, None if timeout == INFINITY else timeout / 1000)
    except TimeoutError:
        raise CallTimeout(f"{dest!r} did not answer {describe(request)} within {timeout} milliseconds") from None
    finally:
        # Not of the dead: their end has done it, and instead of the refusal the loop sees a task that is cancelled.
        if question.asker is None or not question.asker.dead:
            _withdraw(target, question)
    return outcome(value, dest)


@library_call
def _post(dest: Any, question: AsyncCall) -> Process:
    target = names.resolve(dest)
    if target is current.record.process:
        raise CallError(f"a process cannot call itself: {dest!r}")
    asker = question.asker
    # On behalf of the process, since one that is killed while it awaits is refused when it would withdraw.
    if not (watch(target, question, question) if asker is None else watch_for(asker, target, question, question)):
        raise NoProcess(dest)
    if asker is not None:
        watch(asker, question, question)  # if it has been killed already, nobody comes so far as to wait
    deliver(target, question)
    return target


@library_call
def _withdraw(target: Process, question: AsyncCall) -> None:
    question.fired.acquire(False)
    if question.asker is not None:
        forget_monitor(question.asker, question)
        unwatch(question.asker, question)
    unwatch(target, question)
