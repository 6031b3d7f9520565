"""Counters that watch a whole process from inside: function calls, lock operations, bytes.

Each has to be installed before what it watches is imported or started.
"""

from __future__ import annotations

import gc
import linecache
import sys
import threading
import tracemalloc
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]

#: Lines of the list of what holds the memory.
CONTRIBUTORS = 20


class Counting(Protocol):
    """What can be asked for what it has counted since it was last asked."""

    def read(self) -> dict[str, float]:
        """Gives the counts by name and begins anew."""
        ...


class Events:
    """Counts by name. An append to a deque is atomic on every build, which adding to a number is not."""

    def __init__(self) -> None:
        self._happened: deque[str] = deque()
        self.happened = self._happened.append

    def read(self) -> dict[str, float]:
        """Gives the counts by name and begins anew."""
        counts: Counter[str] = Counter()
        while self._happened:
            counts[self._happened.popleft()] += 1
        return dict(counts)


class Calls(Events):
    """Calls of functions, those written in Python and the built-in ones, on all threads started from now on.

    `threading.setprofile`, since cProfile watches one thread on some versions and all of them on others.
    """

    def __init__(self) -> None:
        super().__init__()
        threading.setprofile(self.observe)

    def observe(self, frame: FrameType, event: str, argument: Any) -> None:
        """Called by the interpreter before each call and after each return."""
        if event == "call":
            self.happened(f"python {where(frame)}")
        elif event == "c_call":
            self.happened(f"built-in {argument.__qualname__}")


class Locks(Events):
    """Operations on locks made with `threading.Lock` from now on, by who does them."""

    def __init__(self) -> None:
        super().__init__()
        threading.Lock = counted_lock(threading.Lock, self.happened)  # type: ignore[assignment,misc]


def counted_lock(real: Callable[[], Any], happened: Callable[[str], object]) -> Callable[[], Any]:
    """A kind of lock that tells of each operation. The lock within is a real one, so that nothing else changes."""

    class CountedLock:
        def __init__(self) -> None:
            self._lock = real()

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            happened(f"acquire in {where(sys._getframe(1))}")
            return bool(self._lock.acquire(blocking, timeout))

        def release(self) -> None:
            happened(f"release in {where(sys._getframe(1))}")
            self._lock.release()

        def locked(self) -> bool:
            happened(f"locked in {where(sys._getframe(1))}")
            return bool(self._lock.locked())

        def __enter__(self) -> bool:
            happened(f"acquire in {where(sys._getframe(1))}")
            return bool(self._lock.acquire())

        def __exit__(self, *_: object) -> None:
            happened(f"release in {where(sys._getframe(1))}")
            self._lock.release()

    return CountedLock


class Memory:
    """Bytes that Python allocates: the most at a time, what is kept, and who holds it."""

    def __init__(self) -> None:
        tracemalloc.start()
        self._before = tracemalloc.take_snapshot()
        self._start = 0

    def begin(self) -> None:
        """Compares with now from now on."""
        gc.collect()
        self._before = tracemalloc.take_snapshot()
        gc.collect()
        tracemalloc.reset_peak()
        self._start, _ = tracemalloc.get_traced_memory()

    def read(self) -> dict[str, float]:
        """Bytes more than at the beginning: at the peak, and after a collection."""
        _, peak = tracemalloc.get_traced_memory()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        return {"peak": peak - self._start, "kept": kept - self._start}

    def contributors(self) -> dict[str, float]:
        """Bytes more than at the beginning by line, the largest first."""
        gc.collect()
        differences = tracemalloc.take_snapshot().compare_to(self._before, "lineno")
        largest = sorted(differences, key=lambda each: -each.size_diff)[:CONTRIBUTORS]
        return {_line(each.traceback[0].filename, each.traceback[0].lineno): each.size_diff for each in largest}


def where(frame: FrameType) -> str:
    """The module and the function of a frame."""
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"


def _line(file: str, number: int) -> str:
    path = Path(file)
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    return f"{shown}: {linecache.getline(file, number).strip()}"
