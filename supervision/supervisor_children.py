"""What every kind of supervisor does when a child exits, whatever its strategy and however it keeps its children.

Owns the window of restarts, the waits before restarts, and what is reported. Which children are affected is left to
``static_children`` and ``dynamic_children``; the decisions themselves are ``restart``'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from supervision import reports
from supervision.child_reports import report_exit, report_giving_up, report_start_error
from supervision.children import Child, TryAgain
from supervision.errors import StartError
from supervision.exits import is_crash
from supervision.messages import Exit
from supervision.process_table import Pid, Process
from supervision.restart import RestartIntensity, should_restart
from supervision.scheduler import deliver, scheduler
from supervision.timers import Timer

__all__ = ["Clocks", "SupervisorChildren"]


class Clocks:
    """Time and chance, as a supervisor gets them: the monotonic clock in seconds, and fractions from 0 to 1."""

    __slots__ = ("fraction", "seconds")

    def __init__(self, seconds: Callable[[], float], fraction: Callable[[], float]) -> None:
        self.seconds = seconds
        self.fraction = fraction


class SupervisorChildren:
    """The state of one supervisor. All of it belongs to the thread that runs the supervisor.

    ``by_pid`` has the children whose Exit is news; an Exit of any other process is none of the supervisor's business.
    """

    def __init__(self, process: Process, intensity: RestartIntensity, clocks: Clocks) -> None:
        self.process = process
        self.intensity = intensity
        self.clocks = clocks
        self.gave_up = False
        self.by_pid: dict[Pid, Child] = {}

    # What the kinds of supervisors differ in

    def forget(self, child: Child) -> bool:
        """The child has ended and is not restarted; returns whether the supervisor goes on without it."""
        raise NotImplementedError

    def make_way(self, child: Child) -> None:
        """End what has to be restarted together with the child."""
        raise NotImplementedError

    def attempt(self, child: Child) -> None:
        """Restart the child and what has to be restarted with it, or have it tried again."""
        raise NotImplementedError

    def terminate_all(self) -> None:
        """End all children."""
        raise NotImplementedError

    def snapshot(self) -> list[Child]:
        """All children in the order of their start, for other threads to read."""
        raise NotImplementedError

    # Events; each returns whether the supervisor goes on

    def exited(self, exit_: Exit) -> bool:
        """Handle the Exit of a process that is linked to the supervisor, or was."""
        child = self.by_pid.get(exit_.pid)
        if child is None or child.retry is not None:
            reports.report(exit_.pid._process)  # of a start function that failed after it had started a process
            return True
        if not should_restart(child.spec.restart, exit_.reason):
            return self._leave(child, exit_)
        self._note_health(child)
        if not self._may_restart(child, exit_):
            return False
        self._report(child, exit_, "it is restarted")
        self._restart(child)
        return True

    def try_again(self, order: TryAgain) -> bool:
        """Make another attempt, unless the child has been terminated or deleted meanwhile."""
        child = order.child
        if child.retry is not order:
            return True
        if not order.counted and not self._may_restart(child, None):
            return False
        self.cancel_retry(child)
        if order.counted:
            self.attempt(child)
        else:
            self._restart(child)
        return True

    def _leave(self, child: Child, exit_: Exit) -> bool:
        goes_on = self.forget(child)
        decision = "it is not restarted" if goes_on else "it is significant, and the supervisor shuts down"
        self._report(child, exit_, decision)
        return goes_on

    def _may_restart(self, child: Child, exit_: Exit | None) -> bool:
        if self.intensity.add(self.clocks.seconds()):
            return True
        self.gave_up = True
        if exit_ is not None:
            self._report(child, exit_, "too many restarts, the supervisor shuts down")
        report_giving_up(self.process, child.spec.id, self.intensity.max_restarts, self.intensity.max_seconds)
        self.cancel_retry(child)
        self.forget(child)
        return False

    def _report(self, child: Child, exit_: Exit, decision: str) -> None:
        if is_crash(exit_.reason):
            report_exit(self.process, child.spec.id, exit_, "child_terminated", decision)

    # Restarting

    def _note_health(self, child: Child) -> None:
        backoff = child.spec.backoff
        if backoff is not None and backoff.resets((self.clocks.seconds() - child.started_at) * 1000):
            child.attempts = 0

    def _restart(self, child: Child) -> None:
        """Restart the child, whose restart has been counted: at once, or after the wait of its ``backoff``."""
        backoff = child.spec.backoff
        if backoff is None:
            self.attempt(child)
            return
        child.attempts += 1
        delay = backoff.delay(child.attempts, self.clocks.fraction())
        self.make_way(child)
        child.retry = order = TryAgain(child, counted=True)
        order.timer = Timer(time.monotonic() + delay / 1000, _deliver_order, (self.process, order))
        scheduler.add_timer(order.timer)

    def failed(self, child: Child, error: StartError) -> None:
        """Note that an attempt has failed, and have it made again once the supervisor has looked at its mailbox."""
        report_start_error(self.process, error, "it is tried again")
        child.retry = TryAgain(child, counted=False)
        deliver(self.process, child.retry)

    def succeeded(self, child: Child, pid: Pid | None) -> None:
        """Note that the child has been started, or (None) did not want to run."""
        self.cancel_retry(child)
        child.pid = pid
        if pid is not None:
            self.by_pid[pid] = child
            child.started_at = self.clocks.seconds()

    def cancel_retry(self, child: Child) -> None:
        """The child is not to be restarted after all, or has been."""
        order, child.retry = child.retry, None
        if order is not None and order.timer is not None:
            scheduler.timers.cancel(order.timer)


def _deliver_order(argument: tuple[Process, TryAgain]) -> None:
    process, order = argument
    deliver(process, order)
