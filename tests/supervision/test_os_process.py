from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import Any

import pytest

from supervision import (
    INFINITY,
    BadArgument,
    BadType,
    ChildSpec,
    OsCommand,
    OsProcess,
    Pid,
    StartError,
    Supervisor,
    call,
    process,
    stop,
)
from tests.os_processes import children_of
from tests.supervision.supervised import PATIENCE, until

FOREVER = "import os, signal, sys; os.write(int(sys.argv[1]), b'.'); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER


class Watched(OsProcess):
    """Tells the test that its process runs, and by which number: one that has just begun is deaf to nothing yet."""

    def init(self, arg: Any) -> Any:
        program, test = arg
        reader, writer = os.pipe()
        result = super().init(OsCommand((sys.executable, "-c", program, str(writer)), pass_fds=(writer,)))
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        process.send(test, ("runs", result.state.pid))
        return result


def is_gone(os_pid: int) -> bool:
    """Whether nothing is left of a child, not even a zombie."""
    try:
        os.waitid(os.P_PID, os_pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def started() -> int:
    return process.receive(lambda message: message[0] == "runs", timeout=PATIENCE)[1]


def reason_of(ref: Any) -> Any:
    return process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=PATIENCE).reason


@pytest.fixture(params=["pidfd", "thread"], autouse=True)
def notice(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to notice the end of a process."""
    if request.param == "thread":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    elif not (hasattr(os, "pidfd_open") and hasattr(select, "epoll")):
        pytest.skip("this system has no pidfd")


class TestEnd:
    @pytest.mark.parametrize(
        ("program", "reason"),
        [
            ("pass", "normal"),
            ("raise SystemExit(3)", ("exit_status", 3)),
            ("import os; os.kill(os.getpid(), 9)", ("signal", "SIGKILL")),
        ],
    )
    def test_a_process_that_ends_by_itself_ends_its_actor(self, program: str, reason: Any) -> None:
        pid = OsProcess.start(OsCommand((sys.executable, "-c", program)))
        assert reason_of(process.monitor(pid)) in (reason, "noproc")

    def test_a_program_that_is_not_there_is_an_error_of_the_start(self) -> None:
        with pytest.raises(StartError) as failed:
            OsProcess.start(OsCommand(("/no/such/program",)))
        assert isinstance(failed.value.__cause__, FileNotFoundError)

    @pytest.mark.parametrize(
        ("wrong", "error", "text"),
        [
            ({"arguments": "ls -l"}, BadType, "arguments must be a tuple of strings, got 'ls -l'"),
            ({"arguments": ("ls", 5)}, BadType, "arguments must be a tuple of strings, got .'ls', 5."),
            ({"arguments": ()}, BadArgument, "arguments must be a tuple of at least the program"),
            ({"arguments": ("ls",), "environment": 5}, BadType, "environment must be a mapping or None, got 5"),
        ],
    )
    def test_a_wrong_command_is_refused_where_it_is_made(self, wrong: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            OsCommand(**wrong)

    def test_it_refuses_what_is_no_command(self) -> None:
        with pytest.raises(StartError, match="OsCommand"):
            OsProcess.start("sleep 5")

    def test_it_tells_the_number_of_its_process(self) -> None:
        pid = Watched.start((FOREVER, process.self()))
        os_pid = started()
        assert call(pid, "os_pid") == os_pid
        stop(pid, "normal", PATIENCE)
        assert is_gone(os_pid)

    def test_a_kill_of_the_actor_kills_the_process_before_it_returns(self) -> None:
        pid = Watched.start((DEAF, process.self()))
        os_pid = started()
        process.exit(pid, "kill")
        assert is_gone(os_pid)

    def test_a_crash_of_the_actor_kills_the_process(self) -> None:
        pid = Watched.start((DEAF, process.self()))
        os_pid = started()
        ref = process.monitor(pid)
        process.exit(pid, "boom")
        assert reason_of(ref) == "boom"
        assert is_gone(os_pid)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the test looks into /proc")
def test_a_process_whose_end_nobody_could_notice_is_killed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("supervision.os_child._notice", refuse)
    before = children_of(os.getpid())
    with pytest.raises(StartError, match="can't start new thread"):
        OsProcess.start(OsCommand((sys.executable, "-c", "import signal; signal.pause()")))
    assert children_of(os.getpid()) == before


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the test looks into /proc")
def test_an_actor_that_is_killed_while_it_starts_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen

    def start_and_die(*args: Any, **options: Any) -> Any:
        child = popen(*args, **options)
        process.exit(process.self(), "kill")
        return child

    monkeypatch.setattr(subprocess, "Popen", start_and_die)
    before = children_of(os.getpid())
    with pytest.raises(StartError, match="killed"):
        OsProcess.start(OsCommand((sys.executable, "-c", "import signal; signal.pause()")))
    until(lambda: children_of(os.getpid()) == before)


class TestUnderASupervisor:
    def start(self, program: str, **fields: Any) -> Pid:
        spec = ChildSpec("program", Watched.start_link, ((program, process.self()),), **fields)
        return Supervisor.start_link([spec], strategy="one_for_one")

    def test_a_process_that_is_killed_is_restarted(self) -> None:
        supervisor = self.start(FOREVER)
        first = started()
        os.kill(first, signal.SIGKILL)
        second = started()
        assert is_gone(first)
        Supervisor.stop(supervisor)
        assert second != first
        assert is_gone(second)

    def test_shutting_down_sends_sigterm(self) -> None:
        supervisor = self.start(FOREVER, shutdown=INFINITY)
        os_pid = started()
        Supervisor.stop(supervisor, timeout=PATIENCE)
        assert is_gone(os_pid)

    def test_one_that_does_not_end_in_time_is_killed(self) -> None:
        supervisor = self.start(DEAF, shutdown=20)
        os_pid = started()
        Supervisor.stop(supervisor, timeout=PATIENCE)
        assert is_gone(os_pid)


def test_no_descriptor_is_left() -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        pid = Watched.start((FOREVER, process.self()))
        started()
        stop(pid, "normal", PATIENCE)
    until(lambda: len(os.listdir("/dev/fd")) <= before)  # without the GIL the watchdog may have one for a moment


def test_its_process_has_a_group_of_its_own() -> None:
    pid = Watched.start((FOREVER, process.self()))
    os_pid = started()
    assert os.getpgid(os_pid) == os_pid != os.getpgid(0)
    stop(pid, "normal", PATIENCE)
