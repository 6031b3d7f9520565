from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from supervision import errors

EXAMPLES: list[tuple[Exception, type[Exception], str]] = [
    (errors.BadArgument("x"), ValueError, "x"),
    (errors.BadType("x"), TypeError, "x"),
    (errors.NoProcess("counter"), LookupError, "no live process is behind 'counter'"),
    (errors.CallTimeout("x"), TimeoutError, "x"),
    (errors.CallError("x"), ValueError, "x"),
    (errors.ServerExit("boom", "counter"), Exception, "the server 'counter' exited before it answered: 'boom'"),
    (errors.ReceiveTimeout("x"), TimeoutError, "x"),
    (errors.BadReturn(dict, "init", 5, "Ok"), TypeError, "dict.init returned 5; expected Ok"),
    (errors.BadReturn("Counter", "init", 5, "Ok"), TypeError, "Counter.init returned 5; expected Ok"),
    (errors.StartError("boom"), Exception, "could not start: 'boom'"),
    (errors.StartError("boom", "w1"), Exception, "could not start child 'w1': 'boom'"),
    (errors.StartTimeout("timeout"), TimeoutError, "could not start: 'timeout'"),
    (errors.AlreadyStarted(5), errors.StartError, "could not start: ('already_started', 5)"),
    (errors.Ignored(), Exception, ""),
    (errors.AlreadyPresent("x"), ValueError, "x"),
    (errors.NotFound("x"), LookupError, "x"),
    (errors.Running("x"), Exception, "x"),
    (errors.Restarting("x"), Exception, "x"),
    (errors.BadChildSpec("x"), ValueError, "x"),
    (errors.MaxChildren("x"), Exception, "x"),
    (errors.TaskExit("boom"), Exception, "the task exited: 'boom'"),
    (errors.AlreadyRegistered(5, "key"), ValueError, "'key' is already registered by 5"),
]


def defined() -> dict[str, type[BaseException]]:
    members = inspect.getmembers(errors, inspect.isclass)
    return {name: member for name, member in members if issubclass(member, BaseException)}


class TestHierarchy:
    @pytest.mark.parametrize(("error", "builtin", "_text"), EXAMPLES)
    def test_every_error_is_a_supervision_error_and_the_built_in_that_fits(
        self, error: Exception, builtin: type[Exception], _text: str
    ) -> None:
        assert isinstance(error, errors.SupervisionError)
        assert isinstance(error, builtin)

    @pytest.mark.parametrize("ending", [errors.ProcessExit, errors.Killed])
    def test_an_exit_is_not_caught_as_an_exception(self, ending: type[BaseException]) -> None:
        assert not issubclass(ending, Exception)

    def test_every_error_has_its_row_in_this_table(self) -> None:
        no_errors = {"SupervisionError", "ProcessExit", "Killed"}
        assert {type(error).__name__ for error, _, _ in EXAMPLES} == set(defined()) - no_errors

    def test_every_error_is_public(self) -> None:
        assert sorted(errors.__all__) == sorted(defined())


class TestTexts:
    @pytest.mark.parametrize(("error", "_builtin", "text"), EXAMPLES)
    def test_every_error_says_what_is_wrong(self, error: Exception, _builtin: type[Exception], text: str) -> None:
        assert str(error) == text


class TestAttributes:
    @pytest.mark.parametrize("reason", ["boom", ("shutdown", 1), ValueError("boom"), None])
    @pytest.mark.parametrize("error", [errors.ProcessExit, errors.ServerExit, errors.StartError, errors.TaskExit])
    def test_a_reason_is_kept_as_it_was_given(self, error: Any, reason: Any) -> None:
        assert error(reason).reason is reason

    def test_a_process_exit_is_normal_unless_it_says_otherwise(self) -> None:
        assert errors.ProcessExit().reason == "normal"

    def test_what_was_asked_for_and_is_not_there_is_named(self) -> None:
        assert errors.NoProcess("counter").dest == "counter"
        assert errors.ServerExit("boom", "counter").dest == "counter"

    def test_the_child_that_failed_is_named(self) -> None:
        assert errors.StartError("boom", "w1").child_id == "w1"
        assert errors.StartError("boom").child_id is None

    def test_the_process_that_holds_the_name_is_given(self) -> None:
        assert errors.AlreadyStarted(5).pid == 5
        assert errors.AlreadyRegistered(5, "key").pid == 5

    def test_a_bad_return_has_the_callback_and_the_value(self) -> None:
        bad = errors.BadReturn("Counter", "init", 5, "Ok")
        assert (bad.callback, bad.value) == ("init", 5)


def remade_by_pickle(error: Any) -> Any:
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize("remake", [copy.copy, copy.deepcopy, remade_by_pickle])
@pytest.mark.parametrize(("error", "built_in", "text"), EXAMPLES)
def test_a_copy_has_the_same_text_and_attributes(error: Exception, built_in: type, text: str, remake: Any) -> None:
    error.add_note("seen at night")
    twin = remake(error)
    assert type(twin) is type(error)
    assert (str(twin), twin.args, vars(twin)) == (text, error.args, vars(error))
