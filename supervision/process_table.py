"""What a process is: its pid, its record, and the table of all that live.

Owns the record's fields and says who may write each. Knows nothing of how a process is run (``scheduler``), how
signals travel (``signals``) or what a message means (``actor``).
"""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self

from supervision import exits

if TYPE_CHECKING:
    from supervision.threads import ThreadRecord
    from supervision.waits import Wait

__all__ = ["Body", "Owned", "Pid", "Process", "Ref", "Watcher", "ancestry", "live_processes", "quarantined"]

# How many of its creators a process remembers, as many as a report can use. A process that starts its own successor,
# again and again, must not grow by one each time.
MOST_ANCESTORS: Final = 16

# ``next`` of an itertools.count is one C call and hands out every number once, with the GIL and without it.
_numbers: Final = itertools.count(1)
_references: Final = itertools.count(1)


class Pid:
    """The address of a process. Opaque, hashable, equal only to itself, never reused.

    Counterpart: a pid.
    """

    # The record of the process itself, under a type that shows nothing of it. Two objects that know each other would
    # leave every process that has ended to the garbage collector, which has to find it first.
    __slots__ = ("__weakref__", "_number")

    _number: int

    @property
    def _process(self) -> Process:
        return self  # type: ignore[return-value]  # only Process is ever instantiated

    def __repr__(self) -> str:
        process = self._process
        shown = next((text for text in (process.name, process.label, process.initial_call) if text is not None), None)
        if shown is None:
            return f"<Pid {self._number}>"
        # A label is the user's, and a supervisor that cannot name a child in its report would end by that.
        return f"<Pid {self._number} {shown if isinstance(shown, str) else exits.describe(shown)}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a Pid is meaningful only in the operating-system process that made it; it cannot be pickled")


class Ref:
    """A unique reference, equal only to itself.

    Counterpart: ``erlang:make_ref/0``.
    """

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = next(_references)

    def __repr__(self) -> str:
        return f"<Ref {self._number}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


class Watcher(Protocol):
    """Whoever is told, once, that a process is gone."""

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """Hear of the death. Runs on the thread that ends the process, under the process's lock: never blocks.

        May be called again if it was interrupted, and says then once more whom to notify.

        Returns:
            The process that got mail by it and must be notified, if any.
        """


class Owned(Protocol):
    """Something that must not outlive the process that owns it: a socket, a registry key."""

    def owner_died(self, process: Process, reason: Any) -> None:
        """Release it. Runs on the thread that ends the process, before links and monitors fire.

        It may wait, and may be called again if it was interrupted.
        """


class Body(Protocol):
    """What a process does with a slice of time.

    Attributes:
        in_place: whether who waits for the process may run it on its own thread; if so a slice ends after the message
            that is the thread's ``errand``.
    """

    in_place: ClassVar[bool]

    def step(self, process: Process, record: ThreadRecord) -> None:
        """Work on what has arrived; never raises."""

    def take(self, message: Any, process: Process, record: ThreadRecord) -> None:
        """Work on one message that has not been in the mailbox; asked of a body that is ``in_place``; never raises."""

    def readable(self, process: Process, record: ThreadRecord) -> None:
        """Work on the readiness of the process's armed source, instead of ``step``; never raises."""

    def buried(self) -> None:
        """The process is dead and no thread runs it any more; never blocks, never raises."""


class Process(Pid):
    """The record of one process, which is also its pid.

    Three locks, always taken in this order and never two of one kind except two ``lock`` by ascending pid number:

    * ``queued``, a test-and-set flag: taken by whoever puts the process on the run queue, dropped by whoever pops it.
    * ``running``, a test-and-set flag: held by the one thread that runs the process, or on its behalf. A thread that
      waits in ``receive`` has dropped it and left its parker in ``parked``.
    * ``lock``: guards ``dead``, ``crash``, ``trap_exit``, ``links``, ``monitored_by``, ``owned``, ``suspended``,
      the setting of ``wait``, which its thread clears without it, and the making of ``system``. Held for a few
      instructions; no user code runs under it.

    Other locks guard ``name`` (that of ``names``) and ``struck`` (that of the thread's record). ``monitors`` is filled
    by the process itself; an end that it monitors takes its entry out, in one step. The end of the process drops
    ``monitors``, ``ancestors``, ``lineage`` and ``parent``, on whatever thread that comes. ``blocks`` is a hint, which
    the watchdog writes too.

    The other fields are written by the creator before the process is first scheduled, or by the holder of ``running``.
    """

    __slots__ = (
        "ancestors",
        "at_burial",
        "blocks",
        "body",
        "carrier",
        "context",
        "crash",
        "dead",
        "initial_call",
        "kind",
        "label",
        "lineage",
        "links",
        "lock",
        "mailbox",
        "monitored_by",
        "monitors",
        "name",
        "owned",
        "parent",
        "parked",
        "queued",
        "running",
        "skipped",
        "struck",
        "suspended",
        "system",
        "trap_exit",
        "wait",
    )

    def __init__(self, kind: str, body: Body | None, context: contextvars.Context | None) -> None:
        self._number = next(_numbers)
        self.kind = kind
        self.body = body
        self.context = context
        self.ancestors: tuple[Pid, ...] = ()
        self.lineage: tuple[Pid, ...] | None = None  # the ancestors of its children, once there has been one
        self.parent: Pid | None = None  # who started it by ``start_link``; its EXIT is an order to end
        self.label: Any = None
        self.initial_call: str | None = None  # what it was started to run, as text
        self.name: Any = None
        self.mailbox: deque[Any] = deque()
        self.system: deque[Any] | None = None
        self.skipped: list[Any] | None = None
        self.suspended = False
        self.queued = threading.Lock()
        self.running = threading.Lock()
        self.lock = threading.Lock()
        self.dead = False
        self.trap_exit = False
        self.links: dict[Process, None] | None = None
        self.monitors: dict[Any, Process] | None = None
        self.monitored_by: dict[Any, Watcher] | None = None
        self.owned: dict[Owned, None] | None = None
        self.wait: Wait | None = None
        self.parked: Any = None
        self.carrier: ThreadRecord | None = None
        self.struck = False
        self.crash: Any = None
        # For how many slices it is expected to block in foreign code; a hint, which the watchdog gives.
        self.blocks = 0
        # Called when it is dead and no thread can be running it any more; never blocks, never raises. Set before what
        # it is about is owned (``signals.own``), so that whoever buries the process sees it.
        self.at_burial: Callable[[], object] | None = None

    @property
    def pid(self) -> Pid:
        """This process as others may see it."""
        return self

    def publish(self) -> None:
        """Let everybody find it, once its creator has set what it is: from here on it can be killed."""
        live_processes[self] = self
        if self.dead:  # by a link that was made before; its end has looked here already, or looks after this
            live_processes.pop(self, None)

    def has_mail(self) -> bool:
        """Whether a slice would find something to do."""
        if self.system:
            return True
        return bool(self.mailbox) and not self.suspended

    def status(self) -> str:
        """``"suspended"``, ``"running"`` if a thread runs it now, else ``"waiting"``; a snapshot."""
        if self.suspended:
            return "suspended"
        return "running" if self.running.locked() and self.wait is None else "waiting"

    def queue_length(self) -> int:
        """The number of messages that have not been taken, a snapshot."""
        skipped = self.skipped
        return len(self.mailbox) + (len(skipped) if skipped else 0)


def ancestry(creator: Process | None) -> tuple[Pid, ...]:
    """The ancestors of a process that ``creator`` starts: the creator, the creator of that, and so on."""
    if creator is None:
        return ()
    lineage = creator.lineage
    if lineage is None:  # one for all children: a supervisor may have thousands
        lineage = creator.lineage = (creator.pid, *creator.ancestors[: MOST_ANCESTORS - 1])
    return lineage


# Single dict operations are atomic with the GIL and lock the dict without it; readers copy with ``list(...)``.
live_processes: dict[Pid, Process] = {}

# Dead processes whose thread had not come back when they died.
quarantined: dict[Process, ThreadRecord] = {}
