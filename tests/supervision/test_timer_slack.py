"""Which threads are woken on time."""

from __future__ import annotations

import ctypes
import sys

import pytest

from supervision import process
from supervision.threads import GIL_ENABLED

PR_GET_TIMERSLACK = 30  # prctl(2)


def timer_slack() -> int:
    return int(ctypes.CDLL(None).prctl(PR_GET_TIMERSLACK))


@pytest.mark.skipif(
    sys.platform != "linux" or not GIL_ENABLED, reason="only Linux has it, only the GIL makes it matter"
)
def test_a_worker_has_the_least_and_a_foreign_thread_its_own() -> None:
    before, me = timer_slack(), process.self()
    process.spawn(lambda: process.send(me, timer_slack()))
    assert process.receive(int, timeout=5_000) == 1
    assert timer_slack() == before > 1
