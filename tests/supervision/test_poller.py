from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from supervision import kqueue_poller
from supervision.kqueue_poller import KqueuePoller
from supervision.poller import ENDED, READABLE, WRITABLE, Poller, Source, dispatch, new_poller
from supervision.process_table import Process
from supervision.threads import current
from supervision.waits import Wait

PATIENCE = 10.0

# Nobody's: the poller only hands it back.
NO_PROCESS: Process = SimpleNamespace()  # type: ignore[assignment]

needs_kqueue = pytest.mark.skipif(not hasattr(select, "kqueue"), reason="this system has no kqueue")


@pytest.fixture(params=["best", pytest.param("kqueue", marks=needs_kqueue)])
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    made: Poller = KqueuePoller() if request.param == "kqueue" else new_poller()
    with contextlib.closing(made):
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def readiness(poller: Poller, source: Source) -> int:
    """What one look finds about ``source``, all in one."""
    found = 0
    for ready, how in poller.wait(0):
        assert ready is source
        found |= how
    return found


class TestReadability:
    def test_nothing_is_told_before_something_arrives(self, poller: Poller, pair: Pair) -> None:
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.add(source)
        assert readiness(poller, source) == 0

    def test_it_is_told_once_per_arrival(self, poller: Poller, pair: Pair) -> None:
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.add(source)
        for _ in range(3):
            pair[1].send(b"data")
            assert readiness(poller, source) == READABLE
            assert readiness(poller, source) == 0

    def test_what_was_there_before_is_told_too(self, poller: Poller, pair: Pair) -> None:
        pair[1].send(b"data")
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.add(source)
        assert readiness(poller, source) == READABLE

    def test_the_end_of_the_peer_is_readable_and_said(self, poller: Poller, pair: Pair) -> None:
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.add(source)
        pair[1].close()
        found = readiness(poller, source)
        assert found & READABLE
        assert found & ENDED

    def test_a_peer_that_only_stops_sending_has_ended_too(self, poller: Poller, pair: Pair) -> None:
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.add(source)
        pair[1].shutdown(socket.SHUT_WR)
        found = readiness(poller, source)
        assert found & READABLE
        assert found & ENDED


class TestWritability:
    def test_it_is_not_told_until_asked_for(self, poller: Poller, pair: Pair) -> None:
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.add(source)
        assert readiness(poller, source) & WRITABLE == 0
        poller.watch_writing(source)
        assert source.watches_writing
        assert readiness(poller, source) == WRITABLE

    def test_room_in_a_full_buffer_is_told(self, poller: Poller, pair: Pair) -> None:
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.add(source)
        poller.watch_writing(source)
        with contextlib.suppress(BlockingIOError):
            while True:
                pair[0].send(b"x" * 65_536)
        poller.wait(0)
        assert readiness(poller, source) & WRITABLE == 0
        pair[1].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                pair[1].recv(65_536)
        assert readiness(poller, source) & WRITABLE


class TestRemove:
    def test_nothing_is_told_any_more(self, poller: Poller, pair: Pair) -> None:
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.add(source)
        poller.watch_writing(source)
        poller.remove(source)
        pair[1].send(b"data")
        assert poller.wait(0) == []

    def test_a_second_time_and_of_an_unknown_one_nothing_happens(self, poller: Poller, pair: Pair) -> None:
        source = Source(pair[0].fileno(), NO_PROCESS)
        poller.remove(source)
        poller.add(source)
        poller.remove(source)
        poller.remove(source)
        assert poller.wait(0) == []

    @pytest.mark.parametrize("forget", ["remove", "closing"])
    def test_the_number_of_a_closed_descriptor_may_be_anothers(self, poller: Poller, pair: Pair, forget: str) -> None:
        before, now = (Source(pair[0].fileno(), NO_PROCESS) for _ in range(2))
        poller.add(before)
        poller.remove(before)  # as the system does when it is closed
        poller.sources[before.fd] = before
        poller.add(now)
        getattr(poller, forget)(before)
        pair[1].send(b"data")
        assert readiness(poller, now) == READABLE

    def test_the_number_may_be_used_again_at_once(self, poller: Poller) -> None:
        for _ in range(3):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                source = Source(ours.fileno(), NO_PROCESS)
                poller.add(source)
                theirs.send(b"data")
                assert readiness(poller, source) == READABLE
                poller.remove(source)


class TestWake:
    def test_it_ends_the_wait_of_another_thread(self, poller: Poller) -> None:
        waiting = threading.Thread(target=poller.wait, args=(None,))
        waiting.start()
        poller.wake()
        waiting.join(PATIENCE)
        assert not waiting.is_alive()

    def test_it_ends_the_next_wait_if_nobody_waits(self, poller: Poller) -> None:
        for _ in range(3):
            poller.wake()
            assert poller.wait(None) == []

    def test_hundreds_of_thousands_that_nobody_took_do_not_block(self, poller: Poller) -> None:
        for _ in range(200_000):  # more than a pipe holds
            poller.wake()
        assert poller.wait(None) == []

    def test_every_wake_up_from_many_threads_is_felt(self, poller: Poller) -> None:
        rounds = 2_000
        turns = [threading.Semaphore(0) for _ in range(4)]

        def wake(turn: threading.Semaphore) -> None:
            for _ in range(rounds):
                assert turn.acquire(timeout=PATIENCE)
                poller.wake()

        wakers = [threading.Thread(target=wake, args=(turn,)) for turn in turns]
        for waker in wakers:
            waker.start()
        for number in range(rounds):
            for turn in turns:
                turn.release()
                poller.wait(PATIENCE)  # ends by this wake-up or by one that was not taken yet
            assert number < rounds
        for waker in wakers:
            waker.join(PATIENCE)

    def test_an_eventfd_that_is_full_is_begun_anew(self, poller: Poller) -> None:
        eventfd = getattr(poller, "eventfd", None)
        if eventfd is None:
            pytest.skip("only Linux has an eventfd")
        import os

        os.eventfd_write(eventfd, 2**64 - 2)
        poller.wake()
        assert poller.wait(None) == []


class TestWait:
    def test_it_ends_at_its_timeout(self, poller: Poller) -> None:
        assert poller.wait(0.001) == []


class TestDispatch:
    def source(self) -> Source:
        source = Source(-1, NO_PROCESS)
        source.armed = True
        return source

    def test_a_source_that_is_not_armed_is_no_message(self) -> None:
        mail: list[Any] = []
        dispatch(Source(-1, NO_PROCESS), READABLE, lambda *told: mail.append(told))
        assert mail == []

    def test_a_source_nobody_waits_for_is_delivered_once_until_it_is_taken(self) -> None:
        source, mail = self.source(), list[Any]()
        for _ in range(2):
            dispatch(source, READABLE, lambda process, message: mail.append((process, message)))
        assert mail == [(NO_PROCESS, source)]
        source.posted.release()
        dispatch(source, READABLE, lambda process, message: mail.append((process, message)))
        assert len(mail) == 2

    def test_the_thread_that_waits_is_woken_and_nothing_is_delivered(self) -> None:
        source, mail = self.source(), list[Any]()
        source.reader, source.writer = Wait(current.record), Wait(current.record)
        dispatch(source, READABLE, lambda *told: mail.append(told))
        assert source.reader.fired.locked()
        assert not source.writer.fired.locked()
        source.reader.parker.acquire()
        dispatch(source, WRITABLE, lambda *told: mail.append(told))
        assert source.writer.fired.locked()
        source.writer.parker.acquire()
        assert mail == []

    def test_writability_nobody_waits_for_is_dropped(self) -> None:
        mail: list[Any] = []
        dispatch(self.source(), WRITABLE, lambda *told: mail.append(told))
        assert mail == []

    def test_the_end_is_noted_before_the_source_is_delivered(self) -> None:
        source, noted = self.source(), list[bool]()
        dispatch(source, READABLE | ENDED, lambda process, message: noted.append(source.ended))
        assert noted == [True]


class FakeKqueue:
    """As much of a kqueue as shows what is asked of it, and tells what the test has it tell."""

    def __init__(self) -> None:
        self.filters: set[tuple[int, int]] = set()
        self.events: list[SimpleNamespace] = []
        self.closed = False

    def control(self, changes: list[SimpleNamespace] | None, most: int, timeout: float | None = None) -> list[Any]:
        for change in changes or ():
            if change.flags & FAKE.KQ_EV_DELETE:
                self.filters.remove((change.ident, change.filter))
            else:
                assert change.flags == FAKE.KQ_EV_ADD | FAKE.KQ_EV_CLEAR
                self.filters.add((change.ident, change.filter))
        events, self.events = self.events[:most], self.events[most:]
        return events

    def close(self) -> None:
        self.closed = True


FAKE = SimpleNamespace(
    kqueue=FakeKqueue,
    kevent=lambda ident, filter_, flags: SimpleNamespace(ident=ident, filter=filter_, flags=flags),
    KQ_FILTER_READ=-1,
    KQ_FILTER_WRITE=-2,
    KQ_EV_ADD=1,
    KQ_EV_DELETE=2,
    KQ_EV_CLEAR=32,
    KQ_EV_EOF=0x8000,
)


class TestKqueueOnSystemsWithoutIt:
    @pytest.fixture
    def faked(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[KqueuePoller]:
        monkeypatch.setattr(kqueue_poller, "_select", FAKE)
        with contextlib.closing(KqueuePoller()) as poller:
            yield poller

    def test_filters_are_registered_and_removed_as_asked(self, faked: KqueuePoller) -> None:
        source = Source(1_000, NO_PROCESS)
        of_its_own = faked.kqueue.filters.copy()
        faked.add(source)
        faked.watch_writing(source)
        assert faked.kqueue.filters - of_its_own == {(1_000, FAKE.KQ_FILTER_READ), (1_000, FAKE.KQ_FILTER_WRITE)}
        faked.remove(source)
        faked.remove(source)
        assert faked.kqueue.filters == of_its_own

    @pytest.mark.parametrize(
        ("which", "flags", "expected"),
        [
            (FAKE.KQ_FILTER_READ, 0, READABLE),
            (FAKE.KQ_FILTER_READ, FAKE.KQ_EV_EOF, READABLE | ENDED),
            (FAKE.KQ_FILTER_WRITE, 0, WRITABLE),
            (FAKE.KQ_FILTER_WRITE, FAKE.KQ_EV_EOF, WRITABLE | ENDED),
        ],
    )
    def test_events_are_translated(self, faked: KqueuePoller, which: int, flags: int, expected: int) -> None:
        source = Source(1_000, NO_PROCESS)
        faked.add(source)
        faked.kqueue.events = [FAKE.kevent(1_000, which, flags), FAKE.kevent(1_001, which, flags)]
        assert faked.wait(None) == [(source, expected)]

    def test_wake_ups_that_nobody_takes_do_not_block(self, faked: KqueuePoller) -> None:
        for _ in range(200_000):
            faked.wake()

    def test_closing_it_releases_its_descriptors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kqueue_poller, "_select", FAKE)
        poller = KqueuePoller()
        poller.close()
        assert poller.kqueue.closed
        with pytest.raises(OSError, match="Bad file descriptor"):
            poller.wake()
