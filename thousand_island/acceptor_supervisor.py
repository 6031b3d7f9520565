"""Supervises one acceptor and its connections.

Counterpart: ``ThousandIsland.AcceptorSupervisor``.
"""

from __future__ import annotations

from typing import Any

from supervision import process
from supervision.child_spec import ChildSpec, child_spec
from supervision.dynamic_supervisor import DynamicSupervisor
from supervision.process_table import Pid
from supervision.signals import entrust
from supervision.supervisor import Supervisor
from thousand_island.acceptor import Acceptor, AcceptorContext
from thousand_island.listening import Listening
from thousand_island.orphans import Orphans

__all__ = ["AcceptorSupervisor"]


class AcceptorSupervisor(Supervisor):
    """Its argument is ``(listening, number)``."""

    def init(self, arg: tuple[Listening, int]) -> Any:
        """Start the supervisor of the connections, then the acceptor that starts them."""
        context = AcceptorContext(*arg)
        config = context.listening.config
        process.set_label(
            ("thousand_island", "acceptor_supervisor", ((config.port, config.handler_module), context.number))
        )
        return super().init(
            [
                ChildSpec(id="connection_sup", start=_start_connection_sup, args=(context,), type="supervisor"),
                child_spec((Acceptor, context), id="acceptor"),
            ],
            strategy="rest_for_one",
        )


def _start_connection_sup(context: AcceptorContext) -> Pid:
    listening = context.listening
    context.connection_sup = pid = DynamicSupervisor.start_link(max_children=listening.config.num_connections)
    entrust(pid._process, Orphans(listening))
    return pid
