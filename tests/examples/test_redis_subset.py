"""The Redis subset, tried with clients that nobody here wrote: redis-py, redis-cli and redis-benchmark."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import supervision
from examples import redis_subset as example
from examples.redis_subset import Connection, Store
from supervision import Supervisor, process
from tests.examples.program import program_of
from tests.thousand_island.serving import SECONDS, Server, down, serve

PATIENCE = 40  # seconds that a command may take before the test fails


def needs(command: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"there is no {command} command")


@pytest.fixture
def server() -> Iterator[Server]:
    data = Supervisor.start_link([(Store, "store")], strategy="one_for_one")
    with serve(Connection, handler_options="store") as server:
        yield server
    Supervisor.stop(data)


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with connect(server) as client:
        yield client


def connect(server: Server) -> redis.Redis:
    # No retries: an error is to be seen.
    host, port = server.address
    return redis.Redis(host, port, protocol=2, socket_timeout=SECONDS, retry=None, single_connection_client=True)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stderr == ""
    return done.stdout


def test_what_is_set_is_there_for_every_client_until_it_is_deleted(server: Server, client: redis.Redis) -> None:
    assert client.ping() is True
    assert client.echo("hello") == b"hello"
    assert client.set("a", b"\x00\r\n\xff") is True
    with connect(server) as other:
        assert other.get("a") == b"\x00\r\n\xff"
        assert other.exists("a", "b") == 1
        assert other.delete("a", "b") == 1
    assert client.get("a") is None


def test_incr_counts_from_nothing_and_refuses_what_is_no_number(client: redis.Redis) -> None:
    assert [client.incr("n") for _ in range(3)] == [1, 2, 3]
    for value in ("x", str(2**63 - 1)):
        client.set("n", value)
        with pytest.raises(redis.ResponseError, match="not an integer or out of range"):
            client.incr("n")
    assert client.get("n") == str(2**63 - 1).encode()


def test_keys_finds_names_by_pattern_and_flushall_removes_all(client: redis.Redis) -> None:
    for name in ("one", "once", "two"):
        client.set(name, 1)

    assert sorted(client.keys("on*")) == [b"once", b"one"]
    assert client.info()["db0"] == {"keys": 3}
    client.flushall()
    assert client.keys("*") == []


def test_a_pipeline_is_answered_in_order(client: redis.Redis) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(1_000):
        pipeline.set(f"key {number}", "x" * 1_000).incr("n")

    assert pipeline.execute() == [answer for number in range(1_000) for answer in (True, number + 1)]


def test_a_value_of_many_megabytes_comes_back_whole(client: redis.Redis) -> None:
    value = bytes(range(256)) * 40_000
    client.set("large", value)

    assert client.get("large") == value


def test_a_key_with_a_time_to_live_is_gone_after_it(client: redis.Redis) -> None:
    client.set("a", 1, ex=100)
    assert 0 < client.ttl("a") <= 100
    assert client.expire("a", 0)
    assert client.ttl("a") == -2
    assert not client.expire("a", 100)


def test_the_timer_of_a_key_removes_it_but_not_one_that_was_set_again(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_after = process.send_after
    monkeypatch.setattr(process, "send_after", lambda dest, key, milliseconds: send_after(dest, key, 1))
    client.set("short", 1, ex=100)
    while client.exists("short"):
        pass
    monkeypatch.undo()

    client.set("kept", 1, ex=100)
    store = process.whereis("store")
    process.send(store, b"kept")  # as a timer of an earlier key of that name does that was cancelled too late
    assert client.ttl("kept") > 0
    client.set("kept", 2)
    process.send(store, b"kept")
    assert client.ttl("kept") == -1
    assert client.persist("kept") is False


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (("NOTHING",), "unknown command 'NOTHING'"),
        (("GET",), "wrong number of arguments for 'get' command"),
        (("SET", "a", "1", "XX"), "syntax error"),
        (("SET", "a", "1", "EX", "-1"), "syntax error"),
        (("SET", "a", "1", "EX", "x"), "not an integer"),
        (("EXPIRE", "a", str(2**62)), "invalid expire time"),
    ],
)
def test_a_command_that_is_wrong_is_refused_and_the_connection_goes_on(
    client: redis.Redis, command: tuple[Any, ...], refusal: str
) -> None:
    with pytest.raises(redis.ResponseError, match=refusal):
        client.execute_command(*command)
    assert client.ping() is True


def test_what_is_not_resp_is_answered_and_hung_up_on(server: Server) -> None:
    with server.connect() as client, client.makefile("rb") as answers:
        client.sendall(b"PING\r\n*x\r\nPING\r\n")
        assert answers.read() == b"+PONG\r\n-ERR Protocol error: invalid length\r\n"


def test_the_store_may_crash_without_harm_to_connections(server: Server, client: redis.Redis) -> None:
    client.set("a", 1)
    (data,) = process.info(process.whereis("store")).links
    with connect(server) as other:
        other.ping()
        process.exit(process.whereis("store"), "kill")
        Supervisor.which_children(data)  # after this it is there again
        assert client.get("a") is None
        assert other.set("a", 2) is True
    assert len(server.connections()) >= 1


def test_without_a_store_commands_are_refused(server: Server, client: redis.Redis) -> None:
    (data,) = process.info(process.whereis("store")).links
    Supervisor.terminate_child(data, Store)
    with pytest.raises(redis.ResponseError, match="lost"):
        client.get("a")


def test_a_connection_may_crash_without_harm_to_the_store(server: Server, client: redis.Redis) -> None:
    client.set("a", 1)
    pid = server.only_connection()
    process.exit(pid, "kill")
    down(pid)
    with connect(server) as other:
        assert other.get("a") == b"1"


def test_only_version_2_of_the_protocol_is_agreed_to(client: redis.Redis) -> None:
    assert client.execute_command("HELLO", "2")[-2:] == [b"proto", 2]
    with pytest.raises(redis.ResponseError, match="NOPROTO"):
        client.execute_command("HELLO", "3")


@needs("redis-cli")
def test_redis_cli_is_understood(server: Server) -> None:
    cli = ("redis-cli", "-p", str(server.address[1]))

    assert run(*cli, "set", "a", "1") == "OK\n"
    assert run(*cli, "-r", "3", "incr", "a") == "2\n3\n4\n"
    assert run(*cli, "keys", "*") == "a\n"
    assert "db0:keys=1" in run(*cli, "info")


@needs("redis-benchmark")
@pytest.mark.parametrize("pipelined", ["1", "16"])
def test_redis_benchmark_comes_through(server: Server, pipelined: str) -> None:
    size = ("-n", "2000", "-c", "20", "-P", pipelined)
    said = run("redis-benchmark", "-p", str(server.address[1]), *size, "-t", "ping,set,get,incr", "--csv")

    tests = [line.split(",")[0].strip('"') for line in said.splitlines()[1:]]
    assert tests == ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"]


def test_run_as_a_program_it_supervises_the_data_and_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    store, (module, options) = program_of(Path(example.__file__), monkeypatch)

    assert supervision.child_spec(store).type == "worker"
    assert module.child_spec(**options).type == "supervisor"
