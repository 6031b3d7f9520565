"""For n = 1, 2, …: the n-th call of an operation fails. Nothing leaks, and the tree is what it was."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from supervision import Ok, Stop, process
from tests.supervision.supervised import until
from tests.thousand_island.serving import (
    Echo,
    Server,
    Telling,
    events_of,
    exchange,
    serve,
    tree,
)
from tests.thousand_island.transports import Flaky, oserror
from thousand_island import Continue

CONNECTIONS = 6
NUMBERS = range(1, CONNECTIONS + 1)

Outcome = bool
"""Whether a client was served."""


class FailingInit(Telling):
    """Its ``init`` fails when the count in its options, ``[number, process]``, has come down to zero."""

    def init(self, arg: Any) -> Any:
        arg[0] -= 1
        return Stop("as asked") if arg[0] == 0 else Ok((None, arg[1]))

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(data)
        return Continue(state)


def serve_all(server: Server) -> list[Outcome]:
    """Connect one client after the other, and tell which were served."""
    return [_is_served(server) for _ in range(CONNECTIONS)]


def _is_served(server: Server) -> Outcome:
    with server.connect() as client:
        try:
            return exchange(client, b"data") == b"data"
        except ConnectionError:
            return False


def all_but(number: int) -> list[Outcome]:
    return [one != number for one in NUMBERS]


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("number", NUMBERS)
class TestNthCall:
    def _check(self, flaky: Flaky, operation: str, expected: list[Outcome], handler: Any = Echo) -> None:
        with events_of(handler) as events, serve(handler, transport_module=flaky, num_acceptors=2) as server:
            before, open_before = tree(server.pid), descriptors()
            assert serve_all(server) == expected
            assert flaky.is_used_up(operation)
            for _ in events.names("connection.start"):
                events.wait("connection.stop")
            assert len(events.all("connection.start")) == len(events.all("connection.stop"))
            server.wait_until_empty()
            assert server.connections() == []
            assert tree(server.pid) == before
            until(lambda: descriptors() <= open_before)  # without the GIL the watchdog may have one for a moment

    @pytest.mark.parametrize("code", [errno.EMFILE, errno.ECONNABORTED, errno.EPROTO])
    def test_of_accept_costs_nobody_anything(self, number: int, code: int) -> None:
        flaky = Flaky()
        flaky.fail_at("accept", number, oserror(code))
        self._check(flaky, "accept", [True] * CONNECTIONS)

    @pytest.mark.parametrize("operation", ["handshake", "controlling_process"])
    @pytest.mark.parametrize("error", [oserror(errno.ECONNRESET), RuntimeError("a mistake")], ids=repr)
    def test_of_what_begins_a_connection_costs_that_one(self, number: int, operation: str, error: Exception) -> None:
        flaky = Flaky()
        flaky.fail_at(operation, number, error)
        self._check(flaky, operation, all_but(number))

    @pytest.mark.parametrize("error", [oserror(errno.ENOTCONN), RuntimeError("a mistake")], ids=repr)
    def test_of_peername_costs_that_connection(self, number: int, error: Exception) -> None:
        flaky = Flaky()
        flaky.fail_at("peername", number, error)  # asked more than once for each
        with events_of(Echo) as events, serve(Echo, transport_module=flaky) as server:
            before = tree(server.pid)
            assert serve_all(server).count(False) == 1
            for _ in events.names("connection.start"):
                events.wait("connection.stop")
            server.wait_until_empty()
            assert server.connections() == []
            assert tree(server.pid) == before

    @pytest.mark.parametrize("operation", ["recv", "send"])
    @pytest.mark.parametrize("error", [oserror(errno.ECONNRESET), RuntimeError("a mistake")], ids=repr)
    def test_of_traffic_costs_that_connection(self, number: int, operation: str, error: Exception) -> None:
        flaky = Flaky()
        flaky.fail_at(operation, number, error)
        with events_of(Echo) as events, serve(Echo, transport_module=flaky) as server:
            before = tree(server.pid)
            assert serve_all(server).count(False) <= 1
            for _ in range(CONNECTIONS):
                events.wait("connection.stop")
            assert flaky.is_used_up(operation)
            server.wait_until_empty()
            assert server.connections() == []
            assert tree(server.pid) == before

    def test_of_start_child_costs_that_connection(self, number: int) -> None:
        with serve(FailingInit, handler_options=[number, process.self()], num_acceptors=2) as server:
            before, open_before = tree(server.pid), descriptors()
            assert serve_all(server) == all_but(number)
            server.wait_until_empty()
            assert tree(server.pid) == before
            until(lambda: descriptors() <= open_before)  # without the GIL the watchdog may have one for a moment

    @pytest.mark.parametrize("error", [oserror(errno.EIO), RuntimeError("a mistake of the transport")])
    @pytest.mark.parametrize("operation", ["getstat", "close"])
    def test_of_what_ends_a_connection_costs_nobody_anything(
        self, number: int, operation: str, error: Exception
    ) -> None:
        flaky = Flaky()
        with events_of(Echo) as events, serve(Echo, transport_module=flaky) as server:
            before = tree(server.pid)
            flaky.fail_at(operation, number, error)
            assert serve_all(server) == [True] * CONNECTIONS
            for _ in range(CONNECTIONS):
                events.wait("connection.stop")
            server.wait_until_empty()
            assert server.connections() == []
            assert tree(server.pid) == before
