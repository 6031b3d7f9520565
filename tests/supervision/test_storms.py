"""Many threads at once, with pauses at the seams: no wake-up is lost, and nobody is run twice or struck for another."""

from __future__ import annotations

import pytest

from tests.programs import output_of
from tests.supervision.storms import PAUSING


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
