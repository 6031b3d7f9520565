"""acall: calls from asyncio programs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from supervision import (
    INFINITY,
    Actor,
    BadType,
    CallError,
    CallTimeout,
    NoProcess,
    NoReply,
    Pid,
    Reply,
    ServerExit,
    Stop,
    acall,
    call,
    cast,
    process,
    reply,
    stop,
    zombies,
)
from supervision.async_calls import AsyncCall
from tests.supervision.runtime import eventually


class Keeper(Actor):
    """Keeps its callers until it is told to answer them."""

    def init(self, arg: Any) -> Any:
        self.kept: list[Any] = []
        return super().init(arg)

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        if request == "keep":
            self.kept.append(caller)
            return NoReply(state)
        if request == "stop":
            return Stop(("shutdown", "asked"), state)
        return Reply((request, len(self.kept), caller.pid), state)

    def handle_cast(self, message: Any, state: Any) -> NoReply:
        for caller in self.kept:
            reply(caller, message)
        return NoReply(state)


@pytest.fixture
def keeper() -> Iterator[Pid]:
    pid = Keeper.start()
    yield pid
    if process.is_alive(pid):
        stop(pid)


async def until_kept(keeper: Pid, count: int) -> None:
    while (await acall(keeper, "how many"))[1] < count:
        await asyncio.sleep(0)


def close(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop that a kill has left, whatever it was at."""
    for task in asyncio.all_tasks(loop):
        task.get_coro().close()  # type: ignore[union-attr]
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop._thread_id = None  # type: ignore[attr-defined]  # the kill may have hit the end of its run
    loop.close()


class TestAcall:
    @pytest.mark.parametrize("timeout", [5_000, INFINITY])
    def test_the_answer_comes_back(self, keeper: Pid, timeout: float) -> None:
        assert asyncio.run(acall(keeper, "question", timeout)) == ("question", 0, None)

    def test_many_calls_wait_without_a_thread_for_each(self, keeper: Pid) -> None:
        async def main() -> list[Any]:
            before = threading.active_count()
            calls = [asyncio.create_task(acall(keeper, "keep")) for _ in range(500)]
            await until_kept(keeper, 500)
            assert threading.active_count() <= before + 5
            cast(keeper, "answer")
            return await asyncio.gather(*calls)

        assert asyncio.run(main()) == ["answer"] * 500

    def test_nobody_to_call_raises(self) -> None:
        with pytest.raises(NoProcess):
            asyncio.run(acall("nobody has this name", "question"))

    def test_one_that_is_too_slow_raises_and_its_late_answer_is_dropped(self, keeper: Pid) -> None:
        async def main() -> None:
            with pytest.raises(CallTimeout, match="did not answer 'keep' within 10 milliseconds"):
                await acall(keeper, "keep", 10)
            cast(keeper, "late")
            assert (await acall(keeper, "next"))[0] == "next"

        asyncio.run(main())

    def test_a_server_that_ends_raises(self, keeper: Pid) -> None:
        with pytest.raises(ServerExit) as caught:
            asyncio.run(acall(keeper, "stop"))
        assert caught.value.reason == ("shutdown", "asked")

    def test_a_server_that_is_killed_raises(self, keeper: Pid) -> None:
        async def main() -> Any:
            waiting = asyncio.create_task(acall(keeper, "keep"))
            await until_kept(keeper, 1)
            process.exit(keeper, "kill")
            return await waiting

        with pytest.raises(ServerExit) as caught:
            asyncio.run(main())
        assert caught.value.reason == "killed"

    def test_a_cancelled_call_drops_its_answer_and_watches_no_more(self, keeper: Pid) -> None:
        async def main() -> None:
            waiting = asyncio.create_task(acall(keeper, "keep"))
            await until_kept(keeper, 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            cast(keeper, "late")
            assert (await acall(keeper, "next"))[0] == "next"

        asyncio.run(main())
        assert not keeper._process.monitored_by

    def test_a_process_that_is_killed_in_one_is_woken_and_leaves_no_monitor_behind(self, keeper: Pid) -> None:
        loop = asyncio.new_event_loop()
        caller = process.spawn(lambda: loop.run_until_complete(acall(keeper, "keep", INFINITY)))
        assert eventually(lambda: call(keeper, "count")[1] == 1)
        process.exit(caller, "kill")
        assert not keeper._process.monitored_by
        assert eventually(lambda: not zombies())
        close(loop)

    def test_a_loop_that_its_thread_has_left_goes_on_in_another(self, keeper: Pid) -> None:
        def begin() -> None:
            process.self()
            loop.run_until_complete(until_kept(keeper, 1))

        loop = asyncio.new_event_loop()
        waiting = loop.create_task(acall(keeper, "keep"))
        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        assert eventually(lambda: not keeper._process.monitored_by)
        cast(keeper, "late")
        assert loop.run_until_complete(waiting) == "late"
        loop.close()

    def test_a_call_that_has_ended_is_no_monitor_of_the_caller_any_more(self, keeper: Pid) -> None:
        assert asyncio.run(acall(keeper, "count"))[0] == "count"
        assert not process.self()._process.monitors
        assert not process.self()._process.monitored_by

    def test_an_answer_after_the_loop_is_closed_harms_nobody(self, keeper: Pid) -> None:
        loop = asyncio.new_event_loop()
        waiting = loop.create_task(acall(keeper, "keep"))
        loop.run_until_complete(until_kept(keeper, 1))
        loop.close()
        cast(keeper, "too late")
        assert call(keeper, "next")[0] == "next"
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]
        waiting.get_coro().close()  # type: ignore[union-attr]

    @pytest.mark.parametrize("timeout", [0.5, "1", None])
    def test_a_bad_timeout_is_refused(self, keeper: Pid, timeout: Any) -> None:
        with pytest.raises(BadType, match="timeout must be a whole number of milliseconds or INFINITY"):
            asyncio.run(acall(keeper, "question", timeout))

    def test_an_actor_cannot_call_itself(self) -> None:
        class Selfish(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                with pytest.raises(CallError, match="a process cannot call itself"):
                    asyncio.run(acall(process.self(), "question"))
                return Reply("survived", state)

        pid = Selfish.start()
        assert call(pid, "try") == "survived"
        stop(pid)

    async def _outcome_after_cancelling(self) -> Any:
        errors = list[Any]()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
        question = AsyncCall("question")
        assert question.fire((True, "answer"))
        question.future.cancel()
        await asyncio.sleep(0)  # the loop is told of the answer here
        return question.future.cancelled() and not errors

    def test_an_answer_on_its_way_to_a_future_that_was_cancelled_is_dropped(self) -> None:
        assert asyncio.run(self._outcome_after_cancelling())

    def test_a_dead_process_is_nobody(self) -> None:
        pid = Keeper.start()
        process.exit(pid, "kill")
        with pytest.raises(NoProcess):
            asyncio.run(acall(pid, "question"))
