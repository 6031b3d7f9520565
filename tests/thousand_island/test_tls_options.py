from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.thousand_island.serving import Echo
from thousand_island import BadOption, MissingOption, UnknownOption, start_link
from thousand_island.transports import SSL
from thousand_island.transports.tls_options import Identity, TLSOptions

FILES = {"certfile": "cert.pem", "keyfile": "key.pem"}


def parse(**options: Any) -> TLSOptions:
    return TLSOptions.new({**FILES, **options})


class TestDefaults:
    def test_certificate_and_key_are_enough(self) -> None:
        assert parse() == TLSOptions(identity=Identity("cert.pem", "key.pem"))

    def test_options_of_tcp_are_not_looked_at(self) -> None:
        assert parse(ip="nonsense", backlog=-1) == parse()

    def test_none_is_as_if_not_given(self) -> None:
        assert parse(password=None, versions=None, ciphers=None, sni_fun=None) == parse()


class TestRequired:
    @pytest.mark.row("TID-61")
    @pytest.mark.parametrize("name", ["keyfile", "certfile"])
    def test_certificate_and_key_are_required(self, name: str) -> None:
        given = {other: path for other, path in FILES.items() if other != name}
        with pytest.raises(MissingOption, match=f"transport_options must include one of {name}, context, sni_hosts"):
            TLSOptions.new(given)

    @pytest.mark.row("TID-61")
    @pytest.mark.parametrize(
        "option", [{"context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, {"sni_hosts": {}}, {"sni_fun": print}]
    )
    def test_another_place_for_certificates_is_enough(self, option: dict[str, Any]) -> None:
        assert TLSOptions.new(option).identity == Identity()

    def test_certificate_without_key_is_refused_although_there_is_another_place(self) -> None:
        with pytest.raises(BadOption, match="certfile and keyfile need each other"):
            TLSOptions.new({"certfile": "cert.pem", "sni_fun": print})


class TestValues:
    @pytest.mark.parametrize(
        ("option", "value", "expected"),
        [
            ("certfile", 5, "the path of a file"),
            ("keyfile", ["key.pem"], "the path of a file"),
            ("cacertfile", 1.5, "the path of a file"),
            ("password", 5, "a string, bytes or a function"),
            ("verify", "always", "'none' or 'peer'"),
            ("verify", True, "'none' or 'peer'"),
            ("fail_if_no_peer_cert", 1, "True or False"),
            ("alpn_preferred_protocols", "h2", "a list of protocol names"),
            ("alpn_preferred_protocols", [], "a list of protocol names"),
            ("alpn_preferred_protocols", [b"h2"], "a list of protocol names"),
            ("alpn_preferred_protocols", ["é"], "a list of protocol names"),
            ("alpn_preferred_protocols", ["x" * 256], "a list of protocol names"),
            ("versions", "TLSv1.3", "a list of 'TLSv1.2' and 'TLSv1.3'"),
            ("versions", [], "a list of 'TLSv1.2' and 'TLSv1.3'"),
            ("versions", ["TLSv1"], "a list of 'TLSv1.2' and 'TLSv1.3'"),
            ("ciphers", "NONSENSE", "no cipher suite that OpenSSL has"),
            ("ciphers", 5, "a string in OpenSSL's format"),
            ("session_tickets", "stateful", "'disabled' or 'stateless'"),
            ("session_tickets", True, "'disabled' or 'stateless'"),
            ("session_tickets", 2, "'disabled' or 'stateless'"),
            ("context", "default", "an ssl.SSLContext for servers"),
            ("context", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "an ssl.SSLContext for servers"),
            ("sni_hosts", [("a", {})], "a dict"),
            ("sni_hosts", {"a": 5}, "a dict"),
            ("sni_fun", "name", "callable"),
        ],
    )
    def test_wrong_value_is_refused_with_what_was_expected(self, option: str, value: Any, expected: str) -> None:
        with pytest.raises(BadOption) as refusal:
            parse(**{option: value})
        assert option in str(refusal.value)
        assert expected in str(refusal.value)

    def test_paths_may_be_of_any_kind(self) -> None:
        identity = parse(certfile=Path("a.pem"), keyfile=b"b.pem").identity
        assert (identity.certfile, identity.keyfile) == ("a.pem", "b.pem")

    def test_ciphers_may_be_a_list(self) -> None:
        ciphers = ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]
        assert parse(ciphers=ciphers).ciphers == ":".join(ciphers)

    @pytest.mark.parametrize("password", ["secret", b"secret", bytearray(b"secret")])
    def test_password_is_never_shown(self, password: Any) -> None:
        options = parse(password=password)
        assert options.identity.password
        assert "secret" not in repr(options)

    def test_options_can_be_compared_and_hashed(self) -> None:
        one = parse(alpn_preferred_protocols=["h2"], versions=["TLSv1.3"], sni_hosts={"a.example": FILES})
        other = parse(alpn_preferred_protocols=("h2",), versions=("TLSv1.3",), sni_hosts={"A.example": FILES})
        assert one == other
        assert len({one, other}) == 1


class TestCombinations:
    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"fail_if_no_peer_cert": True}, "fail_if_no_peer_cert needs verify='peer'"),
            ({"verify": "peer"}, "verify='peer' needs cacertfile"),
            ({"sni_hosts": {"a": FILES}, "sni_fun": print}, "cannot be combined"),
            ({"context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "set certfile, keyfile on it instead"),
        ],
    )
    def test_contradiction_is_refused(self, options: dict[str, Any], why: str) -> None:
        with pytest.raises(BadOption, match=why):
            parse(**options)


class TestSniHosts:
    def test_host_has_the_authorities_and_protocols_of_the_server_unless_it_has_its_own(self) -> None:
        options = parse(
            cacertfile="ca.pem",
            alpn_preferred_protocols=["h2"],
            password="of the server only",
            sni_hosts={"a": {**FILES}, "b": {**FILES, "alpn_preferred_protocols": ["foo"], "cacertfile": "b.pem"}},
        )
        assert dict(options.sni_hosts) == {
            "a": Identity("cert.pem", "key.pem", None, "ca.pem", ("h2",)),
            "b": Identity("cert.pem", "key.pem", None, "b.pem", ("foo",)),
        }

    def test_host_without_certificate_is_refused(self) -> None:
        with pytest.raises(MissingOption, match=r"sni_hosts\['a'\] must include certfile"):
            parse(sni_hosts={"a": {"keyfile": "key.pem"}})

    def test_unknown_option_of_a_host_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(UnknownOption, match="did you mean 'certfile'"):
            parse(sni_hosts={"a": {**FILES, "cerfile": "x"}})

    def test_host_may_have_a_ready_context(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert parse(sni_hosts={"a": context}).sni_hosts == (("a", context),)


class TestStart:
    """What is wrong is refused before anything is started."""

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({}, TypeError),
            ({**FILES, "cerfile": "x"}, TypeError),
            ({**FILES, "verify": 1}, ValueError),
            ({**FILES, "backlog": -1}, ValueError),
            ({**FILES, "mode": "list"}, ValueError),
            ({**FILES, "active": True}, ValueError),
        ],
    )
    @pytest.mark.row("TIS-19")
    def test_bad_options_are_refused_at_once(self, options: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            start_link(port=0, handler_module=Echo, transport_module=SSL, transport_options=options)
