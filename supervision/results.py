"""What the callbacks of an Actor return.

Plain classes with slots instead of dataclasses: one of them is made for every message, and the ``__init__`` of a frozen
dataclass takes twice as long. Treat them as values all the same. Their fields are checked when they are applied
(``server``), so that the error can name the callback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from supervision import arguments

__all__ = ["UNSET", "Ignore", "NoReply", "Ok", "Reply", "Result", "Stop", "Timeout", "Unset"]


class Unset:
    """The type of ``UNSET``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        return "UNSET"  # copied and pickled by its name, for it is told by its identity


UNSET: Final = Unset()
"""Tells an argument that was left out from one that is None."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """A ``timeout`` with a message of its own: ``handle_info(message, state)`` runs if nothing else arrives.

    Attributes:
        milliseconds: a whole number, or INFINITY. With 0 the message comes before all that is in the mailbox already.
        message: anything.

    Counterpart: ``{timeout, Time, Message}``.
    """

    milliseconds: int | float
    message: Any

    def __post_init__(self) -> None:
        arguments.milliseconds("milliseconds", self.milliseconds)


Time: TypeAlias = float | Timeout | Literal["hibernate"] | None
"""What the ``timeout`` of a result may be."""


class Result:
    """The base of all results; equal when the class and all fields are."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)

    __hash__ = None  # type: ignore[assignment]


class Ok(Result):
    """``init`` succeeded.

    Attributes:
        state: the first state.
        timeout: milliseconds after which ``handle_info(TIMEOUT, state)`` runs if nothing arrives; Timeout for another
            message than TIMEOUT; None: no timeout. ``"hibernate"`` is accepted for ported code, and is none either.
        continue_with: if given, ``handle_continue(continue_with, state)`` runs before any message.

    Counterpart: ``{ok, State, …}``.
    """

    __slots__ = __match_args__ = ("state", "timeout", "continue_with")

    def __init__(self, state: Any = None, timeout: Time = None, continue_with: Any = UNSET) -> None:
        self.state = state
        self.timeout = timeout
        self.continue_with = continue_with


class Ignore(Result):
    """``init`` wants no process, and that is no failure.

    Counterpart: ``ignore``.
    """

    __slots__ = __match_args__ = ()


class Reply(Result):
    """``handle_call`` answers with ``value``; the other fields as in Ok.

    Counterpart: ``{reply, Reply, State, …}``.
    """

    __slots__ = __match_args__ = ("value", "state", "timeout", "continue_with")

    def __init__(self, value: Any, state: Any, timeout: Time = None, continue_with: Any = UNSET) -> None:
        self.value = value
        self.state = state
        self.timeout = timeout
        self.continue_with = continue_with


class NoReply(Result):
    """Goes on with ``state``; the other fields as in Ok.

    Counterpart: ``{noreply, State, …}``.
    """

    __slots__ = __match_args__ = ("state", "timeout", "continue_with")

    def __init__(self, state: Any, timeout: Time = None, continue_with: Any = UNSET) -> None:
        self.state = state
        self.timeout = timeout
        self.continue_with = continue_with


class Stop(Result):
    """Ends the actor with ``reason``, after ``terminate``.

    Attributes:
        reason: the exit reason.
        state: the last state; left out, it is the present one.
        reply: the answer to the call that is being handled, sent after ``terminate``; left out, there is none.

    Counterpart: ``{stop, Reason, [Reply,] State}``.
    """

    __slots__ = __match_args__ = ("reason", "state", "reply")

    def __init__(self, reason: Any, state: Any = UNSET, reply: Any = UNSET) -> None:
        self.reason = reason
        self.state = state
        self.reply = reply
