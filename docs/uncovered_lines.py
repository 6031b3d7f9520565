"""The section of docs/conformance.md about the lines of ``supervision`` that no test reaches, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["reasons", "section"]

_REASONS: Final = Path(__file__).with_suffix(".txt")

_HEAD: Final = """
## Lines that no test reaches

`make coverage` reports the lines and branches that the tests of this page do not reach. Some of `supervision` cannot be
reached where coverage is measured, or only by chance. They are in these functions.

| functions | they |
|---|---|
"""


def reasons() -> dict[str, list[str]]:
    """Return the functions by the reason for which some of their lines are not covered."""
    found: dict[str, list[str]] = {}
    text = _REASONS.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for block in " ".join(lines).split("[")[1:]:
        reason, functions = block.split("]")
        found[reason] = functions.split()
    return found


def section() -> str:
    """Return the text of the section."""
    rows = [f"| {_listed(functions)} | {reason} |" for reason, functions in reasons().items()]
    return _HEAD + "\n".join(rows) + "\n"


def _listed(functions: list[str]) -> str:
    return ", ".join(f"`{function}`" for function in functions)
