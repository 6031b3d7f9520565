"""The time of a processor that a thread has used."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from supervision.processor_time import is_runnable, processor_seconds
from tests.supervision.supervised import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems need not tell")


def test_a_thread_that_waits_uses_none_and_one_that_computes_does() -> None:
    entered, compute, computed, leave = (threading.Event() for _ in range(4))

    def work() -> None:
        entered.set()
        compute.wait()
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        computed.set()
        leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    assert thread.ident is not None
    entered.wait()
    before = processor_seconds(thread.ident)
    compute.set()
    computed.wait()
    after = processor_seconds(thread.ident)
    leave.set()
    thread.join()
    assert 0.05 <= after - before < 0.5


def test_a_thread_that_waits_is_not_runnable_and_one_that_runs_is() -> None:
    assert is_runnable(threading.get_native_id())
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    thread.start()
    assert thread.native_id is not None
    until(lambda: not is_runnable(thread.native_id))  # it waits
    leave.set()
    thread.join()
    until(lambda: not is_runnable(thread.native_id))  # the system's thread ends a little later than Python's
