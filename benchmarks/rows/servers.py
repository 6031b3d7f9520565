"""The slices that put load on one server: how it is started, and with which certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.rounds import Slice
from benchmarks.server_process import ServerProcess
from benchmarks.settings import Settings

#: The names of the contenders, as the table shows them.
OURS, PROTOCOL, STREAMS, THREADING = "thousand_island", "asyncio.Protocol", "asyncio streams", "ThreadingTCPServer"
UVLOOP, GEVENT, TRIO = "asyncio.Protocol on uvloop", "gevent StreamServer", "trio streams"

#: All that echo over TCP: contender → server. Where a package is not installed, the table says so.
ECHO_SERVERS = {
    OURS: "thousand_island",
    PROTOCOL: "asyncio-protocol",
    STREAMS: "asyncio-streams",
    THREADING: "threading-tcp",
    UVLOOP: "uvloop-protocol",
    GEVENT: "gevent",
    TRIO: "trio",
}


def loaded(server: str, mode: str, connections: int) -> Slice:
    """A slice in which the load generator works on that server in that mode."""

    def work(settings: Settings) -> Mapping[str, float]:
        with ServerProcess(server, certificate(server, settings)) as process:
            settings.load.send_forerunners(process.port, tls=over_tls(server))
            return settings.load.run(mode, process.port, connections, settings.seconds, settings.warmup)

    return work


def over_tls(server: str) -> bool:
    """Whether the server speaks TLS."""
    return server.endswith("-tls")


def certificate(server: str, settings: Settings) -> Sequence[str]:
    """The command line options with which that server finds its certificate, if it needs one."""
    return ["--certificate", str(settings.files.certificate())] if over_tls(server) else []
