"""send_request, and the ways to take its response."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    INFINITY,
    BadArgument,
    BadType,
    NoReply,
    Pid,
    Reply,
    RequestId,
    Response,
    Stop,
    call,
    cast,
    check_response,
    process,
    receive_response,
    reply,
    requests,
    send,
    send_request,
    stop,
    wait_response,
)
from tests.supervision.actors import DEADLINE, Echo, Scripted, heard, held, nothing_more

Gate = Callable[[], None]


@pytest.fixture
def slow(server: Pid) -> Any:
    """A request that is not answered before its gate is opened."""
    entered, leave = threading.Event(), threading.Event()
    request_id = send_request(server, held(entered, leave))
    yield request_id, leave.set
    leave.set()


class TestSendRequest:
    @pytest.mark.row("GS-60")
    def test_the_reply_is_there_for_whoever_waits(self, server: Pid) -> None:
        request_id = send_request(server, "question")
        assert wait_response(request_id, DEADLINE) == ("reply", "question")
        assert nothing_more()

    @pytest.mark.row("GS-60")
    def test_a_server_is_asked_by_its_name(self, server: Pid) -> None:
        process.register("asked", server)
        assert wait_response(send_request("asked", "question")) == ("reply", "question")

    @pytest.mark.row("GS-60")
    def test_several_are_answered_each_with_its_own(self, server: Pid) -> None:
        first, second = send_request(server, 1), send_request(server, 2)
        assert wait_response(second) == ("reply", 2)
        assert wait_response(first) == ("reply", 1)

    def test_a_reply_may_come_from_elsewhere_and_comes_once(self, server: Pid) -> None:
        callers: list[Any] = []

        def keep(caller: Any, state: Any) -> NoReply:
            callers.append(caller)
            return NoReply(state)

        request_id = send_request(server, keep)
        assert call(server, "taken") == "taken"
        assert callers[0].pid is process.self()
        reply(callers[0], "later")
        reply(callers[0], "again")
        assert wait_response(request_id, 0) == ("reply", "later")
        assert nothing_more()

    def test_an_actor_may_ask_itself(self) -> None:
        class Introspective(Scripted):
            def handle_cast(self, message: Any, state: Any) -> NoReply:
                self.request_id = send_request(process.self(), message)
                return NoReply(state)

            def handle_info(self, message: Any, state: Any) -> NoReply:
                return self.tell("said", check_response(message, self.request_id), state)

        pid = Introspective.start(process.self())
        cast(pid, "question")
        assert heard() == ("said", ("reply", "question"))
        stop(pid)

    @pytest.mark.parametrize("dest", [1, b"name", ()])
    def test_what_is_no_destination_is_refused(self, dest: Any) -> None:
        with pytest.raises(BadType, match="the destination must be a Pid"):
            send_request(dest, "question")

    def test_both_ends_show_who_asks(self, server: Pid) -> None:
        request_id = send_request(server, lambda caller, state: Reply(repr(caller), state))
        shown = f"<request of {process.self()!r}>"
        assert repr(request_id) == shown
        assert wait_response(request_id) == ("reply", shown)
        assert call(server, lambda caller, state: Reply(repr(caller), state)) == f"<caller {process.self()!r}>"


class TestErrors:
    @pytest.mark.row("GS-62")
    def test_nobody_there_is_an_error(self) -> None:
        dead = Echo.start()
        process.exit(dead, "kill")
        for dest in (dead, "nobody has this name", None):
            assert wait_response(send_request(dest, "question"), 0) == ("error", "noproc")

    @pytest.mark.row("GS-62")
    def test_the_end_of_the_server_is_an_error(self, server: Pid) -> None:
        request_id = send_request(server, lambda caller, state: Stop(("why", 1), state))
        assert wait_response(request_id, DEADLINE) == ("error", ("why", 1))
        assert nothing_more()

    @pytest.mark.row("GS-62")
    def test_the_kill_of_the_server_is_an_error(self, server: Pid, slow: tuple[RequestId, Gate]) -> None:
        request_id, _ = slow
        process.exit(server, "kill")
        assert wait_response(request_id, 0) == ("error", "killed")

    def test_the_reply_of_a_server_that_stops_with_it_comes_alone(self, server: Pid) -> None:
        request_id = send_request(server, lambda caller, state: Stop("normal", state, reply="bye"))
        assert wait_response(request_id, DEADLINE) == ("reply", "bye")
        process.send_after(process.self(), "later", 0)
        assert process.receive(timeout=DEADLINE) == "later"

    def test_the_server_forgets_a_request_whose_owner_has_ended(self, server: Pid) -> None:
        entered, leave = threading.Event(), threading.Event()
        _, ref = process.spawn_monitor(send_request, server, held(entered, leave))
        assert process.receive(timeout=DEADLINE).ref is ref
        assert server._process.monitored_by in (None, {})
        leave.set()
        assert call(server, "well") == "well"


class TestWaitResponse:
    @pytest.mark.row("GS-60")
    def test_a_request_stays_open_when_the_time_is_over(self, slow: tuple[RequestId, Gate]) -> None:
        request_id, open_gate = slow
        assert wait_response(request_id, 0) is None
        assert wait_response(request_id, 1) is None
        open_gate()
        assert wait_response(request_id, INFINITY) == ("reply", "late")

    def test_other_messages_stay_in_their_order(self, server: Pid) -> None:
        me = process.self()
        send(me, 1)
        request_id = send_request(server, "question")
        send(me, 2)
        assert wait_response(request_id) == ("reply", "question")
        assert [process.receive(timeout=0) for _ in range(2)] == [1, 2]

    def test_a_response_is_taken_once(self, server: Pid) -> None:
        request_id = send_request(server, "question")
        assert wait_response(request_id)
        for take in (wait_response, receive_response):
            with pytest.raises(BadArgument, match="the response has been taken, or given up"):
                take(request_id)

    def test_another_process_cannot_wait_for_it(self, server: Pid) -> None:
        request_id = send_request(server, "question")

        def take(caller: Any, state: Any) -> Reply:
            with pytest.raises(BadArgument, match="only the process that sent it can await the response"):
                wait_response(request_id)
            return Reply("refused", state)

        assert call(server, take) == "refused"
        assert wait_response(request_id) == ("reply", "question")

    @pytest.mark.parametrize("wrong", [1, None, process.Ref()])
    def test_what_is_no_request_is_refused(self, wrong: Any) -> None:
        for take in (wait_response, receive_response, lambda request_id: check_response("message", request_id)):
            with pytest.raises(BadType, match="request_id must be what send_request returned"):
                take(wrong)

    def test_a_time_that_is_none_is_refused(self, server: Pid) -> None:
        request_id = send_request(server, "question")
        with pytest.raises(BadType, match="whole number of milliseconds"):
            wait_response(request_id, 0.5)
        assert wait_response(request_id) == ("reply", "question")


class TestReceiveResponse:
    @pytest.mark.row("GS-61")
    def test_a_request_is_given_up_when_the_time_is_over(self, server: Pid, slow: tuple[RequestId, Gate]) -> None:
        request_id, open_gate = slow
        assert receive_response(request_id, 1) is None
        open_gate()
        assert call(server, "handled by now") == "handled by now"
        assert nothing_more()
        with pytest.raises(BadArgument, match="the response has been taken, or given up"):
            wait_response(request_id)

    @pytest.mark.row("GS-61")
    def test_the_end_of_the_server_is_not_told_of_either(self, server: Pid, slow: tuple[RequestId, Gate]) -> None:
        request_id, _ = slow
        assert receive_response(request_id, 0) is None
        process.exit(server, "kill")
        assert nothing_more()

    @pytest.mark.row("GS-61")
    def test_a_response_in_time_is_what_wait_response_gives(self, server: Pid) -> None:
        assert receive_response(send_request(server, "question"), DEADLINE) == ("reply", "question")

    @pytest.mark.row("GS-61")
    def test_a_response_is_had_or_dropped_and_nothing_between(self, server: Pid) -> None:
        for _ in range(300):
            assert receive_response(send_request(server, "question"), 0) in (None, ("reply", "question"))
        assert call(server, "handled by now") == "handled by now"
        assert nothing_more()

    def test_a_response_of_the_last_moment_is_had(self, server: Pid, monkeypatch: pytest.MonkeyPatch) -> None:
        request_id = send_request(server, "question")
        assert call(server, "handled by now") == "handled by now"
        monkeypatch.setattr(requests, "wait_response", lambda request_id, timeout: None)
        assert receive_response(request_id, 0) == ("reply", "question")
        assert nothing_more()

    def test_a_response_of_the_last_moment_that_was_taken_as_a_message_is_none(
        self, server: Pid, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request_id = send_request(server, "question")

        def take(request_id: Any, timeout: float) -> None:
            process.receive(timeout=DEADLINE)

        monkeypatch.setattr(requests, "wait_response", take)
        assert receive_response(request_id, 0) is None


class TestCheckResponse:
    @pytest.mark.row("GS-62")
    def test_another_message_is_none(self, server: Pid) -> None:
        first, second = send_request(server, 1), send_request(server, 2)
        message = process.receive(Response, timeout=DEADLINE)
        for other in ("message", None, ("reply", 1)):
            assert check_response(other, first) is None
        assert check_response(message, second) is None
        assert check_response(message, first) == ("reply", 1)
        assert wait_response(second) == ("reply", 2)

    def test_the_response_has_been_taken_then(self, server: Pid) -> None:
        request_id = send_request(server, "question")
        assert check_response(process.receive(timeout=DEADLINE), request_id)
        with pytest.raises(BadArgument, match="the response has been taken, or given up"):
            wait_response(request_id, 0)
