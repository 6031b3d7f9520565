from __future__ import annotations

from docs.telemetry_page import PAGE, page
from thousand_island.events import EVENTS


def test_page_is_what_the_list_of_events_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m docs.telemetry_page writes it anew"


def test_every_event_has_a_row_with_all_its_keys():
    rows = page().splitlines()
    for event in EVENTS:
        heading = rows.index(f"## `thousand_island.{event.span}.*`")
        row = next(row for row in rows[heading:] if row.startswith(f"| `{event.name}` |"))
        assert event.doc in row
        assert all(f"`{key}`" in row for key in (*event.measurements, *event.metadata))


def test_every_key_is_explained():
    rows = page().splitlines()
    explained = {
        row.split("`")[1] for row in rows[rows.index("## Keys") :] if row.startswith("| `") and row.count("|") == 3
    }
    assert explained >= {key for event in EVENTS for key in (*event.measurements, *event.metadata)}
