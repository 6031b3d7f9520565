"""Processes that have blocked in foreign code give their processors away before they do so again."""

from __future__ import annotations

import threading
import time
from typing import Any

import supervision
from supervision import Actor, NoReply, Reply, sys
from supervision.expected_blocks import BLOCKED_SECONDS, EXPECTED_BLOCKS
from supervision.scheduler import scheduler
from supervision.threads import current
from tests.supervision.doers import end
from tests.supervision.runtime import idle

PATIENCE = 10.0


class Echo(Actor):
    def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
        return Reply(request, state)


class Blocking(Actor):
    """Blocks in code that is not the library's for as many seconds as it is asked to."""

    def handle_call(self, request: float, caller: Any, state: Any) -> Reply:
        has_processor = not current.record.lost.locked()
        threading.Event().wait(request)
        return Reply(has_processor, state)


class TestExpectBlock:
    def test_the_processor_is_given_away_before_the_slice(self) -> None:
        actor = idle(Blocking.start())
        actor._process.blocks = 1
        assert not supervision.call(actor, 0)
        end(actor)

    def test_one_that_blocks_is_expected_to_do_so_again(self) -> None:
        actor = idle(Blocking.start())
        actor._process.blocks = 1
        supervision.call(actor, BLOCKED_SECONDS * 5)
        assert not supervision.call(actor, 0)
        end(actor)

    def test_one_that_does_not_is_soon_trusted_again(self) -> None:
        actor = idle(Blocking.start())
        actor._process.blocks = EXPECTED_BLOCKS
        deadline = time.monotonic() + PATIENCE
        while not supervision.call(actor, 0):
            assert time.monotonic() < deadline
        end(actor)

    def test_the_watchdog_finds_out(self) -> None:
        actor = idle(Blocking.start())
        deadline = time.monotonic() + PATIENCE
        while supervision.call(actor, 0.01):
            assert time.monotonic() < deadline
        end(actor)

    def test_many_that_block_do_so_at_the_same_time(self) -> None:
        together = threading.Barrier(40)

        class Meeting(Actor):
            def handle_cast(self, message: Any, state: Any) -> NoReply:
                together.wait(PATIENCE)
                return NoReply(state)

        actors = [Meeting.start() for _ in range(together.parties)]
        for _ in range(3):
            for actor in actors:
                supervision.cast(actor, "meet")
            for actor in actors:
                sys.get_state(actor)
        for actor in actors:
            end(actor)

    def test_one_that_computes_instead_is_noticed_all_the_same(self) -> None:
        begun, leave = threading.Event(), threading.Event()

        class Computing(Actor):
            def handle_cast(self, message: Any, state: Any) -> NoReply:
                begun.set()
                while not leave.is_set():
                    pass
                return NoReply(state)

        actor = Computing.start()
        actor._process.blocks = 1
        supervision.cast(actor, "compute")
        assert begun.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        other = Echo.start()
        while scheduler.watchdog.computing == 0:
            assert supervision.call(other, "still there") == "still there"
            assert time.monotonic() < deadline
        leave.set()
        end(actor)
        end(other)
