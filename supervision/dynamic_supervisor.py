"""Dynamic supervisors: for many children that come and go, and do not depend on each other.

Counterpart: ``DynamicSupervisor``. ``dynamic_children`` has what one does.
"""

from __future__ import annotations

import functools
from typing import Any

from supervision import names
from supervision.child_spec import ChildSpec, child_spec
from supervision.dynamic_children import DynamicChildren, significant_is_refused
from supervision.errors import BadChildSpec, BadReturn, BadType
from supervision.process_table import Pid, Process
from supervision.results import Ok
from supervision.supervisor_base import SupervisorBase, ask
from supervision.supervisor_children import Clocks
from supervision.supervisor_flags import DynamicFlags
from supervision.threads import library_call

__all__ = ["DynamicSupervisor"]


class DynamicSupervisor(SupervisorBase):
    """Starts children one by one as it is asked to, restarts each by itself, and terminates them all at once.

    ``DynamicSupervisor.start_link(name="pool")``, or a class of its own whose ``init`` returns ``super().init(…)``.
    As a child: ``(DynamicSupervisor, {"name": "pool"})``, with the name as the id.

    Counterpart: ``DynamicSupervisor``.
    """

    def init(self, *args: Any, **flags: Any) -> Any:
        """Return the flags. Override it, and return what this one returns.

        Args:
            *args: nothing; an overriding ``init`` gets the argument of ``start_link``.
            **flags: ``max_restarts`` (3) within ``max_seconds`` (5), ``max_children`` (INFINITY), ``extra_arguments``
                (a tuple, put before the arguments of each child), ``strategy`` (accepted for ported code; there is none
                but ``"one_for_one"``).

        Raises:
            BadType, BadArgument: a flag is wrong.

        Counterpart: ``DynamicSupervisor.init/1``.
        """
        if args and isinstance(args[0], DynamicFlags):  # of an inline supervisor, checked in its caller
            return Ok(args[0])
        return Ok(DynamicFlags.of("DynamicSupervisor.init", flags))

    @classmethod
    @library_call
    def start_link(cls, arg: Any = None, /, *, name: Any = None, **flags: Any) -> Pid:
        """Starts a supervisor without children, linked to the caller.

        Args:
            arg: what an overriding ``init`` gets.
            name: a string or a via.
            **flags: what ``init`` takes besides.

        Raises:
            BadType, BadArgument: a flag or the name is wrong; nothing has been started.
            AlreadyStarted: the name is taken.
            Ignored, StartError: an overriding ``init`` returned Ignore or failed.

        Counterpart: ``DynamicSupervisor.start_link/1`` and ``/3``.
        """
        return cls._begin(arg, name, flags, linked=True)

    @classmethod
    @library_call
    def start(cls, arg: Any = None, /, *, name: Any = None, **flags: Any) -> Pid:
        """Starts a supervisor that is not linked; otherwise like ``start_link``."""
        return cls._begin(arg, name, flags, linked=False)

    @classmethod
    def child_spec(cls, arg: Any = None) -> ChildSpec:
        """Return how a supervisor starts this one; for the class itself ``arg`` is a dict of options, or None.

        Counterpart: ``DynamicSupervisor.child_spec/1``.
        """
        if cls.init is not DynamicSupervisor.init:
            return super().child_spec(arg)
        options = {} if arg is None else arg
        if not isinstance(options, dict):
            raise BadChildSpec(f"{cls.__name__} as a child takes a dict of options, got {options!r}")
        name = options.get("name")
        id_: Any = cls if name is None else name  # mypy finds no __hash__ on a class
        return ChildSpec(id_, functools.partial(cls.start_link, **options), type=cls.type, restart=cls.restart)

    @classmethod
    def _begin(cls, arg: Any, name: Any, flags: dict[str, Any], *, linked: bool) -> Pid:
        if name is not None:
            names.check_name(name)
        if cls.init is not DynamicSupervisor.init:
            cls._check_flags(flags)
        elif arg is None:
            arg, flags = DynamicFlags.of(f"{cls.__name__}.start_link", flags, ("name",)), {}
        else:
            raise BadType(f"{cls.__name__}.start_link takes keywords only, got {arg!r}")
        return cls._launch(arg, name, flags, linked=linked)

    def started(self, process: Process, result: Ok) -> Ok:
        """Begin without children."""
        flags = result.state
        if not isinstance(flags, DynamicFlags):
            raise BadReturn(type(self), "init", result, "super().init(…), Ignore or Stop")
        return Ok(DynamicChildren(process, flags, Clocks(type(self).clock, type(self).chance)))

    @staticmethod
    def start_child(sup: Any, child: Any) -> Pid | None:
        """Starts a child.

        Args:
            sup: the supervisor: its pid, name or via.
            child: anything that ``child_spec`` accepts. Its id is not used, so many may have the same.

        Returns:
            Its pid; None if its ``init`` returned Ignore.

        Raises:
            BadChildSpec: it is no child, or ``significant``; found before the supervisor is asked.
            MaxChildren: there are as many as ``max_children`` allows.
            AlreadyStarted: the process that it would be is running.
            StartError: it could not be started, and is not kept.

        Counterpart: ``DynamicSupervisor.start_child/2``.
        """
        spec = child_spec(child)
        if spec.significant:
            raise significant_is_refused(spec)
        return ask(sup, "start_child", spec)  # type: ignore[no-any-return]
