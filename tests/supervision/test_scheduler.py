from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import supervision
from supervision import INFINITY, Actor, NoReply, Ok, Pid, Reply, calls, process, readiness
from supervision.messages import Down
from supervision.poller import Source
from supervision.process_table import Process
from supervision.server import Server
from supervision.threads import ThreadRecord, current
from tests.programs import output_of
from tests.supervision.storms import PAUSING

PATIENCE = 10.0


def end(*pids: Pid) -> None:
    for pid in pids:
        process.unlink(pid)
        ref = process.monitor(pid)
        process.exit(pid, "kill")
        assert process.receive(Down, timeout=10_000).ref is ref


@pytest.mark.parametrize("processors", [1, 4])
class TestStorms:
    def test_senders_from_many_foreign_threads_lose_no_wake_up(self, processors: int) -> None:
        program = f"""{PAUSING}
SENDERS, EACH = 6, 400
class Counter(Alone):
    def handle_info(self, message, state):
        self.alone()
        state[0] += 1
        if state[0] == SENDERS * EACH:
            done.release()
        return supervision.NoReply(state)
done = threading.Semaphore(0)
counters = [Counter.start_link([0]) for _ in range(3)]
def send():
    for _ in range(EACH):
        for pid in counters:
            process.send(pid, "message")
        if random.random() < 0.05:
            time.sleep(0.0005)  # long enough for the runtime to fall asleep
for _ in range(SENDERS):
    threading.Thread(target=send).start()
for _ in counters:
    assert done.acquire(timeout=30), "a wake-up was lost"
print("all came")
"""
        assert output_of(program, processors=processors) == "all came"

    def test_single_messages_to_an_idle_actor_always_wake_it(self, processors: int) -> None:
        program = f"""{PAUSING}
class Echo(Alone):
    def handle_info(self, message, state):
        self.alone()
        message.release()
        return supervision.NoReply(state)
pids = [Echo.start_link() for _ in range(4)]
def ping(pid):
    answer = threading.Semaphore(0)
    for _ in range(300):
        process.send(pid, answer)
        assert answer.acquire(timeout=20), "a wake-up was lost"
    finished.release()
finished = threading.Semaphore(0)
for pid in pids * 2:
    threading.Thread(target=ping, args=(pid,), daemon=True).start()
for _ in pids * 2:
    assert finished.acquire(timeout=30)
print("all answered")
"""
        assert output_of(program, processors=processors) == "all answered"

    def test_calls_among_actors_and_threads_are_all_answered(self, processors: int) -> None:
        program = f"""{PAUSING}
class Node(Alone):
    def handle_call(self, request, caller, state):
        self.alone()
        depth, others = request
        if not depth:
            return supervision.Reply(1, state)
        timeout = random.choice([20_000, supervision.INFINITY])
        return supervision.Reply(1 + supervision.call(others[0], (depth - 1, others[1:]), timeout), state)
rows = [[Node.start_link() for _ in range(4)] for _ in range(3)]
def ask(number):
    for _ in range(60):
        nodes = [random.choice(row) for row in rows]  # each row only calls the next, so nobody waits in a circle
        assert supervision.call(nodes[0], (2, nodes[1:]), 30_000) == 3
    finished.release()
finished = threading.Semaphore(0)
for number in range(6):
    threading.Thread(target=ask, args=(number,), daemon=True).start()
for _ in range(6):
    assert finished.acquire(timeout=35)
print("all answered")
"""
        assert output_of(program, processors=processors) == "all answered"

    def test_processes_that_receive_get_every_message_in_order(self, processors: int) -> None:
        program = f"""{PAUSING}
COUNT = 400
def relay(target):
    for number in range(COUNT):
        got = process.receive(int, timeout=random.choice([20_000, supervision.INFINITY]))
        assert got == number, (got, number)
        process.send(target, got)
def collect():
    for number in range(COUNT):
        assert process.receive(timeout=20_000) == number
    finished.release()
finished = threading.Semaphore(0)
for _ in range(3):
    target = process.spawn(collect)
    for _ in range(3):
        target = process.spawn(relay, target)
    for number in range(COUNT):
        process.send(target, number)
for _ in range(3):
    assert finished.acquire(timeout=40)
print("all came in order")
"""
        assert output_of(program, processors=processors) == "all came in order"

    def test_timeouts_and_answers_at_the_same_moment_leave_everybody_well(self, processors: int) -> None:
        program = f"""{PAUSING}
class Slow(Alone):
    def handle_call(self, request, caller, state):
        self.alone()
        process.send_after(timer, ("answer", caller), 1)
        return supervision.NoReply(state)
class Timer(supervision.Actor):
    def handle_info(self, message, state):
        supervision.reply(message[1], "answer")
        return supervision.NoReply(state)
timer = Timer.start_link()
slow = Slow.start_link()
outcomes = set()
def ask():
    for _ in range(150):
        try:
            outcomes.add(supervision.call(slow, "request", random.choice([1, 2, 3])))
        except supervision.CallTimeout:
            outcomes.add("timeout")
    assert supervision.call(slow, "request", 20_000) == "answer"
    finished.append(1)
finished = []
threads = [threading.Thread(target=ask) for _ in range(3)]
refs = [process.spawn_monitor(ask)[1] for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(40)
for _ in refs:
    assert process.receive(supervision.Down, timeout=40_000).reason == "normal"
assert len(finished) == 6
print(sorted(outcomes))
"""
        assert output_of(program, processors=processors) == "['answer', 'timeout']"

    def test_the_exception_of_a_killed_actor_never_reaches_another(self, processors: int) -> None:
        program = f"""{PAUSING}
class Victim(supervision.Actor):
    def handle_info(self, message, state):
        total = 0
        for n in range(random.randrange(3_000)):
            total += n
        return supervision.NoReply(state)
class Innocent(Alone):
    def handle_info(self, message, state):
        try:
            self.alone()
            for n in range(50):
                pass
        except BaseException as error:
            astray.append(repr(error))
        counted.release()
        return supervision.NoReply(state)
    def terminate(self, reason, state):
        astray.append(reason)
astray, counted = [], threading.Semaphore(0)
innocents = [Innocent.start_link() for _ in range(4)]
def torment():
    for _ in range(120):
        victims = [Victim.start() for _ in range(3)]
        for _ in range(4):
            for pid in (*victims, *innocents):
                process.send(pid, "work")
        for pid in victims:
            process.exit(pid, "kill")
            assert not process.is_alive(pid)
    finished.release()
finished = threading.Semaphore(0)
for _ in range(3):
    threading.Thread(target=torment, daemon=True).start()
for _ in range(3):
    assert finished.acquire(timeout=40)
for _ in range(3 * 120 * 4 * len(innocents)):
    assert counted.acquire(timeout=20), "an innocent was lost"
print(astray)
"""
        assert output_of(program, processors=processors) == "[]"


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


class TestDirectHandOff:
    def test_a_call_without_a_deadline_runs_the_callee_on_the_callers_thread(self) -> None:
        class Where(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                if request is None:
                    return Reply([threading.get_ident()], state)
                return Reply([threading.get_ident(), *supervision.call(request, None, INFINITY)], state)

        outer, inner = Where.start_link(), Where.start_link()
        first, second = supervision.call(outer, inner)
        assert first == second
        end(outer, inner)

    def test_nests_are_bounded(self) -> None:
        depths: list[int] = []

        class Link(Actor):
            def handle_call(self, chain: list[Pid], caller: Any, state: Any) -> Reply:
                depths.append(current.record.depth)
                if not chain:
                    return Reply(0, state)
                return Reply(1 + supervision.call(chain[0], chain[1:], INFINITY), state)

        chain = [Link.start_link() for _ in range(100)]
        assert supervision.call(chain[0], chain[1:], 30_000) == 99
        assert 1 < max(depths) <= calls.DEEPEST
        end(*chain)

    def test_messages_after_the_request_do_not_hold_the_caller_up(self) -> None:
        leave = threading.Event()

        class Callee(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                supervision.cast(process.self(), "block")
                return Reply("answer", state)

            def handle_cast(self, message: Any, state: Any) -> NoReply:
                assert leave.wait(PATIENCE)
                return NoReply(state)

        class Caller(Actor):
            def handle_call(self, request: Pid, caller: Any, state: Any) -> Reply:
                return Reply(supervision.call(request, "question", INFINITY), state)

        callee, caller = Callee.start_link(), Caller.start_link()
        assert supervision.call(caller, callee) == "answer"
        leave.set()
        end(caller, callee)

    def test_a_callee_with_much_mail_is_not_run_in_place(self) -> None:
        class Callee(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                return Reply(current.record.depth, state)

            def handle_info(self, message: Any, state: Any) -> NoReply:
                return NoReply(state)

        class Caller(Actor):
            def handle_call(self, request: tuple[Pid, int], caller: Any, state: Any) -> Reply:
                callee, mail = request
                for _ in range(mail):
                    process.send(callee, "mail")
                return Reply(supervision.call(callee, "depth", INFINITY), state)

        callee, caller = Callee.start_link(), Caller.start_link()
        assert supervision.call(caller, (callee, 0)) == 1
        assert supervision.call(caller, (callee, calls.MOST_MAIL + 1)) == 0
        end(caller, callee)

    def test_a_spawned_function_is_never_run_in_place(self) -> None:
        class Caller(Actor):
            def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
                def answer_and_stay() -> None:
                    question = process.receive(calls.Call)
                    supervision.reply(question, "answer")
                    process.receive()

                pid = process.spawn(answer_and_stay)
                return Reply((pid, supervision.call(pid, "question", INFINITY)), state)

        caller = Caller.start_link()
        pid, answer = supervision.call(caller, None)
        assert answer == "answer"
        end(caller, pid)


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
