"""The TLS echo, tried with a client that nobody here wrote."""

from __future__ import annotations

import contextlib
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import supervision
import thousand_island
from examples.tls_echo import tls_echo
from tests.thousand_island.certificates import Certificates, make_certificates

# Seconds that the client may take before the test fails.
PATIENCE = 20

PROGRAM = Path(__file__).parent.parent / "examples" / "tls_echo.py"

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def port(certificates: Certificates) -> Iterator[int]:
    server = thousand_island.start_link(**tls_echo(certificates.server.certfile, certificates.server.keyfile, port=0))
    yield thousand_island.listener_info(server)[1]
    thousand_island.stop(server)


class Client:
    """``openssl s_client``, as somebody at a terminal uses it."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.running = running

    def say(self, line: str) -> None:
        """Type a line."""
        assert self.running.stdin is not None
        self.running.stdin.write(line + "\n")
        self.running.stdin.flush()

    def hear(self, words: str) -> str:
        """Read until a line that contains ``words``, and return all of it."""
        assert self.running.stdout is not None
        lines = []
        for line in self.running.stdout:
            lines.append(line)
            if words in line:
                return "".join(lines)
        raise AssertionError(f"no {words!r} in what it said: {''.join(lines)}")


@contextlib.contextmanager
def s_client(port: int, *options: str) -> Iterator[Client]:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, **pipes) as running:
        try:
            yield Client(running)
        finally:
            running.kill()


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_gets_its_lines_back(port: int, certificates: Certificates, version: str) -> None:
    options = (version, "-CAfile", certificates.authority, "-verify_return_error", "-servername", "localhost")
    with s_client(port, *options) as client:
        client.hear("Verify return code: 0 (ok)")
        client.say("one")
        client.hear("one")
        client.say("two")
        client.hear("two")


@needs_openssl
def test_keys_may_be_renewed_on_the_way(port: int) -> None:
    with s_client(port, "-tls1_3") as client:
        client.say("before")
        client.hear("before")
        client.say("K")  # a command: renew the keys, and ask the server to do the same
        client.hear("KEYUPDATE")
        client.say("after")
        client.hear("after")


@needs_openssl
def test_renegotiation_is_refused(port: int) -> None:
    with s_client(port, "-tls1_2") as client:
        client.say("before")
        client.hear("before")
        client.say("R")  # a command: negotiate anew
        client.hear("no renegotiation")


@needs_openssl
def test_session_is_resumed(port: int, tmp_path: Path) -> None:
    session = str(tmp_path / "session")
    for option, words in (("-sess_out", "New, TLS"), ("-sess_in", "Reused, TLS")):
        with s_client(port, "-tls1_2", option, session) as client:
            client.hear(words)
            client.say("hello")
            client.hear("hello")
            client.say("Q")  # a command: say goodbye
            assert client.running.wait(PATIENCE) == 0


def test_run_as_a_program_it_supervises_a_server(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    programs: list[list[Any]] = []
    monkeypatch.setattr(supervision, "run", programs.append)
    monkeypatch.setattr("blinker.NamedSignal.connect", lambda signal, receiver: receiver)
    monkeypatch.setattr("sys.argv", ["tls_echo", certificates.server.certfile, certificates.server.keyfile])
    with pytest.raises(SystemExit):
        runpy.run_path(str(PROGRAM), run_name="__main__")
    module, options = programs[0][0]
    assert module.child_spec(**options).type == "supervisor"


def test_run_without_a_certificate_it_says_how_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tls_echo"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert ended.value.code == "usage: python -m examples.tls_echo CERTFILE KEYFILE"
