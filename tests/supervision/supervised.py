"""What the tests of supervisors supervise: workers that do as they are told and write down what happens to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from supervision import (
    Actor,
    ChildSpec,
    Down,
    Exit,
    NoReply,
    Ok,
    Pid,
    ProcessExit,
    ReceiveTimeout,
    Reply,
    Stop,
    Supervisor,
    cast,
    process,
)

PATIENCE = 10_000  # milliseconds; only a failure ever waits so long

Journal = list[tuple[Any, ...]]


@dataclass
class Script:
    """What a worker does.

    Attributes:
        name: what it writes in the journal.
        journal: gets ``("up", name)`` and ``("down", name, reason)``.
        starts: what each start does, in turn; afterwards starts succeed. A function is called, anything else returned.
        traps: whether it traps exits.
        stubborn: whether it never ends by itself once it was told to shut down.
        last_words: the reason it ends with when it is told to shut down, if not the one it was told.
    """

    name: Any = None
    journal: Journal = field(default_factory=list)
    starts: list[Any] = field(default_factory=list)
    traps: bool = True
    stubborn: bool = False
    last_words: Any = None


class Worker(Actor):
    def init(self, arg: Script) -> Any:
        process.trap_exit(arg.traps)
        outcome = arg.starts.pop(0) if arg.starts else None
        if callable(outcome):
            outcome = outcome()
        if outcome is not None:
            return outcome
        arg.journal.append(("up", arg.name))
        return Ok(arg)

    def handle_call(self, request: Any, caller: Any, script: Script) -> Reply:
        return Reply((request, process.self()), script)

    def handle_cast(self, message: Any, script: Script) -> Any:
        if isinstance(message, BaseException):
            raise message
        return Stop(message)

    def handle_info(self, message: Any, script: Script) -> NoReply:
        return NoReply(script)

    def terminate(self, reason: Any, script: Script) -> None:
        script.journal.append(("down", script.name, reason))
        if reason == "shutdown" and script.stubborn:
            process.sleep(float("inf"))
        if reason == "shutdown" and script.last_words is not None:
            raise ProcessExit(script.last_words)


def worker(id_: Any, script: Script | None = None, **fields: Any) -> ChildSpec:
    """The spec of a Worker whose name is its id, unless it has a script of its own."""
    return ChildSpec(**{"id": id_, "start": Worker.start_link, "args": (script or Script(id_),), **fields})


def writers(journal: Journal, *ids: Any, **fields: Any) -> list[ChildSpec]:
    return [worker(id_, Script(id_, journal), **fields) for id_ in ids]


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def pid_of(sup: Any, id_: Any) -> Any:
    """The pid, None or "restarting" that is shown of a child."""
    return {child.id: child.pid for child in Supervisor.which_children(sup)}[id_]


def pids_of(sup: Any) -> dict[Any, Any]:
    return {child.id: child.pid for child in Supervisor.which_children(sup)}


def end(pid: Pid, reason: Any) -> None:
    """Let a worker end with ``reason``, and wait until it has: its supervisor has the Exit by then."""
    ref = process.monitor(pid)
    if reason == "kill":
        process.exit(pid, "kill")
    else:
        cast(pid, reason)
    down(ref)


def down(ref: Any) -> Any:
    """Wait for a Down; returns its reason."""
    return process.receive(lambda message: isinstance(message, Down) and message.ref is ref, timeout=PATIENCE).reason


def exit_of(pid: Pid) -> Any:
    """Wait for the Exit of a linked process; returns its reason."""
    return process.receive(lambda message: isinstance(message, Exit) and message.pid is pid, timeout=PATIENCE).reason


def until(condition: Callable[[], object]) -> None:
    """Wait for something that nothing announces, such as a message in the mailbox of another process."""
    deadline = time.monotonic() + PATIENCE / 1000
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.001)


def no_exit() -> bool:
    """Whether no Exit is in the mailbox."""
    try:
        process.receive(Exit, timeout=0)
    except ReceiveTimeout:
        return True
    return False
