"""The floor of a call with a timeout: two threads that wake each other by a pair of locks, and nothing else.

`python -m benchmarks.cost.thread_switch` prints microseconds for one round trip, with all CPUs of the process and bound
to one. Unlike the other costs it is timed: where the woken thread runs decides, and an idle CPU has to be woken first.
"""

from __future__ import annotations

import os
import threading
import time

ROUND_TRIPS = 5_000


def main() -> None:
    """Prints both figures."""
    cpus = os.sched_getaffinity(0)
    print(f"{round_trip():.1f} µs with {len(cpus)} CPUs")
    os.sched_setaffinity(0, {min(cpus)})
    print(f"{round_trip():.1f} µs bound to one CPU")


def round_trip() -> float:
    """Microseconds for waking another thread and being woken by it."""
    there, back = threading.Lock(), threading.Lock()
    there.acquire()
    back.acquire()
    answering = threading.Thread(target=_answer, args=(there, back))
    answering.start()
    start = time.perf_counter()
    for _ in range(ROUND_TRIPS):
        there.release()
        back.acquire()
    elapsed = time.perf_counter() - start
    answering.join()
    return elapsed / ROUND_TRIPS * 1e6


def _answer(there: threading.Lock, back: threading.Lock) -> None:
    for _ in range(ROUND_TRIPS):
        there.acquire()
        back.release()


if __name__ == "__main__":
    main()
