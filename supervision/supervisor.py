"""Supervisors: processes that start others, and start them again when they fail.

Counterpart: ``Supervisor`` and ``supervisor``. ``static_children`` has what one does, ``restart`` what it decides.
"""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, NamedTuple

from supervision import calls, names
from supervision.actor import Actor
from supervision.arguments import unknown_options
from supervision.calls import Caller, call
from supervision.child_reports import report_unexpected
from supervision.child_spec import ChildSpec, ChildType, child_spec
from supervision.children import ChildCounts, ChildInfo, TryAgain
from supervision.errors import BadReturn, StartError, SupervisionError
from supervision.messages import INFINITY, Exit
from supervision.process_table import Pid, Process
from supervision.results import NoReply, Ok, Reply, Stop
from supervision.server import Server
from supervision.start import StartOptions, start
from supervision.static_children import StaticChildren
from supervision.supervisor_children import Clocks, SupervisorChildren
from supervision.supervisor_flags import SupervisorFlags
from supervision.termination import terminate_in_order, terminate_together
from supervision.threads import ThreadRecord, library_call
from supervision.trampoline import run_exposed

__all__ = ["Supervisor", "SupervisorBase"]


class _Request(NamedTuple):
    """Asks a supervisor for one of the operations of ``SupervisorChildren``'s subclasses, by its name."""

    operation: str
    argument: Any


def ask(sup: Any, operation: str, argument: Any) -> Any:
    """Have a supervisor do something, and raise here what it finds wrong."""
    # Without a deadline, so that the supervisor runs on the caller's thread where it can: no switch, no waiting.
    answer = call(sup, _Request(operation, argument), INFINITY)
    if isinstance(answer, SupervisionError):
        raise answer
    return answer


class _Order(NamedTuple):
    """The argument of a supervisor's start."""

    arg: Any
    flags: dict[str, Any]


class SupervisorServer(Server):
    """The loop of a supervisor: the one of an actor whose ``init`` says which children to start."""

    __slots__ = ()

    def init(self, arg: _Order, record: ThreadRecord) -> Any:
        """Run the user's ``init``, then start the children."""
        process, supervisor = self.process, self.actor
        assert isinstance(supervisor, SupervisorBase)
        with process.lock:
            process.trap_exit = True
        result = run_exposed(process, record, supervisor.init, arg.arg, **arg.flags)
        return supervisor.started(process, result) if type(result) is Ok else result


class SupervisorBase(Actor):
    """What all kinds of supervisors are and answer."""

    type: ClassVar[ChildType] = "supervisor"
    kind: ClassVar[str] = "supervisor"
    server_class: ClassVar[type[Server]] = SupervisorServer

    # Where restarts get the time from, in seconds, and the waits of a ``Backoff`` their chance, from 0 to 1.
    clock: ClassVar[Callable[[], float]] = time.monotonic
    chance: ClassVar[Callable[[], float]] = random.random

    def started(self, process: Process, result: Ok) -> Ok:
        """Make the state of what ``init`` returned, and start the children."""
        raise NotImplementedError

    @library_call
    def handle_call(self, request: Any, caller: Caller, state: SupervisorChildren) -> Reply | NoReply | Stop:
        """Answer a request."""
        if type(request) is not _Request:
            report_unexpected(state.process, "call", request)
            return NoReply(state)
        try:
            return Reply(getattr(state, request.operation)(request.argument), state)
        except SupervisionError as refusal:
            return Reply(refusal, state)

    @library_call
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

    @library_call
    def handle_cast(self, message: Any, state: SupervisorChildren) -> NoReply | Stop:
        """Drop it: supervisors take none."""
        report_unexpected(state.process, "cast", message)
        return NoReply(state)

    @library_call
    def terminate(self, reason: Any, state: SupervisorChildren) -> None:
        """End the children."""
        state.terminate_all()

    @classmethod
    def _launch(cls, arg: Any, name: Any, flags: dict[str, Any], *, linked: bool) -> Pid:
        options = StartOptions.of(cls, {} if name is None else {"name": name})
        try:
            return start(cls, _Order(arg, flags), options, linked=linked)
        except StartError as error:
            failed = _failed_child(error.reason)
            if failed is None:
                raise
            raise StartError(error.reason, failed[0]) from error.__cause__

    @classmethod
    def _check_flags(cls, flags: dict[str, Any]) -> None:
        """Refuse what the class's own ``init`` does not take, with the nearest name that it does."""
        parameters = list(inspect.signature(cls.init).parameters.values())[2:]
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            unknown_options(f"{cls.__name__}.start_link", flags, [parameter.name for parameter in parameters])

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


def _failed_child(reason: Any) -> tuple[Hashable, Any] | None:
    match reason:
        case ("shutdown", ("failed_to_start_child", child_id, why)):
            return child_id, why
    return None


class Supervisor(SupervisorBase):
    """Starts its children in order, restarts them by a strategy, and terminates them in the reverse order.

    Either inline, ``Supervisor.start_link([Counter], strategy="one_for_one")``, or as a class of its own whose ``init``
    returns ``super().init(children, strategy=…)``.

    Class attributes:
        terminates_together: whether the children are terminated all at once, each in its own time, instead of one after
            the other; for children that do not depend on each other.

    Counterpart: ``Supervisor``.
    """

    terminates_together: ClassVar[bool] = False

    def init(self, children: Any, **flags: Any) -> Any:
        """Return what to start. Override it, and return what this one returns.

        Args:
            children: a list of anything that ``child_spec`` accepts, started in this order.
            **flags: ``strategy`` (``"one_for_one"``, ``"one_for_all"`` or ``"rest_for_one"``; it has no default),
                ``max_restarts`` (3) within ``max_seconds`` (5), ``auto_shutdown`` (``"never"``, which is the default,
                ``"any_significant"`` or ``"all_significant"``).

        Raises:
            BadType, BadArgument, BadChildSpec: a flag or a child is wrong; nothing has been started.

        Counterpart: ``Supervisor.init/2``.
        """
        if isinstance(children, SupervisorFlags):  # of an inline supervisor, checked in its caller
            return Ok(children)
        return Ok(SupervisorFlags.of("Supervisor.init", children, flags))

    @classmethod
    @library_call
    def start_link(cls, arg: Any = None, /, *, name: Any = None, **flags: Any) -> Pid:
        """Starts a supervisor linked to the caller, and returns its pid when all its children have started.

        Args:
            arg: what ``init`` gets; the list of children for an inline supervisor.
            name: a string or a via.
            **flags: what ``init`` takes besides.

        Raises:
            BadType, BadArgument, BadChildSpec: a flag, the name or a child is wrong; nothing has been started.
            AlreadyStarted: the name is taken.
            Ignored: ``init`` returned Ignore.
            StartError: a child (``child_id``) could not be started, or ``init`` failed; whatever had been started has
                been terminated.

        Counterpart: ``Supervisor.start_link/2`` and ``/3``.
        """
        return cls._begin(arg, name, flags, linked=True)

    @classmethod
    @library_call
    def start(cls, arg: Any = None, /, *, name: Any = None, **flags: Any) -> Pid:
        """Starts a supervisor that is not linked; otherwise like ``start_link``."""
        return cls._begin(arg, name, flags, linked=False)

    @classmethod
    def _begin(cls, arg: Any, name: Any, flags: dict[str, Any], *, linked: bool) -> Pid:
        if name is not None:
            names.check_name(name)
        if cls.init is Supervisor.init:
            arg, flags = SupervisorFlags.of(f"{cls.__name__}.start_link", arg, flags), {}
        else:
            cls._check_flags(flags)
        return cls._launch(arg, name, flags, linked=linked)

    def started(self, process: Process, result: Ok) -> Ok:
        """Start the children that ``init`` returned."""
        flags = result.state
        if not isinstance(flags, SupervisorFlags):
            raise BadReturn(type(self), "init", result, "super().init(children, strategy=…), Ignore or Stop")
        terminate = terminate_together if self.terminates_together else terminate_in_order
        state = StaticChildren(process, flags, Clocks(type(self).clock, type(self).chance), terminate)
        state.start_all(flags.children)
        return Ok(state)

    @staticmethod
    def restart_child(sup: Any, id_: Hashable) -> Pid | None:
        """Starts a child again that does not run.

        Returns:
            Its pid; None if its ``init`` returned Ignore.

        Raises:
            NotFound: the supervisor has no such child.
            Running, Restarting: it runs, or is about to.
            StartError: it could not be started, and is kept as it was.

        Counterpart: ``Supervisor.restart_child/2``.
        """
        return ask(sup, "restart_child", id_)  # type: ignore[no-any-return]

    @staticmethod
    def delete_child(sup: Any, id_: Hashable) -> None:
        """Makes the supervisor forget a child that does not run.

        Raises:
            NotFound: the supervisor has no such child.
            Running, Restarting: it runs, or is about to.

        Counterpart: ``Supervisor.delete_child/2``.
        """
        ask(sup, "delete_child", id_)
