"""Registries: who is registered under which key, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import supervision.sys
from supervision import (
    AlreadyRegistered,
    AlreadyStarted,
    BadArgument,
    BadChildSpec,
    BadType,
    Exit,
    NoProcess,
    NotFound,
    Pid,
    Registry,
    Supervisor,
    child_spec,
    process,
    send,
    signals,
    stop,
)
from supervision.process_table import Process
from supervision.registry_process import table_of
from supervision.registry_table import Registrant, Table
from tests.supervision.doers import DEADLINE, Doer, EarlyBird, do, end
from tests.supervision.supervised import until


def start_registry(keys: Any, **options: Any) -> Iterator[str]:
    pid = Registry.start_link(keys=keys, name="registry", **options)
    yield "registry"
    if process.is_alive(pid):
        stop(pid)


@pytest.fixture(params=["unique", "duplicate"])
def registry(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from start_registry(request.param)


@pytest.fixture
def unique() -> Iterator[str]:
    yield from start_registry("unique")


@pytest.fixture
def duplicate() -> Iterator[str]:
    yield from start_registry("duplicate")


@pytest.fixture
def doer() -> Iterator[Pid]:
    pid = Doer.start()
    yield pid
    end(pid)


@pytest.fixture
def other() -> Iterator[Pid]:
    pid = Doer.start()
    yield pid
    end(pid)


def register(pid: Pid, key: Any, value: Any = None) -> None:
    do(pid, lambda: Registry.register("registry", key, value))


class TestStartLink:
    @pytest.mark.row("RG-01")
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            ({"name": "registry"}, BadType, "keys must be 'unique' or 'duplicate', got None"),
            ({"name": "registry", "keys": "both"}, BadArgument, "keys must be 'unique' or 'duplicate', got 'both'"),
            ({"name": "registry", "keys": ("duplicate", "invalid")}, BadType, "keys must be 'unique' or 'duplicate'"),
            ({"keys": "unique"}, BadType, "name must be a non-empty string or a via"),
            ({"name": "", "keys": "unique"}, BadArgument, "name must be a non-empty string or a via"),
            ({"name": "registry", "keys": "unique", "partitions": 0}, BadArgument, "partitions must be a whole number"),
            ({"name": "registry", "keys": "unique", "listeners": "one"}, BadType, "listeners must be a list of pids"),
            ({"name": "registry", "keys": "unique", "listeners": [1]}, BadType, "listeners must be .*, got 1 in it"),
            ({"name": "registry", "keys": "unique", "meta": {"a": 1}, "listeners": None}, BadType, "listeners must be"),
            ({"name": "registry", "keys": "unique", "listeners": [""]}, BadArgument, "listeners must be .*, got ''"),
            ({"name": "registry", "keys": "unique", "meta": 5}, BadType, "meta must be a mapping or None, got 5"),
            ({"name": "registry", "keys": "unique", "meta": 0}, BadType, "meta must be a mapping or None, got 0"),
            ({"name": "registry", "keys": "unique", "meta": [("a", 1)]}, BadType, "meta must be a mapping or None"),
        ],
    )
    def test_a_wrong_option_is_refused_before_anything_is_started(
        self, options: dict[str, Any], error: type[Exception], text: str
    ) -> None:
        before = process.pids()
        with pytest.raises(error, match=text):
            Registry.start_link(**options)
        assert process.pids() == before

    def test_its_name_is_taken_once(self, unique: str) -> None:
        with pytest.raises(AlreadyStarted) as caught:
            Registry.start_link(keys="unique", name=unique)
        assert caught.value.pid is process.whereis(unique)

    def test_it_runs_under_a_supervisor_with_its_name_as_id(self, supervise: Callable[..., Pid]) -> None:
        child = (Registry, {"keys": "unique", "name": "registry"})
        assert child_spec(child).id == "registry"
        sup = supervise([child])
        assert Supervisor.which_children(sup)[0].pid is process.whereis("registry")
        assert Registry.count("registry") == 0

    def test_a_child_without_options_is_refused(self) -> None:
        with pytest.raises(BadChildSpec, match="Registry as a child takes a dict of options"):
            child_spec(Registry)


class TestUnknownRegistry:
    @pytest.mark.parametrize(
        "use",
        [
            lambda registry: Registry.register(registry, "key"),
            lambda registry: Registry.unregister(registry, "key"),
            lambda registry: Registry.unregister_match(registry, "key", bool),
            lambda registry: Registry.lookup(registry, "key"),
            lambda registry: Registry.dispatch(registry, "key", print),
            lambda registry: Registry.keys(registry, process.self()),
            lambda registry: Registry.values(registry, "key", process.self()),
            Registry.count,
            lambda registry: Registry.select(registry, lambda *entry: True),
            lambda registry: Registry.match(registry, "key", bool),
            lambda registry: Registry.update_value(registry, "key", bool),
            lambda registry: Registry.lock(registry, "key", dict),
            lambda registry: Registry.meta(registry, "key"),
        ],
    )
    def test_every_function_says_so(self, use: Callable[[Any], object], doer: Pid) -> None:
        with pytest.raises(NoProcess, match="'nowhere'"):
            use("nowhere")
        with pytest.raises(BadArgument, match="expected a registry"):
            use(doer)

    def test_one_that_has_ended_is_unknown(self, registry: str) -> None:
        pid = process.whereis(registry)
        stop(registry)
        for gone in (pid, registry):
            with pytest.raises(NoProcess):
                Registry.lookup(gone, "key")

    def test_one_that_has_yet_to_start_is_unknown(self) -> None:
        early = EarlyBird(lambda pid: Registry.register(pid, "key"))
        stop(Registry.start_link(keys="unique", name=early))
        assert isinstance(early.found, NoProcess)


class TestRegister:
    @pytest.mark.row("RG-02")
    def test_entries_are_counted(self, registry: str) -> None:
        assert Registry.count(registry) == 0
        Registry.register(registry, "hello")
        Registry.register(registry, "world")
        assert Registry.count(registry) == 2

    @pytest.mark.row("RG-02", "RG-09")
    def test_with_duplicate_keys_a_process_registers_as_often_as_it_likes(self, duplicate: str, doer: Pid) -> None:
        Registry.register(duplicate, "hello", 1)
        Registry.register(duplicate, "hello", 2)
        register(doer, "hello", 3)
        assert Registry.count(duplicate) == 3
        assert Registry.keys(duplicate, process.self()) == ["hello", "hello"]
        assert Registry.values(duplicate, "hello", process.self()) == [1, 2]
        assert Registry.lookup(duplicate, "hello") == [(process.self(), 1), (process.self(), 2), (doer, 3)]

    @pytest.mark.row("RG-03")
    def test_a_unique_key_is_registered_once(self, unique: str) -> None:
        Registry.register(unique, "hello", "value")
        with pytest.raises(AlreadyRegistered, match="'hello' is already registered") as caught:
            Registry.register(unique, "hello", "other")
        assert caught.value.pid is process.self()
        assert Registry.keys(unique, process.self()) == ["hello"]
        assert Registry.values(unique, "hello", process.self()) == ["value"]

    @pytest.mark.row("RG-04")
    def test_a_unique_key_of_another_process_is_taken(self, unique: str, doer: Pid) -> None:
        register(doer, "hello")
        with pytest.raises(AlreadyRegistered) as caught:
            Registry.register(unique, "hello")
        assert caught.value.pid is doer
        assert Registry.keys(unique, process.self()) == []
        assert Registry.values(unique, "hello", process.self()) == []

    @pytest.mark.row("RG-07")
    def test_keys_of_different_types_differ(self, registry: str) -> None:
        keys: list[Any] = [1, 1.0, True, "1", b"1", (1, ("a",)), (1.0, ("a",)), frozenset([1]), frozenset([1.0])]
        for number, key in enumerate(keys):
            Registry.register(registry, key, number)
        assert [type(key) for key in Registry.keys(registry, process.self())] == [type(key) for key in keys]
        for number, key in enumerate(keys):
            assert Registry.lookup(registry, key) == [(process.self(), number)]
            assert Registry.values(registry, key, process.self()) == [number]
        Registry.unregister(registry, 1.0)
        assert Registry.lookup(registry, 1.0) == []
        assert Registry.lookup(registry, 1) == [(process.self(), 0)]

    @pytest.mark.row("RG-26")
    @pytest.mark.parametrize("key", ["_", "$1", ("$$", 1), None, (), frozenset(), Doer, 1 + 2j, Ellipsis])
    def test_any_hashable_value_is_a_key(self, registry: str, key: Any) -> None:
        Registry.register(registry, "another")
        Registry.register(registry, key, "value")
        assert Registry.lookup(registry, key) == [(process.self(), "value")]
        assert Registry.match(registry, key, bool) == [(process.self(), "value")]
        Registry.unregister(registry, key)
        assert Registry.lookup(registry, key) == []

    def test_a_key_that_cannot_be_compared_leaves_nothing(self, registry: str, doer: Pid) -> None:
        class Odd:
            def __hash__(self) -> int:
                return 1

            def __eq__(self, other: object) -> bool:
                raise ValueError("not comparable")

        def attempt() -> None:
            with pytest.raises(ValueError, match="not comparable"):
                Registry.register(registry, Odd(), "second")

        Registry.register(registry, Odd(), "first")
        do(doer, attempt)
        assert Registry.count(registry) == 1
        assert [value for _, _, value in Registry.select(registry, lambda *entry: True)] == ["first"]
        info = process.info(doer)
        assert info is not None
        assert info.links == ()
        do(doer, lambda: Registry.register(registry, "another"))
        do(doer, attempt)
        assert Registry.keys(registry, doer) == ["another"]

    @pytest.mark.parametrize("key", [[], {"a": 1}, ("a", [])])
    def test_what_cannot_be_hashed_is_no_key(self, registry: str, key: Any) -> None:
        with pytest.raises(BadType, match="key must be hashable, got"):
            Registry.register(registry, key)
        with pytest.raises(BadType, match="key must be hashable, got"):
            Registry.lookup(registry, key)


class TestDeath:
    @pytest.mark.row("RG-05", "RG-10")
    def test_the_key_of_the_dead_is_free_at_once(self, unique: str, doer: Pid) -> None:
        supervision.sys.suspend(unique)
        holder = Doer.start()
        register(holder, "hello", "value")
        process.exit(holder, "kill")
        assert Registry.lookup(unique, "hello") == []
        register(doer, "hello", "other")
        assert Registry.lookup(unique, "hello") == [(doer, "other")]

    @pytest.mark.row("RG-05", "RG-10")
    def test_the_key_of_the_dead_is_free_while_it_is_being_released(self, unique: str, doer: Pid) -> None:
        class First:
            """Released before the entries, which the holder got later."""

            def owner_died(self, process: Any, reason: Any) -> None:
                found.append(Registry.lookup(unique, "hello"))
                Registry.via(unique, "hello", "other").register_name(doer)

        found: list[Any] = []
        holder = Doer.start()
        signals.own(holder._process, First())
        register(holder, "hello", "value")
        end(holder)
        assert found == [[]]
        assert Registry.lookup(unique, "hello") == [(doer, "other")]
        assert Registry.count(unique) == 1

    def test_the_dead_have_no_keys_and_values_while_they_are_being_released(self, registry: str) -> None:
        class First:
            """Released before the entries, which the holder got later."""

            def owner_died(self, process: Any, reason: Any) -> None:
                found.append((Registry.keys(registry, holder), Registry.values(registry, "hello", holder)))

        found: list[Any] = []
        holder = Doer.start()
        signals.own(holder._process, First())
        register(holder, "hello", "value")
        end(holder)
        assert found == [([], [])]

    @pytest.mark.row("RG-06")
    @pytest.mark.parametrize("reason", ["kill", "shutdown", "crash"])
    def test_whoever_hears_of_a_death_finds_no_entries(self, registry: str, reason: str) -> None:
        pids = [Doer.start(), Doer.start()]
        for number, pid in enumerate(pids):
            register(pid, number)
            register(pid, ("second", number))
        for pid in pids:
            end(pid, reason)
            assert Registry.keys(registry, pid) == []
        assert Registry.count(registry) == 0
        assert Registry.select(registry, lambda *entry: True) == []

    def test_a_trapping_process_that_handles_an_exit_finds_no_entries_of_the_dead(self, unique: str) -> None:
        holder = do(keeper := Doer.start(), Doer.start_link)
        register(holder, "hello")

        def replace() -> Any:
            process.trap_exit(True)
            process.exit(holder, "kill")
            process.receive(Exit, timeout=DEADLINE)
            Registry.register(unique, "hello", "again")
            return Registry.lookup(unique, "hello")

        assert do(keeper, replace) == [(keeper, "again")]
        end(keeper)

    def test_the_death_of_the_registered_does_not_harm_the_registry(self, registry: str) -> None:
        pid = Doer.start()
        register(pid, "hello")
        end(pid, "crash")
        Registry.register(registry, "hello")

    @pytest.mark.row("RG-16")
    def test_the_death_of_the_registry_ends_the_registered(self, registry: str) -> None:
        pid = Doer.start()
        register(pid, "hello")
        ref = process.monitor(pid)
        process.exit(process.whereis(registry), "kill")  # type: ignore[arg-type]
        down = process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)
        assert down.reason == "killed"

    def test_nothing_of_a_registry_outlives_it_in_those_who_do(self, registry: str) -> None:
        pid = Doer.start()
        do(pid, lambda: process.trap_exit(True))
        register(pid, "hello")
        end(process.whereis(registry))  # type: ignore[arg-type]
        assert process.is_alive(pid)
        assert not pid._process.owned
        end(pid)

    def test_a_restarted_registry_begins_empty(self, supervise: Callable[..., Pid]) -> None:
        sup = supervise([(Registry, {"keys": "unique", "name": "registry"})])
        Registry.register("registry", "hello")
        registry = process.whereis("registry")
        assert registry is not None
        end(registry)
        assert Supervisor.which_children(sup)[0].pid is process.whereis("registry")
        assert process.receive(Exit, timeout=DEADLINE) == Exit(registry, "killed")
        assert Registry.lookup("registry", "hello") == []
        Registry.register("registry", "hello")


class TestUnregister:
    @pytest.mark.row("RG-08")
    def test_a_key_that_is_not_registered_does_not_matter(self, registry: str, doer: Pid) -> None:
        Registry.unregister(registry, "hello")
        register(doer, "hello", "value")
        Registry.register(registry, "world")
        Registry.unregister(registry, "hello")
        assert Registry.lookup(registry, "hello") == [(doer, "value")]

    @pytest.mark.row("RG-08")
    def test_one_key_after_the_other_goes(self, registry: str) -> None:
        Registry.register(registry, "hello")
        Registry.register(registry, "world")
        Registry.unregister(registry, "hello")
        assert Registry.keys(registry, process.self()) == ["world"]
        Registry.unregister(registry, "world")
        assert Registry.keys(registry, process.self()) == []

    @pytest.mark.row("RG-09")
    def test_all_entries_of_the_caller_under_the_key_go_and_no_other(self, duplicate: str, doer: Pid) -> None:
        Registry.register(duplicate, "hello", 1)
        register(doer, "hello", 2)
        Registry.register(duplicate, "hello", 3)
        Registry.register(duplicate, "world", 4)
        Registry.unregister(duplicate, "hello")
        assert Registry.lookup(duplicate, "hello") == [(doer, 2)]
        assert Registry.keys(duplicate, process.self()) == ["world"]

    def test_only_the_values_that_match_go(self, duplicate: str, doer: Pid) -> None:
        for value in (1, 2, 3):
            Registry.register(duplicate, "hello", value)
        register(doer, "hello", 2)
        Registry.unregister_match(duplicate, "hello", lambda value: value == 2)
        assert Registry.lookup(duplicate, "hello") == [(process.self(), 1), (process.self(), 3), (doer, 2)]

    @pytest.mark.row("RG-16")
    def test_the_last_one_takes_the_link_with_it(self, registry: str, doer: Pid) -> None:
        def links() -> tuple[Pid, ...]:
            return process.info(doer).links  # type: ignore[union-attr]

        pid = process.whereis(registry)
        register(doer, "hello")
        register(doer, "world")
        assert links() == (pid,)
        do(doer, lambda: Registry.unregister(registry, "hello"))
        assert links() == (pid,)
        do(doer, lambda: Registry.unregister(registry, "world"))
        assert links() == ()

    def test_a_link_that_was_there_before_stays(self, registry: str) -> None:
        pid = process.whereis(registry)
        assert pid in process.info(process.self()).links  # type: ignore[union-attr]  of start_link
        Registry.register(registry, "hello")
        Registry.unregister(registry, "hello")
        assert pid in process.info(process.self()).links  # type: ignore[union-attr]

    def test_a_parent_that_is_registered_still_takes_the_registry_with_it(self) -> None:
        def start() -> Pid:
            pid = Registry.start_link(keys="unique", name="registry")
            Registry.register("registry", "hello")
            return pid

        registry = do(parent := Doer.start(), start)
        ref = process.monitor(registry)
        process.exit(parent, "crash")
        down = process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)
        assert down.reason == "crash"


class TestUpdateValue:
    @pytest.mark.row("RG-11")
    def test_the_caller_changes_its_own_value(self, unique: str) -> None:
        Registry.register(unique, "hello", 1)
        assert Registry.update_value(unique, "hello", lambda value: value + 1) == (2, 1)
        assert Registry.lookup(unique, "hello") == [(process.self(), 2)]

    @pytest.mark.row("RG-11")
    def test_a_key_that_is_not_the_callers_is_left_alone(self, unique: str, doer: Pid) -> None:
        called: list[Any] = []
        register(doer, "hello", 1)
        for key in ("hello", "world"):
            with pytest.raises(NotFound, match="the caller is not registered under"):
                Registry.update_value(unique, key, called.append)
        assert called == []
        assert Registry.lookup(unique, "hello") == [(doer, 1)]

    @pytest.mark.row("RG-11")
    def test_duplicate_keys_have_no_one_value(self, duplicate: str) -> None:
        Registry.register(duplicate, "hello", 1)
        with pytest.raises(BadArgument, match="update_value needs unique keys"):
            Registry.update_value(duplicate, "hello", lambda value: value + 1)


class TestDispatch:
    @pytest.mark.row("RG-12")
    def test_it_calls_nothing_for_a_key_without_entries(self, registry: str) -> None:
        called: list[Any] = []
        Registry.dispatch(registry, "hello", called.append)
        assert called == []

    @pytest.mark.row("RG-12", "RG-13")
    def test_it_gives_all_entries_at_once_in_the_caller(self, duplicate: str, doer: Pid) -> None:
        called: list[Any] = []
        Registry.register(duplicate, "hello", 1)
        register(doer, "hello", 2)
        register(doer, "world", 3)
        Registry.dispatch(duplicate, "hello", lambda entries: called.append((process.self(), entries)))
        assert called == [(process.self(), [(process.self(), 1), (doer, 2)])]

    @pytest.mark.row("RG-14")
    def test_what_the_function_raises_is_raised_in_the_caller(self, registry: str) -> None:
        def fail(entries: Any) -> None:
            raise ZeroDivisionError

        Registry.register(registry, "hello")
        with pytest.raises(ZeroDivisionError):
            Registry.dispatch(registry, "hello", fail)

    def test_the_function_may_use_the_registry(self, registry: str) -> None:
        Registry.register(registry, "hello")
        Registry.dispatch(registry, "hello", lambda entries: Registry.unregister(registry, "hello"))
        assert Registry.count(registry) == 0

    def test_what_goes_and_comes_meanwhile_does_not_change_what_is_given(self, duplicate: str, doer: Pid) -> None:
        register(doer, "key", 1)
        Registry.register(duplicate, "key", 2)
        given: list[Any] = []

        def change(entries: list[tuple[Pid, Any]]) -> None:
            process.exit(doer, "kill")
            Registry.unregister(duplicate, "key")
            Registry.register(duplicate, "key", 3)
            given.extend(value for _, value in entries)

        Registry.dispatch(duplicate, "key", change)
        assert given == [1, 2]
        assert Registry.lookup(duplicate, "key") == [(process.self(), 3)]


class TestKeysAndValues:
    @pytest.mark.row("RG-22")
    def test_they_are_those_of_one_process(self, registry: str, doer: Pid, other: Pid) -> None:
        Registry.register(registry, "mine", 1)
        register(doer, "its", 2)
        assert Registry.keys(registry, process.self()) == ["mine"]
        assert Registry.keys(registry, doer) == ["its"]
        assert Registry.keys(registry, other) == []
        assert Registry.values(registry, "mine", process.self()) == [1]
        assert Registry.values(registry, "mine", doer) == []
        assert Registry.values(registry, "its", doer) == [2]
        assert Registry.values(registry, "nobody's", doer) == []

    def test_a_process_is_meant_by_its_pid(self, registry: str) -> None:
        for wrong in ("name", None):
            with pytest.raises(BadType, match="expected a Pid"):
                Registry.keys(registry, wrong)  # type: ignore[arg-type]
            with pytest.raises(BadType, match="expected a Pid"):
                Registry.values(registry, "key", wrong)  # type: ignore[arg-type]


class TestSelect:
    @pytest.mark.row("RG-23", "RG-24")
    def test_match_finds_values_under_one_key(self, duplicate: str, doer: Pid) -> None:
        for value in (1, 2, 3):
            Registry.register(duplicate, "hello", value)
        register(doer, "hello", 4)
        register(doer, "world", 5)
        found = Registry.match(duplicate, "hello", lambda value: value % 2 == 0)
        assert found == [(process.self(), 2), (doer, 4)]
        assert Registry.count_match(duplicate, "hello", lambda value: value > 1) == 3
        assert Registry.match(duplicate, "nobody's", lambda value: True) == []

    @pytest.mark.row("RG-27")
    def test_select_sees_the_whole_registry(self, registry: str, doer: Pid) -> None:
        Registry.register(registry, "one", 1)
        register(doer, "two", 2)
        everything = [("one", process.self(), 1), ("two", doer, 2)]
        assert Registry.select(registry, lambda key, pid, value: True) == everything
        assert Registry.select(registry, lambda key, pid, value: pid is doer) == [("two", doer, 2)]
        assert Registry.count_select(registry, lambda key, pid, value: key == "one") == 1

    def test_what_cannot_be_called_is_refused(self, registry: str) -> None:
        for use in (
            lambda: Registry.select(registry, "key"),  # type: ignore[arg-type]
            lambda: Registry.match(registry, "key", 1),  # type: ignore[arg-type]
            lambda: Registry.unregister_match(registry, "key", 1),  # type: ignore[arg-type]
        ):
            with pytest.raises(BadType, match="predicate must be callable"):
                use()
        for use in (
            lambda: Registry.dispatch(registry, "key", None),  # type: ignore[arg-type]
            lambda: Registry.update_value(registry, "key", None),  # type: ignore[arg-type]
            lambda: Registry.lock(registry, "key", None),  # type: ignore[arg-type]
        ):
            with pytest.raises(BadType, match="fn must be callable"):
                use()


class TestListeners:
    @pytest.fixture(params=["unique", "duplicate"])
    def heard(self, request: pytest.FixtureRequest) -> Iterator[str]:
        process.register("listener", process.self())
        yield from start_registry(request.param, listeners=["listener", "nobody", process.self()])
        process.unregister("listener")

    def next_twice(self) -> Any:
        first, second = process.receive(tuple, timeout=DEADLINE), process.receive(tuple, timeout=DEADLINE)
        assert first == second
        return first

    def test_they_hear_of_every_entry_and_its_end(self, heard: str, doer: Pid) -> None:
        register(doer, "hello", 1)
        register(doer, "world", 2)
        assert self.next_twice() == ("register", heard, "hello", doer, 1)
        assert self.next_twice() == ("register", heard, "world", doer, 2)
        do(doer, lambda: Registry.unregister(heard, "hello"))
        assert self.next_twice() == ("unregister", heard, "hello", doer)
        process.exit(doer, "kill")
        assert self.next_twice() == ("unregister", heard, "world", doer)

    def test_each_message_wakes_who_waits_for_it(self, doer: Pid) -> None:
        def forward() -> None:
            while True:
                send(tester, process.receive(tuple))

        tester = process.self()
        listener = process.spawn(forward)
        registry = Registry.start_link(keys="unique", name="registry", listeners=[listener])
        for use in (
            lambda: register(doer, "hello"),
            lambda: do(doer, lambda: Registry.unregister(registry, "hello")),
            lambda: register(doer, "hello"),
            lambda: end(doer),
        ):
            until(lambda: listener._process.parked is not None)
            use()
            assert process.receive(tuple, timeout=DEADLINE)[2:4] == ("hello", doer)
        end(listener)
        stop(registry)

    def test_they_hear_of_a_death_before_its_monitors_do(self, heard: str) -> None:
        pid = Doer.start()
        register(pid, "hello")
        self.next_twice()
        ref = process.monitor(pid)
        process.exit(pid, "kill")
        assert self.next_twice() == ("unregister", heard, "hello", pid)
        assert process.receive(timeout=DEADLINE).ref is ref

    def test_one_that_has_gone_is_missed_by_nobody(self) -> None:
        pid = Registry.start_link(keys="unique", name="registry", listeners=["gone"])
        assert Registry.register("registry", "key") is pid
        assert Registry.count("registry") == 1
        stop(pid)

    def test_one_that_is_dead_gets_no_mail(self, doer: Pid) -> None:
        listener = Doer.start()
        pid = Registry.start_link(keys="unique", name="registry", listeners=[listener])
        end(listener)
        register(doer, "hello")
        assert not listener._process.mailbox
        stop(pid)


class TestFinalizers:
    """What a finalizer may do that the garbage collector runs in the middle of a change of the same registry."""

    @pytest.fixture
    def register_amid(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Registers the doer, and does something else in the middle of that."""
        enlist = Table._enlist

        def register_amid(action: Callable[[], object], key: Any, doer: Pid) -> None:
            def interposed(table: Table, process: Process) -> Registrant:
                monkeypatch.undo()
                action()
                return enlist(table, process)

            monkeypatch.setattr(Table, "_enlist", interposed)
            register(doer, key)

        return register_amid

    def test_one_may_register_and_unregister(
        self, registry: str, doer: Pid, register_amid: Callable[..., None]
    ) -> None:
        def finalizer() -> None:
            Registry.register(registry, "another")
            Registry.unregister(registry, "former")

        register(doer, "former")
        register_amid(finalizer, "key", doer)
        assert Registry.keys(registry, doer) == ["key", "another"]
        assert Registry.count(registry) == 2

    def test_one_may_wait_for_the_death_of_a_registered_process(
        self, registry: str, doer: Pid, other: Pid, register_amid: Callable[..., None]
    ) -> None:
        def kill() -> None:
            killer = threading.Thread(target=process.exit, args=(other, "kill"), daemon=True)
            killer.start()
            killer.join(DEADLINE / 1000)
            assert not killer.is_alive()

        register(other, "former")
        register_amid(kill, "key", doer)
        assert Registry.keys(registry, doer) == ["key"]
        assert Registry.count(registry) == 1
        assert list(table_of(registry).registrants) == [doer._process]

    def test_one_is_told_that_a_key_is_taken(
        self, unique: str, doer: Pid, other: Pid, register_amid: Callable[..., None]
    ) -> None:
        def finalizer() -> None:
            with pytest.raises(AlreadyRegistered):
                Registry.register(unique, "taken")

        register(other, "taken")
        register_amid(finalizer, "key", doer)
        assert Registry.lookup(unique, "taken") == [(other, None)]

    def test_two_may_unregister_the_same(self, registry: str, doer: Pid, register_amid: Callable[..., None]) -> None:
        def finalizers() -> None:
            Registry.unregister(registry, "former")
            Registry.unregister(registry, "former")

        register(doer, "former")
        register_amid(finalizers, "key", doer)
        assert Registry.keys(registry, doer) == ["key"]

    def test_one_that_takes_the_key_which_is_being_registered_is_refused_in_the_log(
        self, unique: str, doer: Pid, other: Pid, register_amid: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        register_amid(lambda: Registry.via(unique, "key").register_name(other), "key", doer)
        assert Registry.lookup(unique, "key") == [(doer, None)]
        assert "'key' is already registered by" in caplog.text


class TestMeta:
    @pytest.mark.row("RG-31")
    def test_it_is_kept_until_it_is_deleted(self, registry: str) -> None:
        with pytest.raises(NotFound, match="no meta 'colour'"):
            Registry.meta(registry, "colour")
        Registry.put_meta(registry, "colour", "red")
        Registry.put_meta(registry, ("size", 1), 5)
        assert Registry.meta(registry, "colour") == "red"
        assert Registry.meta(registry, ("size", 1)) == 5
        Registry.delete_meta(registry, "colour")
        Registry.delete_meta(registry, "colour")
        with pytest.raises(NotFound, match="no meta 'colour'"):
            Registry.meta(registry, "colour")

    @pytest.mark.row("RG-31")
    def test_it_may_be_there_from_the_start(self) -> None:
        pid = Registry.start_link(keys="unique", name="registry", meta={"colour": "red", 1: 2})
        assert Registry.meta(pid, "colour") == "red"
        assert Registry.meta("registry", 1) == 2
        stop(pid)
