"""Which calls on the socket each step of an encrypted connection makes, and that the spared ones lose nothing."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from supervision.foreign import this_process
from tests.thousand_island.certificates import Certificates
from tests.thousand_island.serving import DEADLINE
from tests.thousand_island.tls import ManualClient
from thousand_island import SocketClosed, SocketTimeout
from thousand_island.transports import SSL
from thousand_island.transports.listen_options import ListenOptions
from thousand_island.transports.stream import READ_SIZE
from thousand_island.transports.tls_context import new_context
from thousand_island.transports.tls_handshake import FILL_SIZE, RECORD_SIZE
from thousand_island.transports.tls_options import TLSOptions
from thousand_island.transports.tls_stream import TLSStream


class Wire:
    """Stands for the server's socket: what arrives is what the test says, and what is called is counted.

    Attributes:
        arrived: what one ``recv`` gives after the other; nothing left: it would have to wait.
        sent: what each ``send`` took.
        room: how many bytes are taken.
        receives: how often ``recv`` was called.
    """

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.arrived: list[bytes] = []
        self.sent: list[bytes] = []
        self.room = 1 << 30
        self.receives = 0

    def fileno(self) -> int:
        return self.real.fileno()

    def close(self) -> None:
        self.real.close()

    def recv(self, size: int) -> bytes:
        self.receives += 1
        if not self.arrived:
            raise BlockingIOError
        data = self.arrived.pop(0)
        if len(data) > size:
            self.arrived.insert(0, data[size:])
        return data[:size]

    def send(self, data: Any) -> int:
        if not self.room:
            raise BlockingIOError
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.sent.append(taken)
        return len(taken)

    def took(self) -> bytes:
        """Give what was sent since it was asked last."""
        sent = b"".join(self.sent)
        self.sent.clear()
        return sent


class Pair:
    """A server's stream over a Wire and the client at its other end, which goes step by step."""

    def __init__(
        self,
        wire: Wire,
        certificates: Certificates,
        context: ssl.SSLContext,
        options: dict[str, Any],
        **tls: Any,
    ) -> None:
        self.wire = wire
        identity = {"certfile": certificates.server.certfile, "keyfile": certificates.server.keyfile}
        listen_options = ListenOptions.new(0, {"ip": "loopback"} | options)
        server_context = new_context(TLSOptions.new(identity | tls))
        self.stream = TLSStream(wire, listen_options, this_process(), server_context)
        self.stream.source.watched = True  # the wire is not the kernel's: nothing is ever told of
        self.client = ManualClient(wire.real, context)

    def hello(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.tls.do_handshake()
        return self.client.outgoing.read()

    def arrives(self, *data: bytes) -> None:
        self.wire.arrived.extend(data)
        self.wire.receives = 0

    def last_words(self) -> bytes:
        """Go through the handshake up to the client's last words, which have not arrived yet."""
        self.arrives(self.hello())
        assert not self.stream.try_handshake()
        self.client.incoming.write(self.wire.took())
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.tls.do_handshake()
        return self.client.outgoing.read()

    def shake_hands(self) -> None:
        self.arrives(self.last_words())
        assert self.stream.try_handshake()
        self.client.incoming.write(self.wire.took())

    def received(self) -> bytes:
        """What the client finds in what was sent."""
        self.client.incoming.write(self.wire.took())
        return self.client.tls.read(1 << 20)

    def waits(self) -> bool:
        """Whether the stream waits for the next event, rather than looking again by itself."""
        source = self.stream.source
        owner, source.process = source.process, _Dead()  # type: ignore[assignment]
        source.armed = True
        self.stream.await_data()
        source.process = owner
        if not source.posted.locked():
            return True
        source.posted.release()
        return False


class _Dead:
    """An owner to whom nothing is delivered."""

    dead = True


@pytest.fixture
def wire() -> Iterator[Wire]:
    here, there = socket.socketpair()
    with here, there:
        yield Wire(here)


@pytest.fixture
def pair(wire: Wire, certificates: Certificates) -> Pair:
    return Pair(wire, certificates, certificates.trusting(), {})


@pytest.fixture
def old_pair(wire: Wire, certificates: Certificates) -> Pair:
    """One that agrees on TLS 1.2."""
    context = certificates.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return Pair(wire, certificates, context, {})


class TestHandshake:
    def test_hello_that_has_come_is_read_and_answered_by_one_call_each(self, pair: Pair) -> None:
        pair.arrives(pair.hello())
        assert not pair.stream.try_handshake()
        assert (pair.wire.receives, len(pair.wire.sent)) == (1, 1)

    def test_last_words_are_read_by_one_call_and_leave_nothing_to_say(self, pair: Pair) -> None:
        pair.arrives(pair.last_words())
        assert pair.stream.try_handshake()
        assert (pair.wire.receives, pair.wire.sent, pair.stream.outgoing.pending) == (1, [], 0)
        assert pair.waits()

    def test_hello_that_has_not_come_is_waited_for(self, pair: Pair) -> None:
        assert not pair.stream.try_handshake()
        assert pair.wire.receives == 1
        assert not pair.wire.sent

    def test_hello_in_two_parts_is_read_by_two_calls(self, pair: Pair) -> None:
        hello = pair.hello()
        pair.arrives(hello[:9])
        assert not pair.stream.try_handshake()
        assert not pair.wire.sent
        pair.wire.arrived.append(hello[9:])
        assert not pair.stream.try_handshake()
        assert (pair.wire.receives, len(pair.wire.sent)) == (2, 1)

    def test_after_a_full_read_the_socket_is_looked_at_again(self, pair: Pair) -> None:
        pair.arrives(pair.last_words() + pair.client.encrypted(bytes(FILL_SIZE - 1_000)) + pair.client.encrypted(b"!"))
        assert pair.stream.try_handshake()
        assert len(pair.stream.read()) == FILL_SIZE - 1_000 + 1

    def test_after_the_end_was_told_the_socket_is_looked_at_again(self, pair: Pair) -> None:
        hello = pair.hello()
        pair.arrives(hello[:9], b"")
        pair.stream.source.ended = True
        with pytest.raises(SocketClosed):
            pair.stream.try_handshake()

    @pytest.mark.parametrize("sent_meanwhile", [True, False])
    def test_last_words_without_room_go_out_before_it_is_done_and_nothing_more_is_read(
        self, old_pair: Pair, sent_meanwhile: bool
    ) -> None:
        words = old_pair.last_words()
        old_pair.wire.room = 0
        old_pair.stream.source.watches_writing = True
        old_pair.arrives(words)
        assert not old_pair.stream.try_handshake()
        old_pair.wire.room = 1 << 30
        if sent_meanwhile:
            old_pair.stream._flush()  # as whoever waits for room does
        assert old_pair.stream.try_handshake()
        assert old_pair.wire.receives == 1
        old_pair.client.incoming.write(old_pair.wire.took())
        old_pair.client.tls.do_handshake()

    def test_after_one_that_has_waited_the_socket_is_looked_at_again(self, pair: Pair) -> None:
        pair.arrives(pair.last_words())
        pair.stream.handshake(DEADLINE)
        assert not pair.waits()
        with pytest.raises(SocketTimeout):
            pair.stream.read()
        assert pair.waits()

    def test_last_words_that_the_client_waits_for_go_out_whatever_has_come_with_its_own(self, old_pair: Pair) -> None:
        old_pair.arrives(old_pair.last_words() + b"\x17")
        assert old_pair.stream.try_handshake()
        old_pair.client.incoming.write(old_pair.wire.took())
        old_pair.client.tls.do_handshake()


class TestTickets:
    """What a client needs to resume its session later."""

    @pytest.fixture
    def pair(self, wire: Wire, certificates: Certificates) -> Pair:
        return Pair(wire, certificates, certificates.trusting(), {}, session_tickets="stateless")

    def test_they_go_at_once_after_last_words_without_data(self, pair: Pair) -> None:
        pair.arrives(pair.last_words())
        assert pair.stream.try_handshake()
        assert (pair.wire.receives, len(pair.wire.sent)) == (1, 1)
        assert pair.waits()

    def came_with_request(self, pair: Pair) -> None:
        pair.arrives(pair.last_words() + pair.client.encrypted(b"request"))
        assert pair.stream.try_handshake()
        assert not pair.waits()
        assert not pair.wire.sent
        assert pair.stream.read() == b"request"
        assert pair.wire.receives == 1

    def test_they_go_with_the_answer_to_data_that_came_with_the_last_words(self, pair: Pair) -> None:
        self.came_with_request(pair)
        pair.stream.send(b"answer")
        assert len(pair.wire.sent) == 1
        assert pair.received() == b"answer"
        assert pair.client.tls.session.has_ticket

    def test_they_go_before_more_is_waited_for_where_there_is_no_answer(self, pair: Pair) -> None:
        self.came_with_request(pair)
        with pytest.raises(SocketTimeout):
            pair.stream.read()
        assert pair.waits()
        with pytest.raises(ssl.SSLWantReadError):
            pair.received()
        assert pair.client.tls.session.has_ticket

    @pytest.mark.parametrize("length", [0, 10])
    def test_they_go_before_a_callback_waits_for_more(self, pair: Pair, length: int) -> None:
        self.came_with_request(pair)
        with pytest.raises(SocketTimeout):
            pair.stream.recv(length, 0)
        assert pair.wire.sent

    def test_they_go_before_the_goodbye(self, pair: Pair) -> None:
        self.came_with_request(pair)
        pair.stream.close()
        with contextlib.suppress(ssl.SSLZeroReturnError):
            pair.received()
        assert pair.client.tls.session.has_ticket


class TestRead:
    def test_record_is_read_by_one_call_and_no_other_look(self, pair: Pair) -> None:
        pair.shake_hands()
        pair.arrives(pair.client.encrypted(b"request"))
        assert pair.stream.read() == b"request"
        assert pair.waits()
        assert pair.wire.receives == 1

    def test_data_that_came_with_the_last_words_is_looked_at_without_an_event(self, pair: Pair) -> None:
        pair.arrives(pair.last_words() + pair.client.encrypted(b"request"))
        assert pair.stream.try_handshake()
        assert not pair.waits()
        assert pair.stream.read() == b"request"
        with pytest.raises(SocketTimeout):
            pair.stream.read()
        assert pair.waits()

    def test_what_was_told_of_while_the_tls_layer_held_data_is_looked_for(self, pair: Pair) -> None:
        pair.arrives(pair.last_words() + pair.client.encrypted(b"request"))
        assert pair.stream.try_handshake()
        assert pair.stream.read() == b"request"  # led to, perhaps, by an event of what the socket has got since
        assert not pair.waits()

    def test_what_was_told_of_while_the_tls_layer_seemed_to_hold_data_is_looked_for(self, pair: Pair) -> None:
        pair.shake_hands()
        records = [pair.client.encrypted(bytes(RECORD_SIZE)) for _ in range(READ_SIZE // RECORD_SIZE)]
        pair.arrives(b"".join(records))
        assert len(pair.stream.read()) == READ_SIZE  # as much as was asked for, so that there may be more
        assert not pair.waits()
        pair.arrives(pair.client.encrypted(b"more"))
        assert pair.stream.read() == b"more"
        assert pair.waits()

    @pytest.mark.parametrize("cut", [1, 4, 5, 20, -1])
    def test_record_in_two_parts_takes_two_calls(self, pair: Pair, cut: int) -> None:
        pair.shake_hands()
        record = pair.client.encrypted(b"request")
        pair.arrives(record[:cut])
        with pytest.raises(SocketTimeout):
            pair.stream.read()
        assert pair.waits()
        pair.wire.arrived.append(record[cut:])
        assert pair.stream.read() == b"request"
        assert pair.waits()
        assert pair.wire.receives == 2

    def test_rest_of_a_long_record_is_given_out_whole(self, pair: Pair) -> None:
        pair.shake_hands()
        data = bytes(range(256)) * (RECORD_SIZE // 256)
        record = pair.client.encrypted(data)
        pair.arrives(record[:-30])
        with pytest.raises(SocketTimeout):
            pair.stream.read()
        pair.wire.arrived.append(record[-30:])
        assert pair.stream.read() == data
        assert pair.waits()

    def test_whole_records_and_the_beginning_of_one_come_together(self, pair: Pair) -> None:
        pair.shake_hands()
        records = [pair.client.encrypted(word) for word in (b"one", b"two", b"three")]
        pair.arrives(b"".join(records)[:-1])
        assert pair.stream.read() == b"onetwo"
        assert pair.waits()
        pair.wire.arrived.append(records[-1][-1:])
        assert pair.stream.read() == b"three"

    def test_read_that_was_full_is_followed_by_another(self, pair: Pair) -> None:
        pair.shake_hands()
        data = bytes(3 * RECORD_SIZE)
        pair.arrives(b"".join(pair.client.encrypted(data[:RECORD_SIZE]) for _ in range(3)))
        assert pair.stream.read() == data
        assert pair.waits()

    def test_what_exceeds_the_most_of_one_read_is_not_waited_for(self, wire: Wire, certificates: Certificates) -> None:
        pair = Pair(wire, certificates, certificates.trusting(), {"buffer": 4})
        pair.shake_hands()
        pair.arrives(pair.client.encrypted(b"abcdefgh") + pair.client.encrypted(b"ij"))
        for expected in [b"abcd", b"efgh", b"ij"]:
            assert pair.stream.read() == expected
            assert pair.wire.receives == 1
        assert pair.stream.recv_cnt == 3
        assert pair.stream.recv_oct == 10

    @pytest.mark.parametrize("ended", [True, False])
    def test_goodbye_after_data_is_kept_until_the_data_is_delivered(self, pair: Pair, ended: bool) -> None:
        pair.shake_hands()
        pair.arrives(pair.client.encrypted(b"request") + pair.client.goodbye(), b"")
        pair.stream.source.ended = ended
        assert pair.stream.read() == b"request"
        assert not pair.waits()
        with pytest.raises(SocketClosed):
            pair.stream.read()

    def test_goodbye_alone_is_the_end(self, pair: Pair) -> None:
        pair.shake_hands()
        pair.arrives(pair.client.goodbye())
        with pytest.raises(SocketClosed):
            pair.stream.read()

    def test_forged_record_is_an_error_that_the_client_is_told_of(self, pair: Pair) -> None:
        pair.shake_hands()
        forged = bytearray(pair.client.encrypted(b"forged"))
        forged[-1] ^= 1
        pair.arrives(bytes(forged))
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            pair.stream.read()
        with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
            pair.received()

    def test_forged_record_after_data_is_kept_until_the_data_is_delivered(self, pair: Pair) -> None:
        pair.shake_hands()
        record = pair.client.encrypted(b"genuine")
        forged = bytearray(pair.client.encrypted(b"forged"))
        forged[-1] ^= 1
        pair.arrives(record + forged)
        assert pair.stream.read() == b"genuine"
        assert not pair.waits()
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            pair.stream.read()

    def test_what_the_tls_layer_says_itself_goes_out_before_anybody_waits(self, pair: Pair) -> None:
        pair.shake_hands()
        pair.arrives(pair.client.encrypted(b"request"))
        assert pair.stream.read() == b"request"
        pair.stream.outgoing.write(b"such as new keys")
        assert pair.waits()
        assert pair.wire.took() == b"such as new keys"

    @pytest.mark.parametrize(
        "use",
        [
            lambda stream: stream.read(),
            lambda stream: stream.recv(0, DEADLINE),
            lambda stream: stream.send(b"late"),
            lambda stream: stream.shutdown("write"),
            lambda stream: stream.handshake(DEADLINE),
            lambda stream: stream.try_handshake(),
            SSL.connection_information,
        ],
    )
    @pytest.mark.parametrize("established", [True, False])
    def test_closed_connection_is_refused_as_closed(self, pair: Pair, use: Any, established: bool) -> None:
        if established:
            pair.shake_hands()
        pair.stream.close()
        with pytest.raises(SocketClosed, match=r"^the connection is closed$"):
            use(pair.stream)

    @pytest.mark.parametrize("use", [lambda stream: stream.recv(0, DEADLINE), lambda stream: stream.send(b"early")])
    def test_connection_without_a_handshake_is_refused(self, pair: Pair, use: Any) -> None:
        with pytest.raises(SocketClosed, match=r"^the handshake is not done$"):
            use(pair.stream)


class TestSend:
    def test_record_is_sent_by_one_call(self, pair: Pair) -> None:
        pair.shake_hands()
        pair.stream.send(b"answer")
        assert len(pair.wire.sent) == 1
        assert pair.received() == b"answer"
        assert (pair.stream.send_oct, pair.stream.send_cnt) == (6, 1)

    def test_it_goes_after_what_was_left_before(self, pair: Pair) -> None:
        pair.shake_hands()
        pair.stream.raw.write(b"left ")
        pair.stream.unsent = pair.stream.outgoing.read()
        pair.stream.send(b"and new")
        assert pair.received() == b"left "
        assert pair.client.tls.read(100) == b"and new"
