"""Actors that come and go: registered, with timers under way, ended in three ways."""

from __future__ import annotations

from typing import Any

from supervision import Actor, DynamicSupervisor, NoReply, Ok, Pid, Registry, Stop, child_spec, process

SUPERVISOR, REGISTRY = "soak-supervisor", "soak-registry"

#: Milliseconds: the timer that fires, and the one that never does, because its actor has ended by then.
SOON, LATE = 1, 3_600_000

#: Milliseconds within which a burst has ended.
PATIENCE = 30_000

#: The three ways in which an actor ends, in turn.
BY_ITSELF, KILLED, TERMINATED = range(3)


class Churned(Actor):
    """Registers under its number, starts two timers, and ends by itself at the first if that is its way."""

    restart = "temporary"

    def init(self, arg: tuple[int, int]) -> Ok:
        """Takes its number and its way to end."""
        number, way = arg
        Registry.register(REGISTRY, number, "soaked")
        process.send_after(process.self(), "late", LATE)
        process.send_after(process.self(), "soon", SOON)
        return Ok(way)

    def handle_info(self, message: Any, state: int) -> NoReply | Stop:
        """Ends, or lets itself be ended."""
        return Stop("normal", state) if state == BY_ITSELF else NoReply(state)


def start() -> None:
    """Starts what the actors live under and register with, linked to the calling thread."""
    DynamicSupervisor.start_link(name=SUPERVISOR)
    Registry.start_link(keys="unique", name=REGISTRY)


def burst(count: int) -> None:
    """Starts `count` actors and returns when all have ended and nothing is registered any more."""
    for number in range(count):
        _start_one(number, number % 3)
    for _ in range(count):
        process.receive(process.Down, timeout=PATIENCE)
    if Registry.count(REGISTRY):
        raise ValueError(f"{Registry.count(REGISTRY)} keys of dead actors are still registered")


def _start_one(number: int, way: int) -> None:
    pid = DynamicSupervisor.start_child(SUPERVISOR, child_spec((Churned, (number, way))))
    process.monitor(pid)
    _end(pid, way)


def _end(pid: Pid, way: int) -> None:
    if way == KILLED:
        process.exit(pid, "kill")
    elif way == TERMINATED:
        DynamicSupervisor.terminate_child(SUPERVISOR, pid)
