"""The command line of ``python -m thousand_island``: its options, and the options of a server that they stand for.

Imports the handler. Starts nothing; whatever is wrong ends the program with one line on stderr and the status 2.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn, get_args

from supervision.messages import INFINITY
from thousand_island import transports
from thousand_island.errors import BadOption
from thousand_island.events import LogLevel
from thousand_island.handler_path import load_handler
from thousand_island.server_config import ServerConfig
from thousand_island.transports.listen_address import listen_address
from thousand_island.workers.config import Share, WorkersConfig

__all__ = ["CommandLine", "refuse"]

PROGRAM: Final = "python -m thousand_island"

_DESCRIPTION: Final = "Serves a handler until SIGTERM or Ctrl-C, then drains; a second signal ends it at once."

_EPILOG: Final = (
    "Times are in whole milliseconds, or 'infinity'. ADDRESS is 'any', 'loopback', an IP address, unix:PATH, fd:NUMBER "
    "for a socket that listens already, or fd:systemd or fd:NAME for one that systemd hands over."
)


def refuse(text: str) -> NoReturn:
    """End the program: ``text`` says in one line what is wrong with what it was asked to do."""
    sys.stderr.write(f"{PROGRAM}: error: {' '.join(text.split())}\n")
    sys.exit(2)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was asked for.

    Attributes:
        server: the options of ``thousand_island.start_link``, checked.
        log_level: the level of the logger.
        workers: those of ``thousand_island.workers.start_link``, checked; None: this process itself serves.
    """

    server: dict[str, Any]
    log_level: LogLevel
    workers: dict[str, Any] | None = None

    @classmethod
    def of(cls, arguments: list[str]) -> CommandLine:
        """Read the arguments, without the program's name. Ends the program if they are wrong, or ask for help."""
        given = vars(_parser().parse_args(arguments))
        log_level = given.pop("log_level")
        handler = given.pop("handler")
        own: dict[str, Any] = {name: given.pop(name) for name in ("workers", "share") if name in given}
        try:
            server = {"handler_module": load_handler(handler), **_server_options(given)}
            ServerConfig.new(**server)
            return cls(server, log_level, _workers(own, handler, log_level, server))
        except (TypeError, ValueError, OSError) as error:
            refuse(str(error))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line, without the usage."""
        refuse(message)


# What belongs to ``transport_options``; everything else is an option of the server itself.
_TRANSPORT: Final[tuple[str, ...]] = ("ip", "backlog", "certfile", "keyfile", "proxy_protocol")
_SSL: Final = ("certfile", "keyfile")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM, description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("handler", metavar="MODULE:HANDLER", help="the handler's class, such as examples.echo:Echo")
    option = parser.add_argument
    option("--port", type=int, help="0: any free one (4000)")
    option("--ip", type=_ip, metavar="ADDRESS", help="where to listen ('any')")
    option("--backlog", type=int, help="connections that the system keeps for the acceptors (1024)")
    option("--num-acceptors", type=int, metavar="N", help="how many acceptors (100)")
    option("--num-listen-sockets", type=int, metavar="N", help="how many sockets listen on the port (1)")
    option("--num-connections", type=_count, metavar="N", help="most connections of each acceptor (16384)")
    option("--max-connections", type=_count, metavar="N", help="most connections in all (infinity)")
    option("--max-connections-per-ip", type=_count, metavar="N", help="most connections of one address (infinity)")
    option("--read-timeout", type=_time, metavar="MS", help="how long a connection may be idle (60000)")
    option("--handshake-timeout", type=_time, metavar="MS", help="how long TLS or PROXY headers may take (5000)")
    option("--shutdown-timeout", type=_time, metavar="MS", help="how long connections have to end (15000)")
    option("--certfile", metavar="FILE", help="serve TLS with this certificate (PEM)")
    option("--keyfile", metavar="FILE", help="its private key (PEM)")
    proxy = "address, network or 'local', of a proxy that sends PROXY headers; may be repeated (nobody)"
    option("--proxy-protocol", action="append", metavar="PEER", help=proxy)
    option("--workers", type=int, metavar="N", help="serve in so many operating-system processes (in this one)")
    option("--share", choices=get_args(Share), help="how workers share the port ('listener')")
    option("--log-level", choices=get_args(LogLevel), default="error", help="what to log on stderr ('error')")
    return parser


def _count(text: str) -> int | float:
    return INFINITY if text == "infinity" else int(text)


_count.__name__ = "number"  # argparse shows it


def _time(text: str) -> int | float:
    try:
        return _count(text)
    except ValueError:
        unit = f"must be a whole number of milliseconds or 'infinity', got {text!r}"
        raise argparse.ArgumentTypeError(unit) from None


def _ip(text: str) -> Any:
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return "local", rest
    if kind == "fd" and rest:
        return "fd", int(rest) if rest.isdecimal() else rest
    try:
        listen_address(text, 0)
    except BadOption:  # which tells what the option is in a program
        expected = "'any', 'loopback', an IP address, unix:PATH, fd:NUMBER or fd:NAME"
        raise argparse.ArgumentTypeError(f"must be {expected}, got {text!r}") from None
    return text


def _workers(own: dict[str, Any], handler: str, log_level: LogLevel, server: dict[str, Any]) -> dict[str, Any] | None:
    if "workers" not in own:
        if own:
            refuse("--share is for several processes: it needs --workers")
        return None
    of_server = {name: value for name, value in server.items() if name != "handler_module"}
    options = {**of_server, **own, "handler": handler, "log_level": log_level}
    WorkersConfig.new(**options)
    return options


def _check_certificate(transport: dict[str, Any]) -> None:
    """Refuse one without the other, for which a program has more options than the command line."""
    for name, other in (_SSL, _SSL[::-1]):
        if other not in transport:
            refuse(f"--{name} needs --{other}, which may be the same file if that holds both")


def _server_options(given: dict[str, Any]) -> dict[str, Any]:
    transport = {name: given.pop(name) for name in _TRANSPORT if name in given}
    if given.get("num_listen_sockets", 1) > 1:
        transport["reuseport"] = True
    if isinstance(transport.get("ip"), tuple):
        given.setdefault("port", 0)  # it has none
    if any(name in transport for name in _SSL):
        _check_certificate(transport)
        given["transport_module"] = transports.SSL
    return {**given, "transport_options": transport}
