"""Data to send: bytes, or nested iterables of bytes, sent piece by piece without joining them.

Counterpart: iodata.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from supervision.errors import BadType

__all__ = ["Pieces"]

# The system takes at most this many pieces in one call (IOV_MAX on Linux and macOS).
MOST_PIECES: Final = 1024


class Pieces:
    """What is still to be sent. True while there is something."""

    __slots__ = ("first", "pieces")

    def __init__(self, pieces: list[memoryview]) -> None:
        self.pieces = pieces
        self.first = 0

    @classmethod
    def of(cls, data: Any) -> Pieces:
        """Flatten ``data``.

        Raises:
            TypeError: something in it is neither bytes-like nor an iterable of that.
        """
        pieces: list[memoryview] = []
        _flatten(data, pieces)
        return cls(pieces)

    def __bool__(self) -> bool:
        return self.first < len(self.pieces)

    def head(self) -> list[memoryview]:
        """As many pieces as one system call takes."""
        return self.pieces[self.first : self.first + MOST_PIECES]

    def advance(self, count: int) -> None:
        """Drop ``count`` bytes, which have been sent."""
        pieces = self.pieces
        while count > 0:
            piece = pieces[self.first]
            if count < len(piece):
                pieces[self.first] = piece[count:]
                return
            count -= len(piece)
            self.first += 1

    def rest(self) -> list[bytes | memoryview]:
        """All that is left; without a copy, but for what its owner may change."""
        return [piece if piece.readonly else bytes(piece) for piece in self.pieces[self.first :]]


def _flatten(data: Any, pieces: list[memoryview]) -> None:
    try:
        view = memoryview(data)  # before anything else: an array is iterable too
    except TypeError:
        if isinstance(data, str) or not isinstance(data, Iterable):
            raise BadType(f"data must be bytes-like or nested iterables of it, got {data!r}") from None
        for part in data:
            _flatten(part, pieces)
        return
    if view.nbytes:
        pieces.append(view.cast("B"))
