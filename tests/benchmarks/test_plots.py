from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.failures import UnavailableError
from benchmarks.plots import draw
from tests.benchmarks.test_curve_report import FIGURE, RESULTS

PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Has matplotlib open the fonts that it draws with: it keeps them open."""
    pytest.importorskip("matplotlib")
    draw(FIGURE, RESULTS, tmp_path_factory.mktemp("before"))


class TestDraw:
    @pytest.mark.usefixtures("fonts")
    def test_a_figure_becomes_a_png_under_its_name(self, tmp_path: Path) -> None:
        path = draw(FIGURE, RESULTS, tmp_path)

        assert path == tmp_path / "curve.png"
        assert path.read_bytes().startswith(PNG)

    def test_without_matplotlib_it_is_said_that_there_are_no_plots(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

        with pytest.raises(UnavailableError, match="no plots without matplotlib"):
            draw(FIGURE, RESULTS, tmp_path)
