"""How a connection ends, as a table: cause, exit reason, callback, whether the socket is open, ``error``, report."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from thousand_island import SocketClosed, endings
from thousand_island.endings import Ending
from thousand_island.results import UNSET

BOOM = ValueError("boom")

TABLE = [
    (endings.LOCAL_CLOSED, ("shutdown", "local_closed"), "handle_close", True, UNSET, False),
    (endings.CLOSED_BY_HANDLER, ("shutdown", "local_closed"), None, False, UNSET, False),
    (endings.PEER_CLOSED, ("shutdown", "peer_closed"), "handle_close", False, UNSET, False),
    (endings.TIMED_OUT, ("shutdown", "read_timeout"), "handle_timeout", True, "timeout", False),
    (endings.SHUTTING_DOWN, "shutdown", "handle_shutdown", True, UNSET, False),
    (endings.STOPPED, "normal", "handle_close", True, UNSET, False),
    (endings.handshake_failed("why"), ("shutdown", ("handshake", "why")), "handle_error", False, "why", False),
    (endings.upgrade_failed("why"), ("shutdown", ("upgrade", "why")), "handle_error", False, "why", False),
    (
        endings.of_error("why", silent=True),
        *(("shutdown", ("silent_termination", "why")), "handle_error", False, "why", False),
    ),
    (endings.of_error("why", silent=False), "why", "handle_error", False, "why", True),
    (endings.of_error("closed", silent=False, crash=False), "closed", "handle_error", False, "closed", False),
    (endings.of_exception(BOOM), BOOM, "handle_error", False, BOOM, True),
]


class TestTheTable:
    @pytest.mark.row("TID-28", "TID-29")
    @pytest.mark.parametrize(("ending", "reason", "callback", "socket_open", "error", "crash"), TABLE)
    def test_each_cause_has_its_reason_callback_and_error(
        self, ending: Ending, reason: Any, callback: str | None, socket_open: bool, error: Any, crash: bool
    ) -> None:
        assert ending == Ending(reason, callback, socket_open, error, crash)
        assert ending.span

    @pytest.mark.row("TID-33")
    def test_what_was_gone_before_it_began_has_neither_callback_nor_span(self) -> None:
        reason = ("shutdown", ("premature_conn_closing", "enotconn"))
        assert endings.premature("enotconn") == Ending(reason, None, socket_open=False, span=False)


class TestErrors:
    @pytest.mark.parametrize("silent", [True, False])
    def test_an_error_called_timeout_is_one(self, silent: bool) -> None:
        assert endings.of_error("timeout", silent=silent) is endings.TIMED_OUT

    def test_only_the_string_is_a_timeout(self) -> None:
        class Timeout:
            __hash__ = None  # type: ignore[assignment]

            def __eq__(self, other: object) -> bool:
                raise AssertionError("a reason is never compared by its own rules")

        reason = Timeout()
        assert endings.of_error(reason, silent=False).reason is reason


class TestFailedReads:
    @pytest.mark.row("TID-73")
    @pytest.mark.parametrize("error", [SocketClosed("end"), ConnectionResetError(104, "reset"), BrokenPipeError()])
    def test_a_connection_that_is_gone_was_closed_by_the_peer(self, error: Exception) -> None:
        assert endings.of_failed_read(error, silent=False) is endings.PEER_CLOSED

    def test_another_error_of_the_system_is_an_error(self) -> None:
        error = OSError(errno.EHOSTUNREACH, "no route")
        assert endings.of_failed_read(error, silent=False) == endings.of_error(
            "ehostunreach", silent=False, crash=False
        )
        assert endings.of_failed_read(error, silent=True) == endings.of_error("ehostunreach", silent=True)

    def test_anything_else_is_an_exception(self) -> None:
        assert endings.of_failed_read(BOOM, silent=True) == endings.of_exception(BOOM)


class TestReasons:
    @pytest.mark.row("TID-30", "TID-32")
    @pytest.mark.parametrize("ending", [endings.LOCAL_CLOSED, endings.PEER_CLOSED, endings.TIMED_OUT])
    def test_the_reasons_of_the_table_mean_what_it_says(self, ending: Ending) -> None:
        assert endings.of_reason(ending.reason) is ending

    @pytest.mark.row("TID-30")
    def test_only_exactly_shutdown_is_a_shutdown(self) -> None:
        assert endings.of_reason("shutdown") is endings.SHUTTING_DOWN
        reason = ("shutdown", "x")
        assert endings.of_reason(reason) == Ending(reason, "handle_close", socket_open=True, error="x")

    @pytest.mark.row("TID-32")
    def test_normal_is_a_local_close(self) -> None:
        assert endings.of_reason("normal") is endings.STOPPED

    @pytest.mark.parametrize("reason", ["boom", "killed", 5, None, ("a", "tuple"), ("shutdown",), BOOM])
    def test_any_other_reason_is_an_error_with_a_report(self, reason: Any) -> None:
        assert endings.of_reason(reason) == Ending(reason, "handle_error", False, reason, crash=True)

    def test_reasons_are_never_compared_by_their_own_rules(self) -> None:
        class Spiteful(tuple[Any, ...]):
            def __eq__(self, other: object) -> bool:
                raise AssertionError

            __hash__ = tuple.__hash__

        reason = Spiteful(("shutdown", "local_closed"))
        assert endings.of_reason(reason).callback == "handle_error"
