"""The device server inside of Flask and of Django: their own test clients, and their own servers as programs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

import thousand_island
from examples import devices, embed_django, embed_flask
from examples.devices import DEVICES, SERVER, start_devices
from supervision import Registry, Supervisor, cast, process
from tests.programs import ROOT
from tests.thousand_island.serving import SECONDS, reason_of

PROGRAMS = [embed_flask.__name__, embed_django.__name__]


@dataclass
class Web:
    """A test client of either framework: the status and the text of an answer."""

    get: Callable[[str], tuple[int, str]]
    post: Callable[[str, str], tuple[int, str]]


def flask_client() -> Web:
    client = embed_flask.app.test_client()

    def told(answer: Any) -> tuple[int, str]:
        return answer.status_code, answer.text

    return Web(lambda path: told(client.get(path)), lambda path, text: told(client.post(path, data=text)))


def django_client() -> Web:
    client = Client(headers={"Host": "localhost"})

    def told(answer: Any) -> tuple[int, str]:
        return answer.status_code, answer.content.decode()

    def post(path: str, text: str) -> tuple[int, str]:
        return told(client.post(path, text, content_type="text/plain"))

    return Web(lambda path: told(client.get(path)), post)


@pytest.fixture(params=[flask_client, django_client], ids=["flask", "django"])
def web(request: pytest.FixtureRequest) -> Web:
    return request.param()


@pytest.fixture(autouse=True)
def address() -> Iterator[tuple[str, int]]:
    tree = start_devices(0)
    yield thousand_island.listener_info(SERVER)
    Supervisor.stop(tree)


@contextlib.contextmanager
def device(address: tuple[str, int], name: str) -> Iterator[Any]:
    with socket.create_connection(address, timeout=SECONDS) as client, client.makefile("rw") as lines:
        lines.write(f"{name}\n")
        lines.flush()
        assert lines.readline() == "welcome\n"
        yield lines


def test_a_page_lists_the_live_connections(web: Web, address: tuple[str, int]) -> None:
    with device(address, "lamp"), device(address, "door"):
        assert "".join(web.get("/devices")[1].split()).replace(",", ", ") == '["door", "lamp"]'
        ended = [process.monitor(pid) for pid in thousand_island.connection_pids(SERVER)]
    for ref in ended:
        reason_of(ref)
    assert web.get("/devices") in [(200, "[]\n"), (200, "[]")]


def test_a_page_sends_to_one_of_them(web: Web, address: tuple[str, int]) -> None:
    with device(address, "lamp") as lamp, device(address, "door") as door:
        assert web.post("/devices/lamp", "on") == (200, "sent")
        assert web.post("/devices/door", "open") == (200, "sent")
        assert [lamp.readline(), door.readline()] == ["on\n", "open\n"]


def test_a_page_says_what_is_not_there(web: Web) -> None:
    assert web.post("/devices/lamp", "on") == (404, "there is no device 'lamp'")


def test_a_page_does_not_wait_for_ever(web: Web, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "PATIENCE", 50)
    free = threading.Event()
    monkeypatch.setattr(devices.Device, "handle_cast", lambda self, message, state: free.wait(), raising=False)
    with device(address, "lamp"):
        ((_, pid, _),) = Registry.select(DEVICES, lambda *entry: True)
        cast(pid, "be busy")
        try:
            assert web.post("/devices/lamp", "on") == (504, "'lamp' does not listen")
        finally:
            process.exit(pid, "kill")
            free.set()


def test_pages_send_from_many_threads_at_once(web: Web, address: tuple[str, int]) -> None:
    with device(address, "lamp") as lamp:
        threads = [threading.Thread(target=web.post, args=("/devices/lamp", str(number))) for number in range(8)]
        for thread in threads:
            thread.start()
        heard = {lamp.readline() for _ in threads}
        for thread in threads:
            thread.join()
    assert heard == {f"{number}\n" for number in range(8)}


def test_a_name_belongs_to_one_device_at_a_time(address: tuple[str, int]) -> None:
    with device(address, "lamp"), socket.create_connection(address, timeout=SECONDS) as other:
        other.sendall(b"lamp\n")
        with other.makefile() as lines:
            assert lines.read() == "taken\n"


def test_a_name_may_come_in_pieces_but_not_without_end(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=SECONDS) as client, client.makefile() as lines:
        for letter in b"la\nmore":
            client.sendall(bytes([letter]))
        assert lines.readline() == "welcome\n"
    with socket.create_connection(address, timeout=SECONDS) as client:
        client.sendall(b"x" * 200)
        assert client.recv(1) == b""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", PROGRAMS)
def test_as_a_program_it_serves_both_and_tells_its_devices_goodbye(name: str, end: signal.Signals) -> None:
    with program(name) as running:
        device_port = int(read_until(running, r"devices connect to [\d.]+:(\d+)"))
        web_port = int(read_until(running, r"http://127\.0\.0\.1:(\d+)"))
        url = f"http://127.0.0.1:{web_port}/devices"
        with device(("127.0.0.1", device_port), "lamp") as lamp:
            with urllib.request.urlopen(f"{url}/lamp", data=b"on", timeout=SECONDS) as answer:
                assert answer.read() == b"sent"
            assert lamp.readline() == "on\n"
            running.send_signal(end)
            assert lamp.read() == "goodbye\n"
        said, _ = running.communicate(timeout=SECONDS)
        assert (running.returncode, "Traceback" in said) == (0, False), said


@contextlib.contextmanager
def program(name: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", name, "0", "0"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def read_until(running: subprocess.Popen[str], pattern: str) -> str:
    assert running.stdout is not None
    lines = []
    for line in running.stdout:
        lines.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError(f"no {pattern!r} in what it said: {''.join(lines)}")
