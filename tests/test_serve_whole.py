"""The whole service, as the command opens it, with a model that goes by gray levels; by clients and in Chromium."""

import contextlib
import io
import json
import shutil
import threading
import time
import zipfile

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("fastapi", reason="the extra serve is not installed")
from patch_service import client, version, write_version

from plankton_keras.cli import main
from plankton_keras.config import PredictConfig, ServeConfig
from plankton_keras.ecotaxa.lint import lint
from plankton_keras.files import sha256
from plankton_keras.journal import Journal
from plankton_keras.predicting import predict_with
from plankton_keras.serve import opening
from plankton_keras.serve.client import Client
from plankton_keras.serve.listening import bind, server_of
from plankton_keras.serve.versions import Models

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
def running(tmp_path, monkeypatch):
    """Makes services without TensorFlow; gives the address of each."""
    monkeypatch.setattr(
        opening, "Models", lambda folder, name, told: Models(folder, name, lambda path: version(int(path.name)), told)
    )
    write_version(tmp_path / "export", 1)

    @contextlib.contextmanager
    def run(token=None):
        places, socket = opening.Places(export=tmp_path / "export", data=tmp_path / "data"), bind("127.0.0.1", 0)
        with socket, opening.opened(places, ServeConfig(), token) as (app, ending):
            server = server_of(app, 5, ending)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
            thread.start()
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{socket.getsockname()[1]}"
            server.should_exit = True
            started = time.monotonic()
            thread.join()
            # Open streams do not hold it up.
            assert time.monotonic() - started < 5

    return run


@pytest.fixture
def address(running):
    with running() as found:
        yield found


@pytest.fixture
def scan(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    pixels = np.full((600, 800), 220, np.uint8)
    pixels[100:160, 100:160] = pixels[400:430, 300:420] = 60
    cv2.imwrite(str(folder / "rg1_scan.png"), pixels)
    return folder / "rg1_scan.png"


def test_a_scan_by_the_command_gives_the_files_of_a_local_prediction(address, scan, tmp_path):
    words = ["predict", "--server", address, str(scan), "--out", str(tmp_path / "there"), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    config, predictor = PredictConfig().for_classes(2), version().predictor
    journal = Journal.of(tmp_path / "here", predictor, config)
    entry = predict_with(predictor, scan, sha256(scan), config, tmp_path / "here", lambda done, total: None)
    journal.add(scan, entry)
    journal.finish()
    assert entry["objects"] == 2
    for name in entry["files"]:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    own, found = (json.loads((tmp_path / name / "prediction.json").read_text()) for name in ("here", "there"))
    for key in own.keys() - {"scans"}:
        assert found[key] == own[key]
    for key in ("scan", "path", "sha256", "files", "objects", "living_share", "megapixels"):
        assert found["scans"][0][key] == own["scans"][0][key]


def test_a_job_has_objects_tiles_and_files_and_the_page_is_there(address, scan):
    with Client(address) as made, client(address) as http_client:
        id = made.upload(scan, dpi=2400)
        job = made.wait(id)
        assert (job["objects"], job["model_sha256"], job["version"]) == (2, f"{1:064x}", 1)
        assert len(http_client.get(f"/v1/jobs/{id}/objects").json()["objects"]) == 2
        about = http_client.get(f"/v1/jobs/{id}/tiles")
        while about.status_code == 202:
            time.sleep(0.05)
            about = http_client.get(f"/v1/jobs/{id}/tiles")
        level = about.json()["levels"] - 1
        tile = http_client.get(f"/v1/jobs/{id}/tiles/{level}/0_0.jpg")
        assert tile.headers["Content-Type"] == "image/jpeg"
        assert "immutable" in tile.headers["Cache-Control"]
        names = {file["name"] for file in http_client.get(f"/v1/jobs/{id}/files").json()["files"]}
        assert {"prediction.json", "rg1_mask.png", "objects.csv"} <= names
        assert "<title>" in http_client.get("/").text
        assert http_client.get("/page/main.js").status_code == 200
        assert http_client.get(f"/v1/jobs/{'0' * 32}").status_code == 404


def test_open_streams_do_not_hold_up_the_end(address):
    """What the fixture asserts at its end."""
    heard = threading.Event()

    def listen():
        with client(address) as http_client, http_client.stream("GET", "/v1/events") as stream:
            for _ in stream.iter_lines():
                heard.set()

    threading.Thread(target=listen, daemon=True).start()
    assert heard.wait(10)


def test_an_upload_that_breaks_in_the_middle_goes_on(address, scan):
    with Client(address, part=1000) as made:
        half = scan.stat().st_size // 2
        begun = []
        with pytest.raises(KeyboardInterrupt):
            made.upload(scan, begun=begun.append, tell=lambda done, total: stop_at(done, half))
        (id,) = begun
        assert made.job(id)["state"] == "uploading"
        sent = []
        made.upload(scan, id=id, tell=lambda done, total: sent.append(done))
        assert half <= sent[0] < scan.stat().st_size
        assert made.wait(id)["objects"] == 2


def stop_at(done, half):
    if done >= half:
        raise KeyboardInterrupt


def test_what_a_person_corrects_is_exported_for_ecotaxa(address, scan, tmp_path):
    with Client(address) as made, client(address) as web:
        id = made.wait(made.upload(scan, dpi=2400))["id"]
        revision = web.get(f"/v1/jobs/{id}/objects").json()["revision"]
        change = {"revision": revision, "op": "rename", "labels": [2], "taxon": "copepod"}
        assert web.post(f"/v1/jobs/{id}/corrections", json=change).status_code == 200
        counts = web.get(f"/v1/jobs/{id}/summary").json()["counts"]
        assert {each["taxon"]: each["count"] for each in counts} == {"copepod": 1, "living": 1}
        names = [each["name"] for each in web.post(f"/v1/jobs/{id}/export").json()["files"]]
        (package,) = [name for name in names if name.startswith("ecotaxa_")]
        content = web.get(f"/v1/jobs/{id}/files/{package}").content
        (tmp_path / package).write_bytes(content)
        assert [each for each in lint(tmp_path / package) if each.severity == "error"] == []
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            (table,) = [name for name in opened.namelist() if name.endswith(".tsv")]
            assert "copepod" in opened.read(table).decode()
        web.delete(f"/v1/jobs/{id}")
        assert web.get(f"/v1/jobs/{id}").status_code == 404


def test_the_page_comes_without_a_network_and_with_rules(address):
    with client(address) as web:
        page = web.get("/")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        for part in ("main.js", "page.css", "vendor/openseadragon.min.js"):
            assert web.get(f"/page/{part}").status_code == 200
        assert "http://" not in page.text
        assert "https://" not in page.text


def test_with_a_token_nothing_but_the_page_is_given_without_it(running, scan):
    token = "t" * 20
    with running(token) as address, client(address) as web:
        for path in ("/v1/jobs", "/v1/service", "/v1/events", "/v1/models/plankton"):
            assert web.get(path).status_code == 401
        assert web.post("/v1/uploads", headers={"Upload-Length": "5", "Tus-Resumable": "1.0.0"}).status_code == 401
        assert web.get("/").status_code == 200
        with Client(address, token=token) as made:
            assert made.wait(made.upload(scan))["state"] == "done"


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")
def test_a_person_drops_a_scan_corrects_a_class_and_downloads_the_package(address, scan):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(60_000)
        wrong = []
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.set_input_files("input[type=file]", str(scan))
        page.click(".state.done >> xpath=.. >> a")
        page.wait_for_selector("canvas.over", state="attached")
        page.wait_for_function("() => document.querySelector('.counts tbody')?.children.length > 0")
        page.get_by_role("button", name="Gallery").click()
        page.click(".card[data-label='2']")
        page.fill("[role=combobox]", "copepod")
        page.keyboard.press("Enter")
        page.wait_for_selector(".card[data-label='2'].corrected")
        page.click("#tab-3")
        page.click("text=Export corrected objects")
        with page.expect_download() as download:
            page.click("text=/ecotaxa_rg1_corrected.*zip/")
        assert zipfile.is_zipfile(download.value.path())
        browser.close()
        assert wrong == []
