"""Tells the time to every connected client once a second. Try it with ``nc localhost 4001``, twice."""

import sys
import time

import supervision
import thousand_island
from supervision import Actor, NoReply, Ok


class Messenger(thousand_island.Handler):
    def handle_cast(self, text, state):
        socket, _ = state
        socket.send(text)
        return NoReply(state, timeout=socket.read_timeout)


class Clock(Actor):
    def init(self, server):
        print("messenger listens on {} port {}".format(*thousand_island.listener_info(server)))
        return Ok(server, timeout=1_000)

    def handle_info(self, timeout, server):
        supervision.abcast(thousand_island.connection_pids(server), f"{time.ctime()}\r\n".encode())
        return NoReply(server, timeout=1_000)


if __name__ == "__main__":
    server = {"port": 4001, "handler_module": Messenger, "supervisor_options": {"name": "messenger"}}
    sys.exit(supervision.run([(thousand_island, server), (Clock, "messenger")]))
