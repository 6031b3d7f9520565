"""The keys of a registry: when two are the same, and what is found under one.

Pure data: knows no lock and no process. Writers take turns (``registry_table``); readers come at any time, and what
they do here is one operation of a dict, or a copy of one made in a single operation.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from supervision.exact_keys import exact

if TYPE_CHECKING:
    from supervision.process_table import Process

__all__ = ["DuplicateKeys", "Entry", "UniqueKeys"]


class Entry:
    """One registration: a process under a key. Equal only to itself."""

    __slots__ = ("exact", "key", "process", "value")

    def __init__(self, process: Process, key: Any, value: Any) -> None:
        self.process = process
        self.key = key
        self.exact = exact(key)
        self.value = value


class UniqueKeys:
    """At most one entry under each key."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[Hashable, Entry] = {}

    def at(self, key: Hashable) -> list[Entry]:
        """The entries under a key."""
        entry = self._entries.get(key)
        return [] if entry is None else [entry]

    def add(self, entry: Entry) -> None:
        """Enter it; nobody else is under its key."""
        self._entries[entry.exact] = entry

    def remove(self, entry: Entry) -> None:
        """Take it out."""
        del self._entries[entry.exact]

    def clear(self) -> None:
        """Take all out."""
        self._entries.clear()


class DuplicateKeys:
    """Any number of entries under each key, in the order of their registration."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[Hashable, dict[Entry, None]] = {}

    def at(self, key: Hashable) -> list[Entry]:
        """The entries under a key."""
        entries = self._entries.get(key)
        return [] if entries is None else list(entries)

    def add(self, entry: Entry) -> None:
        """Enter it."""
        self._entries.setdefault(entry.exact, {})[entry] = None

    def remove(self, entry: Entry) -> None:
        """Take it out."""
        entries = self._entries[entry.exact]
        del entries[entry]
        if not entries:
            del self._entries[entry.exact]

    def clear(self) -> None:
        """Take all out."""
        self._entries.clear()
