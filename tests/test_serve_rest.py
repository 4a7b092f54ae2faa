"""TensorFlow Serving's contract, and what the service tells of itself, with a model that goes by gray levels."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from patch_service import PREDICT, b64, by_gray, client, listening, patch, png, predictions, service, write_version

from plankton_keras.config import ServeConfig
from plankton_keras.serve.app import Service, build_app
from plankton_keras.serve.versions import Models


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with listening(service(tmp_path_factory.mktemp("export"))) as found:
        yield found


@pytest.fixture
def http_client(address):
    with client(address) as made:
        yield made


def test_the_states_of_the_versions(http_client):
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/plankton", "/v1/models/plankton/versions/1"):
        assert http_client.get(path).json() == {"model_version_status": [available]}


def test_the_signatures_as_tensorflow_serving_describes_them(http_client):
    for path in ("/v1/models/plankton/metadata", "/v1/models/plankton/versions/1/metadata"):
        found = http_client.get(path).json()
        assert found["model_spec"] == {"name": "plankton", "signature_name": "", "version": "1"}
        signatures = found["metadata"]["signature_def"]["signature_def"]
        assert set(signatures) == {"serving_default", "serving_bytes", "serving_vignettes"}
        side = {"size": "-1", "name": ""}
        assert signatures["serving_default"]["inputs"]["image"] == {
            "dtype": "DT_UINT8",
            "tensor_shape": {"dim": [side, side, side, {"size": "1", "name": ""}], "unknown_rank": False},
            "name": "image:0",
        }
        assert signatures["serving_bytes"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
        assert signatures["serving_default"]["outputs"]["probabilities"]["dtype"] == "DT_FLOAT"
        assert found["metadata"]["plankton"]["classes"] == ["non-living", "living"]


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
        ("GET", "/v1/models/plankton/versions/7", 404, "Could not find version 7 of model plankton"),
        ("GET", "/v1/models/plankton/versions/7/metadata", 404, "Could not find version 7 of model plankton"),
        ("GET", "/v1/models/other/metadata", 404, "Could not find any versions of model other"),
        ("POST", "/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
        ("POST", "/v1/models/other/versions/1:predict", 404, "Servable not found for request: Specific(other, 1)"),
        (
            "POST",
            "/v1/models/plankton/versions/7:predict",
            404,
            "Servable not found for request: Specific(plankton, 7)",
        ),
        ("POST", "/v1/models/plankton:classify", 405, "Malformed request: POST /v1/models/plankton:classify"),
        ("GET", "/v1/models/plankton/versions/a", 400, "Malformed request: GET /v1/models/plankton/versions/a"),
        ("POST", PREDICT, 400, "JSON Parse error: Expecting value: line 1 column 1 (char 0). Expected: a JSON object."),
    ],
)
def test_errors_have_its_shape(http_client, method, path, status, error):
    answer = http_client.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.parametrize("path", [PREDICT, "/v1/models/plankton/versions/1:predict"])
def test_probabilities_of_arrays_files_and_messages(http_client, path):
    images = patch(3, count=2)
    dims = [{"size": str(side)} for side in images.shape]
    tensor = {"dtype": "DT_UINT8", "tensorShape": {"dim": dims}, "tensorContent": b64(images.tobytes())["b64"]}
    files = [b64(png(image)) for image in images]
    for request in (
        {"instances": images.tolist()},
        {"inputs": {"image": images.tolist()}},
        {"inputs": {"image": tensor}},
        {"instances": files, "signature_name": "serving_bytes"},
        {"inputs": files, "signature_name": "serving_bytes"},
    ):
        answer = http_client.post(path, json=request)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert np.abs(predictions(answer) - by_gray(images)).max() <= 6e-6


def test_a_damaged_file_is_the_senders_fault_and_nobody_elses(http_client):
    whole, broken = png(patch()[0]), png(patch()[0])[:60]

    def ask(data):
        return http_client.post(PREDICT, json={"instances": [b64(data)], "signature_name": "serving_bytes"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [whole, broken] * 12))
    assert {answer.status_code for answer in answers[::2]} == {200}
    assert {answer.status_code for answer in answers[1::2]} == {400}
    assert answers[1].json()["error"] == "The patches cannot be computed: broken. Expected: whole images."


def test_each_of_many_gets_its_own_answer(http_client):
    images = [patch(seed, size=64 * (1 + seed % 2)) for seed in range(40)]

    def ask(image):
        return predictions(http_client.post(PREDICT, json={"instances": image.tolist()}))

    with ThreadPoolExecutor(10) as pool:
        for image, found in zip(images, pool.map(ask, images), strict=True):
            assert np.abs(found - by_gray(image)).max() <= 6e-6


def test_what_the_service_is(http_client):
    assert http_client.get("/v1/service").json() == {
        "name": "plankton",
        "version": 1,
        "model": "gray",
        "model_sha256": f"{1:064x}",
        "classes": [
            {"name": "non-living", "living": False, "colour": "#999999"},
            {"name": "living", "living": True, "colour": "#e69f00"},
        ],
        "limits": {"upload_bytes": 8 * 2**30, "megapixels": 1000},
        "classifier": False,
    }


def test_errors_elsewhere_have_three_lines(http_client):
    answer = http_client.get("/v1/nothing")
    assert (answer.status_code, set(answer.json())) == (404, {"error", "expected", "fix"})


def test_the_api_has_a_page_that_loads_nothing(http_client):
    page = http_client.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "/v1/models/{name}:predict" in page.text
    assert "Probabilities of patches, by the newest version." in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text + page.headers["Content-Security-Policy"]
    assert "/v1/models/{name}:predict" in http_client.get("/openapi.json").json()["paths"]
    assert http_client.get("/").headers["Location"] == "/docs"


def test_metrics_count_what_was_answered(http_client):
    http_client.post(PREDICT, json={"instances": patch(count=3).tolist()})
    http_client.request("BREW", "/v1/service")
    text = http_client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    predict = 'plankton_requests_total{method="POST",route="/v1/models/{name}:predict",status="200"}'
    assert float(values[predict]) >= 1
    assert float(values["plankton_patches_total"]) >= 3
    assert float(values["plankton_model_version"]) == 1
    assert float(values["plankton_requests_held"]) == 0
    assert float(values["process_resident_memory_bytes"]) > 1e6
    # What clients make up becomes no time series.
    assert "BREW" not in text


class Stuck:
    """A model that waits to be let go."""

    def __init__(self):
        self.go, self.began = threading.Event(), threading.Event()

    def __call__(self, image):
        self.began.set()
        assert self.go.wait(20)
        return by_gray(image)


def test_too_many_are_told_to_come_again(tmp_path):
    stuck = Stuck()
    body = {"instances": patch().tolist()}
    with listening(service(tmp_path, compute=stuck, max_requests=2)) as address, client(address) as http_client:
        with ThreadPoolExecutor(2) as pool:
            held = [pool.submit(http_client.post, PREDICT, json=body) for _ in range(2)]
            assert stuck.began.wait(10)
            while "held 2" not in http_client.get("/metrics").text:
                time.sleep(0.01)
            answer = http_client.post(PREDICT, json=body)
            assert answer.status_code == 429
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["error"].startswith("Too many requests: ask again in ")
            # What computes nothing is still answered.
            assert http_client.get("/readyz").status_code == 200
            stuck.go.set()
            assert [each.result().status_code for each in held] == [200, 200]
        assert http_client.post(PREDICT, json=body).status_code == 200


def test_a_new_version_is_taken_up_without_losing_a_request(tmp_path):
    made = service(tmp_path)
    body = json.dumps({"instances": patch().tolist()}).encode()
    seen, failed = [], []
    with listening(made) as address:

        def ask():
            with client(address) as http_client:
                while seen.count("3") < 50 and len(seen) < 20_000:
                    answer = http_client.post(PREDICT, content=body)
                    (seen if answer.status_code == 200 else failed).append(answer.headers["X-Plankton-Version"])

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(ask) for _ in range(4)]
            for number in (2, 3):
                while str(number - 1) not in seen:
                    time.sleep(0.01)
                write_version(tmp_path, number)
                while made.models.current().number != number:
                    time.sleep(0.01)
            for each in running:
                each.result()
        with client(address) as http_client:
            assert http_client.post("/v1/models/plankton/versions/1:predict", content=body).status_code == 404
            states = http_client.get("/v1/models/plankton").json()["model_version_status"]
    assert failed == []
    assert set(seen) == {"1", "2", "3"}
    assert [(each["version"], each["state"]) for each in states] == [("3", "AVAILABLE"), ("2", "END"), ("1", "END")]


def test_before_a_model_is_loaded_it_lives_and_is_not_ready(tmp_path):
    from fastapi.testclient import TestClient

    app = build_app(Service(ServeConfig(), Models(tmp_path)))
    with TestClient(app, base_url="http://127.0.0.1") as http_client:
        assert http_client.get("/healthz").json() == {"status": "ok"}
        assert http_client.get("/readyz").status_code == 503
        assert http_client.get("/v1/service").status_code == 503
        assert http_client.post(PREDICT, json={}).json() == {"error": "No version is loaded yet"}
        assert "x-plankton-model" not in http_client.get("/healthz").headers


def test_what_is_given_beside_it_is_answered_and_lives_as_long(tmp_path):
    import contextlib

    from fastapi import APIRouter
    from fastapi.testclient import TestClient

    page, router, lived = tmp_path / "page", APIRouter(), []
    page.mkdir()
    (page / "index.html").write_text("<!doctype html><title>plankton</title>")
    (page / "page.css").write_text("body {}")
    (tmp_path / "secret").write_text("secret")

    @router.get("/v1/jobs")
    def jobs():
        return {"jobs": []}

    @router.get("/v1/broken")
    def broken():
        raise RuntimeError("a secret")

    @contextlib.contextmanager
    def worker():
        lived.append("begins")
        yield
        lived.append("ends")

    app = build_app(Service(ServeConfig(), Models(tmp_path)), [router], page, [worker()])
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as http_client:
        assert http_client.get("/").text.startswith("<!doctype html>")
        assert http_client.get("/page/page.css").headers["Cache-Control"] == "no-cache"
        for path in ("/page/../secret", "/page/%2e%2e/secret", "/page/..%2fsecret", "/page//etc/passwd", "/page/"):
            assert http_client.get(path).status_code == 404
        assert http_client.get("/v1/jobs").json() == {"jobs": []}
        assert lived == ["begins"]
        answer = http_client.get("/v1/broken")
        assert (answer.status_code, answer.json()["error"]) == (500, "Something unexpected happened.")
    assert lived == ["begins", "ends"]
