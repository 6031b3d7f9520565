"""Supervisors: processes that start others, and start them again when they fail.

Counterpart: ``Supervisor`` and ``supervisor``. ``static_children`` has what one does, ``restart`` what it decides.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

from supervision import names, sys
from supervision.children import ChildInfo
from supervision.errors import BadReturn
from supervision.messages import INFINITY
from supervision.process_table import Pid, Process
from supervision.results import Ok
from supervision.static_children import StaticChildren
from supervision.supervisor_base import SupervisorBase, ask
from supervision.supervisor_children import Clocks
from supervision.supervisor_flags import SupervisorFlags
from supervision.termination import terminate_in_order, terminate_together
from supervision.threads import library_call

__all__ = ["Supervisor"]


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

    def init(self, *args: Any, **flags: Any) -> Any:
        """Return what to start. Override it, and return what this one returns.

        Args:
            *args: one argument, by position: a list of anything that ``child_spec`` accepts, started in this order. An
                overriding ``init`` gets the argument of ``start_link``.
            **flags: ``strategy`` (``"one_for_one"``, ``"one_for_all"`` or ``"rest_for_one"``; it has no default),
                ``max_restarts`` (3) within ``max_seconds`` (5), ``auto_shutdown`` (``"never"``, which is the default,
                ``"any_significant"`` or ``"all_significant"``).

        Raises:
            BadType, BadArgument, BadChildSpec: a flag or a child is wrong; nothing has been started.

        Counterpart: ``Supervisor.init/2``.
        """
        (children,) = args
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
            arg, flags = SupervisorFlags.of(f"{cls.__name__}.start_link", arg, flags, ("name",)), {}
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
    def which_child(sup: Any, id_: Hashable) -> ChildInfo:
        """Returns one child, by its id.

        Raises:
            NotFound: the supervisor has no such child.

        Counterpart: ``supervisor:which_child/2``.
        """
        return ask(sup, "which_child", id_)  # type: ignore[no-any-return]

    @staticmethod
    def get_callback_module(sup: Any) -> type[SupervisorBase]:
        """Returns the class of a supervisor.

        Counterpart: ``supervisor:get_callback_module/1``.
        """
        return sys.get_status(sup, INFINITY).actor

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
