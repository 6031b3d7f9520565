"""A server in several operating-system processes, which share one port: more cores than one, with the GIL.

Each worker is a fresh interpreter that imports the handler and runs a server of its own; the parent listens for all of
them, starts them under a supervisor, and serves nobody itself::

    Workers              supervisor, rest_for_one; owns the listening sockets
    ├── WorkerSupervisor     dynamic; its children drain together
    │   └── Worker, n of them          one operating-system process each
    └── WorkerStarter        starts them, and replaces them in a rolling restart

Counterpart: none; the BEAM uses all cores. Nearest are the pre-forking servers, such as gunicorn.
"""

from __future__ import annotations

from thousand_island.workers.api import (
    WorkerInfo,
    WorkersInfo,
    child_spec,
    info,
    listener_info,
    rolling_restart,
    start_link,
)
from thousand_island.workers.collector import MetricsCollector

__all__ = [
    "MetricsCollector",
    "WorkerInfo",
    "WorkersInfo",
    "child_spec",
    "info",
    "listener_info",
    "rolling_restart",
    "start_link",
]
