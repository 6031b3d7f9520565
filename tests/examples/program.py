"""An example as the program that somebody runs."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import supervision


def program_of(path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[Any]:
    """Run a program up to its main loop; give the children it would supervise."""
    programs: list[list[Any]] = []
    monkeypatch.setattr(supervision, "run", lambda children, **flags: programs.append(children))
    # Nothing runs, so nothing may stay connected to the events of the servers that follow.
    monkeypatch.setattr("blinker.NamedSignal.connect", lambda signal, receiver: receiver)
    monkeypatch.setattr("sys.argv", [str(path), *arguments])
    with pytest.raises(SystemExit):
        runpy.run_path(str(path), run_name="__main__")
    return programs[0]
