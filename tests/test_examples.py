from __future__ import annotations

import contextlib
import http.client
import runpy
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import supervision
import thousand_island
from examples.daytime import Daytime
from examples.echo import Echo
from examples.http_hello_world import HelloWorld
from examples.messenger import Clock, Messenger
from supervision import Pid

EXAMPLES = Path(__file__).parent.parent / "examples"

PATIENCE = 10  # seconds a client waits before the test fails


@contextlib.contextmanager
def served(handler: type, **options: Any) -> Iterator[Pid]:
    server = thousand_island.start_link(
        port=0, transport_options={"ip": "loopback"}, num_acceptors=2, handler_module=handler, **options
    )
    try:
        yield server
    finally:
        thousand_island.stop(server)


def connect(server: Pid) -> socket.socket:
    return socket.create_connection(thousand_island.listener_info(server), timeout=PATIENCE)


def test_echo_sends_back_what_it_gets() -> None:
    with served(Echo) as server, connect(server) as client:
        client.sendall(b"one")
        assert client.recv(3, socket.MSG_WAITALL) == b"one"
        client.sendall(b"two")
        assert client.recv(3, socket.MSG_WAITALL) == b"two"


def test_daytime_tells_the_time_and_hangs_up() -> None:
    with served(Daytime) as server, connect(server) as client, client.makefile() as lines:
        (line,) = lines
    time.strptime(line.rstrip("\r\n"))


def test_http_hello_world_answers_an_http_client() -> None:
    with served(HelloWorld, handler_options=b"") as server:
        host, port = thousand_island.listener_info(server)
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"Hello\n")


def test_http_hello_world_waits_for_the_end_of_a_head_that_comes_in_pieces() -> None:
    with served(HelloWorld, handler_options=b"") as server, connect(server) as client:
        for byte in b"GET / HTTP/1.1\r\n\r\n":
            client.sendall(bytes([byte]))
        with client.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\nHello\n")


def test_messenger_tells_every_client_the_time() -> None:
    with served(Messenger) as server, connect(server) as one, connect(server) as other:
        clock = Clock.start_link(server)
        for client in (one, other):
            with client.makefile() as lines:
                time.strptime(lines.readline().rstrip("\r\n"))
        supervision.stop(clock)


@pytest.mark.parametrize("name", ["daytime", "echo", "http_hello_world", "messenger"])
def test_run_as_a_program_it_supervises_a_server(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    programs: list[list[Any]] = []
    monkeypatch.setattr(supervision, "run", programs.append)
    # Nothing runs, so nothing may stay connected to the events of the servers that follow.
    monkeypatch.setattr("blinker.NamedSignal.connect", lambda signal, receiver: receiver)

    with pytest.raises(SystemExit):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")

    module, options = programs[0][0]
    assert module.child_spec(**options).type == "supervisor"
