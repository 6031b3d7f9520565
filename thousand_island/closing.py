"""Closing a transport's socket, whatever that raises.

A transport is the user's. Who closes is a connection that ends, an acceptor, or the worker that buries a process: none
of them may end by it, or go without the rest of what it has to do.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from supervision.log import HarmlessLogger
from supervision.process_table import Pid
from thousand_island.errors import ThousandIslandError

__all__ = ["close"]

logger: Final = HarmlessLogger(logging.getLogger("thousand_island"))


def close(transport: Any, socket: Any, owner: Pid) -> None:
    """Close ``socket`` of ``owner``. Mistakes of the transport are logged; that it is closed already is none."""
    try:
        transport.close(socket)
    except (OSError, ThousandIslandError):
        pass
    except Exception:
        logger.exception("a socket of %r could not be closed", owner)
