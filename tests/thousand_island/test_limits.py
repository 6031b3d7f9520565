from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import thousand_island
from supervision import INFINITY, Stop, process, sys
from tests.supervision.supervised import until
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Echo,
    Server,
    down,
    events_of,
    exchange,
    is_closed,
    is_silent,
    receive_exactly,
    serve,
    tree,
)
from tests.thousand_island.transports import Flaky
from thousand_island import Close, Continue, Handler
from thousand_island.admission import HELD_MOST, RETRY_START
from thousand_island.limits import ROOM, Limits
from thousand_island.server import shared
from thousand_island.transports.turns import YourTurn


class Counting(Handler):
    """Answers one request, and notes how many connections there were at a time."""

    lock = threading.Lock()
    now = 0
    most = 0

    def handle_connection(self, socket: Any, state: Any) -> Any:
        with Counting.lock:
            Counting.now += 1
            Counting.most = max(Counting.most, Counting.now)
        return Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(data)
        return Close(state)

    def handle_close(self, socket: Any, state: Any) -> None:
        with Counting.lock:
            Counting.now -= 1


@contextlib.contextmanager
def served(server: Server, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A client of an address that has been answered once."""
    with connect_from(server, host) as client:
        assert exchange(client, b"x") == b"x"
        yield client


def connect_from(server: Server, host: str) -> socket.socket:
    return socket.create_connection(server.address, timeout=SECONDS, source_address=(host, 0))


class TestMaxConnections:
    def test_a_newcomer_waits_until_there_is_room(self) -> None:
        with serve(Echo, max_connections=2, num_acceptors=3) as server, served(server):
            with served(server):
                waiting = server.connect()
                waiting.sendall(b"late")
                assert is_silent(waiting)
            assert receive_exactly(waiting, 4) == b"late"
            waiting.close()

    def test_several_wait_and_all_are_served_in_the_end(self) -> None:
        with serve(Echo, max_connections=1, num_acceptors=3) as server:
            clients = [server.connect() for _ in range(6)]
            for client in clients:
                client.sendall(b"now")
            for client in clients:
                assert receive_exactly(client, 3) == b"now"
                assert len(server.connections()) == 1
                client.close()

    def test_a_newcomer_is_closed_where_that_was_chosen(self) -> None:
        class Closing(Echo):
            pass

        options = {"max_connections": 1, "at_limit": "close", "num_acceptors": 2}
        with events_of(Closing) as events, serve(Closing, **options) as server:
            with served(server):
                pid = server.only_connection()
                with server.connect() as refused:
                    assert is_closed(refused)
                measurements, _ = events.wait("acceptor.spawn_error")
                assert measurements["error"] == "max_connections"
            down(pid)
            with served(server):
                pass

    def test_a_killed_connection_makes_room(self) -> None:
        with serve(Echo, max_connections=1) as server, served(server) as first, server.connect() as waiting:
            process.exit(server.only_connection(), "kill")
            assert is_closed(first)
            assert exchange(waiting, b"y") == b"y"

    def test_a_handler_that_cannot_start_makes_room(self) -> None:
        class Refusing(Echo):
            def init(self, arg: Any) -> Any:
                return Stop("no")

        with serve(Refusing, max_connections=1) as server:
            for _ in range(3):
                with server.connect() as client:
                    assert is_closed(client)
            limits = shared(server.pid).limits
            assert limits is not None
            assert not limits.holders

    def test_a_client_that_was_reset_in_the_backlog_makes_room(self) -> None:
        with serve(Echo, max_connections=1) as server:
            with served(server):
                gone = server.connect()
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                gone.close()
                waiting = server.connect()
            assert exchange(waiting, b"y") == b"y"
            waiting.close()

    def test_an_acceptor_that_finds_nobody_keeps_no_place(self) -> None:
        with serve(Echo, max_connections=2) as server:
            acceptor = tree(server.pid)["acceptor-1/acceptor"]
            process.send(acceptor, YourTurn())
            until(lambda: not acceptor._process.mailbox)
            sys.get_state(acceptor)  # it has looked
            limits = shared(server.pid).limits
            assert limits is not None
            assert not limits.holders

    def test_there_are_never_more_whoever_comes_at_the_same_time(self) -> None:
        Counting.now = Counting.most = 0
        with serve(Counting, max_connections=3, num_acceptors=8) as server:

            def visit(number: int) -> bytes:
                with server.connect() as client:
                    return exchange(client, b"%4d" % number)

            with ThreadPoolExecutor(16) as clients:
                assert list(clients.map(visit, range(160))) == [b"%4d" % number for number in range(160)]
        assert Counting.most <= 3

    def test_an_acceptor_that_dies_gives_its_place_back(self) -> None:
        options = {"max_connections": 2, "num_connections": 1, "max_connections_retry_wait": INFINITY}
        with serve(Echo, **options) as server, served(server):
            with server.connect() as waiting:  # with a place, in the hand of the acceptor
                limits = shared(server.pid).limits
                assert limits is not None
                acceptor = tree(server.pid)["acceptor-1/acceptor"]
                admission = acceptor._process.body.actor.admission
                while admission.waiting is None:
                    process.get_label(acceptor)
                process.exit(acceptor, "kill")
                assert is_closed(waiting)
            assert server.only_connection()._process in limits.holders
            assert acceptor._process not in limits.holders

    def test_a_restarted_acceptor_serves_who_waits_in_the_backlog(self) -> None:
        with serve(Echo, max_connections=1) as server, served(server) as first, server.connect() as waiting:
            acceptor = tree(server.pid)["acceptor-1/acceptor"]
            process.exit(acceptor, "kill")
            down(acceptor)
            assert exchange(first, b"y") == b"y"
            first.close()
            assert exchange(waiting, b"z") == b"z"

    def test_it_holds_after_suspend_and_resume(self) -> None:
        with serve(Echo, max_connections=1, num_acceptors=2) as server, served(server) as first:
            thousand_island.suspend(server.pid)
            thousand_island.resume(server.pid)
            server.address = thousand_island.listener_info(server.pid)
            with server.connect() as waiting:
                waiting.sendall(b"late")
                assert is_silent(waiting)
                first.close()
                assert receive_exactly(waiting, 4) == b"late"


class TestMaxConnectionsPerIp:
    def test_only_the_address_at_the_limit_waits(self) -> None:
        with serve(Echo, max_connections_per_ip=1, num_acceptors=2) as server:
            with served(server):
                waiting = server.connect()
                waiting.sendall(b"late")
                assert is_silent(waiting)
                with served(server, "127.0.0.2"):
                    pass
            assert receive_exactly(waiting, 4) == b"late"
            waiting.close()

    def test_only_the_address_at_the_limit_is_closed(self) -> None:
        class Closing(Echo):
            pass

        options = {"max_connections_per_ip": 1, "at_limit": "close"}
        with events_of(Closing) as events, serve(Closing, **options) as server, served(server):
            with server.connect() as refused:
                assert is_closed(refused)
            assert events.wait("acceptor.spawn_error")[0]["error"] == "max_connections_per_ip"
            with served(server, "127.0.0.2"):
                pass

    def test_those_who_wait_do_not_use_up_the_places_of_others(self) -> None:
        options = {"max_connections": 2, "max_connections_per_ip": 1}
        with serve(Echo, **options) as server, served(server), contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(server.connect()) for _ in range(3)]
            for client in waiting:
                client.sendall(b"late")
            with served(server, "127.0.0.2"):
                pass
            assert is_silent(waiting[0])

    def test_no_more_wait_than_an_acceptor_keeps(self) -> None:
        with serve(Echo, max_connections_per_ip=1) as server, served(server), contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(server.connect()) for _ in range(HELD_MOST + 1)]
            assert is_closed(waiting[-1])
            assert is_silent(waiting[0])

    def test_all_are_served_in_the_end(self) -> None:
        with serve(Echo, max_connections=2, max_connections_per_ip=1, num_acceptors=3) as server:
            clients = [connect_from(server, f"127.0.0.{1 + number % 3}") for number in range(12)]
            for client in clients:
                client.sendall(b"now")

            def visit(client: socket.socket) -> bytes:
                with client:
                    return receive_exactly(client, 3)

            with ThreadPoolExecutor(len(clients)) as visitors:
                assert set(visitors.map(visit, clients)) == {b"now"}

    def test_who_gets_room_where_its_acceptor_is_full_waits_there_and_nobody_after_it(self) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": 20, "max_connections_retry_count": 1_000}
        with serve(Echo, max_connections_per_ip=1, num_acceptors=2, **options) as server:
            limits = shared(server.pid).limits
            assert limits is not None
            with served(server) as first, served(server, "127.0.0.2"), contextlib.ExitStack() as stack:
                stack.enter_context(connect_from(server, "127.0.0.4"))  # where the first is
                until(lambda: "127.0.0.4" in limits.by_address)
                held = server.connect()  # where the second is
                until(lambda: "127.0.0.1" in limits.queues)
                first.close()
                until(lambda: "127.0.0.1" not in limits.queues)
                held.sendall(b"held")
                stack.enter_context(connect_from(server, "127.0.0.3"))
                until(lambda: "127.0.0.3" in limits.by_address)
            assert receive_exactly(held, 4) == b"held"
            held.close()
            until(lambda: not limits.by_address and not limits.holders)

    def test_who_got_room_where_its_acceptor_was_full_is_not_forgotten(self) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": INFINITY, "max_connections_retry_count": 1_000}
        with serve(Echo, max_connections_per_ip=1, **options) as server:
            acceptor = tree(server.pid)["acceptor-1/acceptor"]
            limits = shared(server.pid).limits
            assert limits is not None

            def leave(client: socket.socket) -> None:
                pid = server.only_connection()
                client.close()
                down(pid)
                server.settle()
                process.send(acceptor, RETRY_START)

            with contextlib.ExitStack() as stack:
                first = stack.enter_context(served(server))
                held = server.connect()
                until(lambda: "127.0.0.1" in limits.queues)
                waiting = stack.enter_context(connect_from(server, "127.0.0.2"))
                until(lambda: "127.0.0.2" in limits.by_address)
                leave(first)
                assert exchange(waiting, b"x") == b"x"
                leave(waiting)
                assert exchange(held, b"x") == b"x"

    def test_room_that_an_acceptor_cannot_use_is_passed_on(self) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": INFINITY}
        with serve(Echo, max_connections_per_ip=1, **options) as server, served(server):
            limits = shared(server.pid).limits
            assert limits is not None
            with connect_from(server, "127.0.0.2"):
                until(lambda: "127.0.0.2" in limits.by_address)  # it waits, and its acceptor for it
                holder = process.spawn(process.receive)
                assert limits.take(holder._process, "elsewhere") is None
                assert limits.take(process.self()._process, "elsewhere") == "max_connections_per_ip"
                process.send(tree(server.pid)["acceptor-1/acceptor"], ROOM)
                assert process.receive(is_room, timeout=DEADLINE) is ROOM
            process.exit(holder, "kill")

    def test_clients_of_a_unix_socket_have_no_address(self, tmp_path: Any) -> None:
        path = str(tmp_path / "socket")
        options = {"max_connections_per_ip": 1, "transport_options": {"ip": ("local", path)}}
        with serve(Echo, **options), contextlib.ExitStack() as stack:
            for _ in range(3):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.settimeout(SECONDS)
                client.connect(path)
                assert exchange(client, b"x") == b"x"


class TestNumConnections:
    @pytest.mark.row("TIS-03")
    def test_a_newcomer_gets_the_place_that_becomes_free_in_time(self) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": 20, "max_connections_retry_count": 1_000}
        with serve(Echo, **options) as server:
            with served(server):
                waiting = server.connect()
                waiting.sendall(b"late")
                assert is_silent(waiting)
            assert receive_exactly(waiting, 4) == b"late"
            waiting.close()

    @pytest.mark.row("TIS-03", "TIS-04")
    def test_a_newcomer_is_closed_if_none_becomes_free(self) -> None:
        class Full(Echo):
            pass

        options = {"num_connections": 1, "max_connections_retry_wait": 10}
        with events_of(Full) as events, serve(Full, **options) as server:
            with served(server) as first:
                pid = server.only_connection()
                with server.connect() as refused:
                    assert is_closed(refused)
                measurements, metadata = events.wait("acceptor.spawn_error")
                assert set(measurements) == {"monotonic_time"}
                assert set(metadata) == {"handler", "telemetry_span_context"}
                assert exchange(first, b"y") == b"y"
            down(pid)
            with served(server):
                pass

    @pytest.mark.row("TID-03")
    def test_without_retries_it_is_closed_at_once(self) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": INFINITY, "max_connections_retry_count": 0}
        with serve(Echo, **options) as server, served(server), server.connect() as refused:
            assert is_closed(refused)

    @pytest.mark.parametrize("becomes_free", [True, False])
    def test_each_newcomer_has_all_the_retries(self, becomes_free: bool) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": INFINITY, "max_connections_retry_count": 1}
        with serve(Echo, **options) as server:
            acceptor = tree(server.pid)["acceptor-1/acceptor"]
            with served(server) as first, server.connect() as second:
                until(lambda: acceptor._process.body.actor.admission.waiting is not None)
                if becomes_free:
                    pid = server.only_connection()
                    first.close()
                    down(pid)
                    server.settle()
                process.send(acceptor, RETRY_START)
                if becomes_free:
                    assert exchange(second, b"x") == b"x"
                else:
                    assert is_closed(second)
                with server.connect() as third:
                    until(lambda: acceptor._process.body.actor.admission.waiting is not None)
                    assert is_silent(third)

    def test_a_transport_that_cannot_close_it_costs_no_acceptor(self) -> None:
        flaky = Flaky()
        options = {"num_connections": 1, "max_connections_retry_wait": INFINITY, "max_connections_retry_count": 0}
        with serve(Echo, transport_module=flaky, **options) as server, served(server) as first:
            acceptor = tree(server.pid)["acceptor-1/acceptor"]
            flaky.fail("close", RuntimeError("a mistake of the transport"))
            with server.connect() as refused:
                assert is_closed(refused)
            assert exchange(first, b"y") == b"y"
            assert tree(server.pid)["acceptor-1/acceptor"] is acceptor

    @pytest.mark.row("TID-75")
    def test_stop_does_not_wait_for_the_next_look(self) -> None:
        options = {"num_connections": 1, "max_connections_retry_wait": INFINITY}
        with serve(Echo, **options) as server, served(server), server.connect() as waiting:
            thousand_island.stop(server.pid)
            assert is_closed(waiting)


class TestLimits:
    """The count itself; its acceptors are processes that do as they are told."""

    @pytest.fixture
    def processes(self) -> Iterator[list[Any]]:
        pids = [process.spawn(process.receive, int) for _ in range(4)]
        yield [pid._process for pid in pids]
        for pid in pids:
            process.exit(pid, "kill")

    def test_a_place_is_handed_from_acceptor_to_connection(self, processes: list[Any]) -> None:
        acceptor, connection, *_ = processes
        limits = Limits(1, INFINITY, wait=True)
        assert limits.take(acceptor) is None
        assert limits.hand_over(acceptor, connection)
        assert limits.take(acceptor) is not None
        process.exit(connection.pid, "kill")
        assert limits.take(acceptor) is None

    def test_taking_again_keeps_the_one_place(self, processes: list[Any]) -> None:
        acceptor, other, *_ = processes
        limits = Limits(2, 1, wait=True)
        assert limits.take(acceptor) is None
        assert limits.take(acceptor, "a") is None
        assert limits.take(other) is None
        assert limits.take(other, "a") is not None
        assert limits.take(other, "b") is None

    def test_a_dead_acceptor_has_nothing_to_hand_over(self, processes: list[Any]) -> None:
        acceptor, connection, *_ = processes
        limits = Limits(1, 1, wait=True)
        limits.join(acceptor)
        assert limits.take(acceptor, "a") is None
        process.exit(acceptor.pid, "kill")
        assert not limits.hand_over(acceptor, connection)
        assert limits.take(connection, "a") is None

    def test_a_dead_acceptor_gets_no_place(self, processes: list[Any]) -> None:
        limits = Limits(1, 1, wait=True)
        process.exit(processes[0].pid, "kill")
        assert limits.take(processes[0]) == "max_connections"
        assert not limits.holders

    def test_a_connection_that_has_died_already_gives_its_place_back(self, processes: list[Any]) -> None:
        acceptor, connection, *_ = processes
        limits = Limits(1, INFINITY, wait=True)
        process.exit(connection.pid, "kill")
        assert limits.take(acceptor) is None
        assert limits.hand_over(acceptor, connection)
        assert limits.take(acceptor) is None

    def test_room_is_told_in_turn_and_passed_on_by_the_dead(self) -> None:
        limits = Limits(1, INFINITY, wait=True)
        holder, first, second = (process.spawn_monitor(process.receive, is_room) for _ in range(3))
        for pid, _ in (first, second):
            limits.join(pid._process)
        assert limits.take(holder[0]._process) is None
        assert limits.take(first[0]._process) is not None
        assert limits.take(second[0]._process) is not None
        process.exit(first[0], "kill")
        limits.give_back(holder[0]._process)
        assert ended(second[1]) == "normal"  # by ROOM
        process.exit(holder[0], "kill")

    def test_the_dead_who_wait_behind_others_get_no_room(self, processes: list[Any]) -> None:
        dead, holder, *_ = processes
        me = process.self()._process
        limits = Limits(1, INFINITY, wait=True)
        limits.join(dead)
        assert limits.take(holder) is None
        assert limits.take(me) is not None
        assert limits.take(dead) is not None
        process.exit(dead.pid, "kill")
        assert process.receive(is_room, timeout=DEADLINE) is ROOM  # passed on, and there is none
        assert limits.take(me) is not None  # now behind the dead
        limits.give_back(holder)
        assert process.receive(is_room, timeout=DEADLINE) is ROOM

    def test_who_loses_its_place_to_the_limit_of_an_address_makes_room(self, processes: list[Any]) -> None:
        acceptor, holder, *_ = processes
        limits = Limits(2, 1, wait=True)
        assert limits.take(holder, "a") is None
        assert limits.take(acceptor) is None
        assert limits.take(process.self()._process) is not None
        assert limits.take(acceptor, "a") is not None
        assert process.receive(is_room, timeout=DEADLINE) is ROOM

    @pytest.mark.parametrize("address", [None, "a"])
    def test_whoever_dies_with_room_in_the_mailbox_has_it_passed_on(self, processes: list[Any], address: Any) -> None:
        deaf, holder, *_ = processes
        limits = Limits(1, INFINITY, wait=True) if address is None else Limits(INFINITY, 1, wait=True)
        second, ref = process.spawn_monitor(process.receive, is_room)
        limits.join(deaf)
        assert limits.take(holder, address) is None
        assert limits.take(deaf, address) is not None
        assert limits.take(second._process, address) is not None
        limits.give_back(holder)
        process.exit(deaf.pid, "kill")
        assert ended(ref) == "normal"

    def test_nothing_is_kept_of_addresses_that_have_gone(self, processes: list[Any]) -> None:
        acceptor, other, *_ = processes
        limits = Limits(INFINITY, 1, wait=True)
        assert limits.take(acceptor, "a") is None
        assert limits.take(other, "a") is not None
        limits.give_back(acceptor)
        assert limits.take(other, "a") is None
        limits.give_back(other)
        assert not limits.by_address
        assert not limits.queues
        assert not limits.holders

    def test_the_count_is_exact_whoever_asks_at_the_same_time(self) -> None:
        limits = Limits(2, INFINITY, wait=False)
        lock = threading.Lock()
        seen = {"now": 0, "most": 0, "taken": 0}

        def take_turns() -> None:
            me = process.self()._process
            for _ in range(300):
                if limits.take(me) is None:
                    with lock:
                        seen["now"] += 1
                        seen["taken"] += 1
                        seen["most"] = max(seen["most"], seen["now"])
                    with lock:
                        seen["now"] -= 1
                    limits.give_back(me)

        refs = [process.spawn_monitor(take_turns)[1] for _ in range(6)]
        assert [ended(ref) for ref in refs] == ["normal"] * 6
        assert seen["taken"] > 0
        assert seen["most"] <= 2
        assert not limits.holders


def is_room(message: Any) -> bool:
    return message is ROOM


def ended(ref: Any) -> Any:
    return process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE).reason
