"""The library's own log, ``logging.getLogger("supervision")``, by which nobody comes to harm.

Counterpart: the handlers of OTP's logger, of which one that fails is removed and told of, while who logs goes on.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from typing import Any, Final

from supervision.threads import library_call

__all__ = ["HarmlessLogger", "logger"]


class HarmlessLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose handlers and filters, which are the user's, may raise."""

    @library_call  # a kill amid a handler would leave its lock taken, and all that log would wait for ever
    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log, and tell of an error on stderr as ``logging`` does of those that it catches itself."""
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 2  # the record names who calls this
        try:
            super().log(level, msg, *args, **kwargs)
        except KeyboardInterrupt:  # it may hit the main thread here as anywhere
            raise
        except BaseException:  # noqa: BLE001  without this a report of a crash would end the supervisor that makes it
            if logging.raiseExceptions:
                with contextlib.suppress(OSError, ValueError):  # stderr is gone
                    traceback.print_exc()

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Keep the ``extra`` of each call."""
        return msg, kwargs


logger: Final = HarmlessLogger(logging.getLogger("supervision"))
