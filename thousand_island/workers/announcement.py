"""The last child of a worker's tree: it tells the parent that the worker serves, and gives up the listening socket."""

from __future__ import annotations

import os
from typing import Any

from supervision import process
from supervision.actor import Actor
from supervision.masked_server import MaskedServer
from supervision.results import Ok
from thousand_island.workers.channel import WorkerEnd

__all__ = ["Announcement"]


class Announcement(Actor):
    """Its argument and state are the worker's end of the control channel and the inherited listening descriptor.

    The server listens on a copy. The descriptor itself is kept for a server that is restarted, and closed before the
    server drains: a socket listens as long as anybody has it, and clients must not wait where nobody accepts.
    """

    server_class = MaskedServer

    def init(self, arg: tuple[WorkerEnd, int]) -> Ok:
        """Say that the worker serves: what was started before this does."""
        process.trap_exit(True)
        channel, _ = arg
        channel.tell({"serving": True})
        return Ok(arg)

    def terminate(self, reason: Any, state: tuple[WorkerEnd, int]) -> None:
        """Let go of the socket."""
        os.close(state[1])
