"""Enough of Redis for its own clients. Try it with ``redis-cli -p 6380``, or ``redis-benchmark -p 6380 -t set,get``.

The data lives in a process of its own, the Store, beside the server in one supervision tree: connections come and go
without it, and it may crash, and be started afresh, without them. Each connection asks it everything that a client has
sent at once in one call, so a pipeline costs one call, too.

It speaks version 2 of the protocol, which redis-py has to be told: ``redis.Redis(port=6380, protocol=2)``.
"""

import sys

import blinker

import supervision
import thousand_island
from examples.redis_commands import Database, delete, execute
from examples.resp import CommandParser, ProtocolError, ReplyError, encode
from supervision import INFINITY, Actor, NoProcess, NoReply, Ok, Reply, ServerExit, process
from thousand_island import Close, Continue, Handler


class Connection(Handler):
    """``handler_options`` is the name of the Store."""

    def handle_connection(self, socket, store):
        return Continue((store, CommandParser()))

    def handle_data(self, data, socket, state):
        store, parser = state
        commands, end = [], []
        try:
            commands.extend(parser.feed(data))
        except ProtocolError as error:
            end = [ReplyError(f"ERR Protocol error: {error}")]
        # A list goes out in one piece, without being joined first.
        socket.send([encode(reply) for reply in [*ask(store, commands), *end]])
        return Close(state) if end else Continue(state)


def ask(store, commands):
    """Have the Store carry out commands; returns their replies."""
    try:
        return supervision.call(store, commands, timeout=INFINITY) if commands else []
    except (NoProcess, ServerExit):  # it has crashed, and soon there is another
        return [ReplyError("ERR the data has just been lost")] * len(commands)


class Store(Actor):
    """Keeps the data. Its argument is the name under which connections find it."""

    @classmethod
    def start_link(cls, name, /, **options):
        return super().start_link(name, name=name, **options)

    def init(self, name):
        return Ok(Database())

    def handle_call(self, commands, caller, database):
        return Reply([execute(database, command) for command in commands], database)

    def handle_info(self, key, database):
        """The time of a key may be over."""
        timer = database.timers.get(key)
        if timer is not None and process.read_timer(timer) is None:  # else the key was set again meanwhile
            delete(database, key)
        return NoReply(database)


def redis_subset(port=6380, store="store"):
    """Return the children: the data, and the server that gives access to it."""
    return [(Store, store), (thousand_island, {"port": port, "handler_module": Connection, "handler_options": store})]


def announce(server, *, metadata, **event):
    print("redis_subset listens on {local_address} port {local_port}".format_map(metadata))


if __name__ == "__main__":
    blinker.signal("thousand_island.listener.start").connect(announce)
    sys.exit(supervision.run(redis_subset()))
