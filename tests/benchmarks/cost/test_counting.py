from __future__ import annotations

import sys

from benchmarks.cost.counting import Events, where


class TestEvents:
    def test_what_happened_is_counted_by_name(self) -> None:
        events = Events()
        for name in ("send", "recv", "send"):
            events.happened(name)

        assert events.read() == {"send": 2, "recv": 1}

    def test_reading_begins_anew(self) -> None:
        events = Events()
        events.happened("send")
        events.read()

        assert events.read() == {}


class TestWhere:
    def test_a_function_is_named_with_its_module(self) -> None:
        assert where(sys._getframe()).endswith("test_counting.TestWhere.test_a_function_is_named_with_its_module")
