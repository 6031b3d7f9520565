"""A connected stream socket: reading, writing and closing without ever holding a worker up.

Every operation tries the non-blocking way first and only then waits, giving the processor away. TCP uses it as it
is, unix sockets too; TLS builds on it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from typing import Any, Final

from supervision.messages import INFINITY
from supervision.process_table import Process
from supervision.readiness import DeadlinePassed, Source, closing, post, read_when_ready, watch, write_when_ready
from supervision.threads import library_call
from thousand_island.errors import SendTimeout, SocketClosed, SocketTimeout
from thousand_island.transport import SocketInfo
from thousand_island.transports.iodata import Pieces
from thousand_island.transports.listen_options import ListenOptions
from thousand_island.transports.proxy_arrival import ProxyArrival
from thousand_island.transports.proxy_protocol import ProxyHeader

__all__ = ["READ_SIZE", "Stream"]

# Bytes that one read asks for. More would not be quicker on loopback, and the C library would give such a block back
# to the system at every free.
READ_SIZE: Final = 65_536

# sendfile(2) moves at most this many bytes at once; the answer to a stop or a kill waits for one such piece.
SENDFILE_SIZE: Final = 1 << 20

_LINGER_ABORT: Final = struct.pack("ii", 1, 0)
_TIOCOUTQ: Final = 0x5411  # Linux: SIOCOUTQ, the bytes that the peer has not acknowledged yet, as a C int
_NOTHING: Final = bytes(4)
_HAS_USER_TIMEOUT: Final = hasattr(socket, "TCP_USER_TIMEOUT")

_WAYS: Final = {"read": socket.SHUT_RD, "write": socket.SHUT_WR, "read_write": socket.SHUT_RDWR}


class _Guard:
    """Closes the socket of a stream that is dropped before it has been handed over to a process.

    That happens only where whoever accepted it is killed. From then on the end of its process closes it. A stream has
    no destructor itself: one in Python runs at any moment, in the thread that drops the last reference or (without the
    GIL) has made the object, and a kill that strikes that thread there is lost.
    """

    __slots__ = ("sock", "source")

    def __init__(self, sock: socket.socket, source: Source) -> None:
        self.sock: socket.socket | None = sock
        self.source = source

    def __del__(self) -> None:
        sock = self.sock
        if sock is not None and sock.fileno() >= 0:  # else it is closed, or was collected together with its socket
            closing(self.source)  # takes no lock: the garbage collector may come when this thread holds any
            sock.close()


class Stream:
    """One connection as a transport sees it. Used by the thread that runs its owner, except ``abort``.

    Attributes:
        sock: the non-blocking socket.
        source: its readiness.
        options: the listener's.
        recv_oct, recv_cnt, send_oct, send_cnt: bytes and operations so far.
        look_again: whether there may be something to read that no event will tell of.
        drained: whether the last ``read`` took all there was and nothing has been done since, so that ``await_data``
            would find nothing to do.
        proxy_arrival: the PROXY header that must come before anything else; None: it has, or there is none.
        proxy_header: what it told.
    """

    __slots__ = (
        "buffered",
        "closed",
        "drained",
        "guard",
        "look_again",
        "options",
        "peer",
        "proxy_arrival",
        "proxy_header",
        "recv_cnt",
        "recv_oct",
        "send_cnt",
        "send_oct",
        "sock",
        "source",
    )

    secure = False

    def __init__(self, sock: socket.socket, options: ListenOptions, owner: Process) -> None:
        self.sock = sock
        self.options = options
        self.source = Source(sock.fileno(), owner)
        self.guard: _Guard | None = _Guard(sock, self.source)
        self.peer: Any = None
        self.proxy_arrival: ProxyArrival | None = None
        self.proxy_header: ProxyHeader | None = None
        self.buffered = b""
        self.closed = False
        self.look_again = True
        self.drained = False
        self.recv_oct = self.recv_cnt = self.send_oct = self.send_cnt = 0

    def fileno(self) -> int:
        """The descriptor, or -1 once closed."""
        return self.sock.fileno()

    def hand_over(self, owner: Process) -> None:
        """Make ``owner`` the process that uses it, and whose end closes it."""
        self.source.process = owner
        if self.guard is not None:
            self.guard.sock = None
            self.guard = None

    # Before anything else

    def meet(self, peer: SocketInfo) -> None:
        """Begin, with whoever has connected: a trusted proxy has to send a header first."""
        proxies = self.options.proxy_protocol
        if proxies is not None and proxies.include(peer):
            self.proxy_arrival = ProxyArrival()

    def introduce(self, header: ProxyHeader) -> None:
        """The proxy has told who the client is."""
        self.proxy_arrival = None
        self.proxy_header = header
        if header.source is not None:
            self.peer = header.source

    def handshake(self, timeout: float) -> None:
        """Wait for what has to come first, for ``timeout`` milliseconds at most. Raises as ``ProxyArrival.wait``."""
        if self.proxy_arrival is not None:
            self.proxy_arrival.wait(self, timeout)

    def try_handshake(self) -> bool:
        """Take what has to come first as far as it is there; True if that is all.

        False: ``source`` is sent to the owner when there is a reason to try again. Raises as ``handshake``.
        """
        return self.proxy_arrival is None or self.proxy_arrival.try_take(self)

    # Reading

    def recv(self, length: int, timeout: float) -> bytes:
        """Return what is there (``length`` 0) or exactly ``length`` bytes.

        Raises:
            SocketTimeout: not within ``timeout`` milliseconds; what did come is kept for the next ``recv``.
            SocketClosed: the peer has closed, and nothing (or less than asked for) is left.
        """
        self.drained = False
        if length == 0:
            return self.recv_some(timeout)
        return self._recv_exactly(length, timeout)

    def read(self) -> bytes:
        """Return what is there: ``recv(0, 0)`` of a clear socket, on the path of every request.

        Raises:
            SocketTimeout: nothing is.
            SocketClosed: the peer has closed.
        """
        if self.buffered:
            return self.recv_some(0)
        size = self.options.buffer or READ_SIZE
        try:
            data = self.sock.recv(size)
        except BlockingIOError:
            self.look_again = False
            raise SocketTimeout("nothing to read") from None
        except OSError:
            if self.closed:
                raise SocketClosed("the connection is closed") from None
            raise
        count = len(data)
        if not count:
            raise SocketClosed("the peer has closed the connection")
        self.recv_oct += count
        self.recv_cnt += 1
        self.look_again = look_again = count == size or self.source.ended
        self.drained = not look_again
        return data

    def recv_some(self, timeout: float) -> bytes:
        """Return what is there, within ``timeout`` milliseconds."""
        if self.buffered:
            data, self.buffered = self.buffered, b""
            self.look_again = True  # what led here may have been told of more, and is not told again
            return data
        try:
            data = self._read(self.options.buffer or READ_SIZE)
        except BlockingIOError:
            data = self._wait_to_read(self.options.buffer or READ_SIZE, self._deadline(timeout))
        return data

    def _recv_exactly(self, length: int, timeout: float) -> bytes:
        pieces = [self.buffered]
        missing = length - len(self.buffered)
        deadline = self._deadline(timeout)
        try:
            while missing > 0:
                try:
                    data = self._read(min(missing, READ_SIZE))
                except BlockingIOError:
                    data = self._wait_to_read(min(missing, READ_SIZE), deadline)
                pieces.append(data)
                missing -= len(data)
        finally:
            self.buffered = b"".join(pieces)
        data, self.buffered = self.buffered[:length], self.buffered[length:]
        return data

    def _read(self, size: int) -> bytes:
        data = self.receive(size)
        count = len(data)
        if not count:
            self.look_again = True  # the end is told once, and a callback that catches this may go on
            raise SocketClosed("the peer has closed the connection")
        self.recv_oct += count
        self.recv_cnt += 1
        # A short read has drained the socket, unless the peer's end was told together with the data.
        self.look_again = count == size or self.source.ended
        return data

    def receive(self, size: int) -> bytes:
        """Read once. Raises BlockingIOError if there is nothing."""
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            self.look_again = False
            raise
        except OSError:
            self.look_again = True  # as for the end
            if self.closed:
                raise SocketClosed("the connection is closed") from None
            raise

    def _wait_to_read(self, size: int, deadline: float | None) -> bytes:
        if deadline is not None and deadline <= time.monotonic():
            raise SocketTimeout("nothing to read")
        try:
            return bytes(read_when_ready(self.source, lambda: self._read(size), deadline))
        except DeadlinePassed:
            raise SocketTimeout("nothing came in time") from None

    def detach(self) -> None:
        """Nothing is to be done before it is closed: it sees to its readiness itself."""

    def await_data(self) -> None:
        """Have the owner sent ``source`` as soon as there is something to read."""
        source = self.source
        if self.closed:
            post(source)  # a send that took too long has closed it: the owner learns of it by reading
        elif not source.watched:
            watch(source)  # tells at once if the kernel has something already
            self.look_again = False
            if self.buffered:
                post(source)
        elif self.look_again or self.buffered:
            post(source)

    # Writing

    def send(self, data: Any) -> None:
        """Send all of ``data``: bytes-like, or nested iterables of it.

        Raises:
            SendTimeout: the peer did not take it within ``send_timeout``; ``rest`` holds what was not sent.
        """
        if type(data) is bytes:
            try:
                sent = self.transmit(data)
            except BlockingIOError:
                sent = 0
            self.send_oct += sent
            if sent == len(data):
                self.send_cnt += 1
            else:
                self.send_rest(data, sent)
            return
        self._transmit_all(Pieces.of(data))

    def send_rest(self, data: bytes, sent: int) -> None:
        """Send what is left of ``data``, of which ``sent`` bytes have gone and are counted, but not as an operation."""
        if sent:
            self.send_cnt += 1
        self._transmit_all(Pieces([memoryview(data)[sent:]]), begun=sent > 0)

    def transmit(self, data: Any) -> int:
        """Write once, and return how many bytes went. Raises BlockingIOError if none can."""
        return self.sock.send(data)

    def transmit_pieces(self, pieces: list[memoryview]) -> int:
        """Write several pieces at once, without joining them."""
        return self.sock.sendmsg(pieces)

    def _transmit_all(self, pieces: Pieces, *, begun: bool = False) -> None:
        """Send ``pieces``. The operation counts with its first bytes, however it ends, unless it has ``begun`` before.

        The thread may be killed while it waits, and the counters are told before it has come back.
        """
        deadline = self._deadline(self.options.send_timeout)
        if not pieces:
            if self.closed:  # else the system would say so
                raise SocketClosed("the connection is closed")
            self.send_cnt += 1
        while pieces:
            try:
                sent = self._send_some(pieces, deadline)
            except DeadlinePassed:
                raise self._give_up_sending(pieces) from None
            self._count(sent, first=not begun)
            begun = True
            pieces.advance(sent)

    def _count(self, sent: int, *, first: bool) -> None:
        if first:
            self.send_cnt += 1
        self.send_oct += sent

    def _send_some(self, pieces: Pieces, deadline: float | None) -> int:
        head = pieces.head()
        try:
            return self.transmit_pieces(head)
        except BlockingIOError:
            return int(write_when_ready(self.source, lambda: self.transmit_pieces(head), deadline))

    def _give_up_sending(self, pieces: Pieces) -> SendTimeout:
        if self.options.send_timeout_close:
            self.close()
        return SendTimeout(*pieces.rest())

    def sendfile(self, file: int, offset: int, length: int) -> int:
        """Send ``length`` bytes of the open file from ``offset`` on, without copying; returns how many went."""
        deadline = self._deadline(self.options.send_timeout)
        sent = 0
        while sent < length:
            count = self._sendfile_some(file, offset + sent, min(length - sent, SENDFILE_SIZE), deadline)
            if count == 0:  # the file is shorter
                break
            self._count(count, first=sent == 0)
            sent += count
            if self.options.send_timeout != INFINITY:
                deadline = self._deadline(self.options.send_timeout)  # the limit is for the peer's pauses
        if sent == 0:
            self.send_cnt += 1
        return sent

    def _sendfile_some(self, file: int, offset: int, count: int, deadline: float | None) -> int:
        def attempt() -> int:
            return os.sendfile(self.sock.fileno(), file, offset, count)

        try:
            return attempt()
        except BlockingIOError:
            try:
                return int(write_when_ready(self.source, attempt, deadline))
            except DeadlinePassed:
                if self.options.send_timeout_close:
                    self.close()
                raise SendTimeout(b"") from None

    # Ending

    def shutdown(self, way: str) -> None:
        """Shut down ``"read"``, ``"write"`` or ``"read_write"``."""
        self.sock.shutdown(_WAYS[way])

    @library_call
    def close(self) -> None:
        """Close. What has not been sent yet is sent in the background, within the limit of ``linger``."""
        with self.source.process.lock:  # against ``abort``, which must not meet the number of another connection
            if self.closed:
                return
            self.closed = True
        self.buffered = b""
        self.drained = False
        self._give_back()

    def _give_back(self) -> None:
        closing(self.source)
        enabled, seconds = self.options.linger
        if enabled and (self.send_oct or seconds == 0):
            self._apply_linger(seconds)
        self.sock.close()

    def abort(self) -> None:
        """End the connection from another thread: nobody can read or write any more, and the peer sees it closed.

        The descriptor stays open until its owner's thread has come back and calls ``close``: closed now, its number
        could become another connection's while that thread is about to use it.
        """
        with self.source.process.lock:
            if not self.closed:
                try:
                    self.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # not connected any more

    def _apply_linger(self, seconds: int) -> None:
        try:
            if seconds == 0:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ABORT)
            elif _HAS_USER_TIMEOUT and fcntl.ioctl(self.sock.fileno(), _TIOCOUTQ, _NOTHING) != _NOTHING:
                # The kernel goes on sending after close, and gives up with a reset after this many milliseconds.
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)
        except OSError:
            pass  # a unix socket, or not connected any more: nothing is left to send

    @staticmethod
    def _deadline(timeout: float) -> float | None:
        return None if timeout == INFINITY else time.monotonic() + timeout / 1000
