"""supervision.sys: looking into actors, and suspending them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import supervision
import supervision.sys
from supervision import (
    INFINITY,
    TIMEOUT,
    Actor,
    BadArgument,
    BadType,
    CallError,
    CallTimeout,
    Down,
    DynamicSupervisor,
    Exit,
    NoProcess,
    NoReply,
    Ok,
    Pid,
    ProcessExit,
    Reply,
    ServerExit,
    Status,
    Supervisor,
    Timeout,
    call,
    cast,
    process,
    send,
    stop,
    sys,
)
from supervision.server import SLICE_MESSAGES
from tests.supervision.actors import DEADLINE, Recorder
from tests.supervision.supervised import pid_of, until, worker


class Trapping(Recorder):
    def init(self, arg: Any) -> Ok:
        process.trap_exit(True)
        return Ok([])


@pytest.fixture
def actor() -> Iterator[Pid]:
    pid = Recorder.start([])
    yield pid
    process.exit(pid, "kill")


ASKS: list[Callable[..., Any]] = [
    sys.get_state,
    lambda dest, *timeout: sys.replace_state(dest, list, *timeout),
    sys.get_status,
    sys.suspend,
    sys.resume,
    lambda dest, *timeout: sys.statistics(dest, True, *timeout),
    lambda dest, *timeout: sys.statistics(dest, "get", *timeout),
    lambda dest, *timeout: sys.trace(dest, True, *timeout),
]


def reason_of(body: Callable[[], Any]) -> Any:
    """The exit reason of a process that runs ``body``, where it may run actors in place."""
    _, ref = process.spawn_monitor(body)
    return process.receive(lambda message: type(message) is Down and message.ref is ref, timeout=DEADLINE).reason


class TestAll:
    @pytest.mark.parametrize("ask", ASKS)
    def test_nobody_to_ask_raises(self, ask: Callable[..., Any], actor: Pid) -> None:
        process.exit(actor, "kill")
        for dest in (actor, "nobody has this name"):
            with pytest.raises(NoProcess):
                ask(dest)

    @pytest.mark.parametrize("ask", ASKS)
    def test_a_process_that_is_no_actor_is_told_apart(self, ask: Callable[..., Any]) -> None:
        pid = process.spawn(process.receive)
        with pytest.raises(CallError, match="is not an actor"):
            ask(pid)
        process.exit(pid, "kill")

    @pytest.mark.parametrize("ask", ASKS)
    def test_an_actor_cannot_ask_its_own_loop(self, ask: Callable[..., Any], actor: Pid) -> None:
        def ask_itself() -> str:
            with pytest.raises(CallError, match="cannot ask its own loop"):
                ask(process.self())
            return "survived"

        assert call(actor, ask_itself) == "survived"

    @pytest.mark.parametrize("ask", ASKS)
    @pytest.mark.parametrize(("timeout", "error"), [(-1, BadArgument), (0.5, BadType)])
    def test_a_bad_timeout_is_refused(
        self, ask: Callable[..., Any], actor: Pid, timeout: Any, error: type[Exception]
    ) -> None:
        with pytest.raises(error, match="timeout must be a whole number of milliseconds or INFINITY"):
            ask(actor, timeout)

    @pytest.mark.parametrize("ask", ASKS)
    def test_a_busy_actor_is_waited_for_and_no_longer_than_asked(self, ask: Callable[..., Any], actor: Pid) -> None:
        entered, leave = threading.Event(), threading.Event()
        cast(actor, lambda: (entered.set(), leave.wait(5)))
        assert entered.wait(5)
        with pytest.raises(CallTimeout, match="did not answer within 10 milliseconds"):
            ask(actor, 10)
        leave.set()
        ask(actor)
        sys.resume(actor)

    def test_they_are_answered_ahead_of_ordinary_mail(self, actor: Pid) -> None:
        entered, leave = threading.Event(), threading.Event()
        cast(actor, lambda: (entered.set(), leave.wait(5)))
        assert entered.wait(5)
        for number in range(100):
            cast(actor, number)
        threading.Timer(0.01, leave.set).start()
        assert sys.get_state(actor) == []
        assert call(actor, "last") == "last"

    def test_they_wait_for_init(self) -> None:
        entered, leave = threading.Event(), threading.Event()

        class Slow(Recorder):
            def init(self, arg: Any) -> Ok:
                entered.set()
                leave.wait(5)
                return Ok(["started"])

        starter = threading.Thread(target=Slow.start, kwargs={"name": "slow"})
        starter.start()
        assert entered.wait(5)
        threading.Timer(0.01, leave.set).start()
        assert sys.get_state("slow") == ["started"]
        starter.join()
        stop("slow")

    def test_they_wait_for_a_timeout_of_no_time(self) -> None:
        entered = threading.Event()

        class Timed(Recorder):
            def handle_cast(self, message: Any, state: Any) -> NoReply:
                entered.set()
                until(lambda: bool(process.self()._process.system))
                return NoReply(state, Timeout(0, "now"))

        pid = Timed.start([])
        cast(pid, "asked meanwhile")
        assert entered.wait(5)
        assert sys.get_state(pid) == ["now"]
        stop(pid)

    @pytest.mark.row("GS-32")
    @pytest.mark.parametrize("first", [sys.get_state, sys.suspend])
    def test_they_wait_for_the_continuation_of_init(self, first: Callable[..., Any]) -> None:
        class Continuing(Recorder):
            def init(self, arg: Any) -> Ok:
                return Ok([], continue_with="continued")

            def handle_continue(self, argument: Any, state: Any) -> NoReply:
                return NoReply([argument])

        def ask_a_new_one() -> None:
            pid = Continuing.start()  # its init has run on this thread, and its continuation is to come
            assert first(pid) in (["continued"], None)
            assert sys.get_state(pid) == ["continued"]
            process.exit(pid, "kill")

        assert reason_of(ask_a_new_one) == "normal"

    @pytest.mark.row("GS-33")
    def test_they_wait_for_the_continuation_of_a_call(self) -> None:
        class Continuing(Recorder):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply("answer", ["called"], continue_with="continued")

            def handle_continue(self, argument: Any, state: Any) -> NoReply:
                return NoReply([*state, argument])

        def call_and_ask() -> None:
            pid = Continuing.start()
            assert call(pid, "question", INFINITY) == "answer"
            assert sys.get_state(pid) == ["called", "continued"]
            process.exit(pid, "kill")

        assert reason_of(call_and_ask) == "normal"

    def test_an_actor_that_dies_meanwhile_tells_the_asker(self, actor: Pid) -> None:
        entered, leave = threading.Event(), threading.Event()
        cast(actor, lambda: (entered.set(), leave.wait(5)))
        assert entered.wait(5)

        def ask() -> None:
            with pytest.raises(ServerExit) as caught:
                sys.get_state(actor)
            raise ProcessExit(caught.value.reason)

        pid, ref = process.spawn_monitor(ask)
        while not actor._process.system:
            process.sleep(1)
        process.exit(actor, "abc")
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, "abc")
        leave.set()

    def test_dedicated_actors_answer_too(self) -> None:
        pid = Recorder.start([], dedicated_thread=True)
        for _ in range(100):
            assert sys.get_state(pid) == []
        sys.suspend(pid)
        cast(pid, "later")
        assert sys.get_state(pid) == []
        sys.resume(pid)
        assert call(pid, "now") == "now"
        assert sys.get_state(pid) == ["later", "now"]
        stop(pid)

    def test_the_package_shows_it(self) -> None:
        assert supervision.sys is sys
        assert supervision.sys.get_state is sys.get_state

    def test_more_questions_than_fit_into_a_slice_are_all_answered(self, actor: Pid) -> None:
        entered, leave = threading.Event(), threading.Event()

        def block() -> None:
            entered.set()
            assert leave.wait(5)

        cast(actor, block)
        assert entered.wait(5)
        asking = [process.spawn_monitor(sys.get_state, actor) for _ in range(SLICE_MESSAGES + 10)]
        until(lambda: actor._process.system and len(actor._process.system) == len(asking))
        leave.set()
        assert {process.receive(Down, timeout=DEADLINE).reason for _ in asking} == {"normal"}


class TestState:
    @pytest.mark.row("GS-64")
    def test_it_is_returned_as_it_is(self, actor: Pid) -> None:
        call(actor, "first")
        assert sys.get_state(actor) == ["first"]

    @pytest.mark.row("GS-64")
    def test_it_can_be_replaced(self, actor: Pid) -> None:
        assert sys.replace_state(actor, lambda state: [*state, "replaced"]) == ["replaced"]
        assert sys.get_state(actor) == ["replaced"]

    @pytest.mark.row("GS-64")
    @pytest.mark.parametrize("kind", [ValueError, SystemExit])
    def test_a_function_that_raises_raises_here_and_changes_nothing(
        self, actor: Pid, kind: type[BaseException]
    ) -> None:
        error = kind("in the function")

        def fail(state: Any) -> Any:
            raise error

        with pytest.raises(kind) as caught:
            sys.replace_state(actor, fail)
        assert caught.value is error
        assert sys.get_state(actor) == []

    def test_the_function_runs_in_the_actor(self, actor: Pid) -> None:
        assert sys.replace_state(actor, lambda state: [process.self()]) == [actor]

    def test_what_cannot_be_called_is_refused(self, actor: Pid) -> None:
        with pytest.raises(BadType, match="fn must be callable, got 'new state'"):
            sys.replace_state(actor, "new state")  # type: ignore[arg-type]

    @pytest.mark.row("GS-64")
    def test_both_work_while_suspended(self, actor: Pid) -> None:
        sys.suspend(actor)
        sys.replace_state(actor, lambda state: ["replaced"])
        assert sys.get_state(actor) == ["replaced"]
        sys.resume(actor)

    @pytest.mark.row("GS-39")
    def test_asking_does_not_end_the_wait_of_a_timeout(self) -> None:
        me = process.self()

        class Waiting(Actor):
            def init(self, arg: Any) -> Ok:
                return Ok("waiting", 40)

            def handle_info(self, message: Any, state: Any) -> NoReply:
                send(me, message)
                return NoReply(state)

        pid = Waiting.start()
        assert sys.get_state(pid) == "waiting"
        sys.get_status(pid)
        assert process.receive(timeout=DEADLINE) is TIMEOUT
        stop(pid)


class TestStatus:
    def test_it_tells_who_and_how(self) -> None:
        pid = Recorder.start_link([1], name="recorder", label="label")
        status = sys.get_status("recorder")
        assert (status.pid, status.actor, status.name, status.label) == (pid, Recorder, "recorder", "label")
        assert (status.parent, status.status, status.state, status.log) == (process.self(), "running", [1], None)
        sys.suspend(pid)
        assert sys.get_status(pid).status == "suspended"
        stop(pid)

    def test_format_status_decides_what_is_shown(self) -> None:
        class Discreet(Recorder):
            def format_status(self, status: Status) -> Status:
                assert status.reason is None
                return replace(status, state="redacted")

        pid = Discreet.start(["secret"])
        assert sys.get_status(pid).state == "redacted"
        assert sys.get_state(pid) == ["secret"]
        stop(pid)

    def test_where_that_raises_nothing_is_shown(self) -> None:
        class Broken(Recorder):
            def format_status(self, status: Status) -> Status:
                raise ValueError("no status")

        pid = Broken.start(["secret"])
        assert "secret" not in repr(sys.get_status(pid))
        stop(pid)


class TestSuspend:
    @pytest.mark.row("GS-65")
    def test_mail_waits_until_resume(self, actor: Pid) -> None:
        sys.suspend(actor)
        cast(actor, "first")
        with pytest.raises(CallTimeout):
            call(actor, "second", 20)
        info = process.info(actor)
        assert info is not None
        assert (info.status, sys.get_state(actor)) == ("suspended", [])
        sys.resume(actor)
        assert call(actor, "third") == "third"
        assert sys.get_state(actor) == ["first", "second", "third"]

    def test_twice_is_once(self, actor: Pid) -> None:
        sys.suspend(actor)
        sys.suspend(actor)
        sys.resume(actor)
        assert call(actor, "question") == "question"
        sys.resume(actor)
        assert call(actor, "question") == "question"

    @pytest.mark.parametrize("before", [True, False])
    def test_stop_works_whether_it_came_before_or_after(self, before: bool) -> None:
        pid = Recorder.start([])
        ref = process.monitor(pid)
        if before:
            entered, leave = threading.Event(), threading.Event()
            cast(pid, lambda: (entered.set(), leave.wait(5)))
            assert entered.wait(5)
            process.spawn(stop, pid)
            while process.info(pid).message_queue_len == 0:  # type: ignore[union-attr]
                process.sleep(1)
            with pytest.raises(CallTimeout):
                sys.suspend(pid, 1)
            leave.set()
        else:
            sys.suspend(pid)
            cast(pid, "never handled")
            stop(pid)
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, "normal")

    @pytest.mark.parametrize("actor_class", [Recorder, Trapping])
    @pytest.mark.parametrize("before", [True, False])
    def test_the_exit_of_its_parent_ends_it(self, actor_class: type[Actor], before: bool) -> None:
        pid = actor_class.start_link([])
        if before:
            entered, leave = threading.Event(), threading.Event()
            cast(pid, lambda: (entered.set(), leave.wait(5)))
            assert entered.wait(5)
            with pytest.raises(CallTimeout):
                sys.suspend(pid, 1)
            cast(pid, "never handled")
            process.exit(pid, "shutdown")
            leave.set()
        else:
            sys.suspend(pid)
            cast(pid, "never handled")
            process.exit(pid, "shutdown")
        assert process.receive(timeout=DEADLINE) == Exit(pid, "shutdown")

    def test_the_exit_of_others_waits_like_any_message(self) -> None:
        pid = Trapping.start()
        sys.suspend(pid)
        process.exit(pid, "abc")
        assert sys.get_state(pid) == []
        sys.resume(pid)
        assert call(pid, "question") == "question"
        assert sys.get_state(pid) == [Exit(process.self(), "abc"), "question"]
        stop(pid)

    def test_a_kill_ends_it(self, actor: Pid) -> None:
        sys.suspend(actor)
        ref = process.monitor(actor)
        process.exit(actor, "kill")
        assert process.receive(timeout=DEADLINE) == Down(ref, actor, "killed")

    def test_a_call_without_a_deadline_waits_for_resume(self, actor: Pid) -> None:
        sys.suspend(actor)
        _, ref = process.spawn_monitor(call, actor, "question", float("inf"))
        until(lambda: actor._process.mailbox)
        sys.resume(actor)
        down = process.receive(Down, timeout=DEADLINE)
        assert (down.ref, down.reason) == (ref, "normal")


class TestSupervisors:
    @pytest.mark.parametrize("kind", ["static", "dynamic"])
    def test_they_answer_and_obey_their_parent_while_suspended(self, kind: str) -> None:
        sup: Pid
        child: Any
        if kind == "static":
            sup = Supervisor.start_link([Recorder], strategy="one_for_one")
            [child] = [entry.pid for entry in Supervisor.which_children(sup)]
        else:
            sup = DynamicSupervisor.start_link()
            child = DynamicSupervisor.start_child(sup, (Recorder, []))
        assert sys.get_status(sup).parent is process.self()
        sys.suspend(sup)
        with pytest.raises(CallTimeout):
            call(sup, "anything", 10)
        process.exit(sup, "shutdown")
        assert process.receive(timeout=DEADLINE) == Exit(sup, "shutdown")
        assert not process.is_alive(child)

    def test_a_child_that_dies_while_it_is_suspended_is_restarted_after_resume(self, supervise: Any) -> None:
        sup = supervise([worker(1)])
        pid = pid_of(sup, 1)
        sys.suspend(sup)
        process.exit(pid, "kill")
        sys.resume(sup)
        assert process.is_alive(pid_of(sup, 1))


def test_everything_imported_with_a_star_leaves_the_standard_library_its_sys() -> None:
    names: dict[str, Any] = {}
    exec("import sys\nfrom supervision import *", names)
    assert names["sys"].__name__ == "sys"
    assert names["Actor"] is Actor
