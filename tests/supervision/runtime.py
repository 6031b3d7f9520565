"""What the tests of the runtime share: how long they wait, and how they end the processes they have started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from supervision import Pid, process
from supervision.messages import Down

PATIENCE = 10.0  # seconds; only a failure ever waits so long


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it comes true; nothing announces it."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.001)
    return True


def killed(pid: Pid) -> None:
    """Kill, and see it dead at once."""
    ref = process.monitor(pid)
    process.exit(pid, "kill")
    assert not process.is_alive(pid)
    assert process.receive(Down, timeout=10_000) == Down(ref, pid, "killed")


def end(*pids: Pid) -> None:
    """Kill what the test is linked to."""
    for pid in pids:
        process.unlink(pid)
        killed(pid)
