"""Running in place: a caller who waits without a deadline runs the callee itself, and saves two switches of threads.

It takes the callee's ``running`` flag, as any worker does, and gives its slice its own thread. Each level has a parker
of its own: an answer to the outer wait must not wake an inner one.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from supervision.process_table import Process
from supervision.scheduler import deliver, notify, scheduler
from supervision.threads import ThreadRecord, current
from supervision.waits import Wait

__all__ = ["carry_out", "may_run_in_place", "post_in_place", "run_first", "run_in_place"]

# How deep processes may run in place within each other. Each level takes about ten Python frames of the stack.
DEEPEST: Final = 16

# Messages before the request that a callee may have and still run in place; more would keep the caller's slice long.
MOST_MAIL: Final = 16


def post_in_place(target: Process, question: Wait) -> None:
    """Have ``question``, which is the wait too, handled on the caller's thread if that may be, else in turn."""
    record = current.record
    if not _take_over(target, record):
        deliver(target, question)
    elif target.mailbox or target.system or target.suspended:
        target.mailbox.append(question)
        _run(target, record, question)
    else:  # the mailbox would only be a detour
        _run(target, record, question, question)


def carry_out(target: Process, record: ThreadRecord, errand: Any) -> bool:
    """Have ``target`` take ``errand`` on the caller's thread, who does not wait for it; False: it is busy.

    Its body must know what an errand is.
    """
    if not _take_over(target, record):
        return False
    if target.mailbox or target.system or target.suspended:  # only now: nobody else can change the last any more
        target.running.release()
        notify(target)  # of what was sent while ``running`` was held here
        return False
    _run(target, record, errand, errand)  # mail that comes from now on waits its turn, as it would behind a message
    return True


def run_in_place(target: Process, record: ThreadRecord, wait: Wait) -> bool:
    """Run ``target`` on the caller's own thread up to the message that is waited for; False: it must be notified."""
    taken = _take_over(target, record)
    if taken:
        _run(target, record, wait)
    return taken


def run_first(target: Process, record: ThreadRecord, order: Wait) -> None:
    """Have a new process, of which the caller holds ``running``, take ``order`` before anything else."""
    _run(target, record, order, order)


def may_run_in_place(record: ThreadRecord) -> bool:
    """Whether the calling thread may run another process on behalf of its own.

    Only a worker does, which has no deadline and will wait in any case: a foreign thread would let Ctrl-C hit the
    callee. Nor does one that runs a coroutine: the callee could run none.
    """
    return record.worker and record.depth < DEEPEST and _has_room() and not _runs_an_event_loop()


def _runs_an_event_loop() -> bool:
    asyncio = sys.modules.get("_asyncio")  # what knows the running one; where nobody has imported asyncio there is none
    return asyncio is not None and asyncio._get_running_loop() is not None


def _has_room() -> bool:
    """Whether half of the stack is free: what a callee can do must not depend on who calls it."""
    try:
        sys._getframe(sys.getrecursionlimit() // 2)
    except ValueError:  # it is not as deep as that
        return True
    return False


def _take_over(target: Process, record: ThreadRecord) -> bool:
    """Take ``running`` of a process that is to be run in place, if it may be; False: it must be notified."""
    if len(target.mailbox) > MOST_MAIL or not may_run_in_place(record):
        return False
    body = target.body
    if body is None or not body.in_place or not target.running.acquire(False):
        return False
    if target.parked is not None:  # it waits on a thread of its own, and goes on there
        target.running.release()
        if target.dead or target.has_mail():  # it died, or was sent something, while ``running`` was held here
            notify(target)
        return False
    return True


def _run(target: Process, record: ThreadRecord, wait: Any, message: Any = None) -> None:
    """Run a process that ``_take_over`` has taken, with ``message`` instead of its mail if there is one."""
    depth, outer, errand = record.depth, record.process, record.errand
    record.errand = wait
    target.carrier = record
    try:
        record.descend()
        scheduler.run_slice(target, record, message)
    except BaseException:  # the caller's stack is full
        # Nothing of the target may stay taken; who pops it goes on with its mail, or buries it. All this without a
        # function of Python, for which there is no room.
        if target.carrier is record:
            target.carrier = None
            target.running.release()
        scheduler.run_queue.append(target)
        raise
    finally:
        record.depth, record.parker = depth, record.parkers[depth]  # ``ascend`` written out
        record.process, record.errand = outer, errand
