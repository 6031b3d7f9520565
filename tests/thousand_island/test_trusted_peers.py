from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from supervision.messages import INFINITY
from tests.thousand_island.serving import Echo
from thousand_island import BadOption, UnknownOption, start_link
from thousand_island.transports import SSL, TCP
from thousand_island.transports.trusted_peers import TrustedPeers


def trusted(*peers: Any) -> TrustedPeers:
    made = TrustedPeers.new("proxy_protocol", list(peers))
    assert made is not None
    return made


class TestInclude:
    @pytest.mark.parametrize(
        ("named", "peer", "included"),
        [
            ("10.0.0.0/8", ("10.1.2.3", 1), True),
            ("10.0.0.0/8", ("11.1.2.3", 1), False),
            ("10.0.0.1", ("10.0.0.1", 1), True),
            ("10.0.0.1", ("10.0.0.2", 1), False),
            ("0.0.0.0/0", ("::1", 1), False),
            ("::/0", ("10.0.0.1", 1), False),
            ("fe80::/10", ("fe80::1%lo", 1), True),
            ("local", ("local", ""), True),
            ("local", ("local", "/run/proxy.sock"), True),
            ("local", ("127.0.0.1", 1), False),
            ("0.0.0.0/0", ("local", ""), False),
            (ipaddress.ip_network("10.0.0.0/8"), ("10.1.2.3", 1), True),
            (ipaddress.ip_address("::1"), ("::1", 1), True),
        ],
    )
    def test_only_those_who_are_named_are_proxies(self, named: Any, peer: Any, included: bool) -> None:
        assert trusted(named).include(peer) is included

    def test_one_of_several_is_enough(self) -> None:
        assert trusted("local", "10.0.0.0/8", "192.0.2.1").include(("192.0.2.1", 1))

    def test_none_means_nobody(self) -> None:
        assert TrustedPeers.new("proxy_protocol", None) is None


class TestRefusals:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (True, "must be a list that names the trusted proxies, such as ['10.0.0.0/8'], got True"),
            ("10.0.0.0/8", "must be a list that names the trusted proxies"),
            ([], "must be a list that names the trusted proxies"),
            ([5], "must have strings, or networks of ipaddress, got 5"),
            ([True], "must have strings, or networks of ipaddress, got True"),
            (["proxy.example"], "'proxy.example' does not appear to be an IPv4 or IPv6 network"),
            (["10.0.0.1/8"], "10.0.0.1/8 has host bits set"),
            (["::ffff:10.0.0.0/104"], "must have the IPv4 network itself"),
        ],
    )
    @pytest.mark.parametrize("transport", [TCP, SSL])
    def test_a_server_is_not_started(self, transport: Any, value: Any, expected: str) -> None:
        options = {"proxy_protocol": value}
        with pytest.raises(BadOption) as refused:
            start_link(handler_module=Echo, port=0, transport_module=transport, transport_options=options)
        assert str(refused.value).startswith("proxy_protocol ")
        assert expected in str(refused.value)

    def test_a_unix_socket_has_no_peers_with_addresses(self) -> None:
        options = {"ip": ("local", "/nowhere/socket"), "proxy_protocol": ["10.0.0.0/8"]}
        with pytest.raises(BadOption, match="proxy_protocol must name 'local' where ip is a unix socket"):
            TCP.check_options(0, options)

    def test_a_misspelt_name_gets_the_right_one(self) -> None:
        with pytest.raises(UnknownOption, match="proxy_protocol"):
            TCP.check_options(0, {"proxy_protocoll": ["10.0.0.0/8"], "send_timeout": INFINITY})
