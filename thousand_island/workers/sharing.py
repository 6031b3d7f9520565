"""What the supervisor of workers, its parts and whoever asks share: the listening sockets, the workers, the counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from supervision.process_table import Pid, Process
from supervision.signals import entrust
from thousand_island.errors import WorkerFailed
from thousand_island.transport import SocketInfo
from thousand_island.workers.config import WorkersConfig
from thousand_island.workers.metric_sums import Snapshot, lasting, total

__all__ = ["FirstStart", "Place", "Sharing", "WorkerStatus"]

WorkerStatus: TypeAlias = Literal["starting", "serving", "draining"]


@dataclass(slots=True, eq=False)
class Place:
    """One live worker. Its fields are written by its own process only, each in one step.

    Attributes:
        number: from 1; a worker and the one that replaces it have the same.
        generation: how often the number has been replaced in rolling restarts.
        pid: its process of this library.
        os_pid: its process of the operating system; None before that is started.
        status: what it does.
        counted: the last snapshot of its metrics.
    """

    number: int
    generation: int
    pid: Pid
    os_pid: int | None = None
    status: WorkerStatus = "starting"
    counted: Snapshot | None = None


@dataclass(slots=True, eq=False)
class FirstStart:
    """A start of a worker that the starter waits for. A worker that fails meanwhile is not restarted.

    Attributes:
        failure: why it has failed; written by the worker before it ends.
    """

    failure: WorkerFailed | None = None


class Sharing:
    """What is shared.

    ``lock`` guards ``sockets`` against a second close, and the step of a worker from ``places`` to ``retired``.

    Attributes:
        config: the options.
        local_info: where the workers listen.
        supervisor: the pid of the workers' own supervisor.
        generations: of each number, the one that counts. Written by the starter *before* it looks for workers to
            replace; read by a worker *after* it has taken its place, so that one of them sees the other.
        first_starts: those that are under way, by number and generation. Written by the starter, before it starts the
            worker and when that serves or has ended.
    """

    def __init__(self, config: WorkersConfig) -> None:
        self.config = config
        self.local_info: SocketInfo | None = None
        self.supervisor: Pid | None = None
        self.generations = dict.fromkeys(range(1, config.workers + 1), 0)
        self.first_starts: dict[tuple[int, int], FirstStart] = {}
        self.places: dict[Process, Place] = {}
        self.lock = threading.Lock()
        self.sockets: list[Any] = []
        self.retired: Snapshot = []

    def open(self) -> None:
        """Listen, for all workers.

        Raises:
            OSError: the system refuses.
        """
        server = self.config.server
        transport, port = server.transport_module, server.port
        options = dict(server.transport_options)
        if self.config.share == "reuseport":
            options["reuseport"] = True
        try:
            for _ in range(self.config.workers if self.config.share == "reuseport" else 1):
                self.sockets.append(transport.listen(port, options))
                self.local_info = transport.sockname(self.sockets[0])
                if isinstance(self.local_info[1], int):
                    port = self.local_info[1]  # all sockets share the port that the first was given
        except BaseException:
            self.close_sockets()
            raise

    def descriptor(self, number: int) -> int | None:
        """The descriptor of the listening socket for worker ``number``; None once they are closed."""
        sockets = self.sockets
        return int(sockets[(number - 1) % len(sockets)].fileno()) if sockets else None

    def close_sockets(self) -> None:
        """Stop listening, as far as this process is concerned."""
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for socket in sockets:
            self.config.server.transport_module.close(socket)

    def join(self, process: Process, number: int, generation: int) -> Place:
        """Give a worker its place until it is dead."""
        place = Place(number, generation, process.pid)
        with self.lock:
            self.places[process] = place
        entrust(process, _Leave(self))
        return place

    def leave(self, process: Process) -> None:
        """Keep what a worker has counted, and forget it."""
        with self.lock:
            place = self.places.pop(process, None)
            if place is not None and place.counted is not None:
                self.retired = total([self.retired, lasting(place.counted)])

    def counted(self) -> Snapshot:
        """What all workers have counted, those that have ended too; each once."""
        with self.lock:
            return total([self.retired, *(place.counted or [] for place in self.places.values())])

    def live(self) -> Iterator[Place]:
        """The workers that there are, by number."""
        with self.lock:
            places = list(self.places.values())
        yield from sorted(places, key=lambda place: (place.number, place.generation))

    def owner_died(self, process: Process, reason: Any) -> None:
        """The supervisor of all has ended, in whatever way."""
        self.close_sockets()


class _Leave:
    """Takes a worker out when its process ends."""

    def __init__(self, sharing: Sharing) -> None:
        self.sharing = sharing

    def owner_died(self, process: Process, reason: Any) -> None:
        self.sharing.leave(process)
