"""The results of callbacks as values."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from supervision import TIMEOUT, Ignore, NoReply, Ok, Reply, Stop, Timeout

RESULTS: list[Any] = [
    Ok(1),
    Ok(1, 5),
    Ignore(),
    Reply(1, 2),
    NoReply(1),
    NoReply(1, 5),
    Stop(1),
    Stop(1, 2),
    Stop(1, 2, 3),
]


class TestResult:
    @pytest.mark.parametrize("remake", [copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))])
    @pytest.mark.parametrize("result", RESULTS)
    def test_it_equals_its_copy(self, result: Any, remake: Any) -> None:
        assert remake(result) == result

    @pytest.mark.parametrize("result", RESULTS)
    def test_it_equals_one_of_its_class_with_the_same_fields(self, result: Any) -> None:
        twin = type(result)(*(getattr(result, name) for name in result.__match_args__))
        assert twin == result
        assert [other for other in RESULTS if other == result] == [result]
        assert result != "something else"

    def test_it_shows_its_fields(self) -> None:
        assert repr(Reply("value", 1, 5)) == "Reply(value='value', state=1, timeout=5, continue_with=UNSET)"
        assert repr(NoReply(1, Timeout(5, "tick"))).startswith("NoReply(state=1, timeout=Timeout(milliseconds=5, ")
        assert repr(TIMEOUT) == "TIMEOUT"

    def test_it_can_be_matched(self) -> None:
        match Reply("value", 1):
            case Reply(value, state):
                assert (value, state) == ("value", 1)
