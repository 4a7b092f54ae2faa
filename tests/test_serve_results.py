"""Results: outlines, vignettes, counts and files of a job; path tricks; folders on the server."""

import contextlib
import errno
import gzip
import io
import json
import math
import os
import shutil
import sqlite3
import zipfile

import cv2
import numpy as np
import pytest
import tifffile

pytest.importorskip("fastapi")
from click.testing import CliRunner
from serving import DRAWN, by_gray, draw, encoded, predictor, service

from plankton_keras.cli import main
from plankton_keras.config import PredictConfig
from plankton_keras.files import sha256
from plankton_keras.images import pixel_mm
from plankton_keras.journal import Journal
from plankton_keras.predicting import predict_with
from plankton_keras.serve import results
from plankton_keras.serve.corrections import Log
from plankton_keras.serve.folders import folders_of
from plankton_keras.serve.keeping import Kept
from plankton_keras.serve.shapes import outline_of, pack, unpack
from plankton_keras.serve.working import CLASSES
from plankton_keras.synthetic import draw_scan, write_netpbm
from plankton_keras.tiles import Window
from plankton_keras.vignette_pictures import cut_to_object


@pytest.fixture
def served(tmp_path):
    with service(tmp_path / "data") as made:
        made.id = made.done(dpi=2400)
        yield made


def test_objects_have_boxes_areas_and_outlines_in_pixels_of_the_scan(served):
    found = served.objects(served.id)
    assert [each["box"] for each in found["objects"]] == [
        [left, top, width, height] for top, left, height, width, _ in (DRAWN[3], DRAWN[0], DRAWN[1], DRAWN[2])
    ]
    assert [each["area_px"] for each in found["objects"]] == [1500, 1600, 1600, 2000]
    assert [(each["name"], each["colour"], each["count"]) for each in found["classes"]] == [
        ("non-living", "#999999", 0),
        ("copepod", "#e69f00", 2),
        ("egg", "#56b4e9", 2),
    ]
    side = pixel_mm(2400)
    assert found["objects"][1]["esd_mm"] == pytest.approx(2 * math.sqrt(1600 / math.pi) * side)
    assert found["objects"][1]["outline"] == [[[50, 50], [50, 89], [89, 89], [89, 50]]]


MERGE = {"revision": 0, "op": "merge", "labels": [2, 3]}


def deletes_after(served, monkeypatch, owner, name):
    """Deletes the job each time that a function has answered."""
    real = getattr(owner, name)

    def deleted_meanwhile(*given):
        found = real(*given)
        if served.jobs.store.get(served.id):
            served.jobs.remove(served.id)
        return found

    monkeypatch.setattr(owner, name, deleted_meanwhile)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("objects", None),
        ("objects/2", None),
        ("objects/2.png", None),
        ("summary", None),
        ("files/rg_scan_mask.png", None),
        ("export", {}),
        ("corrections", MERGE),
    ],
)
def test_what_meets_the_deletion_of_its_job_says_that_there_is_none(served, monkeypatch, what, body):
    deletes_after(served, monkeypatch, served.jobs, "task")
    path = f"/v1/jobs/{served.id}/{what}"
    answer = served.client.get(path) if body is None else served.client.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]) == (404, "There is no such job.")


def test_so_do_objects_that_are_held_already(served, monkeypatch):
    deletes_after(served, monkeypatch, Log, "current")
    answer = served.client.get(f"/v1/jobs/{served.id}/objects")
    assert (answer.status_code, answer.json()["error"]) == (404, "There is no such job.")
    assert not served.jobs.folder(served.id).exists()


def test_what_fails_while_its_job_is_there_is_no_missing_job(served):
    (served.jobs.folder(served.id) / CLASSES).unlink()
    answer = served.client.get(f"/v1/jobs/{served.id}/summary")
    assert answer.status_code == 500
    assert answer.json()["error"] != "There is no such job."


@pytest.mark.parametrize("seed", range(3))
def test_outlines_are_at_most_a_pixel_off(seed):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(200, 220)).astype(np.float32), (0, 0), 8)
    mask = noise > 0.01
    rings = outline_of(mask, Window(1000, 2000, 200, 220))
    drawn = np.zeros(mask.shape, np.uint8)
    for ring in rings:
        cv2.polylines(drawn, [np.array(ring) - [2000, 1000]], isClosed=True, color=1)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    edge = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(edge, contours, -1, 1, 1)
    far = cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[drawn > 0].max()
    back = cv2.distanceTransform(1 - drawn, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[edge > 0].max()
    # The line itself is drawn on whole pixels, so that it may be half a diagonal further away.
    assert max(far, back) <= 1.5
    assert sum(map(len, rings)) < edge.sum() / 3


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (64, 3)])
def test_masks_come_back_from_what_is_kept(shape):
    mask = np.random.default_rng(0).random(shape) > 0.5
    assert np.array_equal(unpack(pack(mask), shape), mask)


def test_objects_are_computed_once_a_revision_and_sent_packed(served, monkeypatch):
    path = f"/v1/jobs/{served.id}/objects"
    packed = served.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    monkeypatch.setattr(results, "entry", lambda _: pytest.fail("computed again"))
    plain = served.client.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.json() == packed.json()
    monkeypatch.undo()
    served.client.post(f"/v1/jobs/{served.id}/corrections", json={"revision": 0, "op": "delete", "labels": [1]})
    assert served.objects(served.id)["revision"] == 1
    kept = sorted(file.name for file in served.jobs.folder(served.id).glob("objects-*"))
    assert kept == ["objects-1.json.gz"]
    assert len(json.loads(gzip.decompress((served.jobs.folder(served.id) / kept[0]).read_bytes()))["objects"]) == 3


def test_an_object_says_all_its_measures(served):
    one = served.client.get(f"/v1/jobs/{served.id}/objects/2").json()
    assert (one["label"], one["taxon"], one["score"]) == (2, "copepod", 0.9647)
    assert one["likeliest"] == [{"name": "copepod", "probability": 0.9647}]
    assert (one["measures"]["area"], one["measures"]["bx"], one["measures"]["by"]) == (1600, 50, 50)
    assert one["measures"]["area_mm2"] == pytest.approx(1600 * pixel_mm(2400) ** 2)
    for label in (0, 9, 10**30, "x"):
        answer = served.client.get(f"/v1/jobs/{served.id}/objects/{label}")
        assert answer.status_code in (400, 404)
        assert set(answer.json()) == {"error", "expected", "fix"}


def test_a_vignette_shows_the_object_alone_with_a_bar(served):
    answer = served.client.get(f"/v1/jobs/{served.id}/objects/2.png")
    assert answer.headers["Content-Type"] == "image/png"
    pixels = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    # 40 pixels and a fifth on each side, and the footer with a bar of 1 mm: 94 pixels, and 10 on each side.
    assert pixels.shape == (56 + 31, 94 + 20)
    inner = cut_to_object(pixels, answer.content)
    assert inner.shape == (40, 40)
    assert np.abs(inner.astype(int) - round(90 / 220 * 255)).max() <= 2
    assert served.client.get(f"/v1/jobs/{served.id}/objects/9.png").status_code == 404


def test_a_huge_object_is_drawn_small(served, monkeypatch):
    monkeypatch.setattr(results, "MAX_VIGNETTE", 500)
    answer = served.client.get(f"/v1/jobs/{served.id}/objects/4.png")
    pixels = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    inner = cut_to_object(pixels, answer.content)
    # 100 x 20 pixels are halved; so is the bar.
    assert inner.shape == (10, 50)
    assert np.abs(inner.astype(int) - round(150 / 220 * 255)).max() <= 2


def test_counts_and_spectrum_follow_from_the_measures(served):
    found = served.client.get(f"/v1/jobs/{served.id}/summary").json()
    side = pixel_mm(2400)
    assert [(row["taxon"], row["living"], row["count"]) for row in found["counts"]] == [
        ("copepod", True, 2),
        ("egg", True, 2),
    ]
    assert found["counts"][0]["area_mm2"] == pytest.approx(3200 * side**2)
    volumes = [4 / 3 * math.pi * math.sqrt(area * side**2 / math.pi) ** 3 for area in (1500, 1600, 1600, 2000)]
    assert found["counts"][0]["biovolume_mm3"] == pytest.approx(volumes[1] + volumes[2])
    assert found["spectrum"]["unit"] == "mm3"
    # Octaves of volume; the three smaller ones share one.
    assert [each["count"] for each in found["spectrum"]["bins"]] == [3, 1]
    assert sum(each["biovolume"] for each in found["spectrum"]["bins"]) == pytest.approx(sum(volumes))
    for each in found["spectrum"]["bins"]:
        assert each["high"] == pytest.approx(2 * each["low"])
    assert "Only 4 living objects: counts are uncertain by 50 % (1/√n) or more." in found["flags"]


def test_without_a_resolution_there_are_no_millimetres(tmp_path):
    with service(tmp_path / "data") as served:
        id = served.done()
        assert served.objects(id)["objects"][0]["esd_mm"] is None
        found = served.client.get(f"/v1/jobs/{id}/summary").json()
        assert found["spectrum"] is None
        assert {row["biovolume_mm3"] for row in found["counts"]} == {None}
        assert any("No resolution of rg" in text for text in found["flags"])


@pytest.mark.parametrize(
    "name",
    [
        "rg_scan.png",
        "corrections.jsonl",
        "..%2frg_scan.png",
        "..%2f..%2f..%2fjobs.sqlite",
        "%2e%2e/shapes.jsonl.gz",
        "%2fetc%2fpasswd",
        "....//",
        "rg_mask.png%00.txt",
        "RG_MASK.PNG",
        "%252e%252e",
    ],
)
def test_only_names_of_the_list_are_served(served, name):
    assert served.client.get(f"/v1/jobs/{served.id}/files/{name}").status_code == 404


def test_links_out_of_the_folder_are_not_followed(served, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = served.jobs.folder(served.id)
    (folder / "measures" / "a.txt").symlink_to(secret)
    (folder / "prediction" / "rg_overlay.jpg").unlink()
    (folder / "prediction" / "rg_overlay.jpg").symlink_to(secret)
    names = [each["name"] for each in served.client.get(f"/v1/jobs/{served.id}/files").json()["files"]]
    assert "a.txt" not in names
    assert "rg_overlay.jpg" not in names
    assert served.client.get(f"/v1/jobs/{served.id}/files/a.txt").status_code == 404


def test_files_are_saved_and_never_shown_as_pages(served):
    answer = served.client.get(f"/v1/jobs/{served.id}/files/report_rg.html")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report_rg.html"'


def test_values_in_use_are_never_made_twice():
    made = []

    class Value:
        def __init__(self, key):
            made.append(key)

    kept = Kept(Value, most=1)
    first = kept.get("a")
    kept.get("b")
    assert kept.get("a") is first
    assert made == ["a", "b"]
    kept.forget("a")
    assert kept.get("a") is not first


def predict_scans(out, paths, made_by, **settings):
    """Makes a prediction folder."""
    config = PredictConfig(**settings).for_classes(3)
    out.mkdir(parents=True)
    journal = Journal.of(out, made_by, config)
    for path in paths:
        entry = predict_with(made_by, path, sha256(path), config, out, lambda *_: None)
        journal.add(path, entry)
    journal.finish()


@pytest.fixture
def predictions(tmp_path):
    """A folder with the prediction folder of two scans, and one that is not whole."""
    paths = [tmp_path / "scans" / f"{stem}_scan.png" for stem in ("a", "b")]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(encoded(draw()))
    predict_scans(tmp_path / "predictions" / "cruise", paths, predictor())
    (tmp_path / "predictions" / "begun").mkdir()
    (tmp_path / "predictions" / "begun" / "prediction.json").write_text('{"status": "running", "scans": []}')
    return tmp_path / "predictions"


def test_a_prediction_folder_on_the_server_is_opened_and_never_written_to(predictions, tmp_path):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in predictions.rglob("*") if path.is_file()}
    with service(tmp_path / "data", predictions=predictions) as served:
        (folder,) = served.client.get("/v1/folders").json()["folders"]
        assert (folder["name"], folder["scans"]) == ("cruise", 2)
        jobs = served.client.post(f"/v1/folders/{folder['id']}").json()["jobs"]
        assert [job["scan"] for job in jobs] == ["a", "b"]
        assert served.worker.work()
        assert served.worker.work()
        first = jobs[0]["id"]
        job = served.job(first)
        assert (job["state"], job["objects"], job["height"], job["model_sha256"]) == ("done", 4, 300, "d" * 64)
        body = {"revision": 0, "op": "split", "label": 4, "line": [[100, 150], [100, 250]]}
        assert served.client.post(f"/v1/jobs/{first}/corrections", json=body).status_code == 200
        assert served.client.post(f"/v1/jobs/{first}/export").status_code == 200
        names = [each["name"] for each in served.client.get(f"/v1/jobs/{first}/files").json()["files"]]
        assert {"a_mask.png", "objects.csv", "a_training.zip"} <= set(names)
        assert not {"prediction.json", "b_mask.png"} & set(names)
        # What is open already is not opened twice.
        again = served.client.post(f"/v1/folders/{folder['id']}").json()["jobs"]
        assert [job["id"] for job in again] == [job["id"] for job in jobs]
        assert served.client.delete(f"/v1/jobs/{first}").status_code == 204
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in predictions.rglob("*") if path.is_file()}
    assert after == before


def only_dark(images):
    return by_gray(np.where(images < 120, 220, images))


def test_scans_of_any_compression_are_exported_as_they_are(tmp_path):
    path = tmp_path / "scans" / "a_scan.tif"
    path.parent.mkdir()
    # One that the service takes from nobody, and `plankton predict` reads.
    tifffile.imwrite(path, draw(), compression="jpeg")
    predict_scans(tmp_path / "predictions" / "cruise", [path], predictor())
    with service(tmp_path / "data", predictions=tmp_path / "predictions") as served:
        (folder,) = served.client.get("/v1/folders").json()["folders"]
        (job,) = served.client.post(f"/v1/folders/{folder['id']}").json()["jobs"]
        assert served.worker.work()
        answer = served.client.post(f"/v1/jobs/{job['id']}/export")
        assert answer.status_code == 200, answer.text
        archive = served.client.get(f"/v1/jobs/{job['id']}/files/a_training.zip").content
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        assert found.read("a_scan.tif") == path.read_bytes()


def test_packages_of_a_scan_with_a_long_name_have_names_of_their_own(tmp_path):
    path = tmp_path / f"{120 * 'x'}_scan.png"
    path.write_bytes(encoded(draw()))
    predict_scans(tmp_path / "predictions", [path], predictor())
    with service(tmp_path / "data", predictions=tmp_path / "predictions") as served:
        (folder,) = served.client.get("/v1/folders").json()["folders"]
        (job,) = served.client.post(f"/v1/folders/{folder['id']}").json()["jobs"]
        assert served.worker.work()
        found = [served.client.get(f"/v1/jobs/{job['id']}/files").json()["files"]]
        for revision, taxon in enumerate(("Calanus", "Oithona")):
            body = {"revision": revision, "op": "rename", "labels": [1], "taxon": taxon}
            assert served.client.post(f"/v1/jobs/{job['id']}/corrections", json=body).status_code == 200
            found.append(served.client.post(f"/v1/jobs/{job['id']}/export").json()["files"])
    packages = [each for files in found for each in files if each["name"].startswith("ecotaxa_")]
    # EcoTaxa passes over a table whose name it knows, and tables are called as their package.
    assert len({each["name"] for each in packages}) == 3
    assert [each["what"] for each in packages] == ["package for EcoTaxa", *2 * ["package for EcoTaxa, corrected"]]


def test_folders_that_may_not_be_looked_into_are_left_out(predictions, monkeypatch):
    (predictions / "lost+found").mkdir()
    stat = os.stat

    def refusing(path, *rest, **more):
        if "lost+found/" in os.fspath(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return stat(path, *rest, **more)

    monkeypatch.setattr(os, "stat", refusing)
    assert [folder.name for folder in folders_of(predictions)] == ["cruise"]


class TestPredictedAnew:
    @pytest.fixture
    def opened(self, predictions, tmp_path):
        """A service with the jobs of the folder, done, and a correction of the first."""
        with service(tmp_path / "data", predictions=predictions) as served:
            served.ids = self.open(served)
            assert served.worker.work()
            assert served.worker.work()
            body = {"revision": 0, "op": "delete", "labels": [1]}
            assert served.client.post(f"/v1/jobs/{served.ids[0]}/corrections", json=body).status_code == 200
            yield served

    def open(self, served):
        (folder,) = served.client.get("/v1/folders").json()["folders"]
        return [job["id"] for job in served.client.post(f"/v1/folders/{folder['id']}").json()["jobs"]]

    def anew(self, tmp_path, made_by, **settings):
        shutil.rmtree(tmp_path / "predictions" / "cruise")
        paths = sorted((tmp_path / "scans").iterdir())
        predict_scans(tmp_path / "predictions" / "cruise", paths, made_by, **settings)

    def test_it_is_opened_anew_and_what_was_corrected_stays(self, opened, tmp_path):
        self.anew(tmp_path, predictor(only_dark, digest="e" * 64))
        first, second = self.open(opened)
        assert {first, second}.isdisjoint(opened.ids)
        assert opened.worker.work()
        assert [each["area_px"] for each in opened.objects(first)["objects"]] == [1500, 2000]
        assert opened.job(first)["model_sha256"] == "e" * 64
        assert [each["area_px"] for each in opened.objects(opened.ids[0])["objects"]] == [1600, 1600, 2000]
        assert self.open(opened) == [first, second]

    def test_the_earlier_job_keeps_what_made_it_and_lists_no_files_of_the_new_prediction(self, opened, tmp_path):
        def names():
            listed = opened.client.get(f"/v1/jobs/{opened.ids[0]}/files").json()["files"]
            return {each["name"] for each in listed}

        before = names()
        self.anew(tmp_path, predictor(only_dark, digest="e" * 64))
        assert before - names() == {"a_mask.png", "a_overlay.jpg", "a_objects.csv"}
        opened.jobs.close()
        with service(tmp_path / "data", predictions=tmp_path / "predictions") as served:
            exported = served.client.post(f"/v1/jobs/{opened.ids[0]}/export").json()["files"]
            archive = next(each["name"] for each in exported if each["name"].startswith("ecotaxa_"))
            content = served.client.get(f"/v1/jobs/{opened.ids[0]}/files/{archive}").content
            shutil.rmtree(tmp_path / "predictions")
            assert served.client.get(f"/v1/jobs/{opened.ids[0]}/files").status_code == 200
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            table = next(name for name in package.namelist() if name.endswith(".tsv"))
            assert "d" * 64 in package.read(table).decode()

    def test_without_a_scan_that_waits_is_said(self, predictions, tmp_path):
        with service(tmp_path / "data", predictions=predictions) as served:
            ids = self.open(served)
            (tmp_path / "scans" / "b_scan.png").unlink()
            self.anew(tmp_path, predictor())
            assert served.worker.work()
            assert served.worker.work()
            jobs = [served.job(id) for id in ids]
        assert [job["state"] for job in jobs] == ["done", "failed"]
        assert jobs[1]["error"] == {
            "error": "The prediction folder does not hold the scan b any more.",
            "expected": "the prediction that was opened.",
            "fix": "open the folder again.",
        }

    def test_by_the_same_model_with_other_settings(self, opened, tmp_path):
        self.anew(tmp_path, predictor(), threshold=0.4)
        assert set(self.open(opened)).isdisjoint(opened.ids)

    def test_of_another_scan_of_the_same_name(self, opened, tmp_path):
        (tmp_path / "scans" / "b_scan.png").write_bytes(encoded(np.flipud(draw())))
        self.anew(tmp_path, predictor())
        first, second = self.open(opened)
        assert (first == opened.ids[0], second == opened.ids[1]) == (True, False)

    def test_what_is_as_it_was_is_not_opened_twice(self, opened, tmp_path):
        self.anew(tmp_path, predictor())
        assert self.open(opened) == opened.ids

    def test_jobs_of_an_earlier_version_go_by_the_model_alone(self, opened, tmp_path):
        opened.jobs.close()
        with contextlib.closing(sqlite3.connect(tmp_path / "data" / "jobs.sqlite")) as connection:
            connection.execute("ALTER TABLE jobs DROP COLUMN made")
        with service(tmp_path / "data", predictions=tmp_path / "predictions") as served:
            assert self.open(served) == opened.ids
            assert served.objects(opened.ids[0])["revision"] == 1
            self.anew(tmp_path, predictor(only_dark, digest="e" * 64))
            assert set(self.open(served)).isdisjoint(opened.ids)


@pytest.mark.parametrize("stem", ["../a", "/etc/passwd", "a/b"])
def test_folders_whose_scans_are_paths_are_left_out(predictions, stem):
    path = predictions / "cruise" / "prediction.json"
    content = json.loads(path.read_text())
    content["scans"][0]["scan"] = stem
    path.write_text(json.dumps(content))
    assert folders_of(predictions) == []


def test_the_living_classes_of_a_folder_are_those_that_it_names(predictions, tmp_path):
    path = predictions / "cruise" / "prediction.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "living": {"copepod": True, "egg": False}}))
    with service(tmp_path / "data", predictions=predictions) as served:
        (folder,) = served.client.get("/v1/folders").json()["folders"]
        first, _ = served.client.post(f"/v1/folders/{folder['id']}").json()["jobs"]
        assert served.worker.work()
        living = {each["name"]: each["living"] for each in served.objects(first["id"])["classes"]}
    assert living == {"non-living": False, "copepod": True, "egg": False}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "is damaged: status is missing.\nExpected: the journal of a prediction."),
        ("[]", "holds a list.\nExpected: a JSON object."),
        (
            '{"status": "done", "scans": [{"scan": "a"}]}',
            "is damaged: classes is missing.\nExpected: the journal of a prediction.",
        ),
    ],
)
def test_a_prediction_json_of_something_else_is_left_out(predictions, tmp_path, content, problem):
    (predictions / "begun" / "prediction.json").write_text(content)
    assert [folder.name for folder in folders_of(predictions)] == ["cruise"]
    done = CliRunner().invoke(main, ["measure", str(predictions / "begun"), "--out", str(tmp_path / "out")])
    assert (done.exit_code, done.stderr) == (
        4,
        f"{predictions / 'begun'}/prediction.json {problem}\nFix: give a folder that plankton predict wrote.\n",
    )


def test_a_folder_of_predictions_that_is_not_there_is_said_at_the_start(tmp_path):
    done = CliRunner().invoke(main, ["serve", str(tmp_path), "--predictions", str(tmp_path / "none")])
    assert (done.exit_code, done.stderr) == (
        2,
        f"--predictions {tmp_path / 'none'} is no folder.\nExpected: a folder of prediction folders.\nFix: make it.\n",
    )
    assert folders_of(tmp_path / "none") == []


def test_scans_that_moved_fail_and_other_folders_are_unknown(predictions, tmp_path):
    with service(tmp_path / "data", predictions=predictions / "cruise") as served:
        shutil.rmtree(tmp_path / "scans")
        (folder,) = served.client.get("/v1/folders").json()["folders"]
        jobs = served.client.post(f"/v1/folders/{folder['id']}").json()["jobs"]
        assert served.worker.work()
        assert served.job(jobs[0]["id"])["error"]["error"] == "a does not exist."
        # Nor does a damaged prediction tell where it lies.
        cv2.imwrite(str(predictions / "cruise" / "b_mask.png"), np.zeros((300, 400), np.uint8))
        (predictions / "b_scan.png").write_bytes(encoded(draw()))
        assert served.worker.work()
        said = served.job(jobs[1]["id"])["error"]["error"]
        assert said == "the prediction/b_mask.png does not hold object 1 of the table."
        for id in ("x", "0" * 32, "..%2fcruise"):
            assert served.client.post(f"/v1/folders/{id}").status_code == 404
    with service(tmp_path / "other") as served:
        assert served.client.get("/v1/folders").json() == {"folders": []}


@pytest.mark.slow
def test_a_drawn_scan_is_shown_whole(tmp_path):
    """Every pixel of the mask is owned by one object, and its outline encloses it."""
    drawn = draw_scan(1200, 1600, seed=3)
    write_netpbm(tmp_path / "scan.ppm", drawn.scan)

    def dark(images):
        living = 1 / (1 + np.exp((images.astype(np.float32) - 190) / 8))
        return np.stack([1 - living, living, np.zeros_like(living)], axis=-1)

    with service(tmp_path / "data", probabilities=dark) as served:
        id = served.done((tmp_path / "scan.ppm").read_bytes(), dpi=2400)
        found = served.objects(id)["objects"]
        mask = cv2.imread(str(served.jobs.folder(id) / "prediction" / "rg_mask.png"), cv2.IMREAD_UNCHANGED)
        filled = np.zeros(mask.shape, np.uint8)
        for each in found:
            cv2.fillPoly(filled, [np.array(ring) for ring in each["outline"]], 1)
        assert len(found) > 20
        assert sum(each["area_px"] for each in found) == np.count_nonzero(mask)
        grown = cv2.dilate(filled, np.ones((3, 3), np.uint8))
        assert not ((mask > 0) & (grown == 0)).any()
