from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

import thousand_island
from supervision import StartError, process
from tests.programs import output_of
from tests.thousand_island.serving import SECONDS, Echo, down, exchange, is_closed, receive_exactly, serve, tree
from tests.thousand_island.transports import Plain
from thousand_island import BadOption, Close, Handler
from thousand_island.listening import Listening
from thousand_island.server import shared
from thousand_island.transports import TCP
from thousand_island.transports.listen_socket import ListenSocket

# Linux: an address that is not yet known to be this machine's alone, or known not to be.
IFA_F_UNUSABLE = 0x40 | 0x08


class Whois(Handler):
    """Tells a client who it is, and where it has connected to."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        socket.send(f"{socket.peername()[0]} {socket.sockname()[0]}".encode())
        return Close(state)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def link_local() -> str | None:
    """An IPv6 address of this machine that says nothing without its zone."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return None
    for number, _, _, _, flags, interface in map(str.split, lines):
        address = ipaddress.IPv6Address(bytes.fromhex(number))
        if address.is_link_local and not int(flags, 16) & IFA_F_UNUSABLE:
            return f"{address}%{interface}"
    return None


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def ask(address: tuple[str, int]) -> list[str]:
    with socket.create_connection(address, timeout=SECONDS) as client, client.makefile() as lines:
        return lines.read().split()


def connect_unix(path: str | bytes) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(SECONDS)
    try:
        client.connect(path)
    except BaseException:
        client.close()
        raise
    return client


def cause(failure: BaseException) -> OSError:
    error: BaseException | None = failure
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    assert isinstance(error, OSError)
    return error


def descriptors_of(descriptor: int) -> int:
    """How many descriptors there are of the same file."""
    wanted = os.fstat(descriptor)
    found = 0
    for number in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # of the listing itself
            found += os.path.samestat(os.fstat(int(number)), wanted)
    return found


def start(**options: Any) -> Any:
    options = {"port": 0, "num_acceptors": 2, "handler_module": Echo} | options
    return thousand_island.start_link(**options)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


def local(path: Any, **more: Any) -> dict[str, Any]:
    return {"transport_options": {"ip": ("local", path), **more}}


class TestInternet:
    @pytest.mark.row("TID-60")
    @pytest.mark.parametrize(
        ("ip", "host"),
        [
            ("any", "0.0.0.0"),
            ("loopback", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ((127, 0, 0, 1), "127.0.0.1"),
            ((127, 0, 0, 3), "127.0.0.3"),
        ],
    )
    def test_ipv4(self, ip: Any, host: str) -> None:
        with serve(Whois, transport_options={"ip": ip}) as server:
            assert server.address[0] == host
            seen = "127.0.0.1" if host == "0.0.0.0" else host
            assert ask((seen, server.address[1]))[1] == seen

    @needs_ipv6
    @pytest.mark.row("TID-60", "TID-13")
    @pytest.mark.parametrize("ip", ["::1", (0, 0, 0, 0, 0, 0, 0, 1), "loopback"])
    def test_ipv6(self, ip: Any) -> None:
        with serve(Whois, transport_options={"ip": ip, "inet6": True}) as server:
            assert server.address[0] == "::1"
            assert ask(server.address) == ["::1", "::1"]
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.address[1]), timeout=SECONDS)

    @needs_ipv6
    @pytest.mark.row("TIS-16")
    def test_dual_stack_serves_both_and_shows_ipv4_clients_as_ipv4(self) -> None:
        with serve(Whois, transport_options={"inet6": True}) as server:
            assert server.address[0] == "::"
            assert ask(("127.0.0.1", server.address[1])) == ["127.0.0.1", "127.0.0.1"]
            assert ask(("::1", server.address[1])) == ["::1", "::1"]

    @needs_ipv6
    @pytest.mark.parametrize("ip", ["::ffff:127.0.0.1", (0, 0, 0, 0, 0, 0xFFFF, 0x7F00, 1)])
    def test_ipv4_as_an_ipv6_address_is_served_and_shown_as_ipv4(self, ip: Any) -> None:
        with serve(Whois, transport_options={"ip": ip, "inet6": True}) as server:
            assert server.address[0] == "127.0.0.1"
            assert ask(server.address) == ["127.0.0.1", "127.0.0.1"]

    @pytest.mark.skipif(link_local() is None, reason="this machine has no link-local IPv6 address")
    def test_an_ipv6_address_with_a_zone(self) -> None:
        ip = link_local()
        with serve(Whois, transport_options={"ip": ip}) as server:
            assert server.address[0] == ip
            assert ask(server.address) == [ip, ip]
            with pytest.raises(StartError) as failure:
                start(port=server.address[1], transport_options={"ip": ip})
        assert cause(failure.value).errno == errno.EADDRINUSE
        assert f"{ip} port {server.address[1]}" in str(cause(failure.value))

    @needs_ipv6
    def test_a_zone_that_there_is_not_is_a_start_error_that_names_it(self) -> None:
        with pytest.raises(StartError) as failure:
            start(transport_options={"ip": "fe80::1%nowhere"})
        assert "fe80::1%nowhere port 0" in str(cause(failure.value))

    @pytest.mark.row("TID-12", "TIL-01")
    def test_a_port_in_use_is_a_start_error_that_names_it(self) -> None:
        with serve(Echo) as server:
            port = server.address[1]
            with pytest.raises(StartError) as failure:
                start(port=port, transport_options={"ip": "loopback"})
        assert cause(failure.value).errno == errno.EADDRINUSE
        assert f"127.0.0.1 port {port}" in str(cause(failure.value))

    def test_an_address_of_somebody_else_is_a_start_error(self) -> None:
        with pytest.raises(StartError) as failure:
            start(transport_options={"ip": "192.0.2.1"})
        assert cause(failure.value).errno == errno.EADDRNOTAVAIL


class TestReuseport:
    @pytest.mark.row("TIR-03", "TIR-04", "TIR-05")
    def test_several_sockets_share_the_port_that_the_first_was_given(self) -> None:
        options = {"num_listen_sockets": 3, "num_acceptors": 6}
        with serve(Echo, transport_options={"ip": "loopback", "reuseport": True}, **options) as server:
            sockets = shared(server.pid).sockets
            assert len({listener.fileno() for listener in sockets}) == 3
            assert {listener.sock.getsockname() for listener in sockets} == {server.address}
            for number in range(12):
                with server.connect() as client:
                    assert exchange(client, b"hello %d" % number) == b"hello %d" % number

    def test_all_of_them_are_closed_at_suspend_and_opened_at_resume(self) -> None:
        options = {"num_listen_sockets": 2, "num_acceptors": 2}
        with serve(Echo, transport_options={"ip": "loopback", "reuseport": True}, **options) as server:
            thousand_island.suspend(server.pid)
            with pytest.raises(ConnectionRefusedError):
                server.connect()
            thousand_island.resume(server.pid)
            server.address = thousand_island.listener_info(server.pid)
            with server.connect() as one, server.connect() as other:
                assert exchange(one, b"1") == b"1"
                assert exchange(other, b"2") == b"2"

    @pytest.mark.row("TIR-02")
    def test_a_unix_socket_cannot_be_shared_and_none_is_left(self, path: str) -> None:
        with pytest.raises(StartError) as failure:
            start(num_listen_sockets=2, **local(path, reuseport=True))
        assert cause(failure.value).errno == errno.EADDRINUSE
        assert not os.path.exists(path)


class TestUnixSocket:
    @pytest.mark.row("TID-60", "TID-13")
    def test_it_is_served_and_told(self, path: str) -> None:
        with serve(Echo, **local(path)) as server, connect_unix(path) as client:
            assert server.address == ("local", path)
            assert exchange(client, b"x") == b"x"

    def test_paths_may_be_bytes_and_path_objects(self, tmp_path: Path) -> None:
        for given in (os.fsencode(tmp_path / "bytes"), tmp_path / "object"):
            with serve(Echo, **local(given)) as server:
                assert server.address == ("local", os.fsdecode(given))

    def test_its_clients_are_local(self, path: str) -> None:
        with serve(Whois, **local(path)), connect_unix(path) as client, client.makefile() as lines:
            assert lines.read() == "local local"

    def test_the_file_is_gone_after_stop_and_suspend_and_back_after_resume(self, path: str) -> None:
        with serve(Echo, **local(path)) as server:
            thousand_island.suspend(server.pid)
            assert not os.path.exists(path)
            thousand_island.resume(server.pid)
            with connect_unix(path) as client:
                assert exchange(client, b"x") == b"x"
        assert not os.path.exists(path)

    def test_the_file_is_found_again_from_another_directory(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        with serve(Echo, **local("relative")):
            monkeypatch.chdir("/")
        assert not (tmp_path / "relative").exists()

    def test_a_file_that_somebody_else_has_put_there_since_stays(self, path: str) -> None:
        with serve(Echo, **local(path)):
            os.unlink(path)
            Path(path).write_text("mine")
        assert Path(path).read_text() == "mine"

    @pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
    def test_its_mode_is_what_was_asked_for_whatever_the_umask(self, path: str, mode: int) -> None:
        before = os.umask(0o077)
        try:
            with serve(Echo, **local(path, socket_mode=mode)):
                assert stat.S_IMODE(os.stat(path).st_mode) == mode
        finally:
            os.umask(before)

    def test_nobody_can_connect_before_the_file_has_its_mode(self, path: str, monkeypatch: Any) -> None:
        refused = []

        def chmod(path: Any, mode: int) -> None:
            try:
                connect_unix(path).close()
            except ConnectionRefusedError:
                refused.append(mode)

        monkeypatch.setattr(os, "chmod", chmod)
        with serve(Echo, **local(path, socket_mode=0o660)):
            assert refused == [0o660]

    def test_no_file_is_left_where_the_system_refuses_what_comes_next(self, path: str, monkeypatch: Any) -> None:
        def refuse(*args: Any) -> None:
            assert os.path.exists(path)
            raise OSError(errno.EMFILE, "too many")

        monkeypatch.setattr(ListenSocket, "__init__", refuse)
        with pytest.raises(OSError, match="too many"):
            TCP.listen(0, {"ip": ("local", path)})
        assert not os.path.exists(path)

    def test_a_stale_file_is_replaced(self, path: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(path)
        assert stat.S_ISSOCK(os.stat(path).st_mode)
        with serve(Echo, **local(path)), connect_unix(path) as client:
            assert exchange(client, b"x") == b"x"

    def test_a_live_server_is_left_alone(self, path: str) -> None:
        with serve(Echo, **local(path)):
            with pytest.raises(StartError) as failure:
                start(**local(path))
            assert cause(failure.value).errno == errno.EADDRINUSE
            assert path in str(cause(failure.value))
            with connect_unix(path) as client:
                assert exchange(client, b"x") == b"x"

    def test_a_file_of_another_kind_is_left_alone(self, path: str) -> None:
        Path(path).write_text("precious")
        with pytest.raises(StartError) as failure:
            start(**local(path))
        assert cause(failure.value).errno == errno.EADDRINUSE
        assert Path(path).read_text() == "precious"

    @pytest.mark.skipif(not hasattr(os, "eventfd"), reason="only Linux has them")
    def test_an_abstract_address_needs_no_file(self) -> None:
        address = f"\0thousand island {os.getpid()}"
        with serve(Echo, **local(address)), connect_unix(address) as client:
            assert exchange(client, b"x") == b"x"


class TestDescriptor:
    def test_a_socket_that_listens_already_is_served(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            with serve(Echo, transport_options={"ip": ("fd", listening.fileno())}) as server:
                assert server.address == listening.getsockname()
                with server.connect() as client:
                    assert exchange(client, b"x") == b"x"
            assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)

    def test_clients_wait_in_its_backlog_while_the_server_is_suspended(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listening,
            serve(Echo, transport_options={"ip": ("fd", listening.fileno())}) as server,
        ):
            thousand_island.suspend(server.pid)
            with server.connect() as client:
                client.sendall(b"early")
                thousand_island.resume(server.pid)
                assert receive_exactly(client, 5) == b"early"

    def test_the_file_of_a_unix_socket_that_was_handed_over_stays(self, path: str) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            with serve(Echo, transport_options={"ip": ("fd", listening.fileno())}) as server:
                assert server.address == ("local", path)
        assert os.path.exists(path)

    def test_what_does_not_listen_is_refused_and_not_kept(self, tmp_path: Path) -> None:
        with socket.socket() as idle, open(tmp_path / "file", "w") as file:
            for descriptor in (idle.fileno(), file.fileno(), 10_000):
                with pytest.raises(StartError) as failure:
                    start(transport_options={"ip": ("fd", descriptor)})
                assert f"descriptor {descriptor}" in str(cause(failure.value))
            assert descriptors_of(file.fileno()) == descriptors_of(idle.fileno()) == 1


SERVE_WHAT_WAS_PASSED = """
    import os, socket

    # The first descriptors that this program opens, so they are 3 and 4.
    passed = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    assert [one.fileno() for one in passed] == [3, 4]
    for one in passed:
        one.set_inheritable(True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="http:admin")

    import thousand_island
    from examples.echo import Echo

    options = {{"ip": ("fd", {name!r})}}
    server = thousand_island.start_link(handler_module=Echo, num_acceptors=1, transport_options=options)
    address = thousand_island.listener_info(server)
    with socket.create_connection(address) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    thousand_island.stop(server)
    place = [one.getsockname() for one in passed].index(address)
    print(place, passed[place].get_inheritable())
"""


class TestSystemd:
    @pytest.mark.parametrize(("name", "place"), [("systemd", 0), ("http", 0), ("admin", 1)])
    def test_a_socket_that_it_hands_over_is_found_by_its_name(self, name: str, place: int) -> None:
        assert output_of(SERVE_WHAT_WAS_PASSED.format(name=name, place=place)) == f"{place} False"

    def test_sockets_that_were_meant_for_another_process_are_not_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        with pytest.raises(BadOption, match="was given none"):
            start(transport_options={"ip": ("fd", "systemd")})

    @pytest.mark.parametrize("count", ["", "x", "0", "-1"])
    def test_nothing_is_taken_where_there_is_nothing(self, monkeypatch: pytest.MonkeyPatch, count: str) -> None:
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", count)
        with pytest.raises(BadOption, match="was given none"):
            start(transport_options={"ip": ("fd", "systemd")})

    def test_an_unknown_name_is_refused_with_those_that_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "2")
        monkeypatch.setenv("LISTEN_FDNAMES", "http:admin")
        with pytest.raises(BadOption, match="http, admin"):
            start(transport_options={"ip": ("fd", "htpt")})


class Reopening:
    """Listens anew the moment its lock is released."""

    def __init__(self, listening: Listening) -> None:
        self.listening = listening

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: Any) -> None:
        self.listening.lock = threading.Lock()
        assert self.listening.span is not None
        self.listening.span.stop()
        self.listening.open()


def test_who_closes_the_sockets_while_new_ones_are_opened_leaves_the_turns_of_these_alone() -> None:
    with serve(Echo, transport_module=Plain()) as server:
        listening = shared(server.pid)
        ((_, before),) = listening.listeners
        listening.lock = Reopening(listening)  # type: ignore[assignment]
        assert listening.close_sockets()
        ((_, after),) = listening.listeners
        assert before is not None
        assert after is not None
        assert (before.closed, after.closed) == (True, False)


def test_a_restarted_listener_has_its_unix_socket_back(path: str) -> None:
    with serve(Echo, **local(path)) as server:
        with connect_unix(path) as client:
            assert exchange(client, b"x") == b"x"
            listener = tree(server.pid)["listener"]
            process.exit(listener, "kill")
            assert is_closed(client)
            down(listener)
        assert tree(server.pid)["listener"] is not listener  # answered when all of it runs again
        with connect_unix(path) as client:
            assert exchange(client, b"y") == b"y"
