"""The process of a registry: it owns the table, and answers no questions, since readers and writers use the table."""

from __future__ import annotations

from typing import Any

from supervision import signals
from supervision.actor import Actor
from supervision.bodies import body_of
from supervision.errors import NoProcess
from supervision.process_table import Process
from supervision.registry_table import RegistryOptions, Table
from supervision.results import Ok
from supervision.server import Server
from supervision.threads import ThreadRecord

__all__ = ["RegistryProcess", "table_of"]


class RegistryServer(Server):
    """The loop of a registry. ``table`` is there before anybody is told that the registry has started."""

    __slots__ = ("table",)

    def __init__(self, actor: Actor, process: Process) -> None:
        super().__init__(actor, process)
        self.table: Table | None = None

    def init(self, arg: RegistryOptions, record: ThreadRecord) -> Any:
        """Make the table."""
        table = Table(self.process, arg)
        signals.own(self.process, table)  # it may be dead already, which refuses the table to everybody
        self.table = table
        return Ok()


class RegistryProcess(Actor):
    """What a registry runs as."""

    server_class = RegistryServer


def table_of(registry: Any) -> Table:
    """Return the table of a registry, for reading and for writing by any thread.

    Raises:
        NoProcess: there is no such process, or not yet.
        BadArgument: it is no registry.
    """
    table = body_of(registry, RegistryServer, "a registry").table
    if table is None:
        raise NoProcess(registry)
    return table
