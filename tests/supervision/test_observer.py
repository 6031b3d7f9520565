"""supervision.sys: counting and tracing the messages of actors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from supervision import TIMEOUT, BadType, NoReply, Pid, call, cast, process, send, sys
from tests.supervision.actors import Recorder, Scripted, heard


@pytest.fixture
def actor() -> Iterator[Pid]:
    pid = Recorder.start([])
    yield pid
    process.exit(pid, "kill")


class TestStatistics:
    def test_messages_and_answers_are_counted_from_when_it_was_turned_on(self, actor: Pid) -> None:
        call(actor, "before")
        assert sys.statistics(actor, True) is None
        call(actor, "first")
        cast(actor, "second")
        send(actor, "third")
        call(actor, "fourth")
        counts = sys.statistics(actor, "get")
        assert counts is not None
        assert (counts.messages_in, counts.messages_out) == (4, 2)
        assert counts.milliseconds >= 0
        sys.statistics(actor, True)
        assert sys.statistics(actor, "get").messages_in == 0  # type: ignore[union-attr]

    def test_off_there_are_none(self, actor: Pid) -> None:
        assert sys.statistics(actor, "get") is None
        sys.statistics(actor, True)
        sys.statistics(actor, False)
        assert sys.statistics(actor, "get") is None

    @pytest.mark.parametrize("enabled", [None, 1, "on"])
    def test_anything_else_is_refused(self, actor: Pid, enabled: Any) -> None:
        with pytest.raises(BadType, match="enabled must be True or False"):
            sys.statistics(actor, enabled)

    def test_a_traced_actor_without_statistics_has_no_counts(self, actor: Pid) -> None:
        sys.trace(actor, True)
        assert sys.statistics(actor, "get") is None


class TestTrace:
    def test_what_arrives_and_what_is_answered_is_logged(self, actor: Pid, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, logger="supervision"):
            sys.trace(actor, True)
            call(actor, "question")
            cast(actor, "message")
            send(actor, "info")
            call(actor, "last")
            log = sys.get_status(actor).log
            sys.trace(actor, False)
            call(actor, "not traced")
        me = process.self()
        assert log == [
            f"got call 'question' from {me!r}",
            f"sent 'question' to {me!r}",
            "got cast 'message'",
            "got 'info'",
            f"got call 'last' from {me!r}",
            f"sent 'last' to {me!r}",
        ]
        assert [record.getMessage() for record in caplog.records] == [f"{actor!r} {event}" for event in log]
        assert sys.get_status(actor).log is None

    def test_so_is_the_end_of_a_callbacks_timeout(self) -> None:
        actor = Scripted.start(process.self())
        sys.trace(actor, True)
        cast(actor, lambda state: NoReply(state, 0))
        assert heard() == ("info", TIMEOUT)
        assert sys.get_status(actor).log[1:] == ["got TIMEOUT"]
        process.exit(actor, "kill")

    def test_only_the_latest_events_are_kept(self, actor: Pid) -> None:
        sys.trace(actor, True)
        for number in range(100):
            cast(actor, number)
        call(actor, "last")
        log = sys.get_status(actor).log
        assert len(log) == 10
        assert log[-2].startswith("got call 'last'")

    def test_a_message_that_cannot_be_printed_harms_nobody(self, actor: Pid) -> None:
        class Unprintable:
            def __repr__(self) -> str:
                raise RuntimeError("no repr")

        sys.trace(actor, True)
        cast(actor, Unprintable())
        assert call(actor, "next") == "next"
