"""Handlers that the workers of the tests import."""

from __future__ import annotations

import os
import sys
from typing import Any

from supervision import INFINITY, process
from thousand_island import Continue, Handler

# Milliseconds that a client gets to finish with a worker that drains.
PATIENCE = 10_000


class Identified(Handler):
    """Answers with the number of its operating-system process and what it was sent; stays with clients that it has."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(b"%d %s\n" % (os.getpid(), data))
        return Continue(state)

    def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
        return Continue(state, PATIENCE)


class Goodbye(Identified):
    """Says goodbye."""

    def handle_drain(self, socket: Any, state: Any, deadline: float) -> Any:
        socket.send(b"GOODBYE\n")
        raise process.ProcessExit("shutdown")


class Stubborn(Handler):
    """Does not end by itself."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        socket.send(b"%d\n" % os.getpid())
        return Continue(state)

    def handle_shutdown(self, socket: Any, state: Any) -> None:
        socket.send(b"GOODBYE\n")
        process.receive(int, timeout=INFINITY)


class Talkative(Handler):
    """Writes what it is sent."""

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        print(data.decode(), flush=True)
        print(data.decode(), file=sys.stderr, flush=True)
        socket.send(data)
        return Continue(state)
