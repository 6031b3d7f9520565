from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import pytest

import supervision
from supervision import (
    INFINITY,
    BadArgument,
    BadChildSpec,
    BadType,
    ChildSpec,
    NoReply,
    Ok,
    Registry,
    Supervisor,
    application,
    child_spec,
    process,
)
from tests.supervision.supervised import PATIENCE, Journal, Script, Worker, raising, until, worker, writers


@pytest.fixture(autouse=True)
def handlers_are_as_before() -> Any:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def signalling(*numbers: signal.Signals) -> Any:
    """A start outcome that sends these signals to the program when the child has started."""

    def start() -> Any:
        return Ok(Script("signals"), continue_with=numbers)

    return start


class Signals(Worker):
    def handle_continue(self, argument: Any, script: Script) -> NoReply:
        for number in argument:
            os.kill(os.getpid(), number)
        return NoReply(script)


def signaller(*numbers: signal.Signals) -> ChildSpec:
    return worker("signals", Script(starts=[signalling(*numbers)]), start=Signals.start_link)


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_shuts_the_tree_down_in_reverse_order(self, number: signal.Signals) -> None:
        journal: Journal = []
        assert supervision.run([*writers(journal, 1, 2), signaller(number)]) == 0
        assert journal[2:] == [("down", 2, "shutdown"), ("down", 1, "shutdown")]

    def test_supervisors_below_are_shut_down_in_order_too(self) -> None:
        class Inner(Supervisor):
            def init(self, arg: Any) -> Any:
                return super().init(arg, strategy="one_for_one")

        journal: Journal = []
        inner = (Inner, [*writers(journal, "b", "c")])
        assert supervision.run([*writers(journal, "a"), inner, signaller(signal.SIGTERM)]) == 0
        assert [name for what, name, *_ in journal if what == "down"] == ["c", "b", "a"]

    def test_each_child_has_its_own_time(self) -> None:
        journal: Journal = []
        stubborn = worker(2, Script(2, journal, stubborn=True), shutdown=10)
        assert supervision.run([*writers(journal, 1), stubborn, signaller(signal.SIGTERM)]) == 0
        assert journal[2:] == [("down", 2, "shutdown"), ("down", 1, "shutdown")]

    def test_a_second_signal_kills_what_is_left(self, caplog: Any) -> None:
        class Endless(Worker):
            def terminate(self, reason: Any, script: Script) -> None:
                os.kill(os.getpid(), signal.SIGINT)
                process.sleep(INFINITY)

        children = [worker(1), worker("endless", start=Endless.start_link, shutdown=INFINITY)]
        before = set(process.pids())
        assert supervision.run([*children, signaller(signal.SIGTERM)]) == 0
        assert set(process.pids()) == before
        assert "killing what is left of the tree" in caplog.text

    def test_a_patient_program_takes_a_second_signal_for_the_first(self) -> None:
        journal: Journal = []

        class Slow(Worker):
            def terminate(self, reason: Any, script: Script) -> None:
                os.kill(os.getpid(), signal.SIGTERM)
                super().terminate(reason, script)

        children = [*writers(journal, 1), worker(2, Script(2, journal), start=Slow.start_link)]
        assert supervision.run([*children, signaller(signal.SIGTERM)], hurry=False) == 0
        assert journal[2:] == [("down", 2, "shutdown"), ("down", 1, "shutdown")]

    def test_other_signals_call_what_was_asked_for_and_end_nothing(self) -> None:
        heard: list[str] = []

        def hear() -> None:
            heard.append(threading.current_thread().name)
            os.kill(os.getpid(), signal.SIGTERM)

        before = signal.getsignal(signal.SIGHUP)
        assert supervision.run([signaller(signal.SIGHUP)], on_signal={signal.SIGHUP: hear}) == 0
        assert heard == ["MainThread"]
        assert signal.getsignal(signal.SIGHUP) is before

    def test_what_such_a_function_raises_is_logged_and_ends_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        def fail() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("nothing to reload")

        assert supervision.run([signaller(signal.SIGHUP)], on_signal={signal.SIGHUP: fail}) == 0
        (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert said.getMessage() == f"what was to be done at signal {signal.SIGHUP:d} failed"
        assert "nothing to reload" in str(said.exc_info)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, 0, "SIGHUP"])
    def test_it_refuses_signals_that_it_cannot_give_away(self, number: Any) -> None:
        with pytest.raises(BadArgument, match="on_signal"):
            supervision.run([], on_signal={number: print})

    def test_when_one_cannot_be_given_away_all_are_as_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        install = signal.signal
        before = signal.getsignal(signal.SIGHUP)

        def refuse(number: int, handler: Any) -> Any:
            if number == signal.SIGUSR1:
                raise OSError("refused")
            return install(number, handler)

        monkeypatch.setattr(signal, "signal", refuse)
        with pytest.raises(OSError, match="refused"):
            supervision.run([], on_signal={signal.SIGHUP: print, signal.SIGUSR1: print})
        assert signal.getsignal(signal.SIGHUP) is before
        assert signal.set_wakeup_fd(-1) == -1

    @pytest.mark.parametrize("wrong", [5, [1]])
    def test_it_refuses_what_does_not_map_signals_to_functions(self, wrong: Any) -> None:
        with pytest.raises(BadType, match="on_signal must be a mapping of signals to functions"):
            supervision.run([], on_signal=wrong)

    def test_a_signal_during_the_start_ends_the_tree_when_it_has_started(self) -> None:
        journal: Journal = []

        def interrupt() -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        slow = worker(2, Script(2, journal, starts=[interrupt]))
        assert supervision.run([*writers(journal, 1), slow, *writers(journal, 3)]) == 0
        assert [what for what, *_ in journal] == ["up"] * 3 + ["down"] * 3

    def test_a_second_signal_ends_a_start_that_hangs(self) -> None:
        def hang() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            process.sleep(INFINITY)

        before = set(process.pids())
        assert supervision.run([worker(1, Script(starts=[hang]))]) == 0
        assert set(process.pids()) == before


class TestStatus:
    def test_a_child_that_cannot_start_gives_one_with_one_readable_line(self, caplog: Any) -> None:
        class Inner(Supervisor):
            def init(self, arg: Any) -> Any:
                return super().init(
                    [worker("leaf", Script(starts=[raising(OSError("in use"))]))], strategy="one_for_one"
                )

        journal: Journal = []
        assert supervision.run([*writers(journal, 1), child_spec(Inner, id="inner")]) == 1
        assert journal == [("up", 1), ("down", 1, "shutdown")]
        last = caplog.records[-1].getMessage()
        assert last == "the application could not start: child 'inner': child 'leaf': OSError: in use"

    def test_a_root_that_cannot_have_its_name_gives_one_with_one_readable_line(self, caplog: Any) -> None:
        assert supervision.run([], name=Registry.via("missing", "key")) == 1
        (record,) = caplog.records
        assert record.getMessage().startswith("the application could not start: NoProcess: ")

    def test_a_master_that_is_killed_gives_one_and_leaves_nothing(self, caplog: Any) -> None:
        before = set(process.pids())

        def kill_master() -> None:
            process.spawn(process.exit, process.info(process.self()).ancestors[1], "kill")

        assert supervision.run([worker(1, Script(starts=[kill_master]))]) == 1
        assert caplog.records[-1].getMessage() == "the application master was ended: 'killed'"
        assert set(process.pids()) <= before

    def test_a_root_that_gives_up_gives_one(self, caplog: Any) -> None:
        class Crashing(Worker):
            def handle_continue(self, argument: Any, script: Script) -> NoReply:
                raise ValueError("boom")

        crashing = worker(1, Script(starts=[lambda: Ok(None, continue_with=1)]), start=Crashing.start_link)
        assert supervision.run([crashing], max_restarts=0) == 1
        assert caplog.records[-1].getMessage() == "the root supervisor gave up: 'shutdown'"

    def test_a_root_that_is_killed_gives_one(self) -> None:
        def kill_root() -> None:
            process.spawn(process.exit, process.whereis("root"), "kill")

        assert supervision.run([worker(1, Script(traps=False, starts=[kill_root]))], name="root") == 1

    def test_a_root_that_is_stopped_gives_zero(self) -> None:
        def stop_root() -> None:
            process.spawn(Supervisor.stop, "root")

        assert supervision.run([worker(1, Script(starts=[stop_root]))], name="root") == 0

    def test_an_auto_shutdown_gives_zero(self) -> None:
        class Finite(Worker):
            def handle_continue(self, argument: Any, script: Script) -> supervision.Stop:
                return supervision.Stop("normal")

        finite = worker(
            1,
            Script(starts=[lambda: Ok(None, continue_with=1)]),
            start=Finite.start_link,
            restart="temporary",
            significant=True,
        )
        assert supervision.run([finite, worker(2)], auto_shutdown="all_significant") == 0


class TestArguments:
    @pytest.mark.parametrize(
        ("children", "flags", "error"),
        [
            ([5], {}, BadChildSpec),
            ([], {"strategy": "none"}, BadArgument),
            ([], {"max_restart": 1}, BadType),
            ([], {"name": 5}, BadType),
        ],
    )
    def test_wrong_ones_are_refused_before_anything_starts(
        self, children: Any, flags: dict[str, Any], error: type[Exception]
    ) -> None:
        before = set(process.pids())
        with pytest.raises(error):
            supervision.run(children, **flags)
        assert set(process.pids()) == before

    def test_the_strategy_is_one_for_one_unless_given(self) -> None:
        seen: list[Any] = []

        def look() -> None:
            seen.append(process.whereis("root"))

        assert supervision.run([worker(1, Script(starts=[look])), signaller(signal.SIGTERM)], name="root") == 0
        assert seen[0] is not None


class TestOtherThreads:
    def test_it_runs_without_signal_handlers_until_the_root_ends(self) -> None:
        started = threading.Event()
        statuses: list[int] = []
        children = [worker(1, Script(starts=[started.set]))]
        thread = threading.Thread(target=lambda: statuses.append(supervision.run(children, name="root")))
        before = signal.getsignal(signal.SIGTERM)
        thread.start()
        assert started.wait(PATIENCE / 1000)
        assert signal.getsignal(signal.SIGTERM) is before
        Supervisor.stop("root")
        thread.join()
        assert statuses == [0]


class TestInterruption:
    def test_an_exception_of_another_signal_handler_ends_the_tree(self) -> None:
        class Interrupted(Exception):
            pass

        def interrupt(*_: Any) -> None:
            raise Interrupted

        def once_run_waits() -> None:
            until(lambda: sys._current_frames()[threading.main_thread().ident or 0].f_code.co_name == "wait")
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, interrupt)
        living = set(process.pids())
        try:
            with pytest.raises(Interrupted):
                supervision.run([worker(1, Script(starts=[once_run_waits]))])
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert set(process.pids()) == living

    def test_signals_of_others_and_stray_messages_change_nothing(self) -> None:
        heard: list[int] = []

        def disturb() -> None:
            os.kill(os.getpid(), signal.SIGUSR1)
            root = process.info(process.self()).ancestors[0]
            process.send(process.info(root).ancestors[0], "hello")

        before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
        try:
            assert supervision.run([worker(1, Script(starts=[disturb])), signaller(signal.SIGTERM)]) == 0
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert heard == [signal.SIGUSR1]


def test_a_master_that_rings_when_the_program_has_gone_on_harms_nobody() -> None:
    bell = application._Bell()
    bell.close()
    bell.ring()
