"""The works on `supervision`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from benchmarks.actors.measure import (
    CALLS,
    CASTS,
    RING_HOPS,
    RING_SIZE,
    SPAWNS,
    STARTS,
    bytes_each,
    expect,
    rate,
    resident_with,
)
from supervision import INFINITY, Actor, NoReply, Ok, Pid, Reply, call, cast, process, stop

#: Milliseconds for an answer to a batch of calls.
PATIENCE = 60_000


class Counter(Actor):
    """Counts what is cast and tells the sum."""

    def init(self, arg: int) -> Ok:
        """Begins with `arg`."""
        return Ok(arg)

    def handle_cast(self, message: int, state: int) -> NoReply:
        """Adds."""
        return NoReply(state + message)

    def handle_call(self, request: int, caller: Any, state: int) -> Reply:
        """Tells the sum and the request."""
        return Reply((state, request), state)


class Caller(Actor):
    """Calls another actor when told to."""

    def init(self, arg: tuple[Pid, dict[str, float]]) -> Ok:
        """Keeps whom to call, and the options of the calls."""
        return Ok(arg)

    def handle_call(self, request: int, caller: Any, state: tuple[Pid, dict[str, float]]) -> Reply:
        """Makes `request` calls."""
        callee, options = state
        for number in range(request):
            expect(call(callee, number, **options), (0, number))
        return Reply(request, state)


class Starter(Actor):
    """Starts and stops other actors when told to."""

    def init(self, arg: None) -> Ok:
        """Has nothing to keep."""
        return Ok(arg)

    def handle_call(self, request: int, caller: Any, state: None) -> Reply:
        """Starts and stops `request` actors, one after the other."""
        _start_and_stop(request)
        return Reply(request, state)


class Node(Actor):
    """One of the ring: passes on what is left of the hops."""

    def init(self, arg: threading.Event) -> Ok:
        """Keeps the event that the last hop sets; the next node comes as the first message."""
        return Ok((None, arg))

    def handle_cast(self, message: Any, state: tuple[Pid | None, threading.Event]) -> NoReply:
        """Learns who is next, or passes on."""
        following, finished = state
        if following is None:
            return NoReply((message, finished))
        if message:
            cast(following, message - 1)
        else:
            finished.set()
        return NoReply(state)


def _start_and_stop(count: int) -> None:
    for number in range(count):
        stop(Counter.start(number))


def _cast(seconds: float) -> float:
    counter = Counter.start(0)
    sent = 0

    def batch() -> None:
        nonlocal sent
        for _ in range(CASTS):
            cast(counter, 1)
        sent += CASTS
        expect(call(counter, 0, timeout=PATIENCE), (sent, 0))

    return rate(batch, CASTS, seconds)


def _call(seconds: float) -> float:
    counter = Counter.start(0)

    def batch() -> None:
        for number in range(CALLS):
            expect(call(counter, number), (0, number))

    return rate(batch, CALLS, seconds)


def _call_between(seconds: float, **options: float) -> float:
    caller = Caller.start((Counter.start(0), options))
    return rate(lambda: expect(call(caller, CALLS, timeout=PATIENCE), CALLS), CALLS, seconds)


def _call_between_infinity(seconds: float) -> float:
    return _call_between(seconds, timeout=INFINITY)


def _start_stop(seconds: float) -> float:
    return rate(lambda: _start_and_stop(STARTS), STARTS, seconds)


def _start_stop_between(seconds: float) -> float:
    starter = Starter.start(None)
    return rate(lambda: expect(call(starter, STARTS, timeout=PATIENCE), STARTS), STARTS, seconds)


def _spawn(seconds: float) -> float:
    def batch() -> None:
        returned: list[int] = []
        finished = threading.Event()
        for number in range(SPAWNS):
            process.spawn(_body, number, returned, finished)
        expect(finished.wait(PATIENCE / 1_000), True)

    return rate(batch, SPAWNS, seconds)


def _body(number: int, returned: list[int], finished: threading.Event) -> None:
    returned.append(number)
    if len(returned) == SPAWNS:
        finished.set()


def _ring(seconds: float) -> float:
    finished = threading.Event()
    nodes = [Node.start(finished) for _ in range(RING_SIZE)]
    for node, following in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        cast(node, following)

    def batch() -> None:
        finished.clear()
        cast(nodes[0], RING_HOPS)
        finished.wait()

    return rate(batch, RING_HOPS, seconds)


def _start_all(count: int) -> list[Pid]:
    counters = [Counter.start(0) for _ in range(count)]
    for number, counter in enumerate(counters):
        expect(call(counter, number), (0, number))
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
