from __future__ import annotations

import shutil

import pytest

from benchmarks.cost.system_calls import parse, traced
from benchmarks.failures import UnavailableError

SUMMARY = """\
strace: Process 4242 detached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.32    0.001203           1      1000           sendto
 39.68    0.000791           0      1001         1 recvfrom
  0.00    0.000000           0         3           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.001994           0      2004         1 total
"""


class TestParse:
    def test_calls_are_read_whether_or_not_some_failed(self) -> None:
        assert parse(SUMMARY) == {"sendto": 1_000, "recvfrom": 1_001, "epoll_wait": 3}

    def test_a_process_that_did_nothing_has_made_no_calls(self) -> None:
        assert parse("strace: Process 4242 detached\n") == {}


class TestTraced:
    def test_without_strace_it_is_said_that_there_are_no_system_calls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda _name: None)

        with pytest.raises(UnavailableError, match="strace is not installed"), traced(1):
            raise AssertionError("nothing is traced")
