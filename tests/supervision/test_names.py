"""Local names and vias."""

from __future__ import annotations

from typing import Any

import pytest

from supervision import (
    Actor,
    AlreadyRegistered,
    AlreadyStarted,
    BadArgument,
    BadType,
    Down,
    Ignore,
    NoProcess,
    NoReply,
    Ok,
    Pid,
    Reply,
    StartError,
    Stop,
    call,
    cast,
    names,
    process,
    stop,
)

DEADLINE = 5_000
NAME_WANTED = "name must be a non-empty string or a via"


def idle() -> None:
    process.receive(lambda message: message == "stop")


def end(pid: Pid) -> None:
    ref = process.monitor(pid)
    process.exit(pid, "kill")
    assert process.receive(Down, timeout=DEADLINE).ref is ref


class Named(Actor):
    def init(self, arg: Any) -> Any:
        if arg == "ignore":
            return Ignore()
        return Stop("refused") if arg == "stop" else Ok(arg)

    def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
        return Reply((request, state), state)

    def handle_cast(self, message: Any, state: Any) -> NoReply:
        return NoReply(message)


class Directory:
    """A via: one entry of a dict."""

    holders: dict[str, Pid]

    def __init__(self, key: str, holders: dict[str, Pid], *, polite: bool = False) -> None:
        self.key = key
        self.holders = holders
        self.polite = polite

    def register_name(self, pid: Pid) -> object:
        holder = self.holders.setdefault(self.key, pid)
        if holder is pid:
            return "yes"
        if self.polite:
            return "no"
        raise AlreadyRegistered(holder, self.key)

    def unregister_name(self) -> object:
        return self.holders.pop(self.key)

    def whereis_name(self) -> Pid | None:
        return self.holders.get(self.key)


class TestRegister:
    @pytest.mark.row("NM-01")
    def test_a_name_is_found_until_it_is_given_back(self) -> None:
        pid = process.spawn(idle)
        assert process.whereis("worker") is None
        process.register("worker", pid)
        assert process.whereis("worker") is pid
        assert "worker" in process.registered()
        process.unregister("worker")
        assert process.whereis("worker") is None
        assert "worker" not in process.registered()
        end(pid)

    def test_a_pid_is_found_while_it_lives(self) -> None:
        pid = process.spawn(idle)
        assert process.whereis(pid) is pid
        end(pid)
        assert process.whereis(pid) is None
        assert process.whereis(None) is None

    @pytest.mark.row("NM-03")
    def test_a_name_that_is_taken_stays_where_it_is(self) -> None:
        first, second = process.spawn(idle), process.spawn(idle)
        process.register("worker", first)
        with pytest.raises(AlreadyRegistered, match="'worker' is already registered") as caught:
            process.register("worker", second)
        assert caught.value.pid is first
        assert process.whereis("worker") is first
        end(first)
        process.register("worker", second)
        end(second)

    @pytest.mark.row("NM-03")
    def test_a_process_has_at_most_one_name(self) -> None:
        pid = process.spawn(idle)
        process.register("first", pid)
        for name in ("second", "first"):
            with pytest.raises(AlreadyRegistered, match="'first' is already registered"):
                process.register(name, pid)
        assert process.whereis("second") is None
        process.unregister("first")
        process.register("second", pid)
        end(pid)

    def test_the_dead_get_no_name(self) -> None:
        pid = process.spawn(idle)
        end(pid)
        with pytest.raises(NoProcess):
            process.register("worker", pid)
        assert process.whereis("worker") is None

    def test_the_dead_that_had_a_name_get_no_other(self) -> None:
        pid = process.spawn(idle)
        process.register("first", pid)
        end(pid)
        with pytest.raises(NoProcess):
            process.register("second", pid)

    @pytest.mark.row("NM-05")
    def test_a_name_that_nobody_has_cannot_be_given_back(self) -> None:
        with pytest.raises(NoProcess, match="'worker'"):
            process.unregister("worker")

    @pytest.mark.parametrize("name", [[], 5, None])
    def test_what_is_no_string_is_no_name_to_give_back(self, name: Any) -> None:
        with pytest.raises(BadType, match="name must be a string"):
            process.unregister(name)

    def test_the_name_of_the_dead_is_nobodys_while_it_is_being_released(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pid = process.spawn(idle)
        process.register("worker", pid)
        with monkeypatch.context() as patch:
            patch.setattr(names, "release", lambda process: None)
            end(pid)
        assert "worker" not in process.registered()
        with pytest.raises(NoProcess):
            process.unregister("worker")
        names.release(pid._process)

    @pytest.mark.row("NM-07")
    @pytest.mark.parametrize("name", [1, None, ("a", "b"), b"bytes", Pid])
    def test_what_is_no_name_is_refused(self, name: Any) -> None:
        with pytest.raises(BadType, match="name must be a non-empty string"):
            process.register(name, process.self())

    @pytest.mark.row("NM-04")
    @pytest.mark.parametrize("reason", ["kill", "abc", ("shutdown", 1)])
    def test_the_name_of_the_dead_is_free_when_exit_returns(self, reason: Any) -> None:
        pid = process.spawn(idle)
        process.register("worker", pid)
        process.exit(pid, reason)
        assert process.whereis("worker") is None
        assert "worker" not in process.registered()
        with pytest.raises(NoProcess):
            process.send("worker", "a message")


class TestNamedActor:
    @pytest.mark.row("NM-06", "GS-11")
    @pytest.mark.parametrize("start", [Named.start, Named.start_link])
    def test_a_second_one_is_refused_and_never_runs_init(self, start: Any) -> None:
        first = start("state", name="server")
        ran: list[Any] = []

        class Second(Named):
            def init(self, arg: Any) -> Any:
                ran.append(arg)
                return Ok(arg)

        with pytest.raises(AlreadyStarted) as caught:
            Second.start_link("second", name="server")
        assert caught.value.pid is first
        assert call("server", "question") == ("question", "state")
        assert not ran
        stop("server")
        assert process.whereis("server") is None
        stop(Second.start(1, name="server"))
        assert ran == [1]

    @pytest.mark.row("NM-07")
    @pytest.mark.parametrize("name", [1, ("via", "x"), b"bytes", Directory, object()])
    def test_what_is_no_name_is_refused_before_anything_is_started(self, name: Any) -> None:
        before = process.pids()
        with pytest.raises(BadType, match=NAME_WANTED):
            Named.start_link("state", name=name)
        assert process.pids() == before

    @pytest.mark.row("NM-07")
    def test_an_empty_name_is_refused(self) -> None:
        with pytest.raises(BadArgument, match=NAME_WANTED):
            Named.start_link("state", name="")

    @pytest.mark.row("NM-10", "GS-03")
    @pytest.mark.parametrize("arg", ["ignore", "stop"])
    def test_init_that_starts_nothing_leaves_no_name(self, arg: str) -> None:
        before = process.pids()
        for _ in range(100):
            with pytest.raises(Exception, match=r"Ignore|refused"):
                Named.start(arg, name="server")
            assert process.whereis("server") is None
        assert "server" not in process.registered()
        assert process.pids() == before

    @pytest.mark.row("GS-71")
    def test_a_successor_may_have_the_name_as_soon_as_the_death_is_heard_of(self) -> None:
        for _ in range(50):
            pid = Named.start_link("state", name="server")
            cast(pid, "state")
            process.exit(pid, "kill")
            process.receive(timeout=DEADLINE)
        assert process.whereis("server") is None

    def test_a_call_that_finds_the_name_at_once_comes_after_init(self) -> None:
        class Slow(Named):
            def init(self, arg: Any) -> Any:
                process.sleep(1)
                return Ok("ready")

        me = process.self()

        def eager() -> None:
            while process.whereis("server") is None:
                process.sleep(0)
            process.send(me, call("server", "question"))

        for _ in range(20):
            process.spawn(eager)
            pid = Slow.start(None, name="server")
            assert process.receive(timeout=DEADLINE) == ("question", "ready")
            stop(pid)


class TestVia:
    @pytest.mark.row("NM-11", "GS-47")
    def test_everything_that_takes_a_name_takes_a_via(self) -> None:
        holders: dict[str, Pid] = {}
        via = Directory("key", holders)
        pid = Named.start_link("state", name=via)
        assert holders == {"key": pid}
        assert process.whereis(via) is pid
        assert call(via, "question") == ("question", "state")
        cast(via, "new state")
        assert call(via, "question") == ("question", "new state")
        ref = process.monitor(via)
        stop(via)
        assert process.receive(Down, timeout=DEADLINE) == Down(ref, via, "normal")
        assert holders == {}
        with pytest.raises(NoProcess):
            call(via, "question")
        with pytest.raises(NoProcess):
            stop(via)
        cast(via, "to nobody")

    @pytest.mark.row("NM-06", "NM-11")
    @pytest.mark.parametrize("polite", [True, False])
    def test_a_via_that_is_taken_refuses_the_second(self, polite: bool) -> None:
        via = Directory("key", {}, polite=polite)
        pid = Named.start(None, name=via)
        before = process.pids()
        with pytest.raises(AlreadyStarted) as caught:
            Named.start_link(None, name=via)
        assert caught.value.pid is pid
        assert process.pids() == before
        stop(pid)

    @pytest.mark.row("NM-11")
    def test_a_killed_server_is_unregistered(self) -> None:
        via = Directory("key", {})
        pid = Named.start(None, name=via)
        process.exit(pid, "kill")
        assert via.whereis_name() is None

    def test_a_via_that_raises_starts_nothing(self) -> None:
        class Broken(Directory):
            def register_name(self, pid: Pid) -> object:
                raise RuntimeError("no directory")

        before = process.pids()
        with pytest.raises(RuntimeError, match="no directory"):
            Named.start_link(None, name=Broken("key", {}))
        assert process.pids() == before

    def test_a_via_that_cannot_unregister_does_not_hide_the_death(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(Directory):
            def unregister_name(self) -> object:
                raise RuntimeError("no directory")

        pid = Named.start(None, name=Broken("key", {}))
        ref = process.monitor(pid)
        process.exit(pid, "kill")
        assert process.receive(timeout=DEADLINE) == Down(ref, pid, "killed")
        assert "could not be released" in caplog.text

    def test_init_that_fails_unregisters(self) -> None:
        via = Directory("key", {})
        with pytest.raises(StartError):
            Named.start("stop", name=via)
        assert via.whereis_name() is None

    def test_a_via_that_ends_what_is_registered_has_it_back(self) -> None:
        class Deadly(Directory):
            def register_name(self, pid: Pid) -> Any:
                answer = super().register_name(pid)
                process.exit(pid, "kill")
                return answer

        via = Deadly("deadly", {})
        with pytest.raises(StartError) as caught:
            Named.start(name=via)
        assert caught.value.reason == "killed"
        assert via.whereis_name() is None
