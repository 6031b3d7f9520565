from __future__ import annotations

import os
import pickle
from typing import Any

import pytest

from supervision import BRUTAL_KILL, INFINITY
from tests.thousand_island.workers.handlers import Identified
from tests.thousand_island.workers.running import HANDLERS
from thousand_island import BadOption, MissingOption, UnknownOption, transports
from thousand_island.workers.config import WorkersConfig

HANDLER = f"{HANDLERS}:Identified"


def new(**options: Any) -> WorkersConfig:
    return WorkersConfig.new(**{"handler": HANDLER, **options})


def test_the_handler_is_imported() -> None:
    assert new().server.handler_module.__qualname__ == Identified.__qualname__


def test_there_are_as_many_workers_as_cpus_by_default() -> None:
    assert 1 <= new().workers <= (os.cpu_count() or 1)


def test_logging_can_be_left_to_the_handler() -> None:
    assert new(log_level=None).log_level is None


def test_restarts_grow_with_the_number_of_workers() -> None:
    assert (new(workers=4).restarts, new(workers=4, max_restarts=1).restarts) == (7, 1)


@pytest.mark.parametrize(
    ("timeout", "shutdown"), [(1_000, 6_000), (0, 5_000), (INFINITY, INFINITY), (BRUTAL_KILL, 5_000)]
)
def test_a_worker_gets_more_time_than_its_connections(timeout: Any, shutdown: float) -> None:
    assert new(shutdown_timeout=timeout).shutdown == shutdown


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"handler": None}, MissingOption, "needs handler"),
        ({"handler": "nowhere"}, BadOption, "MODULE:HANDLER"),
        ({"handler": Identified}, BadOption, "MODULE:HANDLER"),
        ({"handler": "no_such_module:Echo"}, BadOption, "there is no module 'no_such_module'"),
        ({"handler": f"{HANDLERS}:Identifed"}, BadOption, "did you mean 'Identified'"),
        ({"handler": "__main__:__name__"}, BadOption, "handler_module must be"),
        ({"handler_module": Identified}, UnknownOption, "option 'handler_module'; did you mean 'handler', such as"),
        ({"wokers": 2}, UnknownOption, "did you mean 'workers'"),
        ({"workers": 0}, BadOption, "workers must be a whole number, at least 1"),
        ({"workers": 2.0}, BadOption, "workers must be a whole number"),
        ({"workers": None}, BadOption, "workers must be a whole number"),
        ({"max_restarts": -1}, BadOption, "max_restarts must be"),
        ({"share": "fork"}, BadOption, "share must be 'listener' or 'reuseport'"),
        ({"log_level": "loud"}, BadOption, "log_level must be"),
        ({"start_timeout": 0.5}, BadOption, "whole number of milliseconds"),
        ({"max_seconds": 0}, BadOption, "max_seconds must be"),
        ({"port": -1}, BadOption, "port must be"),
        ({"num_listen_sockets": 2, "transport_options": {"reuseport": True}}, BadOption, "share='reuseport'"),
        ({"handler_options": lambda: None}, BadOption, "picklable"),
        (
            {"share": "reuseport", "transport_options": {"ip": ("local", "/run/x")}, "port": 0},
            BadOption,
            "unix socket",
        ),
    ],
)
def test_what_is_wrong_is_refused_before_anything_starts(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        new(**options)


def test_a_handler_of_the_program_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("__main__.Identified", Identified, raising=False)
    with pytest.raises(BadOption, match="must be in a module that workers can import"):
        new(handler="__main__:Identified")


def test_a_worker_is_told_its_options_but_not_where_to_listen() -> None:
    options = {"ip": ("local", "/run/x"), "socket_mode": 0o600, "backlog": 5, "linger": (True, 3)}
    order = pickle.loads(
        new(port=0, read_timeout=INFINITY, transport_module=transports.TCP, transport_options=options).order()
    )
    assert order.handler == HANDLER
    assert order.options["transport_options"] == {"backlog": 5, "linger": (True, 3)}
    assert order.options["read_timeout"] == INFINITY
    assert order.options["transport_module"] is transports.TCP
    assert "handler_module" not in order.options
