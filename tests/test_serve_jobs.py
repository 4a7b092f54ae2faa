"""Jobs: the files of the commands, states that outlive the service, progress, cancelling, expiry."""

import asyncio
import contextlib
import errno
import functools
import json
import sqlite3
import struct
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

pytest.importorskip("fastapi")
from click.testing import CliRunner
from serving import LIMITS, by_gray, draw, encoded, predictor, service

from plankton_keras import packing, predicting, reporting
from plankton_keras.cli import main
from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.serve import job_routes, notifying, worker
from plankton_keras.serve.claims import check_scan
from plankton_keras.serve.jobs import Jobs
from plankton_keras.serve.limits import Limits
from plankton_keras.serve.notifying import Notifier
from plankton_keras.serve.refusing import Refused


@pytest.fixture
def served(tmp_path):
    with service(tmp_path / "data", limits=LIMITS) as made:
        yield made


def plankton(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output


def test_the_files_of_a_job_are_those_of_the_commands(served, tmp_path, monkeypatch):
    for module in (packing, reporting):
        monkeypatch.setattr(module, "now", lambda: "2026-01-02T03:04:05+00:00")
    id = served.done(dpi=2400)
    monkeypatch.setattr(predicting, "load", lambda *_: predictor())
    scan = served.jobs.folder(id) / "rg_scan.png"
    plankton("predict", "exports/plankton", scan, "--out", tmp_path / "p", "--quiet")
    plankton("measure", tmp_path / "p", "--out", tmp_path / "m", "--dpi", 2400, "--quiet")
    listed = served.client.get(f"/v1/jobs/{id}/files").json()["files"]
    got = {each["name"]: served.client.get(f"/v1/jobs/{id}/files/{each['name']}").content for each in listed}
    assert {each["name"]: each["bytes"] for each in listed} == {name: len(content) for name, content in got.items()}
    same = [f"p/rg_{kind}" for kind in ("mask.png", "overlay.jpg", "objects.csv")]
    same += [f"m/{name}" for name in ("objects.csv", "objects.parquet", "ecotaxa_rg.zip", "report_rg.html")]
    for name in same:
        assert got[name[2:]] == (tmp_path / name).read_bytes(), name
    mine, theirs = json.loads(got["prediction.json"]), json.loads((tmp_path / "p" / "prediction.json").read_text())
    (entry,), (expected,) = mine.pop("scans"), theirs.pop("scans")
    assert mine == theirs
    assert entry["path"] == "rg_scan.png"
    varying = ("path", "seconds", "megapixels_per_second", "peak_memory_mb")
    assert {k: v for k, v in entry.items() if k not in varying} == {
        k: v for k, v in expected.items() if k not in varying
    }
    # No path of the server is told.
    assert str(tmp_path) not in got["measure.json"].decode() + got["prediction.json"].decode()


def test_a_job_says_what_it_is(served):
    id = served.done(name="rg_scan.png", dpi=1200)
    job = served.job(id)
    assert (job["state"], job["progress"], job["objects"], job["scan"]) == ("done", 1.0, 4, "rg")
    assert (job["height"], job["width"], job["megapixels"], job["dpi"]) == (300, 400, 0.12, 1200)
    assert (job["model"], job["version"], job["model_sha256"]) == ("plankton", 1, "d" * 64)
    assert job["seconds"] > 0
    assert job["error"] is None
    second = served.upload(encoded(draw()))
    assert [each["id"] for each in served.client.get("/v1/jobs").json()["jobs"]] == [second, id]
    assert served.jobs.store.counts() == {"done": 1, "waiting": 1}


def test_the_resolution_of_the_file_counts_more_than_the_given_one(served, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, draw(), resolution=(2400, 2400), resolutionunit=2)
    id = served.done(path.read_bytes(), dpi=300)
    assert served.job(id)["dpi"] == 2400


@pytest.mark.parametrize("suffix", [".pgm", ".png", ".tif", ".bmp", ".jpg"])
def test_the_format_is_told_from_the_content(served, suffix):
    id = served.done(encoded(draw(), suffix), name="anything.gif")
    assert (served.job(id)["state"], served.job(id)["objects"]) == ("done", 4)
    assert (served.jobs.folder(id) / f"anything_scan{suffix}").is_file()


def claim_of_png(width, height):
    content = bytearray(encoded(draw()))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"hello", "The file is no image that is known."),
        (b"P5 5 5 255\n" + bytes(20), "rg is cut off: 20 bytes."),
        (encoded(draw())[:-30], "rg_scan is cut off"),
        (encoded(draw(), ".tif")[:60], "The header of the file is damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "The header of the file is damaged"),
        (b"GIF89a" + bytes(3), "The header of the file is damaged"),
    ],
)
def test_what_is_no_whole_scan_fails_in_three_lines(served, content, error):
    id = served.done(content)
    job = served.job(id)
    assert job["state"] == "failed"
    assert set(job["error"]) == {"error", "expected", "fix"}
    assert error.split()[-1] in job["error"]["error"]
    assert "/" not in job["error"]["error"]
    assert served.client.get(f"/v1/jobs/{id}/files").status_code == 409


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (1001, 1000)])
def test_a_scan_that_claims_too_many_pixels_is_refused_before_it_is_decoded(served, size, monkeypatch):
    monkeypatch.setattr(cv2, "imread", lambda *_: pytest.fail("decoded"))
    # The check sum of the header does not fit any more, which Pillow finds first.
    content = claim_of_png(*size)
    import zlib

    content = content[:29] + zlib.crc32(content[12:29]).to_bytes(4, "big") + content[33:]
    id = served.done(content)
    assert served.job(id)["error"] == {
        "error": f"The scan says that it has {size[0]} x {size[1]} pixels.",
        "expected": "at most 1 megapixels.",
        "fix": "cut the scan into parts.",
    }


def test_a_tiff_whose_parts_could_be_anything_is_refused(served, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, draw(), compression="jpeg")
    assert served.job(served.done(path.read_bytes()))["error"]["error"] == "The file is a TIFF of compression 7."
    tifffile.imwrite(path, draw(), compression="zlib", rowsperstrip=16)
    assert served.job(served.done(path.read_bytes()))["state"] == "done"


@pytest.mark.parametrize(
    ("tag", "kind", "count", "said"),
    [
        (256, 2, 1, "its imagewidth is 'Z'"),
        (256, 3, 0, "its imagewidth is ()"),
        (257, 3, 2, ""),
        (257, 11, 1, "its imagelength is 9.80908925027372e-44"),
        (259, 1, 0, "its compression is b''"),
        (277, 3, 2, ""),
    ],
)
def test_a_tag_of_a_tiff_that_is_no_number_is_said_to_be_damaged(tmp_path, tag, kind, count, said):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, np.zeros((70, 90), np.uint8), compression="zlib")
    content = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", content, 4)[0]
    places = [first + 2 + 12 * index for index in range(struct.unpack_from("<H", content, first)[0])]
    (place,) = (place for place in places if struct.unpack_from("<H", content, place)[0] == tag)
    struct.pack_into("<HI", content, place + 2, kind, count)
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        check_scan(path, 100)
    # tifffile words some of them itself.
    assert caught.value.what.startswith(f"The header of the file is damaged: {said}")


def test_a_bug_fails_its_job_and_no_other(tmp_path):
    broken = [True]

    def once(images):
        if broken:
            broken.pop()
            raise RuntimeError("secret")
        return by_gray(images)

    with service(tmp_path / "data", probabilities=once, limits=LIMITS) as served:
        first, second = served.done(), served.done()
        assert served.job(first)["error"]["error"] == "The service failed at this scan."
        assert served.job(second)["state"] == "done"


def test_a_scan_without_an_object_is_done_too(served):
    id = served.done(encoded(np.full((300, 300), 220, np.uint8)))
    assert (served.job(id)["state"], served.job(id)["objects"]) == ("done", 0)
    assert served.objects(id)["objects"] == []
    assert served.client.get(f"/v1/jobs/{id}/summary").json()["spectrum"] is None
    names = [each["name"] for each in served.client.post(f"/v1/jobs/{id}/export").json()["files"]]
    assert names == ["rg_training.zip"]


@pytest.mark.parametrize("state", ["uploading", "waiting"])
def test_a_job_that_has_not_begun_is_cancelled_then_deleted(served, state):
    id = served.create(10).json()["id"] if state == "uploading" else served.upload(encoded(draw()))
    cancelled = served.client.delete(f"/v1/jobs/{id}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert not served.jobs.folder(id).exists()
    assert not served.worker.work()
    assert served.client.delete(f"/v1/jobs/{id}").status_code == 204
    assert served.client.get(f"/v1/jobs/{id}").status_code == 404


@pytest.mark.parametrize("twice", [False, True])
def test_a_job_is_cancelled_in_the_middle_of_its_prediction(tmp_path, monkeypatch, twice):
    monkeypatch.setattr(worker, "TELL_SECONDS", 0)
    calls, ids = [], []

    def cancelling(images):
        calls.append(len(images))
        if len(calls) == 1:
            for _ in range(1 + twice):
                served.client.delete(f"/v1/jobs/{ids[0]}")
            # What is worked on is left alone until the worker notices.
            assert served.jobs.folder(ids[0]).is_dir()
        return by_gray(images)

    with service(tmp_path / "data", probabilities=cancelling, limits=Limits()) as served:
        ids.append(served.upload(encoded(np.tile(draw(), (4, 4)))))
        monkeypatch.setattr(served.jobs, "config", served.jobs.config.__class__(tile=128, batch_size=1, context=16))
        assert served.worker.work()
        assert len(calls) < 5
        assert not served.jobs.folder(ids[0]).exists()
        found = served.jobs.store.get(ids[0])
        assert found is None if twice else found.state == "cancelled"


def test_results_are_deleted_when_their_time_has_come(tmp_path):
    now = [1000.0]
    with service(tmp_path / "data", limits=Limits(keep_hours=2, upload_hours=1), clock=lambda: now[0]) as served:
        id = served.done()
        assert served.job(id)["expires"] == "1970-01-01T02:16:40.000+00:00"
        now[0] += 2 * 3600 - 1
        served.worker.work()
        assert served.job(id)["state"] == "done"
        # A correction counts as use.
        body = {"revision": 0, "op": "delete", "labels": [1]}
        assert served.client.post(f"/v1/jobs/{id}/corrections", json=body).status_code == 200
        assert served.job(id)["objects"] == 3
        now[0] += 2 * 3600 - 1
        served.worker.work()
        assert served.job(id)["state"] == "done"
        now[0] += 1
        served.worker.work()
        assert served.client.get(f"/v1/jobs/{id}").status_code == 404
        assert not served.jobs.folder(id).exists()


def test_a_job_that_is_corrected_in_the_moment_of_its_expiry_is_kept(tmp_path, monkeypatch):
    now = [1000.0]
    with service(tmp_path / "data", limits=Limits(keep_hours=2), clock=lambda: now[0]) as served:
        id, expired = served.done(), served.jobs.store.expired

        def correcting(time):
            rows = expired(time)
            body = {"revision": 0, "op": "delete", "labels": [1]}
            assert served.client.post(f"/v1/jobs/{id}/corrections", json=body).status_code == 200
            return rows

        monkeypatch.setattr(served.jobs.store, "expired", correcting)
        now[0] += 2 * 3600
        served.worker.work()
        assert len(served.objects(id)["objects"]) == 3


def test_uploads_that_rest_are_given_up(tmp_path):
    now = [time.time()]
    with service(tmp_path / "data", limits=Limits(upload_hours=1), clock=lambda: now[0]) as served:
        id = served.create(10).json()["id"]
        served.patch(id, 0, b"x")
        now[0] += 3500
        served.worker.work()
        assert served.job(id)["state"] == "uploading"
        now[0] += 200
        served.worker.work()
        assert served.job(id)["state"] == "cancelled"


class Killed(BaseException):
    """Stands for the end of the process."""


def killed(*_):
    raise Killed


def test_a_job_that_was_interrupted_is_redone_after_a_restart(tmp_path):
    with service(tmp_path / "data", probabilities=killed) as served:
        id = served.upload(encoded(draw()))
        with pytest.raises(Killed):
            served.worker.work()
        assert served.job(id)["state"] == "predicting"
        assert served.client.get(f"/v1/jobs/{id}/objects").status_code == 409
    with service(tmp_path / "data") as served:
        assert served.job(id)["state"] == "waiting"
        assert served.worker.work()
        assert (served.job(id)["state"], served.job(id)["objects"]) == ("done", 4)


def test_what_was_predicted_before_the_interruption_is_not_predicted_again(tmp_path):
    with service(tmp_path / "data", naming=killed) as served:
        id = served.upload(encoded(draw()))
        with pytest.raises(Killed):
            served.worker.work()
        assert served.job(id)["state"] == "measuring"
        assert served.client.get(f"/v1/jobs/{id}/files").status_code == 409
    with service(tmp_path / "data", probabilities=killed) as served:
        assert served.worker.work()
        assert served.job(id)["state"] == "done"
        assert not list(served.jobs.folder(id).glob("*.partial"))


def test_another_version_of_the_model_predicts_anew(tmp_path):
    with service(tmp_path / "data", naming=killed) as served:
        id = served.upload(encoded(draw()))
        with pytest.raises(Killed):
            served.worker.work()
    with service(tmp_path / "data") as served:
        served.worker._current = lambda: (predictor(digest="e" * 64), 2)
        assert served.worker.work()
        assert (served.job(id)["version"], served.job(id)["model_sha256"]) == (2, "e" * 64)
        made = json.loads(served.client.get(f"/v1/jobs/{id}/files/prediction.json").content)
        assert made["model_sha256"] == "e" * 64


def test_folders_without_a_job_are_swept_at_the_start(tmp_path):
    stray = tmp_path / "data" / "jobs" / ("a" * 32)
    with service(tmp_path / "data"):
        stray.mkdir()
    with service(tmp_path / "data"):
        assert not stray.exists()


def test_scans_and_corrections_outlive_the_table_of_jobs(tmp_path, caplog):
    data = tmp_path / "data"
    with service(data) as served:
        lost = served.done()
        before = {path.name: path.read_bytes() for path in served.jobs.folder(lost).iterdir() if path.is_file()}
    for path in data.glob("jobs.sqlite*"):
        path.unlink()
    with service(data) as served:
        assert served.jobs.store.all() == []
        kept = served.done()
    place = data / "jobs" / "unknown" / lost
    assert [record.getMessage() for record in caplog.records if record.name.endswith("jobs")] == [
        f"{data / 'jobs.sqlite'} is new and knows none of 1 folders of jobs: they are kept in {place.parent}"
    ]
    # Nor does any later start take them for what a kill left.
    with service(data) as served:
        assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == before
        assert served.job(kept)["state"] == "done"


def test_tiles_wait_until_the_scan_has_its_name(served):
    id = served.upload(encoded(draw()))
    served.jobs.store.change(id, state="predicting", file="rg_scan.png")
    with pytest.raises(Refused, match="The job is predicting"):
        served.jobs.scan(id)
    served.jobs.upload(id).replace(served.jobs.folder(id) / "rg_scan.png")
    assert served.jobs.scan(id)[0] == served.jobs.folder(id) / "rg_scan.png"


def test_an_upload_that_becomes_a_scan_while_it_is_looked_at_is_described(served, monkeypatch):
    row = served.jobs.get(served.create(100).json()["id"])
    served.jobs.upload(row.id).unlink()
    # As it was a moment ago.
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    assert served.jobs.describe(row)["received"] == 0


def test_a_data_folder_has_one_service(tmp_path):
    with service(tmp_path / "data"), pytest.raises(ArtefactError) as caught:
        Jobs(tmp_path / "data")
    assert str(caught.value) == (
        f"{tmp_path / 'data'} is used by another service.\n"
        "Expected: a data folder of its own.\nFix: choose another --data."
    )


def test_a_store_of_something_else_is_refused(tmp_path):
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(ArtefactError, match="cannot be read") as caught:
        Jobs(tmp_path)
    # Not the file alone: the folders of its jobs belong to it.
    assert caught.value.fix == f"move {tmp_path} away, all of it, or choose another --data."


def test_a_flipped_bit_of_a_store_is_no_traceback_and_takes_no_job_for_unknown(tmp_path):
    with service(tmp_path / "whole") as served:
        ids = {served.done(), *(served.upload(encoded(draw())) for _ in range(20))}
    whole, draws, refused = (tmp_path / "whole" / "jobs.sqlite").read_bytes(), np.random.default_rng(0), 0
    for index, bit in enumerate(draws.integers(0, 8 * len(whole), 200)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / "jobs.sqlite").write_bytes(damaged)
        try:
            with contextlib.closing(Jobs(tmp_path / str(index))) as jobs:
                found = {row.id for row in jobs.store.all()}
        except ArtefactError:
            refused += 1
        else:
            # Waiting jobs without their scan are removed; none is known by another name.
            assert found <= ids
    assert 0 < refused < 200


def test_a_store_of_another_format_is_refused(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(ArtefactError) as caught:
        Jobs(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'jobs.sqlite'} is of format 7.\nExpected: format 1.\n"
        f"Fix: use the version that wrote it, move {tmp_path} away, all of it, or choose another --data."
    )


def test_a_scan_that_ends_the_service_again_and_again_fails(tmp_path):
    for _ in range(3):
        with service(tmp_path / "data", probabilities=killed) as served:
            id = served.jobs.store.all()[0].id if served.jobs.store.all() else served.upload(encoded(draw()))
            assert served.job(id)["state"] == "waiting"
            with pytest.raises(Killed):
                served.worker.work()
    with service(tmp_path / "data") as served:
        assert served.job(id)["error"] == {
            "error": "rg ended the service 3 times.",
            "expected": "a scan that fits into the memory of the service.",
            "fix": "cut it into parts, or give the service more memory.",
        }
        assert not served.worker.work()


def test_a_service_that_ends_lets_its_job_wait_and_holds_nothing_against_it(tmp_path):
    begun, ended = threading.Event(), threading.Event()

    def slowly(images):
        begun.set()
        ended.wait(60)
        return by_gray(images)

    with service(tmp_path / "data", probabilities=slowly) as served:
        id = served.upload(encoded(draw()))
        served.worker.start()
        assert begun.wait(60)
        served.worker.close(seconds=0)
        ended.set()
        served.worker.close(seconds=60)
        row = served.jobs.store.get(id)
        assert (row.state, row.attempts) == ("waiting", 0)
        assert served.jobs.folder(id).is_dir()


def test_a_full_disk_is_said(tmp_path):
    def full(_):
        raise OSError(errno.ENOSPC, "no space left")

    with service(tmp_path / "data", probabilities=full) as served:
        assert served.job(served.done())["error"]["error"] == "The disk of the service is full."


def test_jobs_wait_until_a_model_is_loaded(served):
    id = served.upload(encoded(draw()))
    served.worker._current = lambda: None
    assert not served.worker.work()
    assert served.job(id)["state"] == "waiting"


def test_a_scan_that_takes_too_much_memory_to_decode_is_refused(served):
    # 0.6 megapixels of four channels of 16 bits: 4.8 MB, where 2 bytes a pixel of 1 megapixel are the limit.
    content = encoded(np.zeros((600, 1000, 4), np.uint16))
    assert served.job(served.done(content))["error"]["error"] == "The scan takes 0.0 GB of memory to decode."
    assert served.job(served.done(encoded(np.zeros((600, 1000, 3), np.uint8))))["state"] == "done"


def test_a_job_has_its_time(tmp_path):
    with service(tmp_path / "data", limits=Limits(job_seconds=-1)) as served:
        id = served.done()
        assert served.job(id)["error"]["error"] == "The scan took more than -1 s."


def test_a_classifier_names_the_objects(tmp_path):
    from plankton_keras.naming import name_objects
    from plankton_keras.predictors import Classifier

    def classify(images, sides):
        return np.tile(np.array([[0.1, 0.7, 0.2]], np.float32), (len(images), 1))

    known = Classifier(classify, ("a", "b<c", "d"), {"a": True, "b<c": False, "d": True}, 0.5, 32, "c", "runs/c")
    with service(tmp_path / "data", naming=functools.partial(name_objects, known)) as served:
        id = served.done()
        objects = served.objects(id)
        assert {each["taxon"] for each in objects["objects"]} == {"b<c"}
        assert [(each["name"], each["living"]) for each in objects["classes"]] == [
            ("non-living", False),
            ("a", True),
            ("b<c", False),
            ("d", True),
            ("unclassified", True),
        ]
        one = served.client.get(f"/v1/jobs/{id}/objects/1").json()
        assert [each["name"] for each in one["likeliest"]] == ["b<c", "d", "a"]
        assert one["likeliest"][0]["probability"] == pytest.approx(0.7)
        # Of what is not living there is no spectrum.
        assert served.client.get(f"/v1/jobs/{id}/summary").json()["spectrum"] is None


def test_the_thread_works_and_ends(tmp_path):
    with service(tmp_path / "data") as served:
        served.worker.start()
        id = served.upload(encoded(draw()))
        deadline = time.monotonic() + 60
        while served.job(id)["state"] != "done" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert served.job(id)["state"] == "done"
        served.worker.close()
        assert not served.worker._thread.is_alive()


def test_the_events_of_a_job_end_when_it_is_final(served):
    id = served.done()
    answer = served.client.get(f"/v1/jobs/{id}/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    name, data = answer.text.strip().split("\n")
    assert name == "event: job"
    assert json.loads(data.removeprefix("data: ")) == served.job(id)
    assert served.client.get(f"/v1/jobs/{'0' * 32}/events").status_code == 404


def test_events_tell_each_state_in_order_and_leave_no_listener(served):
    id = served.upload(encoded(draw()))

    async def heard():
        states = []
        async for text in job_routes._changes(served.jobs, id):
            states.append(json.loads(text.split("data: ")[1])["state"])
            if len(states) == 1:
                threading.Thread(target=served.worker.work).start()
        return states

    states = asyncio.run(heard())
    order = [state for index, state in enumerate(states) if index == 0 or states[index - 1] != state]
    assert order == [state for state in ("waiting", "predicting", "measuring", "done") if state in order]
    assert (order[0], order[-1]) == ("waiting", "done")
    assert len(served.jobs.notifier) == 0


def test_a_stream_that_is_closed_is_forgotten_and_one_that_is_silent_says_that_it_lives(served, monkeypatch):
    monkeypatch.setattr(notifying, "ALIVE_SECONDS", 0.01)
    id = served.upload(encoded(draw()))

    async def closed():
        stream = job_routes._changes(served.jobs, id)
        await anext(stream)
        assert len(served.jobs.notifier) == 1
        alive = await anext(stream)
        await stream.aclose()
        return alive

    assert asyncio.run(closed()) == ": alive\n\n"
    assert len(served.jobs.notifier) == 0


def test_all_jobs_are_streamed_and_the_end_of_the_service_ends_it(served):
    id = served.upload(encoded(draw()))

    async def heard():
        texts = []
        async for text in job_routes._all_changes(served.jobs):
            texts.append(text.split("\n")[0])
            if len(texts) == 2:
                served.jobs.remove(id)
                served.jobs.remove(id)
            if texts[-1] == "event: deleted":
                served.jobs.notifier.close()
        return texts

    assert asyncio.run(heard())[:2] == ["event: job", ": alive"]


def test_changes_between_two_looks_are_one():
    async def heard():
        notifier = Notifier()
        with notifier.listening("a") as listener:
            for id in ("a", "b", "a"):
                notifier.tell(id)
            return await listener.changes(1), await listener.changes(0.01)

    assert asyncio.run(heard()) == (["a"], [])


def test_a_thousand_changes_are_told_to_a_hundred_listeners(served):
    async def heard():
        counts = []

        async def listen():
            with served.jobs.notifier.listening() as listener:
                seen = 0
                while None not in (changed := await listener.changes(1)):
                    seen += len(changed)
                counts.append(seen)

        listeners = [asyncio.create_task(listen()) for _ in range(100)]
        await asyncio.sleep(0)
        teller = threading.Thread(target=lambda: [served.jobs.notifier.tell(str(n)) for n in range(1000)])
        teller.start()
        await asyncio.to_thread(teller.join)
        await asyncio.sleep(0.05)
        served.jobs.notifier.close()
        await asyncio.gather(*listeners)
        return counts

    assert asyncio.run(heard()) == [1000] * 100
