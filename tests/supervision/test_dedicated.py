from __future__ import annotations

import threading
from typing import Any

import pytest

import supervision
from supervision import Actor, NoReply, Ok, Pid, Reply, StartError, dedicated, process
from supervision.messages import Down

PATIENCE = 10.0


class Where(Actor):
    """Says on which thread each callback ran."""

    dedicated_thread = True

    def init(self, arg: Any) -> Ok:
        return Ok([threading.current_thread()])

    def handle_call(self, request: Any, caller: Any, state: list[threading.Thread]) -> Reply:
        state.append(threading.current_thread())
        return Reply(state, state)

    def handle_cast(self, message: Any, state: list[threading.Thread]) -> NoReply:
        state.append(threading.current_thread())
        message()
        return NoReply(state)


def down_of(pid: Pid) -> Any:
    ref = process.monitor(pid)
    process.unlink(pid)
    process.exit(pid, "kill")
    down = process.receive(Down, timeout=10_000)
    assert down.ref is ref
    return down.reason


class TestThread:
    def test_all_callbacks_run_on_one_thread_which_nobody_else_uses(self) -> None:
        first, second = Where.start_link(), Where.start_link()
        for _ in range(20):
            threads = {*supervision.call(first, "where"), *supervision.call(second, "where")}
        assert len(threads) == 2
        for pid in (first, second):
            supervision.stop(pid)

    def test_it_bears_the_label(self) -> None:
        pid = Where.start_link(label="database")
        (thread, *_) = supervision.call(pid, "where")
        assert thread.name == "database"
        supervision.stop(pid)

    def test_it_ends_with_the_actor(self) -> None:
        for ending in (supervision.stop, down_of):
            pid = Where.start_link()
            (thread, *_) = supervision.call(pid, "where")
            ending(pid)
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def test_a_call_without_a_deadline_does_not_run_the_actor_on_another_thread(self) -> None:
        class Caller(Actor):
            def handle_call(self, request: Pid, caller: Any, state: Any) -> Reply:
                return Reply(supervision.call(request, "where", supervision.INFINITY), state)

        pid, caller = Where.start_link(), Caller.start_link()
        assert len({*supervision.call(caller, pid), *supervision.call(caller, pid)}) == 1
        supervision.stop(pid)
        supervision.stop(caller)

    def test_the_start_option_prevails_over_the_class(self) -> None:
        pid = Where.start_link(dedicated_thread=False)
        assert supervision.call(pid, "where")[0].name.startswith("supervision-worker")
        supervision.stop(pid)


class TestEnd:
    def test_one_that_is_killed_in_a_callback_is_dead_at_once_and_its_thread_is_pushed_out(self) -> None:
        spinning = threading.Event()

        def spin() -> None:
            spinning.set()
            while True:
                pass

        pid = Where.start_link()
        (thread, *_) = supervision.call(pid, "where")
        supervision.cast(pid, spin)
        assert spinning.wait(PATIENCE)
        assert down_of(pid) == "killed"
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_a_callback_that_raises_ends_it_with_the_exception(self) -> None:
        error = ValueError("as the test wants it")

        def fail() -> None:
            raise error

        pid = Where.start()
        ref = process.monitor(pid)
        supervision.cast(pid, fail)
        assert process.receive(Down, timeout=10_000) == Down(ref, pid, error)

    def test_init_that_fails_leaves_no_thread(self) -> None:
        class Failing(Actor):
            dedicated_thread = True

            def init(self, arg: Any) -> Ok:
                raise ValueError("no")

        before = set(threading.enumerate())
        with pytest.raises(StartError):
            Failing.start(label="failing")
        for thread in set(threading.enumerate()) - before:
            thread.join(PATIENCE)
        assert "failing" not in [thread.name for thread in threading.enumerate()]

    def test_without_a_thread_left_in_the_system_the_start_fails_and_nothing_remains(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class NoThread(threading.Thread):
            def start(self) -> None:
                raise RuntimeError("can't start new thread")

        monkeypatch.setattr(dedicated.threading, "Thread", NoThread)
        before = process.pids()
        with pytest.raises(StartError) as failure:
            Where.start_link(name="dedicated")
        assert isinstance(failure.value.__cause__, RuntimeError)
        assert process.pids() == before
        assert process.whereis("dedicated") is None


class TestMail:
    def test_a_storm_of_senders_loses_no_message(self) -> None:
        senders, each = 4, 500
        complete, seen = threading.Event(), list[int]()

        class Counter(Actor):
            dedicated_thread = True

            def handle_info(self, message: Any, state: Any) -> NoReply:
                seen.append(message)
                if len(seen) == senders * each:
                    complete.set()
                return NoReply(state)

        pid = Counter.start_link()
        threads = [
            threading.Thread(target=lambda: [process.send(pid, number) for number in range(each)])
            for _ in range(senders)
        ]
        for thread in threads:
            thread.start()
        assert complete.wait(PATIENCE * 2)
        for thread in threads:
            thread.join()
        supervision.stop(pid)

    def test_timeouts_of_callbacks_fire(self) -> None:
        class Timing(Actor):
            dedicated_thread = True

            def handle_call(self, request: Any, caller: Any, state: Any) -> NoReply:
                return NoReply(caller, timeout=5)

            def handle_info(self, message: Any, state: Any) -> NoReply:
                supervision.reply(state, message)
                return NoReply(None)

        pid = Timing.start_link()
        assert supervision.call(pid, "request") is supervision.TIMEOUT
        supervision.stop(pid)
