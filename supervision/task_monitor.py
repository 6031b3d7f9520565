"""The monitor by which the owner of a task hears of its outcome, and where the outcome goes.

A task has one outcome, ``("ok", value)`` or ``("exit", reason)``. Two things are decided about it, both under the lock
of the task's process, in one hold of it:

* *Which*: whoever takes the monitor off the task (out of ``Process.monitored_by``) has the say: the function that
  returns, the death of the process, or an owner that gives the task up. All others find it taken and are too late.
* *Where to*: if the owner waits (``TaskMonitor.wait`` is set), the outcome is left with the monitor and the wait is
  told; if it does not, the outcome is put into its mailbox.

The owner sets and clears ``wait`` under the same lock. So an outcome is in the mailbox before the wait begins, or it is
with the monitor when the wait ends, however it ends: fired, timed out or interrupted. It is never in both places, and
never in none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from supervision import mailbox
from supervision.messages import Down, Exit, TaskResult
from supervision.process_table import Process, Ref
from supervision.scheduler import notify
from supervision.signals import ProcessMonitor, unlink, watch_for
from supervision.threads import ThreadRecord
from supervision.waits import Wait

__all__ = ["Outcome", "OutcomeMonitor", "TaskMonitor", "TaskWait", "forget_exits", "take_posted"]

Outcome: TypeAlias = tuple[Literal["ok", "exit"], Any]


class OutcomeMonitor(ProcessMonitor):
    """A monitor of a task that brings its value as well as its end: one of the two, once."""

    __slots__ = ("linked", "process", "ref")

    def __init__(self, owner: Process, *, linked: bool) -> None:
        super().__init__(owner, None)
        self.ref = Ref()
        self.linked = linked
        self.process: Process | None = None

    def attach(self, process: Process) -> None:
        """Monitor ``process``, a task that has not been launched."""
        self.process = process
        self.shown = process.pid
        process.monitored_by = {self.ref: self}

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """The task has ended without a value; its lock is held."""
        return self.settle(("exit", reason))

    def returned(self, process: Process, value: Any) -> None:
        """The task's function has returned; runs on the task's thread."""
        if self.linked:
            # The link has done its work, and an owner that traps exits need not hear that all went well.
            unlink(self.watcher, process)
        self.report(process, ("ok", value))

    def report(self, process: Process, outcome: Outcome) -> bool:
        """Settle with ``outcome``; False if the task is dead, has another outcome or has been given up."""
        with process.lock:
            if process.dead or not self.take_off(process):
                return False
            notified = self.settle(outcome)
        if notified is not None:
            notify(notified)
        return True

    def take_off(self, process: Process) -> bool:
        """Take this monitor off the task, whose lock is held; False if that has been done."""
        return process.monitored_by is not None and process.monitored_by.pop(self.ref, None) is not None

    def settle(self, outcome: Outcome) -> Process | None:
        """Send the outcome on. The lock of the task is held, and the monitor is off.

        Returns:
            The process that got mail by it and must be notified, if any.
        """
        raise NotImplementedError


class TaskWait(Wait):
    """The wait of an owner for one or several of its tasks.

    ``lock`` guards ``count``; a leaf, taken under the lock of a task.
    """

    __slots__ = ("count", "impatient", "lock", "needed")

    def __init__(self, record: ThreadRecord, needed: int, *, impatient: bool) -> None:
        super().__init__(record)
        self.lock = threading.Lock()
        self.count = 0
        self.needed = needed
        self.impatient = impatient  # an exit ends the wait at once

    def heard(self, outcome: Outcome) -> None:
        """One of the tasks has its outcome."""
        with self.lock:
            self.count += 1
            over = self.count >= self.needed
        if over or (self.impatient and outcome[0] == "exit"):
            self.fire()


class TaskMonitor(OutcomeMonitor):
    """The monitor of a task that may be awaited (see the module's text)."""

    __slots__ = ("outcome", "posted", "told", "wait")

    def __init__(self, owner: Process, *, linked: bool) -> None:
        super().__init__(owner, linked=linked)
        self.wait: TaskWait | None = None
        self.outcome: Outcome | None = None
        self.posted = False
        self.told = False  # whether the task has had its outcome; if not, a monitor that is off was given up

    def attach(self, process: Process) -> None:
        """Monitor ``process``, so that the owner can demonitor it as any other."""
        super().attach(process)
        monitors = self.watcher.monitors
        if monitors is not None:  # None: the owner is dead
            monitors[self.ref] = process

    def settle(self, outcome: Outcome) -> Process | None:
        """Leave the outcome with the owner that waits, or put it into the mailbox of one that does not."""
        owner, wait = self.watcher, self.wait
        self.told = True
        notified = None
        if owner.dead:
            return None
        if wait is None:
            if not self.posted:  # else an interruption has come in between, and this is the second time
                self.post(outcome)
            notified = owner
        else:
            self.outcome = outcome
            wait.heard(outcome)
        # After that: a ``demonitor`` that no longer finds its monitor must find the Down.
        self._forget()
        return notified

    def post(self, outcome: Outcome) -> None:
        """Put the outcome into the owner's mailbox; whoever calls notifies the owner."""
        kind, value = outcome
        message = TaskResult(self.ref, value) if kind == "ok" else Down(self.ref, self.shown, value)
        mailbox = self.watcher.mailbox
        self.posted = True
        mailbox.append(message)

    def is_posted(self) -> bool:
        """Whether the outcome has become a message, which the owner may have taken out of its mailbox since."""
        if self.process is None:
            return self.posted
        with self.process.lock:
            return self.posted

    def is_spent(self) -> bool:
        """Whether no outcome is to be had any more: it was taken, or the task given up. Asked by the owner."""
        process = self.process
        if process is None:
            return not self.posted
        with process.lock:
            return not self.posted and not self._is_on(process)

    def resume(self) -> bool:
        """Monitor a task again that the owner, who calls this, had given up; False if it has ended."""
        process = self.process
        return process is not None and not self.told and watch_for(self.watcher, process, self.ref, self)

    def enlist(self, wait: TaskWait) -> bool:
        """Have ``wait`` told of the outcome; False if it is out already."""
        process = self.process
        if process is None:
            return False
        with process.lock:
            if not self._is_on(process):
                return False
            self.wait = wait
            return True

    def withdraw(self, *, for_good: bool) -> Outcome | None:
        """End what ``enlist`` began, and return the outcome if it has come; ``for_good``: else give the task up."""
        process = self.process
        if process is None:
            return None
        with process.lock:
            self.wait = None
            outcome, self.outcome = self.outcome, None
            if outcome is None and for_good:
                self.take_off(process)
        if for_good:
            self._forget()
        return outcome

    def hand_back(self) -> None:
        """End what ``enlist`` began because the owner was interrupted; the outcome becomes a message after all."""
        outcome = self.withdraw(for_good=False)
        if outcome is not None and not self.watcher.dead:
            self.post(outcome)

    def _is_on(self, process: Process) -> bool:
        return process.monitored_by is not None and self.ref in process.monitored_by

    def _forget(self) -> None:
        monitors = self.watcher.monitors
        if monitors is not None:
            monitors.pop(self.ref, None)


def take_posted(owner: Process, monitors: Iterable[TaskMonitor]) -> dict[TaskMonitor, Outcome]:
    """Take the outcomes that are messages out of the mailbox of ``owner``, which the calling thread runs."""
    posted = {monitor.ref: monitor for monitor in monitors if monitor.is_posted()}
    if not posted:
        return {}
    found = mailbox.take_all(owner, lambda message: _is_outcome(message) and message.ref in posted)
    for monitor in posted.values():
        monitor.posted = False
    return {posted[message.ref]: _outcome(message) for message in found}


def _is_outcome(message: Any) -> bool:
    return type(message) is TaskResult or type(message) is Down


def _outcome(message: TaskResult | Down) -> Outcome:
    return ("ok", message.value) if isinstance(message, TaskResult) else ("exit", message.reason)


def forget_exits(owner: Process, outcomes: dict[TaskMonitor, Outcome]) -> None:
    """Drop the Exit of each task whose end is told otherwise, if the owner is linked to it and traps exits."""
    pids = {monitor.shown for monitor, (kind, _) in outcomes.items() if kind == "exit" and monitor.linked}
    if pids and owner.trap_exit:
        mailbox.take_all(owner, lambda message: type(message) is Exit and message.pid in pids)
