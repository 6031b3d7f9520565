from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from supervision import Actor, Ok, Reply, Supervisor, call, cast, process, stop
from supervision.log import logger
from supervision.messages import Down
from supervision.threads import current


class Broken(logging.Handler):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def handle(self, record: logging.LogRecord) -> bool:
        raise self.error(f"no log for {record.levelname}")


@pytest.fixture
def error() -> type[BaseException]:
    return RuntimeError


@pytest.fixture
def broken(error: type[BaseException]) -> Iterator[None]:
    handler = Broken(error)
    logger.logger.addHandler(handler)
    yield
    logger.logger.removeHandler(handler)


class Crashing(Actor):
    def init(self, arg: Any) -> Any:
        return Ok(arg)

    def handle_cast(self, message: Any, state: Any) -> Any:
        raise ValueError(message)


@pytest.mark.usefixtures("broken")
class TestHandlerThatRaises:
    @pytest.mark.parametrize("error", [RuntimeError, SystemExit])
    def test_it_does_not_end_the_supervisor_that_reports_a_crash(self) -> None:
        supervisor = Supervisor.start_link([Crashing], strategy="one_for_one")
        (child,) = Supervisor.which_children(supervisor)
        reference = process.monitor(child.pid)
        cast(child.pid, "boom")
        process.receive(lambda message: type(message) is Down and message.ref is reference, timeout=5_000)
        (another,) = Supervisor.which_children(supervisor)  # only if it lives
        assert another.pid is not child.pid
        Supervisor.stop(supervisor)

    def test_its_error_is_told_on_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        logger.error("it is said in vain")
        assert "RuntimeError: no log for ERROR" in capsys.readouterr().err

    @pytest.mark.parametrize("error", [KeyboardInterrupt])
    def test_ctrl_c_goes_on_its_way(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            logger.error("it is said in vain")

    def test_its_error_is_not_told_where_logging_is_to_tell_none(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("logging.raiseExceptions", False)
        logger.error("it is said in vain")
        assert capsys.readouterr().err == ""

    def test_without_a_stderr_nothing_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr("sys.stderr", closed)
        logger.error("it is said in vain")


def test_a_handler_is_masked_against_a_kill_of_who_logs() -> None:
    exposed: list[Any] = []

    class Looking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            exposed.append(current.record.exposed)

    class Logging(Actor):
        def handle_call(self, request: Any, caller: Any, state: Any) -> Reply:
            before = current.record.exposed
            logger.error("from a callback")
            return Reply((before, current.record.exposed), state)

    handler = Looking()
    logger.logger.addHandler(handler)
    pid = Logging.start()
    assert call(pid, "log") == (pid, pid)
    stop(pid)
    logger.logger.removeHandler(handler)
    assert exposed == [None]


def test_a_record_names_the_place_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    logger.error("here", extra={"crash": 1})
    logger.log(logging.ERROR, "and here")
    assert [record.funcName for record in caplog.records] == ["test_a_record_names_the_place_that_logs"] * 2
    assert caplog.records[0].crash == 1  # type: ignore[attr-defined]
