"""The two ways in which a contender yields no figure."""

from __future__ import annotations


class UnavailableError(Exception):
    """The contender cannot be run here: its library or its Python is missing, or it did not start."""


class WrongResultError(Exception):
    """The contender ran and did not do its work: wrong bytes, lost requests, an exception on the way."""
