"""trio's streams. trio sets TCP_NODELAY by itself."""

from __future__ import annotations

import trio

from benchmarks.servers.options import BACKLOG, READ_SIZE, Options, announce


async def _echo(stream: trio.SocketStream) -> None:
    try:
        while data := await stream.receive_some(READ_SIZE):
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


async def _serve() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=BACKLOG)
    announce(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(_echo, listeners)


def streams(_options: Options) -> None:
    """`trio.serve_listeners`, a task per connection."""
    trio.run(_serve)
