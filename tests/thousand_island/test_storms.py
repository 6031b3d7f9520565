"""Data and messages for the same connections, from many threads at once: no wake-up is lost, nobody is run twice."""

from __future__ import annotations

import pytest

from tests.programs import output_of
from tests.supervision.storms import PAUSING


@pytest.mark.parametrize("processors", [1, 2, 4])
class TestStorms:
    def test_data_and_messages_from_foreign_threads_are_all_answered(self, processors: int) -> None:
        program = f"""{PAUSING}
import socket
import thousand_island
CLIENTS, EACH = 6, 300
class Echo(thousand_island.Handler):
    def handle_connection(self, socket, state):
        self.inside = REAL()
        return thousand_island.Continue(state)
    def handle_data(self, data, socket, state):
        self.alone()
        socket.send(data)
        return thousand_island.Continue(state)
    def handle_cast(self, message, state):
        self.alone()
        message.release()
        return supervision.NoReply(state)
    alone = Alone.alone
server = thousand_island.start_link(port=0, handler_module=Echo, transport_options={{"ip": "loopback"}})
clients = [socket.create_connection(thousand_island.listener_info(server), timeout=20) for _ in range(CLIENTS)]
for client in clients:  # each connection has begun
    client.sendall(b"x")
    assert client.recv(1) == b"x"
def send_data(client):
    for number in range(EACH):
        data = bytes([number % 251])
        client.sendall(data)
        assert client.recv(1) == data, "lost"
        rest()
    finished.release()
def send_messages(pid):
    answer = threading.Semaphore(0)
    for _ in range(EACH):
        supervision.cast(pid, answer)
        assert answer.acquire(timeout=20), "a wake-up was lost"
        rest()
    finished.release()
def rest():
    if random.random() < 0.05:
        time.sleep(0.0005)  # long enough for the runtime to fall asleep
finished = threading.Semaphore(0)
for client in clients:
    threading.Thread(target=send_data, args=(client,), daemon=True).start()
for pid in thousand_island.connection_pids(server):
    threading.Thread(target=send_messages, args=(pid,), daemon=True).start()
for _ in range(2 * CLIENTS):
    assert finished.acquire(timeout=35)
for client in clients:
    client.close()
thousand_island.stop(server)
print("all answered")
"""
        assert output_of(program, processors=processors) == "all answered"
