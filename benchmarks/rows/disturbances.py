"""What goes on beside the connections that are measured: clients that keep the server busy with something else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.failures import WrongResultError

#: Seconds within which a disturbing request has its answer, whatever the load.
PATIENCE = 30.0
REQUEST_SIZE = 64

#: Bytes that one client sends in a row, and those sent at a time.
UPLOAD_SIZE = 100_000_000
CHUNK = bytes(1_000_000)


@contextmanager
def disturbing(port: int, disturbance: str, clients: int) -> Iterator[None]:
    """Keeps clients asking for the disturbance; fails if it never took place or was not answered."""
    answers: list[bool] = []
    stop = threading.Event()
    with ExitStack() as open_clients:
        for _ in range(clients):
            client = open_clients.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            asking = threading.Thread(target=_ask_again_and_again, args=(client, disturbance, answers, stop))
            asking.start()
            open_clients.callback(asking.join)
        open_clients.callback(stop.set)
        yield
    if len(answers) < clients or not all(answers):
        raise WrongResultError("a disturbing connection was not answered as it should have been")


def _ask_again_and_again(client: socket.socket, disturbance: str, answers: list[bool], stop: threading.Event) -> None:
    request = disturbance.encode().ljust(REQUEST_SIZE)
    follow_up = FOLLOW_UPS.get(disturbance)
    while not stop.is_set():
        try:
            client.sendall(request)
            if follow_up:
                follow_up(client)
            answers.append(client.recv(REQUEST_SIZE, socket.MSG_WAITALL) == request)
        except OSError:
            answers.append(False)
            return


def _upload(client: socket.socket) -> None:
    for _ in range(UPLOAD_SIZE // len(CHUNK)):
        client.sendall(CHUNK)


#: What a client sends after the request and before it waits for the answer.
FOLLOW_UPS: dict[str, Callable[[socket.socket], None]] = {"upload": _upload}
