"""Which partition a key belongs to, and which process that is: shared by a PartitionSupervisor with all its users.

The supervisor writes, from its own callbacks; anybody reads, without a lock: each read is that of one item or field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervision.errors import BadArgument, NoProcess
from supervision.exact_keys import exact
from supervision.process_table import Pid

__all__ = ["PartitionVia", "Partitions", "StartPartition"]


class Partitions:
    """The processes of a PartitionSupervisor by the number of their partition.

    Attributes:
        pids: what runs, or ran last; None if nothing has yet.
        active: how many of them keys are spread over; those after them do not run.
    """

    __slots__ = ("active", "pids")

    def __init__(self, count: int) -> None:
        self.pids: list[Pid | None] = [None] * count
        self.active = count

    def find(self, key: Any) -> Pid | None:
        """The process that a key belongs to.

        Raises:
            BadArgument: there are no partitions.
        """
        count = self.active
        if count == 0:
            raise BadArgument("the partition supervisor has zero partitions")
        number = abs(key) if isinstance(key, int) and not isinstance(key, bool) else hash(key)
        return self.pids[number % count]


class StartPartition:
    """The start function of one partition: starts what the child's own does, and lets it be found."""

    __slots__ = ("number", "partitions", "start")

    def __init__(self, partitions: Partitions, number: int, start: Callable[..., Any]) -> None:
        self.partitions = partitions
        self.number = number
        self.start = start

    def __call__(self, *args: Any) -> Any:
        """Start the partition. Runs in the supervisor."""
        pid = self.start(*args)
        if isinstance(pid, Pid):  # the supervisor refuses anything else
            self.partitions.pids[self.number] = pid
        return pid


class PartitionVia:
    """The name of the partition that a key belongs to. Equal to another of the same supervisor and key."""

    __slots__ = ("find_partitions", "key", "supervisor")

    def __init__(self, find_partitions: Callable[[Any], Partitions], supervisor: Any, key: Any) -> None:
        self.find_partitions = find_partitions
        self.supervisor = supervisor
        self.key = key

    def __repr__(self) -> str:
        return f"PartitionSupervisor.via({self.supervisor!r}, {self.key!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PartitionVia):
            return NotImplemented
        return (self.supervisor, exact(self.key)) == (other.supervisor, exact(other.key))

    def __hash__(self) -> int:
        return hash((self.supervisor, exact(self.key)))

    def register_name(self, pid: Pid) -> None:
        """Refuse: partitions are started by their supervisor only."""
        raise BadArgument(f"{self!r} cannot be the name of a start")

    def unregister_name(self) -> None:
        """Refuse, as ``register_name``."""
        raise BadArgument(f"{self!r} cannot be taken from its process")

    def whereis_name(self) -> Pid | None:
        """Return the process of the partition; None if it does not run, or there is no such supervisor.

        Raises:
            BadArgument: the supervisor has zero partitions, or is no partition supervisor.
        """
        try:
            pid = self.find_partitions(self.supervisor).find(self.key)
        except NoProcess:
            return None
        return None if pid is None or pid._process.dead else pid
