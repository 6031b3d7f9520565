"""Where threads are, for reports."""

from __future__ import annotations

import tempfile
import threading

import pytest

from supervision import stacks
from supervision.threads import current


def test_the_stack_of_a_thread_ends_where_it_waits() -> None:
    ready, leave = threading.Event(), threading.Event()

    def wait_in_here() -> None:
        ready.set()
        assert leave.wait(5)

    thread = threading.Thread(target=wait_in_here)
    thread.start()
    assert ready.wait(5)
    found = dict(stacks._dumped())
    leave.set()
    thread.join()
    here = [call for call in found[thread.ident] if call.name == "wait_in_here"]
    assert [call.filename for call in here] == [__file__]
    assert threading.get_ident() in found


def test_a_dump_without_threads_has_no_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_dump", lambda: "")
    assert list(stacks._dumped()) == []


def test_without_a_descriptor_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert stacks.stack_of(current.record) == "(no stack)\n"
