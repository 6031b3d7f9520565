from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

import supervision

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")  # a colon is in every address outside of the repository


def python_blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_as_program(source: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run a program up to its main loop; give the children it would supervise."""
    children: list[Any] = []

    def run(given: list[Any]) -> int:
        children.extend(given)
        return 0

    monkeypatch.setattr(supervision, "run", run)
    with pytest.raises(SystemExit) as ended:
        exec(compile(source, "<documentation>", "exec"), {"__name__": "__main__"})
    assert ended.value.code == 0
    return children


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_compiles(page: Path) -> None:
    for block in python_blocks(page):
        compile(block, name_of(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_into_the_repository_leads_somewhere(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]

    assert broken == []


def test_the_echo_of_the_readme_has_at_most_15_lines_of_code() -> None:
    (echo,) = python_blocks(ROOT / "README.md")

    assert len([line for line in echo.splitlines() if line]) <= 15


def test_the_echo_of_the_readme_echoes(monkeypatch: pytest.MonkeyPatch) -> None:
    (echo,) = python_blocks(ROOT / "README.md")
    ((thousand_island, options),) = run_as_program(echo, monkeypatch)

    server = thousand_island.start_link(**{**options, "port": 0, "transport_options": {"ip": "loopback"}})
    with socket.create_connection(thousand_island.listener_info(server), timeout=10) as client:
        client.sendall(b"hello")
        assert client.recv(5, socket.MSG_WAITALL) == b"hello"
    thousand_island.stop(server)
