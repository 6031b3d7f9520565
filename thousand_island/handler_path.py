"""Importing the handler that ``MODULE:HANDLER`` names."""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import sys
from typing import Any

from thousand_island.errors import BadOption

__all__ = ["load_handler"]


def load_handler(path: Any) -> Any:
    """Imports what ``MODULE:HANDLER`` names, from the current directory too.

    Raises:
        BadOption: it is no such path, the module is not there or fails, or has no such name.
    """
    module_name, colon, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    if not module_name or not colon or not name:
        raise BadOption(f"the handler must be given as MODULE:HANDLER, such as examples.echo:Echo, got {path!r}")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = _module(module_name)
    try:
        return functools.reduce(getattr, name.split("."), module)
    except AttributeError:
        near = difflib.get_close_matches(name, dir(module), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadOption(f"the module {module_name!r} has no {name!r}{hint}") from None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise BadOption(f"there is no module {name!r}") from error
        raise BadOption(f"the module {name!r} cannot be imported: {error}") from error
    except Exception as error:
        # It is the user's module, and may fail in any way.
        raise BadOption(f"the module {name!r} cannot be imported: {type(error).__name__}: {error}") from error
