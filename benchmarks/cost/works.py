"""Work of the actor runtime, done by an actor, so that its cost includes what the caller pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.actors.supervision_actors import Counter
from supervision import INFINITY, Actor, Ok, Pid, Reply, call, cast, process, stop

#: Milliseconds for one call, and for the whole work.
TIMEOUT, PATIENCE = 5_000, 60_000


class Worker(Actor):
    """Does one kind of work again and again when told to."""

    def init(self, arg: Pid) -> Ok:
        """Keeps the actor that is cast to and called."""
        return Ok(arg)

    def handle_call(self, request: tuple[str, int], caller: Any, state: Pid) -> Reply:
        """Does the work that many times."""
        name, count = request
        WORKS[name](state, count)
        return Reply(None, state)


def do(name: str, count: int) -> None:
    """Has an actor do the work `count` times and returns when all of it is done."""
    counter = Counter.start(0)
    worker = Worker.start(counter)
    call(worker, (name, count), timeout=PATIENCE)
    call(counter, "all casts are done", timeout=PATIENCE)
    stop(worker)
    stop(counter)


def _cast(counter: Pid, count: int) -> None:
    for _ in range(count):
        cast(counter, 1)


def _call(counter: Pid, count: int) -> None:
    for number in range(count):
        call(counter, number, timeout=TIMEOUT)


def _call_infinity(counter: Pid, count: int) -> None:
    for number in range(count):
        call(counter, number, timeout=INFINITY)


def _start_stop(_counter: Pid, count: int) -> None:
    for number in range(count):
        stop(Counter.start(number))


def _spawn(_counter: Pid, count: int) -> None:
    for number in range(count):
        process.spawn(_body, number)


def _body(_number: int) -> None:
    """Returns: an empty process."""


WORKS: dict[str, Callable[[Pid, int], None]] = {
    "cast": _cast,
    "call": _call,
    "call-infinity": _call_infinity,
    "start-stop": _start_stop,
    "spawn": _spawn,
}
