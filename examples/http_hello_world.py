"""Answers every request with a line of text. Try it with a browser: http://localhost:4080/."""

import sys

import blinker

import supervision
import thousand_island
from thousand_island import Close, Continue, Handler

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nHello\n"


class HelloWorld(Handler):
    def handle_data(self, data, socket, request):
        request += data
        if b"\r\n\r\n" not in request and len(request) < 16_384:
            return Continue(request)
        socket.send(RESPONSE)
        return Close(request)


def announce(server, *, metadata, **event):
    print("http listens on {local_address} port {local_port}".format_map(metadata))


if __name__ == "__main__":
    blinker.signal("thousand_island.listener.start").connect(announce)
    server = {"port": 4080, "handler_module": HelloWorld, "handler_options": b""}
    sys.exit(supervision.run([(thousand_island, server)]))
