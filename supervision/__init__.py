"""OTP's processes, actors and supervision trees for plain, blocking Python.

Start with ``Actor`` and ``Supervisor``; functions about processes live in ``supervision.process``.
"""

from __future__ import annotations

from supervision import fork, interpreter_exit, process, sys  # noqa: F401 - see below
from supervision.actor import Actor
from supervision.agent import Agent
from supervision.application import run
from supervision.async_calls import acall
from supervision.calls import Caller, call, cast, reply, stop
from supervision.child_spec import ChildSpec, child_spec
from supervision.children import ChildCounts, ChildInfo
from supervision.configuration import configure
from supervision.dynamic_supervisor import DynamicSupervisor
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
from supervision.introspection import ActorInfo, Stats, Zombie, actors, stats, zombies
from supervision.messages import BRUTAL_KILL, INFINITY, TIMEOUT, Down, Exit, TaskResult
from supervision.multi_call import abcast, multi_call
from supervision.os_child import OsCommand
from supervision.os_process import OsProcess
from supervision.partition_supervisor import PartitionSupervisor
from supervision.process import Pid, Ref, send
from supervision.registry import Registry
from supervision.request_ids import RequestIds
from supervision.requests import RequestId, Response, check_response, receive_response, send_request, wait_response
from supervision.restart import Backoff
from supervision.results import Ignore, NoReply, Ok, Reply, Stop, Timeout
from supervision.status import Status
from supervision.supervision_tree import TreeNode, tree
from supervision.supervisor import Supervisor
from supervision.task import Task
from supervision.task_supervisor import TaskSupervisor

# Not in it: ``fork`` and ``interpreter_exit``, which register what they do, and ``sys``, lest ``import *`` hide the
# standard library's.
__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "TIMEOUT",
    "Actor",
    "ActorInfo",
    "Agent",
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
    "ChildCounts",
    "ChildInfo",
    "ChildSpec",
    "Down",
    "DynamicSupervisor",
    "Exit",
    "Ignore",
    "Ignored",
    "Killed",
    "MaxChildren",
    "NoProcess",
    "NoReply",
    "NotFound",
    "Ok",
    "OsCommand",
    "OsProcess",
    "PartitionSupervisor",
    "Pid",
    "ProcessExit",
    "ReceiveTimeout",
    "Ref",
    "Registry",
    "Reply",
    "RequestId",
    "RequestIds",
    "Response",
    "Restarting",
    "Running",
    "ServerExit",
    "StartError",
    "StartTimeout",
    "Stats",
    "Status",
    "Stop",
    "SupervisionError",
    "Supervisor",
    "Task",
    "TaskExit",
    "TaskResult",
    "TaskSupervisor",
    "Timeout",
    "TreeNode",
    "Zombie",
    "abcast",
    "acall",
    "actors",
    "call",
    "cast",
    "check_response",
    "child_spec",
    "configure",
    "multi_call",
    "process",
    "receive_response",
    "reply",
    "run",
    "send",
    "send_request",
    "stats",
    "stop",
    "tree",
    "wait_response",
    "zombies",
]
