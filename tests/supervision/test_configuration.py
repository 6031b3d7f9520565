from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import supervision
from supervision import BadArgument, BadType, process
from supervision.scheduler import scheduler
from supervision.threads import current
from tests.programs import output_of, run

PATIENCE = 10.0


@pytest.fixture
def settings_restored() -> Iterator[None]:
    before = supervision.stats()
    yield
    supervision.configure(processors=before.processors, max_threads=before.max_threads)


@pytest.mark.usefixtures("settings_restored")
class TestConfigure:
    @pytest.mark.parametrize("name", ["processors", "max_threads"])
    @pytest.mark.parametrize("value", [0.5, True, "4", float("inf")])
    def test_what_is_no_whole_number_is_refused_and_changes_nothing(self, name: str, value: Any) -> None:
        before = supervision.stats()
        with pytest.raises((BadType, BadArgument), match=f"^{name} must be a whole number, at least 1, got"):
            supervision.configure(**{name: value})
        assert supervision.stats().processors == before.processors
        assert supervision.stats().max_threads == before.max_threads

    @pytest.mark.parametrize("name", ["processors", "max_threads"])
    @pytest.mark.parametrize("value", [0, -1])
    def test_less_than_one_is_a_bad_argument(self, name: str, value: int) -> None:
        with pytest.raises(BadArgument, match=f"^{name} must be a whole number, at least 1, got {value}$"):
            supervision.configure(**{name: value})

    def test_more_processors_run_more_processes_at_a_time(self) -> None:
        supervision.configure(processors=3)
        meeting = threading.Barrier(3)
        refs = [process.spawn_monitor(meeting.wait, PATIENCE)[1] for _ in range(3)]
        for ref in refs:
            down = process.receive(lambda message, ref=ref: getattr(message, "ref", None) is ref, timeout=10_000)
            assert down.reason == "normal"

    def test_fewer_processors_hold_no_work_up(self) -> None:
        supervision.configure(processors=4)
        gate = threading.Barrier(5)
        for _ in range(4):
            process.spawn(gate.wait, PATIENCE)
        gate.wait(PATIENCE)
        supervision.configure(processors=1)
        for _ in range(100):
            done = threading.Event()
            process.spawn(done.set)
            assert done.wait(PATIENCE)
        assert supervision.stats().processors == 1

    def test_fewer_processors_are_held_once_the_rest_are_idle(self) -> None:
        supervision.configure(processors=4)
        gate = threading.Barrier(5)
        for _ in range(4):
            process.spawn(gate.wait, PATIENCE)
        gate.wait(PATIENCE)
        supervision.configure(processors=1)
        done = threading.Event()
        process.send_after(process.spawn(lambda: (process.receive(), done.set())), "now", 50)
        assert done.wait(PATIENCE)  # timers are served by whoever is left
        process_until(lambda: len(scheduler.processors.holders) <= 1)

    def test_more_threads_let_those_run_at_once_that_wait_while_all_are_blocked(self) -> None:
        program = """
            import logging, threading
            import supervision
            from supervision import process
            logged = logging.getLogger("supervision")
            warned = threading.Event()
            logged.addFilter(lambda record: warned.set())
            supervision.configure(processors=1, max_threads=1)
            entered, leave, done = threading.Event(), threading.Event(), threading.Event()
            process.spawn(lambda: (entered.set(), leave.wait(30)))
            assert entered.wait(20)
            process.spawn(done.set)
            assert warned.wait(20)
            supervision.configure(max_threads=2)
            print(done.wait(20))
            leave.set()
        """
        assert output_of(program) == "True"

    def test_a_kill_does_not_strike_in_the_middle_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        exposed: list[Any] = []
        monkeypatch.setattr(scheduler, "resize", lambda count: exposed.append(current.record.exposed))
        _, ref = process.spawn_monitor(supervision.configure, processors=1)
        assert process.receive(supervision.Down, timeout=10_000).ref is ref
        assert exposed == [None]

    def test_max_threads_may_change_at_any_time(self) -> None:
        supervision.configure(max_threads=7)
        assert supervision.stats().max_threads == 7


def process_until(condition: Any) -> None:
    """Let processes run one after the other until the runtime has come to rest as it should."""
    for _ in range(1_000):
        if condition():
            return
        done = threading.Event()
        process.spawn(done.set)
        assert done.wait(PATIENCE)
    pytest.fail("the runtime does not come to rest")


class TestEnvironment:
    def test_the_number_of_processors_is_taken_from_it(self) -> None:
        program = "import supervision; supervision.process.self(); print(supervision.stats().processors)"
        assert output_of(program, processors=3) == "3"

    def test_configure_prevails_over_it(self) -> None:
        program = """
            import supervision
            supervision.configure(processors=2)
            supervision.process.self()
            print(supervision.stats().processors)
        """
        assert output_of(program, SUPERVISION_PROCESSORS="nonsense") == "2"

    @pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", "٣"])
    def test_nonsense_is_named_at_the_first_use(self, value: str) -> None:
        program = """
            import supervision
            for first_use in (supervision.process.self, lambda: supervision.process.spawn(print)):
                try:
                    first_use()
                except supervision.BadArgument as error:
                    print(error)
            assert not supervision.process.pids()
        """
        expected = f"SUPERVISION_PROCESSORS must be a whole number, at least 1, got {value!r}"
        assert output_of(program, SUPERVISION_PROCESSORS=value, PYTHONUTF8="1").splitlines() == [expected, expected]

    def test_nonsense_does_not_keep_the_package_from_being_imported(self) -> None:
        assert run("import supervision", SUPERVISION_PROCESSORS="nonsense").returncode == 0
