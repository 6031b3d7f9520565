"""The end of the interpreter: what is left of the runtime is stopped in order, and within bounds.

The runtime's threads are daemons, which the interpreter freezes wherever they are. So before it does, processes get the
chance to end as they would have under a supervisor; after that they are killed.

Trees of supervisors come first, then what a thread has started with a link, each the newest first and one after the
other, because they may depend on each other. What has no link to who started it comes last and all at once. Each has
its share of the time, which nobody else can use up.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Iterator
from typing import Any, Final

from supervision import signals
from supervision.calls import StopRequest, post_ahead
from supervision.foreign import this_process
from supervision.process_table import Process, live_processes
from supervision.scheduler import deliver, scheduler
from supervision.server import Server
from supervision.threads import current, interpreter
from supervision.waits import Wait, park

__all__ = ["stop_everything"]

# Seconds that the ordered shutdown may take in all. A program that has ended should be gone before anybody wonders.
PATIENCE_SECONDS: Final = 3.0

# Seconds that one may take at most before the next is told as well, even if there is more for each.
TURN_SECONDS: Final = 1.0


class _Gone(Wait):
    """The end of a process, waited for."""

    __slots__ = ()

    def down(self, ref: Any, process: Process, reason: Any) -> None:
        """End the wait."""
        self.fire()


def stop_everything() -> None:
    """Shut down all that nobody else would, newest first, then kill what is left. Ctrl-C goes on to the killing."""
    if not scheduler.processors.settled:  # nothing has ever run
        return
    interpreter.ending = True
    try:
        _shut_down_roots(time.monotonic() + PATIENCE_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        # The oldest first, so that nobody is left who would restart the others.
        for process in _living():
            signals.end(process, "killed")
        interpreter.end()


def _shut_down_roots(deadline: float) -> None:
    groups = list(_in_order([process for process in reversed(_living()) if _is_root(process)]))
    for told, group in enumerate(groups):
        now = time.monotonic()
        _shut_down(group, now + min(TURN_SECONDS, (deadline - now) / (len(groups) - told)))


def _in_order(roots: list[Process]) -> Iterator[list[Process]]:
    """Those that are shut down together, one group after the other."""
    strangers = []
    for process in sorted(roots, key=lambda root: root.kind != "supervisor"):
        if process.parent is None and process.kind != "supervisor":
            strangers.append(process)
        else:
            yield [process]
    if strangers:
        yield strangers


def _living() -> list[Process]:
    found = [process for process in list(live_processes.values()) if process.kind != "foreign"]
    return sorted(found, key=lambda process: process.pid._number)


def _is_root(process: Process) -> bool:
    """Whether no live process is there to shut it down: neither its parent nor a supervisor it is linked to."""
    parent = process.parent
    if parent is not None and parent._process.kind != "foreign" and not parent._process.dead:
        return False
    with process.lock:
        links = list(process.links or ())
    return not any(peer.kind == "supervisor" and peer.pid._number < process.pid._number for peer in links)


def _shut_down(group: list[Process], deadline: float) -> None:
    waits = [(process, _Gone(current.record)) for process in group]
    waits = [(process, gone) for process, gone in waits if signals.watch(process, gone, gone)]
    for process, _ in waits:
        _order_down(process)
    for process, gone in waits:
        # Ends by the death of the process, or by the deadline.
        if not park(gone.parker, deadline):
            gone.give_up()
        signals.unwatch(process, gone)


def _order_down(process: Process) -> None:
    parent = process.parent  # taken away when it dies
    if parent is None and process.trap_exit and isinstance(process.body, Server):
        # An exit signal of a stranger would be a message like any other to it.
        post = post_ahead if process.suspended else deliver
        post(process, StopRequest("shutdown"))
    else:  # from its parent it is an order, also to one that traps exits
        signals.exit_signal(parent or this_process().pid, process, "shutdown")


atexit.register(stop_everything)
