"""Reading, writing and closing an encrypted connection.

Bytes and operations are counted as the handler sees them: in clear.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any, Final

from supervision.readiness import DeadlinePassed, post, watch, write_when_ready
from thousand_island.errors import SendTimeout, SocketClosed, SocketTimeout
from thousand_island.transports.iodata import Pieces
from thousand_island.transports.stream import READ_SIZE
from thousand_island.transports.tls_handshake import FILL_SIZE, RECORD_SIZE, HandshakingStream
from thousand_island.transports.tls_linger import Lingering

__all__ = ["TLSStream"]

_CLOSED: Final = "the peer has closed the connection"

# Bytes that are encrypted, record by record, before the system is asked to take them: four records for one system call
# are a third quicker than one, more make no difference.
BLOCK_SIZE: Final = 4 * RECORD_SIZE


class TLSStream(HandshakingStream):
    """One encrypted connection. Nothing can be read or written before its handshake is done."""

    __slots__ = ()

    # Reading

    def recv(self, length: int, timeout: float) -> bytes:
        """Return what is there (``length`` 0) or exactly ``length`` bytes; as ``Stream.recv``."""
        self.check_usable()
        return super().recv(length, timeout)

    def read(self) -> bytes:
        """Return what is there; as ``Stream.read``.

        ``_read`` written out for what comes most often, whole records: this is on the path of every request.
        """
        if self.look_again or self.holds or self.buffered or not self.established:
            return self._read_what_is_there()
        try:
            encrypted = self.sock.recv(FILL_SIZE)
        except BlockingIOError:
            raise SocketTimeout("nothing to read") from None
        came = size = len(encrypted)  # a record that has come whole says less than it is long
        if not came:
            raise SocketClosed(_CLOSED)
        self.incoming.write(encrypted)
        limit = self.options.buffer
        if limit and limit < size:
            size = limit
        try:
            data: bytes = self.raw.read(size)
        except ssl.SSLError as error:
            return self._read_again(error, came)
        if not data:
            raise SocketClosed(_CLOSED)
        if len(data) == size or self.incoming.pending or came == FILL_SIZE or self.source.ended:
            data = self._read_on(data, size, came)
        self.recv_oct += len(data)
        self.recv_cnt += 1
        return data

    def _read_on(self, data: bytes, size: int, came: int) -> bytes:
        """Return ``data``, for which ``size`` bytes were asked of the ``came`` that had come, and what follows it."""
        self.look_again = came == FILL_SIZE or self.source.ended
        self.holds = len(data) == size or self.incoming.pending > 0
        return self._decrypt_more(data, self.options.buffer or READ_SIZE)

    def _read_again(self, error: ssl.SSLError, came: int) -> bytes:
        """Go on after the TLS layer has found no data in the ``came`` bytes that had come."""
        if not isinstance(error, ssl.SSLWantReadError):
            raise self._failed(error) from None
        self.look_again = came == FILL_SIZE or self.source.ended
        if not self.look_again:  # a short read has drained the socket
            self._answer()
            raise SocketTimeout("nothing to read") from None
        return self._read_what_is_there()

    def _read_what_is_there(self) -> bytes:
        self.check_usable()
        if self.buffered:
            return self.recv_some(0)
        try:
            return self._read(self.options.buffer or READ_SIZE)
        except BlockingIOError:
            raise SocketTimeout("nothing to read") from None

    def _read(self, size: int) -> bytes:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        held = self.holds and not self.look_again  # then what led here may be an event of what the socket has
        try:
            data = self._decrypt(size)
        except BlockingIOError:
            if not held:
                raise
            held = False
            data = self._decrypt(size)  # of the socket: it held nothing
        if self.holds or self.look_again:
            data = self._decrypt_more(data, size)
        if held and not self.holds:  # that event is not told again
            self.look_again = True
        self.recv_oct += len(data)
        self.recv_cnt += 1
        return data

    def _decrypt_more(self, data: bytes, size: int) -> bytes:
        """Return ``data`` and what else has come, up to ``size`` bytes; many records may come at once.

        If an error is next it is kept: the data before it must be delivered first.
        """
        pieces = [data]
        size -= len(data)
        try:
            while (self.holds or self.look_again) and size > 0:
                pieces.append(self._decrypt(size))
                size -= len(pieces[-1])
        except BlockingIOError:
            pass
        except (SocketClosed, OSError) as error:
            self.failure = error
            self.holds = True
        return b"".join(pieces)

    def _decrypt(self, size: int) -> bytes:
        """Return the data of one record, at most ``size`` bytes. Raises BlockingIOError if there is none."""
        size = min(size, RECORD_SIZE)  # so many bytes of memory are taken before it is known how many there are
        if not self.holds:  # so it need not be asked first
            self._answer()
            self._fill()
        while True:
            try:
                data: bytes = self.raw.read(size)
            except ssl.SSLWantReadError:
                self.holds = False
                self._answer()
                self._fill_again()
                continue
            except ssl.SSLError as error:
                raise self._failed(error) from None
            if not data:
                raise SocketClosed(_CLOSED)
            self.holds = len(data) == size or self.incoming.pending > 0
            return data

    def _failed(self, error: ssl.SSLError) -> Exception:
        """Return what to raise instead of an error of the TLS layer while reading."""
        if isinstance(error, (ssl.SSLZeroReturnError, ssl.SSLEOFError)):
            return SocketClosed(_CLOSED)
        self._flush_what_goes()  # the alert that tells the peer why
        return error

    def await_data(self) -> None:
        """Have the owner sent ``source`` as soon as there is something to read."""
        waiting = self.established and self.source.watched
        if not waiting or self.look_again or self.holds or self.buffered or self.outgoing.pending:
            self._await_data()

    def _await_data(self) -> None:
        if not (self.closed or self.source.watched):
            watch(self.source)  # tells what the kernel has, not what the TLS layer holds
        if self.look_again or self.holds or self.buffered or self.closed:
            post(self.source)  # nobody waits: what the TLS layer has said may still go with the next answer
        else:
            self._answer()

    def _answer(self) -> None:
        """Send what the TLS layer itself has said, such as to an update of the keys, before anybody waits.

        What is sent in the meantime takes it along.
        """
        if self.outgoing.pending:
            self._flush_what_goes()

    # Writing

    def send(self, data: Any) -> None:
        """Send all of ``data``.

        Raises:
            SendTimeout: as ``Stream.send``. ``rest`` lacks the block that was under way, unless it is dropped (closed
                without ``linger``): it goes out in the background, or before whatever is sent next.

        Counterpart: ``ssl:send/2``.
        """
        if type(data) is not bytes or not data or len(data) > RECORD_SIZE or self.unsent or not self.established:
            self.check_usable()
            self._send_pieces(Pieces.of(data), b"")
            return
        # ``_encrypt`` and ``_flush`` written out: this is on the path of every request.
        try:
            self.raw.write(data)
        except ssl.SSLError as error:
            raise _refused(error) from None
        encrypted = self.outgoing.read()
        try:
            sent = self.sock.send(encrypted)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.unsent = encrypted  # it has left the buffer, and must not be lost
            raise
        if sent == len(encrypted):
            self.send_oct += len(data)
            self.send_cnt += 1
        else:
            self.unsent = memoryview(encrypted)[sent:]
            self._send_pieces(Pieces([]), data)

    def _send_pieces(self, pieces: Pieces, block: bytes | memoryview) -> None:
        """Send ``block``, which is encrypted already, and then ``pieces``."""
        deadline = self._deadline(self.options.send_timeout)
        first = True
        while True:
            try:
                self._hand_over(deadline)
            except DeadlinePassed:
                dropped = b"" if self._give_up(block, first=first) else bytes(block)
                raise SendTimeout(dropped, *pieces.rest()) from None
            if block or not pieces:  # else it was of an earlier operation
                self._count(len(block), first=first)
                first = False
            if not pieces:
                return
            block = _take_block(pieces)
            self._encrypt(block)

    def sendfile(self, file: int, offset: int, length: int) -> int:
        """Send ``length`` bytes of the open file from ``offset`` on, block by block; returns how many went."""
        self.check_usable()
        sent = 0
        while sent < length:
            block = os.pread(file, min(BLOCK_SIZE, length - sent), offset + sent)
            if not block:  # the file is shorter
                break
            deadline = self._deadline(self.options.send_timeout)  # anew: the limit is for the peer's pauses
            under_way = b""
            try:
                self._hand_over(deadline)
                self._encrypt(block)
                under_way = block
                self._hand_over(deadline)
            except DeadlinePassed:
                self._give_up(under_way, first=sent == 0)
                raise SendTimeout(b"") from None
            self._count(len(block), first=sent == 0)
            sent += len(block)
        if sent == 0:
            self.send_cnt += 1
        return sent

    def _encrypt(self, block: bytes | memoryview) -> None:
        try:
            if len(block) <= RECORD_SIZE:
                self.raw.write(block)
            else:
                self.unsent = b"".join([self._record(block, start) for start in range(0, len(block), RECORD_SIZE)])
        except ssl.SSLError as error:
            raise _refused(error) from None

    def _record(self, block: bytes | memoryview, start: int) -> bytes:
        self.raw.write(block[start : start + RECORD_SIZE])
        return bytes(self.outgoing.read())

    def _hand_over(self, deadline: float | None) -> None:
        """Wait until the system has taken what is encrypted. Raises DeadlinePassed at the deadline."""
        try:
            self._flush()
        except BlockingIOError:
            write_when_ready(self.source, self._flush, deadline)

    def _give_up(self, block: bytes | memoryview, *, first: bool) -> bool:
        """The peer has not taken ``block`` in time. Returns whether it goes out all the same; it is counted then."""
        closes = self.options.send_timeout_close
        goes_out = not closes or self._lingers()
        if goes_out and block:
            self._count(len(block), first=first)
        if closes:
            self.close()
        return goes_out

    # Ending

    def shutdown(self, way: str) -> None:
        """Shut down ``"read"``, ``"write"`` or ``"read_write"``; the peer is told that nothing will follow."""
        self.check_usable()
        if way != "read":
            self._keep_what_came()
            self._say_goodbye()
            try:
                self._hand_over(self._deadline(self.options.send_timeout))
            except OSError:
                pass  # the peer does not read, or has gone
        super().shutdown(way)

    def _keep_what_came(self) -> None:
        """Take what the TLS layer holds: saying goodbye drops it."""
        try:
            while data := self.raw.read(READ_SIZE):
                self.buffered += data
                self.recv_oct += len(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.failure = error
            self.holds = True

    def _give_back(self) -> None:
        if self.established:
            self.established = False
            self._say_goodbye()
            try:
                self._flush()
            except BlockingIOError:
                if self._lingers():
                    self._linger()
                    return
            except OSError:
                pass  # the peer has gone
        super()._give_back()

    def _say_goodbye(self) -> None:
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # it waits for the peer's answer, which nobody needs; or the TLS layer has failed before

    def _lingers(self) -> bool:
        """Whether what the system has not taken yet goes out after the close, as long as ``linger`` allows."""
        enabled, seconds = self.options.linger
        return enabled and seconds > 0

    def _linger(self) -> None:
        rest = bytes(self.unsent) + self.outgoing.read()
        taken_over = socket.socket(fileno=self.sock.detach())  # for this connection it is closed, as after any close
        taken_over.setblocking(False)
        Lingering(taken_over, self.source, rest, self.options.linger[1]).start()


def _refused(error: ssl.SSLError) -> Exception:
    """Return what to raise instead of an error of the TLS layer while writing."""
    if isinstance(error, (ssl.SSLZeroReturnError, ssl.SSLEOFError)):
        return SocketClosed(_CLOSED)
    if error.reason == "PROTOCOL_IS_SHUTDOWN":
        return SocketClosed("the connection is shut down for writing")
    return error


def _take_block(pieces: Pieces) -> bytes | memoryview:
    """Take as much as is encrypted at once."""
    first = pieces.head()[0]
    if len(first) >= BLOCK_SIZE:
        pieces.advance(BLOCK_SIZE)
        return first[:BLOCK_SIZE]
    block = bytearray()
    for piece in pieces.head():
        block += piece[: BLOCK_SIZE - len(block)]
        if len(block) == BLOCK_SIZE:
            break
    pieces.advance(len(block))
    return bytes(block)
