"""Actors: a state, and callbacks that change it one message at a time.

Counterpart: the GenServer behaviour. ``server`` has the loop that calls the callbacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias

from supervision.arguments import options_by_name
from supervision.calls import Caller
from supervision.child_spec import ChildSpec, default_child_spec
from supervision.enter_loop import enter_loop
from supervision.log import logger
from supervision.process_table import Pid, Ref
from supervision.results import UNSET, Ignore, NoReply, Ok, Reply, Stop, Time
from supervision.server import Server
from supervision.shown import shown
from supervision.start import StartOptions, start
from supervision.start_monitor import start_monitor
from supervision.status import Status
from supervision.threads import library_call

if TYPE_CHECKING:
    from supervision.child_spec import ChildType, Shutdown
    from supervision.restart import Restart

__all__ = ["Actor"]

ServerClass: TypeAlias = type[Server]  # the class attribute ``type`` hides the built-in below


class Actor:
    """The base of all actors. Override ``init`` and the callbacks you need.

    Every callback runs on some worker's thread, one at a time, in the actor's own context; it may block. What it
    raises is the actor's exit reason, after ``terminate``.

    Class attributes:
        restart, shutdown: what ``child_spec`` says of it.
        dedicated_thread: whether it gets one thread for life.

    Counterpart: ``GenServer``.
    """

    restart: ClassVar[Restart] = "permanent"
    shutdown: ClassVar[Shutdown | None] = None
    type: ClassVar[ChildType] = "worker"
    dedicated_thread: ClassVar[bool] = False
    # For the library's own actors: how introspection counts them, and the loop that runs them.
    kind: ClassVar[str] = "actor"
    server_class: ClassVar[ServerClass] = Server

    def init(self, arg: Any, /) -> Ok | Ignore | Stop:
        """Return the first state. The starter waits for it.

        Counterpart: ``GenServer.init/1``.
        """
        return Ok(arg)

    def handle_call(self, request: Any, caller: Caller, state: Any) -> Reply | NoReply | Stop:
        """Answer a ``call``, now with Reply or later with ``reply(caller, value)``.

        Counterpart: ``GenServer.handle_call/3``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no handle_call, and was called with {shown(request)}")

    def handle_cast(self, message: Any, state: Any) -> NoReply | Stop:
        """Handle a ``cast``.

        Counterpart: ``GenServer.handle_cast/2``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no handle_cast, and was sent {shown(message)}")

    def handle_info(self, message: Any, state: Any) -> NoReply | Stop:
        """Handle any other message: of ``send``, Exit, Down, TIMEOUT. The default logs a warning and drops it.

        Counterpart: ``GenServer.handle_info/2``.
        """
        logger.warning("%s has no handle_info; dropped %s", type(self).__name__, shown(message))
        return NoReply(state)

    def handle_continue(self, argument: Any, state: Any) -> NoReply | Stop:
        """Go on after a result with ``continue_with``, before any message.

        Counterpart: ``GenServer.handle_continue/2``.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no handle_continue, and was to continue with {shown(argument)}"
        )

    def terminate(self, reason: Any, state: Any) -> object:
        """Clean up; the last callback. Not called when the actor is killed or dies of a signal that it does not trap.

        Counterpart: ``GenServer.terminate/2``.
        """

    def format_status(self, status: Status) -> Status:
        """Return what crash reports and introspection may show.

        Counterpart: ``GenServer.format_status/1``.
        """
        return status

    @classmethod
    @library_call
    def start_link(cls, arg: Any = None, /, **options: Any) -> Pid:
        """Start an actor linked to the caller, and return its pid when ``init`` has succeeded.

        Args:
            arg: what ``init`` gets.
            **options: ``name``, ``timeout`` (milliseconds for ``init``), ``dedicated_thread``, ``label``.

        Raises:
            AlreadyStarted: the name is taken.
            Ignored: ``init`` returned Ignore.
            StartTimeout: ``init`` took too long.
            StartError: ``init`` failed; ``reason`` says why.

        Counterpart: ``GenServer.start_link/3``.
        """
        return start(cls, arg, StartOptions.of(cls, options), linked=True)

    @classmethod
    @library_call
    def start(cls, arg: Any = None, /, **options: Any) -> Pid:
        """Start an actor that is not linked; otherwise like ``start_link``.

        Counterpart: ``GenServer.start/3``.
        """
        return start(cls, arg, StartOptions.of(cls, options), linked=False)

    @classmethod
    @library_call
    def start_monitor(cls, arg: Any = None, /, **options: Any) -> tuple[Pid, Ref]:
        """Start an actor that is monitored by the caller, and not linked; otherwise like ``start_link``.

        When the start fails, no Down comes of it.

        Counterpart: ``gen_server:start_monitor/3``.
        """
        return start_monitor(cls, arg, StartOptions.of(cls, options))

    @classmethod
    @options_by_name
    @library_call
    def enter_loop(cls, state: Any, *, name: Any = None, timeout: Time = None, continue_with: Any = UNSET) -> NoReturn:
        """Make an actor of the calling process, which ``process.spawn`` or one of its kind has started.

        The function of the process is left, as by an exception; ``init`` is not called.

        Args:
            state: the first state.
            name: the name that the process has registered, if it is to be checked.
            timeout: as of Ok.
            continue_with: as of Ok.

        Raises:
            CallError: the process was not spawned, or does not have the name.

        Counterpart: ``gen_server:enter_loop/5``.
        """
        enter_loop(cls, Ok(state, timeout, continue_with), name)

    @classmethod
    def child_spec(cls, arg: Any = None) -> ChildSpec:
        """Return how a supervisor starts this actor with ``arg``.

        Counterpart: the ``child_spec/1`` that ``use GenServer`` defines.
        """
        return default_child_spec(cls, arg, restart=cls.restart, shutdown=cls.shutdown, type=cls.type)
