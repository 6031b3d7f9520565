from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
import socket

import pytest

from supervision.messages import INFINITY
from thousand_island.errors import BadOption, UnknownOption
from thousand_island.transports.listen_address import ListenAddress
from thousand_island.transports.listen_options import OPTION_NAMES, ListenOptions

IPV4 = socket.AF_INET
IPV6 = socket.AF_INET6

# How it is written depends on the version of Python.
MAPPED = str(ipaddress.IPv6Address("::ffff:192.0.2.1"))


def address(port=80, **options):
    return ListenOptions.new(port, options).address


def binds(path):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind(path)
        except OSError:
            return False
        return True


class TestDefaults:
    def test_defaults_are_those_of_the_original(self):
        options = ListenOptions.new(4000, {})
        assert dataclasses.asdict(options) | {"address": None} == {
            "address": None,
            "backlog": 1024,
            "nodelay": True,
            "linger": (True, 30),
            "send_timeout": 30_000,
            "send_timeout_close": True,
            "reuseaddr": True,
            "reuseport": False,
            "keepalive": False,
            "recbuf": None,
            "sndbuf": None,
            "buffer": None,
            "socket_mode": None,
            "proxy_protocol": None,
        }

    def test_without_ip_every_ipv4_interface_is_meant(self):
        assert address(4000) == ListenAddress(IPV4, ("0.0.0.0", 4000))


class TestAddress:
    @pytest.mark.parametrize(
        ("ip", "expected"),
        [
            ("any", ListenAddress(IPV4, ("0.0.0.0", 80))),
            ("loopback", ListenAddress(IPV4, ("127.0.0.1", 80))),
            ("192.0.2.1", ListenAddress(IPV4, ("192.0.2.1", 80))),
            ((192, 0, 2, 1), ListenAddress(IPV4, ("192.0.2.1", 80))),
            ("2001:DB8::1", ListenAddress(IPV6, ("2001:db8::1", 80))),
            ((0x2001, 0xDB8, 0, 0, 0, 0, 0, 1), ListenAddress(IPV6, ("2001:db8::1", 80))),
            ("fe80::1%lo", ListenAddress(IPV6, ("fe80::1%lo", 80))),
            ("::1", ListenAddress(IPV6, ("::1", 80))),
            ("::", ListenAddress(IPV6, ("::", 80), dual_stack=True)),
            ((0,) * 8, ListenAddress(IPV6, ("::", 80), dual_stack=True)),
            ("::ffff:192.0.2.1", ListenAddress(IPV6, (MAPPED, 80), dual_stack=True)),
            ((0, 0, 0, 0, 0, 0xFFFF, 0xC000, 0x0201), ListenAddress(IPV6, (MAPPED, 80), dual_stack=True)),
            (("fd", 3), ListenAddress(None, None, fd=3)),
        ],
    )
    def test_ip_names_the_address_to_bind(self, ip, expected):
        assert address(ip=ip) == expected

    @pytest.mark.parametrize(
        ("ip", "expected"),
        [
            ("any", ListenAddress(IPV6, ("::", 80), dual_stack=True)),
            ("loopback", ListenAddress(IPV6, ("::1", 80))),
            ("2001:db8::1", ListenAddress(IPV6, ("2001:db8::1", 80))),
        ],
    )
    def test_inet6_chooses_the_ipv6_address(self, ip, expected):
        assert address(ip=ip, inet6=True) == expected

    def test_inet6_alone_serves_both_families(self):
        assert address(inet6=True) == ListenAddress(IPV6, ("::", 80), dual_stack=True)

    @pytest.mark.parametrize("path", ["/run/app.sock", b"/run/app.sock", pathlib.Path("/run/app.sock"), "\0abstract"])
    def test_local_names_the_path_of_a_unix_socket(self, path):
        expected = str(path) if isinstance(path, pathlib.Path) else path
        assert address(0, ip=("local", path)) == ListenAddress(socket.AF_UNIX, expected)

    @pytest.mark.parametrize(
        "ip",
        [
            "localhost",
            "",
            "256.0.0.1",
            "1.2.3",
            None,
            2130706433,
            b"127.0.0.1",
            ["any"],
            (1, 2, 3),
            (1, 2, 3, 256),
            (1, 2, 3, -1),
            (1, 2, 3, True),
            (1, 2, 3, 4.0),
            (0, 0, 0, 0, 0, 0, 0, 65_536),
            (),
            ("local",),
        ],
    )
    def test_what_is_no_address_is_refused_with_what_would_be(self, ip):
        with pytest.raises(BadOption, match=r"ip must be 'any', 'loopback', an IP address, a tuple of 4 or 8 numbers"):
            address(ip=ip)

    @pytest.mark.parametrize("path", ["", b"", None, 5])
    def test_unix_socket_without_a_path_is_refused(self, path):
        with pytest.raises(BadOption, match=r"ip must be \('local', path\)"):
            address(0, ip=("local", path))

    @pytest.mark.parametrize("fd", [-1, True, 3.0, None])
    def test_descriptor_that_is_no_number_is_refused(self, fd):
        with pytest.raises(BadOption, match=r"ip must be \('fd', n\)"):
            address(ip=("fd", fd))

    def test_unix_socket_with_a_port_is_refused(self):
        with pytest.raises(BadOption, match="port must be 0 where ip is a unix socket, got 4000"):
            address(4000, ip=("local", "/run/app.sock"))

    def test_unix_socket_with_inet6_is_refused(self):
        with pytest.raises(BadOption, match="inet6 must be False where ip is a unix socket"):
            address(0, ip=("local", "/run/app.sock"), inet6=True)

    def test_ipv4_address_with_inet6_is_refused(self):
        with pytest.raises(BadOption, match=r"ip must be an IPv6 address where inet6 is True, got '127\.0\.0\.1'"):
            address(ip="127.0.0.1", inet6=True)

    @pytest.mark.parametrize("ip", ["::", "::1", "::ffff:127.0.0.1", (0,) * 8])
    def test_ipv6_address_without_inet6_is_refused_where_that_is_said(self, ip):
        with pytest.raises(BadOption, match="ip must be an IPv4 address where inet6 is False, got"):
            address(ip=ip, inet6=False)

    @pytest.mark.parametrize("ip", ["any", "loopback", "127.0.0.1", (127, 0, 0, 1)])
    def test_ipv4_may_be_asked_for(self, ip):
        assert address(ip=ip, inet6=False) == address(ip=ip)

    @pytest.mark.parametrize("path", ["/tmp/a\0b", b"a\0", pathlib.Path("/tmp/a\0b")])
    def test_path_with_a_zero_byte_is_refused(self, path):
        with pytest.raises(BadOption, match="a path that has no zero byte in it"):
            address(0, ip=("local", path))

    @pytest.mark.parametrize("first", ["x", "\0"])
    def test_path_is_refused_that_is_longer_than_the_system_takes(self, first, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        longest = max(length for length in range(90, 120) if binds(first.ljust(length, "x")))
        assert address(0, ip=("local", first.ljust(longest, "x")))
        with pytest.raises(BadOption, match=f"a path of at most {longest} bytes, got {longest + 1}"):
            address(0, ip=("local", first.ljust(longest + 1, "x")))
        with pytest.raises(BadOption, match=f"a path of at most {longest} bytes"):
            address(0, ip=("local", first.ljust(longest, "é")))


class TestValues:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("backlog", 1),
            ("nodelay", False),
            ("linger", (False, 0)),
            ("send_timeout", 0),
            ("send_timeout", INFINITY),
            ("send_timeout_close", False),
            ("reuseaddr", False),
            ("reuseport", True),
            ("keepalive", True),
            ("recbuf", 4096),
            ("sndbuf", 4096),
            ("buffer", 4096),
            ("buffer", None),
        ],
    )
    def test_option_overrides_its_default(self, name, value):
        assert getattr(ListenOptions.new(0, {name: value}), name) == value

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("backlog", 0, "a whole number, at least 1"),
            ("backlog", 1.5, "a whole number, at least 1"),
            ("nodelay", 1, "True or False"),
            ("linger", True, "a pair of a bool and a whole number of seconds"),
            ("linger", (True, 0.5), "a pair of a bool and a whole number of seconds"),
            ("linger", (True, -1), "a pair of a bool and a whole number of seconds"),
            ("linger", (True, 2_147_484), "a pair of a bool and a whole number of seconds, at most 2147483"),
            ("backlog", 2**31, "less than 2**31"),
            ("sndbuf", 2**40, "less than 2**31"),
            ("linger", (True, True), "a pair of a bool and a whole number of seconds"),
            ("linger", (1, 30), "a pair of a bool and a whole number of seconds"),
            ("send_timeout", 0.5, "a whole number of milliseconds or INFINITY"),
            ("send_timeout", -1, "a whole number of milliseconds or INFINITY"),
            ("send_timeout_close", None, "True or False"),
            ("reuseaddr", "yes", "True or False"),
            ("reuseport", 0, "True or False"),
            ("keepalive", 7200, "True or False"),
            ("inet6", "yes", "True or False"),
            ("recbuf", 0, "a whole number, at least 1"),
            ("sndbuf", -1, "a whole number, at least 1"),
            ("buffer", "64k", "a whole number, at least 1"),
            ("socket_mode", 0o1777, "file permissions from 0 to 0o777"),
            ("socket_mode", "660", "file permissions from 0 to 0o777"),
        ],
    )
    def test_wrong_value_is_refused_with_its_name_and_what_was_expected(self, name, value, expected):
        with pytest.raises(BadOption) as caught:
            ListenOptions.new(0, {name: value})
        assert str(caught.value).startswith(f"{name} must be {expected}")
        assert str(caught.value).endswith(f", got {value!r}")

    def test_socket_mode_is_taken_for_a_unix_socket(self):
        assert ListenOptions.new(0, {"ip": ("local", "/run/app.sock"), "socket_mode": 0o660}).socket_mode == 0o660

    @pytest.mark.parametrize("ip", ["any", ("fd", 3)])
    def test_socket_mode_of_anything_but_a_unix_socket_is_refused(self, ip):
        with pytest.raises(BadOption, match="socket_mode is for unix sockets"):
            ListenOptions.new(0, {"ip": ip, "socket_mode": 0o660})


class TestNames:
    def test_unknown_name_is_refused_with_the_nearest_one(self):
        with pytest.raises(UnknownOption, match="unknown option 'no_delay'; did you mean 'nodelay'"):
            ListenOptions.new(0, {"no_delay": True})

    def test_extra_names_are_let_through_unread(self):
        assert ListenOptions.new(0, {"certfile": object()}, {"certfile"}) == ListenOptions.new(0, {})

    def test_extra_names_are_offered_as_nearest_ones(self):
        with pytest.raises(UnknownOption, match="did you mean 'certfile'"):
            ListenOptions.new(0, {"cert_file": "x"}, {"certfile"})

    @pytest.mark.parametrize(("name", "value"), [("mode", "binary"), ("mode", "list"), ("active", False)])
    def test_options_with_one_possible_value_cannot_be_set(self, name, value):
        with pytest.raises(BadOption, match=f"{name} cannot be set in transport_options"):
            ListenOptions.new(0, {name: value}, {"certfile"})

    @pytest.mark.parametrize("options", [None, [("nodelay", True)], {1: 2}])
    def test_options_that_are_no_dict_of_names_are_refused(self, options):
        with pytest.raises(BadOption, match="transport_options must be a dict"):
            ListenOptions.new(0, options)

    def test_every_field_is_an_option_or_made_of_some(self):
        fields = {field.name for field in dataclasses.fields(ListenOptions)}
        assert fields - {"address"} == OPTION_NAMES - {"ip", "inet6"}
