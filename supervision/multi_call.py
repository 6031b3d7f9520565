"""Requests to several actors at once.

Counterpart: ``gen_server:multi_call``, ``gen_server:abcast``; what they do for nodes is done for processes here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from supervision import names
from supervision.arguments import listed, milliseconds
from supervision.calls import Call, cast
from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Pid
from supervision.scheduler import deliver
from supervision.signals import unwatch, watch
from supervision.threads import ThreadRecord, current, library_call
from supervision.waits import deadline_after, wait_for

__all__ = ["abcast", "multi_call"]

_Dest = TypeVar("_Dest")

_DESTINATIONS: Final = "pids, names and vias"


def abcast(pids: Iterable[Any], message: Any) -> None:
    """Casts ``message`` to each of ``pids``.

    Raises:
        BadType: ``pids`` is a single one, or no iterable.

    Counterpart: ``gen_server:abcast/2``.
    """
    for pid in listed("pids", pids, _DESTINATIONS):
        cast(pid, message)


@library_call
def multi_call(pids: Iterable[_Dest], request: Any, timeout: float = INFINITY) -> tuple[dict[_Dest, Any], list[_Dest]]:
    """Calls several actors at once.

    Args:
        pids: pids, names or vias; each is asked once, however often it is there.
        request: what each gets.
        timeout: milliseconds for all of them together, or INFINITY.

    Returns:
        The answers by destination, and the destinations that did not answer.

    Raises:
        BadType: ``pids`` is a single one, or no iterable.

    Counterpart: ``gen_server:multi_call/4``.
    """
    milliseconds("timeout", timeout)
    me = this_process()
    record = current.record
    targets = {dest: names.find(dest) for dest in listed("pids", pids, _DESTINATIONS)}
    asked = {
        dest: (target, _SharedCall(record, me.pid, request))
        for dest, target in targets.items()
        if target is not None and target is not me
    }
    deadline = deadline_after(timeout)
    try:
        for target, question in asked.values():
            if watch(target, question, question):
                deliver(target, question)
            else:
                question.fire((False, "noproc"))
        for _, question in asked.values():
            wait_for(question, record, me, deadline)
    finally:
        for target, question in asked.values():
            question.fired.acquire(False)
            unwatch(target, question)
    answers = {dest: question.value[1] for dest, (_, question) in asked.items() if question.value and question.value[0]}
    return answers, [dest for dest in targets if dest not in answers]


class _SharedCall(Call):
    """One of several questions of one thread: it has a parker of its own, since they are answered in any order."""

    __slots__ = ()

    def __init__(self, record: ThreadRecord, pid: Pid | None, request: Any) -> None:
        super().__init__(record, pid, request)
        self.parker = threading.Lock()
        self.parker.acquire()
