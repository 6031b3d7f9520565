"""Small programs that tests run in an interpreter of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Seconds; a program that hangs fails its test, on the slowest machine too.
PATIENCE = 40.0


def run(program: str, *, processors: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the text of a program to its end."""
    # Unbuffered, or a child that it forks would print again what it had not written yet.
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    variables.pop("SUPERVISION_PROCESSORS", None)
    if processors is not None:
        variables["SUPERVISION_PROCESSORS"] = str(processors)
    variables.update(environment)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def output_of(program: str, *, processors: int | None = None, **environment: str) -> str:
    """Run a program that must succeed without a word on stderr, and return what it printed."""
    ended = run(program, processors=processors, **environment)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout.strip()
