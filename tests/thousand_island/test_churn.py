"""Many connections, one after the other or at once, leave nothing behind."""

from __future__ import annotations

import gc
import os
import resource
import threading
from typing import Any

import pytest

from supervision import process
from tests.thousand_island.serving import Echo, Server, events_of, exchange, serve
from thousand_island import Handler, stop

# Connections of each test in a normal run; ``CHURN=10000 pytest …`` for a long one.
COUNT = int(os.environ.get("CHURN", "500"))

# Both ends of each are open at once, in this process.
IDLE = min(COUNT, 2_000)


def census() -> dict[str, int]:
    """What there is of everything that could leak."""
    gc.collect()
    return {
        "processes": len(process.pids()),
        "descriptors": len(os.listdir("/dev/fd")),
        "threads": sum(not thread.name.startswith("supervision") for thread in threading.enumerate()),
        "names": len(process.registered()),
    }


def more_than(before: dict[str, int]) -> dict[str, int]:
    return {what: number for what, number in census().items() if number > before[what]}


@pytest.fixture
def enough_descriptors() -> Any:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Idle(Handler):
    pass


class TestRounds:
    def test_connect_echo_close_leaves_nothing(self) -> None:
        with serve(Echo, num_acceptors=4) as server:
            self._round(server)
            before = census()
            for _ in range(COUNT):
                self._round(server)
            server.wait_until_empty()
            assert more_than(before) == {}

    @staticmethod
    def _round(server: Server) -> None:
        with server.connect() as client:
            assert exchange(client, b"x" * 64) == b"x" * 64

    def test_nor_do_connections_from_many_threads(self) -> None:
        with events_of(Echo) as events, serve(Echo, num_acceptors=4) as server:
            before = census()
            workers = [threading.Thread(target=self._rounds, args=(server, COUNT // 10)) for _ in range(10)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            server.wait_until_empty()
            assert more_than(before) == {}
            assert len(events.all("connection.stop")) == COUNT // 10 * 10
            stop(server.pid)
            assert sum(m["connections"] for m, _ in events.all("acceptor.stop")) == COUNT // 10 * 10

    def _rounds(self, server: Server, count: int) -> None:
        for _ in range(count):
            self._round(server)


class TestIdle:
    @pytest.mark.row("TID-69")
    @pytest.mark.usefixtures("enough_descriptors")
    @pytest.mark.parametrize("closed_by", ["client", "server"])
    def test_many_that_say_nothing_leave_nothing_and_hold_no_threads(self, closed_by: str) -> None:
        before = census()
        threads = threading.active_count()
        with events_of(Idle) as events, serve(Idle, num_acceptors=10) as server:
            clients = [server.connect() for _ in range(IDLE)]
            for _ in clients:
                events.wait("connection.ready")
            assert len(server.connections()) == IDLE
            assert threading.active_count() <= threads + 10
            if closed_by == "server":
                stop(server.pid)
            for client in clients:
                client.close()
            for _ in clients:
                events.wait("connection.stop")
            server.wait_until_empty() if closed_by == "client" else None
        assert more_than(before) == {}
