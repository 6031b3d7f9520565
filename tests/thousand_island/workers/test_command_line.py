"""``python -m thousand_island … --workers N`` as a program."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.os_processes import children_of
from tests.programs import PATIENCE, ROOT
from tests.thousand_island.serving import exchange, is_closed
from tests.thousand_island.workers.running import HANDLERS, connect, line, wait_for_end, worker_of
from thousand_island.command_line import CommandLine

PREFIX = "python -m thousand_island: error: "

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the tests watch processes that are not theirs")


class Program:
    """One that serves with two workers."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.running = running
        self.errors = ""
        assert running.stdout is not None
        self.line = running.stdout.readline().rstrip("\n")
        *_, host, _, port = self.line.split()
        self.address = (host, int(port))

    def workers(self) -> set[int]:
        """The processes of the workers that there are."""
        return children_of(self.running.pid)

    def ended(self) -> tuple[int, str]:
        """Wait for the end; the exit status and what was written to stderr."""
        _, errors = self.running.communicate(timeout=PATIENCE)
        return self.running.returncode, self.errors + errors

    def wait_for_line(self, text: str) -> None:
        """Wait until a line with ``text`` in it has been written to stderr."""
        assert self.running.stderr is not None
        while text not in (written := self.running.stderr.readline()):
            assert written, f"it has ended without {text!r}"
            self.errors += written
        self.errors += written


def command(*arguments: str) -> dict[str, Any]:
    options = ("--port", "0", "--ip", "loopback", "--workers", "2", "--num-acceptors", "2")
    return {
        "args": [sys.executable, "-m", "thousand_island", *options, *arguments],
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
        "cwd": ROOT,
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


@contextlib.contextmanager
def serving(handler: str, *arguments: str) -> Iterator[Program]:
    """Run the program; at its end none of its workers may be left."""
    with subprocess.Popen(**command(f"{HANDLERS}:{handler}", *arguments)) as running:
        program = Program(running)
        watched: list[int] = []
        try:
            watched = [os.pidfd_open(worker) for worker in program.workers()]
            yield program
        finally:
            running.kill()
            wait_for_end(*watched)


def refusal(handler: str, *arguments: str) -> str:
    """What the one line says by which a command is refused."""
    ended = subprocess.run(**command(handler, *arguments), timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stdout) == (2, ""), ended
    (text,) = ended.stderr.splitlines()
    assert text.startswith(PREFIX)
    return text.removeprefix(PREFIX)


class TestServing:
    def test_it_says_where_they_listen_and_they_serve(self) -> None:
        with serving("Identified") as program:
            assert program.line == f"2 workers of Identified listen on 127.0.0.1 port {program.address[1]}"
            with connect(program.address) as client:
                assert worker_of(client) in program.workers()
            program.running.terminate()
            status, errors = program.ended()
        assert status == 0
        assert errors.count("INFO shutting down; a second signal kills what is left\n") == 1

    def test_output_and_log_say_which_worker_it_is_from(self) -> None:
        with serving("Talkative", "--log-level", "debug") as program:
            with connect(program.address) as client:
                assert exchange(client, b"hello") == b"hello"
            assert program.running.stdout is not None
            printed = program.running.stdout.readline()
            program.running.terminate()
            errors = program.ended()[1].splitlines()
        number, pid = printed.removeprefix("worker ").removesuffix("]: hello\n").split(" [")
        assert number in ("1", "2")
        assert int(pid) != program.running.pid
        label = f"worker {number} [{pid}]: "
        assert label + "hello" in errors
        assert any(text.startswith(label) and "DEBUG connection.start" in text for text in errors)


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_drains_all_workers(self, number: signal.Signals) -> None:
        with serving("Goodbye") as program, connect(program.address) as client:
            worker_of(client)
            program.running.send_signal(number)
            assert line(client) == "GOODBYE\n"
            assert is_closed(client)
            assert program.ended()[0] == 0

    def test_newcomers_are_refused_while_the_workers_drain(self) -> None:
        with serving("Stubborn") as program, contextlib.ExitStack() as stack:
            clients: dict[int, socket.socket] = {}
            while len(clients) < 2:
                client = stack.enter_context(connect(program.address))
                clients.setdefault(worker_of(client), client)
            program.running.terminate()
            for client in clients.values():
                assert line(client) == "GOODBYE\n"
            with pytest.raises(ConnectionRefusedError):
                connect(program.address)
            program.running.terminate()
            assert program.ended()[0] == 0

    def test_a_worker_that_gets_a_second_signal_still_drains(self) -> None:
        with serving("Identified") as program, connect(program.address) as client:
            worker = worker_of(client)
            os.kill(worker, signal.SIGTERM)
            program.wait_for_line(f"[{worker}]")
            program.running.terminate()  # which passes it on, as systemd may have done already
            program.wait_for_line("INFO shutting down; a second signal kills what is left")
            assert worker_of(client) == worker
            client.close()
            status, errors = program.ended()
        assert status == 0
        assert "killing what is left" not in errors.replace("a second signal kills what is left", "")

    def test_a_second_signal_kills_what_does_not_end_itself(self) -> None:
        with serving("Stubborn", "--shutdown-timeout", "infinity") as program, connect(program.address) as client:
            worker_of(client)
            program.running.send_signal(signal.SIGINT)
            assert line(client) == "GOODBYE\n"
            program.running.send_signal(signal.SIGINT)
            assert is_closed(client)
            assert program.ended()[0] == 0

    def test_sighup_replaces_the_workers(self) -> None:
        with serving("Goodbye") as program, connect(program.address) as client:
            old = worker_of(client)
            watched = [os.pidfd_open(worker) for worker in program.workers()]
            program.running.send_signal(signal.SIGHUP)
            assert line(client) == "GOODBYE\n"
            program.wait_for_line("worker 2 is replaced")
            wait_for_end(*watched)  # or one that drains might take the next client, and say goodbye
            with connect(program.address) as other:
                assert worker_of(other) != old
            program.running.terminate()
            assert program.ended()[0] == 0


class TestTheEndOfTheParent:
    def test_workers_drain_when_their_parent_is_killed(self) -> None:
        with serving("Goodbye") as program, connect(program.address) as client:
            worker_of(client)
            watched = [os.pidfd_open(worker) for worker in program.workers()]
            program.running.kill()
            assert line(client) == "GOODBYE\n"
            wait_for_end(*watched)

    def test_workers_that_have_not_served_yet_go_with_it(self, tmp_path: Path) -> None:
        (tmp_path / "slow.py").write_text(
            f"import signal, sys\nfrom {HANDLERS} import Identified\n"
            "if 'thousand_island.workers.child' in sys.modules:\n"
            "    print('here', flush=True)\n"
            "    signal.pause()\n"
        )
        options = command("slow:Identified")
        options["env"]["PYTHONPATH"] += f":{tmp_path}"
        with subprocess.Popen(**options) as running:
            assert running.stdout is not None
            text = running.stdout.readline()
            assert text.endswith("here\n")
            watched = os.pidfd_open(int(text.split("[")[1].split("]")[0]))
            running.kill()
            wait_for_end(watched)


class TestRefusal:
    def test_a_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            text = refusal("examples.echo:Echo", "--port", port)
        assert text == f"the server cannot start: cannot listen on 127.0.0.1 port {port}: Address already in use"

    def test_a_module_that_is_not_there(self) -> None:
        assert refusal("no_such_module:Echo") == "there is no module 'no_such_module'"

    def test_what_only_a_worker_finds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "picky.py").write_text(
            f"import sys\nfrom {HANDLERS} import Identified\n"
            "if 'thousand_island.workers.child' in sys.modules: import no_such_module\n"
        )
        options = command("picky:Identified")
        options["env"]["PYTHONPATH"] += f":{tmp_path}"
        ended = subprocess.run(**options, timeout=PATIENCE, check=False)
        reason = "the module 'picky' cannot be imported: No module named 'no_such_module'"
        assert ended.stderr == f"{PREFIX}the server cannot start: worker 1: {reason}\n"
        assert (ended.returncode, ended.stdout) == (2, "")


class TestOptions:
    def of(self, *arguments: str) -> CommandLine:
        return CommandLine.of(["examples.echo:Echo", *arguments])

    def test_without_the_option_there_are_no_workers(self) -> None:
        assert self.of().workers is None

    def test_options_become_those_of_the_workers(self) -> None:
        command = self.of("--workers", "3", "--share", "reuseport", "--read-timeout", "10", "--log-level", "info")
        assert command.workers == {
            "handler": "examples.echo:Echo",
            "workers": 3,
            "share": "reuseport",
            "read_timeout": 10,
            "log_level": "info",
            "transport_options": {},
        }

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--workers", "0"], "workers must be a whole number, at least 1, got 0"),
            (["--workers", "many"], "argument --workers: invalid int value: 'many'"),
            (["--share", "reuseport"], "it needs --workers"),
            (["--workers", "2", "--num-listen-sockets", "2"], "num_listen_sockets must be 1 with workers"),
            (["--workers", "2", "--share", "reuseport", "--ip", "unix:/run/x"], "share must be 'listener'"),
        ],
    )
    def test_bad_options_are_refused_in_one_line(self, arguments: list[str], text: str, capsys: Any) -> None:
        with pytest.raises(SystemExit) as refused:
            self.of(*arguments)
        assert refused.value.code == 2
        (written,) = capsys.readouterr().err.splitlines()
        assert text in written
