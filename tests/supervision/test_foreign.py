from __future__ import annotations

import threading
from typing import Any

import pytest

import supervision
from supervision import Actor, Pid, ProcessExit, Reply, process
from supervision.messages import Down, Exit
from tests.supervision.runtime import PATIENCE, eventually


def in_thread(work: Any) -> Any:
    """What ``work`` returns in a thread that begins and ends with it."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return result[0]


class TestAdoption:
    def test_a_thread_gets_one_pid_for_life(self) -> None:
        first, second = in_thread(lambda: (process.self(), process.self()))
        assert first is second

    def test_two_threads_get_two_pids(self) -> None:
        assert in_thread(process.self) is not in_thread(process.self)

    def test_it_traps_exits(self) -> None:
        info = in_thread(lambda: process.info(process.self()))
        assert info is not None
        assert info.trap_exit

    def test_a_thread_that_only_sends_or_casts_is_not_adopted(self) -> None:
        class Sink(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply(request, state)

        pid = Sink.start_link()

        def send_and_count() -> tuple[list[Pid], list[Pid]]:
            before = process.pids()
            process.is_alive(pid)
            supervision.cast("nobody", "message")
            return before, process.pids()

        before, after = in_thread(send_and_count)
        assert before == after
        supervision.stop(pid)


class TestEndOfTheThread:
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    @pytest.mark.parametrize("error", [None, ValueError("as the test wants it"), SystemExit()])
    def test_it_ends_the_process_normally_however_it_comes(self, error: BaseException | None) -> None:
        pids: list[Pid] = []
        adopted, go_on = threading.Event(), threading.Event()

        def live() -> None:
            pids.append(process.self())
            adopted.set()
            assert go_on.wait(PATIENCE)
            if error is not None:
                raise error

        thread = threading.Thread(target=live)
        thread.start()
        assert adopted.wait(PATIENCE)
        ref = process.monitor(pids[0])
        go_on.set()
        assert process.receive(Down, timeout=10_000) == Down(ref, pids[0], "normal")
        thread.join()

    def test_its_links_hear_of_it(self) -> None:
        trapping = threading.Event()

        def trap() -> None:
            process.trap_exit(True)
            trapping.set()
            heard.append(process.receive(Exit, timeout=10_000))

        heard: list[Exit] = []
        pid, ref = process.spawn_monitor(trap)
        assert trapping.wait(PATIENCE)

        def link() -> Pid:
            process.link(pid)
            return process.self()

        linked = in_thread(link)
        assert process.receive(Down, timeout=10_000) == Down(ref, pid, "normal")
        assert heard == [Exit(linked, "normal")]

    def test_thousands_of_threads_leave_nothing_behind(self) -> None:
        before = process.pids()
        for _ in range(300):
            in_thread(process.self)
        assert set(process.pids()) <= set(before)


class TestKill:
    def test_it_ends_a_wait_of_the_library(self) -> None:
        def wait() -> list[Any]:
            mine = process.self()
            pids.append(mine)
            try:
                process.receive(timeout=10_000)
            except supervision.Killed:
                return [mine, process.self()]
            return []

        pids: list[Pid] = []
        outcome: list[Any] = []
        thread = threading.Thread(target=lambda: outcome.extend(wait()))
        thread.start()
        assert eventually(lambda: bool(pids) and pids[0]._process.parked is not None)
        process.exit(pids[0], "kill")
        assert not process.is_alive(pids[0])
        thread.join(PATIENCE)
        assert outcome[0] is pids[0]
        assert outcome[1] is not pids[0]  # adopted anew


class TestExceptionsOfTheLibrary:
    def test_process_exit_is_an_ordinary_exception_to_a_foreign_thread(self) -> None:
        def leave() -> str:
            try:
                raise ProcessExit("reason")
            except ProcessExit as error:
                return str(error.reason)

        assert in_thread(leave) == "reason"
