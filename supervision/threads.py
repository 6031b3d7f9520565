"""What the runtime knows of each thread: what it runs, how it is parked, and whether it may be interrupted.

The protocol that makes an asynchronous ``Killed`` safe lives here whole. A thread is *exposed* while it runs the code
of a user's callback, and only then may the killer strike it:

* Entering library code, the thread stores ``exposed = None`` and then reads ``process.dead``.
* The killer stores ``process.dead = True`` and then reads ``exposed``.

Each sets its own mark before it reads the other's, so at least one of them sees the other: either the thread learns
that it is dead and raises ``Killed`` itself, or the killer finds it masked and does not strike. With the GIL the
interpreter orders the four accesses. Without it the killer puts a stop of all threads between its two (see
``strike``), which orders the cheap pair on the other side as well; kills are rare, library calls are not.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from supervision.errors import Killed
from supervision.process_table import Process

__all__ = ["ThreadRecord", "current", "end_quietly", "interpreter", "library_call", "strike"]

P = ParamSpec("P")
R = TypeVar("R")

GIL_ENABLED: Final[bool] = getattr(sys, "_is_gil_enabled", lambda: True)()

# int PyThreadState_SetAsyncExc(unsigned long id, PyObject *exc): raises exc in that thread, at its next look.
_set_async_exc: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)
_set_async_exc.restype = ctypes.c_int


NO_ERRAND: Final = object()


class ThreadRecord:
    """One thread, as the runtime sees it. Written by its own thread, except where a field says otherwise."""

    __slots__ = (
        "as_guest",
        "bell",
        "depth",
        "errand",
        "exposed",
        "ident",
        "idling",
        "in_slice",
        "lock",
        "lost",
        "native_id",
        "parker",
        "parkers",
        "process",
        "slice",
        "spent",
        "struck",
        "taken_by_watchdog",
        "worker",
    )

    def __init__(self) -> None:
        self.ident = threading.get_ident()
        self.native_id = threading.get_native_id()
        self.process: Process | None = None
        # Whether the user's code, if it needs a process, gets a guest's (see ``foreign``), and not that of ``process``.
        self.as_guest = False
        self.worker = False
        self.depth = 0
        # The message for whose sake the thread runs a process in place; the slice ends with it.
        self.errand: Any = NO_ERRAND
        # The thread sleeps by taking this lock; whoever has the right to wake it, exactly one, releases it.
        self.parker = threading.Lock()
        self.parker.acquire()
        # One parker for each level of processes run in place: a late answer to the outer wait must not wake the inner.
        self.parkers = [self.parker]
        # An idle worker sleeps by taking this one. To be rung once too often ends its next sleep for nothing; any other
        # wait would take that for what it waits for.
        self.bell = threading.Lock()
        self.bell.acquire()
        # Test-and-set: held while the thread has no processor. Taken by the thread itself when it is about to
        # block, or by the watchdog when it has blocked already; released by whoever gives it a processor.
        self.lost = threading.Lock()
        self.lost.acquire()
        self.taken_by_watchdog = False
        self.slice = 0
        self.in_slice = False
        self.idling = False
        self.exposed: Process | None = None
        # Guards ``struck`` and the decision to strike: a strike and its taking back never overlap.
        self.lock = threading.Lock()
        self.struck: Process | None = None
        # Whether it has been struck. What was interrupted may have left its mark on the thread, as a running event loop
        # does, so a worker runs no further process.
        self.spent = False

    def descend(self) -> None:
        """Begin to run a process in place, inside the slice of another."""
        self.depth += 1
        if self.depth == len(self.parkers):
            parker = threading.Lock()
            parker.acquire()
            self.parkers.append(parker)
        self.parker = self.parkers[self.depth]

    def ascend(self) -> None:
        """End what ``descend`` began."""
        self.depth -= 1
        self.parker = self.parkers[self.depth]

    def wake(self) -> None:
        """End the wait of a worker that has nothing to do; called by whoever took it from the list of these."""
        try:
            self.bell.release()
        except RuntimeError as error:  # it has been rung already
            if isinstance(error, RecursionError):
                raise

    def lend_parker(self) -> Any:
        """The lock at which the next wait sleeps.

        Ctrl-C may hit the main thread anywhere in the library, and nobody could tell afterwards whether the lock of the
        wait that it was about has been released or will be. So each wait of a foreign thread has a lock of its own.
        """
        if self.worker:
            return self.parker
        parker = threading.Lock()
        parker.acquire()
        return parker

    def renew_parker(self) -> None:
        """Leave the parker to whoever may yet release it: after an interruption nobody can tell whether it has been."""
        parker = threading.Lock()
        parker.acquire()
        self.parker = self.parkers[self.depth] = parker

    def settle(self, process: Process) -> None:
        """Take back a strike that has not hit yet, so that it can never hit whatever this thread runs next.

        Called by the thread itself once it no longer runs the code of ``process``. A process is struck once, and then
        not again for a second, so the loop runs at most twice.
        """
        while True:
            try:
                self.exposed = None
                with self.lock:
                    if self.struck is not process:
                        return
                    self.struck = None
                    self.spent = True
                self._absorb()
                return
            except Killed:
                continue

    def _absorb(self) -> None:
        """Have a strike hit here, in place of the one that may be pending.

        Not taken back by an exception of NULL, as the C API would have it: up to CPython 3.12 that leaves the
        interpreter looking for an exception at each call of every thread for good, and 3.11 with a tracer in (a
        debugger, coverage) does not get past the first call.
        """
        try:
            _set_async_exc(self.ident, Killed)
            while True:  # it hits in the next round at the latest
                threading.get_ident()  # a call, since not every Python catches what hits a bare jump
        except Killed:
            pass


class Interpreter:
    """What the runtime knows of the interpreter: whether it is ending, and threads will soon be frozen.

    Without the GIL it can be had to stop all threads for a moment. A thread that is frozen in the middle of that keeps
    the interpreter from ending. So ``lock`` is held meanwhile, and guards ``ended``, after which nobody does it any
    more.
    """

    __slots__ = ("ended", "ending", "lock")

    def __init__(self) -> None:
        self.ending = False
        self.ended = False
        self.lock = threading.RLock()  # the garbage collector may come meanwhile, and what it finalizes ends a process

    def stop_threads(self, look: Callable[[], object]) -> bool:
        """Call ``look``, which stops all threads for a moment; False if it is too late for that."""
        with self.lock:
            if not self.ended:
                look()
            return not self.ended

    def end(self) -> None:
        """Threads are about to be frozen. Waits for one that is just stopping the others."""
        with self.lock:
            self.ended = True


interpreter: Final = Interpreter()


class _Current(threading.local):
    """What belongs to the calling thread.

    ``farewell`` is dropped when the thread ends, and by nothing else: it is not in the record, which the frames of a
    traceback may keep until some other thread collects garbage, in the middle of anything.
    """

    record: ThreadRecord
    farewell: Any

    def __init__(self) -> None:
        self.record = ThreadRecord()
        self.farewell = None


current: Final = _Current()


def end_quietly() -> None:
    """Have the end of the calling thread, which the library has started, run no Python code in another one.

    Without the GIL an object that nobody needs any more is released by the thread that made it, amid whatever that
    runs. ``threading`` keeps its threads in a weak set too, which has a callback in Python, and a strike that hits a
    callback goes nowhere.
    """
    if not GIL_ENABLED:
        getattr(threading, "_dangling", set()).discard(threading.current_thread())


def strike(process: Process, record: ThreadRecord, *, again: bool = False) -> None:
    """Raise ``Killed`` in the thread that runs the code of ``process``, which is dead already, unless it is masked.

    Args:
        process: the dead process.
        record: its thread.
        again: even if it has been struck: a strike that hits a destructor, of whatever object the thread drops at that
            moment, goes nowhere.
    """
    # Stops every thread for a moment: the fence of this protocol (see the module's text).
    if not (GIL_ENABLED or interpreter.stop_threads(sys._current_frames)):
        return
    with record.lock:
        if record.exposed is process and (again or not process.struck):
            process.struck = True
            record.struck = process
            _set_async_exc(record.ident, Killed)


def _hold(record: ThreadRecord) -> None:
    """Keep a foreign thread from the errors of an ending interpreter, which freezes it in a moment in any case.

    Only daemons are left by now, beside the main thread. The processes they talk to have been shut down, and the
    traceback of each such thread would be all that a program which has ended well leaves behind.
    """
    process = record.process
    if process is not None and process.kind == "foreign" and threading.current_thread() is not threading.main_thread():
        threading.Event().wait()


def library_call(function: Callable[P, R]) -> Callable[P, R]:
    """Make ``function`` an entry point: it refuses a dead caller and cannot be interrupted by a strike."""

    @functools.wraps(function)
    def enter(*args: P.args, **kwargs: P.kwargs) -> R:
        record = current.record
        process = record.exposed
        if process is None:  # called by the library itself, or by a thread that is never struck
            try:
                return function(*args, **kwargs)
            except BaseException:
                if interpreter.ending:
                    _hold(record)
                raise
        record.exposed = None
        if process.dead:
            record.exposed = process  # so that whoever swallows this is refused the next time as well
            raise Killed
        try:
            return function(*args, **kwargs)
        finally:
            record.exposed = process
            if process.dead:
                raise Killed

    return enter
