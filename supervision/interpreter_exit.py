"""The end of the interpreter: what is left of the runtime is stopped in order, and within bounds.

The runtime's threads are daemons, which the interpreter freezes wherever they are. So before it does, processes get the
chance to end as they would have under a supervisor, the newest first; after that they are killed.
"""

from __future__ import annotations

import atexit
import time
from typing import Any, Final

from supervision import signals
from supervision.foreign import this_process
from supervision.process_table import Process, live_processes
from supervision.scheduler import scheduler
from supervision.threads import current, interpreter
from supervision.waits import Wait, park

__all__ = ["stop_everything"]

# Seconds that the ordered shutdown may take in all. A program that has ended should be gone before anybody wonders.
PATIENCE_SECONDS: Final = 3.0

# Seconds that one process may take before the next older one is told as well: one that is stuck must not cost the
# others their share.
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


def _shut_down_roots(deadline: float) -> None:
    for root in reversed(_living()):
        now = time.monotonic()
        if now < deadline and _is_root(root):
            _shut_down(root, min(deadline, now + TURN_SECONDS))


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


def _shut_down(process: Process, deadline: float) -> None:
    gone = _Gone(current.record)
    parent = process.parent  # taken away when it dies
    if not signals.watch(process, gone, gone):
        return
    # From its parent it is an order, also to one that traps exits.
    signals.exit_signal(parent or this_process().pid, process, "shutdown")
    # Ends by the death of the process, or by the deadline.
    if not park(gone.parker, deadline):
        gone.give_up()
    signals.unwatch(process, gone)


atexit.register(stop_everything)
