"""Starts one server by name and runs it until the process is ended."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.servers.options import Options, raise_descriptor_limit

#: Where each server is. Only the one asked for is imported, so that no process carries the weight of the others.
SERVERS = {
    "thousand_island": "thousand_island_servers:echo",
    "thousand_island-tls": "thousand_island_servers:echo_tls",
    "thousand_island-sendfile": "thousand_island_servers:sendfile",
    "thousand_island-disturbed": "thousand_island_servers:echo_disturbed",
    "thousand_island-busy": "thousand_island_servers:echo_busy",
    "thousand_island-sleepy": "thousand_island_servers:echo_sleepy",
    "thousand_island-1-worker": "thousand_island_servers:echo_1_worker",
    "thousand_island-2-workers": "thousand_island_servers:echo_2_workers",
    "thousand_island-busy-1-worker": "thousand_island_servers:echo_busy_1_worker",
    "thousand_island-busy-2-workers": "thousand_island_servers:echo_busy_2_workers",
    "asyncio-protocol": "asyncio_servers:protocol",
    "asyncio-protocol-tls": "asyncio_servers:protocol_tls",
    "asyncio-streams": "asyncio_servers:streams",
    "uvloop-protocol": "asyncio_servers:uvloop_protocol",
    "gevent": "gevent_server:stream_server",
    "trio": "trio_server:streams",
    "threading-tcp": "threading_server:threading_tcp",
    "threading-tcp-sleepy": "threading_server:threading_tcp_sleepy",
    "sendfile-loop": "sendfile_loop:sendfile_loop",
}


def main() -> None:
    """Reads the name and the files from the command line and serves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers", description=__doc__)
    parser.add_argument("name", choices=sorted(SERVERS))
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--large-file", type=Path)
    arguments = parser.parse_args()
    serve(arguments.name, Options(arguments.certificate, arguments.large_file))


def serve(name: str, options: Options) -> None:
    """Runs that server in this thread; prints its port first."""
    raise_descriptor_limit()
    module, _, function = SERVERS[name].partition(":")
    getattr(importlib.import_module(f"benchmarks.servers.{module}"), function)(options)


if __name__ == "__main__":
    main()
