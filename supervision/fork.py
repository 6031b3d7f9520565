"""What a forked child keeps of the runtime: nothing.

The child has one thread, the one that forked. Every lock may have been copied while another thread held it, and every
descriptor is shared with the parent. So all of it is made new, in place, since other modules hold on to the
singletons. To the child the processes of its parent are dead, and the thread that forked is no process.
"""

from __future__ import annotations

import contextvars
import os
import threading

from supervision import death, names
from supervision.process_table import Process, live_processes, quarantined
from supervision.scheduler import scheduler
from supervision.threads import ThreadRecord, current, interpreter

__all__ = ["start_empty"]


def start_empty() -> None:
    """Make the runtime of a forked child empty. Runs in the child, before ``fork`` returns there."""
    interpreter.lock = threading.RLock()
    _leave_thread()
    _bury_processes()
    death.undertaker = Process("deed", death.undertaker.body, contextvars.Context())
    names.forget_all()
    _restart_scheduler()


def _leave_thread() -> None:
    """Make the calling thread foreign. If it was a worker it ends when it comes back out of the code that forked."""
    record = current.record
    record.lock = threading.Lock()
    record.worker = False
    record.lost.acquire(False)
    current.record = ThreadRecord()


def _bury_processes() -> None:
    for process in list(live_processes.values()):
        process.lock = threading.Lock()
        process.dead = True
    live_processes.clear()
    quarantined.clear()


def _restart_scheduler() -> None:
    before = scheduler.processors
    for _, _, timer in scheduler.timers.heap:
        timer.action = timer.argument = None
    scheduler.watchdog.switch_interval.restore()
    scheduler.poller.close()  # this copy of the descriptors; the parent's events are not touched
    scheduler.start()
    scheduler.processors.max_threads = before.max_threads
    if before.settled:
        scheduler.processors.resize(before.count)


os.register_at_fork(after_in_child=start_empty)
