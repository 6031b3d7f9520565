"""Files, options and information of the Socket that handlers get, over TCP."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from supervision import process
from tests.supervision.supervised import until
from tests.thousand_island.puppet import Order, Puppet, Strings, perform, puppet
from tests.thousand_island.serving import DEADLINE, events_of, message, receive_exactly, strike
from thousand_island import (
    BadOption,
    NotSecure,
    ProtocolNotNegotiated,
    SendTimeout,
    SocketStats,
    UnknownOption,
    UnsupportedUpgrade,
)
from thousand_island.transports import TCP


@pytest.fixture
def strings() -> Any:
    with puppet() as strings:
        yield strings


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


class TestSendfile:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "file"
        path.write_bytes(b"ABCDEF")
        return path

    @pytest.mark.row("TIK-10", "TID-50")
    def test_parts_of_files_are_sent(self, file: Path) -> None:
        with events_of(Puppet) as events, puppet() as strings:
            descriptors = len(os.listdir("/dev/fd"))
            assert strings.do(lambda s: (s.sendfile(file, 0, 6), s.sendfile(str(file), 1, 3))) == (6, 3)
            assert receive_exactly(strings.client, 9) == b"ABCDEFBCD"
            until(lambda: len(os.listdir("/dev/fd")) == descriptors)  # the watchdog may have one for a moment
            measurements, metadata = events.wait("connection.sendfile")
            assert measurements == {"filename": file, "offset": 0, "bytes_written": 6}
            assert metadata.keys() == {"handler", "telemetry_span_context"}

    def test_a_kill_leaves_no_file_open(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[int] = []

        def opening(path: Any, *args: Any) -> int:
            descriptor = os_open(path, *args)
            if path is file:
                strike(process.self())
                opened.append(descriptor)
            return descriptor

        os_open = os.open
        monkeypatch.setattr(os, "open", opening)
        with puppet() as strings:
            process.send(strings.pid, Order(lambda socket: socket.sendfile(file), process.self()))
            assert receive_exactly(strings.client, 1) == b""
            until(lambda: opened and not is_open(opened[0]))

    @pytest.mark.parametrize(("offset", "length", "sent"), [(0, 0, 6), (2, 0, 4), (6, 0, 0), (9, 0, 0), (4, 100, 2)])
    def test_zero_is_to_the_end_and_no_more_than_there_is(
        self, strings: Strings, file: Path, offset: int, length: int, sent: int
    ) -> None:
        assert strings.do(lambda s: s.sendfile(file, offset, length)) == sent
        assert receive_exactly(strings.client, sent) == b"ABCDEF"[offset : offset + sent]
        assert strings.do(lambda s: s.getstat()).send_oct == sent

    @pytest.mark.row("TIK-11")
    def test_a_large_file_is_sent_whole(self, strings: Strings, tmp_path: Path) -> None:
        path = tmp_path / "large"
        size = 64 << 20
        with path.open("wb") as file:
            file.truncate(size)
        order = Order(lambda s: s.sendfile(path), process.self())
        process.send(strings.pid, order)
        assert receive_exactly(strings.client, size) == bytes(size)
        assert process.receive(lambda message: message[0] is order, timeout=DEADLINE)[2] == size

    @pytest.mark.row("TID-50")
    def test_a_failure_is_told_as_an_event(self) -> None:
        with events_of(Puppet) as events, puppet() as strings:
            with pytest.raises(FileNotFoundError):
                strings.do(lambda s: s.sendfile("/does/not/exist", 1, 2))
            measurements, _ = events.wait("connection.sendfile_error")
            assert measurements.keys() == {"monotonic_time", "filename", "offset", "length", "error"}
            del measurements["monotonic_time"]
            assert measurements == {"filename": "/does/not/exist", "offset": 1, "length": 2, "error": "enoent"}

    @pytest.mark.parametrize("length", [0, 2])
    @pytest.mark.parametrize("has_a_writer", [False, True])
    def test_a_fifo_is_refused_by_name_and_not_waited_for(
        self, strings: Strings, tmp_path: Path, length: int, has_a_writer: bool
    ) -> None:
        path = tmp_path / "fifo"
        os.mkfifo(path)
        with contextlib.ExitStack() as stack:
            if has_a_writer:
                stack.callback(os.close, os.open(path, os.O_RDWR))
            with pytest.raises(OSError, match="fifo") as caught:
                strings.do(lambda s: s.sendfile(path, 0, length))
        assert (caught.value.errno, caught.value.filename) == (errno.ESPIPE, str(path))

    @pytest.mark.parametrize("length", [0, 2])
    def test_a_directory_is_refused_by_name(self, strings: Strings, tmp_path: Path, length: int) -> None:
        with pytest.raises(IsADirectoryError) as caught:
            strings.do(lambda s: s.sendfile(tmp_path, 0, length))
        assert caught.value.filename == str(tmp_path)

    def test_a_unix_socket_is_refused_by_name(self, strings: Strings, tmp_path: Path) -> None:
        path = str(tmp_path / "neighbour")
        with socket.socket(socket.AF_UNIX) as neighbour:
            neighbour.bind(path)
            with pytest.raises(OSError, match="neighbour"):
                strings.do(lambda s: s.sendfile(path))

    def test_a_device_is_of_no_length(self, strings: Strings) -> None:
        assert strings.do(lambda s: s.sendfile(os.devnull)) == 0

    @pytest.mark.parametrize(("offset", "length"), [(-1, 0), (0, -1), (0.5, 0)])
    def test_wrong_numbers_are_refused(self, strings: Strings, offset: Any, length: Any) -> None:
        with pytest.raises((TypeError, ValueError), match=r"offset|length"):
            strings.do(lambda s: s.sendfile(__file__, offset, length))

    def test_a_client_that_does_not_read_costs_send_timeout(self, tmp_path: Path) -> None:
        path = tmp_path / "large"
        with path.open("wb") as file:
            file.truncate(50 << 20)
        with puppet(transport_options={"ip": "loopback", "send_timeout": 50}) as strings, pytest.raises(SendTimeout):
            strings.do(lambda s: s.sendfile(path))


class TestOptions:
    @pytest.mark.row("TID-58")
    def test_the_defaults_are_upstreams(self, strings: Strings) -> None:
        names = ["nodelay", "linger", "send_timeout", "send_timeout_close", "keepalive"]
        assert strings.do(lambda s: s.getopts(names)) == {
            "nodelay": True,
            "linger": (True, 30),
            "send_timeout": 30_000,
            "send_timeout_close": True,
            "keepalive": False,
        }

    @pytest.mark.row("TID-58")
    def test_transport_options_override_them(self) -> None:
        options = {"ip": "loopback", "nodelay": False, "keepalive": True, "send_timeout": 1_230, "linger": (False, 0)}
        with puppet(transport_options=options) as strings:
            names = ["nodelay", "keepalive", "send_timeout", "linger"]
            assert strings.do(lambda s: s.getopts(names)) == {name: options[name] for name in names}

    @pytest.mark.row("TIS-15")
    def test_what_is_fixed_can_be_asked_but_not_set(self, strings: Strings) -> None:
        assert strings.do(lambda s: s.getopts(["mode", "active"])) == {"mode": "binary", "active": False}
        with pytest.raises(BadOption, match="mode cannot be changed"):
            strings.do(lambda s: s.setopts({"mode": "list"}))

    def test_what_is_no_list_of_names_is_refused(self, strings: Strings) -> None:
        for names in ("nodelay", 5):
            with pytest.raises(BadOption, match=f"names must be a list of option names, got {names!r}"):
                strings.do(lambda s, names=names: s.getopts(names))

    def test_what_is_no_dict_is_refused(self, strings: Strings) -> None:
        with pytest.raises(BadOption, match="options must be a dict of option names and values, got 5"):
            strings.do(lambda s: s.setopts(5))

    def test_they_can_be_changed_for_one_connection(self, strings: Strings) -> None:
        with strings.server.connect():
            other = message()[1]
            strings.do(lambda s: s.setopts({"nodelay": False, "send_timeout": 5}))
            names = ["nodelay", "send_timeout"]
            assert strings.do(lambda s: s.getopts(names)) == {"nodelay": False, "send_timeout": 5}
            assert perform(other, lambda s: s.getopts(names)) == {"nodelay": True, "send_timeout": 30_000}

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"no_such": 1}, UnknownOption),
            ({"nodelay": 1}, BadOption),
            ({"send_timeout": 0.5}, BadOption),
            ({"linger": 5}, BadOption),
            ({"linger": (True, -1)}, BadOption),
            ({"buffer": 0}, BadOption),
            ({"recbuf": "big"}, BadOption),
            ({"recbuf": 2**40}, BadOption),
        ],
        ids=repr,
    )
    def test_wrong_ones_are_refused_and_none_is_set(self, strings: Strings, options: Any, error: Any) -> None:
        with pytest.raises(error, match=next(iter(options))):
            strings.do(lambda s: s.setopts({"keepalive": True, **options}))
        assert strings.do(lambda s: s.getopts(["keepalive"])) == {"keepalive": False}

    def test_an_unknown_name_cannot_be_asked(self, strings: Strings) -> None:
        with pytest.raises(UnknownOption, match="no_such"):
            strings.do(lambda s: s.getopts(["no_such"]))


class TestInformation:
    @pytest.mark.row("TIK-09")
    def test_both_ends_are_known(self, strings: Strings) -> None:
        assert strings.do(lambda s: (s.sockname(), s.peername())) == (
            strings.client.getpeername(),
            strings.client.getsockname(),
        )

    @pytest.mark.row("TIK-09")
    def test_a_clear_connection_is_not_secure(self, strings: Strings) -> None:
        assert strings.do(lambda s: s.secure) is False
        for function, error in [
            (lambda s: s.peercert(), NotSecure),
            (lambda s: s.connection_information(), NotSecure),
            (lambda s: s.negotiated_protocol(), ProtocolNotNegotiated),
        ]:
            with pytest.raises(error):
                strings.do(function)

    def test_it_cannot_be_upgraded_to_clear_tcp(self, strings: Strings) -> None:
        with pytest.raises(UnsupportedUpgrade):
            strings.do(lambda s: s.upgrade(TCP, {}))

    def test_a_handshake_does_nothing(self, strings: Strings) -> None:
        assert strings.do(lambda s: s.handshake() is s)

    def test_what_goes_over_it_is_counted(self, strings: Strings) -> None:
        strings.client.sendall(b"12345")
        strings.do(lambda s: (s.recv(5, DEADLINE), s.send(b"123"), s.send([b"4", b"5"])))
        assert strings.do(lambda s: s.getstat()) == SocketStats(recv_oct=5, recv_cnt=1, send_oct=5, send_cnt=2)

    def test_its_span_has_begun(self, strings: Strings) -> None:
        assert strings.do(lambda s: s.telemetry_span.name) == "connection"
