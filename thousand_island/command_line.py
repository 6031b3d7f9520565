"""The command line of ``python -m thousand_island``: its options, and the options of a server that they stand for.

Imports the handler. Starts nothing; whatever is wrong ends the program with one line on stderr and the status 2.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn, get_args

from supervision.messages import INFINITY
from thousand_island import transports
from thousand_island.events import LogLevel
from thousand_island.server_config import ServerConfig

__all__ = ["CommandLine", "refuse"]

PROGRAM: Final = "python -m thousand_island"

_DESCRIPTION: Final = "Serves a handler until SIGTERM or Ctrl-C, then drains; a second signal ends it at once."

_EPILOG: Final = (
    "Times are in whole milliseconds, or 'infinity'. ADDRESS is 'any', 'loopback', an IP address, unix:PATH, fd:NUMBER "
    "for a socket that listens already, or fd:systemd for one that systemd hands over."
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
    """

    server: dict[str, Any]
    log_level: LogLevel

    @classmethod
    def of(cls, arguments: list[str]) -> CommandLine:
        """Read the arguments, without the program's name. Ends the program if they are wrong, or ask for help."""
        given = vars(_parser().parse_args(arguments))
        log_level = given.pop("log_level")
        server = {"handler_module": _handler(given.pop("handler")), **_server_options(given)}
        try:
            ServerConfig.new(**server)
        except (TypeError, ValueError, OSError) as error:
            refuse(str(error))
        return cls(server, log_level)


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
    option("--read-timeout", type=_count, metavar="MS", help="how long a connection may be idle (60000)")
    option("--handshake-timeout", type=_count, metavar="MS", help="how long TLS or PROXY headers may take (5000)")
    option("--shutdown-timeout", type=_count, metavar="MS", help="how long connections have to end (15000)")
    option("--certfile", metavar="FILE", help="serve TLS with this certificate (PEM)")
    option("--keyfile", metavar="FILE", help="its private key (PEM)")
    proxy = "address, network or 'local', of a proxy that sends PROXY headers; may be repeated (nobody)"
    option("--proxy-protocol", action="append", metavar="PEER", help=proxy)
    option("--log-level", choices=get_args(LogLevel), default="error", help="what to log on stderr ('error')")
    return parser


def _count(text: str) -> int | float:
    return INFINITY if text == "infinity" else int(text)


_count.__name__ = "number"  # argparse shows it


def _ip(text: str) -> Any:
    kind, _, rest = text.partition(":")
    match kind:
        case "unix":
            return "local", rest
        case "fd":
            return "fd", int(rest) if rest.isdecimal() else rest
    return text


def _server_options(given: dict[str, Any]) -> dict[str, Any]:
    transport = {name: given.pop(name) for name in _TRANSPORT if name in given}
    if given.get("num_listen_sockets", 1) > 1:
        transport["reuseport"] = True
    if isinstance(transport.get("ip"), tuple):
        given.setdefault("port", 0)  # it has none
    if any(name in transport for name in _SSL):
        given["transport_module"] = transports.SSL
    return {**given, "transport_options": transport}


def _handler(path: str) -> Any:
    """Import what ``MODULE:HANDLER`` names, from the current directory too."""
    module_name, colon, name = path.partition(":")
    if not module_name or not colon or not name:
        refuse(f"the handler must be given as MODULE:HANDLER, such as examples.echo:Echo, got {path!r}")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = _module(module_name)
    try:
        return functools.reduce(getattr, name.split("."), module)
    except AttributeError:
        near = difflib.get_close_matches(name, dir(module), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        refuse(f"the module {module_name!r} has no {name!r}{hint}")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            refuse(f"there is no module {name!r}")
        refuse(f"the module {name!r} cannot be imported: {error}")
    except Exception as error:  # noqa: BLE001 - it is the user's module, and may fail in any way
        refuse(f"the module {name!r} cannot be imported: {type(error).__name__}: {error}")
