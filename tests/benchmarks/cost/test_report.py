from __future__ import annotations

from benchmarks.cost.report import Cost, details, each, summary_line


class TestEach:
    def test_totals_are_shared_among_the_pieces_of_work(self) -> None:
        assert each({"recv": 200.0, "send": 100.0}, 100) == {"recv": 2.0, "send": 1.0}

    def test_the_commonest_comes_first(self) -> None:
        assert list(each({"send": 100.0, "recv": 200.0}, 100)) == ["recv", "send"]

    def test_what_happens_less_than_once_in_a_hundred_is_left_out(self) -> None:
        assert each({"recv": 1_000.0, "futex": 9.0, "mmap": 10.0}, 1_000) == {"recv": 1.0, "mmap": 0.01}


class TestSummaryLine:
    def test_functions_in_python_and_built_in_ones_are_told_apart(self) -> None:
        cost = Cost("cast", "ours", {"calls": {"python a.f": 2.0, "python a.g": 1.0, "built-in len": 0.5}})

        assert summary_line(cost).startswith("| cast | ours | 3.00 | 0.50 |")

    def test_what_cannot_be_counted_here_is_a_question_mark(self) -> None:
        counts = {"calls": {}, "locks": {}, "system": None, "memory": {"peak": 72_209.0, "kept": 295.0}}

        assert summary_line(Cost("cast", "ours", counts)) == "| cast | ours | 0.00 | 0.00 | 0.00 | ? | 72,209 | 295 |"


class TestDetails:
    def test_everything_counted_is_named(self) -> None:
        cost = Cost("cast", "ours", {"calls": {"python a.f": 2.0}, "locks": {}, "system": {"futex": 0.25}})

        assert details(cost) == "### cast, ours\n\n- 2.00 python a.f\n\n- 0.25 futex"
