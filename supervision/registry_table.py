"""Who is registered under what: the shared table of one registry.

Readers use the table directly, from any thread and without a lock. Writers take turns by the table's lock. An entry
never outlives its process: each registered process owns a ``Registrant``, which is released when it dies, before its
links and monitors fire.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from supervision import names, signals
from supervision.errors import AlreadyRegistered, NoProcess
from supervision.exact_keys import exact
from supervision.log import logger
from supervision.process_table import Pid, Process
from supervision.registry_keys import DuplicateKeys, Entry, UniqueKeys
from supervision.registry_locks import KeyLocks
from supervision.scheduler import notify

__all__ = ["RegistryOptions", "Table"]

# Seconds that a death waits for the change that another thread is making, so that listeners hear of it before its links
# and monitors do. A change takes microseconds, unless a finalizer in the middle of it waits for this very death.
PATIENCE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """The options of a registry, checked.

    Attributes:
        name: its name, which listeners are told.
        unique: whether a key has at most one entry.
        listeners: pids and registered names.
        meta: what is stored with the registry from its start.
    """

    name: Any
    unique: bool
    listeners: tuple[Pid | str, ...]
    meta: dict[Hashable, Any]


class Registrant:
    """A process that has entries; it owns this as long as there are any."""

    __slots__ = ("entries", "linked", "process", "table")

    def __init__(self, table: Table, process: Process) -> None:
        self.table = table
        self.process = process
        self.linked = False  # whether its link to the registry was made by its first registration
        self.entries: dict[Entry, None] = {}

    def owner_died(self, process: Process, reason: Any) -> None:
        """Take out all its entries."""
        self.table.forget(self)


class Table:
    """The entries of one registry.

    ``lock`` guards every write. It is taken under no other lock, and under it only ``Process.lock`` of registrants and
    of the registry, by ``own``, ``link`` and their opposites. The ``__hash__`` and ``__eq__`` of keys run under it and
    must not use the registry. Listeners get their messages under it, so that they see the changes in the order in which
    they were made, and are woken after it.

    A finalizer may run in the middle of a change, on the thread that makes it, and change something itself, or wait for
    the death of a process. So the lock can be taken again by its thread, ``busy`` tells that a change is half made, and
    a change that comes then is put off until that one is whole: no two are ever interleaved. A finalizer that meets the
    lock taken and ``busy`` not yet set, or no longer, makes its change before or after the other one. What a death
    changes is put off if another thread keeps the lock for long. Whoever puts a change off appends it and then tries
    the lock; whoever drops the lock looks at ``put_off`` afterwards: so no change is forgotten.
    """

    __slots__ = ("busy", "by_key", "entries", "lock", "locks", "meta", "options", "process", "put_off", "registrants")

    def __init__(self, process: Process, options: RegistryOptions) -> None:
        self.process = process
        self.options = options
        self.meta = dict(options.meta)
        self.lock = threading.RLock()
        self.busy = False
        self.put_off: deque[Callable[[], list[Process]]] = deque()
        self.locks = KeyLocks(options.name)
        self.entries: dict[Entry, None] = {}
        self.by_key: UniqueKeys | DuplicateKeys = UniqueKeys() if options.unique else DuplicateKeys()
        self.registrants: dict[Process, Registrant] = {}

    # Reading

    def lookup(self, key: Any) -> list[Entry]:
        """The entries under a key whose processes live."""
        return [entry for entry in self.by_key.at(exact(key)) if not entry.process.dead]

    def all(self) -> list[Entry]:
        """All entries whose processes live, in the order of their registration."""
        return [entry for entry in list(self.entries) if not entry.process.dead]

    def of(self, process: Process) -> list[Entry]:
        """The entries of a process, in the order of their registration."""
        registrant = self.registrants.get(process)
        return [] if registrant is None or process.dead else list(registrant.entries)

    def of_under(self, process: Process, key: Any) -> list[Entry]:
        """The entries of a process under a key; none of one that is dead."""
        if process.dead:
            return []
        wanted = exact(key)
        found = self.by_key.at(wanted) if self.options.unique else self.of(process)
        return [entry for entry in found if entry.process is process and entry.exact == wanted]

    # Writing

    def register(self, process: Process, key: Any, value: Any) -> None:
        """Enter a process.

        Raises:
            AlreadyRegistered: the keys are unique and this one belongs to a live process.
            NoProcess: the process or the registry is dead.
        """
        entry = Entry(process, key, value)
        self._holder(entry)  # of one that is put off, all that can be refused while its caller listens
        self._change(lambda: self._enter(entry))

    def unregister(self, process: Process, entries: Iterable[Entry]) -> None:
        """Take out entries of a process; those that are no longer there do not matter."""
        self._change(lambda: self._take_out(process, entries))

    def forget(self, registrant: Registrant) -> None:
        """Take out all entries of a process that has died. Readers see none of it any more in any case."""
        if registrant.linked:  # now, while its end has not told its links yet: that would end the registry
            signals.unlink(registrant.process, self.process)
        self.put_off.append(lambda: self._forget(registrant))
        self._catch_up(PATIENCE_SECONDS)

    def owner_died(self, process: Process, reason: Any) -> None:
        """Take out everything: the registry has died. Its links are about to tell the registered processes."""
        self.put_off.append(self._clear)
        self._catch_up(PATIENCE_SECONDS)
        self.locks.close()

    # How changes take turns

    def _change(self, change: Callable[[], list[Process]]) -> None:
        """Make a change, and then wake the listeners that it names; put off if it comes in the middle of another."""
        try:
            with self.lock:
                if self.busy:
                    self.put_off.append(change)
                    return
                self.busy = True
                try:
                    told = change()
                finally:
                    self.busy = False
            _wake(told)
        finally:
            self._catch_up()

    def _catch_up(self, patience: float = 0) -> None:
        """Make the changes that were put off, unless whoever holds the lock is about to."""
        while self.put_off and self.lock.acquire(timeout=patience):
            told: list[Process] = []
            refusal: Exception | None = None
            try:
                if self.busy:  # further up on this very thread
                    return
                told = self._make_next()
            except AlreadyRegistered as error:
                refusal = error
            except NoProcess:
                pass  # who was to be registered has ended meanwhile, or the registry has
            finally:
                self.lock.release()
            _wake(told)
            if refusal is not None:
                logger.warning("a registration that a finalizer asked for is refused: %s", refusal)

    def _make_next(self) -> list[Process]:
        self.busy = True
        try:
            return self.put_off.popleft()() if self.put_off else []
        finally:
            self.busy = False

    # The changes themselves; each returns the listeners that have to be woken

    def _enter(self, entry: Entry) -> list[Process]:
        holder = self._holder(entry)
        registrant = self._enlist(entry.process)
        told = [] if holder is None else self._remove(holder)
        try:
            self.by_key.add(entry)  # first: the ``==`` of its key is the user's, and may raise
        except BaseException:
            if not registrant.entries:
                self._dismiss(registrant)
            raise
        self.entries[entry] = None
        registrant.entries[entry] = None
        return told + self._tell(("register", self.options.name, entry.key, entry.process.pid, entry.value))

    def _take_out(self, process: Process, entries: Iterable[Entry]) -> list[Process]:
        registrant = self.registrants.get(process)
        if registrant is None:
            return []
        told = [woken for entry in entries if entry in registrant.entries for woken in self._remove(entry)]
        if not registrant.entries:
            self._dismiss(registrant)
        return told

    def _forget(self, registrant: Registrant) -> list[Process]:
        if self.registrants.get(registrant.process) is not registrant:
            return []  # the registry has died as well, or the last entry has been unregistered
        told = [woken for entry in list(registrant.entries) for woken in self._remove(entry)]
        self._dismiss(registrant)
        return told

    def _clear(self) -> list[Process]:
        registrants = list(self.registrants.values())
        self.registrants.clear()
        self.entries.clear()
        self.by_key.clear()
        for registrant in registrants:
            signals.disown(registrant.process, registrant)
        return []

    def _holder(self, entry: Entry) -> Entry | None:
        """The entry that has the unique key of this one, if its process is dead and has yet to give it back."""
        for other in self.by_key.at(entry.exact) if self.options.unique else ():
            if not other.process.dead:
                raise AlreadyRegistered(other.process.pid, entry.key)
            return other
        return None

    def _enlist(self, process: Process) -> Registrant:
        registrant = self.registrants.get(process)
        if registrant is not None:
            return registrant  # if the process is dying, ``_forget`` comes after this
        registrant = Registrant(self, process)
        # A process that is dead by now has lost its links already, and gets no new one.
        registrant.linked = not (self.process in (process.links or ()) or process.dead)
        # Owned before it is linked: if it dies then, ``forget`` removes the link before the link can end the registry.
        if not signals.own(process, registrant):
            raise NoProcess(process.pid)
        if not signals.link(process, self.process):
            signals.disown(process, registrant)
            raise NoProcess(self.options.name)
        self.registrants[process] = registrant
        return registrant

    def _dismiss(self, registrant: Registrant) -> None:
        """The process has no entry any more. A link that it had before its first registration stays."""
        process = registrant.process
        del self.registrants[process]
        signals.disown(process, registrant)
        if registrant.linked:
            signals.unlink(process, self.process)

    def _remove(self, entry: Entry) -> list[Process]:
        del self.entries[entry]
        self.by_key.remove(entry)
        del self.registrants[entry.process].entries[entry]
        return self._tell(("unregister", self.options.name, entry.key, entry.process.pid))

    def _tell(self, message: Any) -> list[Process]:
        """Post a message to the listeners; returns those that have to be woken."""
        if not self.options.listeners:
            return []
        found = [names.find(listener) for listener in self.options.listeners]
        told = [listener for listener in found if listener is not None and not listener.dead]
        for listener in told:
            listener.mailbox.append(message)
        return told


def _wake(told: list[Process]) -> None:
    for listener in told:
        notify(listener)
