"""Working while waiting, at the end of the interpreter; test_interpreter_exit has what it is for."""

from __future__ import annotations

import time

from supervision import process
from supervision.interpreter_exit import _shut_down
from supervision.stand_in import DEEPEST, stand_in
from supervision.threads import ThreadRecord
from supervision.waits import Wait


class TestStandIn:
    def test_only_a_worker_does_and_not_in_too_deep_a_nest(self) -> None:
        record = ThreadRecord()
        wait = Wait(record)
        parker = wait.parker
        stand_in(wait, record, None)
        record.worker, record.depth = True, DEEPEST
        stand_in(wait, record, None)
        assert wait.parker is parker

    def test_without_time_or_with_its_wait_at_an_end_it_runs_nobody(self) -> None:
        record = ThreadRecord()
        record.worker = True
        wait = Wait(record)
        stand_in(wait, record, time.monotonic())
        assert wait.fire("value")
        stand_in(wait, record, None)
        assert wait.parker is record.parker
        assert record.depth == 0


class TestShutDown:
    def test_one_that_has_just_ended_is_not_waited_for(self) -> None:
        pid = process.spawn(process.receive)
        process.exit(pid, "kill")
        began = time.monotonic()
        _shut_down([pid._process], began + 60)
        assert time.monotonic() - began < 30
