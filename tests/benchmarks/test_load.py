from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from benchmarks.load import HELD_BACK, IDLE, WAITING, Connection, Load


@pytest.fixture
def load(request: pytest.FixtureRequest) -> Iterator[Load]:
    """A generator whose connections are all open already, each with its first request under way."""
    made = Load(request.param, 0, 2, 1.0, 0.5)
    servers = []
    for number in range(made.count):
        client, server = socket.socketpair()
        servers.append(server)
        made.connections[client.fileno()] = Connection(number, client, WAITING, requests=1)
    made.opened = made.busy = made.count
    yield made
    for each in (*servers, *(connection.socket for connection in made.connections.values()), made.epoll):
        each.close()


@pytest.mark.parametrize("load", ["echo"], indirect=True)
class TestEcho:
    def test_a_connection_is_held_back_until_all_have_had_their_first_answer(self, load: Load) -> None:
        first, second = load.connections.values()

        load.completed(first)

        assert (first.state, second.state) == (HELD_BACK, WAITING)
        assert first.requests == 1
        assert load.busy == 1

    def test_all_ask_again_when_the_last_has_had_its_first_answer(self, load: Load) -> None:
        for connection in list(load.connections.values()):
            load.completed(connection)

        assert [(each.state, each.requests) for each in load.connections.values()] == [(WAITING, 2)] * 2
        assert load.busy == 2

    def test_counting_begins_after_the_warm_up(self, load: Load) -> None:
        for connection in list(load.connections.values()):
            load.completed(connection)

        assert load.end - load.begin == pytest.approx(1.0)
        assert load.tally.latencies == []

    def test_an_event_on_a_silent_connection_that_is_held_back_is_no_error(self, load: Load) -> None:
        first, _ = load.connections.values()
        first.socket.setblocking(False)
        load.completed(first)

        load.ready(first)

        assert load.tally.errors == 0


@pytest.mark.parametrize("load", ["idle"], indirect=True)
class TestIdle:
    def test_connections_that_have_had_their_answer_ask_no_more(self, load: Load) -> None:
        for connection in list(load.connections.values()):
            load.completed(connection)

        assert [(each.state, each.requests) for each in load.connections.values()] == [(IDLE, 1)] * 2
        assert load.busy == 0
