"""One connection as a transport sees it: telling of data, aborting from outside, and closing itself when dropped."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from supervision import mailbox, process
from supervision.foreign import this_process
from supervision.readiness import forget
from supervision.threads import current
from tests.thousand_island.serving import DEADLINE
from thousand_island import SocketClosed, SocketTimeout
from thousand_island.transports import TCP
from thousand_island.transports.stream import Stream


@pytest.fixture
def listener() -> Iterator[Any]:
    listener = TCP.listen(0, {"ip": "loopback", "buffer": 4})
    yield listener
    listener.close()


@pytest.fixture
def ends(listener: Any) -> Iterator[tuple[Stream, socket.socket]]:
    """A stream that belongs to the test, with reads of four bytes at most, and the client's end."""
    with socket.create_connection(TCP.sockname(listener), timeout=DEADLINE / 1000) as client:
        stream = TCP.accept(listener)
        stream.source.armed = True  # the owner takes the source as a message
        yield stream, client
        stream.close()


def is_told(stream: Stream) -> bool:
    """Whether the owner is told, now or soon; takes the message."""
    try:
        mailbox.receive(
            this_process(), current.record, lambda message: message is stream.source, DEADLINE, for_the_loop=True
        )
    except TimeoutError:
        return False
    stream.source.posted.release()
    return True


def is_told_already(stream: Stream) -> bool:
    """Whether the message is there."""
    return stream.source.posted.locked()


class TestAwaitData:
    def test_what_was_there_before_is_told(self, ends: Any) -> None:
        stream, client = ends
        client.sendall(b"data")
        stream.await_data()
        assert is_told(stream)
        assert stream.read() == b"data"

    def test_what_comes_later_is_told_once_for_each_arrival(self, ends: Any) -> None:
        stream, client = ends
        stream.await_data()
        for word in [b"one", b"two"]:
            client.sendall(word)
            assert is_told(stream)
            assert stream.read() == word
            stream.await_data()
            assert not is_told_already(stream)

    def test_after_a_full_read_it_looks_again(self, ends: Any) -> None:
        stream, client = ends
        client.sendall(b"12345678")
        stream.await_data()
        assert is_told(stream)
        assert stream.read() == b"1234"
        stream.await_data()
        assert is_told(stream)
        assert stream.read() == b"5678"

    def test_what_a_recv_has_kept_is_told(self, ends: Any) -> None:
        stream, client = ends
        stream.await_data()
        client.sendall(b"abc")
        assert is_told(stream)
        with pytest.raises(SocketTimeout):
            stream.recv(5, 0)
        stream.await_data()
        assert is_told(stream)
        assert stream.read() == b"abc"

    def test_also_if_nothing_has_been_waited_for_before(self, ends: Any) -> None:
        stream, client = ends
        client.sendall(b"abc")
        assert stream.recv(1, DEADLINE) == b"a"
        with pytest.raises(SocketTimeout):
            stream.recv(3, 0)
        forget(stream.source)
        while is_told_already(stream):
            is_told(stream)
        stream.await_data()
        assert is_told(stream)
        assert stream.read() == b"bc"

    def test_what_came_while_kept_data_waited_to_be_read_is_told(self, ends: Any) -> None:
        stream, client = ends
        stream.await_data()
        client.sendall(b"abc")
        assert is_told(stream)
        with pytest.raises(SocketTimeout):
            stream.recv(5, 0)
        client.sendall(b"de")
        assert is_told(stream)  # the only word of it
        assert stream.read() == b"abc"
        stream.await_data()
        assert is_told(stream)
        assert stream.read() == b"de"

    def test_the_end_that_a_recv_has_met_is_told_again(self, ends: Any) -> None:
        stream, client = ends
        stream.await_data()
        client.close()
        for _ in range(2):
            with pytest.raises(SocketClosed):
                stream.recv(5, DEADLINE)
            assert is_told(stream)
            stream.await_data()
        assert is_told(stream)

    def test_the_end_is_told_after_the_data_that_came_with_it(self, ends: Any) -> None:
        stream, client = ends
        client.sendall(b"end")
        client.close()
        stream.await_data()
        assert is_told(stream)
        assert stream.read() == b"end"
        stream.await_data()
        assert is_told(stream)
        with pytest.raises(SocketClosed):
            stream.read()

    def test_being_told_for_nothing_is_a_timeout(self, ends: Any) -> None:
        stream, _ = ends
        with pytest.raises(SocketTimeout):
            stream.read()

    def test_a_stream_that_is_closed_tells_so_and_touches_no_descriptor(self, ends: Any) -> None:
        stream, _ = ends
        stream.close()
        with open(os.devnull, "rb"):  # probably has the number now
            stream.await_data()
            assert is_told(stream)
            with pytest.raises(SocketClosed):
                stream.read()
            with pytest.raises(SocketClosed):
                stream.recv(0, DEADLINE)


class Lost:
    """Stands for the socket of a connection whose peer has not answered for too long, after a while."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def use(self, *args: Any) -> Any:
        self.calls += 1
        raise BlockingIOError if self.calls == 1 else TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    recv = send = sendmsg = use


class TestLostPeer:
    """ETIMEDOUT of the system is a TimeoutError, but no time of ours is over."""

    @pytest.mark.parametrize(
        "use",
        [lambda stream: stream.recv(5, DEADLINE), lambda stream: stream.send(b"x"), lambda stream: stream.send([b"x"])],
    )
    def test_it_is_an_error_of_the_connection(self, ends: Any, use: Any) -> None:
        stream, _ = ends
        stream.sock = Lost(stream.sock)
        with pytest.raises(OSError, match="Connection timed out") as failed:
            use(stream)
        assert failed.value.errno == errno.ETIMEDOUT


class TestAbort:
    def test_the_peer_sees_the_end_and_the_descriptor_stays(self, ends: Any) -> None:
        stream, client = ends
        number = stream.fileno()
        threading.Thread(target=stream.abort).start()
        assert client.recv(1) == b""
        os.fstat(number)
        with pytest.raises(SocketClosed):
            stream.recv(1, DEADLINE)

    def test_whoever_waits_for_data_is_woken(self, ends: Any) -> None:
        stream, _ = ends
        threading.Thread(target=stream.abort).start()
        with pytest.raises(SocketClosed):
            stream.recv(0, DEADLINE)

    def test_after_the_close_it_does_nothing(self, ends: Any) -> None:
        stream, client = ends
        number = stream.fileno()
        stream.close()
        assert client.recv(1) == b""
        one, other = socket.socketpair()
        with one, other, contextlib.ExitStack() as moved:
            if number not in (one.fileno(), other.fileno()):
                moved.enter_context(socket.socket(fileno=os.dup2(one.fileno(), number)))
            stream.abort()
            other.sendall(b"x")
            assert one.recv(1) == b"x"

    def test_it_and_the_close_may_come_at_once(self, listener: Any) -> None:
        for _ in range(100):
            with socket.create_connection(TCP.sockname(listener), timeout=5) as client:
                stream = TCP.accept(listener)
                thread = threading.Thread(target=stream.abort)
                thread.start()
                stream.close()
                thread.join()
                assert client.recv(1) == b""


class TestDropped:
    def test_a_stream_that_nobody_knows_any_more_closes_itself(self, listener: Any) -> None:
        with socket.create_connection(TCP.sockname(listener), timeout=DEADLINE / 1000) as client:
            stream = TCP.accept(listener)
            stream.await_data()
            del stream
            gc.collect()
            assert client.recv(1) == b""

    def test_one_that_has_been_handed_over_has_no_destructor(self, listener: Any) -> None:
        with socket.create_connection(TCP.sockname(listener), timeout=DEADLINE / 1000) as client:
            stream = TCP.accept(listener)
            TCP.controlling_process(stream, process.self())
            sock = stream.sock
            del stream
            gc.collect()
            sock.send(b"open")
            assert client.recv(4) == b"open"
            sock.close()
