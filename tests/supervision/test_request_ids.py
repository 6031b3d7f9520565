"""Collections of requests."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from supervision import (
    INFINITY,
    BadArgument,
    NotFound,
    Pid,
    Reply,
    RequestIds,
    call,
    process,
    send_request,
    stop,
    wait_response,
)
from tests.supervision.actors import DEADLINE, Echo, held, nothing_more


@pytest.fixture
def requests() -> RequestIds:
    return RequestIds()


@pytest.fixture
def gate() -> Any:
    """Keeps a server in its callback until it is set."""
    leave = threading.Event()
    yield leave
    leave.set()


class TestRequests:
    @pytest.mark.row("GS-63")
    def test_they_are_counted_and_listed_with_their_labels(self, server: Pid, requests: RequestIds) -> None:
        first = requests.send_request(server, 1, "one")
        second = send_request(server, 2)
        requests.add(second, "two")
        assert len(requests) == 2
        assert list(requests) == [(first, "one"), (second, "two")]

    @pytest.mark.row("GS-63")
    def test_one_is_added_once(self, server: Pid, requests: RequestIds) -> None:
        request_id = requests.send_request(server, 1, "one")
        with pytest.raises(BadArgument, match="the request is in the collection already"):
            requests.add(request_id, "again")
        assert list(requests) == [(request_id, "one")]

    def test_one_that_is_over_is_refused(self, server: Pid, requests: RequestIds) -> None:
        request_id = send_request(server, 1)
        wait_response(request_id)
        with pytest.raises(BadArgument, match="the response has been taken, or given up"):
            requests.add(request_id, "late")


@pytest.mark.row("GS-63")
class TestWaitResponse:
    def test_the_first_to_be_answered_comes_first(
        self, server: Pid, requests: RequestIds, gate: threading.Event
    ) -> None:
        other = Echo.start()
        requests.send_request(server, held(threading.Event(), gate), "slow")
        requests.send_request(other, "question", "quick")
        assert requests.wait_response(DEADLINE) == (("reply", "question"), "quick")
        assert len(requests) == 1
        gate.set()
        assert requests.wait_response(INFINITY) == (("reply", "late"), "slow")
        assert len(requests) == 0
        stop(other)

    def test_requests_outside_are_left_alone(self, server: Pid, requests: RequestIds) -> None:
        outside = send_request(server, 1)
        requests.send_request(server, 2, "inside")
        assert requests.wait_response(DEADLINE) == (("reply", 2), "inside")
        assert wait_response(outside, 0) == ("reply", 1)

    def test_they_stay_open_when_the_time_is_over(
        self, server: Pid, requests: RequestIds, gate: threading.Event
    ) -> None:
        requests.send_request(server, held(threading.Event(), gate), "slow")
        assert requests.wait_response(0) is None
        gate.set()
        assert requests.wait_response(DEADLINE) == (("reply", "late"), "slow")

    def test_a_request_may_be_kept(self, server: Pid, requests: RequestIds) -> None:
        request_id = requests.send_request("nobody has this name", 1, "kept")
        assert requests.wait_response(0, delete=False) == (("error", "noproc"), "kept")
        assert list(requests) == [(request_id, "kept")]
        assert requests.wait_response(0) is None

    def test_an_empty_collection_is_refused(self, requests: RequestIds) -> None:
        for take in (requests.wait_response, requests.receive_response, requests.check_response):
            with pytest.raises(NotFound, match="there is no request in the collection"):
                take(0)


@pytest.mark.row("GS-61", "GS-63")
class TestReceiveResponse:
    def test_all_are_given_up_when_the_time_is_over(
        self, server: Pid, requests: RequestIds, gate: threading.Event
    ) -> None:
        requests.send_request(server, held(threading.Event(), gate), "slow")
        requests.send_request(server, "question", "behind it")
        assert requests.receive_response(1) is None
        gate.set()
        assert call(server, "handled by now") == "handled by now"
        assert nothing_more()

    def test_a_response_leaves_the_others_open(self, server: Pid, requests: RequestIds) -> None:
        for number in range(3):
            requests.send_request(server, number, number)
        found = [requests.receive_response(DEADLINE) for _ in range(3)]
        assert found == [(("reply", number), number) for number in range(3)]


@pytest.mark.row("GS-62", "GS-63")
class TestCheckResponse:
    def test_a_message_that_is_none_of_theirs_is_none(self, server: Pid, requests: RequestIds) -> None:
        requests.send_request(server, 1, "one")
        outside = send_request(server, 2)
        assert requests.check_response("message") is None
        message = process.receive(lambda message: message.request_id is outside, timeout=DEADLINE)
        assert requests.check_response(message) is None

    def test_a_response_comes_with_its_label(self, server: Pid, requests: RequestIds) -> None:
        requests.send_request(server, 1, "one")
        message = process.receive(timeout=DEADLINE)
        assert requests.check_response(message, delete=False) == (("reply", 1), "one")
        assert requests.check_response(message) == (("reply", 1), "one")
        assert len(requests) == 0


@pytest.mark.row("GS-63")
def test_work_is_spread_over_servers_and_gathered_as_it_is_done(requests: RequestIds) -> None:
    def square(number: int) -> Any:
        return lambda caller, state: Reply(number * number, state)

    servers = [Echo.start() for _ in range(3)]
    for number in range(12):
        requests.send_request(servers[number % 3], square(number), number)
    gathered = {}
    while requests:
        found = requests.wait_response(DEADLINE)
        assert found is not None
        answer, number = found
        gathered[number] = answer
    assert gathered == {number: ("reply", number * number) for number in range(12)}
    for pid in servers:
        stop(pid)
