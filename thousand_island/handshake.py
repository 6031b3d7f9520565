"""A handshake under way: what its connection does when it ends, and what waits until then.

The handshake of a transport of this library goes on whenever the client has sent something, so clients that stall
hold no thread. That of another transport is one call, which may block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from supervision.threads import ThreadRecord
from thousand_island.endings import Ending

__all__ = ["Handshake"]


@dataclass(slots=True)
class Handshake:
    """One handshake of one connection.

    Attributes:
        failed: how the connection ends if it fails, by the reason.
        done: what comes after it.
        deferred: the messages for the handler that came meanwhile, which it gets afterwards.
    """

    failed: Callable[[Any], Ending]
    done: Callable[[ThreadRecord], None]
    deferred: list[Any] = field(default_factory=list)
