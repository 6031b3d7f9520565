from __future__ import annotations

import errno
import pickle
import socket
import ssl

import pytest

from thousand_island import errors
from thousand_island.errors import (
    BadOption,
    NotSecure,
    SendTimeout,
    ServerUnavailable,
    SocketClosed,
    SocketTimeout,
    ThousandIslandError,
    reason_string,
)


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "builtin"),
        [
            (errors.AlreadyAttached, ValueError),
            (errors.BadOption, ValueError),
            (errors.MissingOption, TypeError),
            (errors.NotAttached, LookupError),
            (errors.ProtocolNotNegotiated, LookupError),
            (errors.SendTimeout, TimeoutError),
            (errors.ServerUnavailable, LookupError),
            (errors.SocketClosed, ConnectionError),
            (errors.SocketTimeout, TimeoutError),
            (errors.UnknownOption, TypeError),
            (errors.UnsupportedUpgrade, ValueError),
        ],
    )
    def test_error_is_also_the_builtin_that_fits(self, error, builtin):
        assert issubclass(error, builtin)

    def test_every_public_class_derives_from_the_base(self):
        classes = [value for name in errors.__all__ if isinstance(value := getattr(errors, name), type)]
        assert len(classes) == len(errors.__all__) - 1
        assert all(issubclass(cls, ThousandIslandError) for cls in classes)

    def test_send_timeout_keeps_what_was_not_sent(self):
        error = SendTimeout(b"rest")
        assert (error.rest, str(error)) == (b"rest", "4 bytes were not sent before send_timeout ran out")

    def test_send_timeout_joins_the_pieces_that_were_not_sent(self):
        error = SendTimeout(b"re", memoryview(b"first")[2:])
        assert (error.rest, str(error)) == (b"rerst", "5 bytes were not sent before send_timeout ran out")

    def test_send_timeout_survives_pickling(self):
        assert pickle.loads(pickle.dumps(SendTimeout(b"re", memoryview(b"st")))).rest == b"rest"


class TestReasonString:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (SocketClosed(), "closed"),
            (SocketTimeout(), "timeout"),
            (SendTimeout(b""), "timeout"),
            (NotSecure(), "not_secure"),
            (errors.NotOwner(), "not_owner"),
            (errors.ProtocolNotNegotiated(), "protocol_not_negotiated"),
            (errors.UnsupportedUpgrade(), "unsupported_upgrade"),
        ],
    )
    def test_errors_of_the_library_have_a_short_name(self, error, reason):
        assert reason_string(error) == reason

    @pytest.mark.parametrize(
        "name", ["EMFILE", "ENFILE", "ECONNABORTED", "EINVAL", "EOPNOTSUPP", "EAGAIN", "ETIMEDOUT", "ENOENT", "EPROTO"]
    )
    def test_os_error_is_known_by_its_errno_in_lower_case(self, name):
        assert reason_string(OSError(getattr(errno, name), "some text")) == name.lower()

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (ConnectionResetError(), "econnreset"),
            (BrokenPipeError(), "epipe"),
            (ConnectionRefusedError(), "econnrefused"),
            (TimeoutError("timed out"), "timeout"),
        ],
    )
    def test_os_error_without_an_errno_is_known_by_its_class(self, error, reason):
        assert reason_string(error) == reason

    @pytest.mark.parametrize("error", [ssl.SSLZeroReturnError(), ssl.SSLEOFError(8, "EOF occurred")])
    def test_end_of_a_tls_connection_is_closed(self, error):
        assert reason_string(error) == "closed"

    def test_name_that_does_not_resolve_is_nxdomain(self):
        assert reason_string(socket.gaierror(socket.EAI_NONAME, "unknown")) == "nxdomain"

    @pytest.mark.parametrize(
        "error",
        [
            ssl.SSLError(1, "wrong version number"),
            ssl.SSLCertVerificationError(1, "self-signed certificate"),
            OSError("no errno"),
            OSError(99_999, "no such errno"),
            KeyError("x"),
            BadOption("x"),
            ServerUnavailable(),
            ("tagged", 1),
            "nope",
            None,
        ],
    )
    def test_anything_else_stays_what_it_is(self, error):
        assert reason_string(error) is error
