"""How a value of the user's is shown in the text of an error, or in a line of the log.

Who makes such a text may be a supervisor, which must not end because a ``__repr__`` raises; and the text of an error
may hold that of another one, which holds a third, so it has a limit.
"""

from __future__ import annotations

import reprlib
from typing import Any, Final

__all__ = ["shown", "shown_briefly"]


def shown(value: Any) -> str:
    """Returns the repr of ``value`` in at most 1,000 characters; of one that has none, at least the type."""
    return _repr(_ERROR, value)


def shown_briefly(value: Any) -> str:
    """``shown`` in at most 300 characters or so, and a few members of each collection: enough for a line of a log."""
    return _repr(_LINE, value)


def _repr(how: reprlib.Repr, value: Any) -> str:
    try:
        text = how.repr(value)
    except KeyboardInterrupt:  # it may hit the main thread here as anywhere
        raise
    except BaseException:  # noqa: BLE001  ``reprlib`` survives an Exception, and so must this what else a __repr__ raises
        return f"<{type(value).__name__} instance, whose repr() failed>"
    return text if len(text) <= how.maxother else f"{text[: how.maxother - 1]}…"


def _limited(characters: int, members: int | None = None) -> reprlib.Repr:
    how = reprlib.Repr()
    how.maxstring = how.maxother = characters
    if members is not None:
        how.maxlist = how.maxtuple = how.maxdict = how.maxset = how.maxfrozenset = how.maxdeque = members
    return how


# Each level of quotes doubles the backslashes of the one in it: without a limit, the text of an exit reason that has
# gone through twenty actors has a million characters.
_ERROR: Final = _limited(1_000, members=100)

# Enough for a reason with an address or a path in it, and still a line that can be read.
_LINE: Final = _limited(300)
