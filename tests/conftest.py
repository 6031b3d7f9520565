"""What every test gets: the options of a run, and a check that the test leaves nothing behind."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping

import blinker
import hypothesis
import pytest

import supervision
from supervision import process

# How long, in seconds, what a test has ended may take to be gone. Only a leak ever costs this much.
PATIENCE = 3.0
# Seconds between two looks: nothing announces that a descriptor has been closed or a thread has ended.
PAUSE = 0.005
# Threads with such names are the runtime's own: it keeps idle ones for later.
WORKER_NAME = "supervision"

# A busy machine stalls for longer than hypothesis grants an example; the timeout of the test still holds.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

Things = frozenset[Hashable]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--switch-interval",
        type=float,
        default=os.environ.get("SWITCH_INTERVAL"),
        metavar="SECONDS",
        help="how often threads take turns: small values bring races to light (default: $SWITCH_INTERVAL)",
    )


def pytest_configure(config: pytest.Config) -> None:
    interval = config.getoption("--switch-interval")
    if interval is not None:
        sys.setswitchinterval(interval)
    _keep_coverage_from_hanging()


def _keep_coverage_from_hanging() -> None:
    """Take coverage's lock away: a kill that strikes in a callback may hit its tracer while it holds the lock."""
    coverage = sys.modules.get("coverage")
    measuring = coverage.Coverage.current() if coverage is not None else None
    if measuring is not None and getattr(measuring, "_collector", None) is not None:
        measuring._collector.data_lock = None


def live_processes() -> Things:
    return frozenset(process.pids())


def registered_names() -> Things:
    return frozenset(process.registered())


def stuck_threads() -> Things:
    return frozenset(zombie.pid for zombie in supervision.zombies())


def threads_of_the_test() -> Things:
    return frozenset(thread for thread in threading.enumerate() if not thread.name.startswith(WORKER_NAME))


def telemetry_receivers() -> Things:
    signals = [named for named in list(blinker.default_namespace.items()) if named[0].startswith("thousand_island.")]
    return frozenset((name, receiver) for name, signal in signals for receiver in list(signal.receivers))


def open_descriptors() -> Things:
    """All of them, each with its number: what the system keeps without a file, such as an epoll, shares one inode."""
    return frozenset(found for number in os.listdir("/dev/fd") for found in _open_descriptor(int(number)))


def _open_descriptor(number: int) -> Iterator[Hashable]:
    try:
        status = os.fstat(number)
    except OSError:  # the listing's own descriptor, or one that another thread has closed meanwhile
        return
    yield number, stat.filemode(status.st_mode), status.st_dev, status.st_ino


LOOKS: Mapping[str, Callable[[], Things]] = {
    "live processes": live_processes,
    "registered names": registered_names,
    "stuck threads": stuck_threads,
    "threads": threads_of_the_test,
    "telemetry receivers": telemetry_receivers,
    "open descriptors": open_descriptors,
}


def look_around() -> dict[str, Things]:
    return {what: look() for what, look in LOOKS.items()}


def leftovers(before: Mapping[str, Things]) -> dict[str, Things]:
    return {what: more for what, now in look_around().items() if (more := now - before[what])}


def wait_until_clean(before: Mapping[str, Things]) -> dict[str, Things]:
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while (left := leftovers(before)) and time.monotonic() < deadline:
        pause.wait(PAUSE)
    return left


def empty_mailbox() -> None:
    """Drop what the test has left for the main thread: the next test must not receive it."""
    try:
        while True:
            process.receive(timeout=0)
    except supervision.ReceiveTimeout:
        return


@pytest.fixture(autouse=True)
def nothing_survives_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that passed and left a process, name, thread, receiver or descriptor; kill all processes of any."""
    process.self()  # the main thread's process lives as long as the run, so it must be there before the first look
    before = look_around()
    failures = request.session.testsfailed
    yield
    has_failed = request.session.testsfailed > failures
    left = leftovers(before) if has_failed else wait_until_clean(before)
    for pid in left.get("live processes", ()):
        process.exit(pid, "kill")
    empty_mailbox()
    if left and not has_failed:
        pytest.fail(
            "; ".join(f"left {what} behind: {sorted(map(repr, things))}" for what, things in left.items()),
            pytrace=False,
        )
