"""What the threads that run processes are doing, as text for logs and introspection.

Read from a dump of faulthandler, for which all threads stand still: holding the GIL is enough, and without one they are
stopped. To walk the frames of a thread that goes on meanwhile crashes the interpreter: without the GIL, and with it
where one of them is a coroutine's. A dump has a hundred threads at most, those that were started last.
"""

from __future__ import annotations

import faulthandler
import os
import re
import tempfile
import traceback
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from traceback import FrameSummary
from typing import Final

from supervision.process_table import live_processes, quarantined
from supervision.threads import ThreadRecord, interpreter

__all__ = ["blocked_places", "stack_of", "stacks_of"]

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
    return stacks_of([record])[0]


def stacks_of(records: Sequence[ThreadRecord]) -> list[str]:
    """Returns the stacks of several threads, all at the same moment."""
    found = _stacks({record.ident for record in records})
    return [_text(found.get(record.ident)) for record in records]


def _text(stack: Stack | None) -> str:
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
    return {ident: stack for ident, stack in _dumped() if ident in idents}


def _dumped() -> Iterator[tuple[int, Stack]]:
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
    try:
        with tempfile.TemporaryFile() as file:  # faulthandler writes to a descriptor
            interpreter.stop_threads(lambda: faulthandler.dump_traceback(file, all_threads=True))
            file.seek(0)
            return file.read().decode(errors="replace")
    except OSError:  # there is no descriptor left, or no room
        return ""
