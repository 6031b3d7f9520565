"""Registries: processes under keys, one each or many, found without asking anybody.

Counterpart: ``Registry``. ``registry_table`` has what is behind it, and says what holds when.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final, Literal, TypeVar, get_args

from supervision.arguments import a_callable, boolean, count, listed, one_of, options_by_name
from supervision.child_spec import ChildSpec
from supervision.errors import BadArgument, BadChildSpec, BadType, NotFound
from supervision.exact_keys import exact
from supervision.foreign import this_process
from supervision.names import check_name
from supervision.process_table import Pid, Process
from supervision.registry_keys import Entry
from supervision.registry_locks import Turn
from supervision.registry_process import RegistryProcess, table_of
from supervision.registry_table import RegistryOptions, Table
from supervision.registry_via import RegistryVia
from supervision.shown import shown
from supervision.start import StartOptions, start
from supervision.threads import current, library_call

__all__ = ["Registry"]

Keys = Literal["unique", "duplicate"]
T = TypeVar("T")

KEYS: Final = get_args(Keys)


class Registry:
    """Processes under keys. With unique keys a key has one process at most, and can name it (``via``).

    A key is any hashable value; keys of different types differ, so that ``1``, ``1.0`` and ``True`` are three. A
    process registers itself, under as many keys as it likes, and is linked to the registry while it is registered. Its
    entries go when it ends, before anybody hears of its end by a link or a monitor.

    ``registry`` is the name or the pid of the registry everywhere; if there is none, NoProcess is raised. Functions
    that are given to it run in the caller, outside of any lock.

    Counterpart: ``Registry``.
    """

    @staticmethod
    @options_by_name
    @library_call
    def start_link(
        *,
        keys: Keys | None = None,
        name: Any = None,
        partitions: int = 1,
        listeners: Iterable[Pid | str] = (),
        meta: Mapping[Any, Any] | None = None,
    ) -> Pid:
        """Starts a registry linked to the caller.

        Args:
            keys: ``"unique"`` or ``"duplicate"``; there is no default.
            name: a string or a via; there is no default.
            partitions: accepted for ported code. One table serves readers without a lock.
            listeners: pids and registered names that get ``("register", name, key, pid, value)`` and
                ``("unregister", name, key, pid)``, in the order of the changes.
            meta: what ``meta`` gives from the start.

        Raises:
            BadType, BadArgument: an option is missing or wrong; nothing has been started.
            AlreadyStarted: the name is taken.

        Counterpart: ``Registry.start_link/1``.
        """
        count("partitions", partitions, minimum=1)
        options = RegistryOptions(
            name=check_name(name),
            unique=one_of("keys", keys, KEYS) == "unique",
            listeners=_checked_listeners(listeners),
            meta=_checked_meta(meta),
        )
        return start(RegistryProcess, options, StartOptions(name=name), linked=True)

    @classmethod
    def child_spec(cls, arg: Any = None) -> ChildSpec:
        """Return how a supervisor starts a registry; ``arg`` is a dict of the options of ``start_link``.

        Counterpart: ``Registry.child_spec/1``.
        """
        if not isinstance(arg, dict):
            raise BadChildSpec(f"{cls.__name__} as a child takes a dict of options, got {arg!r}")
        id_: Any = arg.get("name") or cls
        return ChildSpec(id_, functools.partial(cls.start_link, **arg))

    @staticmethod
    def via(registry: Any, key: Hashable, value: Any = None) -> RegistryVia:
        """Returns a key of a registry with unique keys as a name, wherever a server is named.

        Args:
            registry: the registry.
            key: the key.
            value: what is registered with it, where the via is the name of a start.

        Counterpart: ``{:via, Registry, {registry, key, value}}``.
        """
        return RegistryVia(registry, key, value)

    # The caller's own entries

    @staticmethod
    @library_call
    def register(registry: Any, key: Hashable, value: Any = None) -> Pid:
        """Registers the caller, and returns the pid of the registry, to which it is now linked.

        Raises:
            AlreadyRegistered: the keys are unique and this one belongs to a live process, the caller included.

        Counterpart: ``Registry.register/3``.
        """
        table = table_of(registry)
        table.register(this_process(), key, value)
        return table.process.pid

    @staticmethod
    @library_call
    def unregister(registry: Any, key: Hashable) -> None:
        """Removes every entry of the caller under a key; those of others stay.

        Counterpart: ``Registry.unregister/2``.
        """
        table, process, entries = _own(registry, key)
        table.unregister(process, entries)

    @staticmethod
    def unregister_match(registry: Any, key: Hashable, predicate: Callable[[Any], object]) -> None:
        """Removes the entries of the caller under a key whose value ``predicate(value)`` accepts.

        Counterpart: ``Registry.unregister_match/4``.
        """
        a_callable("predicate", predicate)
        table, process, entries = _own(registry, key)
        _remove(table, process, [entry for entry in entries if predicate(entry.value)])

    @staticmethod
    def update_value(registry: Any, key: Hashable, fn: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Replaces the value under a key of the caller by ``fn(value)``.

        Returns:
            The new value and the old one.

        Raises:
            NotFound: the key is not the caller's; ``fn`` has not been called.
            BadArgument: the registry has duplicate keys.

        Counterpart: ``Registry.update_value/3``.
        """
        a_callable("fn", fn)
        table, _, entries = _own(registry, key)
        if not table.options.unique:
            raise BadArgument(f"update_value needs unique keys, and those of {registry!r} are duplicate")
        if not entries:
            raise NotFound(f"the caller is not registered under {shown(key)}")
        # No lock: nobody but the caller changes it, and a reader gets the one value or the other.
        old = entries[0].value
        entries[0].value = new = fn(old)
        return new, old

    # Finding

    @staticmethod
    @library_call
    def lookup(registry: Any, key: Hashable) -> list[tuple[Pid, Any]]:
        """Returns ``(pid, value)`` of every entry under a key, in the order of their registration.

        Counterpart: ``Registry.lookup/2``.
        """
        return [(entry.process.pid, entry.value) for entry in table_of(registry).lookup(key)]

    @staticmethod
    def dispatch(
        registry: Any, key: Hashable, fn: Callable[[list[tuple[Pid, Any]]], object], *, parallel: bool = False
    ) -> None:
        """Calls ``fn`` once with what ``lookup`` returns, unless that is empty. What it raises is raised here.

        Args:
            registry: the registry.
            key: the key.
            fn: it usually sends something to each.
            parallel: accepted for ported code; ``fn`` always runs in the caller.

        Counterpart: ``Registry.dispatch/4``.
        """
        a_callable("fn", fn)
        boolean("parallel", parallel)
        entries = Registry.lookup(registry, key)
        if entries:
            fn(entries)

    @staticmethod
    @library_call
    def keys(registry: Any, pid: Pid) -> list[Any]:
        """Returns the keys of a process, each as often as it is registered under it.

        Counterpart: ``Registry.keys/2``.
        """
        return [entry.key for entry in table_of(registry).of(_process_of(pid))]

    @staticmethod
    @library_call
    def values(registry: Any, key: Hashable, pid: Pid) -> list[Any]:
        """Returns the values that a process has under a key.

        Counterpart: ``Registry.values/3``.
        """
        return [entry.value for entry in table_of(registry).of_under(_process_of(pid), key)]

    @staticmethod
    @library_call
    def count(registry: Any) -> int:
        """Returns the number of entries.

        Counterpart: ``Registry.count/1``.
        """
        return len(table_of(registry).all())

    @staticmethod
    def match(registry: Any, key: Hashable, predicate: Callable[[Any], object]) -> list[tuple[Pid, Any]]:
        """Returns ``(pid, value)`` of the entries under a key whose value ``predicate(value)`` accepts.

        Counterpart: ``Registry.match/4``. Differs: a predicate instead of a pattern and guards.
        """
        a_callable("predicate", predicate)
        return [(pid, value) for pid, value in Registry.lookup(registry, key) if predicate(value)]

    @staticmethod
    def count_match(registry: Any, key: Hashable, predicate: Callable[[Any], object]) -> int:
        """Returns how many entries ``match`` would return.

        Counterpart: ``Registry.count_match/4``.
        """
        return len(Registry.match(registry, key, predicate))

    @staticmethod
    def select(registry: Any, predicate: Callable[[Any, Pid, Any], object]) -> list[tuple[Any, Pid, Any]]:
        """Returns ``(key, pid, value)`` of every entry that ``predicate(key, pid, value)`` accepts.

        Counterpart: ``Registry.select/2``. Differs: a predicate instead of match specifications.
        """
        a_callable("predicate", predicate)
        entries = [(entry.key, entry.process.pid, entry.value) for entry in _all(registry)]
        return [entry for entry in entries if predicate(*entry)]

    @staticmethod
    def count_select(registry: Any, predicate: Callable[[Any, Pid, Any], object]) -> int:
        """Returns how many entries ``select`` would return.

        Counterpart: ``Registry.count_select/2``.
        """
        return len(Registry.select(registry, predicate))

    # What is kept beside the entries

    @staticmethod
    def lock(registry: Any, key: Hashable, fn: Callable[[], T]) -> T:
        """Calls ``fn()`` while no other process runs one under the same key, and returns what it returns.

        Keys of locks have nothing to do with keys of entries. The wait for a lock has no limit. A lock whose holder
        ends goes to the next one, even if the holder's thread has yet to come out of ``fn``.

        Raises:
            CallError: the caller holds this lock already.

        Counterpart: ``Registry.lock/3``.
        """
        a_callable("fn", fn)
        turn = _take_turn(registry, key)
        try:
            return fn()
        finally:
            _end_turn(turn)

    @staticmethod
    @library_call
    def meta(registry: Any, key: Hashable) -> Any:
        """Returns what is stored with the registry under a key.

        Raises:
            NotFound: nothing is.

        Counterpart: ``Registry.meta/2``.
        """
        try:
            return table_of(registry).meta[exact(key)]
        except KeyError:
            raise NotFound(f"the registry has no meta {shown(key)}") from None

    @staticmethod
    @library_call
    def put_meta(registry: Any, key: Hashable, value: Any) -> None:
        """Stores a value with the registry; nothing else is done with it.

        Counterpart: ``Registry.put_meta/3``.
        """
        table_of(registry).meta[exact(key)] = value

    @staticmethod
    @library_call
    def delete_meta(registry: Any, key: Hashable) -> None:
        """Forgets what is stored with the registry under a key, if anything is.

        Counterpart: ``Registry.delete_meta/2``.
        """
        table_of(registry).meta.pop(exact(key), None)


def _checked_listeners(listeners: Any) -> tuple[Pid | str, ...]:
    checked = tuple(listed("listeners", listeners, "pids and registered names"))
    for listener in checked:
        if not isinstance(listener, Pid | str):
            raise BadType(f"listeners must be a list of pids and registered names, got {listener!r} in it")
        if listener == "":
            raise BadArgument("listeners must be a list of pids and registered names, got '' in it")
    return checked


def _checked_meta(meta: Any) -> dict[Hashable, Any]:
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        raise BadType(f"meta must be a mapping or None, got {meta!r}")
    return {exact(key): value for key, value in meta.items()}


def _process_of(pid: Any) -> Process:
    if not isinstance(pid, Pid):
        raise BadType(f"expected a Pid, got {pid!r}")
    return pid._process


@library_call
def _own(registry: Any, key: Hashable) -> tuple[Table, Process, list[Entry]]:
    table, process = table_of(registry), this_process()
    return table, process, table.of_under(process, key)


@library_call
def _remove(table: Table, process: Process, entries: list[Entry]) -> None:
    table.unregister(process, entries)


@library_call
def _all(registry: Any) -> list[Entry]:
    return table_of(registry).all()


@library_call
def _take_turn(registry: Any, key: Hashable) -> Turn:
    return table_of(registry).locks.take(exact(key), this_process(), current.record)


@library_call
def _end_turn(turn: Turn) -> None:
    turn.locks.release(turn)
