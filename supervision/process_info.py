"""What can be seen of one process at a glance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from supervision.process_table import Pid, Process
from supervision.signals import ProcessMonitor
from supervision.trampoline import FunctionBody

__all__ = ["ProcessInfo", "name_of", "snapshot"]


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A snapshot of one process.

    Attributes:
        status: ``"running"`` (a thread runs it), ``"waiting"`` (it waits for mail) or ``"suspended"``.
        current_function: what it runs, as text.
        message_queue_len: messages it has not taken.
    """

    pid: Pid
    label: Any
    name: Any
    links: tuple[Pid, ...]
    monitors: tuple[Pid, ...]
    monitored_by: tuple[Pid, ...]
    message_queue_len: int
    status: str
    current_function: str
    trap_exit: bool
    ancestors: tuple[Pid, ...]

    @property
    def names(self) -> tuple[Any, ...]:
        """The registered names: one or none."""
        return () if self.name is None else (self.name,)


def snapshot(process: Process) -> ProcessInfo | None:
    """Look at ``process``; None if it is dead."""
    with process.lock:
        if process.dead:
            return None
        return ProcessInfo(
            pid=process.pid,
            label=process.label,
            name=process.name,
            links=tuple(peer.pid for peer in process.links or ()),
            monitors=tuple(target.pid for target in list((process.monitors or {}).values())),
            monitored_by=tuple(_watching(process)),
            message_queue_len=process.queue_length(),
            status=process.status(),
            current_function=_current_function(process),
            trap_exit=process.trap_exit,
            ancestors=process.ancestors,
        )


def name_of(function: Callable[..., Any]) -> str:
    """What reports call ``function``."""
    return getattr(function, "__qualname__", None) or repr(function)


def _watching(process: Process) -> list[Pid]:
    watchers = list((process.monitored_by or {}).values())
    return [watcher.watcher.pid for watcher in watchers if isinstance(watcher, ProcessMonitor)]


def _current_function(process: Process) -> str:
    body = process.body
    if isinstance(body, FunctionBody):
        return name_of(body.function)
    return process.initial_call or process.kind
