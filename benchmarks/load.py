"""The load generator where no C compiler is: the same modes, arguments and output as `load.c`.

`python -m benchmarks.load MODE PORT CONNECTIONS SECONDS WARMUP`; the comment at the head of `load.c` says what the
modes do. One thread, one epoll; it costs more per request than the C one, so that a fast server may be waiting for it.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import select
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field

PAYLOAD = 64
OPENING_AT_ONCE = 256
CHUNK = 1 << 20

#: Seconds that requests still under way when time is up may take before they count as lost.
GRACE = 5.0

#: The file that a download brings repeats the bytes 0..250; see `files.py`.
PATTERN = bytes(range(251)) * (CHUNK // 251 + 2)

CONNECTING, HANDSHAKING, WAITING, HELD_BACK, IDLE = range(5)

#: Linux's option to choose the source port at connect, so that one port can serve several destinations.
IP_BIND_ADDRESS_NO_PORT = 24


@dataclass(slots=True)
class Connection:
    """One client connection and the request it waits for."""

    number: int
    socket: socket.socket
    state: int = CONNECTING
    requests: int = 0
    received: int = 0
    started: float = 0.0
    out: bytes = b""
    into: bytes = b""


@dataclass(slots=True)
class Tally:
    """What was counted."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""
    shortest: int = 0


class Load:
    """Drives all connections of one run."""

    def __init__(self, mode: str, port: int, count: int, seconds: float, warmup: float) -> None:
        """Takes the command line's arguments: seconds for both durations."""
        self.idle, self.download, self.tls = mode.endswith("idle"), mode == "download", mode.startswith("tls-")
        self.reconnect = self.download or "connect" in mode
        self.port, self.count, self.seconds, self.warmup = port, count, seconds, warmup
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.numbers = itertools.count()
        self.sources = itertools.cycle([f"127.0.0.{last}" for last in range(2, 252)])
        self.tally = Tally()
        self.opened = self.answered = self.busy = 0
        self.begin = self.end = 0.0
        self.stopping = False
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def run(self) -> None:
        """Opens the connections and works until time is up and every request has its answer."""
        for _ in range(OPENING_AT_ONCE):
            self.open_next()
        while self.busy:
            for fd, _events in self.epoll.poll(1.0):
                if connection := self.connections.get(fd):
                    self.ready(connection)
            if self.end and time.monotonic() > self.end + GRACE:
                sys.exit(f"load: {self.busy} requests were never answered")

    def open_next(self) -> None:
        """Opens one more connection, as long as some are wanted."""
        if self.opened < self.count and not self.stopping:
            self.opened += 1
            self.open()

    def open(self) -> None:
        """Begins to connect, from a source address with ports of its own."""
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((next(self.sources), 0))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(next(self.numbers), client, started=time.monotonic())
        self.connections[client.fileno()] = connection
        self.busy += 1
        error = client.connect_ex(("127.0.0.1", self.port))
        if error not in (0, errno.EINPROGRESS):
            self.failed(connection, os.strerror(error))
            return
        self.epoll.register(client.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def ready(self, connection: Connection) -> None:
        """Goes on with one connection after an event."""
        try:
            if connection.state == WAITING:
                self.read_download(connection) if self.download else self.read_echo(connection)
            elif connection.state == CONNECTING:
                self.connected(connection)
            elif connection.state == HANDSHAKING:
                self.handshake(connection)
            elif not _silent(connection.socket):
                self.failed(connection, "a connection became readable without having asked")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self.failed(connection, str(error))

    def connected(self, connection: Connection) -> None:
        """Sends the first request, or begins the handshake."""
        if error := connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        if not self.tls:
            self.send_request(connection)
            return
        connection.socket = self.context.wrap_socket(connection.socket, do_handshake_on_connect=False)
        connection.state = HANDSHAKING
        self.handshake(connection)

    def handshake(self, connection: Connection) -> None:
        """Goes on with the TLS handshake."""
        connection.socket.do_handshake()  # type: ignore[attr-defined]
        self.send_request(connection)

    def send_request(self, connection: Connection) -> None:
        """Sends bytes unlike those of any earlier request of this connection."""
        connection.out = b"e%031d%032d" % (connection.number, connection.requests)
        connection.requests += 1
        connection.into = b""
        connection.state = WAITING
        if not self.reconnect:
            connection.started = time.monotonic()
        if connection.socket.send(connection.out) != PAYLOAD:
            self.failed(connection, "short send")

    def read_echo(self, connection: Connection) -> None:
        """Reads until the whole answer is there and compares it."""
        while len(connection.into) < PAYLOAD:
            data = connection.socket.recv(PAYLOAD - len(connection.into))
            if not data:
                raise ConnectionError("closed by the server")
            connection.into += data
        if connection.into == connection.out:
            self.completed(connection)
        else:
            self.failed(connection, "the echo differs from what was sent")

    def read_download(self, connection: Connection) -> None:
        """Reads until the server closes and compares every byte."""
        while data := connection.socket.recv(CHUNK):
            start = connection.received % 251
            if data != PATTERN[start : start + len(data)]:
                self.failed(connection, "the file differs from what was sent")
                return
            connection.received += len(data)
        self.tally.shortest = min(self.tally.shortest or connection.received, connection.received)
        self.completed(connection)

    def completed(self, connection: Connection) -> None:
        """Counts an answer and does what comes after it."""
        now = time.monotonic()
        if self.begin and self.begin <= now < self.end:
            self.tally.latencies.append(now - connection.started)
        self.stopping = self.stopping or bool(self.end and now >= self.end)
        first = connection.number < self.count and connection.requests == 1
        self.follow_up(connection)
        if first:
            self.first_answer(now)

    def follow_up(self, connection: Connection) -> None:
        """Holds, closes, reopens or asks again."""
        if self.idle:
            self.busy -= 1
            connection.state = IDLE
        elif self.stopping:
            self.hang_up(connection)
        elif self.reconnect:
            self.hang_up(connection)
            self.open()
        elif self.begin:
            self.send_request(connection)
        else:
            self.busy -= 1
            connection.state = HELD_BACK

    def first_answer(self, now: float) -> None:
        """Opens the next connection; when everybody has been answered once, warms up, then counts."""
        self.answered += 1
        if self.answered == self.count and not self.idle:
            self.begin = now + self.warmup
            self.end = self.begin + self.seconds
            self.let_go()
        self.open_next()

    def let_go(self) -> None:
        """Lets all that were held back ask again and again."""
        for connection in list(self.connections.values()):
            if connection.state == HELD_BACK:
                self.busy += 1
                self.send_request(connection)

    def hang_up(self, connection: Connection) -> None:
        """Closes a connection that was working."""
        del self.connections[connection.socket.fileno()]
        connection.socket.close()
        self.busy -= 1

    def failed(self, connection: Connection, what: str) -> None:
        """Counts an error; the figures are then worthless, so the others finish what is under way and the run ends."""
        self.tally.first_error = self.tally.first_error or what
        self.tally.errors += 1
        self.stopping = True
        self.end = self.end or time.monotonic()
        if connection.state in (IDLE, HELD_BACK):
            self.busy += 1
        self.hang_up(connection)

    def hold(self) -> None:
        """Holds the idle connections until stdin ends, then looks whether each is still open and silent."""
        _print({"ready": self.answered, **_errors(self.tally)})
        sys.stdin.read()
        self.tally.errors += sum(not _silent(connection.socket) for connection in self.connections.values())
        _print(_errors(self.tally))

    def report(self, load_cpu: float) -> None:
        """Prints the figures; latencies in milliseconds.

        Args:
            load_cpu: how much of a core this process used.
        """
        latencies = sorted(self.tally.latencies) or [0.0]
        p50, p99, worst = (1_000 * latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.99, 1))
        completed = len(self.tally.latencies)
        counts = {"rate": completed / self.seconds, "completed": completed, "shortest": self.tally.shortest}
        _print({**counts, "p50": p50, "p99": p99, "worst": worst, **_errors(self.tally), "load_cpu": load_cpu})


def _errors(tally: Tally) -> dict[str, object]:
    return {"errors": tally.errors, "first_error": tally.first_error}


def _silent(client: socket.socket) -> bool:
    try:
        client.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False


def _print(figures: dict[str, object]) -> None:
    print(json.dumps(figures), flush=True)


def main() -> None:
    """Runs one mode as the command line says."""
    started, cpu_before = time.monotonic(), time.process_time()
    mode, port, count, seconds, warmup = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = Load(mode, int(port), int(count), float(seconds), float(warmup))
    load.run()
    if load.idle:
        load.hold()
    else:
        load.report((time.process_time() - cpu_before) / (time.monotonic() - started))


if __name__ == "__main__":
    main()
