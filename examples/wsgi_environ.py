"""What a WSGI application is told of a request (PEP 3333), for ``wsgi``."""

import io
import re
import sys
from urllib.parse import unquote_to_bytes

import h11

# What proxies are sent, and every server has to understand: http://host/path.
ABSOLUTE = re.compile(r"https?://[^/?]*", re.IGNORECASE)


def environ_of(request, socket, http):
    """Return the environ of an h11.Request that came over a socket."""
    path, _, query = ABSOLUTE.sub("", request.target.decode("ascii"), count=1).partition("?")
    host, port = socket.sockname()
    environ = {
        "REQUEST_METHOD": request.method.decode("ascii"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path or "/").decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode('ascii')}",
        "REMOTE_ADDR": socket.peername()[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if socket.secure else "http",
        "wsgi.input": io.BufferedReader(RequestBody(socket, http)),
        "wsgi.input_terminated": True,  # it ends where the body does, also where no Content-Length says so
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        add_header(environ, name.decode("ascii"), value.decode("latin-1"))
    return environ


def add_header(environ, name, value):
    if "_" in name:  # it would look like the one with a dash, which a proxy may have checked
        return
    key = name.upper().replace("-", "_")
    if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = f"HTTP_{key}"
    environ[key] = f"{environ[key]},{value}" if key in environ else value


class RequestBody(io.RawIOBase):
    """The body of a request, read from the socket when the application asks for it; io.BufferedReader does the rest."""

    def __init__(self, socket, http):
        self.socket = socket
        self.http = http
        self.rest = b""

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self.rest and self.http.their_state is h11.SEND_BODY:
            self.read_event()
        size = min(len(buffer), len(self.rest))
        buffer[:size], self.rest = self.rest[:size], self.rest[size:]
        return size

    def read_event(self):
        if self.http.they_are_waiting_for_100_continue:
            self.socket.send(self.http.send(h11.InformationalResponse(status_code=100, headers=[])))
        event = self.http.next_event()
        if event is h11.NEED_DATA:
            self.http.receive_data(self.socket.recv())
        elif type(event) is h11.Data:
            self.rest = bytes(event.data)
