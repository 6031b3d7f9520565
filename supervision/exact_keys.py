"""When two keys are the same: if they are equal and of the same type, as in Erlang's maps."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from supervision.errors import BadType
from supervision.shown import shown

__all__ = ["exact"]


def exact(key: Any, name: str = "key") -> Hashable:
    """Return what stands for ``key`` in a dict: unlike keys themselves, equal only if the types are the same as well.

    That ``1``, ``1.0`` and ``True`` differ holds inside tuples and frozensets too. A string stands for itself: what
    stands for any other key is a tuple.

    Raises:
        BadType: the key, which is called ``name``, is not hashable.
    """
    kind = type(key)
    if kind is str:
        return key  # type: ignore[no-any-return]
    if isinstance(key, tuple):
        return kind, tuple(exact(part, name) for part in key)
    if isinstance(key, frozenset):
        return kind, frozenset(exact(part, name) for part in key)
    try:
        hash(key)
    except Exception as error:  # the hash is the user's, and who asks for it may be a supervisor
        raise BadType(f"{name} must be hashable, got {shown(key)}") from error
    return kind, key
