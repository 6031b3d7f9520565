"""The same works on pykka, one thread per actor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pykka

from benchmarks.actors.measure import (
    CALLS,
    CASTS,
    RING_HOPS,
    RING_SIZE,
    STARTS,
    bytes_each,
    expect,
    rate,
    resident_with,
)

#: Seconds: the timeout that `supervision` has by default for one call, and that for a batch of calls.
CALL_TIMEOUT = 5.0
PATIENCE = 60.0

#: What adds to the sum; anything else is a request.
ADD = "add"


class Counter(pykka.ThreadingActor):
    """Counts what is told and answers with the sum."""

    use_daemon_thread = True

    def __init__(self) -> None:
        """Begins at zero."""
        super().__init__()
        self.sum = 0

    def on_receive(self, message: Any) -> Any:
        """Adds, or tells the sum and the request."""
        if message is not ADD:
            return (self.sum, message)
        self.sum += 1
        return None


class Caller(pykka.ThreadingActor):
    """Asks another actor when told to."""

    use_daemon_thread = True

    def __init__(self, callee: pykka.ActorRef[Counter], timeout: float | None) -> None:
        """Keeps whom to ask, and the timeout in seconds."""
        super().__init__()
        self.callee = callee
        self.timeout = timeout

    def on_receive(self, message: int) -> int:
        """Asks `message` times."""
        for number in range(message):
            expect(self.callee.ask(number, timeout=self.timeout), (0, number))
        return message


class Starter(pykka.ThreadingActor):
    """Starts and stops other actors when told to."""

    use_daemon_thread = True

    def on_receive(self, message: int) -> int:
        """Starts and stops `message` actors, one after the other."""
        _start_and_stop(message)
        return message


class Node(pykka.ThreadingActor):
    """One of the ring: passes on what is left of the hops."""

    use_daemon_thread = True

    def __init__(self, finished: threading.Event) -> None:
        """Keeps the event that the last hop sets; the next node comes as the first message."""
        super().__init__()
        self.finished = finished
        self.following: pykka.ActorRef[Node] | None = None

    def on_receive(self, message: Any) -> None:
        """Learns who is next, or passes on."""
        if self.following is None:
            self.following = message
        elif message:
            self.following.tell(message - 1)
        else:
            self.finished.set()


def _start_and_stop(count: int) -> None:
    for _ in range(count):
        Counter.start().stop()


def _cast(seconds: float) -> float:
    counter = Counter.start()
    sent = 0

    def batch() -> None:
        nonlocal sent
        for _ in range(CASTS):
            counter.tell(ADD)
        sent += CASTS
        expect(counter.ask(0, timeout=PATIENCE), (sent, 0))

    return rate(batch, CASTS, seconds)


def _call(seconds: float) -> float:
    counter = Counter.start()

    def batch() -> None:
        for number in range(CALLS):
            expect(counter.ask(number, timeout=CALL_TIMEOUT), (0, number))

    return rate(batch, CALLS, seconds)


def _call_between(seconds: float, timeout: float | None = CALL_TIMEOUT) -> float:
    caller = Caller.start(Counter.start(), timeout)
    return rate(lambda: expect(caller.ask(CALLS, timeout=PATIENCE), CALLS), CALLS, seconds)


def _call_between_infinity(seconds: float) -> float:
    return _call_between(seconds, None)


def _start_stop(seconds: float) -> float:
    return rate(lambda: _start_and_stop(STARTS), STARTS, seconds)


def _start_stop_between(seconds: float) -> float:
    starter = Starter.start()
    return rate(lambda: expect(starter.ask(STARTS, timeout=PATIENCE), STARTS), STARTS, seconds)


def _spawn(seconds: float) -> float:
    return _start_stop(seconds)


def _ring(seconds: float) -> float:
    finished = threading.Event()
    nodes = [Node.start(finished) for _ in range(RING_SIZE)]
    for node, following in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        node.tell(following)

    def batch() -> None:
        finished.clear()
        nodes[0].tell(RING_HOPS)
        finished.wait()

    return rate(batch, RING_HOPS, seconds)


def _start_all(count: int) -> list[pykka.ActorRef[Counter]]:
    counters = [Counter.start() for _ in range(count)]
    for number, counter in enumerate(counters):
        expect(counter.ask(number, timeout=CALL_TIMEOUT), (0, number))
    return counters


def _memory(_seconds: float) -> float:
    return bytes_each(_start_all)


def _resident(count: float) -> float:
    return resident_with(_start_all, int(count))


WORKS: dict[str, Callable[[float], float]] = {
    "cast": _cast,
    "call": _call,
    "call-between": _call_between,
    "call-between-infinity": _call_between_infinity,
    "start-stop": _start_stop,
    "start-stop-between": _start_stop_between,
    "spawn": _spawn,
    "ring": _ring,
    "memory": _memory,
    "resident": _resident,
}
