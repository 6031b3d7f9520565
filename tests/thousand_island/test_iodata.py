from __future__ import annotations

import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.errors import BadType
from thousand_island.transports.iodata import MOST_PIECES, Pieces

IODATA = st.recursive(st.binary(max_size=20), lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner))


def flat(data: Any) -> bytes:
    return data if isinstance(data, bytes) else b"".join(map(flat, data))


class TestOf:
    @given(IODATA)
    def test_nested_data_keeps_its_order(self, data: Any) -> None:
        assert b"".join(Pieces.of(data).rest()) == flat(data)

    def test_nothing_is_copied(self) -> None:
        data = b"x" * 100
        (piece,) = Pieces.of([data]).head()
        assert piece.obj is data

    def test_items_of_several_bytes_are_sent_as_bytes(self) -> None:
        words = array.array("H", [1, 2, 3])
        assert b"".join(Pieces.of([words]).rest()) == words.tobytes()

    @pytest.mark.parametrize("data", ["text", [b"x", "y"], 5, None, [5], object()], ids=str)
    def test_what_is_not_bytes_is_refused_with_a_text_that_shows_it(self, data: Any) -> None:
        with pytest.raises(BadType, match="bytes-like or nested iterables of it"):
            Pieces.of(data)

    @pytest.mark.parametrize("data", [b"", [], [b"", [()]]], ids=str)
    def test_nothing_is_false(self, data: Any) -> None:
        assert not Pieces.of(data)


class TestAdvance:
    @given(IODATA, st.lists(st.integers(0, 30)))
    def test_what_was_sent_is_dropped(self, data: Any, counts: list[int]) -> None:
        pieces, expected = Pieces.of(data), flat(data)
        for most in counts:
            count = min(most, len(expected))
            pieces.advance(count)
            expected = expected[count:]
            assert b"".join(pieces.rest()) == expected
            assert bool(pieces) == bool(expected)


class TestHead:
    def test_it_is_no_longer_than_the_system_takes(self) -> None:
        pieces = Pieces.of([b"x"] * (MOST_PIECES + 1))
        assert len(pieces.head()) == MOST_PIECES
        pieces.advance(MOST_PIECES)
        assert b"".join(pieces.rest()) == b"x"


class TestRest:
    def test_what_nobody_can_change_is_not_copied(self) -> None:
        data = bytes(100)
        (rest,) = Pieces.of(data).rest()
        assert isinstance(rest, memoryview)
        assert rest.obj is data

    def test_what_its_owner_may_change_is_copied(self) -> None:
        data = bytearray(b"before")
        rest = Pieces.of([data]).rest()
        data[:] = b"after!"
        assert rest == [b"before"]
