"""The settings of the runtime that a program may choose."""

from __future__ import annotations

from supervision.arguments import count, options_by_name
from supervision.scheduler import scheduler
from supervision.threads import library_call

__all__ = ["configure"]


@options_by_name
@library_call
def configure(*, processors: int | None = None, max_threads: int | None = None) -> None:
    """Sets how many processes run at a time and how many threads may block. Takes effect at any time.

    Args:
        processors: how many processes run at a time, at least 1; those that wait or block do not count. The default
            is the environment variable SUPERVISION_PROCESSORS, else 1 with the GIL and one per CPU without it. More
            come into use with the next work; fewer as soon as the rest have nothing to do or block.
        max_threads: how many worker threads there may be, at least 1; 10 000 by default. When all of them are
            blocked, the other processes wait and a warning says where they block. A smaller number ends no thread.

    Raises:
        BadType: one is no whole number.
        BadArgument: one is less than 1.

    Counterpart: the flags ``+S`` and ``+P`` of ``erl``; ``erlang:system_flag(schedulers_online, N)``.
    """
    wanted = None if processors is None else int(count("processors", processors, minimum=1))
    if max_threads is not None:
        scheduler.allow_threads(int(count("max_threads", max_threads, minimum=1)))
    if wanted is not None:
        scheduler.resize(wanted)
