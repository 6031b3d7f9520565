"""The main of a program: runs a supervision tree until a signal ends it.

Counterpart: the application master, and ``init:stop/0`` on SIGTERM.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

from supervision import exits, names, process, signals
from supervision.actor import Actor
from supervision.arguments import a_callable, boolean
from supervision.calls import cast
from supervision.errors import BadArgument, BadType, StartError
from supervision.log import logger
from supervision.masked_server import MaskedServer
from supervision.messages import Exit
from supervision.process_table import Pid, Process, live_processes
from supervision.results import NoReply, Ok, Stop
from supervision.supervisor import Supervisor
from supervision.supervisor_flags import SupervisorFlags

__all__ = ["run"]

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

# No program can have a handler for these.
UNCATCHABLE: Final = (signal.SIGKILL, signal.SIGSTOP)

# Rung when the master has ended, and with it the tree; no signal has this number.
_ENDED: Final = 0


def run(
    children: Any,
    *,
    name: Any = None,
    hurry: bool = True,
    on_signal: Mapping[int, Callable[[], object]] | None = None,
    **flags: Any,
) -> int:
    """Runs the tree of ``children`` until SIGTERM or SIGINT, then shuts it down in the reverse order of its start.

    A second signal kills what is left of it. Where this is not called from the main thread, which alone gets signals,
    the tree runs until its root supervisor ends.

    Args:
        children: a list of anything that ``child_spec`` accepts.
        name: of the root supervisor: a string or a via.
        hurry: whether a second signal kills; False for a program that somebody else kills when its time is over.
        on_signal: what is called, without arguments and in this thread, when another signal comes: ``{SIGHUP: f}``. It
            must not wait: SIGTERM is not heard meanwhile. What it raises is logged.
        **flags: those of ``Supervisor.init``; the ``strategy`` is ``"one_for_one"`` if it is left out.

    Returns:
        The exit status: 0 after a shutdown by signal, by ``auto_shutdown`` or by ``Supervisor.stop``; 1 if a child
        or the root supervisor could not be started, that gave up, or its parent was ended by somebody else. Why is
        logged, in one line.

    Raises:
        BadType, BadArgument, BadChildSpec: a flag, the name, a child or a signal is wrong; nothing has been started.

    Counterpart: the start of a permanent application.
    """
    checked = SupervisorFlags.of(
        "supervision.run", children, {"strategy": "one_for_one", **flags}, ("name", "hurry", "on_signal")
    )
    others = _checked_signals({} if on_signal is None else on_signal)
    checked_name = None if name is None else names.check_name(name)
    program = _Program(checked, checked_name, boolean("hurry", hurry), others)
    with contextlib.closing(program.bell), _signals_to(program.bell, (*SIGNALS, *program.on_signal)):
        master = ApplicationMaster.start(program)
        try:
            return _wait(program, master)
        except BaseException:  # raised by somebody else's signal handler: nobody would ever end the tree
            _kill(master)
            raise


def _checked_signals(on_signal: Mapping[int, Callable[[], object]]) -> dict[int, Callable[[], object]]:
    if not isinstance(on_signal, Mapping):
        raise BadType(f"on_signal must be a mapping of signals to functions, got {on_signal!r}")
    for number, function in on_signal.items():
        if number not in signal.valid_signals() or number in (*SIGNALS, *UNCATCHABLE):
            others = "SIGTERM, SIGINT, SIGKILL and SIGSTOP"
            raise BadArgument(f"on_signal must have signals other than {others}, got {number!r}")
        a_callable(f"on_signal[{number!r}]", function)
    return dict(on_signal)


class _Bell:
    """What the thread in ``run`` listens to: the numbers of signals, and ``_ENDED``.

    A socket, because the interpreter writes to it as soon as a signal comes, whichever thread gets it. To wait for a
    lock or a queue instead would miss a signal that comes just before the wait begins.
    """

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()
        self.writer.setblocking(False)  # as ``set_wakeup_fd`` wants it
        # Guards the writer: a master that was killed may be about to ring while ``run`` closes it.
        self.lock = threading.Lock()

    def ring(self) -> None:
        """Say that the master has ended."""
        with self.lock:
            if self.writer.fileno() >= 0:
                self.writer.send(bytes([_ENDED]))

    def wait(self) -> bytes:
        """Wait until something has been rung; returns all that has. Ends by nothing else."""
        return self.reader.recv(1_024)

    def close(self) -> None:
        """Let go of the sockets."""
        with self.lock:
            self.writer.close()
        self.reader.close()


class _Program:
    """What the thread in ``run``, the master and the root know of each other."""

    def __init__(
        self, flags: SupervisorFlags, name: Any, hurry: bool, on_signal: dict[int, Callable[[], object]]
    ) -> None:
        self.flags = flags
        self.name = name
        self.hurry = hurry
        self.on_signal = on_signal
        self.bell = _Bell()
        # Written by the master and the root before the bell rings, read after it.
        self.gave_up = False
        self.finished = False
        self.failure: str | None = None
        self.reason: Any = None

    def ended(self, failure: str | None) -> None:
        """The tree is gone; as it should be if there is no ``failure``. The master is about to end."""
        self.failure = failure
        self.finished = True

    def down(self, ref: Any, process: Process, reason: Any) -> None:
        """The master has ended, whatever has ended it."""
        self.reason = reason
        self.bell.ring()


class ApplicationMaster(Actor):
    """The parent of the root supervisor, so that a thread is left to hear signals while the tree starts and stops."""

    server_class: ClassVar[Any] = MaskedServer

    def init(self, arg: _Program) -> Ok:
        """Start the root afterwards: whoever starts the master must not wait for the whole tree."""
        process.trap_exit(True)
        signals.watch(process.self()._process, arg, arg)
        return Ok((arg, None), continue_with="start")

    def handle_continue(self, argument: Any, state: tuple[_Program, None]) -> NoReply | Stop:
        """Start the tree."""
        program, _ = state
        try:
            return NoReply((program, RootSupervisor.start_link(program, name=program.name)))
        except StartError as error:
            program.ended(f"the application could not start: {_cause(error.reason)}")
        except Exception as error:  # noqa: BLE001  a via is the user's; else nobody would say in one line what is wrong
            program.ended(f"the application could not start: {exits.describe(error)}")
        return Stop("normal")

    def handle_cast(self, message: Any, state: tuple[_Program, Pid]) -> NoReply:
        """Shut the tree down; its Exit tells when that is done."""
        process.exit(state[1], "shutdown")
        return NoReply(state)

    def handle_info(self, message: Any, state: tuple[_Program, Pid]) -> NoReply | Stop:
        """Hear of the end of the tree."""
        program, root = state
        if type(message) is not Exit or message.pid is not root:
            return NoReply(state)
        failed = program.gave_up or exits.is_crash(message.reason)
        program.ended(f"the root supervisor gave up: {exits.describe(message.reason)}" if failed else None)
        return Stop("normal")


class RootSupervisor(Supervisor):
    """The root supervisor."""

    def init(self, arg: _Program) -> Ok:
        """Take what ``run`` has checked."""
        self.program = arg
        return Ok(arg.flags)

    def terminate(self, reason: Any, state: Any) -> None:
        """End the children, and leave behind why."""
        self.program.gave_up = state.gave_up
        super().terminate(reason, state)


@contextlib.contextmanager
def _signals_to(bell: _Bell, numbers: Iterable[int]) -> Iterator[None]:
    """Have the signals ring the bell, if this is the thread that gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wakeup = signal.set_wakeup_fd(bell.writer.fileno())
    # The bell has rung before a handler runs, so there is nothing left to do for it.
    before: dict[int, Any] = {}
    try:
        for number in numbers:
            before[number] = signal.signal(number, lambda *_: None)
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _wait(program: _Program, master: Pid) -> int:
    """Wait for signals and for the end of the tree; returns the exit status.

    The wait has no deadline. It ends by a second signal, or by the end of the master, whatever ends that.
    """
    heard = 0
    while True:
        for rung in program.bell.wait():
            if rung == _ENDED:
                _kill(master)  # what is left if the master has not waited for the tree
                return _status(program)
            if rung in program.on_signal:
                _obey(program.on_signal[rung], rung)
            if rung not in SIGNALS:  # one that has a handler of its own
                continue
            heard += 1
            if heard == 1:
                _shut_down(program, master)
            elif program.hurry:
                logger.warning("killing what is left of the tree")
                _kill(master)
                return 0


def _obey(function: Callable[[], object], number: int) -> None:
    try:
        function()
    except Exception:  # a reload that fails is no reason to lose the tree
        logger.exception("what was to be done at signal %d failed", number)


def _shut_down(program: _Program, master: Pid) -> None:
    logger.info("shutting down; a second signal kills what is left" if program.hurry else "shutting down")
    cast(master, "shutdown")


def _status(program: _Program) -> int:
    if not program.finished:
        program.failure = f"the application master was ended: {exits.describe(program.reason)}"
    if program.failure is None:
        return 0
    logger.error("%s", program.failure)
    return 1


def _kill(master: Pid) -> None:
    """Kill the master and all below it, supervisors before their children, so that none is restarted."""
    while True:
        below = [pid for pid, one in list(live_processes.items()) if pid is master or master in one.ancestors]
        if not below:
            return
        for pid in sorted(below, key=lambda pid: pid._number):
            process.exit(pid, "kill")


def _cause(reason: Any) -> str:
    """Which child of which child failed, and why, in one line."""
    match reason:
        case ("shutdown", ("failed_to_start_child", child_id, why)):
            return f"child {child_id!r}: {_cause(why)}"
    return exits.describe(reason)
