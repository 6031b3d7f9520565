"""Running an errand in a process of its own.

A worker's thread runs the supervisors that it asks in place, one after the other; any other thread has to wake a worker
and be woken again for each question, which is a hundred times slower. So whoever has many of them sends a process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from supervision import process
from supervision.messages import Down
from thousand_island.errors import ServerUnavailable

__all__ = ["run_errand"]

P = ParamSpec("P")
R = TypeVar("R")


def run_errand(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what ``function`` returns, or raise what it raises.

    Raises:
        ServerUnavailable: the process was killed.
    """
    answer: list[Any] = []
    _, ref = process.spawn_monitor(_run, answer, function, args, kwargs)
    try:
        # Ends by the end of that process, which does nothing but the errand.
        process.receive(lambda message: type(message) is Down and message.ref is ref)
    finally:
        process.demonitor(ref, flush=True)
    if not answer:
        raise ServerUnavailable("the process that asked for it was killed")
    value, error = answer
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


def _run(answer: list[Any], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        answer[:] = function(*args, **kwargs), None
    except Exception as error:  # noqa: BLE001 - it is the asker's to handle
        answer[:] = None, error
