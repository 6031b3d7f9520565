from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from supervision import StartError, Supervisor, process
from tests.supervision.supervised import until
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import DEADLINE, is_closed, reason_of
from tests.thousand_island.serving import children as parts
from tests.thousand_island.workers.running import HANDLERS, children, connect, line, running, worker_of
from thousand_island import BadOption, ServerUnavailable, workers
from thousand_island.errors import WorkerFailed
from thousand_island.transports import SSL
from thousand_island.workers.sharing import Sharing
from thousand_island.workers.supervisor import shared

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the tests look into /proc")


class TestServing:
    @pytest.mark.parametrize("share", ["listener", "reuseport"])
    def test_all_workers_serve_one_port(self, share: str) -> None:
        with running(share=share) as server:
            assert set(server.connect_to_each()) == set(server.os_pids())
            assert len(server.os_pids()) == 2

    def test_they_share_a_unix_socket_which_is_gone_afterwards(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with running(transport_options={"ip": ("local", path), "socket_mode": 0o600}) as server:
            assert server.address == ("local", path)
            assert os.stat(path).st_mode & 0o777 == 0o600
            assert worker_of(server.connect()) in server.os_pids()
        assert not os.path.exists(path)

    def test_they_share_a_descriptor_that_listens_already(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            options = {"ip": ("fd", listening.fileno())}
            with running(transport_options=options) as server:
                assert server.address == listening.getsockname()
                assert worker_of(server.connect()) in server.os_pids()

    def test_they_serve_tls_and_read_renewed_certificates_when_they_are_replaced(
        self, certificates: Certificates, tmp_path: Path
    ) -> None:
        options = certificates.options()
        renewed = tmp_path / "certificate.pem"
        renewed.write_bytes(Path(options["certfile"]).read_bytes())
        options["certfile"] = str(renewed)
        with running(workers=1, transport_module=SSL, transport_options=options) as server:
            context = certificates.trusting()
            with context.wrap_socket(server.connect(), server_hostname="localhost") as client:
                assert worker_of(client) in server.os_pids()
            renewed.write_text("no certificate")
            with pytest.raises(StartError):
                workers.rolling_restart(server.pid)

    def test_their_supervisor_is_a_child_like_any_other(self) -> None:
        options = {
            "handler": f"{HANDLERS}:Identified",
            "workers": 1,
            "port": 0,
            "name": "served",
            "transport_options": {"ip": "loopback"},
        }
        top = Supervisor.start_link([(workers, options)], strategy="one_for_one")
        with connect(workers.listener_info("served")) as client:
            assert worker_of(client) == workers.info("served").workers[0].os_pid
        Supervisor.stop(top, timeout=DEADLINE)
        with pytest.raises(ServerUnavailable):
            workers.info("served")

    def test_info_counts_the_connections_of_all(self) -> None:
        with running() as server:
            clients = server.connect_to_each()
            info = workers.info(server.pid)
            assert info.local_info == server.address
            assert [one.number for one in info.workers] == [1, 2]
            assert [one.status for one in info.workers] == ["serving", "serving"]
            assert {one.os_pid for one in info.workers} == set(clients)
            assert info.active_connections == len(server.clients)
            assert all(one.active_connections for one in info.workers)


class TestRestart:
    def test_a_worker_that_is_killed_is_restarted_while_the_others_serve_on(self) -> None:
        with running() as server:
            clients = server.connect_to_each()
            victim, survivor = clients
            ended = server.kill(victim)
            assert is_closed(clients[victim])
            assert worker_of(clients[survivor]) == survivor
            server.wait_for_restart(ended)
            assert victim not in server.os_pids()
            assert survivor in server.os_pids()
            assert set(server.connect_to_each()) == set(server.os_pids())
            assert worker_of(clients[survivor]) == survivor

    def test_a_worker_that_somebody_else_drains_is_restarted_too(self) -> None:
        with running(workers=1) as server:
            (first,) = server.os_pids()
            server.wait_for_restart(server.kill(first, signal.SIGTERM))
            assert worker_of(server.connect()) != first

    def test_a_worker_that_has_been_replaced_is_not_restarted(self) -> None:
        with running(workers=1) as server:
            sharing = shared(server.pid)
            sharing.generations[1] = 1
            server.wait_for_restart(server.kill(server.os_pids()[0]))
            assert Supervisor.count_children(sharing.supervisor).specs == 0
            assert workers.info(server.pid).workers == ()

    def test_a_starter_that_is_restarted_alone_starts_only_those_that_there_are_not(self) -> None:
        with running() as server:
            before = server.os_pids()
            starter = parts(server.pid)["worker_starter"]
            process.exit(starter, "kill")
            until(lambda: parts(server.pid)["worker_starter"] is not starter)
            assert server.os_pids() == before

    def test_too_many_restarts_end_the_workers_and_start_them_anew(self) -> None:
        with running(workers=1, max_restarts=0) as server:
            before = shared(server.pid).supervisor
            assert before is not None
            ref = process.monitor(before)
            os.kill(server.os_pids()[0], signal.SIGKILL)
            assert reason_of(ref) == "shutdown"
            Supervisor.which_children(server.pid)  # has heard of it before this question
            assert worker_of(server.connect()) in server.os_pids()


class Load:
    """Clients that come and go as fast as they can; ``failures`` is what went wrong with any of them."""

    def __init__(self, address: Any) -> None:
        self.address = address
        self.over = threading.Event()
        self.served: set[int] = set()
        self.failures: list[BaseException] = []
        self.threads = [threading.Thread(target=self._run, name=f"client-{number}") for number in range(4)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _run(self) -> None:
        while not self.over.is_set():
            try:
                with connect(self.address) as client:
                    self.served.add(worker_of(client))
            except (OSError, IndexError) as failure:  # refused, reset, or ended without an answer
                self.failures.append(failure)
                return


class TestRollingRestart:
    @pytest.mark.parametrize("share", ["listener", "reuseport"])
    def test_it_refuses_and_loses_nobody_under_load(self, share: str) -> None:
        with running(share=share) as server:
            old = set(server.os_pids())
            with Load(server.address) as load:
                workers.rolling_restart(server.pid)
            new = set(server.os_pids())
            assert load.failures == []
            assert load.served
            assert len(new) == 2
            assert not old & new
            assert load.served <= old | new

    def test_connections_of_the_old_one_are_drained(self) -> None:
        with running("Goodbye") as server:
            clients = server.connect_to_each()
            workers.rolling_restart(server.pid)
            for client in clients.values():
                assert line(client) == "GOODBYE\n"
                assert is_closed(client)

    def test_one_that_does_not_drain_in_time_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("thousand_island.workers.config._GRACE", 0)
        with running(workers=1, shutdown_timeout=50) as server:
            old = server.connect()
            worker = worker_of(old)
            os.kill(worker, signal.SIGSTOP)
            (ref,) = [process.monitor(place.pid) for place in shared(server.pid).live()]
            workers.rolling_restart(server.pid)
            assert reason_of(ref) == ("shutdown", "drained")
            assert worker_of(server.connect()) != worker

    def test_a_new_one_that_hangs_keeps_nobody_from_being_restarted_or_stopped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        module = tmp_path / "hanging.py"
        serving = f"from {HANDLERS} import Identified\n"
        module.write_text(serving)
        options = {"handler": "hanging:Identified", "workers": 1, "port": 0, "transport_options": {"ip": "loopback"}}
        before = children()
        pid = workers.start_link(**options)
        (old,) = workers.info(pid).workers
        hang = f"pathlib.Path({str(tmp_path / 'hangs')!r}).touch(), signal.pause()"
        module.write_text(
            f"{serving}import pathlib, signal, sys\nif 'thousand_island.workers.child' in sys.modules: {hang}\n"
        )
        _, ref = process.spawn_monitor(_restart_in_vain, pid)
        until((tmp_path / "hangs").exists)
        module.write_text(serving)
        os.kill(old.os_pid, signal.SIGKILL)
        until(lambda: [w.status for w in workers.info(pid).workers if w.os_pid != old.os_pid].count("serving") == 1)
        Supervisor.stop(pid, "normal", DEADLINE)
        assert reason_of(ref) == "normal"
        assert children() <= before

    def test_a_new_one_that_cannot_serve_leaves_the_old_ones_in_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        module = tmp_path / "changing.py"
        module.write_text(f"from {HANDLERS} import Identified\n")
        options = {"handler": "changing:Identified", "workers": 1, "port": 0, "transport_options": {"ip": "loopback"}}
        pid = workers.start_link(**options)
        before = workers.info(pid).workers
        module.write_text("1 / 0 # now it is broken\n")
        with pytest.raises(StartError) as failed:
            workers.rolling_restart(pid)
        assert "ZeroDivisionError" in str(failed.value.reason)
        assert workers.info(pid).workers == before
        assert "the old worker 1 goes on: WorkerFailed: worker 1: the module 'changing' cannot be" in caplog.text
        Supervisor.stop(pid, timeout=DEADLINE)


class TestStop:
    def test_it_drains_all_workers_together(self) -> None:
        with running("Goodbye") as server:
            clients = server.connect_to_each()
            Supervisor.stop(server.pid, timeout=DEADLINE)
            assert [line(client) for client in clients.values()] == ["GOODBYE\n"] * 2

    def test_nothing_listens_afterwards(self) -> None:
        with running() as server:
            Supervisor.stop(server.pid, timeout=DEADLINE)
            with pytest.raises(ConnectionRefusedError):
                connect(server.address)

    def test_a_kill_of_the_supervisor_kills_the_workers(self) -> None:
        with running() as server:
            before = set(server.os_pids())
            monitors = [process.monitor(place.pid) for place in shared(server.pid).live()]
            process.exit(server.pid, "kill")
            for ref in monitors:
                reason_of(ref)
            assert not children() & before

    def test_no_descriptor_is_left(self) -> None:
        with running() as server:
            worker_of(server.connect())
        before = len(os.listdir("/dev/fd"))
        for _ in range(2):
            with running() as server:
                workers.rolling_restart(server.pid)
        until(lambda: len(os.listdir("/dev/fd")) <= before)  # without the GIL the watchdog may have one for a moment


class TestFailure:
    def start(self, **options: Any) -> None:
        defaults = {
            "handler": f"{HANDLERS}:Identified",
            "workers": 2,
            "port": 0,
            "transport_options": {"ip": "loopback"},
        }
        pid = workers.start_link(**{**defaults, **options})
        Supervisor.stop(pid)

    def test_a_port_in_use_is_an_error_of_the_start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StartError) as failed:
            self.start(port=taken.getsockname()[1])
        assert isinstance(failed.value.__cause__, OSError)

    def test_a_handler_that_only_a_worker_cannot_import_is_one_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "picky.py").write_text(
            f"import sys\nfrom {HANDLERS} import Identified\n"
            "assert 'thousand_island.workers.child' not in sys.modules\n"
        )
        before = children()
        with pytest.raises(StartError) as failed:
            self.start(handler="picky:Identified")
        assert isinstance(_cause(failed.value), WorkerFailed)
        assert str(_cause(failed.value)) == "worker 1: the module 'picky' cannot be imported: AssertionError: "
        assert children() <= before

    def test_a_worker_that_ends_before_it_serves(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "fatal.py").write_text(
            f"import os, sys\nfrom {HANDLERS} import Identified\n"
            "if 'thousand_island.workers.child' in sys.modules: os._exit(7)\n"
        )
        with pytest.raises(StartError) as failed:
            self.start(handler="fatal:Identified")
        assert str(_cause(failed.value)) == "worker 1: has ended before it served: ('exit_status', 7)"

    def test_a_handler_that_attaches_the_logger_itself_can_say_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "logging_itself.py").write_text(
            f"import sys\nfrom {HANDLERS} import Identified\nfrom thousand_island.logger import attach_logger\n"
            "if 'thousand_island.workers.child' in sys.modules: attach_logger('error')\n"
        )
        with pytest.raises(StartError) as failed:
            self.start(handler="logging_itself:Identified")
        assert str(_cause(failed.value)) == "worker 1: the logger is already attached at level 'error'"
        self.start(handler="logging_itself:Identified", log_level=None)

    def test_a_worker_that_is_too_slow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        (tmp_path / "slow.py").write_text(
            f"import signal, sys\nfrom {HANDLERS} import Identified\n"
            "if 'thousand_island.workers.child' in sys.modules: signal.pause()\n"
        )
        before = children()
        with pytest.raises(StartError) as failed:
            self.start(handler="slow:Identified", start_timeout=50)
        assert str(_cause(failed.value)) == "worker 1: does not serve after 50 milliseconds"
        assert children() <= before

    def test_bad_options_start_nothing(self) -> None:
        before = children()
        with pytest.raises(BadOption):
            self.start(workers=0)
        assert children() == before


def _restart_in_vain(pid: Any) -> None:
    with pytest.raises(ServerUnavailable):
        workers.rolling_restart(pid)


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def test_a_supervisor_that_is_killed_while_it_starts_does_not_listen_afterwards(monkeypatch: Any) -> None:
    opened: list[Sharing] = []
    listen = Sharing.open

    def listen_and_die(sharing: Sharing) -> None:
        listen(sharing)
        opened.append(sharing)
        process.exit(process.self(), "kill")

    monkeypatch.setattr(Sharing, "open", listen_and_die)
    with pytest.raises(StartError, match="killed"):
        workers.start_link(handler=f"{HANDLERS}:Identified", port=0, transport_options={"ip": "loopback"})
    (sharing,) = opened
    assert sharing.sockets == []
