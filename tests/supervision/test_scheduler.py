from __future__ import annotations

import contextlib
import errno
import gc
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import supervision
from supervision import Actor, NoReply, Ok, Reply, process, readiness
from supervision.foreign import this_process
from supervision.poller import READABLE, WRITABLE, Source
from supervision.process_table import Process
from supervision.readiness import MailedSource, forget, watch
from supervision.scheduler import Scheduler, scheduler
from supervision.server import Server
from supervision.threads import ThreadRecord, current
from tests.programs import output_of
from tests.supervision.runtime import PATIENCE, end, eventually


class TestIdleTree:
    def test_it_makes_no_wake_ups(self) -> None:
        program = """
import glob, threading
import supervision
from supervision import process
class Worker(supervision.Actor):
    def handle_call(self, request, caller, state):
        return supervision.Reply(request, state)
children = [supervision.child_spec(Worker, id=n) for n in range(20)]
sup = supervision.Supervisor.start_link(children, strategy="one_for_one")
for child in supervision.Supervisor.which_children(sup):
    assert supervision.call(child.pid, "ping") == "ping"
process.send_after(sup, "much later", 3_600_000)
def wake_ups():
    total = 0
    for path in glob.glob("/proc/self/task/*/status"):
        with open(path) as status:
            total += sum(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt"))
    return total
def wait(milliseconds):
    try:
        process.receive(timeout=milliseconds)  # nothing comes
    except supervision.ReceiveTimeout:
        pass
for _ in range(20):  # until everything has come to rest
    before = wake_ups()
    wait(300)
    if wake_ups() - before <= 1:  # the wait itself
        break
before = wake_ups()
wait(2_000)
print(wake_ups() - before - 1)
"""
        assert output_of(program) == "0"


class Napper(Actor):
    """Blocks in code that the library does not own, until the event it is sent is set."""

    def handle_cast(self, message: tuple[threading.Semaphore, threading.Event], state: Any) -> NoReply:
        entered, leave = message
        entered.release()
        assert leave.wait(PATIENCE)
        return NoReply(state)


class Echo(Actor):
    def handle_cast(self, message: Any, state: Any) -> NoReply:
        return NoReply(state)

    def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
        return Reply(request, state)


class ReaderServer(Server):
    """Takes the readiness of the actor's source, which comes without a message while the actor has nothing to do."""

    __slots__ = ()

    def readable(self, process: Process, record: ThreadRecord) -> None:
        process.mailbox.append("readable")
        self.step(process, record)


class Reader(Actor):
    """Owns a socket, and is told when there is something to read."""

    server_class = ReaderServer

    def init(self, ours: socket.socket) -> Ok:
        source = Source(ours.fileno(), process.self()._process)
        source.armed = True
        readiness.watch(source)
        return Ok((ours, source))

    def handle_info(self, message: Any, state: Any) -> NoReply:
        ours, source = state
        if message is source:
            source.posted.release()
        ours.recv(10)
        self.readable()
        return NoReply(state)

    def readable(self) -> None:
        raise NotImplementedError

    def terminate(self, reason: Any, state: Any) -> None:
        readiness.forget(state[1])


@contextlib.contextmanager
def readers(kind: type[Reader], count: int) -> Iterator[list[socket.socket]]:
    """So many readers; gives the other ends of their sockets."""
    pairs = [socket.socketpair() for _ in range(count)]
    for ours, _ in pairs:
        ours.setblocking(False)
    pids = [kind.start_link(ours) for ours, _ in pairs]
    try:
        yield [theirs for _, theirs in pairs]
        for pid in pids:
            supervision.stop(pid)
    finally:
        for pair in pairs:
            for end_ in pair:
                end_.close()


class TestBlockingCallback:
    def test_it_does_not_hold_up_the_others(self) -> None:
        entered, leave = threading.Semaphore(0), threading.Event()
        nappers = [Napper.start_link() for _ in range(10)]
        echo = Echo.start_link()
        for napper in nappers:
            supervision.cast(napper, (entered, leave))
        for number in range(100):
            assert supervision.call(echo, number) == number
        for _ in nappers:
            assert entered.acquire(timeout=PATIENCE)
        leave.set()
        # A kill while they leave the event would leave its lock behind, for the others to wait at.
        for napper in nappers:
            supervision.sys.get_state(napper)
        end(echo, *nappers)

    def test_one_that_computes_does_not_hold_up_the_others(self) -> None:
        class Computing(Actor):
            def handle_cast(self, message: threading.Event, state: Any) -> NoReply:
                message.set()
                while True:
                    pass

        begun = threading.Event()
        computing, echo = Computing.start(), Echo.start_link()
        supervision.cast(computing, begun)
        assert begun.wait(PATIENCE)
        for number in range(100):
            assert supervision.call(echo, number) == number
        end(computing, echo)

    def test_the_first_work_of_all_may_block(self) -> None:
        program = """
import threading
from supervision import process
entered, leave, done = threading.Event(), threading.Event(), threading.Event()
process.spawn(lambda: (entered.set(), leave.wait(30)))
entered.wait(30)
process.spawn(done.set)
print(done.wait(20))
leave.set()
"""
        assert output_of(program) == "True"

    def test_what_was_found_ready_together_with_the_blocking_one_is_not_held_up(self) -> None:
        blocked, leave, served = threading.Lock(), threading.Event(), threading.Semaphore(0)

        class Blocking(Reader):
            def readable(self) -> None:
                if blocked.acquire(blocking=False):
                    assert leave.wait(PATIENCE)
                served.release()

        with readers(Blocking, 10) as theirs:
            for _ in range(50):
                for one in theirs:
                    one.send(b"x")
                for _ in theirs[1:]:
                    assert served.acquire(timeout=PATIENCE / 2), "held up by the one that blocks"
                leave.set()
                assert served.acquire(timeout=PATIENCE)
                leave.clear()
                blocked.release()


class TestMaxThreads:
    def test_when_all_are_blocked_it_is_logged_where_and_the_others_run_later(self) -> None:
        program = """
import logging, sys, threading, time
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
import supervision
from supervision import process
logged = threading.Event()
class Told(logging.Handler):
    def emit(self, record):
        logged.set()
logging.getLogger("supervision").addHandler(Told())
supervision.configure(processors=1, max_threads=2)
leave, entered, done = threading.Event(), threading.Semaphore(0), threading.Event()
def wait_for_the_database():
    entered.release()
    leave.wait(30)
for _ in range(2):
    process.spawn(wait_for_the_database)
for _ in range(2):
    assert entered.acquire(timeout=20)
process.spawn(done.set)
assert logged.wait(20)
assert not done.is_set()
assert supervision.stats().threads == 2
leave.set()
assert done.wait(20)
"""
        first, place = output_of(program).splitlines()
        assert first == "WARNING all 2 threads are blocked, other actors must wait:"
        assert place.startswith("  2 times wait_for_the_database: ")
        assert "<string>" in output_of(program) or "threading.py" in place


class TestFullStack:
    """A sender in whose stack there is no room left, as at the end of a runaway recursion."""

    def fail(self, process: Process) -> bool:
        raise RecursionError

    def test_an_actor_it_sends_to_handles_that_with_the_next_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        echo = Echo.start_link()
        assert eventually(lambda: not echo._process.running.locked())  # or nobody would need to enqueue it
        with monkeypatch.context() as patch:
            patch.setattr(scheduler, "enqueue", self.fail)
            with pytest.raises(RecursionError):
                supervision.cast(echo, "message")
        assert supervision.call(echo, "request") == "request"
        end(echo)

    def test_a_process_that_waits_in_receive_is_woken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        me = process.self()
        waiting = process.spawn(lambda: process.send(me, process.receive()))
        assert eventually(lambda: waiting._process.parked is not None and not waiting._process.running.locked())
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[Scheduler.__module__], "resume", self.fail)
            with pytest.raises(RecursionError):
                process.send(waiting, "message")
        assert process.receive(str, timeout=10_000) == "message"


class TestSlices:
    def test_an_actor_with_endless_mail_does_not_starve_the_rest(self) -> None:
        class Endless(Actor):
            def handle_info(self, message: Any, state: Any) -> NoReply:
                process.send(process.self(), message)
                return NoReply(state)

        endless, echo = Endless.start_link(), Echo.start_link()
        process.send(endless, "again")
        for number in range(100):
            assert supervision.call(echo, number) == number
        end(endless, echo)

    def test_timers_fire_while_the_run_queue_is_never_empty(self) -> None:
        class Endless(Actor):
            def handle_info(self, message: Any, state: Any) -> NoReply:
                process.send(process.self(), message)
                return NoReply(state)

        endless = Endless.start_link()
        process.send(endless, "again")
        process.send_after(process.self(), "fired", 5)
        assert process.receive(str, timeout=10_000) == "fired"
        end(endless)


class TestReadiness:
    def test_a_descriptor_that_the_system_refuses_to_watch_is_tried_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(source: Source) -> None:
            scheduler.poller.sources[source.fd] = source
            raise OSError(errno.ENOSPC, "no more")

        ours, theirs = socket.socketpair()
        with ours, theirs:
            source = MailedSource(ours.fileno(), this_process())
            with monkeypatch.context() as patched:
                patched.setattr(scheduler.poller, "add", refuse)
                with pytest.raises(OSError, match="no more"):
                    watch(source)
            assert source.fd not in scheduler.poller.sources
            watch(source)
            theirs.send(b"data")
            assert process.receive(lambda message: message is source, timeout=int(1_000 * PATIENCE)) is source
            forget(source)

    @pytest.mark.parametrize("dead", [False, True])
    def test_who_waits_to_write_hears_of_it_also_if_it_comes_with_data(self, dead: bool) -> None:
        told: list[Any] = []

        class Waiting:
            def fire(self, value: Any = None) -> bool:
                told.append(value)
                return True

        process_of_source = Process("test", None, None)
        process_of_source.dead = dead
        process_of_source.running.acquire()  # nobody runs it
        source = Source(0, process_of_source)
        source.armed, source.writer = True, Waiting()  # type: ignore[assignment]
        own = Scheduler()
        own.found.append((source, READABLE | WRITABLE))
        own._handle(current.record)
        own.poller.close()
        assert len(told) == 1


class TestIdleWorker:
    def test_it_keeps_neither_the_last_message_nor_the_last_process_alive(self) -> None:
        class Message:
            pass

        class Sink(Actor):
            def handle_info(self, message: Any, state: Any) -> NoReply:
                return NoReply(state)

        sink = Sink.start()
        message = Message()
        kept = [weakref.ref(message), weakref.ref(sink._process)]
        process.send(sink, message)
        del message
        supervision.stop(sink)
        del sink
        deadline = time.monotonic() + PATIENCE
        while any(ref() is not None for ref in kept) and time.monotonic() < deadline:
            gc.collect()
        assert [ref() for ref in kept] == [None, None]
