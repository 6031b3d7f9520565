from __future__ import annotations

import dataclasses
import re
import types

import pytest

from supervision.messages import BRUTAL_KILL, INFINITY
from thousand_island.errors import BadOption, MissingOption, UnknownOption
from thousand_island.server_config import ServerConfig
from thousand_island.transports.listen_options import ListenOptions


class HandlerLike:
    """Has the callbacks of a Handler, which is all that the options ask for."""

    def handle_connection(self, socket, state): ...
    def handle_data(self, data, socket, state): ...
    def handle_close(self, socket, state): ...
    def handle_error(self, reason, socket, state): ...
    def handle_shutdown(self, socket, state): ...
    def handle_timeout(self, socket, state): ...


class PlainTransport:
    def listen(self, port, options): ...


class CheckingTransport(PlainTransport):
    def check_options(self, port, options):
        ListenOptions.new(port, options)


def config(**options):
    return ServerConfig.new(**{"handler_module": HandlerLike, "transport_module": PlainTransport(), **options})


class TestDefaults:
    @pytest.mark.row("TIC-04", "TIC-05", "TID-01")
    def test_defaults_are_those_of_the_original(self):
        transport = PlainTransport()
        made = config(transport_module=transport)
        assert {field.name: getattr(made, field.name) for field in dataclasses.fields(made)} == {
            "handler_module": HandlerLike,
            "handler_options": None,
            "genserver_options": {},
            "supervisor_options": {},
            "port": 4000,
            "transport_module": transport,
            "transport_options": {},
            "num_acceptors": 100,
            "num_listen_sockets": 1,
            "num_connections": 16_384,
            "max_connections_retry_count": 5,
            "max_connections_retry_wait": 1_000,
            "max_connections": INFINITY,
            "max_connections_per_ip": INFINITY,
            "at_limit": "wait",
            "read_timeout": 60_000,
            "handshake_timeout": 5_000,
            "shutdown_timeout": 15_000,
            "silent_terminate_on_error": False,
            "messages_defer_timeout": True,
        }

    def test_config_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            config().port = 5000

    @pytest.mark.parametrize("name", ["transport_options", "genserver_options", "supervisor_options"])
    def test_later_changes_of_a_given_dict_go_unnoticed(self, name):
        given = {}
        made = config(**{name: given})
        given["reuseport"] = True
        assert getattr(made, name) == {}


class TestNames:
    @pytest.mark.row("TID-02")
    def test_unknown_option_is_refused_with_the_nearest_name(self):
        with pytest.raises(UnknownOption, match="unknown option 'num_acceptor'; did you mean 'num_acceptors'"):
            config(num_acceptor=5)

    @pytest.mark.row("TIC-01")
    def test_missing_handler_module_is_refused(self):
        with pytest.raises(MissingOption, match="needs handler_module"):
            ServerConfig.new(port=4000)

    @pytest.mark.row("TIC-01")
    def test_handler_module_none_counts_as_missing(self):
        with pytest.raises(MissingOption, match="needs handler_module"):
            ServerConfig.new(port=4000, handler_module=None)

    def test_refusals_are_the_builtins_that_callers_expect(self):
        assert issubclass(UnknownOption, TypeError)
        assert issubclass(MissingOption, TypeError)
        assert issubclass(BadOption, ValueError)


class TestHandlerModule:
    def test_class_with_the_callbacks_is_taken(self):
        assert config(handler_module=HandlerLike).handler_module is HandlerLike

    @pytest.mark.parametrize(
        "escape_hatch",
        [types.SimpleNamespace(start_link=lambda arg: None), type("Own", (), {"start_link": lambda arg: None})],
    )
    def test_anything_with_start_link_is_taken(self, escape_hatch):
        assert config(handler_module=escape_hatch).handler_module is escape_hatch

    @pytest.mark.parametrize(
        "value", [int, "Echo", 5, object(), types.SimpleNamespace(start_link="no function"), print]
    )
    def test_what_is_no_handler_is_refused(self, value):
        with pytest.raises(BadOption, match=r"handler_module must be a subclass of thousand_island\.Handler"):
            config(handler_module=value)

    def test_class_with_some_of_the_callbacks_only_is_refused(self):
        half = type("Half", (), {"handle_data": lambda self, data, socket, state: None})
        with pytest.raises(BadOption, match=r"handler_module must be a subclass of thousand_island\.Handler"):
            config(handler_module=half)

    def test_instance_of_a_handler_is_refused_with_a_hint(self):
        with pytest.raises(BadOption, match="handler_module must be the class of the handler, got an instance"):
            config(handler_module=HandlerLike())


class TestValues:
    @pytest.mark.row("TIC-05")
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("port", 0),
            ("port", 65_535),
            ("num_acceptors", 1),
            ("num_connections", 0),
            ("num_connections", INFINITY),
            ("max_connections_retry_count", 0),
            ("max_connections_retry_wait", INFINITY),
            ("max_connections", 1),
            ("max_connections_per_ip", 1),
            ("at_limit", "close"),
            ("read_timeout", 0),
            ("read_timeout", INFINITY),
            ("handshake_timeout", INFINITY),
            ("shutdown_timeout", 0),
            ("shutdown_timeout", INFINITY),
            ("shutdown_timeout", BRUTAL_KILL),
            ("silent_terminate_on_error", True),
            ("messages_defer_timeout", False),
            ("handler_options", [1]),
            ("supervisor_options", {"name": "web", "max_restarts": 0, "max_seconds": 1}),
            ("genserver_options", {"timeout": 50, "dedicated_thread": True, "hibernate_after": INFINITY, "label": "x"}),
            ("transport_options", {"whatever": "the transport takes"}),
        ],
    )
    def test_option_overrides_its_default(self, name, value):
        assert getattr(config(**{name: value}), name) == value

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("port", -1, "a whole number from 0 to 65535"),
            ("port", 65_536, "a whole number from 0 to 65535"),
            ("port", "4000", "a whole number from 0 to 65535"),
            ("port", True, "a whole number from 0 to 65535"),
            ("port", 80.0, "a whole number from 0 to 65535"),
            ("num_acceptors", 0, "a whole number, at least 1"),
            ("num_acceptors", INFINITY, "a whole number, at least 1"),
            ("num_listen_sockets", 0, "a whole number, at least 1"),
            ("num_connections", -1, "a whole number, at least 0, or INFINITY"),
            ("num_connections", 1.5, "a whole number, at least 0, or INFINITY"),
            ("max_connections_retry_count", -1, "a whole number, at least 0"),
            ("max_connections_retry_count", INFINITY, "a whole number, at least 0"),
            ("max_connections_retry_wait", 0.5, "a whole number of milliseconds or INFINITY"),
            ("max_connections", 0, "a whole number, at least 1, or INFINITY"),
            ("max_connections_per_ip", -1, "a whole number, at least 1, or INFINITY"),
            ("at_limit", "drop", "'wait' or 'close'"),
            ("at_limit", None, "'wait' or 'close'"),
            ("read_timeout", 0.5, "a whole number of milliseconds or INFINITY"),
            ("read_timeout", -1, "a whole number of milliseconds or INFINITY"),
            ("read_timeout", True, "a whole number of milliseconds or INFINITY"),
            ("handshake_timeout", None, "a whole number of milliseconds or INFINITY"),
            ("shutdown_timeout", 1.5, "a whole number of milliseconds, INFINITY or BRUTAL_KILL"),
            ("shutdown_timeout", "kill", "a whole number of milliseconds, INFINITY or BRUTAL_KILL"),
            ("silent_terminate_on_error", 1, "True or False"),
            ("messages_defer_timeout", None, "True or False"),
            ("transport_module", 5, "the functions of thousand_island.Transport"),
            ("transport_options", [("nodelay", True)], "a dict of option names and values"),
            ("genserver_options", None, "a dict of option names and values"),
            ("supervisor_options", {1: 2}, "a dict of option names and values"),
        ],
    )
    def test_wrong_value_is_refused_with_its_name_and_what_was_expected(self, name, value, expected):
        with pytest.raises(BadOption) as caught:
            config(**{name: value})
        assert str(caught.value).startswith(f"{name} must ")
        assert expected in str(caught.value)
        assert str(caught.value).endswith(f", got {value!r}")

    @pytest.mark.parametrize(
        "name", ["max_connections_retry_wait", "read_timeout", "handshake_timeout", "shutdown_timeout"]
    )
    def test_duration_that_nobody_means_is_refused_with_the_limit(self, name):
        with pytest.raises(BadOption, match=re.escape(f"{name} must be less than 2**52, got {10**30}")):
            config(**{name: 10**30})
        assert getattr(config(**{name: 2**52 - 1}), name) == 2**52 - 1


class TestListenSockets:
    @pytest.mark.row("TIC-02")
    def test_more_listen_sockets_than_acceptors_are_refused(self):
        with pytest.raises(BadOption, match=r"num_listen_sockets must not be greater than num_acceptors \(3\), got 5"):
            config(num_listen_sockets=5, num_acceptors=3, transport_options={"reuseport": True})

    @pytest.mark.row("TIC-03")
    @pytest.mark.parametrize("transport_options", [{}, {"reuseport": False}])
    def test_several_listen_sockets_without_reuseport_are_refused(self, transport_options):
        with pytest.raises(BadOption, match="num_listen_sockets greater than 1 needs 'reuseport': True"):
            config(num_listen_sockets=2, transport_options=transport_options)

    @pytest.mark.row("TIC-06", "TIC-07")
    @pytest.mark.parametrize(("sockets", "acceptors"), [(3, 10), (5, 5)])
    def test_as_many_listen_sockets_as_acceptors_are_taken(self, sockets, acceptors):
        made = config(num_listen_sockets=sockets, num_acceptors=acceptors, transport_options={"reuseport": True})
        assert (made.num_listen_sockets, made.num_acceptors) == (sockets, acceptors)


class TestGenserverOptions:
    @pytest.mark.parametrize("handler_module", [HandlerLike, types.SimpleNamespace(start_link=lambda arg: None)])
    def test_name_is_refused(self, handler_module):
        with pytest.raises(BadOption, match="genserver_options must not have a name"):
            config(handler_module=handler_module, genserver_options={"name": "me"})

    def test_unknown_name_is_refused_with_the_nearest_one(self):
        with pytest.raises(UnknownOption, match="did you mean 'timeout'"):
            config(genserver_options={"time_out": 5})

    def test_wrong_value_is_refused(self):
        with pytest.raises(BadOption, match="timeout must be a whole number of milliseconds"):
            config(genserver_options={"timeout": 0.5})

    def test_own_start_link_takes_whatever_it_likes(self):
        options = {"anything": object()}
        made = config(handler_module=types.SimpleNamespace(start_link=lambda arg: None), genserver_options=options)
        assert made.genserver_options == options


class TestSupervisorOptions:
    def test_unknown_name_is_refused_with_the_nearest_one(self):
        with pytest.raises(UnknownOption, match="did you mean 'max_restarts'"):
            config(supervisor_options={"max_restart": 5})

    @pytest.mark.parametrize("options", [{"max_restarts": -1}, {"max_restarts": INFINITY}, {"max_seconds": 0}])
    def test_wrong_value_is_refused(self, options):
        (name,) = options
        with pytest.raises(BadOption, match=f"{name} must be a whole number"):
            config(supervisor_options=options)


class TestTransportOptions:
    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"transport_options": {"no_delay": True}}, UnknownOption),
            ({"transport_options": {"mode": "list"}}, BadOption),
            ({"transport_options": {"ip": ("local", "/run/app.sock")}}, BadOption),
        ],
    )
    def test_options_that_the_transport_refuses_are_refused(self, options, error):
        with pytest.raises(error):
            config(transport_module=CheckingTransport(), **options)

    def test_transport_is_asked_about_the_port_too(self):
        options = {"transport_options": {"ip": ("local", "/run/app.sock")}, "port": 0}
        assert config(transport_module=CheckingTransport(), **options).port == 0
