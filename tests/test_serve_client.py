"""The client against a small service of jobs: uploads that break, jobs that fail, and the prediction folder."""

import base64
import json
import uuid

import numpy as np
import pytest
from click.testing import CliRunner
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from patch_service import by_gray, listening, service

from plankton_keras.cli import main
from plankton_keras.config import PredictConfig
from plankton_keras.errors import ArtefactError, InputError, PlanktonError, SettingError
from plankton_keras.files import sha256
from plankton_keras.journal import Journal
from plankton_keras.predicting import predict_with
from plankton_keras.predictors import Predictor
from plankton_keras.serve import client as client_module
from plankton_keras.serve.client import TRIES, Client
from plankton_keras.serve.refusing import Refused
from plankton_keras.taxa import living_target

TOKEN = "correct-horse-battery"
PREDICTOR = Predictor(
    lambda images: by_gray(images[..., None]),
    living_target().names,
    0.5,
    None,
    "d" * 64,
    "export/1",
    living_target(),
    {},
)


def predict(path, folder):
    """What the service does with a scan, and `plankton predict` too."""
    journal = Journal.of(folder, PREDICTOR, PredictConfig())
    entry = predict_with(PREDICTOR, path, sha256(path), PredictConfig(), folder, lambda done, total: None)
    journal.add(path.name, entry)
    journal.finish()
    return entry


class Jobs:
    """Uploads and jobs in a folder, with what can go wrong between client and service."""

    def __init__(self, folder):
        self.folder, self.jobs, self.names, self.sizes, self.heads = folder, {}, {}, {}, []
        # How many bytes of the next parts are taken before the connection ends, and names that files are listed by.
        self.breaks, self.listed = [], None
        # So many uploads are refused since the queue is full, and so many parts since another request writes.
        self.full = self.locked = 0
        # So many files come in part only.
        self.cut = 0

    def path(self, id):
        return self.folder / f"{id}.bin"

    def whole(self, id):
        if self.names[id].startswith("bad"):
            error = {"error": "The scan is bad.", "expected": "a good one.", "fix": "send that."}
            self.jobs[id] |= {"state": "failed", "error": error}
            return
        # A plain name, as services give.
        scan = self.folder / f"plain-{id[:4]}_scan.pgm"
        self.path(id).rename(scan)
        predict(scan, self.folder / id)
        self.jobs[id] |= {"state": "done", "progress": 1.0}

    def routes(self):
        router = APIRouter()

        @router.post("/v1/uploads", status_code=201)
        def create(request: Request):
            if self.full:
                self.full -= 1
                raise Refused(429, "20 scans are waiting already.", "at most 20.", "wait.", {"Retry-After": "0"})
            words = dict(pair.split(" ") for pair in request.headers["Upload-Metadata"].split(","))
            self.heads.append({key: base64.b64decode(value).decode() for key, value in words.items()})
            id = uuid.uuid4().hex
            self.names[id], self.sizes[id] = self.heads[-1]["filename"], int(request.headers["Upload-Length"])
            self.path(id).touch()
            self.jobs[id] = {"id": id, "scan": "plain", "state": "uploading", "progress": 0.0, "error": None}
            return Response(None, 201, {"Location": f"/v1/uploads/{id}"})

        @router.head("/v1/uploads/{id}")
        def offset(id: str):
            whole = self.jobs[id]["state"] != "uploading"
            size = self.sizes[id] if whole else self.path(id).stat().st_size
            return Response(None, 200, {"Upload-Offset": str(size), "Upload-Length": str(self.sizes[id])})

        @router.patch("/v1/uploads/{id}", status_code=204)
        async def patch(id: str, request: Request):
            body = await request.body()
            if self.locked:
                self.locked -= 1
                raise Refused(423, "Another request writes to this upload.", "one at a time.", "wait.")
            assert request.headers["Content-Type"] == "application/offset+octet-stream"
            if int(request.headers["Upload-Offset"]) != self.path(id).stat().st_size:
                raise Refused(409, "Another offset.", "the right one.", "ask for it.")
            kept = self.breaks.pop(0) if self.breaks else len(body)
            with open(self.path(id), "ab") as file:
                file.write(body[:kept])
            if kept < len(body):
                raise Refused(503, "Broken.", "luck.", "again.")
            if self.path(id).stat().st_size == self.sizes[id]:
                self.whole(id)
            return Response(None, 204)

        @router.get("/v1/jobs/{id}")
        def job(id: str):
            if id not in self.jobs:
                raise Refused(404, "There is no such job.", "one of the list.", "look there.")
            return self.jobs[id]

        @router.get("/v1/jobs/{id}/files")
        def files(id: str):
            return {"files": [{"name": name, "bytes": 1} for name in self.listed or sorted(self.names_of(id))]}

        @router.get("/v1/jobs/{id}/files/{name}")
        def file(id: str, name: str):
            if self.cut:
                self.cut -= 1
                return Response(b"part", headers={"Content-Length": "9"}) if self.cut else Response(None, 503)
            return FileResponse(self.folder / id / name)

        return router

    def names_of(self, id):
        return [path.name for path in (self.folder / id).iterdir()]


@pytest.fixture
def jobs(tmp_path):
    (tmp_path / "jobs").mkdir()
    return Jobs(tmp_path / "jobs")


@pytest.fixture
def address(tmp_path, jobs, monkeypatch):
    monkeypatch.setattr(client_module, "PAUSE", 0.01)
    with listening(service(tmp_path / "export", token=TOKEN), routers=[jobs.routes()]) as found:
        yield found


@pytest.fixture
def scans(tmp_path):
    """Two scans with two dark squares each, and their names are no plain ones."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for index, name in enumerate(("Été 1", "Été 2")):
        pixels = np.full((300, 400), 220, np.uint8)
        pixels[50:90, 50:90] = pixels[200 : 220 + index, 60:160] = 60
        (folder / f"{name}_scan.pgm").write_bytes(b"P5 400 300 255\n" + pixels.tobytes())
    return folder


@pytest.fixture
def made(address):
    with Client(address, TOKEN, part=50_000) as made:
        yield made


def command(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def test_a_scan_comes_back_as_its_files(made, scans, tmp_path):
    told, shares = [], []
    path = scans / "Été 1_scan.pgm"
    id = made.upload(path, dpi=2400, tell=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 120_015)
    assert told[-1] == (120_015, 120_015)
    assert made.wait(id, shares.append)["state"] == "done"
    assert shares == [1.0]
    expected = predict(path, tmp_path / "here")
    paths = made.download(id, tmp_path / "there", lambda name: name.endswith("_mask.png"))
    assert [path.read_bytes() for path in paths] == [(tmp_path / "here" / expected["files"][0]).read_bytes()]
    assert len(made.download(id, tmp_path / "all")) == 4


def test_the_service_learns_name_and_resolution(made, scans, jobs):
    made.upload(scans / "Été 2_scan.pgm", dpi=2400.0)
    made.upload(scans / "Été 1_scan.pgm")
    assert jobs.heads == [{"filename": "Été 2_scan.pgm", "dpi": "2400"}, {"filename": "Été 1_scan.pgm"}]


def test_an_upload_that_breaks_goes_on_where_the_service_is(made, scans, jobs):
    jobs.breaks = [20_000, *[0] * (TRIES - 1)]
    begun = []
    with pytest.raises(PlanktonError, match="Broken"):
        made.upload(scans / "Été 1_scan.pgm", begun=begun.append)
    (id,) = begun
    assert jobs.path(id).stat().st_size == 20_000
    # Tried a few times, it comes through.
    jobs.breaks = [7] * (TRIES - 1)
    assert made.upload(scans / "Été 1_scan.pgm", id=id) == id
    assert made.wait(id)["state"] == "done"
    assert len(jobs.heads) == 1


def test_a_full_queue_and_a_connection_that_still_writes_are_waited_for(made, scans, jobs):
    jobs.full, jobs.locked = 2, TRIES - 1
    assert made.wait(made.upload(scans / "Été 1_scan.pgm"))["state"] == "done"
    assert (jobs.full, jobs.locked, len(jobs.heads)) == (0, 0, 1)


def test_a_download_that_breaks_is_begun_anew(made, scans, jobs, tmp_path):
    id = made.upload(scans / "Été 1_scan.pgm")
    jobs.cut = 3
    (path,) = made.download(id, tmp_path, lambda name: name.endswith("_mask.png"))
    assert path.read_bytes() == (jobs.folder / id / path.name).read_bytes()
    assert jobs.cut == 0


def test_a_bad_scan_says_why(made, scans):
    path = (scans / "Été 1_scan.pgm").rename(scans / "bad.pgm")
    with pytest.raises(InputError) as caught:
        made.wait(made.upload(path))
    assert str(caught.value) == "plain failed: The scan is bad.\nExpected: a good one.\nFix: send that."


def test_a_wrong_token_says_so(address):
    with Client(address, "wrong") as made, pytest.raises(SettingError) as caught:
        made.service()
    assert str(caught.value) == (
        "The token is missing or wrong.\nExpected: the service's token.\nFix: set PLANKTON_TOKEN."
    )


def test_a_service_that_is_not_there_says_so_at_once(monkeypatch):
    monkeypatch.setattr(client_module, "PAUSE", 1000)
    with (
        Client("http://127.0.0.1:9") as made,
        pytest.raises(PlanktonError, match=r"http://127.0.0.1:9 cannot be reached"),
    ):
        made.service()


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", ".partial-a", "a/b"])
def test_a_service_cannot_write_elsewhere(made, scans, jobs, tmp_path, name):
    id = made.upload(scans / "Été 1_scan.pgm")
    jobs.listed = [name]
    with pytest.raises(ArtefactError, match="do not trust this service"):
        made.download(id, tmp_path / "files")
    assert not (tmp_path / "files").exists()


def test_the_command_writes_the_prediction_folder_of_a_local_one(address, scans, tmp_path, jobs):
    out = tmp_path / "out"
    done = command("predict", "--server", address, "--token", TOKEN, scans, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    entries = {}
    for path in sorted(scans.iterdir()):
        entry = predict(path, tmp_path / "here")
        entries[str(path)] = entry
        assert len(entry["files"]) == 3
        for name in entry["files"]:
            assert (out / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    found = json.loads((out / "prediction.json").read_text())
    expected = json.loads((tmp_path / "here" / "prediction.json").read_text())
    assert found["status"] == "done"
    for name in ("model", "model_sha256", "threshold", "classes", "settings", "versions", "failed"):
        assert found[name] == expected[name]
    for entry in found["scans"]:
        own = entries[entry["path"]]
        for name in ("scan", "sha256", "files", "objects", "megapixels", "living_share", "status"):
            assert entry[name] == own[name]
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "here").iterdir()}
    assert json.loads(done.stdout)["scans"] == found["scans"]
    # Given again, it has nothing to do.
    assert command("predict", "--server", address, "--token", TOKEN, scans, "--out", out).exit_code == 0
    assert len(jobs.heads) == 2


def test_the_command_goes_on_with_an_upload_that_broke(address, scans, tmp_path, jobs, monkeypatch):
    monkeypatch.setenv("PLANKTON_TOKEN", TOKEN)
    words = "predict", "--server", address, scans / "Été 1_scan.pgm", "--out", tmp_path / "out", "--quiet"
    jobs.breaks = [70_000, *[0] * (TRIES - 1)]
    assert command(*words).exit_code == 1
    assert command(*words).exit_code == 0
    assert len(jobs.heads) == 1
    assert not (tmp_path / "out" / "jobs.json").exists()


def test_the_command_names_scans_that_fail_and_keeps_the_others(address, scans, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANKTON_TOKEN", TOKEN)
    (scans / "Été 2_scan.pgm").rename(scans / "bad_scan.pgm")
    done = command("predict", "--server", address, scans, "--out", tmp_path / "out", "--quiet")
    assert done.exit_code == 3
    assert "failed: bad_scan.pgm: plain failed: The scan is bad." in done.output
    known = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert (known["status"], len(known["scans"]), len(known["failed"])) == ("failed", 1, 1)


def test_a_scan_that_is_bad_since_or_cannot_be_read_is_not_done_and_others_are(address, scans, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANKTON_TOKEN", TOKEN)
    words = "predict", "--server", address, scans, "--out", tmp_path / "out", "--quiet"
    first, second = sorted(scans.iterdir())
    kept = second.rename(tmp_path / second.name)
    assert command(*words).exit_code == 0
    first.unlink()
    first.symlink_to("/proc/self/mem")  # Reading it from its start is an input/output error.
    kept.rename(second)
    done = command(*words)
    assert done.exit_code == 3, done.output
    assert f"failed: {first.name}: {first} cannot be read: Input/output error." in done.output
    known = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert [entry["path"] for entry in known["scans"]] == [str(second)]
    assert [entry["path"] for entry in known["failed"]] == [str(first)]


def test_the_predictions_of_two_models_do_not_mix(address, scans, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANKTON_TOKEN", TOKEN)
    words = "predict", "--server", address, "--out", tmp_path / "out", "--quiet"
    assert command(*words, scans / "Été 1_scan.pgm").exit_code == 0
    path = tmp_path / "out" / "prediction.json"
    path.write_text(path.read_text().replace("d" * 64, "e" * 64))
    done = command(*words, scans / "Été 2_scan.pgm")
    assert done.exit_code == 4
    assert "holds predictions of another model or with other settings." in done.stderr


@pytest.mark.parametrize(
    ("words", "flag"),
    [(["--threshold", "0.5"], "threshold"), (["--workers", "2"], "workers"), (["--config", "a.json"], "config")],
)
def test_settings_of_the_service_are_not_the_clients(words, flag):
    done = command("predict", "--server", "http://127.0.0.1:9", "scans", "--out", "out", *words)
    assert done.exit_code == 2
    assert done.stderr == (
        f"--server goes with no --{flag}.\nExpected: the settings of the service.\n"
        "Fix: leave it out, or predict without --server.\n"
    )
