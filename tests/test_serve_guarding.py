"""The door: tokens, other sites, sizes, slow senders, and the headers of every answer; through a real socket."""

import asyncio
import contextlib
import http.client
import logging
import socket
import time
from urllib.parse import urlsplit

import pytest
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from patch_service import PREDICT, b64, client, listening, patch, png, service

from plankton_keras.errors import SettingError
from plankton_keras.serve.guarding import Guard, RequestLimits, check_open, is_loopback

TOKEN = "correct-horse-battery"
# Bytes of an answer that no buffer on the way takes whole.
LONG = 2**25
# Bytes of which the last wait until the system has passed on a lump of those before.
SOME = 6 * 2**20
FILE = {"signature_name": "serving_bytes", "instances": [b64(png(patch()[0]))]}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with listening(service(tmp_path_factory.mktemp("a"), max_request_mb=1, request_seconds=1), seconds=1) as found:
        yield found


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with listening(service(tmp_path_factory.mktemp("b"), token=TOKEN)) as found:
        yield found


def raw(address, *parts, pause=0.0):
    """Sends bytes as they are, and gives what comes back until the connection ends or nothing comes for 5 s."""
    where = urlsplit(address)
    with socket.create_connection((where.hostname, where.port), timeout=5) as connection:
        received = b""
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(pause)
        while data := connection.recv(65536):
            received += data
        return received


@pytest.fixture
def talking(tmp_path):
    """A service with long answers, in many parts and in one, whose readers may be stuck for half a second."""
    router = APIRouter()
    router.add_api_route("/v1/parts", lambda: StreamingResponse(bytes(2**16) for _ in range(LONG // 2**16)))
    router.add_api_route("/v1/whole", lambda: Response(bytes(LONG)))
    router.add_api_route("/v1/some", lambda: StreamingResponse(bytes(2**16) for _ in range(SOME // 2**16)))

    async def rarely():
        for _ in range(2):
            yield b": alive\n\n"
            await asyncio.sleep(0.7)

    router.add_api_route("/v1/rarely", lambda: StreamingResponse(rarely()))
    with listening(service(tmp_path), seconds=0.5, routers=[router]) as found:
        yield found


def test_every_answer_has_its_headers(address):
    with client(address) as http_client:
        for path, status in (
            ("/healthz", 200),
            ("/nothing", 404),
            ("/v1/models/x", 404),
            ("/docs", 200),
            (PREDICT, 404),
        ):
            answer = http_client.get(path)
            assert answer.status_code == status
            assert answer.headers["X-Plankton-Model"] == "plankton"
            assert answer.headers["X-Plankton-Version"] == "1"
            assert answer.headers["X-Plankton-Digest"] == f"{1:064x}"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert not [name for name in answer.headers if name.startswith("access-control") or name == "server"]


class TestToken:
    @pytest.mark.parametrize("path", ["/v1/service", "/metrics", "/docs", "/openapi.json", "/v1/models/plankton"])
    def test_nothing_is_told_without_it(self, locked, path):
        with client(locked) as http_client:
            answer = http_client.get(path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "correct" not in answer.text

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
    def test_whether_it_lives_is_told_and_the_page_can_ask_for_it(self, locked, path):
        with client(locked) as http_client:
            assert http_client.get(path).status_code in (200, 307)

    @pytest.mark.parametrize("token", [TOKEN[:-1], TOKEN + "a", TOKEN.upper(), "x", "\xe9" * 20])
    def test_a_wrong_one_is_refused(self, locked, token):
        with client(locked) as http_client:
            headers = {"Authorization": f"Bearer {token}".encode("latin-1")}
            assert http_client.get("/v1/service", headers=headers).status_code == 401
            assert (
                http_client.get(
                    "/v1/service", headers={"Cookie": f"plankton_token={token}".encode("latin-1")}
                ).status_code
                == 401
            )

    def test_the_right_one_opens(self, locked):
        with client(locked, TOKEN) as http_client:
            assert http_client.get("/v1/service").json()["name"] == "plankton"
            assert http_client.post(PREDICT, json=FILE).status_code == 200
            # Its Host may be any name that leads here.
            assert http_client.get("/v1/service", headers={"Host": "plankton.example.org"}).status_code == 200

    def test_a_page_gets_a_cookie_that_no_script_reads_and_no_other_site_sends(self, locked):
        with client(locked) as http_client:
            for wrong in ({"token": "wrong"}, {"token": 3}, {}, [], "x", None):
                answer = http_client.post("/session", json=wrong)
                assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
            answer = http_client.post("/session", json={"token": TOKEN})
            assert answer.status_code == 200
            words = {word.strip().lower() for word in answer.headers["Set-Cookie"].split(";")[1:]}
            assert {"httponly", "samesite=strict", "path=/"} <= words
            assert http_client.get("/v1/service").status_code == 200
        with client(locked) as http_client:
            assert http_client.get("/v1/service").status_code == 401

    def test_cookies_of_other_services_under_this_name_do_no_harm(self, locked):
        with client(locked) as http_client:
            cookies = f'theme={{"dark": true}}; plankton_token={TOKEN}; a b'
            assert http_client.get("/v1/service", headers={"Cookie": cookies}).status_code == 200

    def test_it_stands_in_no_log(self, locked, caplog):
        with caplog.at_level(logging.DEBUG), client(locked, TOKEN) as http_client:
            http_client.post("/session", json={"token": TOKEN})
            http_client.get(f"/v1/service?token={TOKEN}")
            http_client.get("/v1/service")
            metrics = http_client.get("/metrics").text
        ours = "".join(
            record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))
        )
        assert "GET /v1/service 200" in ours
        assert TOKEN not in ours
        assert TOKEN not in metrics


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_needs_no_token(host):
    assert check_open(host, None) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "plankton.example.org", ""])
def test_another_host_needs_one(host):
    check_open(host, TOKEN)
    assert not is_loopback(host)
    with pytest.raises(SettingError, match=f"--host {host} is open to other machines, and there is no --token"):
        check_open(host, None)


@pytest.mark.parametrize("token", ["short", "with a space in it", "\xe9" * 16, "line\nbreak-0123456789"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token):
    with pytest.raises(SettingError, match="--token is too short, or no plain text"):
        check_open("127.0.0.1", token)


class TestOtherSites:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "evil.example"},
            {"Host": "127.0.0.1.evil.example"},
            {"Host": "localhost@evil.example"},
            {"Host": "[::1"},
            {"Host": ""},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_they_are_not_answered(self, address, headers):
        with client(address) as http_client:
            answer = http_client.post(PREDICT, json=FILE, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["error"].startswith("The request comes from another site.")

    def test_the_own_page_is(self, address):
        with client(address) as http_client:
            port = urlsplit(address).port
            for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
                headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
                assert http_client.post(PREDICT, json=FILE, headers=headers).status_code == 200

    def test_no_other_site_is_allowed_by_cors(self, address):
        with client(address) as http_client:
            headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
            assert http_client.options(PREDICT, headers=headers).status_code == 403


class TestSizes:
    def test_a_body_that_says_it_is_too_large_is_not_read(self, address):
        with client(address) as http_client:
            answer = http_client.post(PREDICT, content=b" " * (2**20 + 1))
            assert answer.status_code == 413
            assert answer.json() == {"error": "The request is too large. Expected: at most 1048576 bytes."}
            # The connection goes on.
            assert http_client.post(PREDICT, json=FILE).status_code == 200

    def test_nor_one_that_does_not_say_so(self, address):
        with client(address) as http_client:
            answer = http_client.post(PREDICT, content=(b" " * 2**16 for _ in range(40)))
            assert answer.status_code == 413

    def test_a_body_of_the_largest_size_is_read(self, address):
        with client(address) as http_client:
            assert http_client.post(PREDICT, content=b" " * 2**20).status_code == 400

    def test_other_bodies_are_small(self, address):
        with client(address) as http_client:
            answer = http_client.post("/v1/jobs/1/corrections", content=b" " * (2**20 + 1))
        assert answer.status_code == 413
        assert answer.json()["expected"] == "at most 1048576 bytes."

    @pytest.mark.parametrize("length", ["-1", "1e3", "9" * 30, "\xb2"])
    def test_a_length_that_is_none_is_refused(self, address, length):
        where = urlsplit(address)
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=5)
        connection.putrequest("POST", PREDICT)
        connection.putheader("Content-Length", length)
        connection.endheaders()
        assert connection.getresponse().status == 400
        connection.close()


class TestSlowSenders:
    def test_a_head_that_does_not_end(self, address):
        started = time.monotonic()
        answer = raw(address, b"POST ", b"/v1", b"/mod", b"els", pause=0.5)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started < 4

    def test_nothing_at_all(self, address):
        assert raw(address).startswith(b"HTTP/1.1 408 ")

    def test_a_body_that_stops(self, address):
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode()
        answer = raw(address, head, b'{"instances"')
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"error":"The request came too slowly. Expected: all of it in 1 s."}' in answer
        assert b"connection: close" in answer.lower()

    def test_a_body_that_trickles(self, address):
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode()
        started = time.monotonic()
        assert raw(address, head, *[b" "] * 20, pause=0.2).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started < 6

    def test_the_rest_of_a_refused_body_is_not_waited_for(self, address):
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n".encode()
        started = time.monotonic()
        try:
            answer = raw(address, head)
        except ConnectionResetError:
            pytest.fail("the answer is lost")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - started < 4

    def test_an_upload_that_falls_silent_however_much_of_it_came(self):
        came, statuses = [{"type": "http.request", "body": bytes(2**20), "more_body": True}], []

        async def reading(_, receive, __):
            while (await receive())["type"] != "http.disconnect":
                pass

        async def receive():
            return came.pop() if came else await asyncio.sleep(60)

        async def send(message):
            statuses.append(message.get("status"))

        head = {"type": "http", "method": "PATCH", "path": "/v1/uploads/a", "headers": [(b"host", b"localhost")]}
        guard = Guard(reading, RequestLimits(10, 2**30, seconds=0.05))
        asyncio.run(asyncio.wait_for(guard(head, receive, send), 5))
        assert statuses == [408, None]

    def test_others_are_answered_meanwhile(self, address):
        where = urlsplit(address)
        waiting = [socket.create_connection((where.hostname, where.port)) for _ in range(50)]
        try:
            for each in waiting:
                each.sendall(b"POST / HTTP/1.1\r\n")
            with client(address) as http_client:
                assert http_client.post(PREDICT, json=FILE).status_code == 200
        finally:
            for each in waiting:
                each.close()


class TestSlowReaders:
    def asked(self, address, path, size=4096):
        """Gives a connection that has asked for an answer and read none of it."""
        where = urlsplit(address)
        connection = socket.socket()
        if size:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        connection.settimeout(5)
        connection.connect((where.hostname, where.port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode())
        return connection

    def read(self, connection, pause=0.0):
        """Counts the bytes until the connection ends."""
        count = 0
        with connection, contextlib.suppress(ConnectionResetError):
            while data := connection.recv(2**18):
                count += len(data)
                time.sleep(pause)
        return count

    @pytest.mark.parametrize("path", ["/v1/parts", "/v1/whole"])
    def test_who_reads_nothing_is_cut_off(self, talking, path):
        connection = self.asked(talking, path)
        time.sleep(1.5)
        assert self.read(connection) < LONG

    @pytest.mark.parametrize("path", ["/v1/parts", "/v1/whole"])
    def test_who_goes_on_reading_gets_all_of_it_however_long_it_takes(self, talking, path):
        started = time.monotonic()
        assert self.read(self.asked(talking, path, 2**18), pause=0.02) > LONG
        assert time.monotonic() - started > 1

    def test_the_system_asks_for_the_rest_in_lumps_and_nobody_is_cut_off_meanwhile(self, talking):
        connection, count = self.asked(talking, "/v1/some", size=None), 0
        with connection:
            while data := connection.recv(100_000):
                count += len(data)
                time.sleep(0.1)
        assert count > SOME

    def test_an_answer_may_be_silent(self, talking):
        assert b": alive\n\n" in raw(
            talking, b"GET /v1/rarely HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
