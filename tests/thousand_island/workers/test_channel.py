from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import Actor, NoReply, Ok, Pid, cast, process, stop
from supervision.foreign import this_process
from tests.thousand_island.serving import DEADLINE, message
from thousand_island.workers.channel import Frames, ParentEnd, WorkerEnd, frame


class TestFrames:
    @given(contents=st.lists(st.binary(max_size=40)), cuts=st.lists(st.integers(0, 500)))
    def test_what_was_framed_comes_out_however_it_is_cut(self, contents: list[bytes], cuts: list[int]) -> None:
        data = b"".join(map(frame, contents))
        edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        frames = Frames()
        pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
        assert [content for piece in pieces for content in frames.feed(piece)] == contents
        assert not frames.rest


class Parent(Actor):
    """Tells the test what it hears, and says what it is cast."""

    def init(self, arg: tuple[socket.socket, Pid]) -> Ok:
        sock, self.test = arg
        return Ok(ParentEnd(sock, this_process()))

    def handle_cast(self, message: Any, end: ParentEnd) -> NoReply:
        process.send(self.test, ("told", end.tell(message)))
        return NoReply(end)

    def handle_info(self, message: Any, end: ParentEnd) -> NoReply:
        if end.is_told_by(message):
            for said in end.told():
                process.send(self.test, ("heard", said))
        return NoReply(end)


@pytest.fixture
def ends() -> Iterator[tuple[Pid, WorkerEnd]]:
    ours, theirs = socket.socketpair()
    parent = Parent.start((ours, process.self()))
    worker = WorkerEnd(theirs.detach())
    yield parent, worker
    if process.is_alive(parent):
        stop(parent, "normal", DEADLINE)
    worker.sock.close()


class TestEnds:
    def test_what_either_says_is_heard_by_the_other(self, ends: tuple[Pid, WorkerEnd]) -> None:
        parent, worker = ends
        for number in range(3):
            worker.tell({"number": number})
        assert [message() for _ in range(3)] == [("heard", {"number": number}) for number in range(3)]
        cast(parent, {"ask": "info"})
        cast(parent, {"ask": "metrics"})
        assert [message(), message()] == [("told", True)] * 2
        assert [worker.receive(), worker.receive()] == [b'{"ask": "info"}', b'{"ask": "metrics"}']

    def test_a_long_message_arrives_whole(self, ends: tuple[Pid, WorkerEnd]) -> None:
        _, worker = ends
        worker.tell(["x" * 1_000_000])
        assert message() == ("heard", ["x" * 1_000_000])

    def test_the_death_of_the_parent_is_the_end(self, ends: tuple[Pid, WorkerEnd]) -> None:
        parent, worker = ends
        process.exit(parent, "kill")
        assert worker.receive() is None
        worker.tell("nobody hears it")

    def test_a_parent_does_not_wait_for_a_worker_that_does_not_read(self, ends: tuple[Pid, WorkerEnd]) -> None:
        parent, _ = ends
        cast(parent, ["x" * 10_000_000])
        cast(parent, "more")
        assert [message(), message()] == [("told", False)] * 2

    def test_a_worker_s_children_do_not_hold_its_end(self, ends: tuple[Pid, WorkerEnd]) -> None:
        assert not os.get_inheritable(ends[1].sock.fileno())
