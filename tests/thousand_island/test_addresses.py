from __future__ import annotations

import socket
from typing import Any

import pytest

from thousand_island.transports.addresses import address_info

NUMBER, INTERFACE = socket.if_nameindex()[0]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("192.0.2.1", 80), ("192.0.2.1", 80)),
        (("2001:db8::1", 80, 0, 0), ("2001:db8::1", 80)),
        (("::ffff:192.0.2.1", 80, 0, 0), ("192.0.2.1", 80)),
        (("fe80::1", 80, 0, NUMBER), (f"fe80::1%{INTERFACE}", 80)),
        (("fe80::1", 80, 0, 1 << 30), (f"fe80::1%{1 << 30}", 80)),
        ("/run/app.sock", ("local", "/run/app.sock")),
        (b"\0abstract", ("local", "\0abstract")),
        ("", ("local", "")),
    ],
)
def test_an_address_is_shown_as_its_peers_would_write_it(address: Any, expected: Any) -> None:
    assert address_info(address) == expected
