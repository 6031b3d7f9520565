"""Opening a listening socket as the options say: internet addresses, unix sockets, ready descriptors."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from supervision.foreign import this_process
from thousand_island.transports.listen_address import ListenAddress
from thousand_island.transports.listen_options import ListenOptions
from thousand_island.transports.listen_socket import ListenSocket
from thousand_island.transports.socket_file import SocketFile

__all__ = ["listen"]


def listen(options: ListenOptions) -> ListenSocket:
    """Bind and listen for the calling process, or take a descriptor over that listens already.

    Raises:
        OSError: the system refuses; the text names the address.
    """
    try:
        return _listen(options)
    except OSError as error:
        text = f"cannot listen on {_described(options.address)}: {error.strerror or error}"
        raise type(error)(error.errno, text) from error


def _listen(options: ListenOptions) -> ListenSocket:
    address = options.address
    sock = _open(address)
    file: SocketFile | None = None
    try:
        _configure(sock, options)
        if isinstance(address.address, str | bytes):
            file = SocketFile.bind(sock, address.address, options.socket_mode)
        elif address.address is not None:
            sock.bind(_with_zone(address.family, *address.address))
        if address.fd is None:
            sock.listen(options.backlog)
        listener = ListenSocket(sock, options, this_process())
    except BaseException:
        if file is not None:
            file.remove()
        sock.close()
        raise
    listener.file = file
    return listener


def _open(address: ListenAddress) -> socket.socket:
    if address.fd is None:
        assert address.family is not None
        return socket.socket(address.family, socket.SOCK_STREAM)
    # A copy: closing the listener must not close what belongs to whoever passed it.
    fd = os.dup(address.fd)
    try:
        sock = socket.socket(fileno=fd)
    except BaseException:
        os.close(fd)
        raise
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise OSError(errno.EINVAL, "it is no stream socket that listens")
    return sock


def _with_zone(family: int | None, host: str, port: int) -> Any:
    """What ``bind`` takes for the address: of a pair it would lose the zone (``%eth0``), which has its own place."""
    if family != socket.AF_INET6:
        return host, port
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4]


def _configure(sock: socket.socket, options: ListenOptions) -> None:
    """Set what accepted connections inherit from the listening socket, so that accepting sets nothing."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, options.reuseaddr)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, options.nodelay)
        if options.reuseport and options.address.fd is None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
    if sock.family == socket.AF_INET6 and options.address.fd is None:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not options.address.dual_stack)
    if options.keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
    if options.recbuf is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.recbuf)
    if options.sndbuf is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.sndbuf)


def _described(address: ListenAddress) -> Any:
    match address.address:
        case None:
            return f"descriptor {address.fd}"
        case (host, port):
            return f"{host} port {port}"
    return repr(address.address)
