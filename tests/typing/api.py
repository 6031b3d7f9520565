"""The public API as users write it. It is never run: mypy --strict reads it, and fails where a type was lost."""

from __future__ import annotations

import dataclasses
from typing import Any, assert_type

import supervision
import thousand_island
from supervision import (
    BRUTAL_KILL,
    INFINITY,
    TIMEOUT,
    Actor,
    CallTimeout,
    ChildSpec,
    Down,
    DynamicSupervisor,
    Exit,
    Ignore,
    NoReply,
    Ok,
    Pid,
    Ref,
    Reply,
    ServerExit,
    StartError,
    Stop,
    SupervisionError,
    Supervisor,
    call,
    cast,
    child_spec,
    process,
    reply,
    stop,
)
from thousand_island import Close, Continue, Error, Handler, Persistent, Socket, SocketClosed, SocketTimeout


def ping(friend: Pid, *, times: int) -> None:
    for _ in range(times):
        process.send(friend, ("ping", process.self()))
    raise process.ProcessExit(("shutdown", "tired"))


def processes() -> None:
    me = assert_type(process.self(), Pid)
    pid = assert_type(process.spawn(ping, me, times=3), Pid)
    assert_type(process.spawn_monitor(ping, me, times=1), tuple[Pid, Ref])
    process.send("a name", "a message")
    supervision.send(pid, b"bytes")
    process.link(pid)
    process.unlink(pid)
    ref = assert_type(process.monitor("a name"), Ref)
    assert_type(process.demonitor(ref, flush=True), bool)
    assert_type(process.trap_exit(True), bool)
    assert_type(process.is_alive(pid), bool)
    process.exit(pid, "kill")
    process.register("me", me)
    assert_type(process.whereis("me"), Pid | None)
    assert_type(process.pids(), list[Pid])
    process.unregister("me")
    process.set_label(("worker", 1))
    process.sleep(milliseconds=10)
    information = process.info(pid)
    if information is not None:
        assert_type(information.message_queue_len, int)
        assert_type(information.links, tuple[Pid, ...])
    assert_type(process.get_label(pid), Any)
    assert_type(process.registered(), list[str])


def messages() -> str:
    process.receive(lambda message: message == "go", timeout=5_000)
    process.receive((Down, Exit), timeout=INFINITY)
    down = assert_type(process.receive(Down), Down)
    return f"{down.ref} {down.pid} {down.reason}"


def timers(pid: Pid) -> None:
    timer = process.send_after(pid, "tick", milliseconds=1_000)
    assert_type(process.read_timer(timer), int | None)
    assert_type(process.cancel_timer(timer), int | None)


class Counter(Actor):
    restart = "transient"
    shutdown = 1_000

    def init(self, start: int) -> Ok | Ignore | Stop:
        if start < 0:
            return Stop("negative")
        return Ok(start, continue_with="warm up") if start else Ignore()

    def handle_call(self, request: str, caller: supervision.Caller, count: int) -> Reply | NoReply | Stop:
        match request:
            case "next":
                return Reply(count, count + 1, timeout=1_000)
            case "later":
                reply(caller, count)
                return NoReply(count)
            case _:
                return Stop("normal", count, reply="bye")

    def handle_cast(self, more: int, count: int) -> NoReply:
        return NoReply(count + more)

    def handle_info(self, message: object, count: int) -> NoReply | Stop:
        return Stop("normal", count) if message is TIMEOUT else NoReply(count, timeout=INFINITY)

    def handle_continue(self, argument: str, count: int) -> NoReply:
        return NoReply(count)

    def terminate(self, reason: Any, count: int) -> None:
        print(reason, count)


def actors() -> None:
    try:
        pid = assert_type(Counter.start_link(1, name="counter", timeout=5_000), Pid)
    except StartError as error:
        print(error.reason, error.child_id)
        return
    Counter.start(2, dedicated_thread=True, label="second")
    cast("counter", 3)
    try:
        print(call(pid, "next", timeout=5_000))
    except CallTimeout:
        print("too slow")
    except ServerExit as exited:
        print(exited.reason)
    stop(pid, "normal", timeout=INFINITY)
    answers, failed = supervision.multi_call([pid], "next", 1_000)
    assert_type(answers[pid], Any)
    assert_type(failed, list[Pid])
    supervision.abcast([pid], 1)


def inspection(pid: Pid) -> None:
    supervision.sys.suspend("counter")
    assert_type(supervision.sys.get_state(pid, timeout=1_000), Any)
    supervision.sys.replace_state(pid, lambda count: count + 1)
    status = supervision.sys.get_status(pid)
    assert_type(status.parent, Pid | None)
    supervision.sys.statistics(pid, True)
    statistics = supervision.sys.statistics(pid, "get")
    if statistics is not None:
        assert_type(statistics.messages_in, int)
    supervision.sys.trace(pid, False)
    supervision.sys.resume(pid)


class Discreet(Actor):
    def format_status(self, status: supervision.Status) -> supervision.Status:
        return dataclasses.replace(status, state="redacted")


async def from_asyncio(pid: Pid) -> None:
    print(await supervision.acall(pid, "next", timeout=INFINITY))


class App(Supervisor):
    def init(self, workers: int, **flags: Any) -> Any:
        children = [
            Counter,
            (Counter, workers),
            child_spec((Counter, 6), id="six", restart="temporary", shutdown=BRUTAL_KILL),
            ChildSpec("plain", Counter.start_link, (7,), significant=False),
        ]
        return super().init(children, strategy="rest_for_one", max_restarts=3, max_seconds=5, **flags)


def supervisors() -> None:
    sup = assert_type(App.start_link(5, name="app"), Pid)
    Supervisor.start_link([Counter], strategy="one_for_one")
    for child in Supervisor.which_children(sup):
        print(child.id, child.pid, child.type)
    assert_type(Supervisor.count_children("app").active, int)
    assert_type(Supervisor.get_child_spec(sup, "six"), ChildSpec)
    Supervisor.start_child(sup, (Counter, 1))
    Supervisor.terminate_child(sup, "six")
    Supervisor.restart_child(sup, "six")
    Supervisor.delete_child(sup, "six")
    Supervisor.stop(sup)
    dynamic = DynamicSupervisor.start_link(name="dynamic", max_children=10)
    started = DynamicSupervisor.start_child(dynamic, (Counter, 1))
    if started is not None:
        DynamicSupervisor.terminate_child(dynamic, started)


class Greeter(Handler):
    def handle_connection(self, socket: Socket, state: list[bytes]) -> Continue | Close:
        print(socket.peername(), socket.secure, self.pid)
        return Continue(state, Persistent(5_000))

    def handle_data(self, data: bytes, socket: Socket, state: list[bytes]) -> Continue | Close | Error:
        try:
            socket.send([b"hello ", [data, bytearray(b"!")]])
            more = assert_type(socket.recv(10, 1_000), bytes)
        except SocketTimeout:
            return Error("too slow", state)
        except SocketClosed:
            return Close(state)
        return Continue([*state, more], 60_000, continue_with="count")

    def handle_cast(self, text: bytes, state: tuple[Socket, list[bytes]]) -> NoReply:
        socket, _ = state
        socket.send(text)
        return NoReply(state, timeout=socket.read_timeout)

    def handle_close(self, socket: Socket, state: list[bytes]) -> None: ...
    def handle_error(self, reason: Any, socket: Socket, state: list[bytes]) -> None: ...
    def handle_shutdown(self, socket: Socket, state: list[bytes]) -> None: ...
    def handle_timeout(self, socket: Socket, state: list[bytes]) -> None: ...


def sockets(socket: Socket) -> None:
    socket.setopts({"nodelay": True})
    assert_type(socket.getopts(["nodelay"])["nodelay"], Any)
    assert_type(socket.getstat().recv_oct, int)
    socket.sendfile("README.md", 0, 0)
    socket.shutdown("write")
    socket.close()


def servers() -> int:
    server = assert_type(thousand_island.start_link(port=0, handler_module=Greeter, handler_options=[]), Pid)
    print(thousand_island.listener_info(server))
    for pid in assert_type(thousand_island.connection_pids(server), list[Pid]):
        cast(pid, b"news")
    thousand_island.stop(server, 1_000)
    assert_type(thousand_island.child_spec(port=0, handler_module=Greeter), ChildSpec)
    try:
        return assert_type(
            supervision.run([(thousand_island, {"port": 4000, "handler_module": Greeter}), Counter]), int
        )
    except SupervisionError:
        return 1
