from __future__ import annotations

import threading

import pytest

from supervision import process, stop
from supervision.deeds import do_later
from supervision.scheduler import scheduler
from tests.supervision.actors import Echo
from tests.supervision.runtime import PATIENCE, eventually


@pytest.fixture(autouse=True)
def worker() -> None:
    """Somebody who has run, as whoever does something later has."""
    stop(Echo.start("state"))


class TestDoLater:
    def test_it_takes_no_lock(self) -> None:
        done = threading.Event()
        with scheduler.processors.lock, scheduler.timers.lock, scheduler.watchdog.lock:
            do_later(done.set)
        assert done.wait(PATIENCE)

    def test_it_is_done_in_a_slice_that_may_wait(self) -> None:
        threads: list[threading.Thread] = []
        done = threading.Event()

        def work(what: str) -> None:
            process.sleep(1)
            threads.append(threading.current_thread())
            done.set()

        do_later(work, "this")
        assert done.wait(PATIENCE)
        assert threads != [threading.current_thread()]

    def test_what_it_raises_is_logged_and_ends_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        def fail() -> None:
            raise SystemExit

        do_later(fail)
        assert eventually(lambda: "SystemExit" in caplog.text)
        done = threading.Event()
        do_later(done.set)
        assert done.wait(PATIENCE)
