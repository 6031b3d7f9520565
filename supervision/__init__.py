"""OTP's processes, actors and supervision trees for plain, blocking Python.

Start with ``Actor`` and ``Supervisor``; functions about processes live in ``supervision.process``.
"""

from __future__ import annotations

from supervision import process
from supervision.actor import Actor
from supervision.calls import Caller, abcast, acall, call, cast, multi_call, reply, stop
from supervision.child_spec import ChildSpec, child_spec
from supervision.errors import (
    AlreadyPresent,
    AlreadyRegistered,
    AlreadyStarted,
    BadArgument,
    BadChildSpec,
    BadReturn,
    BadType,
    CallError,
    CallTimeout,
    Ignored,
    Killed,
    MaxChildren,
    NoProcess,
    NotFound,
    ProcessExit,
    ReceiveTimeout,
    Restarting,
    Running,
    ServerExit,
    StartError,
    StartTimeout,
    SupervisionError,
    TaskExit,
)
from supervision.messages import BRUTAL_KILL, INFINITY, TIMEOUT, Down, Exit, TaskResult
from supervision.process import Pid, Ref, send
from supervision.restart import Backoff
from supervision.results import Ignore, NoReply, Ok, Reply, Stop
from supervision.status import Status

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "TIMEOUT",
    "Actor",
    "AlreadyPresent",
    "AlreadyRegistered",
    "AlreadyStarted",
    "Backoff",
    "BadArgument",
    "BadChildSpec",
    "BadReturn",
    "BadType",
    "CallError",
    "CallTimeout",
    "Caller",
    "ChildSpec",
    "Down",
    "Exit",
    "Ignore",
    "Ignored",
    "Killed",
    "MaxChildren",
    "NoProcess",
    "NoReply",
    "NotFound",
    "Ok",
    "Pid",
    "ProcessExit",
    "ReceiveTimeout",
    "Ref",
    "Reply",
    "Restarting",
    "Running",
    "ServerExit",
    "StartError",
    "StartTimeout",
    "Status",
    "Stop",
    "SupervisionError",
    "TaskExit",
    "TaskResult",
    "abcast",
    "acall",
    "call",
    "cast",
    "child_spec",
    "multi_call",
    "process",
    "reply",
    "send",
    "stop",
]
