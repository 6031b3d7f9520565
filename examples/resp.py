"""What Redis and its clients say to each other: RESP, version 2. No socket and no process is in it.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

# Bytes; what a client may make the server keep for one line, and for one argument.
LONGEST_LINE = 65_536
LONGEST_ARGUMENT = 64 * 1024 * 1024
MOST_ARGUMENTS = 1024 * 1024


class ProtocolError(Exception):
    """What the client says is not RESP."""


class Status(str):
    """A reply that is not data: ``OK``, ``PONG``."""


class ReplyError(Exception):
    """A reply that refuses a command; its text begins with a word in capitals."""


class CommandParser:
    """Makes commands, which are lists of bytes, of what a client sends, in whatever pieces it comes."""

    def __init__(self):
        self.received = bytearray()
        self.parsing = self._commands()  # goes on where it was when there is more

    def feed(self, data):
        """Yield the commands that are complete now; ProtocolError if there can be no further one."""
        self.received += data
        while (command := next(self.parsing)) is not None:
            yield command

    def _commands(self):
        """Yield each command, and None wherever more has to come first."""
        while True:
            line = yield from self._line()
            command = (yield from self._array(line)) if line.startswith(b"*") else line.split()
            if command:
                yield command

    def _array(self, line):
        command = []
        for _ in range(_number(line, MOST_ARGUMENTS)):
            line = yield from self._line()
            if not line.startswith(b"$"):
                raise ProtocolError(f"expected '$', got '{chr(line[0]) if line else ' '}'")
            command.append((yield from self._bulk(_number(line, LONGEST_ARGUMENT))))
        return command

    def _bulk(self, length):
        while len(self.received) < length + 2:
            yield None
        return self._take(length)

    def _line(self):
        while (end := self.received.find(b"\r\n", 0, LONGEST_LINE)) < 0:
            if len(self.received) > LONGEST_LINE:
                raise ProtocolError("too big inline request")
            yield None
        return self._take(end)

    def _take(self, length):
        """Take so many bytes, and drop the CRLF behind them."""
        taken = bytes(self.received[:length])
        del self.received[: length + 2]
        return taken


def _number(line, most):
    if not line[1:].isdigit() or len(line) > len(str(most)) + 1 or int(line[1:]) > most:
        raise ProtocolError("invalid length")
    return int(line[1:])


def encode(reply):
    """Return the bytes of a reply: a Status, a ReplyError, an int, bytes, None, or a list of these."""
    match reply:
        case Status():
            return b"+%b\r\n" % reply.encode()
        case ReplyError():
            return b"-%b\r\n" % str(reply).encode()
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case None:
            return b"$-1\r\n"
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(encode, reply))
    raise TypeError(f"a reply is a Status, a ReplyError, an int, bytes, None or a list of these, got {reply!r}")
