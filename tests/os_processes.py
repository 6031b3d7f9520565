"""What the operating system knows of child processes."""

from __future__ import annotations

from pathlib import Path


def children_of(parent: int) -> set[int]:
    """The child processes of ``parent``, zombies too.

    By the parent that each process names. The lists of children that Linux has, one for each thread, go to another
    thread with the end of theirs, and may be missed while that happens.
    """
    return {int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == parent}


def _parent(path: Path) -> int:
    try:
        # After the name, which is in parentheses and may have anything in it: the state, then the parent.
        return int(path.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0
