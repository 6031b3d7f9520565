from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import supervision
import thousand_island
from examples import several_servers as example
from examples.several_servers import BOARD, BOOTH, COUNT, several_servers
from supervision import Pid, Supervisor, process
from tests.examples.program import program_of
from tests.thousand_island.serving import SECONDS, down


@pytest.fixture
def tree() -> Iterator[Pid]:
    pid = Supervisor.start_link(several_servers(0, 0), strategy="one_for_one")
    yield pid
    Supervisor.stop(pid)


@contextlib.contextmanager
def connected(server: str) -> Iterator[Any]:
    address = thousand_island.listener_info(server)
    with socket.create_connection(address, timeout=SECONDS) as client, client.makefile("rw") as lines:
        yield lines


def vote(booth: Any, candidate: str) -> str:
    booth.write(f"{candidate}\n")
    booth.flush()
    return booth.readline()


def standings(board: Any) -> str:
    """Read to the empty line that ends them."""
    return "".join(iter(board.readline, "\n"))


def crash(tree: Pid, name: str) -> None:
    """Kill a child, and wait until there is another."""
    pid = process.whereis(name)
    process.exit(pid, "kill")
    down(pid)
    Supervisor.which_children(tree)  # it answers after the restart
    assert process.whereis(name) not in (None, pid)


@pytest.mark.usefixtures("tree")
def test_votes_come_in_at_one_port_and_standings_go_out_at_the_other() -> None:
    with connected(BOARD) as board, connected(BOOTH) as one, connected(BOOTH) as other:
        assert standings(board) == ""
        assert vote(one, "tea") == "tea has 1\n"
        assert vote(other, "coffee") == "coffee has 1\n"
        assert vote(other, "tea") == "tea has 2\n"
        assert [standings(board) for _ in range(3)] == ["tea: 1\n", "coffee: 1\ntea: 1\n", "tea: 2\ncoffee: 1\n"]


@pytest.mark.usefixtures("tree")
def test_votes_may_come_at_once_and_in_pieces() -> None:
    with connected(BOOTH) as booth:
        assert vote(booth, "tea\ntea") == "tea has 1\n"
        assert booth.readline() == "tea has 2\n"
        for letter in "coffe":
            booth.write(letter)
            booth.flush()
        assert vote(booth, "e") == "coffee has 1\n"


def test_the_crash_of_one_server_does_not_reach_the_other(tree: Pid) -> None:
    with connected(BOARD) as board, connected(BOOTH) as booth:
        assert standings(board) == ""
        vote(booth, "tea")
        crash(tree, BOOTH)
        assert booth.readline() == ""
        with connected(BOOTH) as another:
            assert vote(another, "tea") == "tea has 2\n"
        assert [standings(board) for _ in range(2)] == ["tea: 1\n", "tea: 2\n"]


def test_votes_are_counted_while_the_board_is_broken(tree: Pid) -> None:
    with connected(BOOTH) as booth:
        Supervisor.terminate_child(tree, board := child_of(tree, BOARD))
        assert vote(booth, "tea") == "tea has 1\n"
        Supervisor.restart_child(tree, board)
        with connected(BOARD) as watching:
            assert standings(watching) == "tea: 1\n"


def test_the_crash_of_the_count_ends_no_connection(tree: Pid) -> None:
    with connected(BOARD) as board, connected(BOOTH) as booth:
        assert standings(board) == ""
        vote(booth, "tea")
        assert standings(board) == "tea: 1\n"
        crash(tree, COUNT)
        assert vote(booth, "coffee") == "coffee has 1\n"
        assert standings(board) == "coffee: 1\n"


def test_without_the_count_a_voter_is_told_to_try_again(tree: Pid) -> None:
    with connected(BOOTH) as booth:
        Supervisor.terminate_child(tree, child_of(tree, COUNT))
        assert vote(booth, "tea") == "not counted, try again\n"


def child_of(tree: Pid, name: str) -> Any:
    pid = process.whereis(name)
    (found,) = [child.id for child in Supervisor.which_children(tree) if child.pid == pid]
    return found


def test_run_as_a_program_it_supervises_all_three(monkeypatch: pytest.MonkeyPatch) -> None:
    children = program_of(Path(example.__file__), monkeypatch)

    assert [supervision.child_spec(child).type for child in children] == ["worker", "supervisor", "supervisor"]
