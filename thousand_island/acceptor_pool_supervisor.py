"""Supervises the acceptors of a server.

Counterpart: ``ThousandIsland.AcceptorPoolSupervisor``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from supervision import process
from supervision.child_spec import child_spec
from supervision.supervisor import Supervisor
from thousand_island.acceptor_supervisor import AcceptorSupervisor
from thousand_island.listening import Listening

__all__ = ["AcceptorPoolSupervisor"]


class AcceptorPoolSupervisor(Supervisor):
    """Its argument is the server's ``Listening``. Its children do not depend on each other, so they end together."""

    terminates_together: ClassVar[bool] = True

    def init(self, listening: Listening) -> Any:
        """Start the acceptors, ``"acceptor-1"`` and so on."""
        config = listening.config
        process.set_label(("thousand_island", "acceptor_pool_supervisor", (config.port, config.handler_module)))
        numbers = range(1, config.num_acceptors + 1)
        return super().init(
            [child_spec((AcceptorSupervisor, (listening, number)), id=f"acceptor-{number}") for number in numbers],
            strategy="one_for_one",
        )
