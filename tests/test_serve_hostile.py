"""Two hundred requests that mean harm: each gets a clear 4xx, the service lives, and nothing outside is touched."""

import base64
import contextlib
import gzip
import json
import random
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
from patch_service import PREDICT, b64, by_gray, client, listening, patch, png, predictions, service

TOKEN = "correct-horse-battery"
# Good requests of which three bytes are wrong.
DAMAGED = 60
IMAGE = patch()
FILE = png(IMAGE[0])


def chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def claiming(width, height, pixels=b"", *more):
    """A PNG that says of itself what it wants."""
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(width, height):
    """The head of a JPEG of that size."""
    frame = b"\xff\xc0\0\x0b\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x01\x01\x11\0"
    return b"\xff\xd8" + frame + b"\xff\xd9"


def bmp(width, height):
    head = (40).to_bytes(4, "little") + width.to_bytes(4, "little", signed=True)
    head += height.to_bytes(4, "little", signed=True) + b"\x01\0\x08\0" + bytes(24)
    return b"BM" + (54 + 1024).to_bytes(4, "little") + bytes(4) + (54 + 1024).to_bytes(4, "little") + head + bytes(1024)


def of_file(data):
    return json.dumps({"signature_name": "serving_bytes", "instances": [b64(data)]}).encode()


def of_array(array):
    return json.dumps({"instances": array}).encode()


def of_tensor(**fields):
    dims = [{"size": str(side)} for side in IMAGE.shape]
    return json.dumps({"inputs": {"image": {"dtype": "DT_UINT8", "tensorShape": {"dim": dims}, **fields}}}).encode()


BOMB = claiming(60_000, 60_000, bytes(5_000_000))
FILES = [
    BOMB,
    claiming(2**31 - 1, 2**31 - 1),
    claiming(0, 0),
    claiming(64, 0),
    claiming(2**20, 64),
    claiming(64, 64, b"", chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
    claiming(64, 64, b"", chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
    claiming(64, 64),
    claiming(63, 64, bytes(64 * 64)),
    FILE[:30],
    FILE[:-30],
    FILE[:8],
    FILE.replace(b"IDAT", b"IDOT"),
    jpeg(65_500, 65_500),
    jpeg(64, 64),
    jpeg(0, 64),
    bmp(2**30, 2**30),
    bmp(64, -(2**31)),
    bmp(-1, -1),
    b"GIF89a" + (65_535).to_bytes(2, "little") * 2 + bytes(3),
    b"GIF89a" + bytes(7),
    b"PK\x03\x04" + bytes(100),
    gzip.compress(bytes(1_000_000)),
    b"",
    b"\0",
    b"BM",
    b"P5 64 64 255\n" + bytes(4096),
    b"II*\0" + bytes(100),
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"\0\0\0\x0cJXL \r\n\x87\n",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"/etc/passwd",
]
BODIES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"[" * 200_000,
    b'{"instances":' * 50_000,
    b'{"instances": [NaN]}',
    b'{"instances": [[[[Infinity]]]]}',
    b'{"instances": [[[[-Infinity]]]]}',
    b'{"instances": [[[[1e400]]]]}',
    b'{"instances": [' + b"9" * 100_000 + b"]}",
    b'{"instances": "' + b"a" * 500_000 + b'"}',
    b'{"instances": [[1], [1, 2]]}',
    b'{"instances": [1], "instances": 3}',
    b'{"instances": [[[[1]]]], "signature_name": "../../etc/passwd"}',
    b'{"instances": [[[[1]]]], "signature_name": null, "inputs": 1}',
    b'{"instances": [[[[1]]]], "signature_name": {"a": 1}}',
    b'{"instances": [{"__class__": "os.system"}]}',
    b'{"inputs": {"image": {"b64": 3}}}',
    b"\xff\xfe{\0}\0",
    b"\x80\x81",
    b'{"instances": "\xed\xa0\x80"}',
    b'{"instances": [' + b"[" * 50 + b"1" + b"]" * 50 + b"]}",
    gzip.compress(of_array(IMAGE.tolist())),
    of_array([[[[256]] * 64] * 64]),
    of_array([[[[-1]] * 64] * 64]),
    of_array([[[[0.5]] * 64] * 64]),
    of_array([[[[None]] * 64] * 64]),
    of_array([[[["1"]] * 64] * 64]),
    of_array([[[[True]] * 64] * 64]),
    of_array([[[[1, 2]] * 64] * 64]),
    of_array([[[1] * 64] * 64]),
    of_array([[[[1]] * 63] * 64]),
    of_array([[[[1]] * 100] * 100]),
    of_array([]),
    of_array([[]]),
    of_array([[[[]]]]),
    of_array({}),
    of_array(1),
    of_tensor(intVal=[256]),
    of_tensor(intVal=[1.5]),
    of_tensor(intVal="abc"),
    of_tensor(tensorContent="AAAA"),
    of_tensor(tensorContent="not base64"),
    of_tensor(dtype="DT_STRING"),
    of_tensor(dtype=["DT_UINT8"]),
    of_tensor(intVal=[1], tensorShape={"dim": [{"size": 2**62}] * 4}),
    of_tensor(intVal=[1], tensorShape={"dim": [{"size": side} for side in (1, 2**18, 2**18, 1)]}),
    of_tensor(intVal=[1], tensorShape={"dim": [{"size": "9" * 5000}] * 4}),
    of_tensor(intVal=[1], tensorShape={"dim": [{"size": 1}] * 1000}),
    of_tensor(intVal=[1], tensorShape={"unknownRank": True}),
    json.dumps({"signature_name": "serving_bytes", "instances": ["/etc/passwd"]}).encode(),
    json.dumps({"signature_name": "serving_bytes", "instances": [{"b64": "====", "path": "/etc/passwd"}]}).encode(),
    json.dumps({"signature_name": "serving_bytes", "instances": [{"b64": "A" * 100_001}]}).encode(),
    json.dumps(
        {"signature_name": "serving_bytes", "instances": [b64(FILE), b64(png(np.zeros((128, 64), np.uint8)))]}
    ).encode(),
    json.dumps({"signature_name": "serving_bytes", "instances": [b64(FILE)] * 500}).encode(),
    json.dumps({"signature_name": "serving_vignettes", "inputs": {"image": IMAGE.tolist(), "side": []}}).encode(),
    json.dumps({"signature_name": "serving_vignettes", "inputs": {"image": IMAGE.tolist(), "side": [["a"]]}}).encode(),
]
PATHS = [
    "/v1/models/../../etc/passwd",
    "/v1/models/%2e%2e/%2e%2e/etc/passwd",
    "/v1/models/plankton/versions/..%2f..%2fetc",
    "/v1/models/plankton/versions/-1",
    "/v1/models/plankton/versions/99999999999999999999999",
    "/v1/models/plankton/versions/1/../../../etc/passwd",
    "/v1/models/plankton%00",
    "/v1/models/" + "a" * 5000,
    "/v1/models/plankton/metadata/../../../..",
    "/page/../../../etc/passwd",
    "/page/%2e%2e%2f%2e%2e%2fetc/passwd",
    "/page/..\\..\\windows",
    "//etc/passwd",
    "/etc/passwd",
    "/.git/config",
    "/%00",
    "/%ff%fe",
    "/v1/service/../../x",
    "/v1/service/" + "a" * 5000 + "/../x",
    "/static/x",
]
HEADERS = [
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Basic {base64.b64encode(TOKEN.encode()).decode()}"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": TOKEN},
    {"Authorization": "Bearer " + "a" * 8000},
    {"Cookie": "plankton_token=wrong"},
    {"Cookie": f"token={TOKEN}"},
    {"Cookie": f"plankton_token={TOKEN}x"},
    {"Cookie": "plankton_token=" + ";=" * 500},
    {"Cookie": "\x7f\x01"},
    {"X-Token": TOKEN},
]


def raw_heads(address):
    where = urlsplit(address)
    post = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    # As they are: a client would clean them.
    get = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    paths = [f"{method} {path}{get}" for path in PATHS for method in ("GET", "POST")]
    return where, [
        *paths,
        "GET /\r\n\r\n",
        "NONSENSE\r\n\r\n",
        "GET /v1/service HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
        "GET /v1/service HTTP/1.1\r\nHost: a\r\nX: " + "a" * 100_000 + "\r\n\r\n",
        post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        post + "Content-Length: 99999999999\r\n\r\n",
        post + "Content-Length: 99999999999999999999999999\r\n\r\n",
        post + "Content-Length: -5\r\n\r\n",
        post + "Transfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        # Slow: the head, or the body, does not come to its end.
        "GET / HTTP/1.1\r\nHost: loc",
        post,
        post + "Content-Length: 100\r\n\r\n{",
        post + "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        "",
    ]


def status_of_raw(where, text):
    """The status that bytes are answered with."""
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(text.encode())
        return int(connection.recv(65536).split(b" ", 2)[1])


@pytest.mark.slow
def test_two_hundred_hostile_requests(tmp_path):
    (tmp_path / "outside").write_text("untouched")
    export = tmp_path / "inside" / "export"
    made = service(export, TOKEN, max_request_mb=4, max_request_megapixels=1, request_seconds=2)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    asked = []
    with listening(made, seconds=2) as address, client(address, TOKEN) as known, client(address) as stranger:
        rest = [("POST", PREDICT, {"content": of_file(data)}) for data in FILES]
        rest += [("POST", PREDICT, {"content": body}) for body in BODIES]
        rest += [(method, PREDICT, {}) for method in ("PUT", "DELETE", "PATCH", "TRACE", "CONNECTION", "HEAD", "GET")]
        rest += [
            ("POST", PREDICT, {"content": b" " * (4 * 2**20 + 1)}),
            ("POST", "/v1/nothing", {"content": b"a" * 2**21}),
        ]
        generator = random.Random(0)
        for _ in range(DAMAGED):
            damaged = bytearray(of_array(IMAGE.tolist()) if generator.random() < 0.5 else of_file(FILE))
            for _ in range(3):
                damaged[generator.randrange(len(damaged))] = generator.choice(b'{}[]",:\\\0\xff')
            rest.append(("POST", PREDICT, {"content": bytes(damaged)}))
        asked += [(what, known) for what in rest]
        asked += [(("POST", PREDICT, {"content": of_file(FILE), "headers": headers}), stranger) for headers in HEADERS]

        def send(item):
            (method, path, content), by = item
            return by.request(method, path, **content)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, asked))
            where, heads = raw_heads(address)
            raw = list(pool.map(lambda text: status_of_raw(where, text), heads))
        assert len(answers) + len(raw) >= 200
        wrong = [
            (item[0][:2], str(item[0][2])[:80], answer.status_code)
            for item, answer in zip(asked, answers, strict=True)
            if not 400 <= answer.status_code < 500
        ]
        # Where damage hit only a number or a byte that decoders pass over, the request is a good one.
        damaged = slice(len(rest) - DAMAGED, len(rest))
        assert [each for each in wrong if each[2] != 200] == []
        assert len(wrong) <= sum(answer.status_code == 200 for answer in answers[damaged])
        for answer in answers:
            if answer.status_code >= 400 and answer.request.method != "HEAD":
                assert answer.json()["error"]
                assert str(tmp_path) not in answer.text
                assert TOKEN not in answer.text
        assert [(head[:90], status) for head, status in zip(heads, raw, strict=True) if not 400 <= status < 500] == []
        # It lives, holds nothing back, and answers as before.
        started = time.monotonic()
        found = predictions(known.post(PREDICT, json={"instances": IMAGE.tolist()}))
        assert np.abs(found - by_gray(IMAGE)).max() <= 6e-6
        assert time.monotonic() - started < 5
        assert "plankton_requests_held 0.0" in known.get("/metrics").text
    assert sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
