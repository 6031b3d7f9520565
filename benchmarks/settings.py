"""What holds for a whole run of the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.files import Files
from benchmarks.load_generator import LoadGenerator


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes of a run and what its slices share.

    Attributes:
        rounds: how often every contender runs.
        seconds: length of the counted part of a slice.
        warmup: seconds of work before it that are not counted.
        free_threaded_python: a Python without the GIL, for the rows about processors.
    """

    rounds: int
    seconds: float
    warmup: float
    load: LoadGenerator
    files: Files
    free_threaded_python: str
