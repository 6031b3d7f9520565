"""Every decision about restarts: whether, how often, which children with it, and how long to wait first.

Pure: time and chance are passed in, and nothing here has a thread, a clock or a log. Reasons are ``exits``' business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar, assert_never, get_args

from supervision import arguments
from supervision.errors import BadArgument
from supervision.exits import is_quiet, is_reason

__all__ = [
    "AUTO_SHUTDOWNS",
    "RESTARTS",
    "STRATEGIES",
    "AutoShutdown",
    "Backoff",
    "Restart",
    "RestartIntensity",
    "Strategy",
    "affected",
    "ended_as_asked",
    "ends_supervisor",
    "should_restart",
]

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]

RESTARTS: Final[tuple[Restart, ...]] = get_args(Restart)
STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)
AUTO_SHUTDOWNS: Final[tuple[AutoShutdown, ...]] = get_args(AutoShutdown)

_Id = TypeVar("_Id")


def should_restart(restart: Restart, reason: Any) -> bool:
    """Tells whether a child that exited with this reason is to be started again.

    Counterpart: ``supervisor:do_restart/3``.
    """
    match restart:
        case "permanent":
            return True
        case "transient":
            return not is_quiet(reason)
        case "temporary":
            return False
        case _:
            assert_never(restart)


def affected(strategy: Strategy, ids: Sequence[_Id], failed: _Id) -> list[_Id]:
    """Returns the children that are restarted together with the one that failed, itself included.

    Args:
        strategy: the supervisor's strategy.
        ids: the ids of all its children, in the order of their start.
        failed: the id of the child that failed.

    Returns:
        Ids in the order of their start; those still running are terminated in the reverse order first.

    Raises:
        ValueError: the child that failed is not among ``ids``.

    Counterpart: ``supervisor:restart/3``.
    """
    position = ids.index(failed)
    match strategy:
        case "one_for_one":
            return [failed]
        case "one_for_all":
            return list(ids)
        case "rest_for_one":
            return list(ids[position:])
        case _:
            assert_never(strategy)


def ends_supervisor(auto_shutdown: AutoShutdown, *, significant: bool, significant_left: int) -> bool:
    """Tells whether the supervisor shuts down because a child exited by itself and is not started again.

    A child that the supervisor was asked to terminate, or terminated for its strategy, is no case for this.

    Args:
        auto_shutdown: the supervisor's flag.
        significant: whether the child that exited is significant.
        significant_left: how many *other* significant children run or are being restarted.

    Counterpart: ``supervisor:do_auto_shutdown/2``.
    """
    match auto_shutdown:
        case "never":
            return False
        case "any_significant":
            return significant
        case "all_significant":
            return significant and significant_left == 0
        case _:
            assert_never(auto_shutdown)


def ended_as_asked(restart: Restart, reason: Any, *, brutally: bool) -> bool:
    """Tells whether a child that its supervisor terminated ended as it should; if not, it is reported.

    Args:
        restart: of the child. Only a permanent one has to end with the very reason it was sent.
        reason: what it exited with.
        brutally: whether its ``shutdown`` is ``BRUTAL_KILL``. One killed because its time ran out is not that.

    Counterpart: ``supervisor:shutdown/1``.
    """
    expected = "killed" if brutally else "shutdown"
    return is_reason(reason, expected) or (restart != "permanent" and is_quiet(reason))


class RestartIntensity:
    """Counts the restarts of one supervisor in a sliding window. Not locked: it belongs to that supervisor alone.

    Args:
        max_restarts: how many restarts are allowed within the window; 0 allows none.
        max_seconds: the length of the window in seconds. A restart exactly that long ago still counts.

    Raises:
        BadType: one of them is no whole number.
        BadArgument: ``max_restarts`` is negative, ``max_seconds`` less than 1, or one of them ``INFINITY``.

    Counterpart: ``supervisor:add_restart/1``.
    Differs: the clock is not rounded to whole seconds, so the window is never up to a second too long.
    """

    __slots__ = ("_restarts", "max_restarts", "max_seconds")

    def __init__(self, max_restarts: int, max_seconds: int) -> None:
        self.max_restarts = arguments.count("max_restarts", max_restarts)
        self.max_seconds = arguments.seconds("max_seconds", max_seconds)
        self._restarts: deque[float] = deque()

    def add(self, now_seconds: float) -> bool:
        """Counts one more restart, and tells whether it is still allowed.

        Args:
            now_seconds: the time in seconds, from a clock that never goes back.
        """
        threshold = now_seconds - self.max_seconds
        while self._restarts and self._restarts[0] < threshold:
            self._restarts.popleft()
        self._restarts.append(now_seconds)
        return len(self._restarts) <= self.max_restarts


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a supervisor waits before it restarts a child: twice as long each time, up to a maximum.

    Attributes:
        initial: milliseconds before the first restart, at least 1.
        maximum: milliseconds that no wait exceeds.
        jitter: the fraction, 0 to 1, of each wait that chance may take off, so that children which failed together
            do not all come back together.

    Raises:
        BadType: a duration is no whole number, or ``jitter`` no number.
        BadArgument: ``initial`` is 0 or negative, ``maximum`` shorter than ``initial`` or INFINITY, or ``jitter``
            outside of 0 to 1.

    Differs: OTP restarts at once, always; a child spec without a backoff does the same here.
    """

    initial: int
    maximum: int
    jitter: float = 0.0

    def __post_init__(self) -> None:
        arguments.milliseconds("initial", self.initial, infinity=False)
        arguments.milliseconds("maximum", self.maximum, infinity=False)
        arguments.fraction("jitter", self.jitter)
        if self.initial == 0:
            raise BadArgument("initial must be at least 1 millisecond, got 0")
        if self.maximum < self.initial:
            raise BadArgument(f"maximum must be at least initial ({self.initial} milliseconds), got {self.maximum}")

    def delay(self, attempt: int, random_fraction: float) -> int:
        """Returns the milliseconds to wait before a restart.

        Args:
            attempt: which restart it is since the child was last healthy, counted from 1.
            random_fraction: chance, from 0 (the whole wait) to 1 (the whole jitter taken off).
        """
        # A shift by the bits of the maximum exceeds it already: more would only make numbers without bound.
        doublings = min(attempt - 1, self.maximum.bit_length())
        longest = min(self.initial << doublings, self.maximum)
        return round(longest * (1 - self.jitter * random_fraction))

    def resets(self, ran_for: float) -> bool:
        """Tells whether a child that ran so many milliseconds was healthy, and the next attempt is the first again.

        It was if it ran longer than the longest wait: a child that fails each time cannot outlive that by waiting.
        """
        return ran_for > self.maximum
