from __future__ import annotations

from typing import Any

import pytest

from supervision import exits
from supervision.errors import ProcessExit
from supervision.exits import Delivery

CRASH = ValueError("boom")

QUIET: list[Any] = ["normal", "shutdown", ("shutdown", "local_closed"), ("shutdown", None), ("shutdown", CRASH)]
LOUD: list[Any] = [
    "kill",
    "killed",
    "noproc",
    "boom",
    "",
    None,
    0,
    CRASH,
    (),
    ("shutdown",),
    ("shutdown", 1, 2),
    ("normal", 1),
    ["shutdown", 1],
    ("x", "shutdown"),
]
ANY: list[Any] = [*QUIET, *LOUD]


class Hostile:
    """A reason whose comparison and whose texts fail."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class TestReasonOf:
    @pytest.mark.parametrize("reason", ANY)
    def test_a_process_exit_has_exactly_the_reason_it_was_given(self, reason: Any) -> None:
        assert exits.reason_of(ProcessExit(reason)) is reason

    def test_a_process_exit_without_a_reason_is_normal(self) -> None:
        assert exits.reason_of(ProcessExit()) == "normal"

    @pytest.mark.parametrize("exception", [CRASH, SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
    def test_any_other_exception_is_its_own_reason(self, exception: BaseException) -> None:
        assert exits.reason_of(exception) is exception

    def test_a_process_that_raises_kill_keeps_that_reason(self) -> None:
        assert exits.reason_of(ProcessExit("kill")) == "kill"


class TestSeenByOthers:
    def test_kill_is_seen_as_killed(self) -> None:
        assert exits.seen_by_others("kill") == "killed"

    @pytest.mark.parametrize("reason", [reason for reason in ANY if reason != "kill"])
    def test_any_other_reason_is_seen_as_it_is(self, reason: Any) -> None:
        assert exits.seen_by_others(reason) is reason


class TestOfExitSignal:
    @pytest.mark.parametrize("traps", [True, False])
    @pytest.mark.parametrize("from_self", [True, False])
    def test_kill_cannot_be_trapped_and_is_seen_as_killed(self, traps: bool, from_self: bool) -> None:
        assert exits.of_exit_signal("kill", traps=traps, from_self=from_self) == (Delivery.FATAL, "killed")

    @pytest.mark.parametrize("reason", [reason for reason in ANY if reason != "kill"])
    @pytest.mark.parametrize("from_self", [True, False])
    def test_any_other_reason_is_a_message_to_one_that_traps(self, reason: Any, from_self: bool) -> None:
        assert exits.of_exit_signal(reason, traps=True, from_self=from_self) == (Delivery.MESSAGE, reason)

    def test_normal_from_another_is_ignored_by_one_that_does_not_trap(self) -> None:
        assert exits.of_exit_signal("normal", traps=False, from_self=False)[0] is Delivery.IGNORED

    def test_normal_from_itself_ends_one_that_does_not_trap(self) -> None:
        assert exits.of_exit_signal("normal", traps=False, from_self=True) == (Delivery.FATAL, "normal")

    @pytest.mark.parametrize("reason", [reason for reason in ANY if reason not in ("kill", "normal")])
    @pytest.mark.parametrize("from_self", [True, False])
    def test_any_other_reason_ends_one_that_does_not_trap(self, reason: Any, from_self: bool) -> None:
        assert exits.of_exit_signal(reason, traps=False, from_self=from_self) == (Delivery.FATAL, reason)


class TestOfLinkSignal:
    @pytest.mark.parametrize("reason", ANY)
    def test_every_reason_is_a_message_to_one_that_traps(self, reason: Any) -> None:
        assert exits.of_link_signal(reason, traps=True) == (Delivery.MESSAGE, reason)

    def test_normal_is_ignored_by_one_that_does_not_trap(self) -> None:
        assert exits.of_link_signal("normal", traps=False)[0] is Delivery.IGNORED

    @pytest.mark.parametrize("reason", [reason for reason in ANY if reason != "normal"])
    def test_any_other_reason_ends_one_that_does_not_trap_with_that_reason(self, reason: Any) -> None:
        assert exits.of_link_signal(reason, traps=False) == (Delivery.FATAL, reason)

    def test_a_kill_goes_down_a_chain_of_links_as_killed_and_can_be_trapped_at_its_end(self) -> None:
        _, head = exits.of_exit_signal("kill", traps=False, from_self=False)
        _, middle = exits.of_link_signal(head, traps=False)
        assert exits.of_link_signal(middle, traps=True) == (Delivery.MESSAGE, "killed")


class TestIsQuiet:
    @pytest.mark.parametrize("reason", QUIET)
    def test_normal_and_shutdown_in_both_forms_are_quiet_and_no_crash(self, reason: Any) -> None:
        assert exits.is_quiet(reason)
        assert not exits.is_crash(reason)

    @pytest.mark.parametrize("reason", LOUD)
    def test_everything_else_is_a_crash_and_not_quiet(self, reason: Any) -> None:
        assert not exits.is_quiet(reason)
        assert exits.is_crash(reason)


class TestIsReason:
    @pytest.mark.parametrize("ask", [exits.is_quiet, exits.seen_by_others])
    @pytest.mark.parametrize("wrap", [lambda reason: reason, lambda reason: (reason, 1)])
    def test_a_reason_that_cannot_be_compared_harms_no_question(self, ask: Any, wrap: Any) -> None:
        ask(wrap(Hostile()))

    def test_a_reason_that_cannot_be_compared_is_delivered_like_any_other(self) -> None:
        assert exits.of_exit_signal(Hostile(), traps=False, from_self=False)[0] is Delivery.FATAL
        assert exits.of_link_signal(Hostile(), traps=False)[0] is Delivery.FATAL


class TestDescribe:
    @pytest.mark.parametrize(
        ("reason", "text"),
        [
            ("normal", "'normal'"),
            (("shutdown", 5), "('shutdown', 5)"),
            (CRASH, "ValueError: boom"),
            (KeyError("x"), "KeyError: 'x'"),
            (ValueError(), "ValueError"),
            (ValueError("two\nlines"), "ValueError: two lines"),
            (None, "None"),
        ],
    )
    def test_a_reason_is_one_readable_line(self, reason: Any, text: str) -> None:
        assert exits.describe(reason) == text

    def test_a_chain_of_causes_shows_only_its_last_exception(self) -> None:
        effect = ValueError("effect")
        effect.__cause__ = RuntimeError("cause")
        assert exits.describe(effect) == "ValueError: effect"

    @pytest.mark.parametrize("reason", ["x" * 100_000, ValueError("x" * 100_000), ("shutdown", "x" * 100_000)])
    def test_a_long_reason_is_shortened(self, reason: Any) -> None:
        assert len(exits.describe(reason)) <= 300

    def test_a_value_without_a_working_repr_is_still_described(self) -> None:
        assert "Hostile" in exits.describe(Hostile())

    @pytest.mark.parametrize("error", [SystemExit, GeneratorExit])
    @pytest.mark.parametrize("base", [object, Exception])
    def test_whatever_a_text_of_the_user_raises(self, base: type, error: type[BaseException]) -> None:
        def fail(self: Any) -> str:
            raise error

        hostile = type("Stubborn", (base,), {"__repr__": fail, "__str__": fail})
        assert "Stubborn" in exits.describe(hostile())

    def test_but_for_ctrl_c(self) -> None:
        class Interrupted:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            exits.describe(Interrupted())

    def test_nor_is_it_swallowed_in_the_text_of_an_exception(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(exits, "TracebackException", interrupted)
        with pytest.raises(KeyboardInterrupt):
            exits.describe(ValueError("boom"))

    def test_an_exception_without_a_working_str_is_still_described(self) -> None:
        assert exits.describe(HostileError()).startswith("HostileError: ")

    def test_an_exception_that_has_no_truth_value_is_still_described(self) -> None:
        class TruthlessError(Exception):
            def __bool__(self) -> bool:
                raise RuntimeError("neither")

        assert exits.describe(TruthlessError()).startswith("TruthlessError")
