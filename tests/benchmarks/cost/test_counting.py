from __future__ import annotations

import sys
import threading

from benchmarks.cost.counting import Events, counted_lock, where


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


class TestCountedLock:
    def test_every_operation_is_told_with_the_function_that_did_it(self) -> None:
        told: list[str] = []
        lock = counted_lock(threading.Lock, told.append)()

        with lock:
            lock.locked()
        lock.acquire()
        lock.release()

        assert [each.split(" in ")[0] for each in told] == ["acquire", "locked", "release", "acquire", "release"]
        assert all(each.endswith("test_every_operation_is_told_with_the_function_that_did_it") for each in told)

    def test_it_is_held_by_one_at_a_time(self) -> None:
        lock = counted_lock(threading.Lock, str)()

        assert lock.acquire()
        assert not lock.acquire(False)
        assert lock.locked()


class TestWhere:
    def test_a_function_is_named_with_its_module(self) -> None:
        assert where(sys._getframe()).endswith("test_counting.TestWhere.test_a_function_is_named_with_its_module")
