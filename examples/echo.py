"""Sends back whatever arrives. Try it with ``nc localhost 4000``."""

import sys

import blinker

import supervision
import thousand_island
from thousand_island import Continue, Handler


class Echo(Handler):
    def handle_data(self, data, socket, state):
        socket.send(data)
        return Continue(state)


def announce(server, *, metadata, **event):
    print("echo listens on {local_address} port {local_port}".format_map(metadata))


if __name__ == "__main__":
    blinker.signal("thousand_island.listener.start").connect(announce)
    sys.exit(supervision.run([(thousand_island, {"port": 4000, "handler_module": Echo})]))
