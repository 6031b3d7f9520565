"""The process that is soaked: a server over TCP, one over TLS where there is a certificate, and a place for actors.

Prints the ports as one line of JSON. Then each line on stdin is a command: `churn COUNT` starts and ends that many
actors and answers `{}`; `sample` waits until all is quiet and answers with what the process holds. Ends with stdin.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import threading
import time
from typing import Any

import supervision
import thousand_island
from benchmarks.servers.options import BACKLOG, raise_descriptor_limit
from benchmarks.servers.thousand_island_servers import Echo
from benchmarks.soak import churn
from supervision import Pid, process

PAGE = os.sysconf("SC_PAGE_SIZE")

#: Seconds within which the last connections have ended, and between two looks: nothing announces it from outside.
PATIENCE, PAUSE = 15.0, 0.01


def main() -> None:
    """Serves until stdin ends."""
    raise_descriptor_limit()
    logging.getLogger("supervision").addFilter(_is_unexpected)
    servers = {"tcp": _serve({})}
    if sys.argv[1:]:
        servers["tls"] = _serve(_tls(sys.argv[1]))
    churn.start()
    _answer({name: thousand_island.listener_info(server)[1] for name, server in servers.items()})
    quiet = len(process.pids())
    for line in sys.stdin:
        command, *amount = line.split()
        if command == "churn":
            churn.burst(int(*amount))
            _answer({})
        else:
            _wait_for_quiet(quiet)
            _answer(_holdings())


def _is_unexpected(record: logging.LogRecord) -> bool:
    """A supervisor reports a child that was killed; here that is every third."""
    return "terminated: 'killed'" not in record.getMessage()


def _serve(options: dict[str, Any]) -> Pid:
    transport = {"ip": "loopback", "backlog": BACKLOG, **options.pop("transport_options", {})}
    return thousand_island.start_link(port=0, handler_module=Echo, transport_options=transport, **options)


def _tls(pem: str) -> dict[str, Any]:
    files = {"certfile": pem, "keyfile": pem}
    return {"transport_module": thousand_island.transports.SSL, "transport_options": files}


def _wait_for_quiet(processes: int) -> None:
    """Returns when there are no more processes than in the beginning."""
    deadline = time.monotonic() + PATIENCE
    while len(process.pids()) > processes:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(process.pids()) - processes} processes have not ended")
        time.sleep(PAUSE)


def _holdings() -> dict[str, int]:
    """What this process holds, after a full collection."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * PAGE
    return {
        "resident": resident,
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "timers": supervision.stats().timers,
    }


def _answer(message: dict[str, int]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
