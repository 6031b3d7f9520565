from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import (
    Actor,
    Agent,
    DynamicSupervisor,
    PartitionSupervisor,
    Registry,
    Supervisor,
    Task,
    TaskSupervisor,
    arguments,
    configure,
    run,
)
from supervision.errors import BadArgument, BadType
from supervision.messages import INFINITY

NO_WHOLE_NUMBERS: list[Any] = [0.5, 2.0, math.nan, -math.inf, True, False, None, "5", Decimal(5), [5]]


class TestMilliseconds:
    @given(st.integers(min_value=0, max_value=2**52 - 1))
    def test_whole_numbers_of_at_least_zero_are_returned(self, value: int) -> None:
        assert arguments.milliseconds("timeout", value) == value

    def test_infinity_is_returned_where_it_is_allowed(self) -> None:
        assert arguments.milliseconds("timeout", INFINITY) == INFINITY

    @pytest.mark.parametrize("value", NO_WHOLE_NUMBERS)
    @pytest.mark.parametrize("infinity", [True, False])
    def test_what_is_no_whole_number_is_a_bad_type(self, value: Any, infinity: bool) -> None:
        with pytest.raises(BadType):
            arguments.milliseconds("timeout", value, infinity=infinity)

    @given(st.integers(max_value=-1))
    def test_a_negative_number_is_a_bad_argument(self, value: int) -> None:
        with pytest.raises(BadArgument):
            arguments.milliseconds("timeout", value)

    def test_infinity_is_a_bad_argument_where_a_limit_is_needed(self) -> None:
        with pytest.raises(BadArgument, match=r"^period must be a whole number of milliseconds, got inf$"):
            arguments.milliseconds("period", INFINITY, infinity=False)

    def test_the_refusal_names_the_argument_the_unit_and_the_value(self) -> None:
        with pytest.raises(BadType) as refused:
            arguments.milliseconds("read_timeout", 0.5)
        assert str(refused.value) == "read_timeout must be a whole number of milliseconds or INFINITY, got 0.5"

    @pytest.mark.parametrize("value", [*NO_WHOLE_NUMBERS, -1])
    def test_the_predicate_is_false_for_what_would_be_refused(self, value: Any) -> None:
        assert not arguments.is_milliseconds(value)

    @pytest.mark.parametrize("value", [0, 1, INFINITY])
    def test_the_predicate_is_true_for_what_would_be_returned(self, value: Any) -> None:
        assert arguments.is_milliseconds(value)


class TestLongest:
    @pytest.mark.parametrize("check", [arguments.milliseconds, arguments.seconds])
    @pytest.mark.parametrize("value", [2**52, 10**400, 1 << 20_000], ids=["least", "beyond floats", "beyond printing"])
    def test_more_than_a_clock_can_tell_is_a_bad_argument(self, check: Any, value: int) -> None:
        with pytest.raises(BadArgument, match=r"^period must be less than 2\*\*52, got "):
            check("period", value)

    def test_the_predicate_knows_it_too(self) -> None:
        assert not arguments.is_milliseconds(2**52)


class TestSeconds:
    @given(st.integers(min_value=1, max_value=2**52 - 1))
    def test_whole_numbers_of_at_least_one_are_returned(self, value: int) -> None:
        assert arguments.seconds("max_seconds", value) == value

    @pytest.mark.parametrize("value", [0, -1, INFINITY])
    def test_zero_negative_and_infinite_times_are_bad_arguments(self, value: Any) -> None:
        with pytest.raises(BadArgument):
            arguments.seconds("max_seconds", value)

    @pytest.mark.parametrize("value", NO_WHOLE_NUMBERS)
    def test_what_is_no_whole_number_is_a_bad_type(self, value: Any) -> None:
        with pytest.raises(BadType):
            arguments.seconds("max_seconds", value)

    def test_the_refusal_names_the_unit(self) -> None:
        with pytest.raises(BadArgument, match=r"^max_seconds must be a whole number of seconds, at least 1, got 0$"):
            arguments.seconds("max_seconds", 0)


class TestCount:
    @pytest.mark.parametrize(("value", "minimum"), [(0, 0), (7, 0), (1, 1)])
    def test_whole_numbers_from_the_minimum_on_are_returned(self, value: int, minimum: int) -> None:
        assert arguments.count("num_acceptors", value, minimum=minimum) == value

    @pytest.mark.parametrize(("value", "minimum"), [(-1, 0), (0, 1), (INFINITY, 0)])
    def test_less_than_the_minimum_and_infinity_are_bad_arguments(self, value: Any, minimum: int) -> None:
        with pytest.raises(BadArgument, match=f"num_acceptors must be a whole number, at least {minimum}, got "):
            arguments.count("num_acceptors", value, minimum=minimum)

    def test_infinity_is_returned_where_it_is_allowed(self) -> None:
        assert arguments.count("max_children", INFINITY, infinity=True) == INFINITY

    @pytest.mark.parametrize("value", NO_WHOLE_NUMBERS)
    def test_what_is_no_whole_number_is_a_bad_type(self, value: Any) -> None:
        with pytest.raises(BadType, match="max_children must be a whole number, at least 0, or INFINITY, got "):
            arguments.count("max_children", value, infinity=True)


class TestFraction:
    @pytest.mark.parametrize("value", [0, 0.0, 0.25, 1, 1.0])
    def test_numbers_from_zero_to_one_are_returned(self, value: float) -> None:
        assert arguments.fraction("jitter", value) == value

    @pytest.mark.parametrize("value", [-0.1, 1.1, 2, math.nan, INFINITY])
    def test_other_numbers_are_bad_arguments(self, value: float) -> None:
        with pytest.raises(BadArgument, match=r"^jitter must be a number from 0 to 1, got "):
            arguments.fraction("jitter", value)

    @pytest.mark.parametrize("value", [True, None, "0.5"])
    def test_what_is_no_number_is_a_bad_type(self, value: Any) -> None:
        with pytest.raises(BadType):
            arguments.fraction("jitter", value)


class TestOneOf:
    @pytest.mark.parametrize("value", ["read", "write"])
    def test_each_choice_is_returned(self, value: str) -> None:
        assert arguments.one_of("way", value, ("read", "write")) == value

    def test_another_string_is_a_bad_argument_that_lists_the_choices(self) -> None:
        with pytest.raises(BadArgument) as refused:
            arguments.one_of("way", "red", ("read", "write", "both"))
        assert str(refused.value) == "way must be 'read', 'write' or 'both', got 'red'"

    @pytest.mark.parametrize("value", [None, 1, ["read"], ("read",)])
    def test_what_is_no_string_is_a_bad_type(self, value: Any) -> None:
        with pytest.raises(BadType, match=r"^way must be 'read', got "):
            arguments.one_of("way", value, ("read",))


class TestBoolean:
    @pytest.mark.parametrize("value", [True, False])
    def test_true_and_false_are_returned(self, value: bool) -> None:
        assert arguments.boolean("nodelay", value) is value

    @pytest.mark.parametrize("value", [0, 1, None, "", "yes"])
    def test_what_is_merely_true_or_false_like_is_a_bad_type(self, value: Any) -> None:
        with pytest.raises(BadType, match=r"^nodelay must be True or False, got "):
            arguments.boolean("nodelay", value)


class TestACallable:
    def test_something_callable_is_returned(self) -> None:
        assert arguments.a_callable("start", len) is len

    def test_something_else_is_a_bad_type(self) -> None:
        with pytest.raises(BadType, match=r"^start must be callable, got 'len'$"):
            arguments.a_callable("start", "len")


class TestUnknownOptions:
    def test_known_options_pass(self) -> None:
        arguments.unknown_options("start_link", {"port": 1}, ["port", "ip"])

    def test_no_options_pass_where_none_exist(self) -> None:
        arguments.unknown_options("start_link", [], [])

    def test_the_refusal_names_the_owner_the_option_and_the_nearest_name(self) -> None:
        with pytest.raises(BadType) as refused:
            arguments.unknown_options("start_link", ["max_restart"], {"max_restarts", "max_seconds", "name"})
        assert str(refused.value) == "start_link got an unknown option 'max_restart'; did you mean 'max_restarts'?"

    def test_the_refusal_lists_all_names_where_none_is_near(self) -> None:
        with pytest.raises(BadType, match=r"unknown option 'zzz'; it takes ip, port$"):
            arguments.unknown_options("start_link", ["zzz"], ["port", "ip"])

    def test_the_refusal_says_so_where_no_option_exists(self) -> None:
        with pytest.raises(BadType, match=r"unknown option 'zzz'; it takes none$"):
            arguments.unknown_options("start_link", ["zzz"], [])

    @pytest.mark.parametrize(
        ("use", "text"),
        [
            (lambda: Registry.start_link(name="r", kyes="unique"), "Registry.start_link .* did you mean 'keys'"),  # type: ignore[call-arg]
            (lambda: Task.async_(int, shutdown=1), "Task.async_ .* it takes none"),
            (lambda: Task.start(int, shutdown=1), "Task.start .* it takes none"),
            (lambda: Task.start_link(int, shutdown=1), "Task.start_link .* it takes none"),
            (lambda: TaskSupervisor.async_("sup", int, shutdwn=1), "TaskSupervisor.async_ .* did you mean 'shutdown'"),
            (lambda: TaskSupervisor.async_nolink("sup", int, shutdwn=1), "did you mean 'shutdown'"),
            (lambda: TaskSupervisor.start_child("sup", int, restrat="permanent"), "did you mean 'restart'"),
            (lambda: TaskSupervisor.async_stream("sup", [], int, shutdwn=1), "did you mean 'shutdown'"),
            (lambda: TaskSupervisor.async_stream_nolink("sup", [], int, order=True), "did you mean 'ordered'"),
            (lambda: TaskSupervisor.start_link(nmae="x"), "TaskSupervisor.start_link .* did you mean 'name'"),
            (lambda: Supervisor.start_link([], strategy="one_for_one", nmae="x"), "did you mean 'name'"),
            (lambda: DynamicSupervisor.start_link(nmae="x"), "did you mean 'name'"),
            (lambda: PartitionSupervisor.start_link(Task, name="x", partition=1), "did you mean 'partitions'"),
            (lambda: PartitionSupervisor.start_link(name="x", chidl=Task), "did you mean 'child'"),
            (lambda: run([], huryr=True), "supervision.run .* did you mean 'hurry'"),
            (lambda: Agent.start_link(dict, nmae="x"), "did you mean 'name'"),
            (lambda: Actor.enter_loop(None, nmae="x"), "Actor.enter_loop .* did you mean 'name'"),
            (lambda: configure(processor=1), "configure .* did you mean 'processors'"),
        ],
    )
    def test_whatever_starts_something_refuses_them(self, use: Callable[[], object], text: str) -> None:
        with pytest.raises(BadType, match=f"^{text}" if " .* " in text else text):
            use()

    def test_an_option_whose_name_is_no_string_is_refused(self) -> None:
        with pytest.raises(BadType, match=r"unknown option 7; it takes ip$"):
            arguments.unknown_options("start_link", {7: "x"}, ["ip"])


class TestOptionsByName:
    def test_what_is_taken_is_passed_on_and_the_rest_refused(self) -> None:
        @arguments.options_by_name
        def begin(first: int, *rest: int, port: int = 0) -> tuple[Any, ...]:
            return first, rest, port

        assert begin(1) == (1, (), 0)
        assert begin(1, 2, port=3) == (1, (2,), 3)
        assert list(inspect.signature(begin).parameters) == ["first", "rest", "port"]
        with pytest.raises(BadType, match=r"begin got an unknown option 'prot'; did you mean 'port'\?$"):
            begin(1, prot=3)  # type: ignore[call-arg]
