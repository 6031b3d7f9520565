"""What the threads that run processes are doing, as text for logs and introspection."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Container, Iterator
from traceback import FrameSummary
from typing import Final

from supervision.process_table import live_processes, quarantined
from supervision.threads import GIL_ENABLED, ThreadRecord, interpreter

__all__ = ["blocked_places", "stack_of"]

# Places that ``blocked_places`` names. Thousands of threads that block do so in a handful of places; a longer list
# would be no help.
MOST_PLACES: Final = 10

_LIBRARY: Final = os.path.dirname(__file__)

# How faulthandler writes: the line above each thread's calls, and one call.
_DUMPED_THREAD: Final = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)")
_DUMPED_CALL: Final = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')

Stack = list[FrameSummary]
"""Calls, the innermost first."""


def stack_of(record: ThreadRecord) -> str:
    """Returns the stack of a thread, as a traceback shows it: the innermost call last."""
    stack = _stacks({record.ident}).get(record.ident)
    return "(no stack)\n" if not stack else "".join(traceback.format_list(reversed(stack)))


def blocked_places() -> str:
    """Returns where the processes that hold a thread are in the code of their users, the commonest place first."""
    carried = [(process, process.carrier) for process in [*list(live_processes.values()), *list(quarantined)]]
    stacks = _stacks({record.ident for _, record in carried if record is not None})
    places: Counter[str] = Counter()
    for process, record in carried:
        stack = None if record is None else stacks.get(record.ident)
        if stack:
            who = process.initial_call if process.label is None else process.label
            places[f"{who}: {_place(stack)}"] += 1
    return "\n".join(f"  {count} times {place}" for place, count in places.most_common(MOST_PLACES))


def _place(stack: Stack) -> str:
    outside = (call for call in stack if os.path.dirname(call.filename) != _LIBRARY)
    shown = next(outside, stack[0])
    return f"{shown.name}, {shown.filename}:{shown.lineno}"


def _stacks(idents: Container[int]) -> dict[int, Stack]:
    stacks = _walked() if GIL_ENABLED else _dumped()
    return {ident: stack for ident, stack in stacks if ident in idents}


def _walked() -> Iterator[tuple[int, Stack]]:
    for ident, innermost in sys._current_frames().items():
        calls = traceback.walk_stack(innermost)
        yield (
            ident,
            [FrameSummary(at.f_code.co_filename, line, at.f_code.co_name, lookup_line=False) for at, line in calls],
        )


def _dumped() -> Iterator[tuple[int, Stack]]:
    """Read the stacks from a dump, for which the interpreter stops all threads.

    Without the GIL the frames of a thread that runs change while they are walked, which crashes the interpreter.
    A dump has a hundred threads at most.
    """
    ident: int | None = None
    stack: Stack = []
    for line in _dump().splitlines():
        if thread := _DUMPED_THREAD.match(line):
            if ident is not None:
                yield ident, stack
            ident, stack = int(thread[1], 16), []
        elif call := _DUMPED_CALL.match(line):
            stack.append(FrameSummary(call[1], int(call[2]), call[3], lookup_line=False))
    if ident is not None:
        yield ident, stack


def _dump() -> str:
    with tempfile.TemporaryFile() as file:  # faulthandler writes to a descriptor
        interpreter.stop_threads(lambda: faulthandler.dump_traceback(file, all_threads=True))
        file.seek(0)
        return file.read().decode(errors="replace")
