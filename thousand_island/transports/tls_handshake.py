"""How an encrypted connection begins, and how encrypted bytes go between the socket and the TLS layer.

The TLS layer works on two buffers in memory, one for what came from the socket and one for what must go out to it.
Compared with an ``SSLSocket`` this takes one system call for each arrival instead of three, and tells without a further
one whether anything is left. For the same reason kernel TLS is not used: it needs OpenSSL to own the descriptor, and
no released Python tells whether the kernel really took the encryption over, so sending a file past OpenSSL could send
it in clear.

Two rules keep the two buffers from losing anything:

* ``incoming`` is filled only when the TLS layer holds nothing but the beginning of a record. So it never grows beyond
  one record and one read, and what is in it afterwards is looked at before anybody waits (``holds``).
* What the TLS layer writes goes out before anybody waits for the peer, and in the order in which it was written.

A write never has to wait for a read: only a renegotiation could ask for that, and it is refused.
"""

from __future__ import annotations

import ssl
from typing import Any, Final, TypeVar

from supervision.process_table import Process
from supervision.readiness import DeadlinePassed, Source, post, read_when_ready, watch, write_when_ready
from supervision.scheduler import scheduler
from supervision.waits import Wait
from thousand_island.errors import SocketClosed, SocketTimeout
from thousand_island.transports.listen_options import ListenOptions
from thousand_island.transports.stream import Stream

__all__ = ["RECORD_SIZE", "HandshakingStream"]

# Bytes of plaintext in one record, the most that TLS allows. OpenSSL's buffers in memory keep the size they once had,
# so this and FILL_SIZE decide what a connection that was busy once holds for ever: about 22 KB each way.
RECORD_SIZE: Final = 16_384

# Bytes that one read from the socket asks for: enough for a whole record.
FILL_SIZE: Final = RECORD_SIZE + 256

_GONE: Final = "the peer has gone during the handshake"

Self = TypeVar("Self", bound="HandshakingStream")


class _TakenOver:
    """Stands for the socket in a Stream that has become another one: whoever still reads there is told for nothing."""

    def recv(self, size: int) -> bytes:
        """Nothing ever comes."""
        raise BlockingIOError


_TAKEN_OVER: Final = _TakenOver()


class _Nudge(Wait):
    """Stands where a thread that waits for writability would, and tells the process instead."""

    __slots__ = ("source",)

    def __init__(self, source: Source) -> None:
        self.source = source

    def fire(self, value: Any = None) -> bool:
        """Tell it."""
        post(self.source)
        return True


class HandshakingStream(Stream):
    """An encrypted connection as far as its handshake goes.

    Attributes:
        context: what the handshake goes by; None once it is under way.
        tls: the TLS layer; None before the handshake.
        raw: what of it works, without the layer of Python around it; that is on the path of every request.
        holds: whether the TLS layer may hold something that it has not been asked for. What the socket may hold is
            ``look_again``, as for a clear connection.
        established: whether the handshake is done and the connection open.
        unsent: encrypted bytes that the socket did not take yet.
        failure: what the TLS layer found behind data that had to be delivered first.
    """

    __slots__ = ("context", "established", "failure", "holds", "incoming", "outgoing", "raw", "tls", "unsent")

    secure = True

    def __init__(self, sock: Any, options: ListenOptions, owner: Process, context: ssl.SSLContext) -> None:
        super().__init__(sock, options, owner)
        self._wrap(context)

    def _wrap(self, context: ssl.SSLContext) -> None:
        self.context: ssl.SSLContext | None = context
        self.tls: Any = None
        self.raw: Any = None
        self.holds = False
        self.incoming: Any = None
        self.outgoing: Any = None
        self.established = False
        self.unsent: Any = b""
        self.failure: Exception | None = None

    @classmethod
    def over(cls: type[Self], clear: Stream, context: ssl.SSLContext) -> Self:
        """Take the socket of ``clear`` over, with its readiness and its counters; ``clear`` is closed without it."""
        stream = cls.__new__(cls)
        for name in Stream.__slots__:
            setattr(stream, name, getattr(clear, name))
        stream._wrap(context)
        stream.look_again = True
        clear.closed = True
        clear.drained = stream.drained = False  # whoever still waits for the clear one has to learn of it
        clear.sock = _TAKEN_OVER  # type: ignore[assignment]
        clear.guard = None
        return stream

    # The handshake

    def handshake(self, timeout: float) -> None:
        """Shake hands, within ``timeout`` milliseconds.

        Raises:
            SocketTimeout: not in time.
            SocketClosed: the peer has gone, or the connection is closed.
            ssl.SSLError: the two could not agree.
        """
        self._check_open()
        deadline = self._deadline(timeout)
        try:
            super().handshake(timeout)
            while not self.established:
                try:
                    self._shake()
                except BlockingIOError:
                    self._wait_for_peer(deadline)
        except DeadlinePassed:
            raise SocketTimeout("the handshake was not done in time") from None
        except ConnectionError:
            raise SocketClosed(_GONE) from None
        self.look_again = True  # its waits, or who still reads the clear connection, may have taken what told of data

    def try_handshake(self) -> bool:
        """Go on with the handshake as far as possible at once; True if it is done.

        False: ``source`` is sent to the owner when there is a reason to try again. Raises as ``handshake``.
        """
        self._check_open()
        source = self.source
        source.writer = None
        try:
            self._shake()
        except BlockingIOError:
            source.armed = True
            watch(source)
            if self.unsent:
                self._await_room()
        except ConnectionError:
            raise SocketClosed(_GONE) from None
        return self.established

    def _shake(self) -> None:
        """Go on. Raises BlockingIOError if that needs the peer: to take ``unsent`` if there is any, else to write."""
        if self.proxy_arrival is not None:
            self.proxy_arrival.take(self)
        if self.tls is None:
            self._begin()
        self._flush()
        if self.raw.version() is None:  # else it has said its last words, for which there was no room
            if not self.holds:  # else a thread that waited has filled it
                self._fill()
            while not self._step():
                self._flush()
                self._fill_again()
        # The client's first data may have come together with its last words. If it has not, nothing is made up here:
        # the owner would read at once what comes after messages that it has not had yet. The answer to the data takes
        # tickets along, if there are any; without TLS 1.3 what is left are words that the client waits for.
        self.holds = self.incoming.pending > 0
        if not self.holds or self.raw.version() != "TLSv1.3":
            self._flush()
        self.established = True

    def _begin(self) -> None:
        assert self.context is not None
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.raw = getattr(self.tls, "_sslobj", self.tls)
        self.context = None  # a host name may choose another one, and this one be replaced by a reload

    def _step(self) -> bool:
        """Let the TLS layer go on with what has come; True if it is done."""
        try:
            self.raw.do_handshake()
        except ssl.SSLWantReadError:
            self.holds = False
            return False
        except ssl.SSLError as error:
            self._flush_what_goes()  # the alert that tells the peer why
            cause = getattr(self.tls, "sni_error", None)
            if cause is not None:
                error.add_note(f"sni_fun failed: {cause!r}")
            raise
        return True

    def _wait_for_peer(self, deadline: float | None) -> None:
        if self.unsent:
            write_when_ready(self.source, self._flush, deadline)
        else:
            read_when_ready(self.source, self._fill, deadline)

    def _await_room(self) -> None:
        source = self.source
        source.writer = _Nudge(source)
        if not source.watches_writing:
            scheduler.poller.watch_writing(source)  # tells at once if there is room already
            return
        # After it is attached: room that came before is met here, what comes later nudges.
        try:
            self._flush()
        except BlockingIOError:
            return
        except OSError:
            pass  # the next attempt meets it
        post(source)

    # Moving encrypted bytes

    def _fill(self) -> None:
        """Give the TLS layer, which has asked for it, what has come. Raises BlockingIOError if that is nothing."""
        try:
            data = self.sock.recv(FILL_SIZE)
        except BlockingIOError:
            self.look_again = False
            raise
        except OSError:
            self.look_again = True
            raise
        if not data:  # whether or not the peer has said goodbye before: data that is whole has been delivered
            self.look_again = True  # as in ``Stream``: a callback may catch this
            raise SocketClosed("the peer has closed the connection")
        self.look_again = len(data) == FILL_SIZE or self.source.ended
        self.incoming.write(data)
        self.holds = True

    def _fill_again(self) -> None:
        """Do as ``_fill`` after a first time: a read that was short has drained the socket, and need not be repeated.

        What comes after such a read is told of, so BlockingIOError may be raised without another look.
        """
        if not self.look_again:
            raise BlockingIOError
        self._fill()

    def _flush(self) -> None:
        """Give the system what is encrypted. Raises BlockingIOError if it does not take all of it."""
        outgoing = self.outgoing
        while self.unsent or outgoing.pending:
            data = self.unsent or outgoing.read()
            self.unsent = data  # before the attempt: it has left the buffer, and must not be lost
            count = self.sock.send(data)
            self.unsent = b"" if count == len(data) else memoryview(data)[count:]

    def _flush_what_goes(self) -> None:
        try:
            self._flush()
        except OSError:
            pass  # it goes with what is sent next, or that meets the error

    def check_usable(self) -> None:
        """Refuse what takes an established connection."""
        self._check_open()
        if not self.established:
            raise SocketClosed("the handshake is not done")

    def _check_open(self) -> None:
        if self.closed:
            raise SocketClosed("the connection is closed")
