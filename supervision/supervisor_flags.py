"""What ``init`` of a supervisor returns: its flags and its children, checked.

Pure: it can be made and refused before anything is started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from supervision import arguments
from supervision.child_spec import ChildSpec, check_children
from supervision.errors import BadType
from supervision.messages import INFINITY
from supervision.restart import AUTO_SHUTDOWNS, STRATEGIES, AutoShutdown, RestartIntensity, Strategy

__all__ = ["DynamicFlags", "SupervisorFlags"]


@dataclass(frozen=True, slots=True)
class SupervisorFlags:
    """The flags of a Supervisor and the children that it starts with.

    Counterpart: what ``Supervisor.init/2`` returns.
    """

    strategy: Strategy
    max_restarts: int
    max_seconds: int
    auto_shutdown: AutoShutdown
    children: tuple[ChildSpec, ...]

    @classmethod
    def of(cls, owner: str, children: Any, flags: dict[str, Any], besides: tuple[str, ...] = ()) -> SupervisorFlags:
        """Check flags and children.

        Args:
            owner: who takes the flags, for the text of a refusal.
            children: a list of anything that ``child_spec`` accepts.
            flags: the flags that were given, by name.
            besides: what the owner takes besides them, which may be what an unknown flag was meant to be.

        Raises:
            BadType: a flag is unknown or has the wrong type, or there is no ``strategy``.
            BadArgument: a flag has a wrong value.
            BadChildSpec: the children are none.
        """
        arguments.unknown_options(owner, flags, (*_FLAGS, *besides))
        if "strategy" not in flags:
            raise BadType(f"{owner} needs a strategy: {', '.join(repr(str(name)) for name in STRATEGIES)}")
        auto_shutdown = arguments.one_of("auto_shutdown", flags.get("auto_shutdown", "never"), AUTO_SHUTDOWNS)
        strategy = arguments.one_of("strategy", flags["strategy"], STRATEGIES)
        max_restarts, max_seconds = _checked_intensity(flags)
        specs = tuple(check_children(children, auto_shutdown=auto_shutdown))
        return cls(strategy, max_restarts, max_seconds, auto_shutdown, specs)


@dataclass(frozen=True, slots=True)
class DynamicFlags:
    """The flags of a DynamicSupervisor.

    Counterpart: what ``DynamicSupervisor.init/1`` returns.
    """

    max_restarts: int
    max_seconds: int
    max_children: float
    extra_arguments: tuple[Any, ...]

    @classmethod
    def of(cls, owner: str, flags: dict[str, Any], besides: tuple[str, ...] = ()) -> DynamicFlags:
        """Check flags; the arguments are as those of a Supervisor.

        Raises:
            BadType: a flag is unknown or has the wrong type.
            BadArgument: a flag has a wrong value.
        """
        arguments.unknown_options(owner, flags, (*_DYNAMIC_FLAGS, *besides))
        arguments.one_of("strategy", flags.get("strategy", "one_for_one"), ("one_for_one",))
        extra_arguments = flags.get("extra_arguments", ())
        if not isinstance(extra_arguments, tuple | list):
            raise BadType(f"extra_arguments must be a tuple of arguments, got {extra_arguments!r}")
        max_children = arguments.count("max_children", flags.get("max_children", INFINITY), infinity=True)
        return cls(*_checked_intensity(flags), max_children, tuple(extra_arguments))


_FLAGS = ("strategy", "max_restarts", "max_seconds", "auto_shutdown")
_DYNAMIC_FLAGS = ("strategy", "max_restarts", "max_seconds", "max_children", "extra_arguments")


def _checked_intensity(flags: dict[str, Any]) -> tuple[int, int]:
    """OTP's defaults: three restarts in five seconds."""
    intensity = RestartIntensity(flags.get("max_restarts", 3), flags.get("max_seconds", 5))
    return int(intensity.max_restarts), intensity.max_seconds
