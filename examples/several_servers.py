"""Two servers and what they share, in one tree: votes come in at one port, and the standings go out at the other.

Vote with ``nc localhost 4030``, a line for each vote, and watch with ``nc localhost 4031``.

The strategy is one_for_one, so each of the three is restarted by itself: while the booth is broken, the board goes on
showing what was counted, and while the count is, voters only have to be patient.
"""

import contextlib
import sys

import blinker

import supervision
import thousand_island
from supervision import Actor, NoProcess, NoReply, Ok, Reply, ServerExit, abcast, call, cast
from thousand_island import Continue, Handler, ServerUnavailable, connection_pids

# Names of processes.
COUNT, BOOTH, BOARD = "count", "booth", "board"

LONGEST_VOTE = 100  # bytes


class Count(Actor):
    """Keeps the votes for each candidate, and sends the standings to the connections of the board."""

    @classmethod
    def start_link(cls, name, /, **options):
        return super().start_link(name, name=name, **options)

    def init(self, name):
        return Ok({})

    def handle_call(self, candidate, caller, votes):
        """Count a vote, and tell everybody after it is answered."""
        votes[candidate] = votes.get(candidate, 0) + 1
        return Reply(votes[candidate], votes, continue_with="tell")

    def handle_continue(self, argument, votes):
        with contextlib.suppress(ServerUnavailable):  # the board is being restarted: nobody is watching
            abcast(connection_pids(BOARD), standings(votes))
        return NoReply(votes)

    def handle_cast(self, watcher, votes):
        cast(watcher, standings(votes))
        return NoReply(votes)


def standings(votes):
    first = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    return "".join(f"{candidate}: {number}\n" for candidate, number in first) + "\n"


class Booth(Handler):
    def handle_connection(self, socket, state):
        return Continue(b"")

    def handle_data(self, data, socket, said):
        *votes, rest = (said + data).split(b"\n")
        for vote in votes:
            socket.send(f"{self.vote(vote.decode('utf-8', 'replace').strip())}\n".encode())
        return Continue(rest[:LONGEST_VOTE])

    def vote(self, candidate):
        try:
            return f"{candidate} has {call(COUNT, candidate)}"
        except (NoProcess, ServerExit):
            return "not counted, try again"


class Board(Handler):
    def handle_connection(self, socket, state):
        cast(COUNT, self.pid)  # no call: the count waits for the board at times, so the board never waits for the count
        return Continue(state)

    def handle_cast(self, text, state):
        socket, _ = state
        socket.send(text.encode())
        return NoReply(state)


def several_servers(booth_port=4030, board_port=4031):
    """Return the children, in the order in which they are started."""
    return [
        (Count, COUNT),
        (thousand_island, {"port": booth_port, "handler_module": Booth, "supervisor_options": {"name": BOOTH}}),
        (thousand_island, {"port": board_port, "handler_module": Board, "supervisor_options": {"name": BOARD}}),
    ]


def announce(server, *, metadata, **event):
    print("the {handler.__name__} listens on {local_address} port {local_port}".format_map(metadata))


if __name__ == "__main__":
    blinker.signal("thousand_island.listener.start").connect(announce)
    sys.exit(supervision.run(several_servers()))
