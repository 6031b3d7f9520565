from __future__ import annotations

import errno
import sys

import pytest

from tests.thousand_island.serving import Echo, exchange, interpreter, serve
from thousand_island import metrics
from thousand_island.errors import AlreadyAttached, NotAttached
from thousand_island.telemetry import Origin, signal_of, start_span

prometheus_client = pytest.importorskip("prometheus_client")

HANDLER = f"{Echo.__module__}.{Echo.__qualname__}"
COUNTED = {"send_oct": 5, "send_cnt": 1, "recv_oct": 70, "recv_cnt": 2}


class Exported:
    """What a registry shows of the metrics, by their names without the prefix."""

    def __init__(self, registry=None):
        self.registry = registry or prometheus_client.CollectorRegistry()

    def value(self, name, handler=HANDLER, **labels):
        return self.registry.get_sample_value(f"thousand_island_{name}", {"handler": handler, **labels})

    def names(self):
        samples = [sample.name for metric in self.registry.collect() for sample in metric.samples]
        return {name for name in samples if not name.endswith("_created")}


@pytest.fixture(autouse=True)
def detached():
    yield
    try:
        metrics.detach()
    except NotAttached:
        pass


@pytest.fixture
def exported():
    one = Exported()
    metrics.attach(one.registry)
    return one


def an_acceptor(handler=Echo):
    return start_span(Origin("server", handler), "acceptor")


def a_connection(handler=Echo):
    return an_acceptor(handler).start_child_span("connection", ("192.0.2.1", 5000))


class TestConnections:
    def test_open_connection_is_counted_until_it_ends(self, exported):
        first, second = a_connection(), a_connection()
        assert exported.value("connections") == 2
        first.stop(COUNTED)
        assert exported.value("connections") == 1
        second.stop(COUNTED)
        assert exported.value("connections") == 0

    def test_end_of_a_connection_that_began_before_attaching_does_not_count_down(self):
        exported = Exported()
        older = a_connection()
        metrics.attach(exported.registry)
        a_connection()
        older.stop(COUNTED)
        assert exported.value("connections") == 1
        metrics.detach()
        metrics.attach(exported.registry)
        a_connection()
        assert exported.value("connections") == 1

    def test_starts_and_ends_are_counted(self, exported):
        a_connection()
        a_connection().stop(COUNTED)
        assert exported.value("connections_started_total") == 2
        assert exported.value("connections_stopped_total", error="") == 1

    def test_duration_is_in_seconds(self, exported):
        span = a_connection()
        span.start_time -= 2_000_000_000
        span.stop(COUNTED)
        assert 2 <= exported.value("connection_duration_seconds_sum") < 10
        assert exported.value("connection_duration_seconds_bucket", le="1.0") == 0
        assert exported.value("connection_duration_seconds_bucket", le="10.0") == 1

    def test_bytes_reads_and_writes_are_those_of_the_stop_event(self, exported):
        a_connection().stop(COUNTED)
        assert exported.value("connection_received_bytes_sum") == 70
        assert exported.value("connection_received_bytes_bucket", le="64.0") == 0
        assert exported.value("connection_sent_bytes_sum") == 5
        assert exported.value("connection_sent_bytes_bucket", le="64.0") == 1
        assert exported.value("reads_total") == 2
        assert exported.value("writes_total") == 1


class TestErrors:
    def test_refused_connection_is_counted_by_its_reason(self, exported):
        an_acceptor().event(signal_of("acceptor.spawn_error"), {"error": "max_connections"})
        assert exported.value("connections_refused_total", error="max_connections") == 1

    def test_connection_refused_without_a_reason_met_num_connections(self, exported):
        an_acceptor().event(signal_of("acceptor.spawn_error"))
        assert exported.value("connections_refused_total", error="num_connections") == 1

    @pytest.mark.parametrize(
        ("event", "measurements", "error"),
        [
            ("econnaborted", {}, "econnaborted"),
            ("einval", {}, "einval"),
            ("accept_error", {"error": "enetdown"}, "enetdown"),
            ("emfile", {"error": "enfile"}, "enfile"),
        ],
    )
    def test_failure_to_accept_is_counted_by_its_error(self, exported, event, measurements, error):
        an_acceptor().event(signal_of(f"acceptor.{event}"), measurements)
        assert exported.value("accept_errors_total", error=error) == 1

    def test_error_that_ended_an_acceptor_is_one_too(self, exported):
        an_acceptor().stop({"connections": 3}, {"error": "ebadf"})
        assert exported.value("accept_errors_total", error="ebadf") == 1

    def test_acceptor_that_ended_well_had_no_error(self, exported):
        an_acceptor().stop({"connections": 3})
        assert "thousand_island_accept_errors_total" not in exported.names()

    @pytest.mark.parametrize("operation", ["recv", "send", "sendfile"])
    def test_socket_error_is_counted_by_operation(self, exported, operation):
        a_connection().event(signal_of(f"connection.{operation}_error"), {"error": "epipe"})
        assert exported.value("socket_errors_total", operation=operation, error="epipe") == 1

    @pytest.mark.parametrize(
        ("error", "label"),
        [
            ("timeout", "timeout"),
            (OSError(errno.EIO, "user 7"), "OSError"),
            ("no such user: 7", "other"),
            ("x" * 41, "other"),
            (("shutdown", 7), "other"),
            (7, "other"),
        ],
    )
    def test_error_is_a_plain_word_or_the_class_of_an_exception(self, exported, error, label):
        a_connection().stop(COUNTED, {"error": error})
        assert exported.value("connections_stopped_total", error=label) == 1

    def test_endless_reasons_do_not_make_endless_series(self, exported):
        for number in range(150):
            a_connection().stop(COUNTED, {"error": f"user_{number}"})
        assert exported.value("connections_stopped_total", error="user_99") == 1
        assert exported.value("connections_stopped_total", error="user_100") is None
        assert exported.value("connections_stopped_total", error="other") == 50


class TestHandlers:
    def test_each_handler_has_its_own_series(self, exported):
        class Other:
            pass

        a_connection()
        a_connection(Other)
        a_connection(Other)
        assert exported.value("connections") == 1
        assert exported.value("connections", handler=f"{__name__}.{Other.__qualname__}") == 2

    def test_module_is_shown_by_its_name(self, exported):
        a_connection(errno)
        assert exported.value("connections", handler="errno") == 1

    def test_other_object_is_shown_by_its_class(self, exported):
        a_connection(object())
        assert exported.value("connections", handler="builtins.object") == 1


class TestAttach:
    def test_attaching_twice_is_refused(self, exported):
        with pytest.raises(AlreadyAttached):
            metrics.attach(exported.registry)

    def test_what_is_not_attached_cannot_be_detached(self):
        with pytest.raises(NotAttached):
            metrics.detach()

    def test_default_registry_is_that_of_prometheus_client(self):
        metrics.attach()
        a_connection()
        shown = prometheus_client.generate_latest().decode()
        assert f'thousand_island_connections{{handler="{HANDLER}"}} 1.0' in shown

    def test_registry_that_has_such_a_name_is_refused_and_left_as_it_was(self):
        registry = prometheus_client.CollectorRegistry()
        own = prometheus_client.Counter("thousand_island_reads", "The program's own.", registry=registry)
        with pytest.raises(ValueError, match="thousand_island_reads"):
            metrics.attach(registry)
        a_connection()
        assert [metric.name for metric in registry.collect()] == ["thousand_island_reads"]
        registry.unregister(own)
        metrics.attach(registry)

    def test_detached_metrics_are_gone_and_begin_at_zero_when_attached_again(self):
        exported = Exported()
        metrics.attach(exported.registry)
        a_connection()
        metrics.detach()
        assert exported.names() == set()
        metrics.attach(exported.registry)
        a_connection()
        assert exported.value("connections_started_total") == 1

    def test_without_prometheus_client_the_error_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'thousand-island\[metrics\]'"):
            metrics.attach()

    def test_prometheus_client_is_not_imported_before_it_is_needed(self):
        with interpreter("import sys, thousand_island.metrics; sys.exit('prometheus_client' in sys.modules)"):
            pass


class TestServer:
    def test_connections_of_a_server_are_counted_with_what_they_carried(self, exported):
        with serve(Echo) as server:
            assert exchange(server.connect(), b"hello") == b"hello"
            assert exported.value("connections") == 1
        assert exported.value("connections") == 0
        assert exported.value("connections_stopped_total", error="") == 1
        assert exported.value("connection_received_bytes_sum") == 5
        assert exported.value("connection_sent_bytes_sum") == 5


def test_every_metric_is_documented(exported):
    a_connection().stop(COUNTED)
    an_acceptor().event(signal_of("acceptor.einval"))
    documented = {line.split()[0] for line in metrics.__doc__.splitlines() if line.startswith("thousand_island_")}
    made = {metric.name + ("_total" if metric.type == "counter" else "") for metric in exported.registry.collect()}
    assert documented == made
