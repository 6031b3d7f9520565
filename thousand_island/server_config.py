"""The options of a server: their names, defaults, checks and contradictions.

Everything that can be refused without asking the operating system is refused here, before anything is started. Starts
nothing and opens nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

from supervision import arguments
from supervision.messages import BRUTAL_KILL, INFINITY
from thousand_island.errors import BadOption, MissingOption
from thousand_island.options import Check, a_dict, check_names, check_values

__all__ = ["AtLimit", "ServerConfig"]

AtLimit: TypeAlias = Literal["wait", "close"]


def _tcp() -> Any:
    return import_module("thousand_island.transports.tcp").TCP


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The options of one server, checked and complete. Made by ``ServerConfig.new``.

    Attributes:
        handler_module: a subclass of ``Handler``, or anything with ``start_link``. Required.
        handler_options: the state that ``handle_connection`` gets first.
        genserver_options: start options of each connection's process. A ``name`` is refused: connections are many.
        supervisor_options: start options of the server's own supervisor: ``name``, ``max_restarts``, ``max_seconds``.
        port: the port to listen on; 0 lets the system choose one.
        transport_module: what opens, accepts, reads and writes sockets.
        transport_options: options of the transport's ``listen``.
        num_acceptors: how many acceptors there are.
        num_listen_sockets: how many sockets listen on the port; more than one needs ``reuseport`` in
            ``transport_options``, and each needs an acceptor.
        num_connections: how many connections each acceptor has at most, or ``INFINITY``.
        max_connections_retry_count: how often an acceptor at that limit looks again before it closes the newcomer.
        max_connections_retry_wait: milliseconds between two looks, or ``INFINITY``.
        max_connections: how many connections the whole server has at most, or ``INFINITY``.
        max_connections_per_ip: how many connections one client address has at most, or ``INFINITY``.
        at_limit: at these two limits, ``"close"`` closes newcomers. ``"wait"`` lets them wait: in the system's backlog
            at ``max_connections``; for ``max_connections_per_ip``, where the address must be known, some for each
            acceptor are accepted and kept aside, and those beyond are closed.
        read_timeout: how long a connection may be idle, in milliseconds or ``INFINITY``.
        handshake_timeout: how long PROXY header and handshake may take together, in milliseconds or ``INFINITY``.
        shutdown_timeout: how long connections have to end at shutdown, in milliseconds; ``INFINITY``; ``BRUTAL_KILL``.
        silent_terminate_on_error: whether an ``Error`` result ends the connection without a crash report.
        messages_defer_timeout: whether local messages restart ``read_timeout`` as client data does.

    Counterpart: ``ThousandIsland.options/0``.
    """

    handler_module: Any
    handler_options: Any = None
    genserver_options: dict[str, Any] = field(default_factory=dict)
    supervisor_options: dict[str, Any] = field(default_factory=dict)
    port: int = 4000
    transport_module: Any = field(default_factory=_tcp)
    transport_options: dict[str, Any] = field(default_factory=dict)
    num_acceptors: int = 100
    num_listen_sockets: int = 1
    num_connections: int | float = 16_384
    max_connections_retry_count: int = 5
    max_connections_retry_wait: int | float = 1_000
    max_connections: int | float = INFINITY
    max_connections_per_ip: int | float = INFINITY
    at_limit: AtLimit = "wait"
    read_timeout: int | float = 60_000
    handshake_timeout: int | float = 5_000
    shutdown_timeout: int | float | Literal["brutal_kill"] = 15_000
    silent_terminate_on_error: bool = False
    messages_defer_timeout: bool = True

    @classmethod
    def new(cls, **options: Any) -> ServerConfig:
        """Checks the options and completes them with the defaults.

        Raises:
            UnknownOption: an option is unknown; the text has the nearest name. It is also a TypeError.
            MissingOption: ``handler_module`` was not given. It is also a TypeError.
            BadOption: a value is refused, or two of them contradict each other. It is also a ValueError.

        Counterpart: ``ThousandIsland.ServerConfig.new/1``.
        """
        check_names("start_link", options, (option.name for option in dataclasses.fields(cls)))
        if options.get("handler_module") is None:
            raise MissingOption("start_link needs handler_module, a subclass of thousand_island.Handler")
        config = cls(**{**options, **check_values(options, _CHECKS)})
        _check_listen_sockets(config)
        _check_genserver_options(config)
        _check_with_transport(config)
        return config


def _port(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65_535:
        return value
    raise BadOption(f"{name} must be a whole number from 0 to 65535, got {value!r}")


def _limit(name: str, value: Any) -> int | float:
    return arguments.count(name, value, minimum=1, infinity=True)


def _at_least_one(name: str, value: Any) -> int | float:
    return arguments.count(name, value, minimum=1)


def _shutdown(name: str, value: Any) -> Any:
    if arguments.is_milliseconds(value) or (isinstance(value, str) and value == BRUTAL_KILL):
        return value
    if isinstance(value, int) and value >= arguments.LONGEST:
        return arguments.milliseconds(name, value)  # which says what is wrong with it
    raise BadOption(f"{name} must be a whole number of milliseconds, INFINITY or BRUTAL_KILL, got {value!r}")


def _at_limit(name: str, value: Any) -> str:
    return arguments.one_of(name, value, ("wait", "close"))


def _num_connections(name: str, value: Any) -> int | float:
    return arguments.count(name, value, infinity=True)


_CALLBACKS: Final = (
    "handle_connection",
    "handle_data",
    "handle_close",
    "handle_error",
    "handle_shutdown",
    "handle_timeout",
)


def _handler_module(name: str, value: Any) -> Any:
    if _is_handler_class(value):
        return value
    if not isinstance(value, type) and _is_handler_class(type(value)):
        raise BadOption(f"{name} must be the class of the handler, got an instance of it: {value!r}")
    if callable(getattr(value, "start_link", None)):
        return value
    raise BadOption(f"{name} must be a subclass of thousand_island.Handler or have start_link, got {value!r}")


def _is_handler_class(value: Any) -> bool:
    # Told by what it can do, because Handler itself knows this module.
    return isinstance(value, type) and all(callable(getattr(value, callback, None)) for callback in _CALLBACKS)


def _transport_module(name: str, value: Any) -> Any:
    if callable(getattr(value, "listen", None)):
        return value
    raise BadOption(f"{name} must have the functions of thousand_island.Transport, got {value!r}")


def _supervisor_options(name: str, value: Any) -> dict[str, Any]:
    return _checked_dict(name, value, {"name": _any, "max_restarts": arguments.count, "max_seconds": _seconds})


def _seconds(name: str, value: Any) -> int:
    return arguments.seconds(name, value)


def _any(name: str, value: Any) -> Any:
    return value


def _genserver_options(name: str, value: Any) -> dict[str, Any]:
    options = a_dict(name, value)
    if "name" in options:
        raise BadOption(f"{name} must not have a name, which all connections would bear; register in handle_connection")
    return options


def _checked_dict(name: str, value: Any, checks: Mapping[str, Check]) -> dict[str, Any]:
    options = a_dict(name, value)
    check_names(name, options, checks)
    return check_values(options, checks)


_CHECKS: Final[dict[str, Check]] = {
    "handler_module": _handler_module,
    "genserver_options": _genserver_options,
    "supervisor_options": _supervisor_options,
    "port": _port,
    "transport_module": _transport_module,
    "transport_options": a_dict,
    "num_acceptors": _at_least_one,
    "num_listen_sockets": _at_least_one,
    "num_connections": _num_connections,
    "max_connections_retry_count": arguments.count,
    "max_connections_retry_wait": arguments.milliseconds,
    "max_connections": _limit,
    "max_connections_per_ip": _limit,
    "at_limit": _at_limit,
    "read_timeout": arguments.milliseconds,
    "handshake_timeout": arguments.milliseconds,
    "shutdown_timeout": _shutdown,
    "silent_terminate_on_error": arguments.boolean,
    "messages_defer_timeout": arguments.boolean,
}

_GENSERVER_CHECKS: Final[dict[str, Check]] = {
    "timeout": arguments.milliseconds,
    "dedicated_thread": arguments.boolean,
    "hibernate_after": arguments.milliseconds,
    "label": _any,
}


def _check_listen_sockets(config: ServerConfig) -> None:
    if config.num_listen_sockets > config.num_acceptors:
        raise BadOption(
            f"num_listen_sockets must not be greater than num_acceptors ({config.num_acceptors}), "
            f"got {config.num_listen_sockets}"
        )
    if config.num_listen_sockets > 1 and not config.transport_options.get("reuseport"):
        raise BadOption("num_listen_sockets greater than 1 needs 'reuseport': True in transport_options")


def _check_genserver_options(config: ServerConfig) -> None:
    # Whatever has a start_link of its own takes whatever options it likes.
    if _is_handler_class(config.handler_module):
        _checked_dict("genserver_options", config.genserver_options, _GENSERVER_CHECKS)


def _check_with_transport(config: ServerConfig) -> None:
    check = getattr(config.transport_module, "check_options", None)
    if check is not None:
        check(config.port, config.transport_options)
