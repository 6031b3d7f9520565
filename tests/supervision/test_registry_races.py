"""Registries while processes register, look up and die at the same time: there is no third outcome."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervision import (
    AlreadyRegistered,
    AlreadyStarted,
    Exit,
    NoProcess,
    Pid,
    Registry,
    process,
    send,
    stop,
)
from supervision.threads import library_call
from tests.supervision.doers import DEADLINE, Doer, do, end

ROUNDS = 300
NAME = Registry.via("registry", "key")


@pytest.fixture(autouse=True)
def threads_take_turns_all_the_time() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture(params=["unique", "duplicate"])
def registry(request: pytest.FixtureRequest) -> Iterator[str]:
    pid = Registry.start_link(keys=request.param, name="registry")
    yield "registry"
    if process.is_alive(pid):
        stop(pid)


@pytest.fixture
def unique() -> Iterator[str]:
    pid = Registry.start_link(keys="unique", name="registry")
    yield "registry"
    stop(pid)


def at_once(*functions: Callable[[], Any]) -> None:
    """Have another thread run each, as nearly at the same time as threads do, and wait for them."""
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], Any]) -> None:
        barrier.wait()
        function()  # what it raises fails the test: pytest turns it into a warning, and that is an error here

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def read_while_it_changes(read: Callable[[], None], change: Callable[[int], None]) -> None:
    """Have two threads read a number of times, and a third one change something until they have done so.

    Not the other way round: who reads without a pause leaves the GIL, at each turn only for a moment, to one that waits
    for answers, and on a busy machine a number of changes would take for ever.
    """
    reading = [read, read]
    changes = 0

    def read_often() -> None:
        try:
            for _ in range(ROUNDS * 3):
                read()
        finally:
            reading.pop()

    def change_again_and_again() -> None:
        nonlocal changes
        while reading or not changes:
            change(changes)
            changes += 1

    at_once(read_often, read_often, change_again_and_again)


def attempt(function: Callable[[], Any], *errors: type[Exception]) -> Any:
    try:
        return function()
    except errors as error:
        return error


def links_of(registry: str) -> tuple[Pid, ...]:
    return process.info(process.whereis(registry)).links  # type: ignore[arg-type, union-attr]


def test_registering_the_dying_leaves_nothing_behind(unique: str) -> None:
    for _ in range(ROUNDS):
        pid = Doer.start()
        at_once(
            lambda pid=pid: attempt(lambda: NAME.register_name(pid), NoProcess),
            lambda pid=pid: process.exit(pid, "crash"),
        )
        assert Registry.count(unique) == 0
        assert Registry.keys(unique, pid) == []
    assert links_of(unique) == (process.self(),)


def test_a_process_killed_while_it_registers_leaves_nothing_behind(registry: str) -> None:
    tester = process.self()

    # Masked as a whole: the race is that of the table with the death, not that of user code with being pushed out.
    @library_call
    def register() -> None:
        send(tester, "begun")
        for number in range(1_000):
            Registry.register(registry, number)
            Registry.unregister(registry, number - 1)

    for _ in range(ROUNDS // 3):
        pid = process.spawn(register)
        process.receive(lambda message: message == "begun", timeout=DEADLINE)
        end(pid, "crash")
        assert Registry.count(registry) == 0
    assert links_of(registry) == (tester,)


def test_one_of_two_gets_a_unique_key(unique: str) -> None:
    first, second = Doer.start(), Doer.start()
    for _ in range(ROUNDS):
        answers: dict[Pid, Any] = {}

        def race(pid: Pid, answers: dict[Pid, Any] = answers) -> None:
            answers[pid] = attempt(lambda: NAME.register_name(pid), AlreadyRegistered)

        at_once(lambda race=race: race(first), lambda race=race: race(second))
        ((winner, _),) = Registry.lookup(unique, "key")
        loser = second if winner is first else first
        assert answers[winner] is None
        assert answers[loser].pid is winner
        do(winner, NAME.unregister_name)
    end(first)
    end(second)


def test_starts_under_one_name_give_one_process(unique: str) -> None:
    for _ in range(ROUNDS // 3):
        answers: list[Any] = []

        def begin(answers: list[Any] = answers) -> None:
            answers.append(attempt(lambda: Doer.start(name=NAME), AlreadyStarted))

        at_once(begin, begin, begin)
        (winner,) = (answer for answer in answers if isinstance(answer, Pid))
        assert all(answer is winner or answer.pid is winner for answer in answers)
        end(winner)


def test_a_lookup_never_gives_one_whose_end_was_heard_of(registry: str) -> None:
    seen: set[Pid] = set()
    gone: set[Pid] = set()

    def look() -> None:
        heard_of = gone.copy()
        found = {pid for pid, _ in Registry.lookup(registry, "key")}
        assert not found & heard_of
        seen.update(found)

    def live_and_die(number: int) -> None:
        pid = Doer.start()
        do(pid, lambda: Registry.register(registry, "key"))
        end(pid)
        gone.add(pid)

    read_while_it_changes(look, live_and_die)
    assert seen <= gone


def test_a_registry_is_read_whole_while_it_changes(registry: str) -> None:
    def read() -> None:
        entries = Registry.select(registry, lambda key, pid, value: True)
        assert all(value == (key, "value") for key, _, value in entries)
        assert 0 <= Registry.count(registry) <= 21
        assert len(Registry.keys(registry, writer)) <= 21

    def write(number: int) -> None:
        do(writer, lambda: Registry.register(registry, number, (number, "value")))
        do(writer, lambda: Registry.unregister(registry, number - 20))

    writer = Doer.start()
    read_while_it_changes(read, write)
    end(writer)


def test_the_entries_of_a_key_are_read_whole_while_they_change() -> None:
    registry = Registry.start_link(keys="duplicate", name="registry")

    def read() -> None:
        entries = Registry.lookup(registry, "key")
        assert {pid for pid, _ in entries} <= {*writers}
        assert [value for _, value in entries] == ["value"] * len(entries)

    def write(number: int) -> None:
        do(writers[number % 2], lambda: Registry.register(registry, "key", "value"))
        if number % 50 > 40:
            do(writers[number % 2], lambda: Registry.unregister(registry, "key"))

    writers = [Doer.start(), Doer.start()]
    read_while_it_changes(read, write)
    for writer in writers:
        end(writer)
    stop(registry)


def test_the_exit_handler_starts_a_successor_under_the_same_name(unique: str) -> None:
    def keep() -> None:
        process.trap_exit(True)
        pid = Doer.start_link(name=NAME)
        send(tester, pid)
        for _ in range(ROUNDS):
            process.receive(lambda message, pid=pid: message == Exit(pid, "killed"))
            pid = Doer.start_link(name=NAME)
            send(tester, pid)
        assert process.whereis(NAME) is pid
        process.exit(pid, "kill")

    tester = process.self()
    keeper = process.spawn(keep)
    ref = process.monitor(keeper)
    for _ in range(ROUNDS):
        process.exit(process.receive(Pid, timeout=DEADLINE), "kill")
    down = process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)
    assert down.reason == "normal"
    assert Registry.lookup(unique, "key") == []


def test_listeners_see_each_change_in_its_order() -> None:
    registry = Registry.start_link(keys="unique", name="registry", listeners=[process.self()])

    def come_and_go() -> None:
        for _ in range(ROUNDS):
            pid = Doer.start()
            attempt(lambda pid=pid: NAME.register_name(pid), AlreadyRegistered)
            end(pid)

    at_once(come_and_go, come_and_go)
    holder = None
    while (heard := next_message()) is not None:
        match heard:
            case ("register", "registry", "key", pid, None):
                assert holder is None
                holder = pid
            case ("unregister", "registry", "key", pid):
                assert holder is pid
                holder = None
    assert holder is None
    stop(registry)


def next_message() -> Any:
    try:
        return process.receive(tuple, timeout=0)
    except TimeoutError:
        return None


def test_the_end_of_the_registry_ends_whoever_registers_meanwhile() -> None:
    for _ in range(ROUNDS // 3):
        registry = Registry.start_link(keys="unique", name="registry")
        pids = [Doer.start() for _ in range(3)]
        answers: dict[Pid, Any] = {}

        def register(pid: Pid, answers: dict[Pid, Any] = answers) -> None:
            via = Registry.via("registry", pid)
            answers[pid] = attempt(lambda: via.register_name(pid), NoProcess)

        at_once(
            lambda registry=registry: process.exit(registry, "kill"),
            *(lambda pid=pid, register=register: register(pid) for pid in pids),
        )
        for pid in pids:
            assert process.is_alive(pid) == (answers[pid] is not None)
            process.exit(pid, "kill")
