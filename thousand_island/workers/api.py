"""Starting and asking a server that runs in several operating-system processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from supervision import calls
from supervision.child_spec import ChildSpec
from supervision.errors import NoProcess, ServerExit, StartError
from supervision.messages import INFINITY
from supervision.multi_call import multi_call
from supervision.process_table import Pid, Ref
from thousand_island.errors import ServerUnavailable
from thousand_island.server import child_pid
from thousand_island.transport import SocketInfo
from thousand_island.workers.config import WorkersConfig
from thousand_island.workers.sharing import Place, WorkerStatus
from thousand_island.workers.supervisor import Workers, shared

__all__ = ["WorkerInfo", "WorkersInfo", "child_spec", "info", "listener_info", "rolling_restart", "start_link"]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What one worker is doing.

    Attributes:
        number: from 1; a worker and the one that replaces it have the same.
        os_pid: the number of its operating-system process; None before that is started.
        status: ``"starting"``, ``"serving"``, or ``"draining"`` for one that has been replaced.
        active_connections: how many connections are alive; None if it has not answered.
    """

    number: int
    os_pid: int | None
    status: WorkerStatus
    active_connections: int | None


@dataclass(frozen=True, slots=True)
class WorkersInfo:
    """What all workers are doing; it may be out of date at once.

    Attributes:
        local_info: where they listen, ``(host, port)`` or ``("local", path)``.
        active_connections: how many connections are alive in all that have answered.
        workers: each of them, by number.
    """

    local_info: SocketInfo
    active_connections: int
    workers: tuple[WorkerInfo, ...]


def start_link(*, name: Any = None, **options: Any) -> Pid:
    """Starts a server in several operating-system processes, linked to the caller; all serve on return.

    Args:
        name: of the supervisor: a string or a via.
        **options: see ``WorkersConfig``, and ``ServerConfig`` for those of each worker's server; ``handler`` is
            required, and takes the place of ``handler_module``.

    Returns:
        The supervisor of the workers. ``Supervisor.stop`` drains them.

    Raises:
        TypeError: an option is unknown or missing.
        ValueError: a value is refused; nothing has been started.
        StartError: the system refuses, or a worker cannot serve; the OSError or WorkerFailed is in its ``__cause__``
            chain.
    """
    return Workers.start_link(WorkersConfig.new(**options), name=name)


def child_spec(options: dict[str, Any] | None = None, /, **more: Any) -> ChildSpec:
    """Returns how a supervisor starts the workers; with an id of its own each time."""
    given = {**(options or {}), **more}
    WorkersConfig.new(**{name: value for name, value in given.items() if name != "name"})
    return ChildSpec(("thousand_island", "workers", Ref()), _start, (given,), type="supervisor")


def _start(options: dict[str, Any]) -> Pid:
    return start_link(**options)


def listener_info(workers: Any) -> SocketInfo:
    """Returns where the workers listen: ``(host, port)`` or ``("local", path)``.

    Raises:
        ServerUnavailable: they are not running.
    """
    local_info = shared(workers).local_info
    assert local_info is not None
    return local_info


def info(workers: Any, timeout: float = 5_000) -> WorkersInfo:
    """Returns what each worker is doing.

    Args:
        workers: the supervisor: a pid, a registered name or a via.
        timeout: milliseconds, or INFINITY, that the workers have to answer.

    Raises:
        ServerUnavailable: they are not running.
    """
    places = list(shared(workers).live())
    answers = ask_workers(places, "info", timeout)
    found = tuple(_worker_info(place, answers.get(place.pid)) for place in places)
    active = sum(worker.active_connections or 0 for worker in found)
    return WorkersInfo(listener_info(workers), active, found)


def ask_workers(places: list[Place], question: str, timeout: float) -> dict[Pid, Any]:
    """Ask those that serve or drain; returns what has come in time."""
    pids = [place.pid for place in places if place.status != "starting"]
    answers, _ = multi_call(pids, question, timeout)
    return {pid: answer for pid, answer in answers.items() if answer is not None}


def _worker_info(place: Place, answer: dict[str, int] | None) -> WorkerInfo:
    active = None if answer is None else answer["active_connections"]
    return WorkerInfo(place.number, place.os_pid, place.status, active)


def rolling_restart(workers: Any) -> None:
    """Replaces each worker by a new one, which imports the handler anew; nobody is refused meanwhile.

    One after the other: the new worker is started; when it serves, the old one drains, within ``shutdown_timeout``.
    Returns when all new ones serve; old ones may still be draining.

    Raises:
        ServerUnavailable: they are not running.
        StartError: a new worker cannot serve. The old one goes on, as do those that have not had their turn.
    """
    shared(workers)  # or any supervisor would do
    try:
        error: StartError | None = calls.call(child_pid(workers, "worker_starter"), "rolling_restart", INFINITY)
    except (NoProcess, ServerExit) as gone:
        raise ServerUnavailable(f"the workers {workers!r} are not running") from gone
    if error is not None:
        raise error
