"""The actor runtime alone, beside pykka."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.failures import UnavailableError, WrongResultError
from benchmarks.rounds import Contender, Metric, Row, Slice
from benchmarks.server_process import ROOT

OURS, PYKKA = "supervision", "pykka"

#: Work → title, unit, times better than pykka.
RATES = {
    "cast": ("cast: many messages to one actor", "messages/s", 5.0),
    "call": ("call from the main thread", "calls/s", 2.0),
    "call-between": ("call from actor to actor", "calls/s", 2.0),
    "call-between-infinity": ("call from actor to actor, no timeout", "calls/s", 2.0),
    "start-stop": ("start and stop an actor from the main thread", "actors/s", 100.0),
    "start-stop-between": ("start and stop an actor from an actor", "actors/s", 100.0),
    "spawn": ("spawn a process that returns", "processes/s", 100.0),
    "ring": ("a message around 100 actors", "hops/s", 10.0),
}

NOTES = {
    "spawn": "`process.spawn` of a function, counted when all have run; pykka has nothing smaller than starting and "
    "stopping an actor."
}

#: Bytes of resident memory per live actor that are allowed.
MEMORY_LIMIT = 2 * 1024

#: Memory hardly varies, and ten thousand threads of the peer take their time.
MEMORY_ROUNDS = 1

MEGABYTE = 1_000_000

#: Seconds after which a contender that has not come back is given up.
PATIENCE = 120.0


def rows() -> list[Row]:
    """All rows of this file."""
    rates = [
        _row(work, title, Metric("value", unit, targets={PYKKA: target}))
        for work, (title, unit, target) in RATES.items()
    ]
    memory = Metric("value", "bytes each", "lower", limit=MEMORY_LIMIT)
    return [*rates, _row("memory", "10,000 live actors", memory, MEMORY_ROUNDS)]


def _row(work: str, title: str, metric: Metric, most_rounds: int | None = None) -> Row:
    contenders = [Contender(name, _run(name, work)) for name in (OURS, PYKKA)]
    return Row(f"actor-{work}", title, contenders, [metric], most_rounds, NOTES.get(work, ""))


def resident(contender: str, count: int) -> Slice:
    """A slice that gives the resident megabytes of a process with that many live actors."""
    return lambda _settings: {"resident": _done(contender, "resident", count)["value"] / MEGABYTE}


def _run(contender: str, work: str) -> Slice:
    return lambda settings: _done(contender, work, settings.seconds)


def _done(contender: str, work: str, amount: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.actors", contender, work, str(amount)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT)
    except subprocess.TimeoutExpired as error:
        raise WrongResultError(f"{work} did not come to an end") from error
    if done.returncode:
        _raise_for(done.stderr)
    return dict(json.loads(done.stdout))


def _raise_for(errors: str) -> None:
    last = (errors.strip().splitlines() or ["it ended without a word"])[-1]
    raise (UnavailableError if last.startswith(("ImportError", "ModuleNotFoundError")) else WrongResultError)(last)
