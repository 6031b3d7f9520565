"""The options of a server that runs in several operating-system processes: its own, and those of each worker's server.

Everything that can be refused without asking the operating system is refused here. Imports the handler, so that a
mistake in its path is found here and not in a worker.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import sys
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from supervision import arguments
from supervision.messages import BRUTAL_KILL
from thousand_island.errors import BadOption, MissingOption, UnknownOption
from thousand_island.events import LogLevel
from thousand_island.handler_path import load_handler
from thousand_island.options import Check, check_names, check_values
from thousand_island.server_config import ServerConfig

__all__ = ["Order", "Share", "WorkersConfig"]

Share: TypeAlias = Literal["listener", "reuseport"]

_SHARES: Final[tuple[Share, ...]] = get_args(Share)
_LOG_LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)

# Milliseconds that a worker gets beyond the time of its connections: for the rest of its tree, and the interpreter.
_GRACE: Final = 5_000

# Restarts that all workers may take together within _MAX_SECONDS, beyond one for each: a machine that has run out of
# memory may lose them all at once. Ten seconds, because a start takes part of one, also of a worker that ends at once.
_SPARE_RESTARTS: Final = 3
_MAX_SECONDS: Final = 10


def _cpus() -> int:
    return (getattr(os, "process_cpu_count", None) or os.cpu_count)() or 1


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker has to know; the first frame on its control channel, pickled as the options may be any objects.

    Attributes:
        handler: ``"module:Handler"``.
        options: of its server, without the handler and where to listen.
        metrics: whether it counts.
        log_level: of its logger.
        sys_path: where its modules are.
    """

    handler: str
    options: dict[str, Any]
    metrics: bool
    log_level: LogLevel | None
    sys_path: list[str]


@dataclass(frozen=True, slots=True)
class WorkersConfig:
    """The options, checked and complete. Made by ``WorkersConfig.new``.

    Attributes:
        handler: ``"module:Handler"``: each worker imports it anew. Required.
        workers: how many operating-system processes; by default as many as there are CPUs.
        share: ``"listener"``: all accept from one socket; ``"reuseport"``: each has one of its own on the port, among
            which the system shares the clients out. Either is opened by the parent and outlives the workers.
        metrics: whether the workers count for a ``MetricsCollector``.
        log_level: of the logger in each worker, which writes to stderr; None: it is the handler's module that sets up
            logging.
        start_timeout: milliseconds, or ``INFINITY``, within which a worker must serve.
        max_restarts: how many restarts of workers the supervisor takes within ``max_seconds`` before it gives up; by
            default one for each worker and three more.
        max_seconds: 10 by default.
        server: the options of each worker's server, checked. ``max_connections`` and the like are of each worker.
        options: those of them that were given.
    """

    handler: str
    server: ServerConfig
    workers: int = field(default_factory=_cpus)
    share: Share = "listener"
    metrics: bool = False
    log_level: LogLevel | None = "error"
    start_timeout: int | float = 60_000
    max_restarts: int | None = None
    max_seconds: int = _MAX_SECONDS
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def new(cls, **given: Any) -> WorkersConfig:
        """Checks the options and completes them with the defaults.

        Raises:
            UnknownOption: an option is unknown; the text has the nearest name. It is also a TypeError.
            MissingOption: ``handler`` was not given. It is also a TypeError.
            BadOption: a value is refused, two of them contradict each other, the handler cannot be imported, or a value
                cannot be pickled. It is also a ValueError.
        """
        own = {field.name for field in dataclasses.fields(cls)} - {"server", "options"}
        of_server = {field.name for field in dataclasses.fields(ServerConfig)} - {"handler_module"}
        if "handler_module" in given:  # by its letters transport_module would be nearer
            hint = "did you mean 'handler', such as 'examples.echo:Echo'?"
            raise UnknownOption(f"workers.start_link got an unknown option 'handler_module'; {hint}")
        check_names("workers.start_link", given, own | of_server)
        if given.get("handler") is None:
            raise MissingOption("workers.start_link needs handler, such as 'examples.echo:Echo'")
        options = {name: value for name, value in given.items() if name in of_server}
        server = ServerConfig.new(handler_module=load_handler(given["handler"]), **options)
        mine = {name: value for name, value in given.items() if name in own}
        config = cls(**{**mine, **check_values(mine, _CHECKS)}, server=server, options=options)
        _check_handler(config)
        _check_sharing(config)
        config.order()
        return config

    @property
    def restarts(self) -> int:
        """How many restarts the supervisor takes."""
        return self.workers + _SPARE_RESTARTS if self.max_restarts is None else self.max_restarts

    @property
    def shutdown(self) -> int | float:
        """Milliseconds that a worker gets from SIGTERM to SIGKILL."""
        timeout = self.server.shutdown_timeout
        return _GRACE if timeout == BRUTAL_KILL else timeout + _GRACE

    def order(self) -> bytes:
        """What a worker is told, pickled.

        Raises:
            BadOption: a value cannot be pickled.
        """
        options = {**self.options, "transport_options": dict(self.server.transport_options)}
        # Where to listen is the parent's business, and these are of no use to a socket that listens already.
        for name in ("ip", "inet6", "reuseport", "socket_mode"):
            options["transport_options"].pop(name, None)
        order = Order(self.handler, options, self.metrics, self.log_level, list(sys.path))
        try:
            return pickle.dumps(order)
        except Exception as error:
            # Whatever __reduce__ of a value raises.
            raise BadOption(f"options of workers must be picklable: {type(error).__name__}: {error}") from error


def _workers(name: str, value: Any) -> int | float:
    return arguments.count(name, value, minimum=1)


def _share(name: str, value: Any) -> Share:
    return arguments.one_of(name, value, _SHARES)


def _log_level(name: str, value: Any) -> LogLevel | None:
    return None if value is None else arguments.one_of(name, value, _LOG_LEVELS)


def _restarts(name: str, value: Any) -> int | float | None:
    return None if value is None else arguments.count(name, value)


_CHECKS: Final[dict[str, Check]] = {
    "workers": _workers,
    "share": _share,
    "metrics": arguments.boolean,
    "log_level": _log_level,
    "start_timeout": arguments.milliseconds,
    "max_restarts": _restarts,
    "max_seconds": arguments.seconds,
}


def _check_handler(config: WorkersConfig) -> None:
    if config.handler.startswith("__main__:"):
        raise BadOption(f"handler must be in a module that workers can import, got {config.handler!r}")


def _check_sharing(config: WorkersConfig) -> None:
    if config.server.num_listen_sockets != 1:
        raise BadOption("num_listen_sockets must be 1 with workers; share='reuseport' gives each of them a socket")
    ip = config.server.transport_options.get("ip")
    if config.share == "reuseport" and isinstance(ip, tuple) and ip[:1] in (("local",), ("fd",)):
        raise BadOption(f"share must be 'listener' where ip is a unix socket or a descriptor, got {config.share!r}")
