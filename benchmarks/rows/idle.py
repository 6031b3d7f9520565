"""What connections cost that do nothing: memory, threads, wake-ups."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.failures import WrongResultError
from benchmarks.rounds import Contender, Metric, Row, Slice
from benchmarks.server_process import ServerProcess
from benchmarks.settings import Settings

CONNECTION_COUNTS = (5_000, 15_000)

#: Connections that are open while wake-ups are counted.
QUIET_CONNECTIONS = 100

#: Bytes per idle connection beyond the kernel's, and threads of the whole server, that are allowed.
MEMORY_LIMIT = 4 * 1024
THREAD_LIMIT = 10

#: Seconds from the last request until wake-ups are counted, and seconds for which they are.
SETTLING = 1.0
WATCHING = 3.0

#: Memory and wake-ups hardly vary between rounds.
MOST_ROUNDS = 3


def rows() -> list[Row]:
    """All rows of this file."""
    return [*(_memory_row(count) for count in CONNECTION_COUNTS), _wake_up_row()]


def _memory_row(count: int) -> Row:
    contenders = [
        Contender("thousand_island", _memory("thousand_island", count)),
        Contender("asyncio.Protocol", _memory("asyncio-protocol", count)),
    ]
    metrics = [
        Metric("bytes", "bytes each", "lower", limit=MEMORY_LIMIT),
        Metric("threads", "threads", "lower", limit=THREAD_LIMIT),
    ]
    note = "Growth of the server's resident memory after a full collection; every connection has had one echo."
    return Row(f"idle-{count}", f"{count:,} idle connections", contenders, metrics, MOST_ROUNDS, note)


def _memory(server: str, count: int) -> Slice:
    def work(settings: Settings) -> Mapping[str, float]:
        with ServerProcess(server) as process:
            settings.load.send_forerunners(process.port)
            process.collect_garbage()
            before = process.resident_bytes()
            with settings.load.holding(process.port, count):
                process.collect_garbage()
                growth = process.resident_bytes() - before
                return {"bytes": growth / count, "threads": process.threads()}

    return work


def _wake_up_row() -> Row:
    contenders = [
        Contender("thousand_island", _wake_ups("thousand_island")),
        Contender("asyncio.Protocol", _wake_ups("asyncio-protocol")),
    ]
    metrics = [Metric("wake_ups", "wake-ups/s", "lower", limit=0)]
    note = f"Voluntary context switches of all threads of the server in {WATCHING:.0f} s of silence."
    return Row("idle-wake-ups", f"{QUIET_CONNECTIONS} idle connections", contenders, metrics, MOST_ROUNDS, note)


def _wake_ups(server: str) -> Slice:
    def work(settings: Settings) -> Mapping[str, float]:
        with ServerProcess(server) as process, settings.load.holding(process.port, QUIET_CONNECTIONS):
            time.sleep(SETTLING)
            before = process.voluntary_switches()
            time.sleep(WATCHING)
            return {"wake_ups": _switches_since(before, process.voluntary_switches()) / WATCHING}

    return work


def _switches_since(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """A thread that has ended meanwhile takes its count along; it woke at least once to do so."""
    if not after:
        raise WrongResultError("the server has no threads")
    ended = sum(1 for thread in before if thread not in after)
    return ended + sum(count - before.get(thread, 0) for thread, count in after.items())
