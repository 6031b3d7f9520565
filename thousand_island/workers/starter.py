"""Starts the workers, and replaces them one by one in a rolling restart."""

from __future__ import annotations

import logging
from typing import Any, Final

from supervision import exits, process
from supervision.actor import Actor
from supervision.calls import Caller, call, cast
from supervision.child_spec import ChildSpec, child_spec
from supervision.dynamic_supervisor import DynamicSupervisor
from supervision.errors import NoProcess, ServerExit, StartError
from supervision.log import HarmlessLogger
from supervision.masked_server import MaskedServer
from supervision.messages import INFINITY
from supervision.results import Ok, Reply
from thousand_island.workers.sharing import FirstStart, Sharing
from thousand_island.workers.worker import DRAIN, SERVES, Worker

__all__ = ["WorkerStarter"]

logger: Final = HarmlessLogger(logging.getLogger("thousand_island.workers"))


class WorkerStarter(Actor):
    """Its argument and state are the ``Sharing``.

    It waits until a worker serves, so it traps no exits: told to shut down it is gone at once.
    """

    server_class = MaskedServer

    def init(self, sharing: Sharing) -> Ok:
        """Start all workers; each serves before the next is started."""
        process.set_label(("thousand_island", "worker_starter", sharing.config.handler))
        there_are = {(place.number, place.generation) for place in sharing.live()}  # if it has been restarted alone
        for number, generation in sharing.generations.items():
            if (number, generation) not in there_are:
                _start(sharing, number, generation)
        return Ok(sharing)

    def handle_call(self, request: Any, caller: Caller, sharing: Sharing) -> Any:
        """Replace all workers; the answer is the StartError of the first that fails, or None."""
        for number in sharing.generations:
            try:
                _replace(sharing, number)
            except StartError as error:
                why = exits.describe(error.reason)
                logger.error("the rolling restart ends here, the old worker %d goes on: %s", number, why)
                return Reply(error, sharing)
        return Reply(None, sharing)


def _replace(sharing: Sharing, number: int) -> None:
    """Start a new worker; when it serves, have the old one drain."""
    generation = sharing.generations[number] + 1
    _start(sharing, number, generation)
    sharing.generations[number] = generation
    for place in sharing.live():
        if place.number == number and place.generation < generation:
            logger.info("worker %d is replaced; process %s drains", number, place.os_pid)
            cast(place.pid, DRAIN)


def _start(sharing: Sharing, number: int, generation: int) -> None:
    """Start a worker and wait until it serves.

    Raises:
        StartError: it does not; its ``__cause__`` is the WorkerFailed, if it could say why.
    """
    start = sharing.first_starts[number, generation] = FirstStart()
    try:
        pid = DynamicSupervisor.start_child(sharing.supervisor, _spec(sharing, number, generation))
        if pid is not None:  # else all of them are about to end
            call(pid, SERVES, INFINITY)
    except (NoProcess, ServerExit) as gone:
        raise StartError(start.failure or getattr(gone, "reason", "noproc")) from start.failure
    finally:
        del sharing.first_starts[number, generation]


def _spec(sharing: Sharing, number: int, generation: int) -> ChildSpec:
    worker = Worker, (sharing, number, generation)
    return child_spec(worker, id=f"worker-{number}", shutdown=sharing.config.shutdown)
