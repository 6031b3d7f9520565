"""Drives the churn, takes the samples, and says whether anything has grown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.failures import UnavailableError, WrongResultError
from benchmarks.files import Files
from benchmarks.load_generator import LoadGenerator, make_load_generator
from benchmarks.report import number, table_row
from benchmarks.server_process import ROOT
from benchmarks.soak.trend import Sample, after_warm_up, grows, trend

#: Seconds of churn unless SOAK_SECONDS says otherwise.
SECONDS = 60.0

#: What may be added from the end of the warm-up to the end of the run; see trend.py. Bytes, of which the allocator of
#: the free-threaded builds takes two million in a quiet minute; objects that the collector knows; blocks of the
#: allocator; descriptors; threads, of which there may be a spare one or two; timers.
TOLERANCES = {
    "resident": 4_000_000,
    "objects": 300,
    "blocks": 3_000,
    "descriptors": 3,
    "threads": 3,
    "timers": 10,
}

#: Samples of a run: their number does not grow with its length, since the trend looks at all pairs.
SAMPLES = 100

#: Connections at a time, and actors of a burst.
CONNECTIONS, TLS_CONNECTIONS, ACTORS = 50, 10, 600

#: Seconds of load below which a slow machine may not answer anything.
SHORTEST = 0.2

Series = dict[str, list[Sample]]


class Soaked:
    """The process under churn, and its commands."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running
        self.ports = self._answer()

    def churn(self, count: int) -> None:
        """Has that many actors started and ended."""
        self._command(f"churn {count}")

    def sample(self) -> Mapping[str, int]:
        """Tells what it holds when all is quiet."""
        return self._command("sample")

    def _command(self, line: str) -> Mapping[str, int]:
        assert self._running.stdin
        self._running.stdin.write(f"{line}\n")
        self._running.stdin.flush()
        return self._answer()

    def _answer(self) -> Mapping[str, int]:
        assert self._running.stdout
        line = self._running.stdout.readline()
        if not line:
            raise WrongResultError("the process under churn has ended; its last words are above")
        return dict(json.loads(line))


def main() -> int:
    """Soaks.

    Returns:
        0; 1 if something has grown or gone wrong.
    """
    seconds = float(os.environ.get("SOAK_SECONDS", SECONDS))
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        load = make_load_generator(Path(directory))
        try:
            with _soaked(_certificate(Files(Path(directory)))) as soaked:
                series = _soak(soaked, load, seconds)
        except WrongResultError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    return _judge(series)


def _certificate(files: Files) -> list[str]:
    try:
        return [str(files.certificate())]
    except UnavailableError as error:
        print(f"without TLS: {error}", file=sys.stderr)
        return []


@contextmanager
def _soaked(certificate: list[str]) -> Iterator[Soaked]:
    command = [sys.executable, "-m", "benchmarks.soak.program", *certificate]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        try:
            yield Soaked(running)
        finally:
            running.kill()


def _soak(soaked: Soaked, load: LoadGenerator, seconds: float) -> Series:
    series: Series = {name: [] for name in TOLERANCES}
    done = dict.fromkeys(("connections", "TLS connections", "actors"), 0)
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        _burst(soaked, load, seconds / SAMPLES, done)
        for name, value in soaked.sample().items():
            series[name].append((elapsed, value))
        _progress(elapsed, done, {name: kept[-1][1] for name, kept in series.items()})
    return series


def _burst(soaked: Soaked, load: LoadGenerator, seconds: float, done: dict[str, int]) -> None:
    """A burst of about that many seconds: a third each of connections, of TLS connections and of actors."""
    share = max(seconds / 3, SHORTEST)
    figures = load.run("connect", soaked.ports["tcp"], CONNECTIONS, share, 0)
    done["connections"] += round(figures["completed"])
    if "tls" in soaked.ports:
        figures = load.run("tls-connect", soaked.ports["tls"], TLS_CONNECTIONS, share, 0)
        done["TLS connections"] += round(figures["completed"])
    deadline = time.monotonic() + share
    while True:
        soaked.churn(ACTORS)
        done["actors"] += ACTORS
        if time.monotonic() > deadline:
            return


def _progress(elapsed: float, done: Mapping[str, int], holdings: Mapping[str, float]) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in done.items())
    held = ", ".join(f"{name} {value:,.0f}" for name, value in holdings.items())
    print(f"{elapsed:6.1f} s: {counts}; {held}", file=sys.stderr, flush=True)


def _judge(series: Series) -> int:
    print(table_row("held", "after warm-up", "at the end", "growth", "tolerance", "certainty", "verdict"))
    print(table_row("---", *["--:"] * 5, "---"))
    try:
        return max([_judge_one(name, after_warm_up(samples)) for name, samples in series.items()])
    except ValueError as error:
        print(f"FAILED: {error}; SOAK_SECONDS gives it more time", file=sys.stderr)
        return 1


def _judge_one(name: str, samples: list[Sample]) -> int:
    found, tolerance = trend(samples), TOLERANCES[name]
    growing = grows(found, tolerance)
    ends = number(samples[0][1]), number(samples[-1][1])
    deviations = f"{found.certainty:.1f} deviations"
    print(
        table_row(name, *ends, number(found.growth), number(tolerance), deviations, "**grows**" if growing else "flat")
    )
    return int(growing)


if __name__ == "__main__":
    sys.exit(main())
