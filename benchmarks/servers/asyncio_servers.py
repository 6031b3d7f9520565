"""The asyncio peers: a bare Protocol, and streams. asyncio sets TCP_NODELAY on both by itself."""

from __future__ import annotations

import asyncio
import ssl

from benchmarks.servers.options import BACKLOG, READ_SIZE, Options, announce


class EchoProtocol(asyncio.Protocol):
    """Writes back what it is given."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Echoes."""
        self.transport.write(data)


async def _echo_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(READ_SIZE):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _serve_protocol(context: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(EchoProtocol, "127.0.0.1", 0, backlog=BACKLOG, ssl=context)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _serve_streams() -> None:
    server = await asyncio.start_server(_echo_stream, "127.0.0.1", 0, backlog=BACKLOG)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def protocol(_options: Options) -> None:
    """`asyncio.Protocol` over TCP."""
    asyncio.run(_serve_protocol(None))


def protocol_tls(options: Options) -> None:
    """`asyncio.Protocol` over TLS."""
    assert options.certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # what ours does by default: both send the same
    context.load_cert_chain(options.certificate)
    asyncio.run(_serve_protocol(context))


def streams(_options: Options) -> None:
    """The pair of StreamReader and StreamWriter."""
    asyncio.run(_serve_streams())


def uvloop_protocol(_options: Options) -> None:
    """`asyncio.Protocol` on uvloop, where that is installed."""
    import uvloop

    uvloop.run(_serve_protocol(None))
