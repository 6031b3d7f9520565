"""Partition supervisors: the same child many times over, each serving its share of the keys.

Counterpart: ``PartitionSupervisor``. ``partitions`` has how the partition of a key is found.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from supervision import arguments, names
from supervision.actor import Actor
from supervision.bodies import body_of
from supervision.child_spec import ChildSpec, child_spec
from supervision.errors import BadArgument, BadChildSpec, BadReturn, BadType, NoProcess
from supervision.exact_keys import exact
from supervision.partitions import Partitions, PartitionVia, StartPartition
from supervision.process_table import Pid, Process
from supervision.results import Ok
from supervision.shown import shown
from supervision.static_children import StaticChildren
from supervision.supervisor_base import SupervisorBase, SupervisorServer, ask
from supervision.supervisor_children import Clocks
from supervision.supervisor_flags import SupervisorFlags
from supervision.threads import library_call

__all__ = ["PartitionSupervisor"]

_FLAGS = ("partitions", "with_arguments", "strategy", "max_restarts", "max_seconds")


@dataclass(frozen=True, slots=True)
class _PartitionFlags:
    """What a PartitionSupervisor is to start, checked; ``supervisor`` has the child once."""

    partitions: int
    with_arguments: Callable[[tuple[Any, ...], int], Any] | None
    supervisor: SupervisorFlags

    @classmethod
    def of(cls, owner: str, child: Any, flags: dict[str, Any]) -> _PartitionFlags:
        arguments.unknown_options(owner, flags, ("child", "name", *_FLAGS))
        if child is None:
            raise BadType(f"{owner} needs a child")
        given = {"strategy": "one_for_one", **flags}
        partitions = given.pop("partitions", None)
        with_arguments = given.pop("with_arguments", None)
        if with_arguments is not None:
            _check_with_arguments(with_arguments)
        checked = SupervisorFlags.of(owner, [child_spec(child)], given)
        return cls(_processors() if partitions is None else _checked(partitions), with_arguments, checked)

    def arguments_of(self, number: int) -> tuple[Any, ...]:
        """What partition ``number`` is started with."""
        args = self.supervisor.children[0].args
        if self.with_arguments is None:
            return args
        given = self.with_arguments(args, number)
        if not isinstance(given, tuple | list):
            raise BadReturn("PartitionSupervisor", "with_arguments", given, "a tuple of arguments")
        return tuple(given)


def _check_with_arguments(function: Any) -> None:
    arguments.a_callable("with_arguments", function)
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # as of some functions in C, which say nothing of what they take
        return
    try:
        signature.bind((), 0)
    except TypeError:
        raise BadType(f"with_arguments must take the arguments and the partition, got {shown(function)}") from None


def _checked(partitions: Any) -> int:
    return int(arguments.count("partitions", partitions, minimum=1))


def _processors() -> int:
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1


class _PartitionServer(SupervisorServer):
    """The loop of a PartitionSupervisor. ``partitions`` is there before the first of them is started."""

    __slots__ = ("partitions",)

    def __init__(self, actor: Actor, process: Process) -> None:
        super().__init__(actor, process)
        self.partitions: Partitions | None = None


class _PartitionChildren(StaticChildren):
    """The state of a PartitionSupervisor."""

    def __init__(self, process: Process, flags: SupervisorFlags, clocks: Clocks, partitions: Partitions) -> None:
        super().__init__(process, flags, clocks)
        self.partitions = partitions

    def resize(self, count: int) -> int:
        """Start or end partitions; tells how many there were."""
        partitions, before = self.partitions, self.partitions.active
        if count > len(partitions.pids):
            raise BadArgument(f"partitions must be a number between 0 and {len(partitions.pids)}, got {count}")
        partitions.active = min(count, before)  # first, so that keys find no partition that is about to end
        for number in reversed(range(count, before)):
            self.terminate_child(number)
        for number in range(before, count):
            if not self._find(number).is_active():
                self.restart_child(number)
            partitions.active = number + 1
        return before


class PartitionSupervisor(SupervisorBase):
    """Starts a child several times and spreads keys over them, so that no single process has to serve all.

    ``PartitionSupervisor.start_link(DynamicSupervisor, name="pool")`` starts one for each processor;
    ``PartitionSupervisor.via("pool", key)`` names the one that ``key`` belongs to. The ids of the children are the
    numbers of their partitions, from 0. As a child: ``(PartitionSupervisor, {"child": …, "name": "pool"})``.

    Counterpart: ``PartitionSupervisor``.
    """

    server_class = _PartitionServer

    def init(self, arg: _PartitionFlags) -> Any:
        """Return what to start: the child, once for each partition, with that partition's arguments."""
        (child,) = arg.supervisor.children
        specs = [
            dataclasses.replace(child, id=number, args=arg.arguments_of(number)) for number in range(arg.partitions)
        ]
        return Ok(dataclasses.replace(arg.supervisor, children=tuple(specs)))

    @classmethod
    @library_call
    def start_link(cls, child: Any = None, *, name: Any = None, **flags: Any) -> Pid:
        """Starts a supervisor linked to the caller, and returns its pid when all partitions have started.

        Args:
            child: anything that ``child_spec`` accepts; its id is not used.
            name: a string or a via; there is no default.
            **flags: ``partitions`` (how many; as many as there are processors), ``with_arguments`` (called in the
                supervisor as ``with_arguments(args, partition)``; returns what that partition's start function is
                called with; one that takes other arguments is refused here), and ``strategy`` (``"one_for_one"``),
                ``max_restarts`` (3) and ``max_seconds`` (5) as of a Supervisor.

        Raises:
            BadType, BadArgument, BadChildSpec: a flag, the name or the child is missing or wrong; nothing has been
                started.
            AlreadyStarted: the name is taken.
            StartError: a partition (``child_id``) could not be started; those before it have been terminated.

        Counterpart: ``PartitionSupervisor.start_link/1``.
        """
        return cls._begin(child, name, flags, linked=True)

    @classmethod
    @library_call
    def start(cls, child: Any = None, *, name: Any = None, **flags: Any) -> Pid:
        """Starts a supervisor that is not linked; otherwise like ``start_link``."""
        return cls._begin(child, name, flags, linked=False)

    @classmethod
    def child_spec(cls, arg: Any = None) -> ChildSpec:
        """Return how a supervisor starts this one; ``arg`` is a dict of ``child`` and the options of ``start_link``.

        Counterpart: ``PartitionSupervisor.child_spec/1``.
        """
        if not isinstance(arg, dict):
            raise BadChildSpec(f"{cls.__name__} as a child takes a dict of options, got {arg!r}")
        options = dict(arg)
        begin = functools.partial(cls.start_link, options.pop("child", None), **options)
        id_: Any = options.get("name") or cls
        return ChildSpec(id_, begin, restart=cls.restart, type=cls.type)

    @classmethod
    def _begin(cls, child: Any, name: Any, flags: dict[str, Any], *, linked: bool) -> Pid:
        names.check_name(name)
        checked = _PartitionFlags.of(f"{cls.__name__}.start_link", child, flags)
        return cls._launch(checked, name, {}, linked=linked)

    def started(self, process: Process, result: Ok) -> Ok:
        """Start the partitions."""
        flags, server = result.state, process.body
        assert isinstance(server, _PartitionServer)
        server.partitions = partitions = Partitions(len(flags.children))
        specs = [
            dataclasses.replace(spec, start=StartPartition(partitions, number, spec.start))
            for number, spec in enumerate(flags.children)
        ]
        state = _PartitionChildren(process, flags, Clocks(type(self).clock, type(self).chance), partitions)
        state.start_all(tuple(specs))
        return Ok(state)

    @staticmethod
    def via(supervisor: Any, key: Hashable) -> PartitionVia:
        """Returns the name of the partition that a key belongs to, wherever a server is named except at its start.

        Args:
            supervisor: the name or the pid of the supervisor.
            key: a whole number belongs to the partition that is the remainder of its amount; any other key to the one
                that is the remainder of its hash.

        Raises:
            BadType: the key is not hashable.

        Counterpart: ``{:via, PartitionSupervisor, {name, key}}``.
        """
        exact(key)
        return PartitionVia(_partitions_of, supervisor, key)

    @staticmethod
    @library_call
    def partitions(supervisor: Any) -> int:
        """Returns how many partitions keys are spread over.

        Raises:
            NoProcess: there is no such supervisor.

        Counterpart: ``PartitionSupervisor.partitions/1``.
        """
        return _partitions_of(supervisor).active

    @staticmethod
    def resize(supervisor: Any, partitions: int) -> int:
        """Ends the partitions from the number ``partitions`` on, or starts those up to it again.

        Keys are spread over the new number of them, so most move to another one.

        Args:
            supervisor: the name or the pid of the supervisor.
            partitions: from 0 to the number at the start.

        Returns:
            How many there were.

        Raises:
            BadType, BadArgument: it is no such number.
            NoProcess: there is no such supervisor.
            StartError: a partition could not be started; keys are spread over those before it.

        Counterpart: ``PartitionSupervisor.resize!/2``.
        """
        _partitions_of(supervisor)
        return ask(supervisor, "resize", arguments.count("partitions", partitions))  # type: ignore[no-any-return]


def _partitions_of(supervisor: Any) -> Partitions:
    partitions = body_of(supervisor, _PartitionServer, "a partition supervisor").partitions
    if partitions is None:
        raise NoProcess(supervisor)
    return partitions
