"""Ctrl-C in the main thread, wherever it hits."""

from __future__ import annotations

from typing import Any

import pytest

import supervision
from supervision import Actor, NoReply, Reply
from supervision.scheduler import scheduler
from tests.programs import output_of
from tests.supervision.runtime import eventually


class Counter(Actor):
    def init(self, arg: int) -> Any:
        return supervision.Ok(arg)

    def handle_cast(self, message: int, state: int) -> NoReply:
        return NoReply(state + message)

    def handle_call(self, request: Any, caller: Any, state: int) -> Reply:
        return Reply(state, state)


@pytest.mark.parametrize("already", [False, True], ids=["before it is queued", "after"])
def test_a_send_that_is_interrupted_leaves_the_receiver_alive(already: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter.start_link(0)
    assert eventually(lambda: not counter._process.running.locked())  # or nobody would need to enqueue it
    enqueue = scheduler.enqueue

    def interrupted(one: Any) -> None:
        monkeypatch.setattr(scheduler, "enqueue", enqueue)
        if already:
            enqueue(one)
        raise KeyboardInterrupt

    monkeypatch.setattr(scheduler, "enqueue", interrupted)
    with pytest.raises(KeyboardInterrupt):
        supervision.cast(counter, 1)
    supervision.cast(counter, 1)
    assert supervision.call(counter, "count") == 2
    supervision.stop(counter)


def test_what_a_program_does_survives_any_number_of_interrupts() -> None:
    program = """
import random, signal
import supervision
from supervision import ReceiveTimeout, process
from tests.supervision.test_interrupts import Counter

chance = random.Random(1)
armed = False

def interrupt(number, frame):
    if armed:
        raise KeyboardInterrupt

def listen():
    try:
        process.receive(str, timeout=1)
    except ReceiveTimeout:
        pass

signal.signal(signal.SIGALRM, interrupt)
counter = Counter.start(0)
answers = 0
for _ in range(400):
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.002))
        while True:
            supervision.cast(counter, 1)
            supervision.call(counter, "count")
            supervision.stop(Counter.start(0))
            listen()
    except KeyboardInterrupt:
        armed = False
    process.send_after(process.self(), answers, 0)
    answers += process.receive(int, timeout=20_000) == answers and supervision.call(counter, "count", 20_000) > 0
print(answers)
"""
    assert output_of(program) == "400"
