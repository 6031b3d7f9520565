"""What lives in the runtime, as plain data: zombies, actors, the supervision tree, and the figures of the runtime.

Everything here reads the records of the processes and asks none of them, so it answers at once however stuck they
are. What it returns is a snapshot, taken without stopping anything: parts of it may be older than others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from supervision import names
from supervision.arguments import one_of
from supervision.process_table import Pid, Process, live_processes, quarantined
from supervision.scheduler import scheduler
from supervision.stacks import stacks_of

__all__ = ["ActorInfo", "Sort", "Stats", "Zombie", "actors", "stats", "zombies"]


@dataclass(frozen=True, slots=True)
class Zombie:
    """A process that is dead while its thread is still inside its code.

    Attributes:
        pid: the dead process.
        label: its label.
        stack: where the thread is, as a traceback shows it; the innermost call last. ``"(no stack)"`` where more than
            a hundred threads have been started since.
    """

    pid: Pid
    label: Any
    stack: str


def zombies() -> list[Zombie]:
    """Returns the dead processes whose thread has not come back from foreign code, the longest dead first.

    A thread that is on its way out right now counts too, for the moment.
    """
    found = [(process, record) for process, record in list(quarantined.items()) if process.carrier is record]
    stacks = stacks_of([record for _, record in found]) if found else []
    return [Zombie(process.pid, process.label, stack) for (process, _), stack in zip(found, stacks, strict=True)]


Sort = Literal["pid", "message_queue_len", "label", "status"]


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """One live process that the runtime runs.

    Attributes:
        kind: ``"actor"``, ``"supervisor"``, or ``"process"`` for a spawned function.
        status: ``"running"`` (a thread runs it), ``"waiting"`` or ``"suspended"``.
        message_queue_len: messages it has not taken.
    """

    pid: Pid
    label: Any
    name: Any
    kind: str
    status: str
    message_queue_len: int


_ORDERS: Final[dict[str, Callable[[ActorInfo], Any]]] = {
    "pid": lambda info: info.pid._number,
    "message_queue_len": lambda info: -info.message_queue_len,
    "label": lambda info: str(info.label),
    "status": lambda info: info.status,
}


def actors(sort: Sort = "pid") -> list[ActorInfo]:
    """Returns all live processes except adopted threads.

    Args:
        sort: ``"pid"`` (oldest first), ``"message_queue_len"`` (longest first), ``"label"`` or ``"status"``; equals
            are oldest first.

    Raises:
        BadType, BadArgument: ``sort`` is none of these.

    Counterpart: ``observer``'s list of processes.
    """
    order = _ORDERS[one_of("sort", sort, tuple(_ORDERS))]
    found = [_info(process) for process in list(live_processes.values()) if process.kind != "foreign"]
    found.sort(key=_ORDERS["pid"])
    return sorted(found, key=order)


def _info(process: Process) -> ActorInfo:
    return ActorInfo(process.pid, process.label, process.name, process.kind, process.status(), process.queue_length())


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures of the runtime.

    Attributes:
        processes: live processes, adopted threads included.
        supervisors: those of them that are supervisors.
        zombies: dead processes whose thread has not come back.
        names: registered local names.
        timers: timers that have not fired.
        run_queue: processes that wait for a processor.
        processors: how many processes may run at a time.
        threads: worker threads, those that block included.
        spare_threads: worker threads with nothing to do that end soon.
        max_threads: how many worker threads there may be.
    """

    processes: int
    supervisors: int
    zombies: int
    names: int
    timers: int
    run_queue: int
    processors: int
    threads: int
    spare_threads: int
    max_threads: int


def stats() -> Stats:
    """Returns the figures of the runtime.

    Counterpart: ``erlang:system_info/1`` and ``erlang:statistics/1``.
    """
    processors = scheduler.processors
    living = list(live_processes.values())
    return Stats(
        processes=len(living),
        supervisors=sum(process.kind == "supervisor" for process in living),
        zombies=sum(process.carrier is record for process, record in list(quarantined.items())),
        names=len(names.registered_names()),
        timers=len(scheduler.timers),
        run_queue=len(scheduler.run_queue),
        processors=processors.count,
        threads=processors.threads,
        spare_threads=len(processors.spares),
        max_threads=processors.max_threads,
    )
