"""Makes docs/conformance.md from the tests and their marks: ``python -m docs.conformance_page``.

Which rows there are, and why one has no test, is said in ``conformance_rows.txt``; which test proves which row is said
by the test, with ``@pytest.mark.row("EX-01")``. ``uncovered_lines`` has the last section.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from docs import uncovered_lines

__all__ = ["PAGE", "Area", "Proof", "areas", "page", "proofs"]

PAGE: Final = Path(__file__).with_name("conformance.md")

_ROWS: Final = Path(__file__).with_name("conformance_rows.txt")
_TESTS: Final = Path(__file__).parent.parent / "tests"

_HEAD: Final = """\
# Conformance

What users of OTP, Elixir, Thousand Island and ranch rely on can be read from the test suites and the documentation of
those. Each such behaviour is a row with an ID, and each row is here: with the tests that prove it, or with why there is
none. Of {rows} rows {proved} have tests{open}.

A test bears the IDs of its rows (`@pytest.mark.row("EX-01")`), so `grep -r EX-01 tests` finds it. This page is made
from these marks.
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """A test that proves a row."""

    path: Path
    group: str
    name: str

    def claim(self) -> str:
        """What the test's name says."""
        return self.name.removeprefix("test_").replace("_", " ")


@dataclass(slots=True)
class Area:
    """Rows that belong together; ``reasons`` tells of rows, or of ``"*"`` for all others, why they have no test."""

    prefix: str
    title: str
    rows: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def reason(self, row: str) -> str | None:
        """Why a row has no test, if that is known."""
        return self.reasons.get(row, self.reasons.get("*"))


def areas() -> list[Area]:
    """Return the areas and their rows."""
    found: list[Area] = []
    for line in _ROWS.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            prefix, title = line[1:].split("] ")
            found.append(Area(prefix, title))
        elif line.startswith("- "):
            rows, reason = line[2:].split(": ", 1)
            found[-1].reasons.update(dict.fromkeys(rows.split(), reason))
        elif line and not line.startswith("#"):
            found[-1].rows.extend(line.split())
    return found


def proofs(tests: Path = _TESTS) -> dict[str, list[Proof]]:
    """Return the tests of each row that has some."""
    found: dict[str, list[Proof]] = defaultdict(list)
    for path in sorted(tests.glob("**/test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for group, marked, test in _tests(module):
            for row in dict.fromkeys([*marked, *_marks(test)]):
                found[row].append(Proof(path, group, test.name))
    return found


def _tests(module: ast.Module) -> Iterator[tuple[str, list[str], ast.FunctionDef]]:
    """The tests of a module, each with the name of its class and what that is marked with."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            yield from ((node.name, _marks(node), test) for test in node.body if isinstance(test, ast.FunctionDef))
        elif isinstance(node, ast.FunctionDef):
            yield "", [], node


def _marks(node: ast.ClassDef | ast.FunctionDef) -> list[str]:
    """The rows in the decorators of a class or test, those of single parameters included."""
    calls = (call for mark in node.decorator_list for call in ast.walk(mark) if isinstance(call, ast.Call))
    rows = (call.args for call in calls if ast.unparse(call.func) == "pytest.mark.row")
    return [ast.literal_eval(row) for args in rows for row in args]


def page() -> str:
    """Return the text of the page."""
    tests = proofs()
    rows = [(area, row) for area in areas() for row in area.rows]
    bare = [row for area, row in rows if row not in tests and area.reason(row) is None]
    left = f"; {len(bare)} that apply have none yet" if bare else ""
    head = _HEAD.format(rows=len(rows), proved=sum(row in tests for _, row in rows), open=left)
    return head + "".join(_table(area, tests) for area in areas()) + uncovered_lines.section()


def _table(area: Area, tests: dict[str, list[Proof]]) -> str:
    lines = [f"| {row} | {_tell(tests[row]) if row in tests else _excuse(area, row)} |" for row in area.rows]
    return "\n".join(["", f"## {area.prefix}: {area.title}", "", "| row | tests |", "|---|---|", *lines, ""])


def _excuse(area: Area, row: str) -> str:
    return f"*{area.reason(row) or 'not covered yet'}*"


def _tell(tests: list[Proof]) -> str:
    groups: dict[tuple[Path, str], list[str]] = defaultdict(list)
    for test in tests:
        groups[test.path, test.group].append(test.claim())
    return "<br>".join(f"{_place(*place)}: {'; '.join(claims)}" for place, claims in groups.items())


def _place(path: Path, group: str) -> str:
    link = f"[{path.stem}](../tests/{path.relative_to(_TESTS).as_posix()})"
    return f"{link} {group}" if group else link


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
