"""A handler that does with its socket what a test tells it to, and nothing else."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from supervision import Exit, Pid, ProcessExit, process
from tests.thousand_island.serving import DEADLINE, Server, message, serve
from thousand_island import Handler

__all__ = ["Order", "Puppet", "Strings", "perform", "puppet"]


@dataclass
class Order:
    """Tells a Puppet what to do with its socket, and whom to tell of the outcome."""

    function: Any
    to: Pid


class Puppet(Handler):
    """Does nothing with its socket, not even wait for data, but what it is ordered to."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        process.send(state, ("pid", self.pid))
        while isinstance(order := process.receive((Order, Exit)), Order):
            try:
                outcome = (True, order.function(socket))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test that gave the order decides
                outcome = (False, error)
            process.send(order.to, (order, *outcome))
        raise ProcessExit(order.reason)


class Strings:
    """What pulls a Puppet."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = server.connect()
        self.pid = message()[1]

    def do(self, function: Any) -> Any:
        """Run a function of the socket in the handler; returns or raises what it does."""
        return perform(self.pid, function)


def perform(pid: Pid, function: Any) -> Any:
    """Have the Puppet of a connection run a function."""
    order = Order(function, process.self())
    process.send(pid, order)
    ref = process.monitor(pid)
    answer = process.receive(lambda m: m[0] is order or m[0] is ref, timeout=DEADLINE)
    process.demonitor(ref, flush=True)
    assert answer[0] is order, f"the connection has ended: {answer}"
    if answer[1]:
        return answer[2]
    raise answer[2]


@contextlib.contextmanager
def puppet(**options: Any) -> Any:
    with serve(Puppet, handler_options=process.self(), **options) as server:
        strings = Strings(server)
        with strings.client:
            yield strings
