"""The whole service: a scan sent by the client, and one dropped on the page in Chromium, through every part of it."""

import contextlib
import io
import shutil
import threading
import time
import zipfile

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
import httpx
from patch_service import by_gray, service
from serving import draw, encoded

from plankton_keras.ecotaxa.lint import lint
from plankton_keras.serve.client import Client
from plankton_keras.serve.listening import bind, server_of
from plankton_keras.serve.whole import whole_app

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def clearly(image):
    """Below 180 is living: the ground is 220."""
    return by_gray((image >= 180) * 255)


@contextlib.contextmanager
def running(folder, token=None):
    """The whole service with a fake model; gives its address."""
    made = service(folder / "export", token, clearly)
    made.models.start()
    app, ending = whole_app(made, folder / "data")
    server, socket = server_of(app, 30, ending), bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        made.models.close()


@pytest.fixture
def address(tmp_path):
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "rg_scan.png"
    path.write_bytes(encoded(draw()))
    return path


def test_a_scan_is_sent_found_shown_corrected_and_exported(address, scan, tmp_path):
    with Client(address) as client, httpx.Client(base_url=address, timeout=60) as web:
        id = client.wait(client.upload(scan, dpi=2400))["id"]
        job = web.get(f"/v1/jobs/{id}").json()
        assert (job["state"], job["objects"], job["dpi"], job["version"]) == ("done", 4, 2400, 1)
        assert web.get(f"/v1/jobs/{id}").headers["X-Plankton-Version"] == "1"
        objects = web.get(f"/v1/jobs/{id}/objects").json()
        assert [each["area_px"] for each in objects["objects"]] == [1500, 1600, 1600, 2000]
        while (tiles := web.get(f"/v1/jobs/{id}/tiles")).status_code == 202:
            time.sleep(0.05)
        assert (tiles.json()["width"], tiles.json()["height"]) == (400, 300)
        last = tiles.json()["levels"] - 1
        assert web.get(f"/v1/jobs/{id}/tiles/{last}/0_0.jpg").headers["content-type"] == "image/jpeg"
        summary = web.get(f"/v1/jobs/{id}/summary").json()
        assert [(each["taxon"], each["count"]) for each in summary["counts"]] == [("living", 4)]
        change = {"revision": objects["revision"], "op": "rename", "labels": [2], "taxon": "copepod"}
        assert web.post(f"/v1/jobs/{id}/corrections", json=change).status_code == 200
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


def test_the_page_and_its_parts_come_without_a_network_and_with_rules(address):
    with httpx.Client(base_url=address) as web:
        page = web.get("/")
        assert "plankton" in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
        for part in ("main.js", "page.css", "vendor/openseadragon.min.js"):
            assert web.get(f"/page/{part}").status_code == 200
        assert "http://" not in page.text
        assert "https://" not in page.text


def test_with_a_token_nothing_but_the_page_is_given_without_it(tmp_path, scan):
    token = "t" * 20
    with running(tmp_path, token) as address, httpx.Client(base_url=address) as web:
        for path in ("/v1/jobs", "/v1/service", "/v1/events", "/v1/models/plankton"):
            assert web.get(path).status_code == 401
        assert web.post("/v1/uploads", headers={"Upload-Length": "5", "Tus-Resumable": "1.0.0"}).status_code == 401
        assert web.get("/").status_code == 200
        with Client(address, token=token) as client:
            assert client.wait(client.upload(scan))["state"] == "done"


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
            page.click("text=/ecotaxa_rg_corrected.*zip/")
        assert zipfile.is_zipfile(download.value.path())
        browser.close()
        assert wrong == []


def test_scans_of_one_name_do_not_meet(address, scan):
    with Client(address) as client, httpx.Client(base_url=address) as web:
        ids = [client.upload(scan) for _ in range(2)]
        assert len({client.wait(id)["id"] for id in ids}) == 2
        assert {each["scan"] for each in web.get("/v1/jobs").json()["jobs"]} == {"rg"}
