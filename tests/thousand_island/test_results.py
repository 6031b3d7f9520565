from __future__ import annotations

import dataclasses

import pytest

from supervision import BadReturn
from supervision.messages import INFINITY
from thousand_island import Handler
from thousand_island.errors import BadOption
from thousand_island.results import (
    UNSET,
    Close,
    Continue,
    Error,
    Persistent,
    SwitchTransport,
    check_timeout,
)

# Refused wherever milliseconds are asked for.
NO_MILLISECONDS = [0.5, -1, True, "50", float("nan"), -INFINITY]


class TestContinue:
    def test_state_alone_leaves_the_rest_unset(self):
        result = Continue("state")
        assert (result.state, result.timeout, result.continue_with) == ("state", None, UNSET)

    def test_none_is_a_value_to_continue_with(self):
        assert Continue("state", continue_with=None).continue_with is None

    def test_timeout_may_be_positional(self):
        assert Continue("state", 50).timeout == 50

    def test_continue_with_is_given_by_name_only(self):
        with pytest.raises(TypeError):
            Continue("state", 50, "argument")


class TestSwitchTransport:
    def test_keeps_what_it_is_given(self):
        result = SwitchTransport("tls", {"certfile": "c"}, "state", Persistent(5), continue_with="hello")
        assert (result.transport_module, result.options, result.state) == ("tls", {"certfile": "c"}, "state")
        assert (result.timeout, result.continue_with) == (Persistent(5), "hello")


class TestResults:
    @pytest.mark.parametrize(
        ("result", "text"),
        [
            (Continue(1), "Continue(state=1, timeout=None, continue_with=UNSET)"),
            (Close(1), "Close(state=1)"),
            (Error("nope", 1), "Error(reason='nope', state=1)"),
        ],
    )
    def test_repr_shows_every_field(self, result, text):
        assert repr(result) == text

    @pytest.mark.parametrize("result", [Continue(1), Close(1), Error("nope", 1), SwitchTransport("tls", {}, 1)])
    def test_result_has_no_room_for_a_mistyped_field(self, result):
        with pytest.raises(AttributeError):
            result.stat = 2

    def test_results_can_be_taken_apart_by_match(self):
        match Error("nope", 1):
            case Error(reason, state):
                assert (reason, state) == ("nope", 1)


class TestPersistent:
    @pytest.mark.parametrize("milliseconds", [0, 80, INFINITY])
    def test_takes_milliseconds(self, milliseconds):
        assert Persistent(milliseconds).milliseconds == milliseconds

    @pytest.mark.parametrize("value", [*NO_MILLISECONDS, None])
    def test_anything_but_milliseconds_is_refused(self, value):
        with pytest.raises(BadOption, match="a persistent timeout must be a whole number of milliseconds or INFINITY"):
            Persistent(value)

    def test_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            Persistent(5).milliseconds = 6


class TestCheckTimeout:
    @pytest.mark.parametrize("timeout", [None, 0, 50, INFINITY, Persistent(80)])
    def test_accepts_every_kind_of_timeout(self, timeout):
        assert check_timeout(Handler, "handle_data", Continue(1, timeout)) is None

    @pytest.mark.parametrize("value", NO_MILLISECONDS)
    def test_anything_else_is_refused(self, value):
        with pytest.raises(BadReturn, match="timeout that is a whole number of milliseconds, INFINITY, Persistent"):
            check_timeout(Handler, "handle_data", Continue(1, value))
