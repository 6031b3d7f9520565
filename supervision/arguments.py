"""The checks of arguments that every module shares, and the texts they refuse with.

Owns how a refusal reads: the argument, what it must be (with its unit) and what was given. A wrong type is
a ``BadType``, a wrong value of the right type a ``BadArgument``. Knows nothing of what the arguments are for.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from supervision.errors import BadArgument, BadType
from supervision.messages import INFINITY

__all__ = [
    "a_callable",
    "boolean",
    "count",
    "fraction",
    "is_milliseconds",
    "listed",
    "milliseconds",
    "one_of",
    "options_by_name",
    "seconds",
    "unknown_options",
]

_Choice = TypeVar("_Choice", bound=str)
P = ParamSpec("P")
R = TypeVar("R")

# Of any duration, in its unit. More is no time that anybody means, and the clock's float would no longer tell
# milliseconds apart.
LONGEST: Final = 2**52


def milliseconds(name: str, value: Any, *, infinity: bool = True) -> int | float:
    """Returns a duration in milliseconds that is a whole number, or ``INFINITY`` where that is allowed.

    Raises:
        BadType: it is a float, a bool or no number at all.
        BadArgument: it is negative, 2**52 or more, or ``INFINITY`` where a limit is needed.
    """
    # What every call meets, in one step.
    if (type(value) is int and 0 <= value < LONGEST) or (value is INFINITY and infinity):
        duration: int | float = value
        return duration
    expected = "a whole number of milliseconds" + (" or INFINITY" if infinity else "")
    return _bounded(name, _whole(name, value, expected, minimum=0, infinity=infinity))


def is_milliseconds(value: Any) -> bool:
    """Tells whether ``milliseconds`` would accept the value."""
    return _is_infinity(value) or (_is_whole(value) and 0 <= value < LONGEST)


def seconds(name: str, value: Any) -> int:
    """Returns a duration in seconds that is a whole number of at least 1: OTP's unit for ``max_seconds``.

    Raises:
        BadType: it is a float, a bool or no number at all.
        BadArgument: it is less than 1, 2**52 or more, or ``INFINITY``.
    """
    expected = "a whole number of seconds, at least 1"
    return int(_bounded(name, _whole(name, value, expected, minimum=1, infinity=False)))


def count(name: str, value: Any, *, minimum: int = 0, infinity: bool = False) -> int | float:
    """Returns a number of things: a whole number of at least ``minimum``, or ``INFINITY`` where that is allowed.

    Raises:
        BadType: it is a float, a bool or no number at all.
        BadArgument: it is less than ``minimum``, or ``INFINITY`` where a limit is needed.
    """
    expected = f"a whole number, at least {minimum}" + (", or INFINITY" if infinity else "")
    return _whole(name, value, expected, minimum=minimum, infinity=infinity)


def fraction(name: str, value: Any) -> float:
    """Returns a number from 0 to 1, both included.

    Raises:
        BadType: it is a bool or no number at all.
        BadArgument: it is outside of 0 to 1, or not a number (``nan``).
    """
    if not (_is_whole(value) or isinstance(value, float)):
        raise BadType(_refusal(name, "a number from 0 to 1", value))
    if not 0 <= value <= 1:
        raise BadArgument(_refusal(name, "a number from 0 to 1", value))
    return float(value)


def one_of(name: str, value: Any, choices: Sequence[_Choice]) -> _Choice:
    """Returns the choice that equals the value.

    Raises:
        BadType: it is not a string.
        BadArgument: it is a string and none of the choices.
    """
    if not isinstance(value, str):
        raise BadType(_refusal(name, _alternatives(choices), value))
    for choice in choices:
        if choice == value:
            return choice
    raise BadArgument(_refusal(name, _alternatives(choices), value))


def boolean(name: str, value: Any) -> bool:
    """Returns True or False, and takes nothing else for one of them.

    Raises:
        BadType: it is anything else.
    """
    if isinstance(value, bool):
        return value
    raise BadType(_refusal(name, "True or False", value))


def a_callable(name: str, value: Any) -> Callable[..., Any]:
    """Returns something that can be called.

    Raises:
        BadType: it cannot be called.
    """
    if callable(value):
        function: Callable[..., Any] = value
        return function
    raise BadType(_refusal(name, "callable", value))


def listed(name: str, value: Any, things: str) -> list[Any]:
    """Returns the members of an iterable, which a string is not taken for.

    Args:
        name: the argument.
        value: what was given.
        things: what its members are.

    Raises:
        BadType: it is a string, or cannot be iterated.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise BadType(_refusal(name, f"a list of {things}", value))
    return list(value)


def unknown_options(owner: str, given: Iterable[Any], allowed: Iterable[str]) -> None:
    """Refuses the first option given that is not allowed.

    Args:
        owner: what takes the options, as the user calls it: ``start_link``.
        given: the names that were given.
        allowed: the names that exist.

    Raises:
        BadType: an option is unknown; the text has the nearest name, or all of them where none is near.
    """
    known = sorted(allowed)
    for option in given:
        if option not in known:
            raise BadType(f"{owner} got an unknown option {option!r}; {_suggestion(str(option), known)}")


def options_by_name(function: Callable[P, R]) -> Callable[P, R]:
    """Make ``function``, whose options are keyword-only, refuse others as ``unknown_options`` does.

    Unlike one with ``**options`` it keeps a signature that a type checker can see.
    """
    parameters = inspect.signature(function).parameters.values()
    known = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}

    @functools.wraps(function)
    def enter(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs:
            unknown_options(function.__qualname__, kwargs, known)
        return function(*args, **kwargs)

    return enter


def _whole(name: str, value: Any, expected: str, *, minimum: int, infinity: bool) -> int | float:
    if _is_whole(value) and value >= minimum:
        return int(value)
    if _is_infinity(value):
        if infinity:
            return INFINITY
    elif not _is_whole(value):
        raise BadType(_refusal(name, expected, value))
    raise BadArgument(_refusal(name, expected, value))


def _bounded(name: str, duration: int | float) -> int | float:
    if duration < LONGEST or duration == INFINITY:
        return duration
    bits = int(duration).bit_length()  # Python refuses to print a number that is large enough
    raise BadArgument(f"{name} must be less than 2**52, got {duration if bits <= 1024 else f'a number of {bits} bits'}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_infinity(value: Any) -> bool:
    return isinstance(value, float) and value == INFINITY


def _refusal(name: str, expected: str, value: Any) -> str:
    return f"{name} must be {expected}, got {value!r}"


def _alternatives(choices: Sequence[str]) -> str:
    *others, last = (repr(str(choice)) for choice in choices)
    return f"{', '.join(others)} or {last}" if others else last


def _suggestion(option: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(option, known, n=1)
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    return f"it takes {', '.join(known)}" if known else "it takes none"
