"""Keys of a registry as names of processes."""

from __future__ import annotations

from typing import Any

from supervision.errors import BadArgument, BadType, NoProcess
from supervision.exact_keys import exact
from supervision.foreign import this_process
from supervision.names import KeptByOwner
from supervision.process_table import Pid
from supervision.registry_process import table_of
from supervision.registry_table import Table
from supervision.threads import library_call

__all__ = ["RegistryVia"]


class RegistryVia(KeptByOwner):
    """The name that a key of a registry with unique keys is. Equal to another of the same registry, key and value."""

    __slots__ = ("exact", "key", "registry", "value")

    def __init__(self, registry: Any, key: Any, value: Any = None) -> None:
        self.registry = registry
        self.key = key
        self.value = value
        self.exact = exact(key)

    def __repr__(self) -> str:
        value = "" if self.value is None else f", {self.value!r}"
        return f"Registry.via({self.registry!r}, {self.key!r}{value})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RegistryVia):
            return NotImplemented
        return (self.registry, self.exact, self.value) == (other.registry, other.exact, other.value)

    def __hash__(self) -> int:
        return hash((self.registry, self.exact))

    @library_call
    def register_name(self, pid: Pid) -> None:
        """Register ``pid`` under the key.

        Raises:
            AlreadyRegistered: the key belongs to a live process.
            NoProcess: there is no such registry, or ``pid`` is dead.
            BadArgument: the registry has duplicate keys.
        """
        if not isinstance(pid, Pid):
            raise BadType(f"expected a Pid, got {pid!r}")
        self._table().register(pid._process, self.key, self.value)

    @library_call
    def unregister_name(self) -> None:
        """Unregister the caller from the key, if it has it."""
        process = this_process()
        table = self._table()
        table.unregister(process, table.of_under(process, self.key))

    def whereis_name(self) -> Pid | None:
        """Return who has the key; None if nobody does, or there is no such registry."""
        try:
            entries = self._table().lookup(self.key)
        except NoProcess:
            return None
        return entries[0].process.pid if entries else None

    def _table(self) -> Table:
        table = table_of(self.registry)
        if not table.options.unique:
            raise BadArgument(f"a via needs a registry with unique keys, and those of {self.registry!r} are duplicate")
        return table
