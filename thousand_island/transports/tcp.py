"""Clear TCP, and unix sockets.

Counterpart: ``ThousandIsland.Transports.TCP``.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from supervision.foreign import this_process
from supervision.messages import INFINITY
from supervision.process_table import Pid
from supervision.threads import library_call
from thousand_island.errors import NotSecure, ProtocolNotNegotiated, SocketClosed, UnsupportedUpgrade
from thousand_island.transport import SocketInfo, SocketStats
from thousand_island.transports import socket_options
from thousand_island.transports.addresses import address_info
from thousand_island.transports.listen import listen
from thousand_island.transports.listen_options import ListenOptions
from thousand_island.transports.listen_socket import ListenSocket
from thousand_island.transports.proxy_protocol import ProxyHeader
from thousand_island.transports.stream import Stream

__all__ = ["TCP", "TCPInformation"]


@dataclass(frozen=True, slots=True)
class TCPInformation:
    """What is known of a clear connection that came by way of a proxy.

    Attributes:
        proxy: what the PROXY header told.
    """

    proxy: ProxyHeader


class TCP:
    """The default transport. ``listen`` gives a ``ListenSocket`` and ``accept`` a ``Stream``; both non-blocking.

    What uses one that is closed raises SocketClosed or the system's EBADF, of which a ``Socket`` makes a SocketClosed.
    ``getstat`` and ``peername``, if that has been asked before, still answer; ``close`` does nothing.
    """

    @staticmethod
    def check_options(port: int, options: Mapping[str, Any]) -> None:
        """Refuse bad ``transport_options`` before anything is started."""
        ListenOptions.new(port, options)

    @staticmethod
    def listen(port: int, options: Mapping[str, Any]) -> ListenSocket:
        """Return a listening socket.

        Raises:
            OSError: the system refuses; the text names the address.

        Counterpart: ``ThousandIsland.Transports.TCP.listen/2``.
        """
        return listen(ListenOptions.new(port, options))

    @staticmethod
    def accept(listener: ListenSocket) -> Stream:
        """Return a connection that is waiting; it belongs to the caller.

        Raises:
            BlockingIOError: none is waiting; ``listener.wait_turn`` tells of the next.
            OSError: what accept(2) can return.

        Counterpart: ``ThousandIsland.Transports.TCP.accept/1``.
        """
        sock, address = listener.accept()
        sock.setblocking(False)
        stream = Stream(sock, listener.options, this_process())
        if listener.options.proxy_protocol is not None:
            stream.meet(address_info(address))
        return stream

    @staticmethod
    def handshake(stream: Stream, timeout: float = INFINITY) -> Stream:
        """Return the connection as it is, once the PROXY header has come if it must begin with one.

        Raises:
            SocketTimeout: that did not come within ``timeout`` milliseconds.
            BadProxyHeader: it is none, or a wrong one.

        Counterpart: ``ThousandIsland.Transports.TCP.handshake/1``.
        """
        if stream.proxy_arrival is not None:
            stream.handshake(timeout)
        return stream

    @staticmethod
    def upgrade(stream: Any, options: Mapping[str, Any]) -> Any:
        """Refuse: nothing can be turned into a clear connection.

        Raises:
            UnsupportedUpgrade: always.

        Counterpart: ``ThousandIsland.Transports.TCP.upgrade/2``.
        """
        raise UnsupportedUpgrade("a connection cannot be upgraded to clear TCP")

    @staticmethod
    def controlling_process(stream: Stream, pid: Pid) -> None:
        """Make ``pid`` the owner.

        Counterpart: ``gen_tcp:controlling_process/2``.
        """
        stream.hand_over(pid._process)

    @staticmethod
    def recv(stream: Stream, length: int, timeout: float) -> bytes:
        """Return ``length`` bytes, or what is there if it is 0, within ``timeout`` milliseconds.

        Raises:
            SocketTimeout: not in time; what did come is kept.
            SocketClosed: the peer has closed.

        Counterpart: ``gen_tcp:recv/3``.
        """
        return stream.recv(length, timeout)

    @staticmethod
    def send(stream: Stream, data: Any) -> None:
        """Send all of ``data``.

        Raises:
            SendTimeout: the peer did not take it within ``send_timeout``.

        Counterpart: ``gen_tcp:send/2``.
        """
        if type(data) is bytes:  # written out of ``Stream.send``: this is on the path of every request
            try:
                sent = stream.sock.send(data)
            except BlockingIOError:
                sent = 0
            stream.send_oct += sent
            if sent == len(data):
                stream.send_cnt += 1
            else:
                stream.send_rest(data, sent)
            return
        stream.send(data)

    @staticmethod
    def sendfile(stream: Stream, filename: Any, offset: int, length: int) -> int:
        """Send ``length`` bytes of a file from ``offset`` on, or to its end if it is 0, without copying them.

        Counterpart: ``file:sendfile/5``.
        """
        return send_file(stream, filename, offset, length)

    @staticmethod
    def getopts(stream: Stream, names: Iterable[str]) -> dict[str, Any]:
        """Return options by name; see ``socket_options``.

        Counterpart: ``inet:getopts/2``.
        """
        return socket_options.get(stream, names)

    @staticmethod
    def setopts(stream: Stream, options: Mapping[str, Any]) -> None:
        """Set options by name; see ``socket_options``.

        Counterpart: ``inet:setopts/2``.
        """
        socket_options.set(stream, options)

    @staticmethod
    def shutdown(stream: Stream, way: str) -> None:
        """Shut down ``"read"``, ``"write"`` or ``"read_write"``.

        Counterpart: ``gen_tcp:shutdown/2``.
        """
        stream.shutdown(way)

    @staticmethod
    def close(socket: Stream | ListenSocket) -> None:
        """Close a connection or a listener.

        Counterpart: ``gen_tcp:close/1``.
        """
        socket.close()

    @staticmethod
    def sockname(socket: Stream | ListenSocket) -> SocketInfo:
        """Return the local end.

        Counterpart: ``inet:sockname/1``.
        """
        return address_info(socket.sock.getsockname())

    @staticmethod
    def peername(stream: Stream) -> SocketInfo:
        """Return the remote end; also after it has gone. Where a PROXY header has told of the client, that.

        Raises:
            OSError: it was gone before anybody asked.

        Counterpart: ``inet:peername/1``.
        """
        if stream.peer is None:
            stream.peer = address_info(stream.sock.getpeername())
        return stream.peer  # type: ignore[no-any-return]

    @staticmethod
    def peercert(stream: Stream) -> bytes:
        """Refuse: a clear connection has no certificate.

        Raises:
            NotSecure: always.

        Counterpart: ``ThousandIsland.Transports.TCP.peercert/1``.
        """
        raise NotSecure("a clear connection has no certificate")

    @staticmethod
    def secure() -> bool:
        """Return False.

        Counterpart: ``ThousandIsland.Transports.TCP.secure?/0``.
        """
        return False

    @staticmethod
    def getstat(stream: Stream) -> SocketStats:
        """Return what has gone over the connection.

        Counterpart: ``inet:getstat/1``.
        """
        return SocketStats(stream.recv_oct, stream.recv_cnt, stream.send_oct, stream.send_cnt)

    @staticmethod
    def negotiated_protocol(stream: Stream) -> str:
        """Refuse: there was nothing to negotiate.

        Raises:
            ProtocolNotNegotiated: always.

        Counterpart: ``ThousandIsland.Transports.TCP.negotiated_protocol/1``.
        """
        raise ProtocolNotNegotiated("a clear connection negotiates no protocol")

    @staticmethod
    def connection_information(stream: Stream) -> Any:
        """Return what a PROXY header has told; there is nothing else to tell.

        Raises:
            NotSecure: there was none.

        Counterpart: ``ThousandIsland.Transports.TCP.connection_information/1``, which always refuses.
        """
        if stream.proxy_header is None:
            raise NotSecure("a clear connection has no TLS information")
        return TCPInformation(stream.proxy_header)


@library_call  # a kill between the opening and the ``try`` would leave the file open
def send_file(stream: Stream, filename: Any, offset: int, length: int) -> int:
    """Open ``filename``, send the part of it, and return how many bytes that was.

    Raises:
        OSError: the system refuses; also a directory or a FIFO, of which no part can be read. It has the file's name.
    """
    if stream.closed:
        raise SocketClosed("the connection is closed")
    # Else the opening of a FIFO would wait for somebody who writes to it, which may be for ever.
    file = os.open(filename, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        _check_kind(status.st_mode, filename)
        if length == 0:
            length = max(0, status.st_size - offset)
        return stream.sendfile(file, offset, length)
    finally:
        os.close(file)


def _check_kind(mode: int, filename: Any) -> None:
    """Refuse what has no parts. The system would as well, but not before something is read, and without the name."""
    if stat.S_ISDIR(mode):
        number = errno.EISDIR
    elif stat.S_ISFIFO(mode):
        number = errno.ESPIPE
    else:
        return
    raise OSError(number, os.strerror(number), os.fspath(filename))
