from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import supervision
from supervision import Actor, Killed, NoProcess, NoReply, Reply, ServerExit, death, process, threads
from supervision.death import STUCK_AFTER_SECONDS, _push_again
from supervision.messages import INFINITY, Down
from supervision.threads import Interpreter, ThreadRecord, current, end_quietly, library_call, strike
from tests.supervision.runtime import PATIENCE, eventually, killed


class TestKillOfARunningProcess:
    def test_one_that_computes_is_pushed_out_of_its_code(self) -> None:
        begun, left = list[bool](), list[BaseException]()

        def compute() -> None:
            try:
                begun.append(True)
                while True:
                    pass
            except BaseException as error:
                left.append(error)
                raise

        pid = process.spawn(compute)
        assert eventually(lambda: bool(begun))
        killed(pid)
        assert eventually(lambda: len(left) == 1)
        assert isinstance(left[0], Killed)

    def test_its_thread_runs_no_other_process(self) -> None:
        """What was interrupted may have left its mark on the thread, as ``asyncio.run`` does."""
        workers = list[threading.Thread]()

        def compute() -> None:
            workers.append(threading.current_thread())
            while True:
                pass

        pid = process.spawn(compute)
        assert eventually(lambda: bool(workers))
        killed(pid)
        assert eventually(lambda: not workers[0].is_alive())

    def test_who_has_it_run_in_place_goes_on_to_the_end_of_the_callback_and_then_elsewhere(self) -> None:
        workers = list[threading.Thread]()

        class Callee(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> NoReply:
                workers.append(threading.current_thread())
                while True:
                    pass

        class Caller(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                workers.append(threading.current_thread())
                if request is not None:
                    with pytest.raises(ServerExit):
                        supervision.call(request, "compute", timeout=INFINITY)
                    workers.append(threading.current_thread())
                return Reply(threading.current_thread(), state)

        callee, caller = Callee.start(), Caller.start()
        answer = supervision.send_request(caller, callee)
        assert eventually(lambda: len(workers) == 2)
        killed(callee)
        struck: Any = supervision.receive_response(answer)[1]
        assert workers == [struck] * 3
        assert eventually(lambda: not struck.is_alive())
        assert supervision.call(caller, None) is not struck
        killed(caller)

    def test_one_that_swallows_it_and_goes_on_is_pushed_out_again_ever_more_rarely(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        begun, met, over, later = list[str](), list[str](), list[bool](), list[float]()

        def compute() -> None:  # by itself: CPython 3.13 leaves the jump of a loop out of the ``try`` around it
            while not over:
                pass

        def stubborn() -> None:
            for time in ("first", "second", "third"):
                try:
                    begun.append(time)
                    compute()
                except Killed:
                    met.append(time)

        monkeypatch.setattr(death, "_push_later", lambda process, seconds: later.append(seconds))
        pid = process.spawn(stubborn)
        assert eventually(lambda: bool(begun))
        killed(pid)
        assert eventually(lambda: len(begun) == 2)
        _push_again((pid._process, later[0]))  # what a timer does after so long
        assert eventually(lambda: len(begun) == 3)
        _push_again((pid._process, later[1]))
        assert eventually(lambda: met == ["first", "second", "third"])
        assert later == [STUCK_AFTER_SECONDS, 2 * STUCK_AFTER_SECONDS, 4 * STUCK_AFTER_SECONDS]
        assert eventually(lambda: caplog.text.count("is stuck in") == 1)

    def test_one_that_swallows_it_meets_it_again_at_its_next_call_of_the_library(self) -> None:
        begun, met = list[bool](), list[str]()

        def stubborn() -> None:
            try:
                begun.append(True)
                while True:
                    pass
            except Killed:
                met.append("at once")
            for call in (process.trap_exit, process.sleep, supervision.cast, process.send):
                try:
                    call(*arguments[call])
                except Killed:
                    met.append(call.__name__)
            finished.set()

        arguments: dict[Any, Any] = {
            process.trap_exit: (True,),
            process.sleep: (0,),
            supervision.cast: (process.self(), "message"),
            process.send: (process.self(), "message"),
        }

        finished = threading.Event()
        pid = process.spawn(stubborn)
        assert eventually(lambda: bool(begun))
        killed(pid)
        assert finished.wait(PATIENCE)
        assert met == ["at once", "trap_exit", "sleep", "cast", "send"]

    def test_what_it_still_does_reaches_nobody(self) -> None:
        """It is dead while its code goes on in C; when the code comes back, the library refuses it."""
        entered, leave, finished = threading.Event(), threading.Event(), threading.Event()
        refused: list[bool] = []
        me = process.self()

        def late() -> None:
            try:
                entered.set()
                while not leave.is_set():
                    try:
                        leave.wait()
                    except Killed:
                        continue
                process.send(me, "too late")
            except Killed:
                refused.append(True)
            finally:
                finished.set()

        pid = process.spawn(late)
        assert entered.wait(PATIENCE)
        killed(pid)
        leave.set()
        assert finished.wait(PATIENCE)
        assert refused == [True]
        with pytest.raises(supervision.ReceiveTimeout):
            process.receive(timeout=0)

    def test_a_reply_of_a_dead_actor_reaches_nobody(self) -> None:
        entered, leave = threading.Event(), threading.Event()

        class Late(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                entered.set()
                while not leave.is_set():
                    try:
                        leave.wait()
                    except Killed:
                        continue
                return Reply("too late", state)

        pid = Late.start()
        outcome: list[Any] = []

        def ask() -> None:
            try:
                outcome.append(supervision.call(pid, "request"))
            except supervision.ServerExit as error:
                outcome.append(error.reason)

        asking = threading.Thread(target=ask)
        asking.start()
        assert entered.wait(PATIENCE)
        killed(pid)
        asking.join(PATIENCE)
        leave.set()
        assert outcome == ["killed"]

    def test_one_killed_before_its_next_callback_does_not_begin_it(self) -> None:
        begun: list[str] = []

        class Two(Actor):
            def handle_info(self, message: Any, state: Any) -> NoReply:
                begun.append(message)
                process.exit(process.self(), "kill")
                return NoReply(state)

        pid = Two.start()
        ref = process.monitor(pid)
        supervision.sys.suspend(pid)
        process.send(pid, "first")
        process.send(pid, "second")
        supervision.sys.resume(pid)
        assert process.receive(Down, timeout=10_000).ref is ref
        assert eventually(lambda: not supervision.zombies())
        assert begun == ["first"]


class TestStrike:
    def test_it_never_hits_what_the_thread_does_next(self) -> None:
        """Kill at random moments, while short slices of others follow on the same worker."""
        astray: list[Any] = []

        class Innocent(Actor):
            def handle_info(self, message: Any, state: Any) -> NoReply:
                for _ in range(20):
                    pass
                return NoReply(state)

            def terminate(self, reason: Any, state: Any) -> None:
                astray.append(reason)

            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply(request, state)

        class Victim(Actor):
            def handle_info(self, message: int, state: Any) -> NoReply:
                for _ in range(message):
                    pass
                return NoReply(state)

        innocent = Innocent.start_link()
        for number in range(1_000):
            victim = Victim.start()
            process.send(victim, random.randrange(2_000))
            process.send(innocent, "work")
            process.exit(victim, "kill")
            assert supervision.call(innocent, number) == number
        assert astray == []
        assert process.is_alive(innocent)
        process.unlink(innocent)
        killed(innocent)

    def test_a_thread_in_the_librarys_own_code_is_not_struck(self) -> None:
        record, pid = ThreadRecord(), process.spawn(process.receive)
        strike(pid._process, record)
        assert record.struck is None
        killed(pid)

    def test_a_process_is_struck_once(self) -> None:
        begun, hits = list[bool](), list[int]()

        def stubborn() -> None:
            while True:
                try:
                    begun.append(True)
                    any(iter(lambda: bool(stop), True))  # no loop here: not every Python catches what hits a jump
                    return
                except Killed:
                    hits.append(1)

        stop: list[bool] = []
        pid = process.spawn(stubborn)
        assert eventually(lambda: bool(begun))
        record = pid._process.carrier
        assert record is not None
        killed(pid)
        assert eventually(lambda: len(hits) == 1)
        strike(pid._process, record)
        stop.append(True)
        assert eventually(lambda: not supervision.zombies())
        assert hits == [1]

    def test_one_that_has_not_hit_yet_is_taken_back(self) -> None:
        """What a killer does while the thread is on its way out of the code it was to be pushed out of."""
        pid = process.spawn(process.receive)
        victim = pid._process
        killed(pid)
        victim.struck = False
        record = current.record
        record.exposed = victim
        hit = False
        try:
            strike(victim, record)
            record.settle(victim)
        except Killed:  # it was quicker
            hit = True
            record.settle(victim)
        finally:
            record.exposed = None
        assert record.struck is None or hit
        for _ in range(1_000):
            pass  # nothing hits here


class TestTheEndOfAThread:
    def test_without_the_gil_no_code_of_python_runs_for_it_in_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(threads, "GIL_ENABLED", False)
        weak_set: Any = threading._dangling  # type: ignore[attr-defined]

        def work() -> None:
            seen.append(threading.current_thread() in weak_set)
            end_quietly()
            seen.append(threading.current_thread() in weak_set)

        seen: list[bool] = []
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert seen == [True, False]


class TestTheEndOfTheInterpreter:
    def test_no_thread_stops_the_others_once_it_has_come(self) -> None:
        interpreter, looks = Interpreter(), list[str]()
        assert interpreter.stop_threads(lambda: looks.append("in time"))
        interpreter.end()
        assert not interpreter.stop_threads(lambda: looks.append("too late"))
        assert looks == ["in time"]

    def test_it_waits_for_one_that_is_at_it(self) -> None:
        interpreter = Interpreter()
        begun, leave = threading.Event(), threading.Event()
        looking = threading.Thread(target=interpreter.stop_threads, args=(lambda: (begun.set(), leave.wait(PATIENCE)),))
        looking.start()
        assert begun.wait(PATIENCE)
        ending = threading.Thread(target=interpreter.end)
        ending.start()
        assert not interpreter.ended
        leave.set()
        looking.join(PATIENCE)
        ending.join(PATIENCE)
        assert interpreter.ended


class TestLibraryCall:
    def test_it_masks_its_caller_and_exposes_it_again(self) -> None:
        seen: list[Any] = []

        @library_call
        def look() -> None:
            seen.append(current.record.exposed)

        def run() -> None:
            seen.append(current.record.exposed)
            look()
            seen.append(current.record.exposed)

        pid, ref = process.spawn_monitor(run)
        assert process.receive(Down, timeout=10_000).ref is ref
        assert seen == [pid._process, None, pid._process]

    def test_its_exceptions_pass_and_the_caller_is_exposed_again(self) -> None:
        exposed: list[Any] = []

        def run() -> None:
            with pytest.raises(NoProcess):
                process.send("nobody", "message")
            with pytest.raises(NoProcess):
                supervision.call("nobody", "request")
            exposed.append(current.record.exposed)

        pid, ref = process.spawn_monitor(run)
        assert process.receive(Down, timeout=10_000) == Down(ref, pid, "normal")
        assert exposed == [pid._process]

    @pytest.mark.parametrize("send", [process.send, supervision.cast])
    def test_where_it_is_written_out_a_failure_exposes_the_caller_again(
        self, send: Callable[[Any, Any], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        exposed: list[Any] = []

        def fail(target: Any, message: Any) -> None:
            exposed.append(current.record.exposed)
            raise RecursionError

        def run() -> None:
            with pytest.raises(RecursionError):
                send(process.self(), "message")
            exposed.append(current.record.exposed)

        monkeypatch.setattr(sys.modules[send.__module__], "deliver", fail)
        pid, ref = process.spawn_monitor(run)
        assert process.receive(Down, timeout=10_000) == Down(ref, pid, "normal")
        assert exposed == [None, pid._process]

    def test_it_keeps_the_name_and_text_of_what_it_wraps(self) -> None:
        assert process.receive.__name__ == "receive"
        assert process.receive.__doc__ is not None


class TestParkers:
    def test_each_level_has_its_own_which_is_locked(self) -> None:
        record = ThreadRecord()
        parkers = [record.parker]
        for _ in range(3):
            record.descend()
            parkers.append(record.parker)
        assert len({id(parker) for parker in parkers}) == 4
        assert all(parker.locked() for parker in parkers)
        for parker in reversed(parkers[:-1]):
            record.ascend()
            assert record.parker is parker

    def test_a_renewed_one_is_locked_and_remembered_for_its_level(self) -> None:
        record = ThreadRecord()
        record.descend()
        old = record.parker
        record.renew_parker()
        assert record.parker is not old
        assert record.parker.locked()
        new = record.parker
        record.ascend()
        record.descend()
        assert record.parker is new
