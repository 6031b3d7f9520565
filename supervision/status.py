"""What ``format_status`` gets and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """What crash reports and introspection would show of an actor.

    Attributes:
        state: its state.
        message: what it worked on.
        reason: its exit reason; None while it lives.
        log: its recent events, if ``sys`` collects them.

    Counterpart: the map of ``gen_server:format_status/1``.
    """

    state: Any
    message: Any = None
    reason: Any = None
    log: Any = None
