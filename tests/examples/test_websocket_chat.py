"""The chat, tried with a client that nobody here wrote: the one of ``websockets``."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import supervision
import thousand_island
from examples import websocket_chat as example
from examples.websocket_chat import Chat, websocket_chat
from supervision import NoProcess, Registry, process
from tests.examples.program import program_of
from tests.thousand_island.serving import SECONDS, Server, down, is_closed, is_silent, serve

OPTIONS: dict[str, Any] = websocket_chat(port=0)[1][1]
del OPTIONS["handler_module"]

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# Frames of a client: a text of 20 000 bytes, and a goodbye; both are masked with zeros.
LONG_TEXT = b"\x81\xfe\x4e\x20" + bytes(4) + b"x" * 20_000
GOODBYE = b"\x88\x80" + bytes(4)


@pytest.fixture
def registry() -> Iterator[supervision.Pid]:
    pid = Registry.start_link(keys="duplicate", name="rooms")
    yield pid
    with contextlib.suppress(NoProcess):
        supervision.stop(pid)


@pytest.fixture
def server(registry: supervision.Pid) -> Iterator[Server]:
    with serve(Chat, **OPTIONS) as server:
        yield server


def enter(server: Server, room: str = "/", **options: Any) -> ClientConnection:
    host, port = server.address
    # Without pings of its own: the thread that sends them joins another one, as does ``close``, and where two threads
    # join the same one at once, ``Thread.join`` of CPython 3.11 and 3.12 may raise.
    options = {"open_timeout": SECONDS, "close_timeout": SECONDS, "ping_interval": None, **options}
    return connect(f"ws://{host}:{port}{room}", **options)


def hear(client: ClientConnection) -> str | bytes:
    return client.recv(timeout=SECONDS)


def why_closed(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        hear(client)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_everybody_in_a_room_hears_what_is_said_there(server: Server) -> None:
    with enter(server) as one, enter(server) as other, enter(server, "/elsewhere") as third:
        one.send("hello")
        assert [hear(one), hear(other)] == ["hello", "hello"]
        third.send("nobody there?")
        assert hear(third) == "nobody there?"


def test_what_one_says_is_heard_in_order(server: Server) -> None:
    with enter(server) as one, enter(server) as other:
        for number in range(100):
            one.send(str(number))
            assert hear(one) == str(number)
        assert [hear(other) for _ in range(100)] == [str(number) for number in range(100)]


def test_a_message_in_fragments_is_heard_whole(server: Server) -> None:
    with enter(server) as client:
        client.send(["one ", "two ", "three"])
        assert hear(client) == "one two three"


def test_who_has_left_is_told_nothing(server: Server) -> None:
    with enter(server) as one:
        with enter(server):
            assert len(Registry.lookup("rooms", "/")) == 2
            (gone,) = {pid for pid, _ in Registry.lookup("rooms", "/")[1:]}
            ended = process.monitor(gone)
        process.receive(lambda message: getattr(message, "ref", None) is ended, timeout=10_000)
        assert len(Registry.lookup("rooms", "/")) == 1
        one.send("alone")
        assert hear(one) == "alone"


def test_a_ping_is_answered(server: Server) -> None:
    with enter(server) as client:
        assert client.ping().wait(SECONDS)


def test_a_client_is_pinged_and_one_that_does_not_answer_is_given_up(
    registry: supervision.Pid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "PING_INTERVAL", 20)
    options = {**OPTIONS, "read_timeout": 1_000}
    with serve(Chat, **options) as server, enter(server) as answering, server.connect() as silent:
        silent.sendall(HANDSHAKE)
        with silent.makefile("rb") as heard:
            assert heard.read().count(b"\x89\x00") > 1  # pings, and then the end
        answering.send("still here")
        assert hear(answering) == "still here"


def test_goodbye_is_answered(server: Server) -> None:
    with enter(server) as client:
        client.close(1000, "bye")
        assert (client.close_code, client.close_reason) == (1000, "bye")


def test_a_server_that_stops_says_that_it_goes_away(server: Server) -> None:
    with enter(server) as client:
        client.send("hello")
        hear(client)
        thousand_island.stop(server.pid)
        with pytest.raises(ConnectionClosedOK):
            hear(client)
        assert client.close_code == 1001


def test_a_message_that_is_too_long_is_refused_to_the_end(server: Server) -> None:
    with enter(server) as client:
        client.send("x" * 10_000)
        assert hear(client) == "x" * 10_000
        client.send("x" * 1_000_000)
        assert why_closed(client)[0] == 1009


def test_who_is_told_to_leave_may_finish_and_say_goodbye(server: Server) -> None:
    with server.connect() as client, client.makefile("rb") as heard:
        client.sendall(HANDSHAKE)
        while heard.readline() != b"\r\n":
            pass
        client.sendall(LONG_TEXT)
        assert heard.read(4) == b"\x88\x02" + (1009).to_bytes(2)
        client.sendall(LONG_TEXT)
        assert is_silent(client)
        client.sendall(GOODBYE)
        assert is_closed(client)


def test_bytes_are_refused(server: Server) -> None:
    with enter(server) as client:
        client.send(b"bytes")
        assert why_closed(client)[0] == 1003


def test_what_is_no_websocket_frame_is_refused(server: Server) -> None:
    with enter(server) as client:
        client.socket.sendall(b"\xff" * 10)
        assert why_closed(client)[0] == 1002


def test_the_crash_of_one_connection_is_not_felt_by_the_others(server: Server) -> None:
    with enter(server) as one, enter(server) as other:
        (pid, _), *_ = Registry.lookup("rooms", "/")
        process.exit(pid, "kill")
        down(pid)
        with pytest.raises(ConnectionClosed):
            hear(one)
        other.send("still here")
        assert hear(other) == "still here"


def test_without_the_registry_connections_end(server: Server, registry: supervision.Pid) -> None:
    with enter(server) as client:
        client.send("hello")
        hear(client)
        process.exit(registry, "kill")
        with pytest.raises(ConnectionClosed):
            hear(client)


def ask(server: Server, method: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    client = http.client.HTTPConnection(*server.address, timeout=SECONDS)
    try:
        client.request(method, "/", headers=headers or {})
        response = client.getresponse()
        return response.status, response.read()
    finally:
        client.close()


def test_a_browser_gets_the_page(server: Server) -> None:
    assert ask(server, "GET") == (200, (Path(example.__file__).parent / "websocket_chat.html").read_bytes())
    assert ask(server, "HEAD") == (405, b"")


def test_what_is_neither_is_refused(server: Server) -> None:
    assert ask(server, "GET", {"Upgrade": "websocket"})[0] == 400
    with pytest.raises(InvalidStatus, match="426"):
        enter(server, additional_headers={"Sec-WebSocket-Version": "7"})
    with server.connect() as client, client.makefile("rb") as answer:
        client.sendall(b"GARBAGE\r\n\r\n")
        assert answer.read().startswith(b"HTTP/1.1 400 ")


def test_run_as_a_program_it_supervises_the_rooms_and_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms, (module, options) = program_of(Path(example.__file__), monkeypatch)

    assert supervision.child_spec(rooms).id == "rooms"
    assert module.child_spec(**options).type == "supervisor"
