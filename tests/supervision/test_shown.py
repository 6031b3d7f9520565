from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supervision import (
    INFINITY,
    Actor,
    BadType,
    ChildSpec,
    DynamicSupervisor,
    NotFound,
    Pid,
    ProcessExit,
    Reply,
    ServerExit,
    StartError,
    Supervisor,
    call,
    process,
)
from supervision.shown import shown, shown_briefly
from tests.supervision.actors import Echo
from tests.supervision.runtime import killed


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("not bound to a session")


class Unhashable:
    def __hash__(self) -> int:
        raise RuntimeError("not bound to a session")


class Link(Actor):
    """Asks the next in the chain; the last one fails."""

    def handle_call(self, chain: list[Pid], caller: Any, state: Any) -> Reply:
        return Reply(call(chain[0], chain[1:], INFINITY), state)


def fail() -> Any:
    raise ValueError(Unprintable())


class TestShown:
    @pytest.mark.parametrize("show", [shown, shown_briefly])
    def test_a_repr_is_shown_as_it_is(self, show: Callable[[Any], str]) -> None:
        assert show(("a", 1)) == "('a', 1)"

    @pytest.mark.parametrize("value", ["a" * 5_000, ["a" * 500] * 50, ServerExit("a" * 5_000)], ids=type)
    @pytest.mark.parametrize(("show", "longest"), [(shown, 1_000), (shown_briefly, 300)])
    def test_a_long_one_is_cut(self, show: Callable[[Any], str], longest: int, value: Any) -> None:
        text = show(value)
        assert len(text) <= longest
        assert text[:20] == repr(value)[:20]

    def test_one_that_raises_is_told_by_its_type(self) -> None:
        assert shown(Unprintable()).startswith("<Unprintable instance")

    @pytest.mark.parametrize("error", [SystemExit(), ProcessExit("gone")], ids=repr)
    def test_whatever_that_is(self, error: BaseException) -> None:
        class Leaving:
            def __repr__(self) -> str:
                raise error

        assert shown(Leaving()).startswith("<Leaving instance")


class TestTexts:
    def test_those_of_reasons_that_go_through_many_actors_stay_short(self) -> None:
        chain = [Link.start() for _ in range(20)]
        with pytest.raises(ServerExit) as caught:
            call(chain[0], chain[1:])
        assert len(str(caught.value)) < 2_000
        for pid in chain:
            assert not process.is_alive(pid)

    @pytest.mark.row("SU-13", "DS-11")
    @pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
    @pytest.mark.parametrize("start", [fail, Unprintable])
    def test_a_start_that_fails_with_what_cannot_be_printed_is_refused(self, kind: Any, start: Any) -> None:
        sup = Supervisor.start([], strategy="one_for_one") if kind is Supervisor else DynamicSupervisor.start()
        with pytest.raises(StartError, match="instance"):
            kind.start_child(sup, ChildSpec("bad", start))
        assert Supervisor.count_children(sup).active == 0
        killed(sup)

    @pytest.mark.parametrize(
        "operation",
        [
            Supervisor.terminate_child,
            Supervisor.restart_child,
            Supervisor.delete_child,
            Supervisor.get_child_spec,
            Supervisor.which_child,
        ],
    )
    @pytest.mark.parametrize(("id_", "error"), [(Unprintable(), NotFound), (Unhashable(), BadType)])
    def test_an_id_that_cannot_be_printed_or_hashed_costs_the_supervisor_nothing(
        self, operation: Any, id_: Any, error: type[Exception]
    ) -> None:
        sup = Supervisor.start([ChildSpec("healthy", Echo.start_link)], strategy="one_for_one")
        with pytest.raises(error):
            operation(sup, id_)
        assert Supervisor.count_children(sup).active == 1
        killed(sup)
