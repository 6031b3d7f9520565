"""Where threads are, for reports: read from the frames, and without the GIL from a dump."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from supervision import stacks
from supervision.threads import GIL_ENABLED

WITH_GIL = pytest.mark.skipif(not GIL_ENABLED, reason="frames change while they are walked")


@pytest.mark.parametrize("read", [stacks._dumped, pytest.param(stacks._walked, marks=WITH_GIL)])
def test_the_stack_of_a_thread_ends_where_it_waits(read: Callable[[], Any]) -> None:
    ready, leave = threading.Event(), threading.Event()

    def wait_in_here() -> None:
        ready.set()
        assert leave.wait(5)

    thread = threading.Thread(target=wait_in_here)
    thread.start()
    assert ready.wait(5)
    found = dict(read())
    leave.set()
    thread.join()
    here = [call for call in found[thread.ident] if call.name == "wait_in_here"]
    assert [call.filename for call in here] == [__file__]
    assert threading.get_ident() in found


def test_a_dump_without_threads_has_no_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_dump", lambda: "")
    assert list(stacks._dumped()) == []
