"""What connections cost that do nothing: memory, threads, wake-ups."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.failures import WrongResultError
from benchmarks.rounds import Contender, Metric, Row, Slice
from benchmarks.rows.servers import ECHO_SERVERS, OURS, PROTOCOL, certificate, over_tls
from benchmarks.server_process import ServerProcess
from benchmarks.settings import Settings

#: Connections, and whether quick runs have the row.
CONNECTION_COUNTS = {5_000: True, 15_000: False}
TLS_CONNECTIONS = 1_000

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

MEMORY_NOTE = "Growth of the server's resident memory after a full collection; every connection has had one echo."


def rows() -> list[Row]:
    """All rows of this file."""
    return [*(_tcp_row(count) for count in CONNECTION_COUNTS), _tls_row(), _wake_up_row()]


def _tcp_row(count: int) -> Row:
    contenders = [Contender(name, _memory(ECHO_SERVERS[name], count)) for name in (OURS, PROTOCOL)]
    metrics = [
        Metric("bytes", "bytes each", "lower", limit=MEMORY_LIMIT),
        Metric("threads", "threads", "lower", limit=THREAD_LIMIT),
    ]
    title, in_quick = f"{count:,} idle connections", CONNECTION_COUNTS[count]
    return Row(f"idle-{count}", title, contenders, metrics, MOST_ROUNDS, MEMORY_NOTE, in_quick=in_quick)


def _tls_row() -> Row:
    contenders = [Contender(name, _memory(f"{ECHO_SERVERS[name]}-tls", TLS_CONNECTIONS)) for name in (OURS, PROTOCOL)]
    metrics = [Metric("bytes", "bytes each", "lower"), Metric("threads", "threads", "lower", limit=THREAD_LIMIT)]
    title, note = f"{TLS_CONNECTIONS:,} idle TLS connections", f"{MEMORY_NOTE} Most of it is OpenSSL's."
    return Row("idle-tls", title, contenders, metrics, MOST_ROUNDS, note)


def _memory(server: str, count: int) -> Slice:
    def work(settings: Settings) -> Mapping[str, float]:
        with ServerProcess(server, certificate(server, settings)) as process:
            settings.load.send_forerunners(process.port, tls=over_tls(server))
            process.collect_garbage()
            before = process.resident_bytes()
            with settings.load.holding(process.port, count, tls=over_tls(server)):
                process.collect_garbage()
                growth = process.resident_bytes() - before
                return {"bytes": growth / count, "threads": process.threads()}

    return work


def _wake_up_row() -> Row:
    contenders = [Contender(name, _wake_ups(ECHO_SERVERS[name])) for name in (OURS, PROTOCOL)]
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
