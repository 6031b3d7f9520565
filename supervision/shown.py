"""How a value of the user's is shown in the text of an error.

Who makes such a text may be a supervisor, which must not end because a ``__repr__`` raises; and the text of an error
may hold that of another one, which holds a third, so it has a limit.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["shown"]

# Characters. Each level of quotes doubles the backslashes of the one in it: without a limit, the text of an exit reason
# that has gone through twenty actors has a million.
_LONGEST: Final = 1_000


def shown(value: Any) -> str:
    """Returns the repr of ``value``, cut where it is too long; of one that has none, at least the type."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  whatever it is, it must not replace the error that shows the value
        return f"<{type(value).__name__} instance, whose repr() raised {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
