"""The handler of the fairness rows: an echo that can be asked to disturb the others."""

from __future__ import annotations

import time
from typing import Any

from supervision import INFINITY, Actor, NoReply, Ok, Reply, call, cast, stop
from thousand_island import Continue, Handler, Socket

#: Seconds for which a disturbing callback sleeps or computes.
DISTURBANCE = 1.0

#: Messages that one callback casts at one actor.
FLOOD = 100_000

#: Bytes that a client sends after it has asked for an upload.
UPLOAD_SIZE = 100_000_000


class Counter(Actor):
    """Counts what is cast."""

    def init(self, arg: int) -> Ok:
        """Begins with `arg`."""
        return Ok(arg)

    def handle_cast(self, message: int, state: int) -> NoReply:
        """Adds."""
        return NoReply(state + message)

    def handle_call(self, request: Any, caller: Any, state: int) -> Reply:
        """Tells the sum."""
        return Reply(state, state)


class DisturbedEcho(Handler):
    """Echoes; the first word of the data may ask for a disturbance before that.

    The state is the request to answer and the bytes of an upload that are still to come, or None.
    """

    def handle_data(self, data: bytes, socket: Socket, state: tuple[bytes, int] | None) -> Continue:
        """Echoes, at once or after the disturbance that was asked for."""
        if state:
            return _take_upload(state, len(data), socket)
        if data.startswith(b"upload"):
            request, rest = data[:64], len(data) - 64
            return Continue((request, UPLOAD_SIZE - rest))
        _disturb(data)
        socket.send(data)
        return Continue(state)


def _take_upload(state: tuple[bytes, int], size: int, socket: Socket) -> Continue:
    request, left = state
    if left > size:
        return Continue((request, left - size))
    socket.send(request)
    return Continue(None)


def _disturb(data: bytes) -> None:
    if data.startswith(b"sleep"):
        time.sleep(DISTURBANCE)
    elif data.startswith(b"compute"):
        _compute()
    elif data.startswith(b"flood"):
        _flood()


def _compute() -> None:
    deadline = time.monotonic() + DISTURBANCE
    while time.monotonic() < deadline:
        pass


def _flood() -> None:
    counter = Counter.start(0)
    for _ in range(FLOOD):
        cast(counter, 1)
    if call(counter, "sum", timeout=INFINITY) != FLOOD:
        raise ValueError("the flooded actor has lost messages")
    stop(counter)
