from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.thousand_island.proxy_headers import addresses, binary, tlv, with_checksum
from thousand_island.errors import BadProxyHeader
from thousand_island.transports.proxy_tlvs import ClientTLS, check_crc32c, client_tls, tlvs

# Where the TLVs of a header with IPv4 addresses begin.
START = 16 + len(addresses())

pairs = some.lists(some.tuples(some.integers(0, 255), some.binary(max_size=300)), max_size=8)


class TestTLVs:
    @given(pairs, some.binary(max_size=20))
    def test_what_was_written_is_read(self, told: list[tuple[int, bytes]], before: bytes) -> None:
        data = before + b"".join(tlv(kind, value) for kind, value in told)
        read = list(tlvs(data, len(before)))
        assert [(kind, value) for kind, _, value in read] == told
        assert all(data[position : position + len(value)] == value for _, position, value in read)

    @given(some.binary(max_size=40))
    def test_garbage_is_read_or_refused(self, data: bytes) -> None:
        try:
            read = list(tlvs(data))
        except BadProxyHeader:
            return
        assert b"".join(tlv(kind, value) for kind, _, value in read) == data

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"\x01", "within the head of a TLV"),
            (b"\x01\x00", "within the head of a TLV"),
            (b"\x01\x00\x02x", "a TLV of type 0x01 has 2 bytes, but 1 are left"),
        ],
    )
    def test_a_vector_that_goes_beyond_the_end_is_refused(self, data: bytes, expected: str) -> None:
        with pytest.raises(BadProxyHeader, match=expected):
            list(tlvs(data))


class TestChecksum:
    @given(pairs)
    def test_the_right_one_is_taken(self, told: list[tuple[int, bytes]]) -> None:
        more = b"".join(tlv(kind, value) for kind, value in told if kind != 3)
        check_crc32c(with_checksum(binary(tlvs=more)), START)

    @given(some.integers(16, 16 + 12 - 1), some.integers(1, 255))
    def test_any_changed_byte_is_found(self, position: int, change: int) -> None:
        header = bytearray(with_checksum(binary(tlvs=tlv(1, b"h2"))))
        header[position] ^= change
        with pytest.raises(BadProxyHeader, match="its checksum is"):
            check_crc32c(bytes(header), START)

    @pytest.mark.parametrize("value", [b"", b"\0\0\0", b"\0" * 5])
    def test_one_that_has_not_four_bytes_is_wrong(self, value: bytes) -> None:
        with pytest.raises(BadProxyHeader, match="its checksum is"):
            check_crc32c(binary(tlvs=tlv(3, value)), START)

    def test_it_may_be_missing(self) -> None:
        check_crc32c(binary(tlvs=tlv(1, b"h2")), START)


class TestClientTLS:
    def test_all_is_told(self) -> None:
        more = [(0x21, b"TLSv1.3"), (0x22, "Zoë".encode()), (0x23, b"suite"), (0x24, b"SHA256"), (0x25, b"RSA2048")]
        value = struct.pack("!BI", 0x07, 0) + b"".join(tlv(*one) for one in more)
        assert client_tls(value) == ClientTLS(True, True, True, "TLSv1.3", "Zoë", "suite", "SHA256", "RSA2048")

    @pytest.mark.parametrize(
        ("client", "verify", "shown", "verified"),
        [(0x01, 0, False, False), (0x03, 0, True, True), (0x05, 0, True, True), (0x03, 1, True, False)],
    )
    def test_a_certificate_that_was_not_shown_is_not_verified(
        self, client: int, verify: int, shown: bool, verified: bool
    ) -> None:
        told = client_tls(struct.pack("!BI", client, verify))
        assert (told.certificate_shown, told.certificate_verified) == (shown, verified)

    def test_a_clear_connection_is_told_too(self) -> None:
        assert client_tls(struct.pack("!BI", 0, 1)) == ClientTLS(False, False, False)

    def test_text_that_is_none_still_shows(self) -> None:
        assert client_tls(struct.pack("!BI", 3, 0) + tlv(0x22, b"a\xff")).common_name == "a\N{REPLACEMENT CHARACTER}"

    @pytest.mark.parametrize("value", [b"", b"\x01\0\0\0", struct.pack("!BI", 1, 0) + b"\x21\0\x05TLS"])
    def test_too_little_is_refused(self, value: bytes) -> None:
        with pytest.raises(BadProxyHeader):
            client_tls(value)
