"""A chat for browsers, with a room for each path. Try it with two of them: http://localhost:8081/.

wsproto knows WebSocket. What a client says goes to everybody in its room as a message to their processes. Each owns its
socket and sends for itself, so a client that is slow to read holds up nobody else.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import blinker
import h11
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, Request, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

import supervision
import thousand_island
from supervision import Exit, NoReply, Registry, process
from thousand_island import Close, Continue, Handler

PAGE = Path(__file__).with_name("websocket_chat.html").read_bytes()

LONGEST_MESSAGE = 10_000  # characters

# Milliseconds. A client that has gone without a word is noticed because it does not answer the pings.
PING_INTERVAL = 20_000
READ_TIMEOUT = 50_000
LONGEST_GOODBYE = 2_000


@dataclass
class Client:
    """``registry`` knows who is in which room; ``websocket`` is None until the browser has asked for one."""

    registry: str
    http: h11.Connection
    websocket: WSConnection | None = None
    room: str = ""
    text: str = ""  # of a message that has not come to its end yet


class Chat(Handler):
    """``handler_options`` is the name of the registry."""

    def handle_connection(self, socket, registry):
        return Continue(Client(registry, h11.Connection(h11.SERVER)))

    def handle_data(self, data, socket, client):
        try:
            if client.websocket is not None:
                return self.converse(data, socket, client)
            return self.be_asked(data, socket, client)
        except h11.RemoteProtocolError as error:
            return self.answer(error.error_status_hint, b"", socket, client)
        except RemoteProtocolError as error:  # wsproto's: it is no WebSocket that the client asks for
            socket.send(client.websocket.send(error.event_hint))
            return Close(client)

    # HTTP: a browser wants the page, and the page a WebSocket

    def be_asked(self, data, socket, client):
        client.http.receive_data(data)
        request = client.http.next_event()
        if type(request) is not h11.Request:
            return Continue(client)
        if request.method != b"GET":
            return self.answer(405, b"", socket, client)
        if (b"upgrade", b"websocket") not in [(name, value.lower()) for name, value in request.headers]:
            return self.answer(200, PAGE, socket, client)
        client.websocket = WSConnection(ConnectionType.SERVER)
        client.websocket.initiate_upgrade_connection(list(request.headers), request.target)
        return self.converse(client.http.trailing_data[0], socket, client)

    def answer(self, status, body, socket, client):
        headers = [("Content-Type", "text/html"), ("Content-Length", str(len(body))), ("Connection", "close")]
        head = client.http.send(h11.Response(status_code=status, headers=headers))
        socket.send([head, body])
        return Close(client)

    # WebSocket

    def converse(self, data, socket, client):
        """Go through what the client says."""
        client.websocket.receive_data(data)
        for event in client.websocket.events():
            if type(event) is CloseConnection:
                if client.websocket.state is not ConnectionState.CLOSED:  # else it answers our goodbye
                    socket.send(client.websocket.send(event.response()))
                return Close(client)
            if client.websocket.state is not ConnectionState.LOCAL_CLOSING:
                self.heed(event, socket, client)
        if client.websocket.state is ConnectionState.LOCAL_CLOSING:
            return Continue(client, LONGEST_GOODBYE)
        return Continue(client)

    def heed(self, event, socket, client):
        match event:
            case Request(target=room):
                client.room = room
                Registry.register(client.registry, room)  # first: once it is accepted it may count on hearing everybody
                socket.send(client.websocket.send(AcceptConnection()))
                process.send_after(self.pid, "ping", PING_INTERVAL)
            case TextMessage():
                self.hear(event, socket, client)
            case Message():
                self.leave(CloseReason.UNSUPPORTED_DATA, socket, client)
            case Ping():
                socket.send(client.websocket.send(event.response()))

    def hear(self, piece, socket, client):
        client.text += piece.data
        if len(client.text) > LONGEST_MESSAGE:
            self.leave(CloseReason.MESSAGE_TOO_BIG, socket, client)
        elif piece.message_finished:
            said, client.text = ("said", client.text), ""
            Registry.dispatch(client.registry, client.room, lambda everybody: send_to(everybody, said))

    def leave(self, code, socket, client):
        """Say goodbye; the client will, too."""
        socket.send(client.websocket.send(CloseConnection(code=code)))

    # What other processes say

    def handle_info(self, message, state):
        socket, client = state
        if type(message) is Exit:  # the registry's, to which its entries are linked
            return Close(client)
        if client.websocket.state is ConnectionState.OPEN:
            self.pass_on(message, socket, client)
        return NoReply(state)

    def pass_on(self, message, socket, client):
        match message:
            case "ping":
                socket.send(client.websocket.send(Ping()))
                process.send_after(self.pid, "ping", PING_INTERVAL)
            case ("said", text):
                socket.send(client.websocket.send(TextMessage(data=text)))

    def handle_shutdown(self, socket, client):
        if client.websocket is not None and client.websocket.state is ConnectionState.OPEN:
            self.leave(CloseReason.GOING_AWAY, socket, client)


def send_to(everybody, message):
    for pid, _ in everybody:
        process.send(pid, message)


def websocket_chat(port=8081, registry="rooms"):
    """Return the children: who is in which room, and the server."""
    server = {
        "port": port,
        "handler_module": Chat,
        "handler_options": registry,
        "read_timeout": READ_TIMEOUT,
        "messages_defer_timeout": False,  # only what the client itself sends shows that it is still there
    }
    return [(Registry, {"keys": "duplicate", "name": registry}), (thousand_island, server)]


def announce(server, *, metadata, **event):
    print("websocket_chat listens on {local_address} port {local_port}".format_map(metadata))


if __name__ == "__main__":
    blinker.signal("thousand_island.listener.start").connect(announce)
    # Without the registry nobody hears anybody: if it has to be restarted, the server behind it is, too.
    sys.exit(supervision.run(websocket_chat(), strategy="rest_for_one"))
