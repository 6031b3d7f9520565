"""Serves a WSGI application over HTTP/1.1. Try it with a browser: http://localhost:8080/.

``python -m examples.wsgi MODULE:APPLICATION`` serves one of yours, say of Flask or Django; with the paths of a
certificate and its key behind that, over TLS.

h11 knows HTTP. What is left shows what the library is for: the application is plain code that may block, in a database
driver as in ``wsgi.input``, which reads from the socket; and an idle connection still costs no thread.
"""

import contextlib
import email.utils
import importlib
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any

import blinker
import h11

import supervision
import thousand_island
from examples.wsgi_environ import environ_of
from thousand_island import Close, Continue, Handler, SocketClosed, SocketTimeout
from thousand_island.transports import SSL, TCP

# Bytes of a body in which the application had no interest that are read nevertheless, to keep the connection.
LARGEST_UNREAD = 65_536

# Milliseconds that a client gets to hang up.
LONGEST_GOODBYE = 2_000

# What ends a connection and is no mistake of the application, though it may come out of its ``wsgi.input``.
CLIENT_ERRORS = (SocketClosed, SocketTimeout, h11.RemoteProtocolError)


@dataclass
class State:
    application: Any
    http: h11.Connection


class WSGI(Handler):
    """``handler_options`` is the application."""

    def handle_connection(self, socket, application):
        return Continue(State(application, h11.Connection(h11.SERVER)))

    def handle_data(self, data, socket, state):
        state.http.receive_data(data)
        try:
            while type(request := state.http.next_event()) is h11.Request:  # clients may send several at once
                Exchange(request, socket, state.http).run(state.application)
                if not finish_request(socket, state.http):
                    return Close(state)
        except h11.RemoteProtocolError as error:
            refuse(error.error_status_hint, socket, state.http)
            return Close(state)
        return Continue(state)

    def handle_close(self, socket, state):
        """Let the client hang up first: what it still sends would make the system reset the connection.

        The client would lose the end of its answer by that.
        """
        deadline = time.monotonic() + LONGEST_GOODBYE / 1_000
        with contextlib.suppress(OSError):  # it has hung up, or takes too long
            socket.shutdown("write")
            while (left := deadline - time.monotonic()) > 0:
                socket.recv(timeout=int(left * 1_000))

    def handle_timeout(self, socket, state):
        if state.http.trailing_data[0] or state.http.their_state is h11.SEND_BODY:  # else it was merely idle
            refuse(408, socket, state.http)


class Exchange:
    """One request and its response."""

    def __init__(self, request, socket, http):
        self.request = request
        self.socket = socket
        self.http = http
        self.head = None
        self.started = False  # whether the head has been sent

    def run(self, application):
        """Have the application answer."""
        try:
            self.respond(application)
        except CLIENT_ERRORS:
            raise
        except Exception:  # without this the client would never hear that the server has failed
            if self.started:
                raise  # too late for another answer: the connection ends, and the crash is logged
            traceback.print_exc()
            refuse(500, self.socket, self.http)

    def respond(self, application):
        body = application(environ_of(self.request, self.socket, self.http), self.start_response)
        try:
            for piece in body:
                if piece:
                    self.write(piece)
            self.finish()
        finally:
            if hasattr(body, "close"):
                body.close()

    def start_response(self, status, headers, exc_info=None):
        if exc_info and self.started:
            raise exc_info[1].with_traceback(exc_info[2])
        if self.head is not None and not exc_info:
            raise AssertionError("start_response has been called already")
        code, _, reason = status.partition(" ")
        if all(name.lower() != "date" for name, _ in headers):
            headers = [("Date", email.utils.formatdate(usegmt=True)), *headers]
        self.head = {"status_code": int(code), "reason": reason, "headers": list(headers)}
        return self.write

    def begin(self):
        """Return the head, unless it is sent already."""
        if self.started:
            return b""
        if self.head is None:
            raise AssertionError("start_response has not been called")
        if self.http.they_are_waiting_for_100_continue:  # nobody can tell whether the body will come
            self.head["headers"].append(("Connection", "close"))
        head = self.http.send(h11.Response(**self.head))
        self.started = True
        return head

    def write(self, piece):
        head = self.begin()
        body = [] if self.request.method == b"HEAD" else self.http.send_with_data_passthrough(h11.Data(data=piece))
        self.socket.send([head, *body])  # in one system call, without joining them

    def finish(self):
        self.socket.send([self.begin(), self.http.send(h11.EndOfMessage())])


def finish_request(socket, http):
    """Read what is left of a request that has been answered; returns whether another one may follow."""
    unread = 0
    while http.our_state is h11.DONE and http.their_state is h11.SEND_BODY and unread < LARGEST_UNREAD:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(socket.recv())
        elif type(event) is h11.Data:
            unread += len(event.data)
    if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
        return False
    http.start_next_cycle()
    return True


def refuse(status, socket, http):
    """Answer a request without the application, if no answer has begun, and say that it is the last."""
    if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
        head = h11.Response(status_code=status, headers=[("Content-Length", "0"), ("Connection", "close")])
        socket.send([http.send(head), http.send(h11.EndOfMessage())])


def wsgi(application, certfile=None, keyfile=None, port=8080):
    """Return the options of a server for an application."""
    options = {"port": port, "handler_module": WSGI, "handler_options": application, "transport_module": TCP}
    if certfile is not None:
        options |= {"transport_module": SSL, "transport_options": {"certfile": certfile, "keyfile": keyfile}}
    return options


def announce(server, *, metadata, **event):
    print("wsgi listens on {local_address} port {local_port}".format_map(metadata))


def main(name="wsgiref.simple_server:demo_app", *certificate):
    module, _, attribute = name.partition(":")
    application = getattr(importlib.import_module(module), attribute)
    blinker.signal("thousand_island.listener.start").connect(announce)
    return supervision.run([(thousand_island, wsgi(application, *certificate))])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
