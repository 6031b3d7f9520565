from __future__ import annotations

from typing import Any

import pytest

from examples import resp
from examples.resp import CommandParser, ProtocolError, ReplyError, Status, encode

STREAM = b"*2\r\n$4\r\nECHO\r\n$6\r\na\r\nb\r\n\r\nPING  now\r\n\r\n*0\r\n*1\r\n$0\r\n\r\n"
COMMANDS = [[b"ECHO", b"a\r\nb\r\n"], [b"PING", b"now"], [b""]]


class TestCommandParser:
    def test_commands_that_come_at_once_are_parsed_at_once(self) -> None:
        assert list(CommandParser().feed(STREAM)) == COMMANDS

    def test_the_pieces_in_which_they_come_make_no_difference(self) -> None:
        parser = CommandParser()

        assert [command for byte in STREAM for command in parser.feed(bytes([byte]))] == COMMANDS

    @pytest.mark.parametrize(
        "wrong",
        [b"*x\r\n", b"*-1\r\n", b"*1048577\r\n", b"*1\r\n:1\r\n", b"*1\r\n\r\n", b"*1\r\n$67108865\r\n", b"x" * 70_000],
    )
    def test_what_is_not_resp_is_refused_after_what_is(self, wrong: bytes) -> None:
        commands = CommandParser().feed(b"PING\r\n" + wrong)

        assert next(commands) == [b"PING"]
        with pytest.raises(ProtocolError):
            next(commands)

    def test_a_length_of_many_digits_is_no_work(self) -> None:
        with pytest.raises(ProtocolError):
            list(CommandParser().feed(b"*" + b"9" * (resp.LONGEST_LINE - 10) + b"\r\n"))


class TestEncode:
    @pytest.mark.parametrize(
        ("reply", "text"),
        [
            (Status("OK"), b"+OK\r\n"),
            (ReplyError("ERR no"), b"-ERR no\r\n"),
            (-1, b":-1\r\n"),
            (b"a\r\n", b"$3\r\na\r\n\r\n"),
            (None, b"$-1\r\n"),
            ([1, [], b""], b"*3\r\n:1\r\n*0\r\n$0\r\n\r\n"),
        ],
    )
    def test_each_kind_of_reply_has_its_form(self, reply: Any, text: bytes) -> None:
        assert encode(reply) == text

    def test_anything_else_is_refused(self) -> None:
        with pytest.raises(TypeError, match="got 'text'"):
            encode("text")
