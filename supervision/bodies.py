"""Reaching the loop of a running process from other threads, for what needs no message."""

from __future__ import annotations

from typing import Any, TypeVar

from supervision import names
from supervision.errors import BadArgument, NoProcess

__all__ = ["body_of"]

B = TypeVar("B")


def body_of(dest: Any, kind: type[B], expected: str) -> B:
    """Return the loop of the process behind a pid, a name or a via.

    Raises:
        NoProcess: there is no such process.
        BadArgument: its loop is not of that kind; the text says what was ``expected``.
    """
    process = names.resolve(dest)
    body = process.body
    if process.dead or body is None:
        raise NoProcess(dest)
    if not isinstance(body, kind):
        raise BadArgument(f"expected {expected}, got {dest!r}, which is none")
    return body
