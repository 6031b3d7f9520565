from __future__ import annotations

import dataclasses
import itertools
import types
from typing import Any

import pytest

from supervision import PartitionSupervisor, Task
from supervision.child_spec import (
    CHILD_TYPES,
    ChildSpec,
    check_children,
    check_significant,
    child_spec,
    default_child_spec,
)
from supervision.errors import BadArgument, BadChildSpec
from supervision.messages import BRUTAL_KILL, INFINITY
from supervision.restart import AUTO_SHUTDOWNS, RESTARTS, Backoff


class Worker:
    """A class as a child: the id is the class, the argument is what stands beside it."""

    @classmethod
    def start_link(cls, arg: Any) -> object:
        return (cls, arg)

    @classmethod
    def child_spec(cls, arg: Any) -> ChildSpec:
        return default_child_spec(cls, arg)


class Other(Worker):
    pass


class Wrong:
    @classmethod
    def child_spec(cls, arg: Any) -> Any:
        return {"id": cls, "arg": arg}


class Plain:
    pass


def module_with_child_spec() -> types.ModuleType:
    module = types.ModuleType("my_server")
    module.child_spec = lambda arg: ChildSpec("my_server", Worker.start_link, (arg,))  # type: ignore[attr-defined]
    return module


def spec(**fields: Any) -> ChildSpec:
    return ChildSpec(**{"id": "w", "start": Worker.start_link, **fields})


class TestChildSpec:
    def test_only_id_and_start_are_needed_and_the_rest_is_as_in_otp(self) -> None:
        made = ChildSpec("w", Worker.start_link)
        assert (made.args, made.restart, made.shutdown, made.type) == ((), "permanent", 5_000, "worker")
        assert (made.significant, made.backoff) == (False, None)

    def test_a_supervisor_gets_all_the_time_it_needs(self) -> None:
        assert spec(type="supervisor").shutdown == INFINITY

    @pytest.mark.parametrize("kind", CHILD_TYPES)
    def test_a_shutdown_that_was_given_is_kept_for_every_type(self, kind: str) -> None:
        assert spec(type=kind, shutdown=7).shutdown == 7

    @pytest.mark.parametrize(
        ("restart", "shutdown", "kind"),
        list(itertools.product(RESTARTS, [0, 1, 1_000, INFINITY, BRUTAL_KILL], CHILD_TYPES)),
    )
    def test_every_combination_of_restart_shutdown_and_type_is_accepted(
        self, restart: Any, shutdown: Any, kind: Any
    ) -> None:
        made = spec(restart=restart, shutdown=shutdown, type=kind)
        assert (made.restart, made.shutdown, made.type) == (restart, shutdown, kind)

    @pytest.mark.parametrize("identity", ["w", Worker, None, 7, ("conn", 1), object()])
    def test_any_hashable_value_is_an_id(self, identity: Any) -> None:
        assert spec(id=identity).id == identity

    @pytest.mark.parametrize("restart", ["transient", "temporary"])
    def test_a_child_that_may_end_can_be_significant(self, restart: str) -> None:
        assert spec(restart=restart, significant=True).significant

    def test_a_backoff_is_kept(self) -> None:
        assert spec(backoff=Backoff(10, 100)).backoff == Backoff(10, 100)

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            spec().id = "x"  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"id": ["w"]}, "child ['w']: id must be hashable, got ['w']"),
            ({"id": ("w", [])}, "child ('w', []): id must be hashable, got ('w', [])"),
            ({"start": "start_link"}, "child 'w': start must be callable, got 'start_link'"),
            ({"args": [1]}, "child 'w': args must be a tuple, got [1]"),
            (
                {"restart": "always"},
                "child 'w': restart must be 'permanent', 'transient' or 'temporary', got 'always'",
            ),
            ({"restart": None}, "child 'w': restart must be 'permanent', 'transient' or 'temporary', got None"),
            ({"type": "wizard"}, "child 'w': type must be 'worker' or 'supervisor', got 'wizard'"),
            ({"significant": 1}, "child 'w': significant must be True or False, got 1"),
            (
                {"significant": True},
                "child 'w': significant must be False where restart is 'permanent', got True",
            ),
            ({"backoff": 100}, "child 'w': backoff must be a Backoff or None, got 100"),
        ],
    )
    def test_a_wrong_field_is_refused_by_name_value_and_expectation(self, fields: dict[str, Any], text: str) -> None:
        with pytest.raises(BadChildSpec) as refused:
            spec(**fields)
        assert str(refused.value) == text

    @pytest.mark.parametrize("shutdown", [-1, 0.5, 5.0, True, "forever", float("nan"), (5,)])
    def test_a_shutdown_that_is_no_time_is_refused_with_its_unit(self, shutdown: Any) -> None:
        with pytest.raises(BadChildSpec) as refused:
            spec(shutdown=shutdown)
        assert str(refused.value) == (
            f"child 'w': shutdown must be a whole number of milliseconds, INFINITY or BRUTAL_KILL, got {shutdown!r}"
        )

    def test_a_refusal_is_a_value_error(self) -> None:
        with pytest.raises(BadArgument):
            spec(shutdown=-1)


class TestChildSpecFunction:
    def test_a_child_spec_is_returned_as_it_is(self) -> None:
        made = spec()
        assert child_spec(made) is made

    def test_a_bare_class_is_asked_with_none_and_is_its_own_id(self) -> None:
        made = child_spec(Worker)
        assert (made.id, made.start(*made.args)) == (Worker, (Worker, None))

    @pytest.mark.parametrize("arg", [5, None, (1, 2), {"name": "x"}, Worker])
    def test_a_class_with_an_argument_is_asked_with_it(self, arg: Any) -> None:
        assert child_spec((Worker, arg)).args == (arg,)

    def test_a_module_is_as_good_as_a_class(self) -> None:
        assert child_spec(module_with_child_spec()).args == (None,)
        assert child_spec((module_with_child_spec(), 5)).args == (5,)

    @pytest.mark.row("SU-29")
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("id", "w6"),
            ("start", Other.start_link),
            ("args", (1, 2)),
            ("restart", "temporary"),
            ("shutdown", 0),
            ("type", "supervisor"),
            ("backoff", Backoff(10, 100)),
        ],
    )
    def test_each_field_can_be_replaced(self, field: str, value: Any) -> None:
        assert getattr(child_spec((Worker, 6), **{field: value}), field) == value

    def test_significant_can_be_replaced_together_with_restart(self) -> None:
        assert child_spec(Worker, significant=True, restart="transient").significant

    def test_the_original_is_left_alone(self) -> None:
        made = spec()
        child_spec(made, id="x")
        assert made.id == "w"

    def test_a_default_shutdown_follows_a_new_type(self) -> None:
        assert child_spec(Worker, type="supervisor").shutdown == INFINITY
        assert child_spec(spec(type="supervisor"), type="worker").shutdown == 5_000

    def test_a_chosen_shutdown_stays_under_a_new_type(self) -> None:
        assert child_spec(spec(shutdown=7), type="supervisor").shutdown == 7
        assert child_spec(Worker, type="supervisor", shutdown=7).shutdown == 7

    def test_a_class_that_needs_an_argument_does_not_need_it_where_its_start_is_replaced(self) -> None:
        made = child_spec(Task, id="job", start=Worker.start_link, args=(1,))
        assert (made.id, made.start, made.args) == ("job", Worker.start_link, (1,))
        assert (made.restart, made.type, made.shutdown) == ("temporary", "worker", 5_000)
        assert child_spec(PartitionSupervisor, start=Worker.start_link, args=()).type == "supervisor"

    @pytest.mark.parametrize(
        ("child", "overrides"),
        [
            (Task, {"start": Worker.start_link}),
            (Task, {"args": (1,)}),
            ((Task, 5), {"start": Worker.start_link, "args": ()}),
            (5, {"start": Worker.start_link, "args": ()}),
            (Task, {"start": None, "args": ()}),
        ],
    )
    def test_what_is_wrong_in_any_case_is_refused_in_spite_of_overrides(
        self, child: Any, overrides: dict[str, Any]
    ) -> None:
        with pytest.raises(BadChildSpec):
            child_spec(child, **overrides)

    @pytest.mark.row("SU-29")
    def test_an_override_of_an_unknown_field_is_refused_with_the_nearest_name(self) -> None:
        with pytest.raises(BadChildSpec, match=r"unknown option 'restarts'; did you mean 'restart'"):
            child_spec(spec(), restarts="permanent")

    def test_an_override_with_a_wrong_value_is_refused(self) -> None:
        with pytest.raises(BadChildSpec, match=r"child 'w': shutdown must be .*, got -1"):
            child_spec(spec(), shutdown=-1)

    @pytest.mark.parametrize("child", [Plain, (Plain, 5), types.ModuleType("plain"), len])
    def test_a_class_or_module_without_child_spec_is_refused_by_name(self, child: Any) -> None:
        with pytest.raises(BadChildSpec, match=r"^(Plain|plain|len) was given as a child, but it has no child_spec"):
            child_spec(child)

    @pytest.mark.parametrize("child", ["Worker", 5, None, {"id": 1}, (), (Worker,), (Worker, 1, 2), ("Worker", 5)])
    def test_what_is_no_child_at_all_is_refused_with_what_would_be(self, child: Any) -> None:
        with pytest.raises(BadChildSpec, match="is no ChildSpec, no class or module with child_spec, and no tuple"):
            child_spec(child)

    def test_a_child_spec_method_that_returns_something_else_is_refused(self) -> None:
        with pytest.raises(BadChildSpec, match=r"^Wrong\.child_spec returned .* expected a ChildSpec$"):
            child_spec(Wrong)


class TestDefaultChildSpec:
    def test_it_starts_the_class_with_the_argument(self) -> None:
        assert default_child_spec(Worker, 5) == ChildSpec(Worker, Worker.start_link, (5,))

    def test_it_takes_over_what_the_class_says_of_itself(self) -> None:
        made = default_child_spec(Worker, 5, restart="transient", shutdown=BRUTAL_KILL, type="supervisor")
        assert (made.restart, made.shutdown, made.type) == ("transient", BRUTAL_KILL, "supervisor")

    def test_without_a_shutdown_the_type_decides(self) -> None:
        assert default_child_spec(Worker, 5, shutdown=None, type="supervisor").shutdown == INFINITY


class TestCheckChildren:
    def test_children_become_specs_in_the_order_given(self) -> None:
        specs = check_children([Worker, (Other, 5), spec()])
        assert [made.id for made in specs] == [Worker, Other, "w"]

    def test_no_children_are_no_specs(self) -> None:
        assert check_children([]) == []

    def test_two_children_with_one_id_are_refused(self) -> None:
        with pytest.raises(BadChildSpec, match=r"^child 'w': id must be unique"):
            check_children([spec(), Worker, spec()])

    def test_one_class_twice_needs_another_id(self) -> None:
        with pytest.raises(BadChildSpec, match="unique"):
            check_children([Worker, (Worker, 5)])
        assert len(check_children([Worker, child_spec((Worker, 5), id="second")])) == 2

    @pytest.mark.parametrize("children", [Worker, None, "abc", b"", 5, {}, {"worker": Worker}])
    def test_what_is_no_list_is_refused(self, children: Any) -> None:
        with pytest.raises(BadChildSpec, match=r"^children must be a list of children, got "):
            check_children(children)

    def test_one_bad_child_refuses_the_list(self) -> None:
        with pytest.raises(BadChildSpec, match="Plain"):
            check_children([Worker, Plain])

    def test_a_significant_child_is_refused_where_nothing_can_follow_from_it(self) -> None:
        with pytest.raises(BadChildSpec, match="significant must be False where auto_shutdown is 'never'"):
            check_children([spec(restart="transient", significant=True)])


class TestCheckSignificant:
    @pytest.mark.parametrize("mode", AUTO_SHUTDOWNS)
    def test_an_ordinary_child_fits_every_supervisor(self, mode: Any) -> None:
        check_significant(spec(), mode)
        assert check_children([spec()], auto_shutdown=mode) == [spec()]

    @pytest.mark.parametrize("mode", ["any_significant", "all_significant"])
    def test_a_significant_child_fits_a_supervisor_that_may_shut_down(self, mode: Any) -> None:
        significant = spec(restart="temporary", significant=True)
        check_significant(significant, mode)
        assert check_children([significant], auto_shutdown=mode) == [significant]
