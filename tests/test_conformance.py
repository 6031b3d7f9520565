from __future__ import annotations

import importlib
from pathlib import Path

from docs.conformance_page import PAGE, areas, page, proofs
from docs.uncovered_lines import reasons

SAMPLE = """
import pytest

@pytest.mark.row("EX-01")
def test_it_works():
    pass

@pytest.mark.row("EX-02")
class TestThing:
    def test_it_works(self):
        pass

    @pytest.mark.row("EX-03")
    @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.row("EX-04"))])
    def test_it_works_twice(self, n):
        pass
"""
ROWS = {row: area for area in areas() for row in area.rows}


def test_page_is_what_the_marks_of_the_tests_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m docs.conformance_page writes it anew"


def test_every_marked_row_exists() -> None:
    assert sorted(proofs().keys() - ROWS.keys()) == []


def test_every_row_is_listed_once_and_in_its_area() -> None:
    listed = [row for area in areas() for row in area.rows]
    assert len(listed) == len(ROWS)
    assert [row for row, area in ROWS.items() if not row.startswith(f"{area.prefix}-")] == []


def test_every_function_whose_lines_are_not_reached_exists() -> None:
    for function in (name for names in reasons().values() for name in names):
        module, *path = function.split(".")
        found = importlib.import_module(f"supervision.{module}")
        for name in path:
            found = getattr(found, name)
        assert callable(found)


def test_a_row_without_a_test_is_excused_and_no_other() -> None:
    excused = {row for area in areas() for row in area.reasons if row != "*"}
    assert excused <= ROWS.keys()
    assert sorted(excused & proofs().keys()) == []


def test_marks_of_tests_classes_and_parameters_count(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    claims = {row: [f"{test.group}: {test.claim()}" for test in tests] for row, tests in proofs(tmp_path).items()}
    assert claims == {
        "EX-01": [": it works"],
        "EX-02": ["TestThing: it works", "TestThing: it works twice"],
        "EX-03": ["TestThing: it works twice"],
        "EX-04": ["TestThing: it works twice"],
    }
