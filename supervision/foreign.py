"""Foreign threads: those the runtime did not start (the main thread, a web framework's).

The first call that needs a pid adopts the thread: it gets a process that traps exits and ends with ``"normal"`` when
the thread does. A foreign thread is never struck: what kills its process ends the wait of the library that it is in, if
it is in one, and its next call has it adopted anew.

In the middle of a death, which any thread may have to announce, it is a *guest* that is adopted for as long as that
takes, and that nobody else sees: the user's code may wait then, and the process that has died cannot.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from supervision.process_table import Process
from supervision.scheduler import scheduler
from supervision.signals import end
from supervision.threads import ThreadRecord, current

__all__ = ["this_process"]


class _Leave:
    """Ends the process of a thread when the thread ends and its thread-local storage, which alone holds it, is dropped.

    The storage is dropped as well by a forked child, for all threads of its parent, and by an interpreter that is
    already half gone. In neither is there anybody to be told.
    """

    __slots__ = ("process", "system_pid")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.system_pid = os.getpid()

    # The functions are defaults because a module that is half gone has lost its names.
    def __del__(
        self,
        end: Callable[[Process, str], None] = end,
        getpid: Callable[[], int] = os.getpid,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        if not is_finalizing() and getpid() == self.system_pid:
            end(self.process, "normal")


def this_process() -> Process:
    """The process that the calling thread runs, adopting the thread if it runs none."""
    record = current.record
    process = record.process
    if process is None or (process.dead and process.kind == "foreign"):
        return _adopt(record)
    return process


def _adopt(record: ThreadRecord) -> Process:
    scheduler.processors.settle()  # first, so that wrong settings leave nothing behind
    process = Process("guest" if record.as_guest else "foreign", None, None)
    process.running.acquire()  # held by the thread whenever it does not wait in ``receive``
    process.trap_exit = True
    if not record.as_guest:  # else ``death.run_as_guest`` ends it
        process.publish()
        current.farewell = _Leave(process)
    record.process = process
    return process
