"""The Actor side of a Handler: calls, casts, messages, and the state as the pair of socket and state."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

import thousand_island
from supervision import (
    Exit,
    Ignore,
    NoReply,
    Ok,
    Reply,
    ServerExit,
    Stop,
    call,
    cast,
    process,
    reply,
    sys,
)
from tests.supervision.supervised import until
from tests.thousand_island.serving import (
    DEADLINE,
    SECONDS,
    Server,
    Telling,
    exchange,
    is_closed,
    is_silent,
    message,
    reason_of,
    receive_exactly,
    serve,
)
from thousand_island import Close, Continue, Error, Handler, NotOwner, Persistent, Socket


class Messenger(Telling):
    """Does what it is told by messages; its ``handler_options`` is a process to tell."""

    def handle_connection(self, socket: Any, state: Any) -> Any:
        process.send(state, ("connected", self.pid))
        return Continue(state)

    def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
        if data == b"later":
            return Continue(state, continue_with="later")
        socket.send(data)
        return Continue(state)

    def handle_call(self, request: Any, caller: Any, state: Any) -> Any:
        if request == "later":
            cast(self.pid, ("reply", caller))
            return NoReply(state)
        if request == "stop":
            return Stop("normal", state, reply="stopping")
        if isinstance(request, type) or callable(request):
            return request(state)
        state[0].send(request)
        return Reply(len(request), state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        if isinstance(message, tuple):
            reply(message[1], "late")
        else:
            state[0].send(message)
        return NoReply(state)

    def handle_info(self, message: Any, state: Any) -> Any:
        if isinstance(message, Exit):
            process.send(state[1], ("exit", message.reason))
        elif callable(message):
            return message(state)
        else:
            state[0].send(message)
        return NoReply(state)

    def handle_continue(self, argument: Any, state: Any) -> Any:
        state[0].send(argument.encode())
        return NoReply(state)


class Peer:
    """A connection of a Messenger."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = server.connect()
        self.pid = message()[1]


@pytest.fixture
def peer() -> Any:
    with serve(Messenger, handler_options=process.self()) as server:
        peer = Peer(server)
        with peer.client:
            yield peer


class TestMessages:
    @pytest.mark.row("TID-38", "TID-68")
    def test_a_message_can_be_sent_to_the_client(self, peer: Peer) -> None:
        process.send(peer.pid, b"info")
        assert receive_exactly(peer.client, 4) == b"info"
        cast(peer.pid, b"cast")
        assert receive_exactly(peer.client, 4) == b"cast"
        assert call(peer.pid, b"call") == 4
        assert receive_exactly(peer.client, 4) == b"call"
        assert exchange(peer.client, b"data") == b"data"

    def test_an_answer_may_come_later(self, peer: Peer) -> None:
        assert call(peer.pid, "later", DEADLINE) == "late"

    def test_a_stop_with_a_reply_answers_and_closes(self, peer: Peer) -> None:
        assert call(peer.pid, "stop", DEADLINE) == "stopping"
        assert is_closed(peer.client)
        assert message() == ("handle_close", True, None)

    def test_one_that_was_sent_first_comes_before_data(self) -> None:
        gate = threading.Event()

        class Gated(Messenger):
            def handle_info(self, message: Any, state: Any) -> Any:
                process.send(state[1], ("handle_info", message))
                return NoReply(state, continue_with="gate")

            def handle_continue(self, argument: Any, state: Any) -> Any:
                process.send(state[1], ("handle_continue", argument))
                assert gate.wait(SECONDS)
                return NoReply(state)

            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                process.send(state, ("handle_data", data))
                return Continue(state)

        with serve(Gated, handler_options=process.self()) as server:
            peer = Peer(server)
            process.send(peer.pid, "first")
            assert [message(), message()] == [("handle_info", "first"), ("handle_continue", "gate")]
            process.send(peer.pid, "second")
            peer.client.sendall(b"third")
            gate.set()
            told = [("handle_info", "second"), ("handle_continue", "gate"), ("handle_data", b"third")]
            assert [message() for _ in told] == told

    @pytest.mark.row("TIH-24")
    def test_continue_with_runs_handle_continue_before_anything_else(self, peer: Peer) -> None:
        peer.client.sendall(b"later")
        assert receive_exactly(peer.client, 5) == b"later"
        assert is_silent(peer.client)

    @pytest.mark.row("TIH-24")
    def test_handle_continue_may_stop_the_connection(self) -> None:
        class Stopping(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                return Continue(state, continue_with="go")

            def handle_continue(self, argument: Any, state: Any) -> Any:
                return Stop("normal", state)

        with serve(Stopping, handler_options=process.self()) as server, server.connect() as client:
            client.sendall(b"x")
            assert is_closed(client)
            assert message() == ("handle_close", True, None)

    @pytest.mark.row("TIH-03")
    def test_messages_about_other_sockets_reach_handle_info(self, peer: Peer) -> None:
        process.send(peer.pid, lambda state: (state[0].send(b"other"), NoReply(state))[1])
        assert receive_exactly(peer.client, 5) == b"other"

    @pytest.mark.row("TID-25")
    def test_the_end_of_a_linked_process_is_a_message(self, peer: Peer) -> None:
        def crash() -> None:
            raise process_exit

        process_exit = SystemExit(3)

        def link(state: Any) -> Any:
            process.spawn_link(crash)
            return NoReply(state)

        process.send(peer.pid, link)
        assert message() == ("exit", process_exit)
        assert exchange(peer.client, b"alive") == b"alive"

    @pytest.mark.row("TID-72")
    def test_a_message_that_no_handle_info_takes_is_logged_and_dropped(self, caplog: pytest.LogCaptureFixture) -> None:
        class Deaf(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("connected", self.pid))
                return Continue(state)

        with serve(Deaf, handler_options=process.self()) as server, server.connect() as client:
            process.send(message()[1], "unheard-of")
            assert is_silent(client)
        assert ["unheard-of" in record.getMessage() for record in caplog.records] == [True]
        assert caplog.records[0].levelname == "WARNING"

    def test_a_call_without_handle_call_is_a_crash_that_says_so(self) -> None:
        class Deaf(Telling):
            def handle_connection(self, socket: Any, state: Any) -> Any:
                process.send(state, ("connected", self.pid))
                return Continue(state)

        with serve(Deaf, handler_options=process.self()) as server, server.connect() as client:
            with pytest.raises(ServerExit, match="handle_call"):
                call(message()[1], "question", DEADLINE)
            assert is_closed(client)


class TestHandlerResults:
    def test_an_actor_callback_may_continue(self, peer: Peer) -> None:
        process.send(peer.pid, lambda state: Continue(state[1]))
        assert exchange(peer.client, b"data") == b"data"

    def test_with_a_timeout(self, peer: Peer) -> None:
        process.send(peer.pid, lambda state: Continue(state[1], 20))
        assert is_closed(peer.client)
        assert message() == ("handle_timeout", True, None)

    def test_it_may_close(self, peer: Peer) -> None:
        process.send(peer.pid, lambda state: Close(state[1]))
        assert is_closed(peer.client)
        assert message() == ("handle_close", True, None)

    def test_it_may_fail(self, peer: Peer) -> None:
        process.send(peer.pid, lambda state: Error("nope", state[1]))
        assert is_closed(peer.client)
        assert message() == ("handle_error", False, "nope")

    def test_closing_the_socket_in_one_ends_the_connection(self, peer: Peer) -> None:
        ref = process.monitor(peer.pid)
        process.send(peer.pid, lambda state: (state[0].close(), NoReply(state))[1])
        assert reason_of(ref) == ("shutdown", "local_closed")

    def test_data_left_over_by_one_that_has_read_is_handled(self, peer: Peer) -> None:
        process.send(peer.pid, lambda state: (state[0].recv(4, DEADLINE), NoReply(state))[1])
        peer.client.sendall(b"takenleft")
        assert receive_exactly(peer.client, 5) == b"nleft"


class TestState:
    @pytest.mark.row("TIH-02")
    @pytest.mark.parametrize("wrong", [lambda state: state[1], lambda state: (None, 1), lambda state: (*state, 3)])
    def test_a_state_of_the_wrong_shape_fails_with_a_text_that_says_so(
        self, peer: Peer, wrong: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        ref = process.monitor(peer.pid)
        process.send(peer.pid, lambda state: NoReply(wrong(state)))
        assert is_closed(peer.client)
        text = str(message(lambda m: m[0] == "handle_error")[2])
        assert "doesn't match the expected" in text
        assert "Messenger.handle_info returned" in text
        reason_of(ref)
        peer.server.settle()
        assert "(socket, state)" in caplog.text

    @pytest.mark.parametrize("rest", [(), (None,)])
    def test_a_stop_without_one_keeps_the_present_one(self, peer: Peer, rest: Any) -> None:
        ref = process.monitor(peer.pid)
        process.send(peer.pid, lambda state: Stop("normal", *rest))
        assert message() == ("handle_close", True, None)
        assert reason_of(ref) == "normal"

    @pytest.mark.row("TIH-02")
    def test_of_a_call_too_whose_caller_hears_of_it(self, peer: Peer) -> None:
        with pytest.raises(ServerExit, match="doesn't match the expected"):
            call(peer.pid, lambda state: Reply("never", state[1]), DEADLINE)

    def test_anything_but_a_result_is_a_bad_return_that_names_the_callback(self, peer: Peer) -> None:
        process.send(peer.pid, lambda state: "nothing of the kind")
        assert is_closed(peer.client)
        text = str(message()[2])
        assert "handle_info" in text
        assert "Messenger" in text
        assert "nothing of the kind" in text

    @pytest.mark.parametrize(
        ("result", "expected"),
        [
            (NoReply, "a timeout that is a whole number of milliseconds or INFINITY, a Timeout"),
            (
                lambda state, timeout: Continue(state[1], timeout),
                "a timeout that is a whole number of milliseconds, INFINITY, Persistent",
            ),
        ],
    )
    def test_so_is_a_result_whose_timeout_is_none(self, peer: Peer, result: Any, expected: str) -> None:
        process.send(peer.pid, lambda state: result(state, timeout=0.5))
        assert is_closed(peer.client)
        text = str(message()[2])
        assert "Messenger.handle_info returned" in text
        assert "timeout=0.5" in text
        assert f"expected {expected}" in text

    def test_only_a_result_of_a_handler_has_a_persistent_timeout(self, peer: Peer) -> None:
        process.send(peer.pid, lambda state: NoReply(state, timeout=Persistent(50)))
        assert is_closed(peer.client)
        assert "Messenger.handle_info returned" in str(message()[2])

    def test_data_callbacks_get_what_actor_callbacks_left(self) -> None:
        class Counting(Handler):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                socket.send(b"%d" % state)
                return Continue(state + 1)

            def handle_cast(self, message: Any, state: Any) -> Any:
                return NoReply((state[0], state[1] + message))

        with serve(Counting, handler_options=1) as server, server.connect() as client:
            assert exchange(client, b"x") == b"1"
            cast(server.only_connection(), 5)
            assert exchange(client, b"x") == b"7"


class Initial(Telling):
    """Its ``init`` returns what ``handler_options[1]`` makes of the options."""

    def init(self, arg: Any) -> Any:
        return arg[1](arg)

    def handle_connection(self, socket: Any, state: Any) -> Any:
        process.send(state[0], ("state", state))
        return Continue(state)

    def handle_continue(self, argument: Any, state: Any) -> Any:
        process.send(state[1][0], (argument, state))
        return NoReply(state)


class TestInit:
    @pytest.mark.parametrize("pair", [True, False])
    def test_it_may_return_the_state_or_the_pair(self, pair: bool) -> None:
        def state(arg: Any) -> Any:
            return Ok((None, arg) if pair else [*arg])

        options = (process.self(), state)
        with serve(Initial, handler_options=options) as server, server.connect():
            name, seen = message()
            assert (name, tuple(seen)) == ("state", options)

    def test_its_continue_runs_before_the_connection_begins(self) -> None:
        options = (process.self(), lambda arg: Ok((None, arg), continue_with="early"))
        with serve(Initial, handler_options=options) as server, server.connect():
            assert message() == ("early", (None, options))
            assert message() == ("state", options)

    @pytest.mark.row("TIA-06")
    @pytest.mark.parametrize("result", [Ignore(), Stop("no"), "wrong"], ids=repr)
    def test_a_connection_whose_init_does_not_succeed_is_closed(self, result: Any) -> None:
        with serve(Initial, handler_options=(process.self(), lambda arg: result)) as server:
            for _ in range(5):  # more than an acceptor may be restarted
                with server.connect() as client:
                    assert is_closed(client)
            assert server.connections() == []


class TestOwner:
    def test_nobody_else_may_use_the_socket(self, peer: Peer) -> None:
        handle = call(peer.pid, lambda state: Reply(state[0], state), DEADLINE)
        assert isinstance(handle, Socket)
        uses = [
            lambda: handle.send(b"x"),
            lambda: handle.recv(1, 0),
            lambda: handle.sendfile(__file__),
            lambda: handle.shutdown("write"),
            handle.close,
            lambda: handle.getopts(["nodelay"]),
            lambda: handle.setopts({"nodelay": True}),
            handle.handshake,
            lambda: handle.upgrade(handle.transport_module, {}),
        ]
        for use in uses:
            with pytest.raises(NotOwner, match="process that owns it"):
                use()
        assert exchange(peer.client, b"untouched") == b"untouched"

    def test_nor_a_task_of_its_handler(self, peer: Peer) -> None:
        def use(handle: Socket, to: Any) -> None:
            try:
                handle.send(b"x")
            except NotOwner as error:
                process.send(to, ("refused", error.reason))

        def delegate(state: Any) -> Any:
            process.spawn(use, *state)
            return NoReply(state)

        process.send(peer.pid, delegate)
        assert message() == ("refused", "not_owner")

    def test_looking_at_it_is_free(self, peer: Peer) -> None:
        handle = call(peer.pid, lambda state: Reply(state[0], state), DEADLINE)
        assert handle.peername() == peer.client.getsockname()
        assert handle.getstat().recv_oct == 0
        assert not handle.secure


class TestReceive:
    def test_a_callback_that_receives_does_not_take_what_tells_of_data(self) -> None:
        class Receiving(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                if data == b"receive":
                    process.send(state, ("receives", None))
                    socket.send(process.receive(timeout=DEADLINE))
                socket.send(data)
                return Continue(state)

        with serve(Receiving, handler_options=process.self()) as server, server.connect() as client:
            client.sendall(b"receive")
            assert message() == ("receives", None)
            pid = server.only_connection()
            client.sendall(b"more")
            until(lambda: pid._process.skipped)  # the word of it has come, and is not what is received
            process.send(pid, b"message")
            assert receive_exactly(client, 18) == b"messagereceivemore"


class TestTerminate:
    def test_it_runs_after_the_callback_that_says_why(self) -> None:
        class Thorough(Telling):
            def handle_data(self, data: bytes, socket: Any, state: Any) -> Any:
                return Close(state)

            def terminate(self, reason: Any, state: Any) -> None:
                process.send(state[1], ("terminate", reason))

        with serve(Thorough, handler_options=process.self()) as server, server.connect() as client:
            client.sendall(b"x")
            assert message() == ("handle_close", True, None)
            assert message() == ("terminate", ("shutdown", "local_closed"))
            assert is_closed(client)


class TestSuspended:
    def test_it_takes_neither_data_nor_the_end_before_it_is_resumed(self) -> None:
        with serve(Messenger, handler_options=process.self()) as server, server.connect() as client:
            pid = message()[1]
            sys.suspend(pid)
            client.sendall(b"data")
            client.shutdown(socket.SHUT_WR)
            until(lambda: pid._process.mailbox)
            assert process.is_alive(pid)
            ref = process.monitor(pid)
            sys.resume(pid)
            assert receive_exactly(client, 4) == b"data"
            assert reason_of(ref) == ("shutdown", "peer_closed")

    def test_nor_does_it_take_data_before_an_order_to_end(self) -> None:
        with serve(Messenger, handler_options=process.self()) as server, server.connect() as client:
            pid = message()[1]
            sys.suspend(pid)
            client.sendall(b"data")
            until(lambda: pid._process.mailbox)
            thousand_island.stop(server.pid)
            assert message() == ("handle_shutdown", True, None)
            assert is_closed(client)
