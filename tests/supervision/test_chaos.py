"""A tree of a hundred workers at work, in which somebody dies every few milliseconds.

``CHAOS_SECONDS`` says for how long (2); ``CHAOS_SEED`` repeats the choices of a run, though not its threads' turns.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import time
import weakref
from typing import Any

import pytest

import supervision
from supervision import (
    Actor,
    NoReply,
    Ok,
    Pid,
    ReceiveTimeout,
    Reply,
    ServerExit,
    SupervisionError,
    Supervisor,
    call,
    cast,
    child_spec,
    process,
)
from supervision.scheduler import scheduler
from tests.supervision.supervised import PATIENCE, exit_of, until

SECONDS = float(os.environ.get("CHAOS_SECONDS", "2"))
SEED = os.environ.get("CHAOS_SEED") or str(time.time_ns())
PACE = 3  # milliseconds between two deaths: now and then one dies while another is still being restarted
TEAMS, TEAM = 10, 10
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")


class Worker(Actor):
    """Keeps itself busy in one of the ways in which a process can be met by its death."""

    def init(self, arg: int) -> Ok:
        self.random = random.Random(f"{SEED} {arg}")
        process.trap_exit(arg % 2 == 0)
        self._remind()
        return Ok(arg)

    def handle_call(self, request: Any, caller: Any, number: int) -> Reply:
        return Reply(number, number)

    def handle_cast(self, message: Exception, number: int) -> NoReply:
        raise message

    def handle_info(self, message: Any, number: int) -> NoReply:
        if message == "work":
            self._remind()
            self._work(number)
        return NoReply(number)

    def _work(self, number: int) -> None:
        colleague = name_of(self.random.randrange(TEAMS * TEAM))
        match number % 4:
            case 0:
                ask(colleague)
            case 1:
                process.sleep(self.random.randrange(5))
            case 2:
                sum(range(self.random.randrange(20_000)))
            case 3:
                process.monitor(colleague)

    def _remind(self) -> None:
        process.send_after(process.self(), "work", self.random.randrange(1, 50))


class Team(Supervisor):
    """Gives up soon, so that its own supervisor has to restart it."""

    def init(self, team: int) -> Any:
        members = range(team * TEAM, (team + 1) * TEAM)
        children = [child_spec((Worker, number), id=number, start=start_worker, shutdown=1_000) for number in members]
        return super().init(children, strategy=STRATEGIES[team % len(STRATEGIES)], max_restarts=5, max_seconds=1)


def name_of(number: int) -> str:
    return f"chaos-{number}"


def start_worker(number: int) -> Pid:
    return Worker.start_link(number, name=name_of(number))


def start_tree() -> Pid:
    teams = [child_spec((Team, team), id=team) for team in range(TEAMS)]
    return Supervisor.start_link(teams, strategy="one_for_one", max_restarts=10**9, max_seconds=1)


def ask(colleague: str) -> None:
    try:
        call(colleague, "number", 50)
    except SupervisionError:  # it is dead, dies of the call's time, or is the worker itself
        return


def kill_at_random(spared: set[Pid]) -> list[weakref.ref[Pid]]:
    """Let somebody die every few milliseconds, of a signal or of an error; returns who has been chosen.

    No WeakSet: its callback can be hit by a kill, like a destructor, and the traceback of that is kept as one lost.
    """
    chance = random.Random(SEED)
    chosen: list[weakref.ref[Pid]] = []
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        pause()
        victim = chance.choice([pid for pid in process.pids() if pid not in spared])
        chosen.append(weakref.ref(victim))
        match chance.choice(["kill", "signal", "crash"]):
            case "kill":
                process.exit(victim, "kill")
                assert not process.is_alive(victim)
            case "signal":
                process.exit(victim, "chaos")
            case "crash":
                cast(victim, RuntimeError("chaos"))
    return chosen


def pause() -> None:
    with pytest.raises(ReceiveTimeout):
        process.receive(str, timeout=PACE)


def is_whole(root: Pid) -> bool:
    """Whether every team is there, and each of its workers answers."""
    try:
        teams = [child.pid for child in Supervisor.which_children(root)]
        full = all(Supervisor.count_children(team).active == TEAM for team in teams)
        return full and all(call(name_of(number), "number", PATIENCE) == number for number in range(TEAMS * TEAM))
    except (supervision.NoProcess, ServerExit):
        return False


def nobody_is_kept(dead: list[weakref.ref[Pid]]) -> bool:
    gc.collect()
    return all(pid() is None for pid in dead)


def test_a_tree_in_which_anybody_may_die_at_any_time_becomes_whole_and_leaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "supervision")  # a minute of crash reports does not fit in the memory
    before = set(process.pids())
    timers = len(scheduler.timers)
    root = start_tree()
    processes = len(process.pids())

    chosen = kill_at_random({*before, root})
    until(lambda: is_whole(root))
    assert len(process.pids()) == processes, f"CHAOS_SEED={SEED}"

    Supervisor.stop(root)
    assert exit_of(root) == "normal"
    assert set(process.pids()) == before
    until(lambda: len(scheduler.timers) <= timers)  # those of earlier tests may have fired meanwhile
    until(lambda: not supervision.zombies())
    until(lambda: nobody_is_kept(chosen))
