"""Tells the time and hangs up, as RFC 867 asks. Try it with ``nc localhost 4013``."""

import sys
import time

import blinker

import supervision
import thousand_island
from thousand_island import Close, Handler


class Daytime(Handler):
    def handle_connection(self, socket, state):
        socket.send(f"{time.ctime()}\r\n".encode())
        return Close(state)


def announce(server, *, metadata, **event):
    print("daytime listens on {local_address} port {local_port}".format_map(metadata))


if __name__ == "__main__":
    blinker.signal("thousand_island.listener.start").connect(announce)
    sys.exit(supervision.run([(thousand_island, {"port": 4013, "handler_module": Daytime})]))
