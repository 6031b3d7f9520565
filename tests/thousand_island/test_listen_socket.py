"""Whose turn it is to accept, and closing a listening socket under everybody's hands."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from supervision import Pid, process
from supervision.errors import ReceiveTimeout
from tests.thousand_island.serving import DEADLINE
from thousand_island.transports import TCP
from thousand_island.transports.listen_socket import ListenSocket
from thousand_island.transports.turns import YourTurn


@pytest.fixture
def listener() -> Iterator[ListenSocket]:
    listener = TCP.listen(0, {"ip": "loopback"})
    yield listener
    listener.close()


def connect(listener: ListenSocket) -> socket.socket:
    return socket.create_connection(TCP.sockname(listener), timeout=5)


def an_acceptor(to: Pid, listener: ListenSocket) -> Pid:
    """A process that waits for its turn once, tells of it, and then waits to be killed."""

    def run() -> None:
        listener.wait_turn(process.self()._process)
        process.send(to, ("waits", process.self()))
        process.receive(YourTurn)
        process.send(to, ("turn", process.self()))
        process.receive(lambda message: message == "end")

    pid = process.spawn(run)
    assert process.receive(tuple, timeout=DEADLINE) == ("waits", pid)
    return pid


def turn() -> Pid:
    """Wait until it is somebody's turn."""
    name, pid = process.receive(tuple, timeout=DEADLINE)
    assert name == "turn"
    return pid  # type: ignore[no-any-return]


class TestTurns:
    def test_each_connection_wakes_one_the_longest_waiting_first(self, listener: ListenSocket) -> None:
        waiting = [an_acceptor(process.self(), listener) for _ in range(3)]
        clients = []
        for expected in waiting:
            clients.append(connect(listener))
            assert turn() is expected
            TCP.accept(listener).close()
            with pytest.raises(BlockingIOError):
                TCP.accept(listener)
        with pytest.raises(ReceiveTimeout):
            process.receive(tuple, timeout=0)
        for client in clients:
            client.close()
        for pid in waiting:
            process.send(pid, "end")

    def test_a_turn_that_nobody_waited_for_is_kept(self, listener: ListenSocket) -> None:
        listener.pass_turn()
        with connect(listener):
            pid = an_acceptor(process.self(), listener)
            assert turn() is pid
            process.send(pid, "end")

    def test_the_dead_are_passed_over(self, listener: ListenSocket) -> None:
        dead, alive = an_acceptor(process.self(), listener), an_acceptor(process.self(), listener)
        process.exit(dead, "kill")
        with connect(listener):
            assert turn() is alive
        process.send(alive, "end")

    def test_who_comes_back_does_not_go_ahead_of_one_who_has_not_looked_yet(self, listener: ListenSocket) -> None:
        first, second = an_acceptor(process.self(), listener), an_acceptor(process.self(), listener)
        with connect(listener):
            assert turn() is first
            listener.pass_turn()
            assert turn() is second
            listener.pass_turn()  # the same connection, told of again
            listener.wait_turn(first._process)
            assert list(listener.waiting) == [first._process]
            listener.pass_on(second._process)
            assert not listener.waiting
        for pid in (first, second):
            process.send(pid, "end")

    def test_who_is_told_and_dies_leaves_the_turn_to_those_who_came_back(self, listener: ListenSocket) -> None:
        first, second = an_acceptor(process.self(), listener), an_acceptor(process.self(), listener)
        listener.join()
        for _ in range(3):
            listener.pass_turn()
        assert {turn(), turn()} == {first, second}
        listener.wait_turn(first._process)
        assert list(listener.waiting) == [first._process]
        listener.leave(second._process)
        assert not listener.waiting
        for pid in (first, second):
            process.send(pid, "end")

    def test_the_turn_of_one_who_dies_without_a_look_is_the_next_ones(self, listener: ListenSocket) -> None:
        first, second = an_acceptor(process.self(), listener), an_acceptor(process.self(), listener)
        for _ in range(2):
            listener.join()
        with connect(listener):
            assert turn() is first
            listener.leave(first._process)
            assert turn() is second
            listener.leave(second._process)
            third = an_acceptor(process.self(), listener)
            assert turn() is third
        for pid in (first, second, third):
            process.send(pid, "end")

    def test_many_may_get_in_line_at_once(self, listener: ListenSocket) -> None:
        me = process.self()
        pids = [process.spawn(listener.wait_turn, me._process) for _ in range(50)]
        for pid in pids:
            process.monitor(pid)
        for _ in pids:
            process.receive(timeout=DEADLINE)
        assert len(listener.waiting) == 50


class TestClose:
    def test_whoever_waits_gets_a_turn_to_find_out(self, listener: ListenSocket) -> None:
        pid = an_acceptor(process.self(), listener)
        listener.close()
        assert turn() is pid
        with pytest.raises(OSError, match=r"."):
            TCP.accept(listener)
        process.send(pid, "end")

    def test_getting_in_line_afterwards_gives_a_turn_at_once(self, listener: ListenSocket) -> None:
        listener.close()
        pid = an_acceptor(process.self(), listener)
        assert turn() is pid
        process.send(pid, "end")

    def test_clients_are_refused_at_once(self, listener: ListenSocket) -> None:
        address = TCP.sockname(listener)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)

    def test_clients_in_the_backlog_are_reset(self, listener: ListenSocket) -> None:
        with connect(listener) as client:
            listener.close()
            with pytest.raises(ConnectionResetError):
                client.recv(1)

    def test_it_may_be_closed_by_several_threads_at_once(self, listener: ListenSocket) -> None:
        threads = [threading.Thread(target=listener.close) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert listener.closed

    def test_the_number_of_its_descriptor_is_kept_until_the_last_acceptor_is_gone(self) -> None:
        listener = TCP.listen(0, {"ip": "loopback"})
        for _ in range(2):
            listener.join()
        number = listener.fileno()
        listener.close()
        for _ in range(2):
            with open(os.devnull, "rb") as other:
                assert other.fileno() != number
            os.fstat(number)
            listener.leave(process.self()._process)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
