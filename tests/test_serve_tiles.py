"""The pyramid of a scan, and its tiles by HTTP."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import cv2
import numpy as np
import pytest
import tifffile

from plankton_keras.errors import InputError
from plankton_keras.scans import gray_limits, open_scan
from plankton_keras.serve import pyramid as pyramids
from plankton_keras.serve.pyramid import TILE, KeptTiles, Pyramid, build, halved, level_sizes
from plankton_keras.tiles import Window

fastapi = pytest.importorskip("fastapi")
testclient = pytest.importorskip("fastapi.testclient")


def drawn(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width), np.uint8)


def stitched(pyramid, level, read):
    rows = []
    for row in range(10**6):
        tiles = []
        while (tile := read(level, len(tiles), row)) is not None:
            tiles.append(tile)
        if not tiles:
            return np.vstack(rows)
        rows.append(np.hstack(tiles))
    return None


def means(pixels):
    """The mean of each block of up to 2 x 2 pixels, by hand, halves up."""
    height, width = -(-pixels.shape[0] // 2), -(-pixels.shape[1] // 2)
    found = np.zeros((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            block = pixels[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            found[row, column] = int(block.mean() + 0.5)
    return found


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 5), (8, 8), (7, 12), (40, 33)])
def test_a_level_is_the_mean_of_the_one_above(size):
    pixels = drawn(*size)
    assert np.array_equal(halved(pixels), means(pixels))


@pytest.mark.parametrize("size", [(1, 1), (1, TILE), (TILE, TILE + 1), (1100, 1500), (3, 5000), (2049, 1)])
@pytest.mark.parametrize("kind", ["pgm", "png", "tif"])
def test_tiles_stitched_are_the_scan(tmp_path, size, kind, monkeypatch):
    # Small bands, so that levels are put together from many, odd ones too.
    monkeypatch.setattr(pyramids, "BAND_BYTES", 7 * size[1])
    pixels, path = drawn(*size), tmp_path / f"a.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, pixels, compression="deflate", rowsperstrip=100)
    else:
        cv2.imwrite(str(path), pixels)
    made = build(path, tmp_path / "tiles")
    assert (made.height, made.width, made.levels) == (*size, len(level_sizes(*size)))
    expected = pixels
    for level in reversed(range(made.levels)):
        assert np.array_equal(stitched(made, level, made.pixels), expected)
        expected = halved(expected)
    assert made.pixels(made.levels, 0, 0) is None
    assert made.pixels(-1, 0, 0) is None
    assert made.pixels(0, -1, 0) is None
    assert max(made.pixels(0, 0, 0).shape) <= TILE


def test_tiles_show_the_gray_levels_that_prediction_sees(tmp_path):
    pixels = np.random.default_rng(0).integers(2000, 60000, (600, 700)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with open_scan(tmp_path / "a.tif") as scan:
        seen = scan.read(Window(0, 0, 600, 700))
    made = build(tmp_path / "a.tif", tmp_path / "by_rule")
    assert np.array_equal(stitched(made, 1, made.pixels), seen)
    low, _ = gray_limits(np.median(pixels))
    assert seen[pixels <= low].max(initial=0) == 0
    given = build(tmp_path / "a.tif", tmp_path / "given", gray_range=(0, 65535))
    assert np.array_equal(stitched(given, 1, given.pixels), ((pixels.astype(np.float32)) / 256 + 0.5).astype(np.uint8))


def test_jpegs_are_near_the_scan(tmp_path):
    smooth = cv2.GaussianBlur(drawn(700, 900), (0, 0), 6)
    cv2.imwrite(str(tmp_path / "a.pgm"), smooth)
    made = build(tmp_path / "a.pgm", tmp_path / "tiles")

    def read(*place):
        encoded = made.jpeg(*place)
        return None if encoded is None else cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)

    shown = stitched(made, made.levels - 1, read)
    assert shown.dtype == np.uint8
    assert np.abs(shown.astype(int) - smooth).max() <= 8


def test_progress_grows_to_one_and_what_was_begun_is_made_again(tmp_path):
    cv2.imwrite(str(tmp_path / "a.pgm"), drawn(1100, 1100))
    shares = []

    def stop_at_the_end(share):
        shares.append(share)
        if share == 1:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        build(tmp_path / "a.pgm", tmp_path / "tiles", progress=stop_at_the_end)
    assert shares == sorted(shares)
    assert not (tmp_path / "tiles" / pyramids.ABOUT).exists()
    with pytest.raises(Exception, match="does not exist"):
        Pyramid(tmp_path / "tiles")
    build(tmp_path / "a.pgm", tmp_path / "tiles")
    (tmp_path / "a.pgm").unlink()
    assert build(tmp_path / "a.pgm", tmp_path / "tiles").levels == 3
    assert not list((tmp_path / "tiles").glob(".partial*"))


def test_tiles_asked_for_last_are_kept():
    kept, made = KeptTiles(most=25), []

    def make(name):
        made.append(name)
        return bytes(10)

    for name in "abaca":
        kept.get(name, lambda name=name: make(name))
    assert made == ["a", "b", "c"]
    kept.get("b", lambda: make("b"))
    assert made == ["a", "b", "c", "b"]
    assert kept.get("none", lambda: None) is None


@pytest.fixture
def service(tmp_path):
    from plankton_keras.serve.tile_routes import routes

    def find(id):
        if id == "gone":
            raise InputError("There is no job gone.", "a job of this service.", "look at /v1/jobs.")
        return tmp_path / f"{id}.pgm", None, tmp_path / f"{id}_tiles"

    app = fastapi.FastAPI()
    router = routes(find)
    app.include_router(router)

    @app.exception_handler(InputError)
    def refused(_, error):
        return fastapi.responses.JSONResponse({"error": error.what}, 422)

    with testclient.TestClient(app) as client:
        yield client, router.pyramids
    router.pyramids.close()


def asked(client, id):
    for _ in range(200):
        answer = client.get(f"/v1/jobs/{id}/tiles")
        if answer.status_code != 202:
            return answer
        assert 0 <= answer.json()["progress"] <= 1
        assert answer.headers["retry-after"] == "1"
        time.sleep(0.02)
    raise AssertionError("never made")


def test_tiles_by_http(service, tmp_path):
    client, _ = service
    pixels = cv2.GaussianBlur(drawn(600, 1100), (0, 0), 4)
    cv2.imwrite(str(tmp_path / "a.pgm"), pixels)
    assert client.get("/v1/jobs/a/tiles/0/0_0.jpg").status_code == 404
    assert asked(client, "a").json() == {"ready": True, "width": 1100, "height": 600, "tile": 512, "levels": 3}
    tile = client.get("/v1/jobs/a/tiles/2/2_1.jpg")
    assert tile.headers["content-type"] == "image/jpeg"
    assert "immutable" in tile.headers["cache-control"]
    shown = cv2.imdecode(np.frombuffer(tile.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown.shape == (88, 76)
    assert np.abs(shown.astype(int) - pixels[512:, 1024:]).max() <= 8


@pytest.mark.parametrize("place", ["3/0_0", "0/1_0", "2/3_0", "2/0_2", "-1/0_0", "2/-1_0"])
def test_places_outside_have_no_tile(service, tmp_path, place):
    client, _ = service
    cv2.imwrite(str(tmp_path / "a.pgm"), drawn(600, 1100))
    asked(client, "a")
    answer = client.get(f"/v1/jobs/a/tiles/{place}.jpg")
    assert answer.status_code == 404
    assert answer.json()["error"] == f"There is no tile {place}."
    assert set(answer.json()) == {"error", "expected", "fix"}


def test_bad_scans_say_so_and_are_tried_again(service, tmp_path):
    client, _ = service
    (tmp_path / "a.pgm").write_bytes(b"P5 9 9 255\n")
    assert "is cut off" in asked(client, "a").json()["error"]
    cv2.imwrite(str(tmp_path / "a.pgm"), drawn(9, 9))
    assert asked(client, "a").json()["width"] == 9
    assert asked(client, "gone").json() == {"error": "There is no job gone."}


def test_a_stopped_pyramid_writes_nothing_more(service, tmp_path, monkeypatch):
    _, made = service
    monkeypatch.setattr(pyramids, "BAND_BYTES", 600)
    cv2.imwrite(str(tmp_path / "a.pgm"), drawn(600, 600))
    begun, go = threading.Event(), threading.Event()
    real = pyramids._rows_of

    def slowly(scan):
        for band in real(scan):
            begun.set()
            go.wait(10)
            yield band

    monkeypatch.setattr(pyramids, "_rows_of", slowly)
    future = made.prepare("a")
    assert begun.wait(10)
    threading.Timer(0.1, go.set).start()
    made.stop("a")
    assert future.done()
    assert list((tmp_path / "a_tiles").iterdir()) == []


def test_tiles_of_a_scan_that_is_deleted_meanwhile_say_that_there_is_none(tmp_path, monkeypatch):
    from plankton_keras.serve import refusing, tile_routes

    there = {"a"}

    def find(id):
        if id not in there:
            raise refusing.Refused(404, f"There is no job {id}.", "a job of this service.", "look at /v1/jobs.")
        return tmp_path / "a.pgm", None, tmp_path / "a_tiles"

    def stopped(id):
        there.remove(id)
        begun = Future()
        begun.cancel()
        return begun

    app = fastapi.FastAPI()
    refusing.install(app)
    router = tile_routes.routes(find)
    app.include_router(router)
    monkeypatch.setattr(router.pyramids, "prepare", stopped)
    answer = testclient.TestClient(app).get("/v1/jobs/a/tiles")
    assert (answer.status_code, answer.json()["error"]) == (404, "There is no job a.")


def test_a_scan_whose_tiles_stand_does_not_wait_for_those_of_another(service, tmp_path, monkeypatch):
    client, made = service
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.pgm"), drawn(9, 9))
    asked(client, "a")
    go = threading.Event()
    monkeypatch.setattr(pyramids, "_rows_of", lambda _: go.wait(10) and [drawn(9, 9)])
    begun = made.prepare("b")
    answer = client.get("/v1/jobs/a/tiles")
    go.set()
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert begun.result(10).width == 9


MEASURE = """
import json, sys, time
from pathlib import Path
import cv2, numpy as np
from plankton_keras.serve.pyramid import build
def anonymous():
    return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1]) / 1024
folder, peak, before = Path(sys.argv[1]), 0.0, anonymous()
def tell(share):
    global peak
    peak = max(peak, anonymous())
started = time.perf_counter()
pyramid = build(folder / "a.pgm", folder / "tiles", progress=tell)
seconds = time.perf_counter() - started
rng, times = np.random.default_rng(0), []
for _ in range(100):
    level = int(rng.integers(pyramid.levels))
    shrunk = 2 ** (pyramid.levels - 1 - level) * pyramid.tile
    place = int(rng.integers(-(-pyramid.width // shrunk))), int(rng.integers(-(-pyramid.height // shrunk)))
    begun = time.perf_counter()
    assert pyramid.jpeg(level, *place)
    times.append(1000 * (time.perf_counter() - begun))
print(json.dumps({"seconds": seconds, "grown_mb": peak - before,
    "tile_ms": float(np.median(times)), "worst_tile_ms": max(times)}))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scan(tmp_path):
    """A scan of 331 megapixels: the pyramid takes less memory than a fifth of it, and a tile less than 30 ms."""
    height, width = 14500, 22800
    with open(tmp_path / "a.pgm", "wb") as file:
        file.write(b"P5 %d %d 255\n" % (width, height))
        band = cv2.GaussianBlur(drawn(500, width), (0, 0), 2).tobytes()
        for _ in range(height // 500):
            file.write(band)
    found = subprocess.run([sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, check=True)
    measured = json.loads(found.stdout)
    print(measured)  # noqa: T201
    assert measured["grown_mb"] < 64
    assert measured["tile_ms"] < 30
    assert measured["seconds"] < 60
