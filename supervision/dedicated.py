"""Dedicated threads: actors that keep one thread for life, for libraries with thread affinity.

Such an actor holds ``running`` from its start and gives it up only while it waits for mail, exactly as a thread does in
``receive``; so nobody else ever runs it.
"""

from __future__ import annotations

import threading

from supervision.errors import Killed, StartError
from supervision.mailbox import wait_for_mail
from supervision.process_table import Process
from supervision.scheduler import bury
from supervision.threads import current, end_quietly

__all__ = ["launch_dedicated"]


def launch_dedicated(process: Process) -> None:
    """Start the thread of ``process``, named by its label. It gets the ``running`` that the starter has taken for it.

    Raises:
        StartError: the system has no thread left.
    """
    name = process.initial_call if process.label is None else str(process.label)
    thread = threading.Thread(target=_live, args=(process,), name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        process.running.release()
        raise StartError(error) from error


def _live(process: Process) -> None:
    end_quietly()
    record = current.record
    record.process = process
    process.carrier = record
    try:
        while not process.dead:
            assert process.context is not None
            process.context.run(process.body.step, process, record)  # type: ignore[union-attr]
            if not process.has_mail():
                wait_for_mail(process, record, None, Process.has_mail)
    except Killed:
        pass
    process.carrier = None
    process.running.release()
    bury(process)
