"""Receives mail and prints it, over TLS if the client asks for that (STARTTLS).

Try it with ``swaks --server localhost:2525 --from me@localhost --to you@localhost``. If it is given the paths of a
certificate and its key (``tls_echo`` tells how to make them) it offers STARTTLS, which ``swaks --tls`` asks for.

A command is waited for without a thread. The text of a message is read in the middle of a callback, by ``recv`` calls
that block: nobody else has to wait for them, and the loop reads as the protocol does.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import blinker

import supervision
import thousand_island
from thousand_island import Close, Continue, Handler, Socket, SwitchTransport
from thousand_island.transports import SSL

# Bytes. RFC 5321 wants at least 512 for a command and 1000 for a line of text, both with their CRLF.
LONGEST_COMMAND = 1_000
LONGEST_TEXT_LINE = 2_000
LARGEST_MESSAGE = 10_000_000
MOST_RECIPIENTS = 100

FROM = re.compile(r"FROM:\s*<([^<>\s]*)>((?:\s+\S+)*)", re.IGNORECASE)
TO = re.compile(r"TO:\s*<([^<>\s]+)>((?:\s+\S+)*)", re.IGNORECASE)


@dataclass(frozen=True)
class Message:
    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True)
class Settings:
    """``deliver`` is called in the process of the connection; ``tls`` are transport options, None for no STARTTLS."""

    deliver: Callable[[Message], object]
    tls: dict[str, str] | None = None


@dataclass
class Session:
    settings: Settings
    greeted: bool = False
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)

    def forget_message(self):
        self.sender, self.recipients = None, []

    def take_line(self):
        """Return the next line without its CRLF; None if there is no whole one yet."""
        end = self.received.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self.received[:end])
        del self.received[: end + 2]
        return line


class SMTP(Handler):
    def handle_connection(self, socket: Socket, settings: Settings):
        socket.send(b"220 localhost ESMTP\r\n")
        return Continue(Session(settings))

    def handle_data(self, data, socket, session):
        session.received += data
        while (line := session.take_line()) is not None:  # clients may send several at once
            result = self.obey(line, socket, session)
            if result is not None:
                return result
        if len(session.received) > LONGEST_COMMAND:
            return self.hang_up(b"500 Line too long", socket, session)
        return Continue(session)

    def handle_timeout(self, socket, session):
        socket.send(b"421 Too slow, try again later\r\n")

    def handle_shutdown(self, socket, session):
        socket.send(b"421 Shutting down, try again later\r\n")

    def obey(self, line, socket, session):
        """Carry out one command and answer. Returns what ends the loop of commands, or None."""
        verb, _, argument = line.decode("ascii", "replace").partition(" ")
        command = COMMANDS.get(verb.upper())
        if len(line) > LONGEST_COMMAND or command is None:
            socket.send(b"500 Unknown command or line too long\r\n")
            return None
        result = command(self, argument.strip(), socket, session)
        if not isinstance(result, str):
            return result
        socket.send(f"{result}\r\n".encode())
        return None

    def hang_up(self, answer, socket, session):
        socket.send(answer + b"\r\n")
        return Close(session)

    # One method for each command: it returns its answer, or the result that ends the loop.

    def helo(self, argument, socket, session):
        session.forget_message()
        session.greeted = True
        return "250 localhost"

    def ehlo(self, argument, socket, session):
        extensions = ["localhost", "PIPELINING", "8BITMIME", f"SIZE {LARGEST_MESSAGE}"]
        if session.settings.tls and not socket.secure:
            extensions.append("STARTTLS")
        self.helo(argument, socket, session)
        return "\r\n".join([*(f"250-{line}" for line in extensions[:-1]), f"250 {extensions[-1]}"])

    def mail(self, argument, socket, session):
        path = FROM.fullmatch(argument)
        if path is None:
            return "501 Expected FROM:<address>"
        if not session.greeted or session.sender is not None:
            return "503 Say HELO first, and finish one message before the next"
        size = re.search(r"\bSIZE=(\d+)", path[2], re.IGNORECASE)
        if size and int(size[1]) > LARGEST_MESSAGE:
            return "552 Message too large"
        session.sender = path[1]
        return "250 OK"

    def rcpt(self, argument, socket, session):
        path = TO.fullmatch(argument)
        if path is None:
            return "501 Expected TO:<address>"
        if session.sender is None:
            return "503 Say MAIL first"
        if len(session.recipients) >= MOST_RECIPIENTS:
            return "452 Too many recipients"
        session.recipients.append(path[1])
        return "250 OK"

    def data(self, argument, socket, session):
        if not session.recipients:
            return "503 Say RCPT first"
        socket.send(b"354 End with a dot on a line of its own\r\n")
        content, refusal = read_content(socket, session)
        if refusal is None:
            # If this raises, the connection ends without an answer, the crash is logged, and the client keeps its mail.
            session.settings.deliver(Message(session.sender, tuple(session.recipients), content))
        session.forget_message()
        return refusal or "250 OK"

    def rset(self, argument, socket, session):
        session.forget_message()
        return "250 OK"

    def noop(self, argument, socket, session):
        return "250 OK"

    def vrfy(self, argument, socket, session):
        return "252 Try and see"

    def quit(self, argument, socket, session):
        return self.hang_up(b"221 Bye", socket, session)

    def starttls(self, argument, socket, session):
        if session.settings.tls is None or socket.secure:
            return "502 Not available"
        if session.received:  # whoever is between us and the client may have put it there
            return self.hang_up(b"554 Nothing may follow STARTTLS", socket, session)
        socket.send(b"220 Go ahead\r\n")
        # A new session: what was said in clear, by whomever, does not count any more.
        return SwitchTransport(SSL, session.settings.tls, Session(session.settings))


COMMANDS = {
    "HELO": SMTP.helo,
    "EHLO": SMTP.ehlo,
    "MAIL": SMTP.mail,
    "RCPT": SMTP.rcpt,
    "DATA": SMTP.data,
    "RSET": SMTP.rset,
    "NOOP": SMTP.noop,
    "VRFY": SMTP.vrfy,
    "QUIT": SMTP.quit,
    "STARTTLS": SMTP.starttls,
}


def read_content(socket, session):
    """Read to the final dot; return the text without its dot-stuffing, and the answer that refuses it, or None."""
    lines, size, refusal = [], 0, None
    while (line := read_line(socket, session)) != b".":
        size += len(line) + 2
        if size > LARGEST_MESSAGE:
            refusal = "552 Message too large"
        elif len(line) + 2 > LONGEST_TEXT_LINE:
            refusal = "500 Line too long"
        elif b"\r" in line or b"\n" in line:  # the next server may take it for the end of a line: SMTP smuggling
            refusal = "554 CR and LF only together"
        if refusal is None:
            lines.append(line.removeprefix(b"."))
    return b"".join(line + b"\r\n" for line in lines), refusal


def read_line(socket, session):
    """Wait for a line; of one that is too long only the end is kept."""
    while (line := session.take_line()) is None:
        overlong = len(session.received) - LONGEST_TEXT_LINE
        if overlong > 0:
            del session.received[:overlong]
        session.received += socket.recv()
    return line


def smtp(deliver, certfile=None, keyfile=None, port=2525):
    """Return the options of a server that hands each Message to ``deliver``: a function, or the append of a list."""
    tls = None if certfile is None else {"certfile": certfile, "keyfile": keyfile}
    return {"port": port, "handler_module": SMTP, "handler_options": Settings(deliver, tls), "read_timeout": 300_000}


def announce(server, *, metadata, **event):
    print("smtp listens on {local_address} port {local_port}".format_map(metadata))


if __name__ == "__main__":
    blinker.signal("thousand_island.listener.start").connect(announce)
    sys.exit(supervision.run([(thousand_island, smtp(print, *sys.argv[1:]))]))
