"""Keys of a registry as names of servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import supervision.sys
from supervision import (
    INFINITY,
    AlreadyRegistered,
    AlreadyStarted,
    BadArgument,
    BadType,
    ChildSpec,
    DynamicSupervisor,
    Ignored,
    NoProcess,
    Pid,
    Registry,
    StartError,
    StartTimeout,
    Supervisor,
    call,
    cast,
    multi_call,
    process,
    send,
    stop,
)
from tests.supervision.doers import DEADLINE, Doer, do, end

NAME = Registry.via("registry", "name")


@pytest.fixture
def registry() -> Iterator[str]:
    pid = Registry.start_link(keys="unique", name="registry")
    yield "registry"
    if process.is_alive(pid):
        stop(pid)


@pytest.fixture
def duplicate() -> Iterator[str]:
    pid = Registry.start_link(keys="duplicate", name="registry")
    yield "registry"
    stop(pid)


class TestVia:
    def test_equal_ones_name_the_same(self) -> None:
        assert Registry.via("registry", "name") == NAME
        assert hash(NAME) == hash(Registry.via("registry", "name"))
        assert Registry.via("another", "name") != NAME
        assert Registry.via("registry", "name", "value") != NAME
        assert NAME != "name"
        assert len({Registry.via("registry", key) for key in (1, 1.0, True)}) == 3

    def test_it_shows_what_it_names(self) -> None:
        assert repr(NAME) == "Registry.via('registry', 'name')"
        assert repr(Registry.via("registry", 1, [2])) == "Registry.via('registry', 1, [2])"

    def test_its_key_must_be_hashable(self) -> None:
        with pytest.raises(BadType, match="key must be hashable, got"):
            Registry.via("registry", [])  # type: ignore[arg-type]


class TestStart:
    @pytest.mark.row("RG-18")
    def test_a_server_is_registered_without_a_value(self, registry: str) -> None:
        pid = Doer.start_link(name=NAME)
        assert Registry.lookup(registry, "name") == [(pid, None)]
        stop(pid)
        assert Registry.lookup(registry, "name") == []

    @pytest.mark.row("RG-19")
    def test_the_value_is_that_of_the_via(self, registry: str) -> None:
        pid = Doer.start_link(name=Registry.via(registry, "name", "value"))
        assert Registry.lookup(registry, "name") == [(pid, "value")]
        assert Registry.keys(registry, pid) == ["name"]
        stop(pid)

    @pytest.mark.row("RG-18")
    def test_a_name_that_is_taken_is_not_started_again(self, registry: str) -> None:
        pid = Doer.start(name=NAME)
        with pytest.raises(AlreadyStarted) as caught:
            Doer.start_link(name=NAME)
        assert caught.value.pid is pid
        assert Registry.lookup(registry, "name") == [(pid, None)]
        end(pid)

    @pytest.mark.row("RG-18")
    @pytest.mark.parametrize(
        ("arg", "error"),
        [("ignore", Ignored), ("stop", StartError), ("raise", StartError)],
        ids=["ignore", "stop", "raise"],
    )
    def test_a_start_that_fails_leaves_no_entry(self, registry: str, arg: str, error: type[Exception]) -> None:
        with pytest.raises(error):
            Doer.start_link(arg, name=NAME)
        assert Registry.lookup(registry, "name") == []
        assert Registry.count(registry) == 0
        stop(Doer.start(name=NAME))

    def test_a_start_that_takes_too_long_leaves_no_entry(self, registry: str) -> None:
        class Slow(Doer):
            def init(self, arg: Any) -> Any:
                process.sleep(INFINITY)

        with pytest.raises(StartTimeout):
            Slow.start_link(name=NAME, timeout=1)
        assert Registry.count(registry) == 0

    def test_init_finds_its_own_name(self, registry: str) -> None:
        class Curious(Doer):
            def init(self, arg: Any) -> Any:
                return super().init((Registry.keys(registry, process.self()), process.whereis(NAME)))

        pid = Curious.start(name=NAME)
        assert supervision.sys.get_state(pid) == (["name"], pid)
        stop(pid)

    @pytest.mark.row("RG-20")
    def test_a_registry_with_duplicate_keys_gives_no_names(self, duplicate: str) -> None:
        before = set(process.pids())
        with pytest.raises(BadArgument, match="a via needs a registry with unique keys"):
            Doer.start_link(name=NAME)
        with pytest.raises(BadArgument, match="a via needs a registry with unique keys"):
            process.whereis(NAME)
        assert set(process.pids()) == before

    def test_a_registry_that_does_not_run_gives_no_names(self) -> None:
        with pytest.raises(NoProcess, match="'registry'"):
            Doer.start_link(name=NAME)
        assert process.whereis(NAME) is None


class TestUse:
    @pytest.mark.row("RG-18")
    def test_it_names_a_server_wherever_one_is_named(self, registry: str) -> None:
        pid = Doer.start(name=NAME)
        assert process.whereis(NAME) is pid
        assert call(NAME, process.self) is pid
        assert multi_call([NAME], process.self) == ({NAME: pid}, [])
        assert supervision.sys.get_state(NAME) is None
        assert send(NAME, "message") == "message"
        ref = process.monitor(NAME)
        cast(NAME, "shutdown")
        down = process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)
        assert (down.pid, down.reason) == (NAME, "shutdown")

    def test_stop_takes_it(self, registry: str) -> None:
        pid = Doer.start(name=NAME)
        stop(NAME)
        assert not process.is_alive(pid)
        assert process.whereis(NAME) is None

    def test_supervisors_have_it_as_their_name(self, registry: str) -> None:
        sup = DynamicSupervisor.start_link(name=NAME)
        child = DynamicSupervisor.start_child(NAME, Doer)
        assert Supervisor.which_children(NAME)[0].pid is child
        assert Supervisor.count_children(NAME).active == 1
        DynamicSupervisor.stop(NAME)
        assert not process.is_alive(sup)

    @pytest.mark.row("RG-21")
    def test_nobody_is_behind_the_name_of_the_dead(self, registry: str) -> None:
        end(Doer.start(name=NAME))
        assert process.whereis(NAME) is None
        for use in (
            lambda: call(NAME, process.self),
            lambda: stop(NAME),
            lambda: send(NAME, "message"),
        ):
            with pytest.raises(NoProcess):
                use()
        cast(NAME, "nobody")
        ref = process.monitor(NAME)
        assert process.receive(lambda message: getattr(message, "ref", None) is ref).reason == "noproc"

    def test_the_end_of_the_registry_ends_the_server_without_a_word(
        self, registry: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        pid = Doer.start(name=NAME)
        end(process.whereis(registry))  # type: ignore[arg-type]
        assert not process.is_alive(pid)
        assert [record.getMessage() for record in caplog.records if "released" in record.getMessage()] == []

    def test_the_supervisor_that_restarts_a_child_finds_the_name_free(
        self, registry: str, supervise: Callable[..., Pid]
    ) -> None:
        sup = supervise([ChildSpec("child", lambda: Doer.start_link(name=NAME))], max_restarts=1_000)
        for _ in range(200):
            pid = process.whereis(NAME)
            assert pid is not None
            end(pid)
            successor = Supervisor.which_children(sup)[0].pid
            assert successor is not pid
            assert Registry.lookup(registry, "name") == [(successor, None)]


class TestByHand:
    def test_somebody_else_is_registered(self, registry: str) -> None:
        pid = Doer.start()
        NAME.register_name(pid)
        assert Registry.keys(registry, pid) == ["name"]
        with pytest.raises(AlreadyRegistered) as caught:
            NAME.register_name(process.self())
        assert caught.value.pid is pid
        end(pid)
        with pytest.raises(NoProcess):
            NAME.register_name(pid)
        with pytest.raises(BadType, match="expected a Pid"):
            NAME.register_name("pid")  # type: ignore[arg-type]

    def test_only_the_owner_gives_it_back(self, registry: str) -> None:
        pid = Doer.start(name=NAME)
        NAME.unregister_name()
        assert process.whereis(NAME) is pid
        do(pid, NAME.unregister_name)
        assert process.whereis(NAME) is None
        end(pid)

    def test_a_name_given_back_and_taken_by_another_survives_the_first_owner(self, registry: str) -> None:
        first = Doer.start(name=NAME)
        do(first, NAME.unregister_name)
        second = Doer.start(name=NAME)
        end(first)
        assert process.whereis(NAME) is second
        end(second)
