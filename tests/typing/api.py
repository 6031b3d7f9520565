"""The public API as users write it. It is never run: mypy --strict reads it, and fails where a type was lost."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NoReturn, assert_type

import supervision
import thousand_island
from supervision import (
    BRUTAL_KILL,
    INFINITY,
    TIMEOUT,
    Actor,
    Agent,
    CallTimeout,
    ChildSpec,
    Down,
    DynamicSupervisor,
    Exit,
    Ignore,
    NoReply,
    Ok,
    PartitionSupervisor,
    Pid,
    Ref,
    Registry,
    Reply,
    RequestId,
    RequestIds,
    ServerExit,
    StartError,
    Stop,
    SupervisionError,
    Supervisor,
    Task,
    TaskExit,
    TaskResult,
    TaskSupervisor,
    Timeout,
    call,
    cast,
    child_spec,
    process,
    reply,
    stop,
)
from thousand_island import Close, Continue, Error, Handler, Persistent, Socket, SocketClosed, SocketTimeout, workers


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
    assert_type(process.monitor(pid, tag=("gone", 1)), Ref)
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
    process.cancel_timer(process.exit_after("a name", "kill", milliseconds=1_000))


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
            case "tick":
                return Reply(None, count, Timeout(500, "tick"))
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
    assert_type(Counter.start_monitor(3, name="third"), tuple[Pid, Ref])
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


def becoming_an_actor() -> NoReturn:
    process.register("become", process.self())
    Counter.enter_loop(1, name="become", timeout=Timeout(500, "tick"))


def requests(pid: Pid) -> None:
    request_id = assert_type(supervision.send_request(pid, "next"), RequestId)
    answer = supervision.wait_response(request_id, timeout=0) or supervision.receive_response(request_id, 5_000)
    match answer:
        case ("reply", value):
            assert_type(value, Any)
        case ("error", reason):
            assert_type(reason, Any)
        case None:
            print("too slow")
    many = RequestIds()
    assert_type(many.send_request("counter", "next", label=1), RequestId)
    many.add(request_id, "first")
    while many:
        found = many.wait_response(INFINITY, delete=True) or many.receive_response(5_000)
        if found is not None:
            (kind, value), label = found
            assert_type(kind, Literal["reply", "error"])
            print(value, label)


class Client(Actor):
    def handle_info(self, message: object, state: RequestId) -> NoReply:
        if (answer := supervision.check_response(message, state)) is not None:
            print(answer[1])
        return NoReply(state)


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
    assert_type(Supervisor.which_child(sup, "six").pid, Pid | str | None)
    print(Supervisor.get_callback_module(sup).__name__)
    Supervisor.start_child(sup, (Counter, 1))
    Supervisor.terminate_child(sup, "six")
    Supervisor.restart_child(sup, "six")
    Supervisor.delete_child(sup, "six")
    Supervisor.stop(sup)
    dynamic = DynamicSupervisor.start_link(name="dynamic", max_children=10)
    started = DynamicSupervisor.start_child(dynamic, (Counter, 1))
    if started is not None:
        DynamicSupervisor.terminate_child(dynamic, started)


def partitions() -> None:
    assert_type(PartitionSupervisor.start_link(DynamicSupervisor, name="pool", partitions=4), Pid)
    DynamicSupervisor.start_child(PartitionSupervisor.via("pool", "a key"), (Counter, 1))
    assert_type(PartitionSupervisor.partitions("pool"), int)
    assert_type(PartitionSupervisor.resize("pool", 2), int)


def length(text: str) -> int:
    return len(text)


def tasks() -> None:
    task = assert_type(Task.async_(length, "text"), Task[int])
    try:
        assert_type(task.await_(timeout=1_000), int)
    except TaskExit as exited:
        print(exited.reason)
    match task.yield_(0) or task.shutdown(BRUTAL_KILL):
        case ("ok", value):
            assert_type(value, Any)
        case ("exit", reason):
            print(reason)
    assert_type(Task.await_many([task, Task.completed(1)], INFINITY), list[int])
    assert_type(Task.start_link(length, "text"), Pid)
    result = assert_type(process.receive(TaskResult), TaskResult)
    print(result.ref is task.ref, result.value)
    Supervisor.start_link([(Task, lambda: length("text"))], strategy="one_for_one")


def supervised_tasks() -> None:
    sup = assert_type(TaskSupervisor.start_link(name="tasks", max_children=10), Pid)
    assert_type(TaskSupervisor.async_(sup, length, "text"), Task[int])
    assert_type(TaskSupervisor.async_nolink("tasks", length, "text", shutdown=1_000).await_(), int)
    pid = assert_type(TaskSupervisor.start_child(sup, length, "text", restart="transient"), Pid)
    assert_type(TaskSupervisor.children(sup), list[Pid])
    TaskSupervisor.terminate_child(sup, pid)
    for kind, value in TaskSupervisor.async_stream(sup, ["a", "b"], length, max_concurrency=2, on_timeout="kill_task"):
        print(kind == "ok", value)
    for outcome in TaskSupervisor.async_stream_nolink(sup, ["a", "b"], length, ordered=False, timeout=100):
        print(outcome)
    print(list(Task.async_stream(["a", "b"], length)))


def agents() -> None:
    agent = assert_type(Agent.start_link(lambda: ["a"], name="agent"), Pid)
    assert_type(Agent.get(agent, len), int)
    Agent.update("agent", lambda items: [*items, "b"])
    assert_type(Agent.get_and_update(agent, lambda items: (len(items), [])), int)
    Agent.cast(agent, lambda items: [*items, "c"])
    Agent.stop(agent)


def registries() -> None:
    assert_type(Registry.start_link(keys="unique", name="registry", listeners=["listener"]), Pid)
    assert_type(Registry.register("registry", "key", value=1), Pid)
    assert_type(Registry.lookup("registry", "key"), list[tuple[Pid, Any]])
    Registry.dispatch("registry", "key", lambda entries: [process.send(pid, value) for pid, value in entries])
    assert_type(Registry.keys("registry", process.self()), list[Any])
    assert_type(Registry.values("registry", "key", process.self()), list[Any])
    assert_type(Registry.count("registry"), int)
    assert_type(Registry.select("registry", lambda key, pid, value: value == 1), list[tuple[Any, Pid, Any]])
    assert_type(Registry.update_value("registry", "key", lambda value: value + 1), tuple[Any, Any])
    Counter.start_link(1, name=Registry.via("registry", ("counter", 1)))
    print(call(Registry.via("registry", ("counter", 1)), "next"))
    Registry.unregister("registry", "key")


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
    served = assert_type(workers.start_link(handler="shop:Greeter", workers=2, name="shop"), Pid)
    assert_type(workers.info(served).workers[0].active_connections, int | None)
    assert_type(workers.child_spec(handler="shop:Greeter"), ChildSpec)
    workers.rolling_restart("shop")
    assert_type(thousand_island.child_spec(port=0, handler_module=Greeter), ChildSpec)
    try:
        return assert_type(
            supervision.run([(thousand_island, {"port": 4000, "handler_module": Greeter}), Counter]), int
        )
    except SupervisionError:
        return 1
