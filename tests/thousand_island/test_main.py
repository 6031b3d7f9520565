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

from supervision import INFINITY
from tests.programs import PATIENCE, ROOT
from tests.supervision.supervised import until
from tests.thousand_island.serving import SECONDS, exchange, is_closed
from thousand_island.command_line import CommandLine

PREFIX = "python -m thousand_island: error: "

ADDRESSES = "'any', 'loopback', an IP address, unix:PATH, fd:NUMBER or fd:NAME"

GOODBYE = """
    from supervision import INFINITY, process
    from thousand_island import Continue, Handler

    class Goodbye(Handler):
        def handle_data(self, data, socket, state):
            socket.send(data)
            return Continue(state)

        def handle_shutdown(self, socket, state):
            socket.send(b"GOODBYE")

    class Stubborn(Goodbye):
        def handle_shutdown(self, socket, state):
            socket.send(b"GOODBYE")
            process.receive(int, timeout=INFINITY)
"""


@pytest.fixture
def handlers(tmp_path: Path) -> Path:
    """A directory with modules, one of which has handlers."""
    lines = (line.removeprefix("    ") for line in GOODBYE.splitlines())
    (tmp_path / "goodbye.py").write_text("\n".join(lines))
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "needy.py").write_text("import no_such_module\n")
    return tmp_path


def command(*arguments: str, cwd: Path = ROOT) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return {
        "args": [sys.executable, "-m", "thousand_island", *arguments],
        "env": environment,
        "cwd": cwd,
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


class Program:
    """One that serves. ``line`` is what it has printed, ``address`` where it listens."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.running = running
        assert running.stdout is not None
        self.line = running.stdout.readline().rstrip("\n")
        *_, host, _, port = self.line.split()
        self.address = (host, int(port) if port.isdecimal() else 0)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=SECONDS)

    def ended(self) -> tuple[int, str]:
        """Wait for the end; the exit status and what was written to stderr."""
        _, errors = self.running.communicate(timeout=PATIENCE)
        return self.running.returncode, errors


@contextlib.contextmanager
def serving(*arguments: str, cwd: Path = ROOT) -> Iterator[Program]:
    with subprocess.Popen(**command(*arguments, cwd=cwd)) as running:
        try:
            yield Program(running)
        finally:
            running.kill()


def refusal(*arguments: str, cwd: Path = ROOT) -> str:
    """What the one line says by which a command is refused."""
    ended = subprocess.run(**command(*arguments, cwd=cwd), timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stdout) == (2, ""), ended
    (line,) = ended.stderr.splitlines()
    assert line.startswith(PREFIX)
    return line.removeprefix(PREFIX)


class TestServing:
    def test_it_says_where_it_listens_and_serves(self) -> None:
        with serving("examples.echo:Echo", "--port", "0", "--ip", "loopback") as program:
            assert program.line == f"Echo listens on 127.0.0.1 port {program.address[1]}"
            with program.connect() as client:
                assert exchange(client, b"hello") == b"hello"
            program.running.terminate()
            status, errors = program.ended()
        assert status == 0
        assert errors.endswith("INFO shutting down; a second signal kills what is left\n")
        assert errors.count("\n") == 1

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_drains_it(self, handlers: Path, number: signal.Signals) -> None:
        with serving("goodbye:Goodbye", "--port", "0", cwd=handlers) as program, program.connect() as client:
            assert exchange(client, b"hello") == b"hello"
            program.running.send_signal(number)
            assert client.recv(7) == b"GOODBYE"
            assert is_closed(client)
            assert program.ended()[0] == 0

    def test_a_second_signal_ends_what_does_not_end_itself(self, handlers: Path) -> None:
        arguments = ("goodbye:Stubborn", "--port", "0", "--shutdown-timeout", "infinity")
        with serving(*arguments, cwd=handlers) as program, program.connect() as client:
            assert exchange(client, b"hello") == b"hello"
            program.running.send_signal(signal.SIGINT)
            assert client.recv(7) == b"GOODBYE"
            program.running.send_signal(signal.SIGINT)
            assert is_closed(client)
            assert program.ended()[0] == 0

    def test_connections_that_do_not_end_in_time_are_killed(self, handlers: Path) -> None:
        arguments = ("goodbye:Stubborn", "--port", "0", "--shutdown-timeout", "50")
        with serving(*arguments, cwd=handlers) as program, program.connect() as client:
            assert exchange(client, b"hello") == b"hello"
            program.running.terminate()
            assert client.recv(7) == b"GOODBYE"
            assert is_closed(client)
            assert program.ended()[0] == 0

    def test_it_logs_at_the_level_asked_for(self) -> None:
        arguments = ("examples.echo:Echo", "--port", "0", "--ip", "127.0.0.1", "--log-level", "debug")
        with serving(*arguments) as program:
            with program.connect() as client:
                assert exchange(client, b"hello") == b"hello"
            program.running.terminate()
            status, errors = program.ended()
        assert status == 0
        for event in ("listener.start", "acceptor.start", "connection.start", "connection.stop", "listener.stop"):
            assert event in errors

    def test_it_serves_though_nobody_reads_where_it_listens(self, tmp_path: Path) -> None:
        path = tmp_path / "socket"
        options = command("examples.echo:Echo", "--ip", f"unix:{path}")
        reader, writer = os.pipe()
        os.close(reader)
        with subprocess.Popen(**{**options, "stdout": writer}) as running:
            os.close(writer)
            until(path.exists)
            running.terminate()
            _, errors = running.communicate(timeout=PATIENCE)
        assert (running.returncode, "Traceback" in errors) == (0, False)

    def test_it_serves_a_unix_socket(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with serving("examples.echo:Echo", "--ip", f"unix:{path}") as program:
            assert program.line == f"Echo listens on the unix socket {path}"
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(SECONDS)
                client.connect(path)
                assert exchange(client, b"hello") == b"hello"
            program.running.terminate()
            assert program.ended()[0] == 0
        assert not os.path.exists(path)


class TestRefusal:
    def test_a_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            text = refusal("examples.echo:Echo", "--ip", "127.0.0.1", "--port", port, "--log-level", "debug")
        assert text == f"the server cannot start: cannot listen on 127.0.0.1 port {port}: Address already in use"

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_a_privileged_port(self) -> None:
        assert "Permission denied" in refusal("examples.echo:Echo", "--port", "1")

    def test_an_address_of_somebody_else(self) -> None:
        assert "cannot listen on 192.0.2.1" in refusal("examples.echo:Echo", "--ip", "192.0.2.1", "--port", "0")

    def test_a_module_that_is_not_there(self) -> None:
        assert refusal("no_such_module.at_all:Echo") == "there is no module 'no_such_module.at_all'"

    def test_a_module_that_fails(self, handlers: Path) -> None:
        text = refusal("broken:Echo", cwd=handlers)
        assert text == "the module 'broken' cannot be imported: ZeroDivisionError: division by zero"

    def test_a_module_that_lacks_another(self, handlers: Path) -> None:
        text = refusal("needy:Echo", cwd=handlers)
        assert text == "the module 'needy' cannot be imported: No module named 'no_such_module'"

    def test_a_class_that_is_not_there(self) -> None:
        assert refusal("examples.echo:Ecko") == "the module 'examples.echo' has no 'Ecko'; did you mean 'Echo'?"

    def test_what_is_no_handler(self) -> None:
        assert "handler_module must be a subclass of thousand_island.Handler" in refusal("examples.echo:announce")


class TestCommandLine:
    """The rest of what can be wrong, without a program for each."""

    def of(self, *arguments: str) -> CommandLine:
        return CommandLine.of(["examples.echo:Echo", *arguments])

    def test_options_become_those_of_the_server(self) -> None:
        command = self.of(
            *["--port", "0", "--num-acceptors", "3", "--read-timeout", "infinity", "--shutdown-timeout", "10"]
        )
        expected = {"port": 0, "num_acceptors": 3, "read_timeout": INFINITY, "shutdown_timeout": 10}
        assert command.server.items() >= expected.items()
        assert command.log_level == "error"

    def test_only_what_was_given_is_set(self) -> None:
        assert set(self.of().server) == {"handler_module", "transport_options"}

    def test_several_listening_sockets_share_the_port(self) -> None:
        assert self.of("--num-listen-sockets", "2").server["transport_options"] == {"reuseport": True}

    @pytest.mark.parametrize(
        ("text", "ip"), [("any", "any"), ("::1", "::1"), ("unix:/run/x", ("local", "/run/x")), ("fd:7", ("fd", 7))]
    )
    def test_addresses(self, text: str, ip: Any) -> None:
        assert self.of("--ip", text).server["transport_options"] == {"ip": ip}

    def test_several_proxies_may_be_named(self) -> None:
        options = self.of("--proxy-protocol", "10.0.0.5", "--proxy-protocol", "local").server["transport_options"]
        assert options == {"proxy_protocol": ["10.0.0.5", "local"]}

    def test_the_socket_of_systemd_is_taken_by_its_name(self, capsys: Any) -> None:
        with pytest.raises(SystemExit):
            self.of("--ip", "fd:systemd")
        assert "systemd hands over" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--port", "99999"], "port must be a whole number from 0 to 65535, got 99999"),
            (["--port", "http"], "argument --port: invalid int value: 'http'"),
            (["--read-timeout", "0.5"], "must be a whole number of milliseconds or 'infinity', got '0.5'"),
            (["--max-connections", "many"], "argument --max-connections: invalid number value: 'many'"),
            (["--num-acceptors", "0"], "num_acceptors must be a whole number, at least 1, got 0"),
            (["--ip", "localhost"], f"argument --ip: must be {ADDRESSES}, got 'localhost'"),
            (["--ip", "unix:"], f"argument --ip: must be {ADDRESSES}, got 'unix:'"),
            (["--ip", "fd"], f"argument --ip: must be {ADDRESSES}, got 'fd'"),
            (["--proxy-protocol", "haproxy.example"], "proxy_protocol must have networks, addresses and 'local', but "),
            (["--log-level", "loud"], "argument --log-level: invalid choice: 'loud'"),
            (["--prot", "1"], "unrecognized arguments: --prot 1"),
            (["--certfile", "cert.pem"], "error: --certfile needs --keyfile, which may be the same file"),
            (["--keyfile", "key.pem"], "error: --keyfile needs --certfile, which may be the same file"),
        ],
    )
    def test_bad_options_are_refused_in_one_line(self, arguments: list[str], text: str, capsys: Any) -> None:
        with pytest.raises(SystemExit) as refused:
            self.of(*arguments)
        assert refused.value.code == 2
        output, errors = capsys.readouterr()
        (line,) = errors.splitlines()
        assert output == ""
        assert line.startswith(PREFIX)
        assert text in line

    @pytest.mark.parametrize("handler", ["examples.echo", ":Echo", "examples.echo:", ""])
    def test_a_handler_that_is_not_named_in_full_is_refused(self, handler: str, capsys: Any) -> None:
        with pytest.raises(SystemExit):
            CommandLine.of([handler])
        assert "MODULE:HANDLER" in capsys.readouterr().err

    def test_help_ends_well(self, capsys: Any) -> None:
        with pytest.raises(SystemExit) as ended:
            CommandLine.of(["--help"])
        assert ended.value.code == 0
        assert "MODULE:HANDLER" in capsys.readouterr().out
