"""The SMTP server, tried with clients that nobody here wrote: smtplib and swaks."""

from __future__ import annotations

import contextlib
import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import thousand_island
from examples import smtp as example
from examples.smtp import SMTP, Message, Session, Settings, read_line
from tests.examples.program import program_of
from tests.thousand_island.certificates import Certificates, make_certificates
from tests.thousand_island.serving import SECONDS, Server, serve

needs_swaks = pytest.mark.skipif(shutil.which("swaks") is None, reason="there is no swaks command")


def swaks_has_tls() -> bool:
    """Whether swaks, which is written in Perl, finds the module that it needs for TLS."""
    command = ["perl", "-MNet::SSLeay", "-e1"]
    return (
        shutil.which("perl") is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


needs_swaks_with_tls = pytest.mark.skipif(not swaks_has_tls(), reason="swaks has no TLS here")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def mailbox() -> list[Message]:
    return []


@pytest.fixture
def server(mailbox: list[Message]) -> Iterator[Server]:
    with serve(SMTP, handler_options=Settings(mailbox.append)) as server:
        yield server


@pytest.fixture
def tls_server(mailbox: list[Message], certificates: Certificates) -> Iterator[Server]:
    tls = {"certfile": certificates.server.certfile, "keyfile": certificates.server.keyfile}
    with serve(SMTP, handler_options=Settings(mailbox.append, tls)) as server:
        yield server


def client_of(server: Server) -> smtplib.SMTP:
    return smtplib.SMTP("localhost", server.address[1], timeout=SECONDS)


def mail(content: str) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "me@a.example", "you@b.example, all@b.example", "A test"
    letter.set_content(content)
    return letter


@contextlib.contextmanager
def conversation(server: Server) -> Iterator[Any]:
    """A client that says what it is told to, line by line."""
    with server.connect() as client, client.makefile("rwb", buffering=0) as lines:
        assert lines.readline().startswith(b"220 ")
        yield lines


def test_a_message_arrives_with_its_envelope(server: Server, mailbox: list[Message]) -> None:
    with client_of(server) as client:
        client.send_message(mail("Hello\n"))

    (message,) = mailbox
    assert (message.sender, message.recipients) == ("me@a.example", ("you@b.example", "all@b.example"))
    assert b"\r\nSubject: A test\r\n" in message.content
    assert message.content.endswith(b"\r\n\r\nHello\r\n")


def test_lines_that_begin_with_a_dot_arrive_as_they_were(server: Server, mailbox: list[Message]) -> None:
    with client_of(server) as client:
        client.sendmail("me@a.example", "you@b.example", "one\r\n.\r\n..two\r\n")

    assert mailbox[0].content == b"one\r\n.\r\n..two\r\n"


def test_two_messages_go_over_one_connection(server: Server, mailbox: list[Message]) -> None:
    with client_of(server) as client:
        client.sendmail("me@a.example", "you@b.example", "one")
        client.sendmail("you@b.example", "me@a.example", "two")

    assert [message.sender for message in mailbox] == ["me@a.example", "you@b.example"]


def test_a_message_of_a_megabyte_arrives_whole(server: Server, mailbox: list[Message]) -> None:
    content = ("x" * 70 + "\r\n") * 15_000
    with client_of(server) as client:
        client.sendmail("me@a.example", "you@b.example", content)

    assert mailbox[0].content == content.encode()


def test_a_helo_without_extensions_is_enough(server: Server, mailbox: list[Message]) -> None:
    with client_of(server) as client:
        client.helo()
        client.sendmail("me@a.example", "you@b.example", "hello")

    assert len(mailbox) == 1


def test_commands_out_of_order_are_refused(server: Server) -> None:
    with client_of(server) as client:
        assert client.mail("me@a.example")[0] == 503  # before HELO
        client.ehlo()
        assert client.rcpt("you@b.example")[0] == 503
        assert client.docmd("DATA")[0] == 503
        assert client.docmd("MAIL", "me@a.example")[0] == 501
        assert client.docmd("STARTTLS")[0] == 502
        assert client.docmd("WHAT")[0] == 500
        assert client.noop()[0] == 250
        assert client.verify("you")[0] == 252


def test_rset_forgets_the_message_begun(server: Server) -> None:
    with client_of(server) as client:
        client.ehlo()
        client.mail("me@a.example")
        client.rset()
        assert client.rcpt("you@b.example")[0] == 503


def test_a_message_announced_as_too_large_is_refused_before_it_is_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "LARGEST_MESSAGE", 50)
    with client_of(server) as client, pytest.raises(smtplib.SMTPSenderRefused) as refused:
        client.sendmail("me@a.example", "you@b.example", "x" * 60)

    assert refused.value.smtp_code == 552


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"some words\r\n" * 10, 552), (b"x" * 3_000_000, 500), (b"a\n.\nb", 554), (b"a\r.\rb", 554)],
    ids=["too large", "line too long", "bare LF", "bare CR"],
)
def test_text_that_is_refused_leaves_the_connection_in_order(
    server: Server, mailbox: list[Message], monkeypatch: pytest.MonkeyPatch, content: bytes, code: int
) -> None:
    monkeypatch.setattr(example, "LARGEST_MESSAGE", 4_000_000 if code != 552 else 50)
    with conversation(server) as lines:
        lines.write(b"HELO x\r\nMAIL FROM:<me@a.example>\r\nRCPT TO:<you@b.example>\r\nDATA\r\n")
        assert [lines.readline()[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
        lines.write(content + b"\r\n.\r\nNOOP\r\n")
        assert [int(lines.readline()[:3]) for _ in range(2)] == [code, 250]
    assert mailbox == []


def test_a_line_without_an_end_takes_no_memory() -> None:
    class Talking:
        pieces = iter([b"x" * 1_000] * 100)

        def recv(self) -> bytes:
            return next(self.pieces)

    session = Session(Settings(deliver=print))
    with pytest.raises(StopIteration):
        read_line(Talking(), session)

    assert len(session.received) <= example.LONGEST_TEXT_LINE + 1_000


def test_commands_that_come_at_once_and_in_pieces_are_all_answered(server: Server, mailbox: list[Message]) -> None:
    talk = (
        b"EHLO x\r\nMAIL FROM:<me@a.example>\r\nRCPT TO:<you@b.example>\r\nDATA\r\n"
        b"one\r\n..\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<you@b.example>\r\nDATA\r\ntwo\r\n.\r\nQUIT\r\n"
    )
    with conversation(server) as lines:
        lines.write(talk)
        whole = lines.read()
    with conversation(server) as lines:
        for byte in talk:
            lines.write(bytes([byte]))
        assert lines.read() == whole

    assert whole.endswith(b"221 Bye\r\n")
    assert [(message.sender, message.content) for message in mailbox[:2]] == [
        ("me@a.example", b"one\r\n.\r\n"),
        ("", b"two\r\n"),
    ]
    assert mailbox[2:] == mailbox[:2]


def test_a_command_without_an_end_is_hung_up_on(server: Server) -> None:
    with conversation(server) as lines:
        lines.write(b"x" * 2_000)
        assert lines.read() == b"500 Line too long\r\n"


def test_after_starttls_the_client_begins_anew(
    tls_server: Server, mailbox: list[Message], certificates: Certificates
) -> None:
    with client_of(tls_server) as client:
        client.ehlo()
        client.mail("somebody@in.between")
        client.starttls(context=certificates.trusting())
        assert client.rcpt("you@b.example")[0] == 503
        assert client.mail("me@a.example")[0] == 503
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 502
        client.send_message(mail("Hello\n"))

    assert [message.sender for message in mailbox] == ["me@a.example"]


def test_a_command_injected_behind_starttls_is_never_carried_out(tls_server: Server) -> None:
    with conversation(tls_server) as lines:
        lines.write(b"STARTTLS\r\nHELO x\r\nNOOP\r\n")
        assert lines.read() == b"554 Nothing may follow STARTTLS\r\n"


def test_a_server_that_stops_says_so(server: Server) -> None:
    with conversation(server) as lines:
        thousand_island.stop(server.pid)
        assert lines.read().startswith(b"421 ")


def test_an_idle_client_is_told_why_it_has_to_go(mailbox: list[Message]) -> None:
    with serve(SMTP, handler_options=Settings(mailbox.append), read_timeout=50) as server:
        with conversation(server) as lines:
            assert lines.read().startswith(b"421 ")
        with conversation(server) as lines:  # in the middle of a message
            lines.write(b"HELO x\r\nMAIL FROM:<me@a.example>\r\nRCPT TO:<you@b.example>\r\nDATA\r\n")
            assert lines.read().splitlines()[-1].startswith(b"421 ")


@needs_swaks
@pytest.mark.parametrize("options", [(), ("--pipeline",), ("--protocol", "SMTP")], ids=" ".join)
def test_swaks_delivers_a_message(server: Server, mailbox: list[Message], options: tuple[str, ...]) -> None:
    swaks(server, *options)

    assert mailbox[0].sender == "me@a.example"


@needs_swaks
@needs_swaks_with_tls
def test_swaks_delivers_a_message_over_tls(
    tls_server: Server, mailbox: list[Message], certificates: Certificates
) -> None:
    said = swaks(tls_server, "--tls", "--tls-verify", "--tls-ca-path", certificates.authority)

    assert "TLS started" in said
    assert mailbox[0].recipients == ("you@b.example",)


def swaks(server: Server, *options: str) -> str:
    command = ["swaks", "--server", f"localhost:{server.address[1]}", "--timeout", f"{SECONDS:.0f}s"]
    command += ["--from", "me@a.example", "--to", "you@b.example", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_run_as_a_program_it_supervises_a_server(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certfile, keyfile = certificates.server.certfile, certificates.server.keyfile
    ((module, options),) = program_of(Path(example.__file__), monkeypatch, certfile, keyfile)

    assert module.child_spec(**options).type == "supervisor"
    assert options["handler_options"].tls == {"certfile": certfile, "keyfile": keyfile}
