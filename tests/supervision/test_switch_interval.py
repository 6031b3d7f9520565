"""The switch interval while callbacks compute."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from supervision.switch_interval import HOGGED_SWITCH_INTERVAL, SwitchInterval
from supervision.threads import GIL_ENABLED

USUAL = 0.005

# Python keeps whole microseconds.
ROUNDING = 2e-6

pytestmark = pytest.mark.skipif(not GIL_ENABLED, reason="without the GIL nobody waits for a turn")


@pytest.fixture(autouse=True)
def usual_interval() -> Iterator[None]:
    """Python's default, however the tests are run."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(USUAL)
    yield
    sys.setswitchinterval(before)


class TestShorten:
    @pytest.mark.parametrize(
        ("computing", "workers", "interval"),
        [
            (1, 2, HOGGED_SWITCH_INTERVAL),
            (30, 40, HOGGED_SWITCH_INTERVAL * 30),
            (1, 100, HOGGED_SWITCH_INTERVAL),
            (1, 1_000, HOGGED_SWITCH_INTERVAL * 10),
            (1_000, 1_000, USUAL),
        ],
    )
    def test_it_grows_with_those_that_compute_and_with_many_workers(
        self, computing: int, workers: int, interval: float
    ) -> None:
        SwitchInterval().shorten(computing, workers)
        assert sys.getswitchinterval() == pytest.approx(interval, abs=ROUNDING)

    def test_it_follows_their_number(self) -> None:
        switch_interval = SwitchInterval()
        for computing in (1, 20, 3):
            switch_interval.shorten(computing, 1)
            assert sys.getswitchinterval() == pytest.approx(HOGGED_SWITCH_INTERVAL * computing, abs=ROUNDING)

    def test_one_that_is_shorter_already_stays(self) -> None:
        sys.setswitchinterval(HOGGED_SWITCH_INTERVAL / 5)
        short = sys.getswitchinterval()
        switch_interval = SwitchInterval()
        switch_interval.shorten(1, 1)
        assert sys.getswitchinterval() == short
        switch_interval.restore()
        assert sys.getswitchinterval() == short

    def test_one_that_the_program_has_set_meanwhile_stays(self) -> None:
        switch_interval = SwitchInterval()
        switch_interval.shorten(1, 1)
        sys.setswitchinterval(USUAL * 2)
        switch_interval.shorten(2, 1)
        assert sys.getswitchinterval() == pytest.approx(USUAL * 2)


class TestRestore:
    def test_it_is_as_before(self) -> None:
        switch_interval = SwitchInterval()
        switch_interval.shorten(3, 1)
        switch_interval.restore()
        assert sys.getswitchinterval() == pytest.approx(USUAL)

    def test_a_longer_one_that_the_program_has_set_meanwhile_stays(self) -> None:
        switch_interval = SwitchInterval()
        switch_interval.shorten(1, 1)
        sys.setswitchinterval(USUAL * 2)
        switch_interval.restore()
        assert sys.getswitchinterval() == pytest.approx(USUAL * 2)
