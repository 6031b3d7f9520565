"""What an acceptor does about the errors of accept(2) and of starting a handler."""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from supervision import BRUTAL_KILL, Actor, Ignore, Ok, Stop, Supervisor, process
from tests.supervision.supervised import until
from tests.thousand_island.serving import (
    DEADLINE,
    Echo,
    down,
    dying_at_the_first,
    events_of,
    exchange,
    is_closed,
    message,
    reason_of,
    serve,
    tree,
)
from tests.thousand_island.transports import Flaky, oserror
from thousand_island import stop
from thousand_island.acceptor import BACK_OFF
from thousand_island.transports import TCP

EXHAUSTED = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]
NETWORK = [
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENONET, errno.EPROTO),
    *(errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.ETIMEDOUT, errno.EPERM, errno.ECONNRESET),
]


@pytest.fixture
def flaky() -> Flaky:
    return Flaky()


@dataclass(frozen=True)
class Box:
    """A listener that shows no descriptor."""

    inner: Any


class Boxing(Flaky):
    """TCP with a listener in a Box: its accept does not wait. Knows when it was called, and whether somebody came."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, bool]] = []

    def listen(self, port: int, options: Any) -> Any:
        return Box(TCP.listen(port, options))

    def accept(self, box: Any) -> Any:
        now = time.monotonic()
        try:
            sock = TCP.accept(box.inner)
        except BlockingIOError:
            self.asked.append((now, False))
            raise
        self.asked.append((now, True))
        return sock

    def sockname(self, sock: Any) -> Any:
        return TCP.sockname(sock.inner if isinstance(sock, Box) else sock)

    def close(self, sock: Any) -> None:
        TCP.close(sock.inner if isinstance(sock, Box) else sock)


def test_where_nobody_tells_of_the_next_client_an_accept_that_found_none_is_repeated_after_a_while() -> None:
    boxing = Boxing()
    with serve(Echo, transport_module=boxing) as server:
        for _ in range(2):
            with server.connect() as client:
                assert exchange(client, b"hello") == b"hello"
    assert all(later - asked > BACK_OFF / 2_000 for (asked, came), (later, _) in pairwise(boxing.asked) if not came)


class TestAcceptErrors:
    @pytest.mark.row("TIA-01", "TIA-03")
    @pytest.mark.parametrize(
        "numbers",
        [
            [errno.EMFILE, errno.ENFILE, errno.EMFILE, errno.ENFILE, errno.EMFILE],
            [*NETWORK, errno.EINVAL, errno.ECONNABORTED],
            [errno.EINTR] * 5,
        ],
        ids=["exhausted", "network", "interrupted"],
    )
    def test_they_take_neither_the_acceptor_nor_live_connections_down(self, flaky: Flaky, numbers: list[int]) -> None:
        with serve(Echo, transport_module=flaky) as server, server.connect() as first:
            assert exchange(first, b"FIRST") == b"FIRST"
            before = tree(server.pid)
            flaky.fail("accept", *[oserror(number) for number in numbers])
            with server.connect() as second:
                assert exchange(first, b"STILL HERE") == b"STILL HERE"
                assert exchange(second, b"HELLO") == b"HELLO"
            assert flaky.is_used_up("accept")
            with server.connect() as third:
                assert exchange(third, b"LATE") == b"LATE"
            assert tree(server.pid) == before

    @pytest.mark.row("TIA-04")
    @pytest.mark.parametrize(
        ("number", "event"),
        [
            *((number, "emfile") for number in EXHAUSTED),
            *((number, "accept_error") for number in NETWORK),
            (errno.EINVAL, "einval"),
            (errno.ECONNABORTED, "econnaborted"),
        ],
        ids=lambda value: errno.errorcode[value] if isinstance(value, int) else value,
    )
    def test_each_is_told_as_an_event_with_its_name_before_any_client_has_come(self, number: int, event: str) -> None:
        flaky = Flaky(needs_client=False)
        flaky.fail("accept", oserror(number))
        with events_of(Echo) as events, serve(Echo, transport_module=flaky):
            measurements, metadata = events.wait(f"acceptor.{event}")
            assert isinstance(measurements.pop("monotonic_time"), int)
            name = errno.errorcode[number].lower() if number != errno.EOPNOTSUPP else "eopnotsupp"
            assert measurements == ({"error": name} if event in ("emfile", "accept_error") else {})
            assert metadata.keys() == {"handler", "telemetry_span_context"}

    def test_an_interrupted_accept_is_repeated_and_no_error(self, flaky: Flaky) -> None:
        flaky.fail("accept", oserror(errno.EINTR))
        with events_of(Echo) as events, serve(Echo, transport_module=flaky) as server, server.connect() as client:
            assert exchange(client, b"hello") == b"hello"
            stop(server.pid)
            events.wait("listener.stop")
            assert flaky.is_used_up("accept")
            assert events.names("acceptor") == ["acceptor.start", "acceptor.stop"]

    @pytest.mark.row("TID-54")
    def test_an_error_that_accept_does_not_list_ends_the_span_and_the_acceptor_is_restarted(self, flaky: Flaky) -> None:
        with (
            events_of(Echo) as events,
            serve(Echo, transport_module=flaky) as server,
            server.connect() as first,
        ):
            assert exchange(first, b"first") == b"first"
            before = tree(server.pid)
            ref = process.monitor(before["acceptor-1/acceptor"])
            flaky.fail("accept", oserror(errno.EBADF))
            with server.connect() as second:
                assert isinstance(reason_of(ref), OSError)
                measurements, metadata = events.wait("acceptor.stop")
                assert (measurements["connections"], metadata["error"]) == (1, "ebadf")
                assert exchange(second, b"second") == b"second"
            after = tree(server.pid)
            assert after.pop("acceptor-1/acceptor") != before.pop("acceptor-1/acceptor")
            assert after == before
            assert exchange(first, b"still here") == b"still here"


class FailInit(Echo):
    """Does not start while ``handler_options`` has a reason."""

    def init(self, arg: Any) -> Any:
        if not arg:
            return Ok((None, arg))
        result = arg.pop()
        if isinstance(result, BaseException):
            raise result
        return result


class TestSpawnErrors:
    @pytest.mark.row("TIA-05", "TIA-06", "TID-71")
    @pytest.mark.parametrize("result", [Ignore(), Stop("no"), ValueError("boom"), None], ids=repr)
    def test_the_client_is_closed_and_the_acceptor_goes_on(self, result: Any) -> None:
        options = [result] * 5
        with serve(FailInit, handler_options=options) as server:
            before = tree(server.pid)
            for _ in range(5):
                with server.connect() as client:
                    assert is_closed(client)
            with server.connect() as client:
                assert exchange(client, b"now") == b"now"
            assert tree(server.pid) == before

    @pytest.mark.row("TIA-07")
    @pytest.mark.parametrize(
        ("result", "error"),
        [
            (Stop("intentional_init_failure"), "intentional_init_failure"),
            (Ignore(), "ignore"),
            (ProcessLookupError(3, "gone"), "esrch"),
        ],
        ids=repr,
    )
    def test_it_is_told_as_an_event_with_the_reason(self, result: Any, error: Any) -> None:
        with events_of(FailInit) as events, serve(FailInit, handler_options=[result]) as server, server.connect():
            measurements, metadata = events.wait("acceptor.spawn_error")
            assert isinstance(measurements.pop("monotonic_time"), int)
            assert measurements == {"error": error}
            assert metadata.keys() == {"handler", "telemetry_span_context"}

    @pytest.mark.row("TID-55")
    def test_only_connections_that_were_handed_over_are_counted(self) -> None:
        with events_of(FailInit) as events, serve(FailInit, handler_options=[Ignore()]) as server:
            with server.connect() as client:
                assert is_closed(client)
            with server.connect() as client:
                assert exchange(client, b"x") == b"x"
            stop(server.pid)
            assert events.wait("acceptor.stop")[0]["connections"] == 1


class Idle(Actor):
    """A handler that waits for its socket, and tells the process in its ``handler_options`` of its end."""

    @classmethod
    def start_link(cls, arg: Any) -> Any:  # type: ignore[override]
        return super().start_link(arg[0])

    def init(self, to: Any) -> Any:
        process.trap_exit(True)
        process.send(to, ("waits", process.self()))
        return Ok(to)

    def terminate(self, reason: Any, to: Any) -> None:
        process.send(to, ("terminates", reason))


class Deaf:
    """A handler that takes no orders."""

    @staticmethod
    def start_link(arg: Any) -> Any:
        pid = process.spawn_link(Deaf.run, process.self(), arg[0])
        process.receive(lambda message: message == "traps exits", timeout=DEADLINE)
        return pid

    @staticmethod
    def run(supervisor: Any, to: Any) -> None:
        process.trap_exit(True)
        process.send(to, ("waits", process.self()))
        process.send(supervisor, "traps exits")
        process.receive(lambda message: message == "never")


class TestHandOver:
    """The transport refuses to hand the socket over."""

    def test_the_idle_handler_is_shut_down_and_the_client_closed(self, flaky: Flaky) -> None:
        flaky.fail("controlling_process", oserror(errno.EINVAL))
        options = {"handler_options": process.self(), "transport_module": flaky}
        with events_of(Idle) as events, serve(Idle, **options) as server, server.connect() as client:
            name, pid = message()
            assert name == "waits"
            assert message() == ("terminates", "shutdown")
            assert is_closed(client)
            assert events.wait("acceptor.spawn_error")[0]["error"] == "einval"
            assert not process.is_alive(pid)
            assert server.connections() == []

    @pytest.mark.parametrize("shutdown_timeout", [20, BRUTAL_KILL])
    def test_one_that_does_not_end_is_killed(self, flaky: Flaky, shutdown_timeout: Any) -> None:
        flaky.fail("controlling_process", oserror(errno.EINVAL))
        options = {"handler_options": process.self(), "shutdown_timeout": shutdown_timeout}
        with serve(Deaf, transport_module=flaky, **options) as server, server.connect() as client:
            _, pid = message()
            assert is_closed(client)
            assert not process.is_alive(pid)
            assert server.connections() == []

    def test_the_next_client_is_served(self, flaky: Flaky) -> None:
        flaky.fail("controlling_process", oserror(errno.EINVAL))
        with serve(Echo, transport_module=flaky) as server:
            with server.connect() as client:
                assert is_closed(client)
            with server.connect() as client:
                assert exchange(client, b"x") == b"x"


class Waiting(Echo):
    """Its ``init`` waits for a word."""

    def init(self, arg: Any) -> Any:
        process.send(arg, ("init", self.pid))
        process.receive(str, timeout=DEADLINE)
        return Ok((None, arg))


class TestDeath:
    @pytest.mark.row("TID-07")
    def test_a_killed_acceptor_is_restarted_and_its_connections_survive(self) -> None:
        with events_of(Echo) as events, serve(Echo) as server, server.connect() as first:
            assert exchange(first, b"first") == b"first"
            before = tree(server.pid)
            process.exit(before["acceptor-1/acceptor"], "kill")
            assert events.wait("acceptor.stop")[1]["error"] == "killed"
            with server.connect() as second:
                assert exchange(second, b"second") == b"second"
            assert exchange(first, b"still here") == b"still here"
            after = tree(server.pid)
            assert {place for place in after if after[place] is not before[place]} == {"acceptor-1/acceptor"}

    def test_the_span_of_one_that_is_killed_while_it_starts_ends(self) -> None:
        with serve(Echo) as server, events_of(Echo) as events:
            with dying_at_the_first("thousand_island.acceptor.start"):
                process.exit(tree(server.pid)["acceptor-1/acceptor"], "kill")
                assert [events.wait("acceptor.stop")[1]["error"] for _ in range(2)] == ["killed"] * 2
            with server.connect() as client:
                assert exchange(client, b"x") == b"x"
            assert events.names("acceptor") == ["acceptor.stop", "acceptor.start", "acceptor.stop", "acceptor.start"]

    @pytest.mark.row("TID-08")
    @pytest.mark.parametrize("shutdown_timeout", [15_000, BRUTAL_KILL])
    def test_with_the_connection_supervisor_its_connections_end_and_the_acceptor_is_restarted(
        self, shutdown_timeout: Any
    ) -> None:
        options = {"num_acceptors": 2, "shutdown_timeout": shutdown_timeout}
        with serve(Echo, **options) as server, ExitStack() as clients:
            connected: list[Any] = []
            before = tree(server.pid)
            supervisors = [before[f"acceptor-{number}/connection_sup"] for number in (1, 2)]
            counts = [0, 0]
            while 0 in counts:  # with two processors the turn may change while a client comes
                connected.append(clients.enter_context(server.connect()))
                assert exchange(connected[-1], b"here") == b"here"
                counts = [Supervisor.count_children(supervisor).active for supervisor in supervisors]
            process.exit(supervisors[0], "kill")
            down(before["acceptor-1/acceptor"])
            with server.connect() as again:
                assert exchange(again, b"again") == b"again"
            after = tree(server.pid)
            changed = {place for place in after if after[place] is not before[place]}
            assert changed == {"acceptor-1/connection_sup", "acceptor-1/acceptor"}
            ended = [self._has_ended(client) for client in connected]
            assert (ended.count(True), ended.count(False)) == tuple(counts)

    @staticmethod
    def _has_ended(client: Any) -> bool:
        try:
            return exchange(client, b"x") != b"x"
        except ConnectionError:
            return True

    def test_an_acceptor_killed_while_it_starts_a_handler_leaves_no_process_without_a_socket(self) -> None:
        with serve(Waiting, handler_options=process.self()) as server, server.connect() as first:
            _, pid = process.receive(tuple, timeout=DEADLINE)
            process.exit(tree_of_waiting(server)["acceptor-1/acceptor"], "kill")
            process.send(pid, "go")
            self._ends_or_serves(first)
            with server.connect() as second:
                _, pid = process.receive(tuple, timeout=DEADLINE)
                process.send(pid, "go")
                assert exchange(second, b"second") == b"second"
                assert len(server.connections()) <= 2

    @staticmethod
    def _ends_or_serves(client: Any) -> None:
        try:
            assert exchange(client, b"first") in (b"first", b"")
        except ConnectionError:
            pass


def tree_of_waiting(server: Any) -> Any:
    """The tree of a server whose connection supervisor cannot answer: it starts a child."""
    found = [pid for pid in process.pids() if "'acceptor', (" in repr(pid) and "Waiting" in repr(pid)]
    assert server.pid in process.pids()
    return {"acceptor-1/acceptor": found[0]}


@pytest.mark.row("TID-70")
def test_a_slow_handle_connection_does_not_hold_the_acceptor_up() -> None:
    class Sleepy(Echo):
        def handle_connection(self, socket: Any, state: Any) -> Any:
            if socket.recv(1, DEADLINE) == b"s":
                process.receive(lambda message: message == "go on")
            return super().handle_connection(socket, state)

    with serve(Sleepy) as server, server.connect() as slow, server.connect() as quick:
        slow.sendall(b"s")
        quick.sendall(b"q")
        assert exchange(quick, b"quick") == b"quick"
        for pid in server.connections():
            process.send(pid, "go on")


def test_the_descriptors_of_clients_that_were_refused_are_given_back() -> None:
    with serve(FailInit, handler_options=[Stop("no")] * 50) as server:
        before = len(os.listdir("/dev/fd"))
        for _ in range(50):
            with server.connect() as client:
                assert is_closed(client)
        until(lambda: len(os.listdir("/dev/fd")) <= before)  # without the GIL the watchdog may have one for a moment
