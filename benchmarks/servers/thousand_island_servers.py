"""Thousand Island itself, with its defaults."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import thousand_island
from benchmarks.servers.disturbed_echo import DisturbedEcho
from benchmarks.servers.options import NAP, Options, announce
from supervision import switch_interval
from thousand_island import Close, Continue, Handler, Socket, workers

#: Rounds of the loop that makes one request of the CPU-bound server cost a few tenths of a millisecond.
BUSY_ROUNDS = 10_000


#: The environment variable with seconds instead of the watchdog's own switch interval.
SWITCH_INTERVAL = "BENCHMARK_SWITCH_INTERVAL"


class Echo(Handler):
    """Sends back what it is given."""

    def handle_data(self, data: bytes, socket: Socket, state: Any) -> Continue:
        """Echoes."""
        socket.send(data)
        return Continue(state)


class BusyEcho(Handler):
    """Computes a little before each echo."""

    def handle_data(self, data: bytes, socket: Socket, state: Any) -> Continue:
        """Computes, then echoes."""
        total = 0
        for number in range(BUSY_ROUNDS):
            total += number
        socket.send(data)
        return Continue(state)


class SleepyEcho(Handler):
    """Sleeps before each echo, in code that is not the library's."""

    def handle_data(self, data: bytes, socket: Socket, state: Any) -> Continue:
        """Sleeps, then echoes."""
        time.sleep(NAP)
        socket.send(data)
        return Continue(state)


class SendFile(Handler):
    """Answers any request with the large file."""

    def handle_data(self, data: bytes, socket: Socket, state: Any) -> Close:
        """Sends the whole file and closes."""
        socket.sendfile(state, 0, 0)
        return Close(state)


def _serve(handler: type[Handler], **options: Any) -> None:
    transport_options = {"ip": "loopback", **options.pop("transport_options", {})}
    server = thousand_island.start_link(port=0, handler_module=handler, transport_options=transport_options, **options)
    announce(thousand_island.listener_info(server)[1])
    while True:
        signal.pause()


def _serve_with_workers(handler: type[Handler], count: int) -> None:
    path = f"benchmarks.servers.thousand_island_servers:{handler.__name__}"
    pid = workers.start_link(handler=path, workers=count, port=0, transport_options={"ip": "loopback"})
    announce(workers.listener_info(pid)[1])
    while True:
        signal.pause()


def echo(_options: Options) -> None:
    """The plain echo server."""
    _serve(Echo)


def echo_disturbed(_options: Options) -> None:
    """The echo server of the fairness rows; the environment may set the switch interval beside a computing callback."""
    if interval := os.environ.get(SWITCH_INTERVAL):
        switch_interval.HOGGED_SWITCH_INTERVAL = float(interval)  # type: ignore[misc]
    _serve(DisturbedEcho)


def echo_sleepy(_options: Options) -> None:
    """The echo server whose handlers block."""
    _serve(SleepyEcho)


def echo_busy(_options: Options) -> None:
    """The CPU-bound echo server of the processors rows."""
    _serve(BusyEcho)


def echo_1_worker(_options: Options) -> None:
    """The echo server in one process beside the parent."""
    _serve_with_workers(Echo, 1)


def echo_2_workers(_options: Options) -> None:
    """The echo server in two processes."""
    _serve_with_workers(Echo, 2)


def echo_busy_1_worker(_options: Options) -> None:
    """The CPU-bound echo server in one process beside the parent."""
    _serve_with_workers(BusyEcho, 1)


def echo_busy_2_workers(_options: Options) -> None:
    """The CPU-bound echo server in two processes."""
    _serve_with_workers(BusyEcho, 2)


def echo_tls(options: Options) -> None:
    """The echo server over TLS."""
    pem = str(options.certificate)
    _serve(
        Echo,
        transport_module=thousand_island.transports.SSL,
        transport_options={"certfile": pem, "keyfile": pem},
    )


def sendfile(options: Options) -> None:
    """The file server."""
    _serve(SendFile, handler_options=str(options.large_file))
