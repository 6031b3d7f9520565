"""Registry.lock: one process at a time for each key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from supervision import CallError, NoProcess, Pid, Registry, process, stop
from supervision.foreign import this_process
from supervision.registry_locks import KeyLocks, Turn
from supervision.registry_process import table_of
from supervision.threads import current
from tests.supervision.doers import DEADLINE, Doer, Interposed, do, end, in_a_thread
from tests.supervision.supervised import until

LOCKS = "locks"


@pytest.fixture(autouse=True)
def registry() -> Iterator[Pid]:
    pid = Registry.start_link(keys="unique", name=LOCKS)
    yield pid
    if process.is_alive(pid):
        stop(pid)


class Holder:
    """A process that holds a lock until it is told to leave."""

    def __init__(self, key: Any) -> None:
        self.entered = threading.Event()
        self.result: Any = None
        self.pid = process.spawn(self.body, key)

    def body(self, key: Any) -> None:
        try:
            self.result = Registry.lock(LOCKS, key, self.hold)
        except NoProcess as error:
            self.result = error

    def hold(self) -> str:
        self.entered.set()
        process.receive(lambda message: message == "leave")
        return "held"

    def leave(self) -> None:
        ref = process.monitor(self.pid)
        process.send(self.pid, "leave")
        process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)


def holding(key: Any) -> Holder:
    holder = Holder(key)
    assert holder.entered.wait(DEADLINE / 1000)
    return holder


def waiting(key: Any) -> Holder:
    """A process that waits for a lock that somebody holds."""
    holder = Holder(key)
    until(lambda: holder.pid._process.wait is not None)
    assert not holder.entered.is_set()
    return holder


@pytest.mark.row("RG-29")
def test_it_gives_what_the_function_returns() -> None:
    assert Registry.lock(LOCKS, "key", lambda: "value") == "value"
    assert Registry.lock(LOCKS, "key", lambda: "again") == "again"


def test_what_the_function_raises_frees_the_lock() -> None:
    with pytest.raises(ZeroDivisionError):
        Registry.lock(LOCKS, "key", lambda: 1 // 0)
    assert Registry.lock(LOCKS, "key", lambda: "free") == "free"


@pytest.mark.row("RG-29")
def test_different_keys_do_not_wait_for_each_other() -> None:
    held = [holding(key) for key in (1, 1.0, True, "key")]
    for holder in held:
        holder.leave()
        assert holder.result == "held"


@pytest.mark.row("RG-29")
def test_the_same_key_waits_its_turn() -> None:
    first = holding("key")
    second = waiting("key")
    third = waiting("key")
    first.leave()
    assert second.entered.wait(DEADLINE / 1000)
    assert not third.entered.is_set()
    second.leave()
    assert third.entered.wait(DEADLINE / 1000)
    third.leave()
    assert [holder.result for holder in (first, second, third)] == ["held"] * 3


@pytest.mark.row("RG-30")
def test_the_lock_of_the_dead_goes_to_the_next() -> None:
    first = holding("key")
    second = waiting("key")
    process.exit(first.pid, "kill")
    assert second.entered.wait(DEADLINE / 1000)
    second.leave()


def test_whoever_dies_waiting_is_passed_over() -> None:
    first = holding("key")
    second = waiting("key")
    third = waiting("key")
    end(second.pid)
    first.leave()
    assert third.entered.wait(DEADLINE / 1000)
    assert not second.entered.is_set()
    third.leave()


def test_a_process_does_not_wait_for_itself() -> None:
    def again() -> None:
        Registry.lock(LOCKS, "other", dict)
        Registry.lock(LOCKS, "key", dict)

    with pytest.raises(CallError, match="holds the lock of 'key' already"):
        Registry.lock(LOCKS, "key", again)
    assert Registry.lock(LOCKS, "key", lambda: "free") == "free"


def test_the_end_of_the_registry_ends_the_wait(registry: Pid) -> None:
    first = holding("key")
    second = waiting("key")
    stop(registry)
    until(lambda: not process.is_alive(second.pid))
    assert isinstance(second.result, NoProcess)
    first.leave()
    assert first.result == "held"


def test_a_wait_that_ended_with_the_registry_leaves_nothing_with_who_waited(registry: Pid) -> None:
    def wait() -> bool:
        with pytest.raises(NoProcess):
            Registry.lock(LOCKS, "key", dict)
        return not process.self()._process.owned

    first = holding("key")
    second, answers = Doer.start(), list[bool]()
    asking = threading.Thread(target=lambda: answers.append(do(second, wait)))
    asking.start()
    until(lambda: second._process.wait is not None)
    stop(registry)
    asking.join(DEADLINE / 1000)
    assert answers == [True]
    first.leave()
    end(second)


def test_the_same_key_of_two_registries_is_two_locks() -> None:
    other = Registry.start_link(keys="unique", name="other")
    assert Registry.lock(LOCKS, "key", lambda: Registry.lock("other", "key", lambda: "both")) == "both"
    stop(other)


def test_waiting_for_a_lock_holds_up_nobody() -> None:
    first = holding("key")
    others = [waiting("key") for _ in range(5)]
    pid = Doer.start()
    assert do(pid, process.self) is pid
    end(pid)
    first.leave()
    for other in others:
        assert other.entered.wait(DEADLINE / 1000)
        other.leave()


def test_nobody_else_is_inside() -> None:
    inside: list[Pid] = []
    most: list[int] = []
    done = threading.Semaphore(0)

    def enter() -> None:
        inside.append(process.self())
        most.append(len(inside))
        process.sleep(0)
        inside.pop()

    def work() -> None:
        for _ in range(50):
            Registry.lock(LOCKS, "key", enter)
        done.release()

    for _ in range(8):
        process.spawn(work)
    for _ in range(8):
        assert done.acquire(timeout=DEADLINE / 1000)
    assert set(most) == {1}
    assert len(most) == 400


def test_a_lock_of_a_registry_that_ends_before_its_turn_is_refused(registry: Pid) -> None:
    table = table_of(LOCKS)
    stop(registry)
    with pytest.raises(NoProcess):
        table.locks.take("key", process.self()._process, current.record)


def test_the_dead_take_no_lock() -> None:
    pid = process.spawn(process.receive)
    process.exit(pid, "kill")
    with pytest.raises(NoProcess):
        table_of(LOCKS).locks.take("key", pid._process, current.record)


def test_a_finalizer_in_the_middle_of_asking_may_lock_as_well() -> None:
    inside: list[str] = []
    key = Interposed(lambda: Registry.lock(LOCKS, "other", lambda: inside.append("finalizer")))
    in_a_thread(lambda: Registry.lock(LOCKS, key, lambda: inside.append("function")))
    assert inside.count("function") == 1
    assert inside[0] == "finalizer"


def test_a_finalizer_in_the_middle_of_asking_may_wait_for_a_lock() -> None:
    holders = [holding("other")]

    def wait() -> None:
        while holders:
            holders.pop().leave()
        Registry.lock(LOCKS, "other", dict)

    assert in_a_thread(lambda: Registry.lock(LOCKS, Interposed(wait), lambda: "value")) == "value"


def test_nothing_is_kept_of_locks_that_nobody_holds() -> None:
    first = holding("key")
    second = waiting("key")
    first.leave()
    second.leave()
    Registry.lock(LOCKS, "other", dict)
    assert table_of(LOCKS).locks.lines == {}


def test_one_that_was_told_to_ask_again_and_dies_takes_nobodys_lock_away() -> None:
    locks = KeyLocks(LOCKS)
    first, late, next_one = (Turn(locks, "key", this_process(), current.record) for _ in range(3))
    assert locks._join(first)
    line = first.line
    locks.leave(first)
    late.line = line  # it had found the line before that was over
    assert late.tell("again")
    assert locks._join(next_one)
    locks.leave(late)
    assert locks.lines == {"key": next_one.line}
