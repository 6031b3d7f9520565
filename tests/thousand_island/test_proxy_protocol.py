from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.thousand_island.proxy_headers import (
    CLIENT,
    ENTRANCE,
    LOCAL,
    SIGNATURE,
    UNKNOWN_LINE,
    addresses,
    binary,
    line,
    tlv,
    with_checksum,
)
from thousand_island.errors import BadProxyHeader
from thousand_island.transports.proxy_protocol import HEADER_MOST, LINE_MOST, ProxyHeader, parse
from thousand_island.transports.proxy_tlvs import ClientTLS

LONG = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

# What HAProxy 2.6 sent for a client that had shown a certificate, and the client's first word.
OF_HAPROXY = bytes.fromhex(
    "0d0a0d0a000d0a515549540a211100837f0000017f000001d16e480b0300046cb6000c010003666f6f0200096c6f63616c686f737405000b"
    "373236362d302d7465737420004d0700000000210007544c5376312e33220006636c69656e74250005454332353624001165636473612d77"
    "6974682d534841323536230016544c535f4145535f3235365f47434d5f53484133383468656c6c6f"
)

ports = some.integers(0, 65_535)
hosts_4 = some.ip_addresses(v=4).map(str)
hosts_6 = some.ip_addresses(v=6).filter(lambda host: host.ipv4_mapped is None).map(str)  # type: ignore[union-attr]
paths = some.text(some.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=108)
ends_4 = some.tuples(some.tuples(hosts_4, ports), some.tuples(hosts_4, ports))
ends_6 = some.tuples(some.tuples(hosts_6, ports), some.tuples(hosts_6, ports))
ends_local = some.tuples(some.tuples(some.just("local"), paths), some.tuples(some.just("local"), paths))
vectors = some.lists(
    some.tuples(some.integers(0, 255).filter(lambda kind: kind not in (0x03, 0x20)), some.binary(max_size=99)),
    max_size=5,
)


def binary_of(ends: Any, told: Any) -> bytes:
    source, destination = ends
    family = 0x31 if source[0] == "local" else {4: 0x11, 6: 0x21}[ipaddress.ip_address(source[0]).version]
    return binary(addresses(source, destination), b"".join(tlv(*one) for one in told), family=family)


headers = some.one_of(
    some.builds(lambda ends: line(*ends), some.one_of(ends_4, ends_6)),
    some.builds(binary_of, some.one_of(ends_4, ends_6, ends_local), vectors),
    some.builds(lambda ends, told: with_checksum(binary_of(ends, told)), ends_4, vectors),
    some.sampled_from([UNKNOWN_LINE, LOCAL]),
)


def refused(data: bytes) -> str:
    with pytest.raises(BadProxyHeader) as error:
        parse(data)
    return str(error.value)


class TestAnyHeader:
    @given(headers, some.binary(max_size=200))
    def test_what_follows_belongs_to_the_client(self, header: bytes, data: bytes) -> None:
        found = parse(header + data)
        assert found is not None
        assert found == parse(header)
        assert found[1] == len(header)

    @given(headers, some.data())
    def test_a_part_of_it_is_waited_for(self, header: bytes, data: Any) -> None:
        assert parse(header[: data.draw(some.integers(0, len(header) - 1))]) is None

    @given(headers, some.data(), some.integers(1, 255))
    def test_a_changed_byte_changes_no_other_kind_of_error(self, header: bytes, data: Any, change: int) -> None:
        changed = bytearray(header)
        changed[data.draw(some.integers(0, len(header) - 1))] ^= change
        try:
            parse(bytes(changed))
        except BadProxyHeader:
            pass

    @given(some.binary(max_size=300))
    def test_garbage_is_refused_at_once(self, data: bytes) -> None:
        if data and not b"PROXY ".startswith(data[:6]) and not SIGNATURE.startswith(data[:12]):
            assert "the signature of neither version" in refused(data)

    @pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"P\0", b"\r\n\r\n\r\n"])
    def test_what_other_clients_send_is_refused_at_once(self, data: bytes) -> None:
        assert repr(data[:12]) in refused(data)

    @given(some.sampled_from([b"PROXY ", SIGNATURE]), some.binary(max_size=300))
    def test_garbage_behind_a_signature_is_refused_or_waited_for(self, signature: bytes, data: bytes) -> None:
        try:
            parse(signature + data)
        except BadProxyHeader:
            pass


class TestVersion1:
    @pytest.mark.parametrize(
        ("header", "length", "source", "destination"),
        [
            (
                b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                56,
                ("255.255.255.255", 65_535),
                ("255.255.255.255", 65_535),
            ),
            (f"PROXY TCP6 {LONG} {LONG} 65535 65535\r\n".encode(), 104, (LONG, 65_535), (LONG, 65_535)),
            (b"PROXY UNKNOWN\r\n", 15, None, None),
            (f"PROXY UNKNOWN {LONG} {LONG} 65535 65535\r\n".encode(), 107, None, None),
            (
                b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
                47,
                ("192.168.0.1", 56_324),
                ("192.168.0.11", 443),
            ),
        ],
    )
    def test_the_examples_of_the_specification_are_read(
        self, header: bytes, length: int, source: Any, destination: Any
    ) -> None:
        assert len(header) == length
        assert parse(header + b"GET / HTTP/1.1\r\n") == (ProxyHeader(1, source, destination), length)

    @given(some.one_of(ends_4, ends_6))
    def test_addresses_are_read_as_they_were_written(self, ends: Any) -> None:
        assert parse(line(*ends)) == (ProxyHeader(1, *ends), len(line(*ends)))

    def test_mapped_addresses_are_those_of_ipv4(self) -> None:
        found = parse(b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 56324 443\r\n")
        assert found is not None
        assert found[0] == ProxyHeader(1, CLIENT, ENTRANCE)

    def test_the_rest_of_an_unknown_line_is_ignored(self) -> None:
        data = b"PROXY UNKNOWN whatever \r it \n says\r\n"
        assert parse(data + b"x") == (ProxyHeader(1), len(data))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "UNKNOWNS",
            "TCP4",
            "TCP5 1.2.3.4 1.2.3.4 1 1",
            "tcp4 1.2.3.4 1.2.3.4 1 1",
            "TCP4 1.2.3.4 1.2.3.4 1",
            "TCP4 1.2.3.4 1.2.3.4 1 1 1",
            "TCP4  1.2.3.4 1.2.3.4 1 1",
            "TCP4 1.2.3.4 1.2.3.4 1 1 ",
            "TCP4 1.2.3 1.2.3.4 1 1",
            "TCP4 01.2.3.4 1.2.3.4 1 1",
            "TCP4 1.2.3.256 1.2.3.4 1 1",
            "TCP4 ::1 ::1 1 1",
            "TCP6 1.2.3.4 1.2.3.4 1 1",
            "TCP6 ::1%lo ::1 1 1",
            "TCP6 :::1 ::1 1 1",
            "TCP4 1.2.3.4 1.2.3.4 65536 1",
            "TCP4 1.2.3.4 1.2.3.4 -1 1",
            "TCP4 1.2.3.4 1.2.3.4 +1 1",
            "TCP4 1.2.3.4 1.2.3.4 01 1",
            "TCP4 1.2.3.4 1.2.3.4 1_0 1",
            "TCP4 1.2.3.4 1.2.3.4 1 x",
            "TCP4 1.2.3.4 1.2.3.4 1 ",
            "TCP4 1.2.3.é 1.2.3.4 1 1",
            "TCP4 1.2.3.4 1.2.3.4 1 1\n",
            "TCP4 1.2.3.4 1.2.3.4 1 " + "1" * 50,
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        assert "its line must name UNKNOWN, or TCP4 or TCP6" in refused(b"PROXY " + text.encode() + b"\r\n")

    def test_an_end_of_the_line_that_is_none_is_refused_when_it_is_too_long(self) -> None:
        data = b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n".ljust(LINE_MOST - 1, b" ")
        assert parse(data) is None
        assert "does not end within 107 bytes" in refused(data + b" ")


class TestVersion2:
    def test_a_header_of_haproxy_is_read(self) -> None:
        found = parse(OF_HAPROXY)
        assert found is not None
        header, size = found
        assert OF_HAPROXY[size:] == b"hello"
        assert (header.version, header.source, header.destination) == (2, ("127.0.0.1", 53_614), ("127.0.0.1", 18_443))
        assert (header.alpn, header.authority, header.unique_id) == ("foo", "localhost", b"7266-0-test")
        assert header.netns is None
        assert header.tls == ClientTLS(
            secure=True,
            certificate_shown=True,
            certificate_verified=True,
            version="TLSv1.3",
            common_name="client",
            cipher="TLS_AES_256_GCM_SHA384",
            signature_algorithm="ecdsa-with-SHA256",
            key_algorithm="EC256",
        )
        assert [kind for kind, _ in header.tlvs] == [0x03, 0x01, 0x02, 0x05, 0x20]

    @given(some.one_of(ends_4, ends_6, ends_local), vectors)
    def test_what_was_written_is_read(self, ends: Any, told: Any) -> None:
        data = binary_of(ends, told)
        found = parse(data)
        assert found is not None
        header, size = found
        assert (header.source, header.destination, header.tlvs, size) == (*ends, tuple(told), len(data))

    def test_what_is_not_told_is_none(self) -> None:
        assert parse(binary()) == (ProxyHeader(2, CLIENT, ENTRANCE), 28)

    def test_a_network_namespace_and_a_type_of_somebodys_own_are_told(self) -> None:
        found = parse(binary(tlvs=tlv(0x30, b"blue") + tlv(0xE0, b"\xff")))
        assert found is not None
        assert (found[0].netns, found[0].tlvs) == ("blue", ((0x30, b"blue"), (0xE0, b"\xff")))

    def test_unnamed_unix_sockets_have_no_path(self) -> None:
        found = parse(binary(bytes(216), family=0x31))
        assert found is not None
        assert found[0].source == found[0].destination == ("local", "")

    def test_datagrams_are_addresses_like_others(self) -> None:
        assert parse(binary(family=0x12)) == parse(binary(family=0x11))

    @pytest.mark.parametrize(
        "header",
        [
            LOCAL,
            binary(command=0x20),
            binary(b"whatever follows", command=0x20, family=0x11),
            binary(b"whatever follows", command=0x21, family=0x00),
        ],
    )
    def test_a_proxy_that_speaks_for_itself_or_does_not_know_tells_nothing(self, header: bytes) -> None:
        assert parse(header + b"x") == (ProxyHeader(2), len(header))

    @pytest.mark.parametrize("command", [0x11, 0x31, 0x22, 0x2F, 0x00])
    def test_another_version_or_command_is_refused(self, command: int) -> None:
        assert f"its version and command are {command:#04x}" in refused(binary(command=command))

    @pytest.mark.parametrize("family", [0x13, 0x1F, 0x41, 0xF1, 0x03])
    def test_another_family_or_protocol_is_refused(self, family: int) -> None:
        assert f"its address family and protocol are {family:#04x}" in refused(binary(family=family))

    @pytest.mark.parametrize(("family", "size"), [(0x11, 12), (0x21, 36), (0x31, 216)])
    def test_less_than_the_addresses_is_refused(self, family: int, size: int) -> None:
        expected = f"it has {16 + size - 1} bytes, but its addresses end at {16 + size}"
        assert expected in refused(binary(bytes(size - 1), family=family))

    def test_a_wrong_checksum_is_refused(self) -> None:
        header = bytearray(with_checksum(binary()))
        header[20] ^= 1
        assert "its checksum is" in refused(bytes(header))

    def test_one_that_is_too_large_is_refused_by_its_head(self) -> None:
        most = HEADER_MOST - 16
        assert parse(binary(bytes(most))[:16]) is None
        assert f"it has {HEADER_MOST + 1} bytes, more than {HEADER_MOST}" in refused(binary(bytes(most + 1))[:16])
