"""Starting an actor: what the starter learns, and that a failure leaves nothing behind."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from supervision import (
    INFINITY,
    Actor,
    BadReturn,
    BadType,
    Exit,
    Ignore,
    Ignored,
    NoReply,
    Ok,
    Pid,
    ProcessExit,
    ReceiveTimeout,
    Reply,
    StartError,
    StartTimeout,
    Stop,
    Task,
    call,
    cast,
    process,
    stop,
)

DEADLINE = 5_000


class Scripted(Actor):
    """``init`` does what its argument, a function, says."""

    def init(self, arg: Any) -> Any:
        return arg() if callable(arg) else Ok(arg)

    def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
        return Reply(request(), state)


STARTS = [Scripted.start, Scripted.start_link]


def raise_value_error() -> None:
    raise ValueError("in init")


def leave() -> None:
    raise ProcessExit("left")


def heard_nothing() -> bool:
    try:
        process.receive(timeout=0)
    except ReceiveTimeout:
        return True
    return False


def reason_of(body: Callable[..., Any], *args: Any) -> Any:
    _, ref = process.spawn_monitor(body, *args)
    return process.receive(lambda message: message[0] is ref, timeout=DEADLINE).reason


class TestSuccess:
    @pytest.mark.row("PL-01", "GS-01")
    @pytest.mark.parametrize("start", STARTS)
    def test_the_starter_waits_until_init_has_returned(self, start: Any) -> None:
        done = []

        def work() -> Ok:
            process.sleep(5)
            done.append(True)
            return Ok()

        pid = start(work)
        assert done == [True]
        assert process.is_alive(pid)
        stop(pid)

    @pytest.mark.row("GS-09")
    def test_only_start_link_links(self) -> None:
        me = process.self()
        unlinked, linked = Scripted.start(), Scripted.start_link()
        links = {pid: process.info(pid).links for pid in (me, unlinked, linked)}  # type: ignore[union-attr]
        assert links == {me: (linked,), unlinked: (), linked: (me,)}
        stop(unlinked)
        stop(linked)

    def test_a_worker_that_starts_actors_is_their_parent(self) -> None:
        def starter() -> None:
            pids = [Scripted.start_link(timeout=timeout) for timeout in (1_000, INFINITY)]
            assert all(process.info(pid).ancestors[0] is process.self() for pid in pids)  # type: ignore[union-attr]
            for pid in pids:
                stop(pid)

        assert reason_of(starter) == "normal"

    @pytest.mark.row("PL-01")
    def test_init_and_callbacks_run_on_no_thread_of_the_starter_if_it_is_foreign(self) -> None:
        pid = Scripted.start(lambda: Ok(threading.get_ident()))
        assert call(pid, threading.get_ident) != threading.get_ident()
        stop(pid)

    def test_the_argument_of_init_is_not_kept(self) -> None:
        class Argument:
            def __call__(self) -> Ok:
                return Ok()

        argument = Argument()
        alive = weakref.ref(argument)
        pid = Scripted.start(argument)
        del argument
        call(pid, lambda: None)
        gc.collect()
        assert alive() is None
        stop(pid)


class TestFailure:
    @pytest.mark.row("PL-02", "PL-04", "PL-07", "GS-07")
    @pytest.mark.parametrize("start", STARTS)
    @pytest.mark.parametrize("timeout", [DEADLINE, INFINITY])
    def test_an_exception_of_init_is_the_cause_of_the_error(self, start: Any, timeout: float) -> None:
        for _ in range(5):
            with pytest.raises(StartError) as caught:
                start(raise_value_error, timeout=timeout, name="resource")
            assert isinstance(caught.value.reason, ValueError)
            assert caught.value.__cause__ is caught.value.reason
            assert process.whereis("resource") is None
            assert heard_nothing()

    @pytest.mark.row("GS-05", "GS-07", "PL-04")
    @pytest.mark.parametrize("start", STARTS)
    @pytest.mark.parametrize(
        ("init", "reason"),
        [(lambda: Stop("stopped"), "stopped"), (leave, "left"), (lambda: Stop("normal"), "normal")],
    )
    def test_a_reason_is_told_and_no_exit_is_left(self, start: Any, init: Any, reason: Any) -> None:
        before = process.pids()
        with pytest.raises(StartError) as caught:
            start(init)
        assert caught.value.reason == reason
        assert caught.value.child_id is None
        assert heard_nothing()
        assert process.pids() == before

    @pytest.mark.row("GS-03", "PL-06")
    @pytest.mark.parametrize("start", STARTS)
    def test_ignore_is_told_apart_and_leaves_nothing(self, start: Any) -> None:
        before = process.pids()
        with pytest.raises(Ignored):
            start(Ignore, name="ignored")
        assert process.whereis("ignored") is None
        assert process.pids() == before
        assert heard_nothing()

    @pytest.mark.row("GS-06")
    @pytest.mark.parametrize("value", [4711, None, NoReply(1), Ok, Reply(1, 2)])
    def test_a_wrong_result_of_init_is_in_the_chain(self, value: Any) -> None:
        with pytest.raises(StartError) as caught:
            Scripted.start(lambda: value)
        cause = caught.value.__cause__
        assert isinstance(cause, BadReturn)
        assert (cause.callback, cause.value) == ("init", value)
        assert "Scripted.init returned" in str(cause)

    @pytest.mark.parametrize("timeout", [0.5, -1, "1"])
    def test_a_wrong_timeout_in_the_result_of_init_is_one_too(self, timeout: Any) -> None:
        with pytest.raises(StartError) as caught:
            Scripted.start(lambda: Ok(1, timeout))
        assert isinstance(caught.value.reason, BadReturn)

    @pytest.mark.row("PL-03", "GS-02")
    @pytest.mark.parametrize("start", STARTS)
    @pytest.mark.parametrize("blocks", ["in the library", "elsewhere"])
    def test_an_init_that_is_too_slow_is_killed(self, start: Any, blocks: str) -> None:
        started, release = [], threading.Event()

        def slow() -> Any:
            started.append(process.self())
            return process.receive() if blocks == "in the library" else release.wait(5)

        with pytest.raises(StartTimeout) as caught:
            start(slow, timeout=100, name="slow")
        assert isinstance(caught.value, StartError | TimeoutError)
        assert caught.value.reason == "timeout"
        assert process.whereis("slow") is None
        assert not any(process.is_alive(pid) for pid in started)
        release.set()
        assert heard_nothing()

    @pytest.mark.row("GS-02")
    def test_an_init_within_its_timeout_is_fine(self) -> None:
        stop(Scripted.start("state", timeout=1_000))

    def test_an_init_that_is_killed_is_a_failure_without_a_stray_exit(self) -> None:
        me = process.self()

        def wait() -> Any:
            process.send(me, process.self())
            return process.receive()

        def starter() -> None:
            process.trap_exit(True)
            with pytest.raises(StartError) as caught:
                Scripted.start_link(wait)
            assert caught.value.reason == "killed"
            assert heard_nothing()

        _, ref = process.spawn_monitor(starter)
        process.exit(process.receive(Pid, timeout=DEADLINE), "kill")
        assert process.receive(lambda message: message[0] is ref, timeout=DEADLINE).reason == "normal"

    @pytest.mark.row("PL-05", "GS-05")
    @pytest.mark.parametrize("init", [lambda: Stop("stopped"), raise_value_error])
    def test_a_starter_that_does_not_trap_dies_of_the_link(self, init: Any) -> None:
        def starter() -> None:
            with suppress(BaseException):
                Scripted.start_link(init)
            raise AssertionError("survived")

        reason = reason_of(starter)
        assert reason == "stopped" or isinstance(reason, ValueError)

    @pytest.mark.row("PL-06")
    @pytest.mark.parametrize("init", [Ignore, lambda: Stop("normal")])
    def test_a_starter_that_does_not_trap_survives_a_normal_end(self, init: Any) -> None:
        def starter() -> None:
            with pytest.raises((Ignored, StartError)):
                Scripted.start_link(init)
            raise ProcessExit("survived")

        assert reason_of(starter) == "survived"

    def test_a_class_that_cannot_be_instantiated_leaves_no_process(self) -> None:
        error = TypeError("abstract")

        class Abstract(Actor):
            def __init__(self) -> None:
                raise error

        before = process.pids()
        for start in (Abstract.start_link, Abstract.start, Abstract.start_monitor):
            with pytest.raises(StartError, match="abstract") as caught:
                start()
            assert caught.value.reason is caught.value.__cause__ is error
        assert process.pids() == before

    def test_a_normal_stop_of_init_is_a_failure_too(self) -> None:
        with pytest.raises(StartError) as caught:
            Scripted.start_link(lambda: Stop("normal"))
        assert caught.value.reason == "normal"
        assert heard_nothing()

    def test_terminate_does_not_run_after_a_failure(self) -> None:
        called = []

        class Tidy(Scripted):
            def init(self, arg: Any) -> Stop:
                process.trap_exit(True)
                return Stop("refused")

            def terminate(self, reason: Any, state: Any) -> None:
                called.append(reason)

        with pytest.raises(StartError):
            Tidy.start()
        assert not called

    def test_a_crash_after_init_is_an_exit_and_no_failure(self) -> None:
        error = ValueError("late")

        class Late(Actor):
            def init(self, arg: Any) -> Ok:
                return Ok(continue_with=None)

            def handle_continue(self, argument: Any, state: Any) -> Any:
                raise error

        pid = Late.start_link()
        assert process.receive(Exit, timeout=DEADLINE) == Exit(pid, error)


class TestFullStack:
    def test_an_actor_whose_init_could_not_begin_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any) -> None:
            raise RecursionError

        def starter() -> list[Pid]:
            before = set(process.pids())
            with pytest.raises(RecursionError):
                Scripted.start("state")
            return [pid for pid in process.pids() if pid not in before]

        monkeypatch.setattr(sys.modules["supervision.start"], "run_first", fail)
        assert Task.async_(starter).await_() == []


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"nmae": "x"}, "Scripted.start_link got an unknown option 'nmae'; did you mean 'name'"),
            ({"timeout": 0.5}, "timeout must be a whole number of milliseconds or INFINITY, got 0.5"),
            ({"dedicated_thread": 1}, "dedicated_thread must be True or False, got 1"),
            ({"hibernate_after": "x"}, "hibernate_after must be a whole number of milliseconds or INFINITY, got 'x'"),
        ],
    )
    def test_a_wrong_one_is_refused_before_anything_is_started(self, options: Any, text: str) -> None:
        before = process.pids()
        with pytest.raises(BadType) as caught:
            Scripted.start_link(None, **options)
        assert text in str(caught.value)
        assert process.pids() == before

    @pytest.mark.row("GS-68")
    def test_hibernate_after_is_accepted(self) -> None:
        pid = Scripted.start(hibernate_after=100)
        assert call(pid, lambda: "awake") == "awake"
        stop(pid)

    @pytest.mark.row("EX-26")
    def test_a_label_is_shown_and_init_may_change_it(self) -> None:
        def relabel() -> Ok:
            before = process.get_label(process.self())
            process.set_label(("second", before))
            return Ok()

        pid = Scripted.start(relabel, label="first")
        assert process.get_label(pid) == ("second", "first")
        stop(pid)
        unlabelled = Scripted.start()
        assert process.get_label(unlabelled) is None
        assert "Scripted" in repr(unlabelled)
        stop(unlabelled)


class TestDedicatedThread:
    @pytest.mark.parametrize("by", ["option", "attribute"])
    def test_every_callback_runs_on_the_one_thread_that_bears_the_label(self, by: str) -> None:
        class Dedicated(Scripted):
            dedicated_thread = by == "attribute"

        options = {"dedicated_thread": True} if by == "option" else {}
        pid = Dedicated.start_link(lambda: Ok(threading.current_thread()), label="affine", **options)
        threads = [call(pid, threading.current_thread) for _ in range(20)]
        assert set(threads) == {threads[0]}
        assert threads[0].name == "affine"
        stop(pid)
        threads[0].join(5)
        assert not threads[0].is_alive()

    def test_a_failure_of_init_is_told(self) -> None:
        with pytest.raises(StartError) as caught:
            Scripted.start_link(raise_value_error, dedicated_thread=True)
        assert isinstance(caught.value.reason, ValueError)
        assert heard_nothing()

    def test_a_taken_name_starts_no_thread(self) -> None:
        first = Scripted.start(name="affine")
        before = threading.active_count()
        with pytest.raises(StartError):
            Scripted.start_link(name="affine", dedicated_thread=True)
        assert threading.active_count() <= before
        stop(first)

    def test_a_kill_ends_its_thread(self) -> None:
        pid = Scripted.start_link(dedicated_thread=True)
        thread = call(pid, threading.current_thread)
        process.exit(pid, "kill")
        assert process.receive(timeout=DEADLINE) == Exit(pid, "killed")
        thread.join(5)
        assert not thread.is_alive()

    def test_many_messages_from_many_threads_are_all_handled(self) -> None:
        class Counter(Actor):
            def handle_cast(self, message: int, state: int) -> NoReply:
                return NoReply(state + message)

            def handle_call(self, request: Any, caller: Any, state: int) -> Reply:
                return Reply(state, state)

        pid = Counter.start_link(0, dedicated_thread=True)
        threads = [threading.Thread(target=lambda: [cast(pid, 1) for _ in range(500)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert call(pid, "count") == 2_000
        stop(pid)
