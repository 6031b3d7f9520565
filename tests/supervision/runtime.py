"""What the tests of the runtime share: how long they wait, and how they end the processes they have started."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

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


def idle(pid: Pid) -> Pid:
    """Wait until it has nothing to do."""
    assert eventually(lambda: not pid._process.running.locked() and not pid._process.queued.locked())
    return pid


def instructions_of(work: Callable[[], object]) -> int:
    """Do ``work``, and return how many instructions of the interpreter this thread took for it."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
