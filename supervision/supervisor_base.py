"""What all kinds of supervisors have in common: how they start, and what they answer.

The state of each is a ``SupervisorChildren``; here is what reaches it and how.
"""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, NamedTuple

from supervision import calls, exits
from supervision.actor import Actor
from supervision.arguments import unknown_options
from supervision.bodies import body_of
from supervision.calls import Call, Caller, call, cause_of
from supervision.child_reports import report_failed_start, report_unexpected
from supervision.child_spec import ChildSpec, ChildType, child_spec
from supervision.children import ChildCounts, ChildInfo, TryAgain
from supervision.errors import BadArgument, Killed, NoProcess, ServerExit, StartError, SupervisionError
from supervision.in_place import carry_out
from supervision.masked_server import MaskedServer
from supervision.messages import INFINITY, Exit
from supervision.process_table import Pid, Process
from supervision.results import UNSET, NoReply, Ok, Reply, Stop
from supervision.shown import shown
from supervision.signals import unwatch, watch
from supervision.start import StartOptions, start
from supervision.supervisor_children import SupervisorChildren
from supervision.threads import ThreadRecord, current, library_call
from supervision.trampoline import run_exposed, survive

__all__ = ["SupervisorBase", "ask"]


class _Request(NamedTuple):
    """Asks a supervisor for one of the operations of ``SupervisorChildren``'s subclasses, by its name."""

    operation: str
    argument: Any


class _Errand:
    """A request that a supervisor carries out on the thread of whoever asks, at once and without a message.

    ``answer`` is UNSET until then. Also the watcher by which the asker hears of the end of the supervisor.
    """

    __slots__ = ("answer", "asker", "reason", "request")

    def __init__(self, asker: Process | None, request: _Request) -> None:
        self.asker = asker
        self.request = request
        self.answer: Any = UNSET
        self.reason: Any = None

    def down(self, ref: Any, process: Process, reason: Any) -> Process | None:
        """Note why there will be no answer."""
        self.reason = reason
        return None


@library_call
def ask(sup: Any, operation: str, argument: Any) -> Any:
    """Have a supervisor do something, and raise here what it finds wrong.

    Raises:
        NoProcess: there is no such process.
        BadArgument: it is no supervisor, and has not been asked.
    """
    request = _Request(operation, argument)
    answer = _ask_in_place(sup, request) if type(sup) is Process else UNSET
    if answer is UNSET:
        body_of(sup, SupervisorServer, "a supervisor")
        answer = call(sup, request, INFINITY)
    if isinstance(answer, SupervisionError):
        raise answer
    return answer


def _ask_in_place(target: Process, request: _Request) -> Any:
    """Have the request carried out on this thread, with nothing of ``call`` but its outcome; UNSET: it cannot be."""
    record = current.record
    body = target.body
    if not isinstance(body, SupervisorServer) or not body.started or body.observer is not None:
        return UNSET
    errand = _Errand(record.process, request)
    if not watch(target, errand, errand):
        return UNSET
    taken = carry_out(target, record, errand)
    told = not unwatch(target, errand)
    if record.process is not None and record.process.dead:
        raise Killed
    if taken and errand.answer is UNSET:  # it has ended, or is just about to
        if not told:
            raise NoProcess(target)
        raise ServerExit(errand.reason, target) from cause_of(errand.reason)
    return errand.answer


class _Start(NamedTuple):
    """The argument of a supervisor's start: what its ``init`` gets."""

    arg: Any
    flags: dict[str, Any]


class SupervisorServer(MaskedServer):
    """The loop of a supervisor, whose ``init`` says which children to start."""

    __slots__ = ()

    def init(self, arg: _Start, record: ThreadRecord) -> Any:
        """Run the user's ``init``, then start the children."""
        process, supervisor = self.process, self.actor
        assert isinstance(supervisor, SupervisorBase)
        with process.lock:
            process.trap_exit = True
        result = run_exposed(process, record, supervisor.init, arg.arg, **arg.flags)
        return supervisor.started(process, result) if type(result) is Ok else result

    def take(self, message: Any, process: Process, record: ThreadRecord) -> None:
        """Handle a message that comes past the mailbox, or carry out an errand. Never raises."""
        if type(message) is not _Errand:
            super().take(message, process, record)
            return
        try:
            try:
                answer = SupervisorBase.answer(message.request, self.state)
                if not process.dead:
                    message.answer = answer
            except BaseException as error:  # noqa: BLE001  whatever a callback raises is the exit reason
                if not process.dead:
                    self._finish(exits.reason_of(error), Call(record, message.asker, message.request), record)
        except BaseException as error:  # noqa: BLE001  without this a worker would end and its processor be lost
            survive(process, record, error)


class SupervisorBase(Actor):
    """What all kinds of supervisors are and answer."""

    type: ClassVar[ChildType] = "supervisor"
    kind: ClassVar[str] = "supervisor"
    server_class = SupervisorServer

    # Where restarts get the time from, in seconds, and the waits of a ``Backoff`` their chance, from 0 to 1.
    clock: ClassVar[Callable[[], float]] = time.monotonic
    chance: ClassVar[Callable[[], float]] = random.random

    def started(self, process: Process, result: Ok) -> Ok:
        """Make the state of what ``init`` returned, and start the children."""
        raise NotImplementedError

    def handle_call(self, request: Any, caller: Caller, state: SupervisorChildren) -> Reply | NoReply | Stop:
        """Answer a request."""
        if type(request) is not _Request:
            report_unexpected(state.process, "call", request)
            caller.fire((False, BadArgument(f"a supervisor has no answer to {shown(request)}")))
            return NoReply(state)
        return Reply(self.answer(request, state), state)

    @staticmethod
    def answer(request: _Request, state: SupervisorChildren) -> Any:
        """What ``ask`` is told: what was asked for, or why it is refused."""
        try:
            return getattr(state, request.operation)(request.argument)
        except SupervisionError as refusal:
            if isinstance(refusal, StartError):
                report_failed_start(refusal, "it is not started, and the caller is told")
            return refusal

    def handle_info(self, message: Any, state: SupervisorChildren) -> NoReply | Stop:
        """Handle the end of a child, or another attempt to restart one."""
        if type(message) is Exit:
            goes_on = state.exited(message)
        elif type(message) is TryAgain:
            goes_on = state.try_again(message)
        else:
            report_unexpected(state.process, "message", message)
            goes_on = True
        return NoReply(state) if goes_on else Stop("shutdown", state)

    def handle_cast(self, message: Any, state: SupervisorChildren) -> NoReply | Stop:
        """Drop it: supervisors take none."""
        report_unexpected(state.process, "cast", message)
        return NoReply(state)

    def terminate(self, reason: Any, state: SupervisorChildren) -> None:
        """End the children."""
        state.terminate_all()

    @classmethod
    def _launch(cls, arg: Any, name: Any, flags: dict[str, Any], *, linked: bool) -> Pid:
        options = StartOptions.of(cls, {} if name is None else {"name": name})
        try:
            return start(cls, _Start(arg, flags), options, linked=linked)
        except StartError as error:
            match error.reason:
                case ("shutdown", ("failed_to_start_child", child_id, _)):
                    raise StartError(error.reason, child_id) from error.__cause__
            raise

    @classmethod
    def _check_flags(cls, flags: dict[str, Any]) -> None:
        """Refuse what the class's own ``init`` does not take, with the nearest name that it does."""
        parameters = list(inspect.signature(cls.init).parameters.values())[2:]
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            unknown_options(
                f"{cls.__name__}.start_link", flags, ["name", *(parameter.name for parameter in parameters)]
            )

    @staticmethod
    def which_children(sup: Any) -> list[ChildInfo]:
        """Returns all children, the newest first.

        Args:
            sup: any kind of supervisor: its pid, name or via.

        Raises:
            NoProcess: there is no such supervisor.

        Counterpart: ``Supervisor.which_children/1``.
        """
        return ask(sup, "which_children", None)  # type: ignore[no-any-return]

    @staticmethod
    def count_children(sup: Any) -> ChildCounts:
        """Returns how many children there are.

        Counterpart: ``Supervisor.count_children/1``.
        """
        return ask(sup, "count_children", None)  # type: ignore[no-any-return]

    @staticmethod
    def start_child(sup: Any, child: Any) -> Pid | None:
        """Starts one more child, which counts as started after all others.

        Args:
            sup: the supervisor: its pid, name or via.
            child: anything that ``child_spec`` accepts.

        Returns:
            Its pid; None if its ``init`` returned Ignore.

        Raises:
            BadChildSpec: it is no child; found before the supervisor is asked.
            AlreadyStarted: a child of this id is running; or the process that it would be is, elsewhere.
            AlreadyPresent: a child of this id exists and does not run.
            MaxChildren: there are as many as the supervisor's ``max_children`` allows.
            StartError: it could not be started, and is not kept.

        Counterpart: ``Supervisor.start_child/2``, ``DynamicSupervisor.start_child/2``.
        """
        return ask(sup, "start_child", child_spec(child))  # type: ignore[no-any-return]

    @staticmethod
    def terminate_child(sup: Any, id_: Hashable) -> None:
        """Terminates a child, which is not restarted. It returns when the child has ended.

        Args:
            sup: the supervisor: its pid, name or via.
            id_: the id of the child; its pid under a DynamicSupervisor.

        Raises:
            NotFound: the supervisor has no such child.

        Counterpart: ``Supervisor.terminate_child/2``, ``DynamicSupervisor.terminate_child/2``.
        """
        ask(sup, "terminate_child", id_)

    @staticmethod
    def get_child_spec(sup: Any, id_: Hashable) -> ChildSpec:
        """Returns the spec of a child; without its arguments if the child is temporary.

        Args:
            sup: the supervisor: its pid, name or via.
            id_: the id or the pid of the child.

        Raises:
            NotFound: the supervisor has no such child.

        Counterpart: ``supervisor:get_childspec/2``.
        """
        return ask(sup, "get_child_spec", id_)  # type: ignore[no-any-return]

    @staticmethod
    def stop(sup: Any, reason: Any = "normal", timeout: float = INFINITY) -> None:
        """Stops a supervisor, and returns when it and its children have ended.

        Args:
            sup: the supervisor: its pid, name or via.
            reason: what it ends with.
            timeout: milliseconds, or INFINITY.

        Raises:
            NoProcess, CallTimeout, ServerExit, CallError: as ``stop`` of an actor.

        Counterpart: ``Supervisor.stop/3``.
        """
        calls.stop(sup, reason, timeout)
