"""The WSGI server, tried with clients that nobody here wrote, and with the validator of the standard library."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import demo_app
from wsgiref.validate import validator

import pytest

from examples import wsgi as example
from examples.wsgi import WSGI
from supervision import process
from tests.examples.program import program_of
from tests.thousand_island.certificates import make_certificates
from tests.thousand_island.serving import SECONDS, Server, reason_of, serve
from thousand_island.transports import SSL

Application = Callable[[dict[str, Any], Any], Any]


def needs(command: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"there is no {command} command")


@contextlib.contextmanager
def serving(application: Application, **options: Any) -> Iterator[Server]:
    with serve(WSGI, handler_options=application, **options) as server:
        yield server


@contextlib.contextmanager
def client_of(server: Server) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection(*server.address, timeout=SECONDS)
    with contextlib.closing(client):
        yield client


def ask(client: http.client.HTTPConnection, *request: Any, **more: Any) -> tuple[int, bytes]:
    client.request(*request, **more)
    response = client.getresponse()
    return response.status, response.read()


def talk(server: Server, *said: bytes) -> bytes:
    """Say something, and return all that is answered until the connection ends."""
    with server.connect() as client, client.makefile("rb") as answers:
        for words in said:
            client.sendall(words)
        return answers.read()


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode(), b" ", environ["wsgi.input"].read()]


def in_pieces(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield from (b"one", b"", b"two")


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def failing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise ValueError("on purpose")


class TestTheApplication:
    @pytest.mark.parametrize("application", [demo_app, in_pieces])
    def test_gets_and_gives_what_the_standard_wants(self, application: Application) -> None:
        with serving(validator(application)) as server, client_of(server) as client:
            for method in ("GET", "HEAD", "POST"):
                assert ask(client, method, "/a?b=c", b"body" if method == "POST" else None)[0] == 200

    def test_is_told_of_the_request(self) -> None:
        seen: dict[str, Any] = {}

        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            seen.update(environ)
            return hello(environ, start_response)

        headers = {"X-One": "1", "X_Two": "2", "Content-Type": "text/plain"}
        with serving(application) as server, client_of(server) as client:
            ask(client, "POST", "/a%20b%C3%A9?c=%20d", b"body", headers=headers)

        assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/a b\u00c3\u00a9", "c=%20d")
        assert (seen["CONTENT_LENGTH"], seen["CONTENT_TYPE"], seen["HTTP_X_ONE"]) == ("4", "text/plain", "1")
        assert "HTTP_X_TWO" not in seen
        assert (seen["wsgi.url_scheme"], seen["wsgi.multithread"]) == ("http", True)
        assert (seen["SERVER_PROTOCOL"], seen["REMOTE_ADDR"]) == ("HTTP/1.1", "127.0.0.1")

    @pytest.mark.parametrize("target", ["http://localhost/a?b", "//a?b", "http://localhost?b"])
    def test_gets_the_path_of_every_form_of_a_target(self, target: str) -> None:
        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return [environ["PATH_INFO"].encode(), b"?", environ["QUERY_STRING"].encode()]

        with serving(application) as server, client_of(server) as client:
            expected = re.sub(b"^http://localhost", b"", target.encode()).replace(b"?b", b"") or b"/"
            assert ask(client, "GET", target) == (200, expected + b"?b")

    def test_may_write_instead_of_returning(self) -> None:
        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            write = start_response("200 OK", [])
            write(b"one")
            return [b"two"]

        with serving(application) as server, client_of(server) as client:
            assert ask(client, "GET", "/") == (200, b"onetwo")

    def test_may_change_its_mind_before_the_head_is_sent(self) -> None:
        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            try:
                raise ValueError
            except ValueError as error:
                start_response("503 Later", [], (ValueError, error, error.__traceback__))
            return [b"sorry"]

        with serving(application) as server, client_of(server) as client:
            assert ask(client, "GET", "/") == (503, b"sorry")

    def test_is_closed_after_its_answer(self) -> None:
        closed = threading.Event()

        class Body(list[bytes]):
            def close(self) -> None:
                closed.set()

        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            return Body(hello(environ, start_response))

        with serving(application) as server, client_of(server) as client:
            ask(client, "GET", "/")
            assert closed.wait(SECONDS)

    @pytest.mark.parametrize("method", ["read", "readline", "readlines", "__iter__"])
    def test_reads_a_body_by_lines_as_well(self, method: str) -> None:
        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            found = getattr(environ["wsgi.input"], method)()
            return [found] if isinstance(found, bytes) else list(found)

        body = b"one\ntwo\n"
        with serving(application) as server, client_of(server) as client:
            expected = b"one\n" if method == "readline" else body
            assert ask(client, "POST", "/", body) == (200, expected)
            assert ask(client, "POST", "/", body) == (200, expected)

    def test_that_blocks_holds_up_nobody_else(self) -> None:
        both = threading.Barrier(2, timeout=SECONDS)

        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            both.wait()  # ends only if the two requests run at the same time
            return hello(environ, start_response)

        with serving(application) as server, client_of(server) as one, client_of(server) as other:
            for client in (one, other):
                client.request("GET", "/")
            assert [client.getresponse().read() for client in (one, other)] == [b"hello", b"hello"]


class TestErrors:
    def test_of_the_application_are_answered_by_500(self, capfd: pytest.CaptureFixture[str]) -> None:
        with serving(failing) as server, client_of(server) as client:
            assert ask(client, "GET", "/")[0] == 500
            assert ask(client, "GET", "/")[0] == 500

        assert "ValueError: on purpose" in capfd.readouterr().err

    def test_of_an_application_that_never_starts_a_response_too(self, capfd: pytest.CaptureFixture[str]) -> None:
        with serving(lambda environ, start_response: [b"x"]) as server, client_of(server) as client:
            assert ask(client, "GET", "/")[0] == 500

        assert "start_response has not been called" in capfd.readouterr().err

    def test_after_the_head_end_the_connection_so_that_the_client_notices(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"one"
            raise ValueError("on purpose")

        with serving(application) as server, client_of(server) as client, pytest.raises(http.client.IncompleteRead):
            ask(client, "GET", "/")
        assert "on purpose" in caplog.text

    @pytest.mark.parametrize(
        ("wrong", "status"),
        [
            (b"GARBAGE\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000, 431),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        ],
        ids=["garbage", "no host", "large head", "wrong chunk"],
    )
    def test_of_the_client_are_answered_by_what_they_are(self, wrong: bytes, status: int) -> None:
        with serving(echo) as server:
            answer = talk(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", wrong)

        assert [int(code) for code in re.findall(rb"HTTP/1.1 (\d+)", answer)] == [200, status]

    @pytest.mark.parametrize(
        ("said", "status"),
        [
            (b"", None),
            (b"GET / HTT", b"408"),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", b"408"),
        ],
    )
    def test_a_client_that_takes_too_long_is_told(self, said: bytes, status: bytes | None) -> None:
        with serving(echo, read_timeout=50) as server:
            answer = talk(server, said)

        assert answer.split()[1:2] == ([] if status is None else [status])

    def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_crash(self, caplog: pytest.LogCaptureFixture) -> None:
        with serving(echo) as server:
            client = server.connect()
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 100 ")
            ended = process.monitor(server.only_connection())
            client.close()
            reason_of(ended)
        assert caplog.text == ""


class TestConnections:
    def test_are_kept_for_the_next_request(self) -> None:
        with serving(echo) as server, client_of(server) as client:
            assert ask(client, "POST", "/", b"one") == (200, b"POST one")
            local = client.sock.getsockname()
            assert ask(client, "GET", "/") == (200, b"GET ")
            assert client.sock.getsockname() == local

    def test_are_closed_where_the_client_asks_for_it(self) -> None:
        with serving(hello) as server:
            for request in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
                assert talk(server, request).endswith(b"\r\n\r\nhello")

    def test_carry_requests_that_come_at_once_or_byte_by_byte(self) -> None:
        first = b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3;x\r\ntwo\r\n0\r\n\r\n"
        second = b"HEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        with serving(echo) as server:
            at_once = talk(server, first + second + last)
            in_bytes = talk(server, *(bytes([byte]) for byte in first + second + last))

        undated = re.compile(rb"Date: [^\r]*\r\n", re.IGNORECASE)
        assert undated.sub(b"", at_once) == undated.sub(b"", in_bytes)
        assert at_once.count(b"HTTP/1.1 200 OK") == 3
        assert b"onetwo" in at_once

    def test_are_in_order_after_a_body_that_nobody_has_read(self) -> None:
        with serving(hello) as server, client_of(server) as client:
            for size in (10, 60_000):
                assert ask(client, "POST", "/", b"x" * size) == (200, b"hello")
            assert len(server.connections()) == 1

    def test_end_where_the_client_waits_to_send_a_body_that_nobody_wants(self) -> None:
        with serving(hello) as server:
            answer = talk(server, b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"close" in answer

    def test_stream_bodies_larger_than_memory_should_hold(self) -> None:
        def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            while piece := environ["wsgi.input"].read(65_536):
                yield b"%d\n" % len(piece)

        with serving(application) as server, client_of(server) as client:
            body = (b"x" * 65_536 for _ in range(100))
            status, answer = ask(
                client, "POST", "/", body, headers={"Transfer-Encoding": "chunked"}, encode_chunked=True
            )
        assert (status, answer) == (200, b"65536\n" * 100)


class TestOtherClients:
    @needs("curl")
    def test_curl_sends_and_gets_what_is_large(self, tmp_path: Path) -> None:
        (tmp_path / "body").write_bytes(bytes(range(256)) * 20_000)
        with serving(echo) as server:
            url = "http://{}:{}/".format(*server.address)
            # It waits for 100 Continue before it sends so much.
            said = run("curl", "-sSv", "--data-binary", f"@{tmp_path}/body", "-o", f"{tmp_path}/answer", url)
            assert "HTTP/1.1 100" in said
            assert "200 OK" in run("curl", "-sSI", url)
        assert (tmp_path / "answer").read_bytes() == b"POST " + (tmp_path / "body").read_bytes()

    @needs("curl")
    def test_curl_gets_it_over_tls(self, tmp_path: Path) -> None:
        certificates = make_certificates(tmp_path)
        with serving(demo_app, transport_module=SSL, transport_options=certificates.options()) as server:
            url = f"https://127.0.0.1:{server.address[1]}/"
            assert "wsgi.url_scheme = 'https'" in run("curl", "-sS", "--cacert", certificates.authority, url, url)

    @needs("wrk")
    def test_wrk_meets_no_error(self) -> None:
        with serving(hello) as server:
            said = run("wrk", "-t1", "-c10", "-d1s", "http://{}:{}/".format(*server.address))
            server.wait_until_empty()

        assert "Requests/sec" in said
        assert "Non-2xx" not in said
        assert "Socket errors" not in said


def run(*command: str) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3 * SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("arguments", [(), ("wsgiref.simple_server:demo_app", "cert.pem", "key.pem")])
def test_run_as_a_program_it_supervises_a_server(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ((module, options),) = program_of(Path(example.__file__), monkeypatch, *arguments)

    assert module.child_spec(**options).type == "supervisor"
    assert options["handler_options"] is demo_app
