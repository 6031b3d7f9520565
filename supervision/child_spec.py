"""What a supervisor has to know of a child, and everything that may stand for it in a list of children.

Owns the fields, their defaults and their validation. Starts nothing, and knows no process.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from supervision import arguments
from supervision.errors import BadArgument, BadChildSpec, BadType
from supervision.exact_keys import exact
from supervision.messages import BRUTAL_KILL, INFINITY
from supervision.restart import RESTARTS, AutoShutdown, Backoff, Restart
from supervision.shown import shown

__all__ = [
    "CHILD_TYPES",
    "ChildSpec",
    "ChildType",
    "Shutdown",
    "check_children",
    "check_significant",
    "child_spec",
    "default_child_spec",
]

ChildType: TypeAlias = Literal["worker", "supervisor"]
Shutdown: TypeAlias = int | float | Literal["brutal_kill"]

CHILD_TYPES: Final[tuple[ChildType, ...]] = get_args(ChildType)

# Asks for the default and never outlives __post_init__, so the type of the field can do without None.
_UNSET: Final = cast("Shutdown", None)

# Milliseconds: OTP's default for a worker. A supervisor gets all the time that its own children need.
_WORKER_SHUTDOWN: Final = 5_000


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start a child, and what to do when it exits.

    Attributes:
        id: any hashable value, unique among the children of one supervisor (1 and True are two).
        start: called as ``start(*args)`` by the supervisor; starts and links the child and returns its pid.
        args: a tuple of arguments.
        restart: ``"permanent"`` (always restarted), ``"transient"`` (only after a crash) or ``"temporary"`` (never).
        shutdown: milliseconds that the child gets to end once it was asked to, ``INFINITY``, or ``BRUTAL_KILL`` to kill
            it unasked. Left out, or None: 5 000, or ``INFINITY`` for a supervisor.
        type: ``"worker"`` or ``"supervisor"``.
        significant: whether its end may end the supervisor, by the supervisor's ``auto_shutdown``.
        backoff: how long to wait before each restart; None restarts at once.

    Raises:
        BadChildSpec: a field is wrong; the text names the child, the field, the value and what was expected.

    Counterpart: ``supervisor:child_spec()``.
    """

    id: Hashable
    start: Callable[..., Any]
    args: tuple[Any, ...] = ()
    restart: Restart = "permanent"
    shutdown: Shutdown = _UNSET
    type: ChildType = "worker"
    significant: bool = False
    backoff: Backoff | None = None

    def __post_init__(self) -> None:
        if self.shutdown is _UNSET:
            object.__setattr__(self, "shutdown", _default_shutdown(self.type))
        try:
            _check_fields(self)
        except (BadType, BadArgument) as refusal:
            raise BadChildSpec(f"child {shown(self.id)}: {refusal}") from None


_FIELDS: Final = tuple(field.name for field in dataclasses.fields(ChildSpec))


def child_spec(child: Any, /, **overrides: Any) -> ChildSpec:
    """Makes a child spec of anything that may stand in a list of children.

    Args:
        child: a ``ChildSpec``; a class or module (or other object) with ``child_spec(arg)``, which is called with None;
            or ``(that, arg)``, where it is called with ``arg``.
        overrides: fields to replace. A shutdown time that was the default follows a new ``type``. Where ``start`` and
            ``args`` are among them, a bare class or module may be one that refuses to be asked without an argument.

    Raises:
        BadChildSpec: it is no child, ``child_spec(arg)`` returned something else, or a field is unknown or wrong.

    Counterpart: ``Supervisor.child_spec/2``.
    """
    spec = _started_otherwise(child, overrides) if "start" in overrides and "args" in overrides else _spec_of(child)
    if not overrides:
        return spec
    try:
        arguments.unknown_options("child_spec", overrides, _FIELDS)
    except BadType as refusal:
        raise BadChildSpec(f"child {shown(spec.id)}: {refusal}") from None
    if "type" in overrides and spec.shutdown == _default_shutdown(spec.type):
        overrides.setdefault("shutdown", _UNSET)
    return dataclasses.replace(spec, **overrides)


def default_child_spec(
    cls: Any, arg: Any, *, restart: Restart = "permanent", shutdown: Shutdown | None = None, type: ChildType = "worker"
) -> ChildSpec:
    """Makes the child spec of a class that is started by ``cls.start_link(arg)``, with the class as its id.

    Counterpart: the ``child_spec/1`` that ``use GenServer`` and its kin define.
    """
    limit = _UNSET if shutdown is None else shutdown
    return ChildSpec(cls, cls.start_link, (arg,), restart=restart, shutdown=limit, type=type)


def check_children(children: Any, *, auto_shutdown: AutoShutdown = "never") -> list[ChildSpec]:
    """Makes the child specs of a supervisor, in the order given.

    Args:
        children: a list of anything that ``child_spec`` accepts.
        auto_shutdown: the flag of the supervisor that they are for.

    Raises:
        BadChildSpec: this is no list, a child in it is none, two have the same id, or one is significant
            although ``auto_shutdown`` is ``"never"``.

    Counterpart: ``supervisor:check_childspecs/2``.
    """
    if isinstance(children, str | bytes | Mapping) or not isinstance(children, Iterable):
        raise BadChildSpec(f"children must be a list of children, got {shown(children)}")
    specs = [child_spec(child) for child in children]
    seen = set()
    for spec in specs:
        check_significant(spec, auto_shutdown)
        if exact(spec.id) in seen:
            raise BadChildSpec(
                f"child {shown(spec.id)}: id must be unique among the children; give one of them another id"
            )
        seen.add(exact(spec.id))
    return specs


def check_significant(spec: ChildSpec, auto_shutdown: AutoShutdown) -> None:
    """Refuses a significant child where its end could never mean anything.

    Raises:
        BadChildSpec: the child is significant and ``auto_shutdown`` is ``"never"``.
    """
    if spec.significant and auto_shutdown == "never":
        raise BadChildSpec(
            f"child {shown(spec.id)}: significant must be False where auto_shutdown is 'never', got True"
        )


def _spec_of(child: Any) -> ChildSpec:
    if isinstance(child, ChildSpec):
        return child
    if not isinstance(child, tuple):
        return _ask_for_spec(child, None)
    if len(child) != 2:
        raise BadChildSpec(_no_child(child))
    return _ask_for_spec(*child)


def _started_otherwise(child: Any, overrides: dict[str, Any]) -> ChildSpec:
    """The spec of a child whose own start is replaced, and so does not matter."""
    try:
        return _spec_of(child)
    except BadChildSpec:
        if not callable(getattr(child, "child_spec", None)):
            raise
        own: dict[str, Any] = {name: getattr(child, name) for name in ("restart", "type") if hasattr(child, name)}
        return ChildSpec(child, overrides["start"], **own)


def _ask_for_spec(owner: Any, arg: Any) -> ChildSpec:
    ask = getattr(owner, "child_spec", None)
    if not callable(ask):
        raise BadChildSpec(_no_child(owner))
    spec = ask(arg)
    if not isinstance(spec, ChildSpec):
        raise BadChildSpec(f"{_name(owner)}.child_spec returned {shown(spec)}; expected a ChildSpec")
    return spec


def _no_child(value: Any) -> str:
    what = f"{_name(value)} was given as a child, but it "
    if hasattr(value, "__name__"):
        return what + "has no child_spec(arg)"
    return what + "is no ChildSpec, no class or module with child_spec, and no tuple of such a one and its argument"


def _name(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


def _default_shutdown(child_type: ChildType) -> int | float:
    return INFINITY if child_type == "supervisor" else _WORKER_SHUTDOWN


def _check_fields(spec: ChildSpec) -> None:
    _check_id(spec.id)
    arguments.a_callable("start", spec.start)
    if not isinstance(spec.args, tuple):
        raise BadType(f"args must be a tuple, got {shown(spec.args)}")
    arguments.one_of("restart", spec.restart, RESTARTS)
    arguments.one_of("type", spec.type, CHILD_TYPES)
    _check_shutdown(spec.shutdown)
    _check_significance(spec)
    if not (spec.backoff is None or isinstance(spec.backoff, Backoff)):
        raise BadType(f"backoff must be a Backoff or None, got {spec.backoff!r}")


def _check_id(value: Any) -> None:
    # A tuple with a list in it passes for Hashable and is not: only hash() knows.
    try:
        hash(value)
    except TypeError:
        raise BadType(f"id must be hashable, got {shown(value)}") from None


def _check_shutdown(value: Any) -> None:
    if not (arguments.is_milliseconds(value) or (isinstance(value, str) and value == BRUTAL_KILL)):
        raise BadArgument(f"shutdown must be a whole number of milliseconds, INFINITY or BRUTAL_KILL, got {value!r}")


def _check_significance(spec: ChildSpec) -> None:
    if arguments.boolean("significant", spec.significant) and spec.restart == "permanent":
        raise BadArgument("significant must be False where restart is 'permanent', got True")
