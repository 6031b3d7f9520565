"""The supervisor of a server in several operating-system processes, and finding one's way in its tree."""

from __future__ import annotations

from typing import Any

from supervision import process
from supervision.child_spec import child_spec
from supervision.dynamic_supervisor import DynamicSupervisor
from supervision.foreign import this_process
from supervision.results import Stop
from supervision.signals import entrust
from supervision.supervisor import Supervisor
from supervision.threads import library_call
from thousand_island.errors import ServerUnavailable
from thousand_island.workers.config import WorkersConfig
from thousand_island.workers.sharing import Sharing
from thousand_island.workers.starter import WorkerStarter

__all__ = ["WorkerSupervisor", "Workers", "shared"]


class Workers(Supervisor):
    """Its argument is the WorkersConfig. It listens itself, so that no end of a child closes the port."""

    sharing: Sharing | None = None

    @library_call  # the ``init`` of a supervisor may be the user's: a kill between listening and owning would strike
    def init(self, config: WorkersConfig, /, **flags: Any) -> Any:
        """Listen, then start the workers."""
        process.set_label(("thousand_island", "workers", config.handler))
        self.sharing = sharing = Sharing(config)
        try:
            sharing.open()
        except OSError as error:
            return Stop(error)
        entrust(this_process(), sharing)
        return super().init(
            [
                child_spec((WorkerSupervisor, sharing), id="worker_supervisor"),
                child_spec((WorkerStarter, sharing), id="worker_starter"),
            ],
            strategy="rest_for_one",
            **flags,
        )

    def terminate(self, reason: Any, state: Any) -> None:
        """Stop listening first: the workers do when they drain."""
        if self.sharing is not None:
            self.sharing.close_sockets()
        super().terminate(reason, state)


class WorkerSupervisor(DynamicSupervisor):
    """Its children are the workers; they drain together."""

    def init(self, sharing: Sharing) -> Any:
        """Begin without workers."""
        config = sharing.config
        process.set_label(("thousand_island", "worker_supervisor", config.handler))
        sharing.supervisor = process.self()
        return super().init(max_restarts=config.restarts, max_seconds=config.max_seconds)


def shared(workers: Any) -> Sharing:
    """Return what the parts share.

    Raises:
        ServerUnavailable: it is no supervisor of workers, or it is not running.
    """
    pid = process.whereis(workers)
    actor = getattr(None if pid is None else pid._process.body, "actor", None)
    if not isinstance(actor, Workers) or actor.sharing is None:
        raise ServerUnavailable(f"the workers {workers!r} are not running")
    return actor.sharing
