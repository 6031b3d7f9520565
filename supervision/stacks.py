"""What the threads that run processes are doing, as text for logs and introspection."""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from types import FrameType
from typing import Final

from supervision.process_table import live_processes, quarantined
from supervision.threads import ThreadRecord

__all__ = ["blocked_places", "stack_of"]

# Places that ``blocked_places`` names. Thousands of threads that block do so in a handful of places; a longer list
# would be no help.
MOST_PLACES: Final = 10

_LIBRARY: Final = os.path.dirname(__file__)


def stack_of(record: ThreadRecord) -> str:
    """Returns the stack of a thread, as a traceback shows it: the innermost call last."""
    frame = sys._current_frames().get(record.ident)
    return "(no stack)\n" if frame is None else "".join(traceback.format_stack(frame))


def blocked_places() -> str:
    """Returns where the processes that hold a thread are in the code of their users, the commonest place first."""
    frames = sys._current_frames()
    places: Counter[str] = Counter()
    for process in [*list(live_processes.values()), *list(quarantined)]:
        record = process.carrier
        frame = None if record is None else frames.get(record.ident)
        if frame is not None:
            who = process.initial_call if process.label is None else process.label
            places[f"{who}: {_place(frame)}"] += 1
    return "\n".join(f"  {count} times {place}" for place, count in places.most_common(MOST_PLACES))


def _place(innermost: FrameType) -> str:
    frame: FrameType | None = innermost
    while frame is not None and os.path.dirname(frame.f_code.co_filename) == _LIBRARY:
        frame = frame.f_back
    shown = innermost if frame is None else frame
    return f"{shown.f_code.co_qualname}, {shown.f_code.co_filename}:{shown.f_lineno}"
