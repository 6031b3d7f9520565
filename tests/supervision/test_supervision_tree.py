from __future__ import annotations

import threading
from typing import Any

import pytest

import supervision
from supervision import (
    Actor,
    Backoff,
    DynamicSupervisor,
    Ok,
    Pid,
    Supervisor,
    Task,
    TaskSupervisor,
    TreeNode,
    child_spec,
    process,
)
from supervision.messages import Down
from tests.supervision.supervised import until

PATIENCE = 10.0


class Worker(Actor):
    pass


class Parent(Actor):
    """An actor that starts another one by itself."""

    def init(self, arg: Any) -> Ok:
        return Ok(Worker.start_link(label="of its own"))


def end(*pids: Pid) -> None:
    for pid in pids:
        process.unlink(pid)
        ref = process.monitor(pid)
        process.exit(pid, "shutdown")
        assert process.receive(Down, timeout=10_000).ref is ref


def nested(name: str, *children: Any, **options: Any) -> Any:
    return child_spec(
        Supervisor,
        id=name,
        args=(),
        start=lambda: Supervisor.start_link(list(children), strategy="one_for_one", **options),
    )


def shape(nodes: tuple[TreeNode, ...]) -> list[Any]:
    return [(node.id, shape(node.children)) if node.children else node.id for node in nodes]


class TestTree:
    def test_without_anything_running_it_is_empty(self) -> None:
        assert supervision.tree() == ()

    def test_it_shows_supervisors_and_their_children_in_the_order_of_their_start(self) -> None:
        sup = Supervisor.start_link(
            [child_spec(Worker, id="a"), nested("b", child_spec(Worker, id="c"), child_spec(Worker, id="d"))],
            strategy="one_for_one",
        )
        assert shape(supervision.tree()) == [(None, ["a", ("b", ["c", "d"])])]
        end(sup)

    def test_a_node_says_what_is_known_of_the_process(self) -> None:
        sup = Supervisor.start_link([child_spec(Worker, id="a")], strategy="one_for_one", name="top")
        (info,) = Supervisor.which_children(sup)
        until(lambda: not (sup._process.running.locked() or info.pid._process.running.locked()))  # type: ignore[union-attr]
        (root,) = supervision.tree()
        (child,) = root.children
        assert (root.pid, root.label, root.id, root.kind, root.status) == (
            sup,
            "Supervisor",
            None,
            "supervisor",
            "waiting",
        )
        expected = TreeNode(
            pid=info.pid,  # type: ignore[arg-type]
            label="Worker",
            id="a",
            kind="actor",
            status="waiting",
            message_queue_len=0,
            restarts=0,
            children=(),
        )
        assert child == expected
        end(sup)

    def test_actors_hang_below_the_actor_that_started_them(self) -> None:
        parent = Parent.start_link()
        (root,) = supervision.tree()
        assert root.pid is parent
        assert [node.label for node in root.children] == ["of its own"]
        end(parent)

    @pytest.mark.parametrize("supervised", [False, True])
    def test_a_task_hangs_below_its_supervisor_or_if_it_has_none_below_its_owner(self, supervised: bool) -> None:
        def wait() -> None:
            process.receive()

        class Owner(Actor):
            def init(self, arg: Pid | None) -> Ok:
                return Ok(Task.async_(wait) if arg is None else TaskSupervisor.async_(arg, wait))

        tasks = TaskSupervisor.start_link()
        owner = Owner.start_link(tasks if supervised else None)
        below = {root.pid: [node.kind for node in root.children] for root in supervision.tree()}
        assert below == {tasks: ["task"] if supervised else [], owner: [] if supervised else ["task"]}
        end(owner, tasks)

    def test_a_child_that_is_only_linked_to_its_supervisor_is_shown_as_its_child(self) -> None:
        spec = child_spec(Worker, id="linked", start=lambda: process.spawn_link(process.receive), args=())
        sup = Supervisor.start_link([spec], strategy="one_for_one")
        assert shape(supervision.tree()) == [(None, ["linked"])]
        end(sup)

    def test_a_child_that_has_been_terminated_is_shown_as_stopped(self) -> None:
        sup = Supervisor.start_link([child_spec(Worker, id="a"), child_spec(Worker, id="b")], strategy="one_for_one")
        Supervisor.terminate_child(sup, "a")
        (root,) = supervision.tree()
        stopped = root.children[0]
        assert (stopped.id, stopped.pid, stopped.kind, stopped.status) == ("a", None, "worker", "stopped")
        end(sup)

    def test_a_child_that_waits_to_be_restarted_is_shown_as_restarting(self) -> None:
        spec = child_spec(Worker, id="a", backoff=Backoff(60_000, 60_000))
        sup = Supervisor.start_link([spec], strategy="one_for_one")
        end(Supervisor.which_children(sup)[0].pid)  # type: ignore[arg-type]
        assert Supervisor.which_children(sup)[0].pid == "restarting"
        (root,) = supervision.tree()
        assert [(node.id, node.pid, node.status) for node in root.children] == [("a", None, "restarting")]
        end(sup)

    def test_restarts_are_counted(self) -> None:
        sup = Supervisor.start_link([child_spec(Worker, id="a")], strategy="one_for_one")
        for _ in range(2):
            end(Supervisor.which_children(sup)[0].pid)  # type: ignore[arg-type]
            Supervisor.count_children(sup)  # answered after the restart
        (root,) = supervision.tree()
        assert root.children[0].restarts == 2
        end(sup)

    def test_the_children_of_a_dynamic_supervisor_are_shown(self) -> None:
        sup = DynamicSupervisor.start_link()
        started = [DynamicSupervisor.start_child(sup, child_spec(Worker, id=n)) for n in range(3)]
        (root,) = supervision.tree()
        assert [node.pid for node in root.children] == started
        end(sup)

    def test_a_supervisor_that_still_starts_its_children_is_shown_with_those_that_run(self) -> None:
        started, go_on = threading.Event(), threading.Event()

        def start() -> Pid:
            started.set()
            assert go_on.wait(PATIENCE)
            return Worker.start_link()

        specs = [child_spec(Worker, id="first"), child_spec(Worker, id="slow", start=start, args=())]
        sups: list[Pid] = []
        starting = threading.Thread(target=lambda: sups.append(Supervisor.start(specs, strategy="one_for_one")))
        starting.start()
        assert started.wait(PATIENCE)
        (root,) = supervision.tree()
        assert (root.kind, root.status, [node.label for node in root.children]) == ("supervisor", "running", ["Worker"])
        go_on.set()
        starting.join(PATIENCE)
        Supervisor.stop(sups[0])

    def test_a_chain_of_thousands_is_shown(self) -> None:
        class Link(Actor):
            def handle_cast(self, length: int, state: Any) -> supervision.NoReply:
                if length:
                    supervision.cast(Link.start_link(), length - 1)
                else:
                    complete.set()
                return supervision.NoReply(state)

        complete = threading.Event()
        first = Link.start_link()
        supervision.cast(first, 3_000)
        assert complete.wait(PATIENCE)
        (node,) = supervision.tree()
        length = 0
        while node.children:
            (node,) = node.children
            length += 1
        assert length == 3_000
        end(first)


class TestTreeOfOne:
    def test_it_is_found_by_pid_name_and_via(self) -> None:
        class Via:
            def register_name(self, pid: Pid) -> None: ...
            def unregister_name(self) -> None: ...
            def whereis_name(self) -> Pid:
                return worker

        worker = Worker.start_link(name="worker")
        for dest in (worker, "worker", Via()):
            node = supervision.tree(dest)
            assert node is not None
            assert node.pid is worker
        end(worker)

    def test_nobody_has_no_tree(self) -> None:
        dead = Worker.start()
        end(dead)
        assert supervision.tree(dead) is None
        assert supervision.tree("nobody") is None

    def test_what_is_no_destination_is_refused(self) -> None:
        with pytest.raises(supervision.BadType):
            supervision.tree(1)
