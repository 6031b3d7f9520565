"""Devices that keep a connection open and are told what to do, for ``embed_flask`` and ``embed_django``.

A device says its name on a line, and gets lines. Play one with ``nc localhost 4020``.
"""

import thousand_island
from supervision import INFINITY, AlreadyRegistered, NoProcess, Registry, Reply, ServerExit, Supervisor, call
from thousand_island import Close, Continue, Handler

# Names of processes: who is connected, and the server.
DEVICES = "devices"
SERVER = "device_server"

LONGEST_NAME = 100  # bytes
PATIENCE = 2_000  # milliseconds that a device gets to take what it is sent


class Device(Handler):
    """Its state is what it has said so far of its name; None when it is known."""

    def handle_connection(self, socket, state):
        return Continue(b"")

    def handle_data(self, data, socket, said):
        if said is None:
            return Continue(None)
        name, end, _ = (said + data).partition(b"\n")
        if len(name) > LONGEST_NAME:
            return Close(None)
        return self.enter(name.decode("utf-8", "replace").strip(), socket) if end else Continue(name)

    def enter(self, name, socket):
        try:
            Registry.register(DEVICES, name)
        except AlreadyRegistered:
            socket.send(b"taken\n")
            return Close(None)
        socket.send(b"welcome\n")
        return Continue(None)

    def handle_call(self, text, caller, state):
        """Runs in the connection's process, so the socket needs no lock."""
        socket, _ = state
        socket.send(f"{text}\n".encode())
        return Reply("sent", state)

    def handle_shutdown(self, socket, state):
        socket.send(b"goodbye\n")


def start_devices(port=4020):
    """Start the tree, linked to the thread that calls this, and return its supervisor.

    Call it once, on a thread that lives as long as the program, as the main thread does. When that ends, the tree is
    shut down in order, and every device is told goodbye. A server that forks calls it in each child that serves.
    """
    registry = (Registry, {"keys": "unique", "name": DEVICES})
    server = {
        "port": port,
        "handler_module": Device,
        "read_timeout": INFINITY,
        "supervisor_options": {"name": SERVER},
    }
    return Supervisor.start_link([registry, (thousand_island, server)], strategy="rest_for_one")


def device_names():
    return sorted(name for name, _, _ in Registry.select(DEVICES, lambda name, pid, value: True))


def tell_device(name, text):
    """Send a line to a device, from any thread. LookupError: there is none of that name; TimeoutError: it is slow."""
    try:
        call(Registry.via(DEVICES, name), text, timeout=PATIENCE)
    except (NoProcess, ServerExit):
        raise LookupError(f"there is no device {name!r}") from None
