"""Echo over TCP and TLS, kept connections and new ones; and sending a large file."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.failures import WrongResultError
from benchmarks.files import LARGE_FILE_SIZE
from benchmarks.rounds import Contender, Metric, Row, Slice
from benchmarks.rows.servers import ECHO_SERVERS, OURS, PROTOCOL, STREAMS, THREADING, loaded
from benchmarks.server_process import ServerProcess
from benchmarks.servers.options import NAP
from benchmarks.settings import Settings

#: Connections kept open at a time.
CONNECTION_COUNTS = (1, 50, 500)

#: Clients that connect, echo and close at the same time.
CONCURRENT_CLIENTS = 50

TLS_CONNECTIONS = 50

#: Connections whose handlers all block.
BLOCKING_CONNECTIONS = 50
MEGABYTE = 1_000_000


def rows() -> list[Row]:
    """All rows of this file."""
    echoes = [_echo_row(connections) for connections in CONNECTION_COUNTS]
    return [*echoes, _blocking_row(), _connect_row(), _tls_echo_row(), _tls_handshake_row(), _sendfile_row()]


def _echo_row(connections: int) -> Row:
    threading_target = {1: 1.0, 50: 1.5, 500: 4.0}[connections]
    targets = {PROTOCOL: 1.0, STREAMS: 1.5, THREADING: threading_target}
    contenders = [Contender(name, loaded(server, "echo", connections)) for name, server in ECHO_SERVERS.items()]
    title = f"echo 64 B, {connections} connection{'s' if connections > 1 else ''}"
    metrics = [Metric("rate", "requests/s", targets=targets), *_latencies(targets)]
    return Row(f"echo-{connections}", title, contenders, metrics)


def _blocking_row() -> Row:
    contenders = [
        Contender(name, loaded(f"{ECHO_SERVERS[name]}-sleepy", "echo", BLOCKING_CONNECTIONS))
        for name in (OURS, THREADING)
    ]
    metrics = [Metric("rate", "requests/s"), *_latencies({})]
    title = f"echo 64 B after a sleep of {NAP * 1000:.0f} ms, {BLOCKING_CONNECTIONS} connections"
    note = f"Each handler calls `time.sleep`: {BLOCKING_CONNECTIONS / NAP:,.0f} requests/s would be all there can be."
    return Row("blocking", title, contenders, metrics, note=note)


def _latencies(targets: Mapping[str, float]) -> list[Metric]:
    return [Metric("p50", "ms p50", "lower"), Metric("p99", "ms p99", "lower", targets)]


def _connect_row() -> Row:
    contenders = [
        Contender(name, loaded(ECHO_SERVERS[name], "connect", CONCURRENT_CLIENTS))
        for name in (OURS, PROTOCOL, THREADING)
    ]
    metrics = [Metric("rate", "connections/s", targets={PROTOCOL: 1.0, THREADING: 4.0})]
    note = f"{CONCURRENT_CLIENTS} clients, each again and again: connect, one echo of 64 bytes, close."
    return Row("connect", "connect, echo, close", contenders, metrics, note=note)


def _tls_echo_row() -> Row:
    metrics = [Metric("rate", "requests/s", targets={PROTOCOL: 2.0}), *_latencies({})]
    contenders = _tls_contenders("tls-echo")
    return Row("tls-echo", f"TLS echo 64 B, {TLS_CONNECTIONS} connections", contenders, metrics)


def _tls_handshake_row() -> Row:
    metrics = [Metric("rate", "handshakes/s", targets={PROTOCOL: 1.0})]
    note = "Full TLS 1.3 handshakes, no resumption, RSA certificate of 2048 bits, one echo each."
    return Row("tls-handshake", "TLS connect, echo, close", _tls_contenders("tls-connect"), metrics, note=note)


def _tls_contenders(mode: str) -> list[Contender]:
    return [Contender(name, loaded(f"{ECHO_SERVERS[name]}-tls", mode, TLS_CONNECTIONS)) for name in (OURS, PROTOCOL)]


def _sendfile_row() -> Row:
    contenders = [
        Contender(OURS, _download("thousand_island-sendfile")),
        Contender("bare os.sendfile loop", _download("sendfile-loop")),
    ]
    metrics = [Metric("throughput", "MB/s", targets={"bare os.sendfile loop": 0.95})]
    note = "One client at a time, from connect to the last byte; the client compares what it reads with the file."
    return Row("sendfile", "sendfile 256 MB", contenders, metrics, note=note)


def _download(server: str) -> Slice:
    def work(settings: Settings) -> Mapping[str, float]:
        path = settings.files.large_file()
        with ServerProcess(server, ["--large-file", str(path)]) as process:
            figures = settings.load.run("download", process.port, 1, settings.seconds, settings.warmup)
        if figures["shortest"] != LARGE_FILE_SIZE:
            raise WrongResultError(f"a download brought {figures['shortest']:.0f} of {LARGE_FILE_SIZE} bytes")
        return {"throughput": LARGE_FILE_SIZE / MEGABYTE / (figures["p50"] / 1_000), "load_cpu": figures["load_cpu"]}

    return work
