from __future__ import annotations

import fcntl
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import Actor, NoReply, Ok, Pid, cast, process, stop
from supervision.foreign import this_process
from supervision.process_table import Process
from supervision.readiness import MailedSource, forget, watch
from tests.thousand_island.serving import DEADLINE, SECONDS, message
from thousand_island.workers.channel import Frames, ParentEnd, WorkerEnd, frame

# More descriptors than the tests have open.
HIGH = 500


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


@pytest.fixture
def owner() -> Iterator[Process]:
    pid = process.spawn(lambda: process.receive(lambda message: message == "end"))
    yield pid._process
    process.exit(pid, "kill")


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends; the first has a number that nobody else is given, and that is given again when it is free."""
    ours, theirs = socket.socketpair()
    with ours:
        return socket.socket(fileno=fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, HIGH)), theirs


def end_of(owner: Process) -> tuple[ParentEnd, list[Callable[[], object]]]:
    """A parent's end, and what happens to it when its owner has died."""
    ours, theirs = pair()
    theirs.close()
    end = ParentEnd(ours, owner)
    bury = owner.at_burial
    assert bury is not None
    return end, [lambda: end.owner_died(owner, "killed"), bury]


class TestEndOfTheOwner:
    @pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1)], ids=str)
    def test_whatever_comes_first_the_end_is_forgotten_and_closed(self, owner: Process, order: tuple[int, ...]) -> None:
        end, happenings = end_of(owner)
        for number in order:
            happenings[number]()
        assert end.sock.fileno() == -1
        assert not end.source.watched

    def test_the_next_descriptor_of_its_number_stays_watched(self, owner: Process) -> None:
        end, (tell, bury) = end_of(owner)
        number = end.sock.fileno()
        bury()
        ours, theirs = pair()
        with ours, theirs:
            assert ours.fileno() == number
            source = MailedSource(number, this_process())
            watch(source)
            tell()
            theirs.send(b"x")
            assert process.receive(lambda message: message is source, timeout=DEADLINE)
            forget(source)

    def test_both_may_come_at_once(self, owner: Process) -> None:
        for _ in range(100):
            end, happenings = end_of(owner)
            barrier = threading.Barrier(2)

            def meet(happening: Callable[[], object], barrier: threading.Barrier = barrier) -> None:
                barrier.wait(SECONDS)
                happening()

            with ThreadPoolExecutor(2) as pool:
                for _ in pool.map(meet, happenings):
                    pass
            assert end.sock.fileno() == -1


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

    def test_a_program_that_the_worker_starts_does_not_hold_it(self) -> None:
        ours, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        worker = WorkerEnd(theirs.detach())
        assert not worker.sock.get_inheritable()
        for end in (ours, worker.sock):
            end.close()

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
