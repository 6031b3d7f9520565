"""The process that is watched: `python -m benchmarks.cost.probe COUNTER SERVER`.

Starts the counter, then one of the servers under test, which prints its port. Commands come as lines on stdin, and each
is answered with one line of JSON: `begin`, `read`, `contributors` (for the counter `memory`), `work NAME COUNT`.
"""

from __future__ import annotations

import importlib
import json
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from benchmarks.cost.counting import Calls, Events, Locks, Memory
from benchmarks.servers.__main__ import serve
from benchmarks.servers.options import Options

COUNTERS: dict[str, Callable[[], Any]] = {"nothing": Events, "calls": Calls, "locks": Locks, "memory": Memory}


def main() -> None:
    """Serves, with the counter at work, until the process is ended."""
    counter_name, server = sys.argv[1:]
    # Started first, so that the thread that obeys is not watched itself.
    counters: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_obey, args=(counters,), daemon=True).start()
    counter = COUNTERS[counter_name]()
    counters.put(counter)
    if isinstance(counter, Calls):
        sys.setprofile(counter.observe)  # asyncio works on the main thread
    serve(server, Options())


def _obey(counters: queue.SimpleQueue[Any]) -> None:
    counter = counters.get()
    for line in sys.stdin:
        command, *arguments = line.split()
        answer = _work(*arguments) if command == "work" else getattr(counter, command)()
        print(json.dumps(answer or {}), flush=True)


def _work(name: str, count: str) -> None:
    """Imported only now: the locks of the runtime must have been made by the counter's class."""
    importlib.import_module("benchmarks.cost.works").do(name, int(count))


if __name__ == "__main__":
    main()
