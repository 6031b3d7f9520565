"""How an option is refused: by which class of error, whoever checks it.

Owns the step from the argument checks that both packages share to the errors of this one. Knows no option by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from supervision import arguments
from supervision.errors import BadArgument, BadType
from thousand_island.errors import BadOption, UnknownOption

__all__ = ["Check", "a_c_int", "a_dict", "check_names", "check_values"]

Check: TypeAlias = Callable[[str, Any], Any]
"""Takes an option's name and value; returns the value to use, or raises."""


_C_INT_LIMIT: Final = 2**31


def check_names(owner: str, given: Iterable[Any], allowed: Iterable[str]) -> None:
    """Refuses the first name that is not allowed.

    Args:
        owner: what takes the options, as the user calls it.
        given: the names that were given.
        allowed: the names that exist.

    Raises:
        UnknownOption: a name is unknown; the text has the nearest one.
    """
    try:
        arguments.unknown_options(owner, given, allowed)
    except BadType as refusal:
        raise UnknownOption(str(refusal)) from None


def check_values(options: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """Runs each option's check and returns the values to use. Options without a check stay out.

    Raises:
        BadOption: a value is refused, be it for its type or for itself.
    """
    try:
        return {name: checks[name](name, value) for name, value in options.items() if name in checks}
    except (BadArgument, BadType) as refusal:
        raise BadOption(str(refusal)) from None


def a_c_int(name: str, value: Any, *, minimum: int = 0) -> int:
    """Returns a whole number that the system takes as an ``int`` of C.

    Raises:
        BadType, BadArgument: it is none, less than ``minimum``, or 2**31 or more.
    """
    number = int(arguments.count(name, value, minimum=minimum))
    if number >= _C_INT_LIMIT:
        raise BadArgument(f"{name} must be less than 2**31, got {number!r}")
    return number


def a_dict(name: str, value: Any) -> dict[str, Any]:
    """Returns a copy of a dict whose keys are option names, so that later changes by the caller go unnoticed.

    Raises:
        BadOption: it is no dict, or one of its keys is no string.
    """
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return dict(value)
    raise BadOption(f"{name} must be a dict of option names and values, got {value!r}")
