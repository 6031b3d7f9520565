"""Partition supervisors: one child many times over, found by keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervision import (
    Agent,
    AlreadyStarted,
    BadArgument,
    BadChildSpec,
    BadType,
    ChildCounts,
    ChildInfo,
    DynamicSupervisor,
    NoProcess,
    PartitionSupervisor,
    Pid,
    Registry,
    StartError,
    Supervisor,
    call,
    cast,
    child_spec,
    process,
    send,
    stop,
)
from tests.supervision.doers import DEADLINE, Doer, EarlyBird, do, end
from tests.supervision.supervised import until

via = PartitionSupervisor.via
PARTITIONS = 8


@pytest.fixture
def start() -> Iterator[Callable[..., Pid]]:
    """Starts a partition supervisor named "pool" that does not outlive the test."""
    started: list[Pid] = []

    def begin(child: Any = (Agent, dict), **flags: Any) -> Pid:
        options = {"name": "pool", "partitions": PARTITIONS, **flags}
        started.append(PartitionSupervisor.start_link(child, **options))
        return started[-1]

    yield begin
    for pid in started:
        if process.is_alive(pid):
            PartitionSupervisor.stop(pid)


def pids() -> dict[Any, Any]:
    return {child.id: child.pid for child in PartitionSupervisor.which_children("pool")}


class TestChildSpec:
    @pytest.mark.row("PS-01")
    def test_the_name_is_the_id(self) -> None:
        name = Registry.via("registry", "pool")
        assert child_spec((PartitionSupervisor, {"child": Agent, "name": "pool"})).id == "pool"
        spec = child_spec((PartitionSupervisor, {"child": Agent, "name": name}))
        assert (spec.id, spec.type, spec.shutdown) == (name, "supervisor", float("inf"))

    def test_it_starts_what_its_options_say(self, supervise: Callable[..., Pid]) -> None:
        supervise([(PartitionSupervisor, {"child": (Agent, dict), "name": "pool", "partitions": 2})])
        assert PartitionSupervisor.partitions("pool") == 2
        assert sorted(pids()) == [0, 1]

    def test_a_child_without_options_is_refused(self) -> None:
        with pytest.raises(BadChildSpec, match="PartitionSupervisor as a child takes a dict of options, got None"):
            child_spec(PartitionSupervisor)


class TestStartLink:
    @pytest.mark.row("PS-02")
    @pytest.mark.parametrize("named", ["pool", Registry.via("registry", "pool")], ids=["name", "via"])
    def test_there_are_as_many_as_processors_and_keys_reach_all(self, named: Any) -> None:
        registry = Registry.start_link(keys="unique", name="registry")
        pool = PartitionSupervisor.start_link((Agent, process.self), name=named)
        count = getattr(os, "process_cpu_count", os.cpu_count)()
        assert PartitionSupervisor.partitions(named) == count
        found = {Agent.get(via(named, f"key {number}"), lambda pid: pid) for number in range(100)}
        assert found == {child.pid for child in PartitionSupervisor.which_children(named)}
        assert len(found) == count
        PartitionSupervisor.stop(pool)
        stop(registry)

    @pytest.mark.row("PS-03")
    def test_each_partition_has_arguments_of_its_own(self, start: Callable[..., Pid]) -> None:
        start(
            (Agent, lambda: "base"),
            partitions=3,
            with_arguments=lambda args, partition: (lambda: (args[0](), partition),),
        )
        found = [Agent.get(via("pool", key), lambda state: state) for key in (0, 1, 2, 3, -1)]
        assert found == [("base", number) for number in (0, 1, 2, 0, 1)]

    @pytest.mark.row("PS-04")
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            ({"name": None}, BadType, "name must be a non-empty string or a via"),
            ({"child": None}, BadType, "PartitionSupervisor.start_link needs a child"),
            ({"child": Any}, BadChildSpec, "was given as a child"),
            ({"partitions": 0}, BadArgument, "partitions must be a whole number, at least 1, got 0"),
            ({"partitions": 2.0}, BadType, "partitions must be a whole number, at least 1, got 2.0"),
            ({"with_arguments": 123}, BadType, "with_arguments must be callable, got 123"),
            (
                {"with_arguments": lambda args: args},
                BadType,
                "with_arguments must take the arguments and the partition",
            ),
            (
                {"with_arguments": lambda a, b, c: a},
                BadType,
                "with_arguments must take the arguments and the partition",
            ),
            ({"auto_shutdown": "any_significant"}, BadType, "unknown option 'auto_shutdown'"),
            ({"partition": 2}, BadType, "did you mean 'partitions'"),
            ({"strategy": "simple"}, BadArgument, "strategy must be"),
            ({"max_restarts": -1}, BadArgument, "max_restarts must be"),
            (
                {"child": child_spec((Agent, dict), restart="transient", significant=True)},
                BadChildSpec,
                "significant must be False",
            ),
        ],
    )
    def test_a_wrong_option_is_refused_before_anything_is_started(
        self, options: dict[str, Any], error: type[Exception], text: str
    ) -> None:
        before = process.pids()
        given = {"child": (Agent, dict), "name": "pool", **options}
        with pytest.raises(error, match=text):
            PartitionSupervisor.start_link(given.pop("child"), **given)
        assert process.pids() == before

    def test_arguments_that_are_none_fail_the_start(self, start: Callable[..., Pid]) -> None:
        with pytest.raises(StartError, match="with_arguments returned 5; expected a tuple of arguments"):
            start(with_arguments=lambda args, partition: 5)
        assert process.whereis("pool") is None

    def test_a_function_that_does_not_tell_what_it_takes_is_tried(self, start: Callable[..., Pid]) -> None:
        class Secretive:
            __signature__ = "none"

            def __call__(self, args: Any, partition: int) -> Any:
                return args

        assert process.is_alive(start(with_arguments=Secretive()))

    def test_the_child_may_be_given_by_name(self) -> None:
        for begin in (PartitionSupervisor.start_link, PartitionSupervisor.start):
            pid = begin(child=(Agent, dict), name="pool", partitions=2)
            assert len(pids()) == 2
            PartitionSupervisor.stop(pid)

    def test_its_name_is_taken_once(self, start: Callable[..., Pid]) -> None:
        pid = start()
        with pytest.raises(AlreadyStarted) as caught:
            start()
        assert caught.value.pid is pid

    def test_a_partition_that_fails_fails_the_start(self, start: Callable[..., Pid]) -> None:
        with pytest.raises(StartError) as caught:
            start(Doer, with_arguments=lambda args, partition: ("stop" if partition == 2 else None,))
        assert caught.value.child_id == 2

    def test_a_start_function_that_gives_no_pid_fails_the_start(self, start: Callable[..., Pid]) -> None:
        with pytest.raises(StartError, match="expected a Pid"):
            start(child_spec(Doer, start=lambda arg: "no pid"))

    def test_it_can_be_started_without_a_link(self) -> None:
        pid = PartitionSupervisor.start((Agent, dict), name="pool", partitions=1)
        assert pid not in process.info(process.self()).links  # type: ignore[union-attr]
        PartitionSupervisor.stop("pool")

    def test_partitions_find_each_other_while_they_start(self, start: Callable[..., Pid]) -> None:
        start(
            (Agent, None),
            partitions=2,
            with_arguments=lambda args, partition: (lambda: [process.whereis(via("pool", key)) for key in (0, 1)],),
        )
        assert Agent.get(via("pool", 1), lambda state: state) == [pids()[0], None]


class TestVia:
    def test_equal_keys_name_the_same(self) -> None:
        assert via("pool", 1) == via("pool", 1)
        assert hash(via("pool", 1)) == hash(via("pool", 1))
        assert len({via("pool", 1), via("pool", 1.0), via("pool", True), via("another", 1)}) == 4
        assert via("pool", 1) != "pool"
        assert repr(via("pool", "key")) == "PartitionSupervisor.via('pool', 'key')"
        with pytest.raises(BadType, match="key must be hashable"):
            via("pool", [])  # type: ignore[arg-type]

    @pytest.mark.row("PS-03")
    def test_a_key_belongs_to_one_partition(self, start: Callable[..., Pid]) -> None:
        start()
        for key in ("a", ("b", 1), 2.5, None, True, 10**30, -(10**30)):
            pid = process.whereis(via("pool", key))
            assert pid in pids().values()
            assert process.whereis(via("pool", key)) is pid
        assert process.whereis(via("pool", -PARTITIONS - 3)) is pids()[3]

    def test_it_names_a_server_wherever_one_is_named(self, start: Callable[..., Pid]) -> None:
        start(Doer)
        name = via("pool", 1)
        pid = pids()[1]
        assert call(name, process.self) is pid
        assert send(name, "message") == "message"
        ref = process.monitor(name)
        cast(name, "shutdown")
        down = process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)
        assert (down.pid, down.reason) == (name, "shutdown")

    def test_supervisors_are_partitions(self, start: Callable[..., Pid]) -> None:
        start(DynamicSupervisor)
        child = DynamicSupervisor.start_child(via("pool", 5), (Agent, dict))
        assert [info.pid for info in Supervisor.which_children(pids()[5])] == [child]

    def test_nothing_can_be_started_under_it(self, start: Callable[..., Pid]) -> None:
        start()
        with pytest.raises(BadArgument, match="cannot be the name of a start"):
            Agent.start_link(dict, name=via("pool", 1))
        with pytest.raises(BadArgument, match="cannot be taken from its process"):
            via("pool", 1).unregister_name()

    @pytest.mark.row("PS-05", "RG-21")
    def test_nobody_is_behind_the_name_of_an_unknown_supervisor(self) -> None:
        assert process.whereis(via("nowhere", 1)) is None
        with pytest.raises(NoProcess):
            call(via("nowhere", 1), process.self)
        cast(via("nowhere", 1), "message")

    def test_nobody_is_behind_it_before_the_supervisor_has_started(self, start: Callable[..., Pid]) -> None:
        early = EarlyBird(lambda pid: process.whereis(via(pid, 1)))
        early.found = "unused"
        start(name=early)
        assert early.found is None
        assert process.whereis(via(early, 1)) is not None

    def test_another_process_is_no_partition_supervisor(self) -> None:
        pid = Doer.start()
        with pytest.raises(BadArgument, match="expected a partition supervisor"):
            call(via(pid, 1), process.self)
        end(pid)

    def test_a_child_that_does_not_want_to_run_is_not_found(self, start: Callable[..., Pid]) -> None:
        start((Doer, "ignore"), partitions=1)
        assert pids() == {0: None}
        assert process.whereis(via("pool", 1)) is None


class TestRestart:
    def test_a_key_finds_the_successor(self, start: Callable[..., Pid]) -> None:
        start(max_restarts=1_000)
        for number in range(PARTITIONS):
            before = pids()
            end(before[number])
            after = pids()
            assert after[number] is not before[number]
            assert process.whereis(via("pool", number)) is after[number]
            assert [key for key in before if before[key] is not after[key]] == [number]

    def test_nobody_is_behind_a_partition_that_has_ended(self, start: Callable[..., Pid]) -> None:
        start(child_spec((Agent, dict), restart="temporary"))
        pid = process.whereis(via("pool", 1))
        assert pid is not None
        end(pid)
        assert process.whereis(via("pool", 1)) is None
        with pytest.raises(NoProcess):
            Agent.get(via("pool", 1), lambda state: state)

    def test_the_strategy_is_that_of_a_supervisor(self, start: Callable[..., Pid]) -> None:
        start(strategy="one_for_all")
        before = pids()
        end(before[3])
        until(lambda: all(process.whereis(via("pool", number)) for number in range(PARTITIONS)))
        assert not set(before.values()) & set(pids().values())

    def test_too_many_restarts_end_it(self, start: Callable[..., Pid]) -> None:
        pid = start(max_restarts=0)
        ref = process.monitor(pid)
        end(pids()[0])
        down = process.receive(lambda message: getattr(message, "ref", None) is ref, timeout=DEADLINE)
        assert down.reason == "shutdown"


class TestChildren:
    @pytest.mark.row("PS-07")
    def test_their_ids_are_the_numbers_of_the_partitions(self, start: Callable[..., Pid]) -> None:
        start(partitions=3)
        children = PartitionSupervisor.which_children("pool")
        assert children == [ChildInfo(number, process.whereis(via("pool", number)), "worker") for number in (2, 1, 0)]
        assert PartitionSupervisor.get_child_spec("pool", 1).id == 1

    @pytest.mark.row("PS-07")
    def test_workers_are_counted(self, start: Callable[..., Pid]) -> None:
        start()
        assert PartitionSupervisor.count_children("pool") == ChildCounts(8, 8, supervisors=0, workers=8)

    @pytest.mark.row("PS-07")
    def test_supervisors_are_counted(self, start: Callable[..., Pid]) -> None:
        start(DynamicSupervisor)
        assert PartitionSupervisor.count_children("pool") == ChildCounts(8, 8, supervisors=8, workers=0)


class TestStop:
    @pytest.mark.row("PS-05")
    def test_everything_has_ended_when_it_returns(self, start: Callable[..., Pid]) -> None:
        start()
        running = pids().values()
        PartitionSupervisor.stop("pool")
        assert process.whereis("pool") is None
        assert not any(process.is_alive(pid) for pid in running)

    @pytest.mark.row("PS-05")
    def test_an_unknown_supervisor_is_no_process(self) -> None:
        for use in (
            PartitionSupervisor.partitions,
            PartitionSupervisor.count_children,
            PartitionSupervisor.which_children,
            PartitionSupervisor.stop,
            lambda name: PartitionSupervisor.resize(name, 1),
        ):
            with pytest.raises(NoProcess):
                use("nowhere")


class TestResize:
    @pytest.mark.row("PS-06")
    def test_partitions_end_and_start_again(self, start: Callable[..., Pid]) -> None:
        start()
        before = PARTITIONS
        for count in (8, 0, 8, 1, 7, 2, 2, 5, 0, 0, 3, 8):
            assert PartitionSupervisor.resize("pool", count) == before
            counts = PartitionSupervisor.count_children("pool")
            assert (counts.active, counts.specs) == (count, 8)
            assert PartitionSupervisor.partitions("pool") == count
            assert {process.whereis(via("pool", number)) for number in range(20 if count else 0)} == {
                pid for number, pid in pids().items() if number < count
            }
            before = count

    @pytest.mark.row("PS-06")
    def test_no_key_belongs_to_zero_partitions(self, start: Callable[..., Pid]) -> None:
        start()
        PartitionSupervisor.resize("pool", 0)
        with pytest.raises(BadArgument, match="has zero partitions"):
            call(via("pool", 0), process.self)

    @pytest.mark.row("PS-06")
    def test_there_are_never_more_than_at_the_start(self, start: Callable[..., Pid]) -> None:
        start()
        with pytest.raises(BadArgument, match="must be a number between 0 and 8, got 9"):
            PartitionSupervisor.resize("pool", 9)
        with pytest.raises(BadArgument, match="partitions must be a whole number, at least 0, got -1"):
            PartitionSupervisor.resize("pool", -1)
        assert PartitionSupervisor.partitions("pool") == 8

    def test_what_runs_already_is_not_started_twice(self, start: Callable[..., Pid]) -> None:
        start()
        PartitionSupervisor.resize("pool", 2)
        pid = Supervisor.restart_child("pool", 3)
        PartitionSupervisor.resize("pool", 8)
        assert pids()[3] is pid

    def test_a_partition_that_fails_leaves_those_before_it(self, start: Callable[..., Pid]) -> None:
        refused: set[int] = set()

        def begin(number: int) -> Pid:
            if number in refused:
                raise ZeroDivisionError
            return Doer.start_link()

        start(child_spec((Doer, None), start=begin), with_arguments=lambda args, partition: (partition,))
        PartitionSupervisor.resize("pool", 2)
        refused.add(5)
        with pytest.raises(StartError):
            PartitionSupervisor.resize("pool", 8)
        assert PartitionSupervisor.partitions("pool") == 5
        assert do(via("pool", 4), process.self) is pids()[4]
        refused.clear()
        assert PartitionSupervisor.resize("pool", 8) == 5

    def test_another_process_cannot_be_resized(self, supervise: Callable[..., Pid]) -> None:
        with pytest.raises(BadArgument, match="expected a partition supervisor"):
            PartitionSupervisor.resize(supervise(), 1)
