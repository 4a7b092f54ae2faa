"""Uploads: streamed, resumed where they broke off, bounded, and kept in their folder."""

import asyncio
import errno
import shutil
import tracemalloc
from collections import namedtuple

import pytest

pytest.importorskip("fastapi")
import httpx
from serving import LIMITS, TUS, draw, encoded, service
from starlette.requests import ClientDisconnect

from plankton_keras.serve import uploads
from plankton_keras.serve.refusing import Refused
from plankton_keras.serve.uploads import append, label_of

Usage = namedtuple("Usage", "total used free")
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def served(tmp_path):
    with service(tmp_path / "data", limits=LIMITS) as made:
        yield made


def offset(served, id):
    answer = served.client.head(f"/v1/uploads/{id}", headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"]), int(answer.headers["Upload-Length"])


def test_an_upload_comes_in_parts_and_then_waits(served):
    content = encoded(draw())
    created = served.create(len(content), name="rg 1_scan.png", dpi=2400)
    id = created.json()["id"]
    assert created.status_code == 201
    assert created.headers["Location"] == f"/v1/uploads/{id}"
    assert created.headers["Tus-Resumable"] == "1.0.0"
    assert offset(served, id) == (0, len(content))
    first = served.patch(id, 0, content[:500])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "500")
    job = served.job(id)
    assert (job["state"], job["received"], job["progress"]) == ("uploading", 500, round(500 / len(content), 3))
    assert (job["scan"], job["dpi"]) == ("rg_1", 2400)
    assert served.patch(id, 500, content[500:]).status_code == 204
    assert offset(served, id) == (len(content), len(content))
    assert served.job(id)["state"] == "waiting"
    assert served.jobs.upload(id).read_bytes() == content


def test_what_is_understood_is_said(served):
    answer = served.client.options("/v1/uploads")
    assert answer.status_code == 204
    said = ("Tus-Version", "Tus-Extension", "Tus-Max-Size")
    assert [answer.headers[name] for name in said] == ["1.0.0", "creation,termination", "1000000"]


def test_an_upload_that_broke_off_goes_on_where_its_file_ends(served):
    content = bytes(range(256)) * 20
    id = served.create(len(content)).json()["id"]
    path = served.jobs.upload(id)

    async def broken():
        yield content[:1000]
        yield content[1000:2560]
        raise ClientDisconnect

    with pytest.raises(ClientDisconnect):
        asyncio.run(append(path, len(content), 0, broken()))
    assert offset(served, id) == (2560, 5120)
    assert served.patch(id, 2560, content[2560:]).status_code == 204
    assert path.read_bytes() == content


def test_an_upload_is_resumed_after_a_restart(tmp_path):
    content = encoded(draw())
    with service(tmp_path / "data", limits=LIMITS) as served:
        id = served.create(len(content)).json()["id"]
        served.patch(id, 0, content[:700])
    with service(tmp_path / "data", limits=LIMITS) as served:
        assert served.job(id)["state"] == "uploading"
        assert offset(served, id) == (700, len(content))
        served.patch(id, 700, content[700:])
        assert served.worker.work()
        assert served.job(id)["state"] == "done"


def test_an_upload_that_was_whole_when_the_service_died_waits_after_a_restart(tmp_path):
    content = encoded(draw())
    with service(tmp_path / "data", limits=LIMITS) as served:
        id = served.create(len(content)).json()["id"]
        served.jobs.upload(id).write_bytes(content)
    with service(tmp_path / "data", limits=LIMITS) as served:
        assert served.job(id)["state"] == "waiting"


def test_a_part_that_does_not_fit_is_refused_and_nothing_is_written(served):
    id = served.create(100).json()["id"]
    assert served.patch(id, 0, bytes(40)).status_code == 204
    wrong = served.patch(id, 30, bytes(10))
    assert wrong.status_code == 409
    assert wrong.json() == {
        "error": "The upload has 40 bytes, not 30.",
        "expected": "the body from there on.",
        "fix": "ask for the offset (HEAD).",
    }
    kind = served.patch(id, 40, bytes(10), **{"Content-Type": "application/json"})
    assert (kind.status_code, kind.json()["error"]) == (415, "The body is of type 'application/json'.")
    assert served.patch(id, 40, bytes(61)).status_code == 413
    # Without a length told before, the body is only found too long while it comes.
    assert served.patch(id, 40, iter([bytes(30), bytes(31)])).status_code == 413
    for text in ("-1", "4e1", "", "9" * 30):
        assert served.patch(id, text, bytes(1)).status_code == 400
    assert offset(served, id) == (40, 100)


@pytest.mark.parametrize(
    ("length", "status", "error"),
    [
        (1_000_001, 413, "The upload has 1000001 bytes."),
        (0, 400, "The upload has 0 bytes."),
        ("x", 400, "Upload-Length is 'x'."),
        (-5, 400, "Upload-Length is '-5'."),
    ],
)
def test_lengths_beyond_the_limit_and_none_at_all_are_refused(served, length, status, error):
    answer = served.create(length)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert list((served.jobs.data / "jobs").iterdir()) == []


@pytest.mark.parametrize("metadata", ["filename !!!", "filename /w==", "dpi bmFu", "dpi MA==", "a " + "A" * 5000])
def test_metadata_that_is_none_is_refused(served, metadata):
    answer = served.create(10, **{"Upload-Metadata": metadata})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "expected", "fix"}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("rg20090114_scan.png.ppm", "rg20090114"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\a.tif", "a"),
        ("/", "scan"),
        ("....", "scan"),
        (".bashrc", "bashrc"),
        ("a\0b/../c d.png", "c_d"),
        ("-rf.png", "rf"),
        ("x" * 300 + ".png", "x" * 80),
        ("a_mask_mask_scan.png", "a"),
        ("日本.png", "scan"),
    ],
)
def test_a_name_is_only_a_label(served, name, label):
    assert label_of(name) == label
    if "\0" not in name:
        id = served.create(10, name=name).json()["id"]
        assert served.job(id)["scan"] == label
        assert [path.name for path in served.jobs.folder(id).iterdir()] == ["scan.bin"]


def test_a_full_queue_says_when_to_come_back(served):
    ids = [served.create(10).json()["id"] for _ in range(3)]
    refused = served.create(10)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert refused.json()["error"] == "3 scans are waiting already."
    assert served.client.delete(f"/v1/uploads/{ids[0]}", headers=TUS).status_code == 204
    assert not served.jobs.folder(ids[0]).exists()
    assert served.create(10).status_code == 201


def test_an_upload_that_was_cancelled_is_not_taken_for_a_whole_one(served):
    id = served.create(100).json()["id"]
    served.patch(id, 0, bytes(40))
    assert served.client.delete(f"/v1/jobs/{id}").json()["state"] == "cancelled"
    assert served.client.head(f"/v1/uploads/{id}", headers=TUS).status_code == 410
    refused = served.patch(id, 40, bytes(60))
    assert (refused.status_code, refused.json()["error"]) == (410, "The upload was given up.")


def test_a_full_disk_is_said_before_and_while_it_fills(served, monkeypatch):
    spare = 2**30
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, spare + 150))
    id = served.create(100).json()["id"]
    # 100 bytes are still to come.
    assert served.create(60).status_code == 507
    assert served.create(50).status_code == 201

    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(uploads, "_write", full)
    assert served.patch(id, 0, bytes(10)).status_code == 507


def test_two_requests_do_not_write_to_one_upload(served):
    id = served.create(100).json()["id"]

    async def both():
        begun, second_done = asyncio.Event(), asyncio.Event()

        async def slowly():
            yield bytes(40)
            begun.set()
            await second_done.wait()
            yield bytes(60)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(served.app), base_url="http://test") as client:
            head = {**PART, "Upload-Offset": "0"}
            first = asyncio.create_task(client.patch(f"/v1/uploads/{id}", headers=head, content=slowly()))
            await begun.wait()
            second = await client.patch(f"/v1/uploads/{id}", headers=head, content=bytes(10))
            second_done.set()
            return (await first).status_code, second.status_code

    assert asyncio.run(both()) == (204, 423)
    assert served.job(id)["state"] == "waiting"


def test_what_is_held_of_an_upload_is_bounded(tmp_path):
    path = tmp_path / "upload"
    path.touch()

    async def chunks():
        for _ in range(256):
            yield bytes(2**17)

    async def measured():
        tracemalloc.start()
        size = await append(path, 2**25, 0, chunks())
        return size, tracemalloc.get_traced_memory()[1]

    size, peak = asyncio.run(measured())
    tracemalloc.stop()
    assert size == path.stat().st_size == 2**25
    assert peak < 2**23


def test_another_tus_is_refused(served):
    answer = served.create(10, **{"Tus-Resumable": "0.2.2"})
    assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")


@pytest.mark.parametrize("id", ["x", "0" * 32, "..%2f..%2fdata", "A" * 32, "0" * 31 + "%00", "%2e%2e"])
def test_ids_are_looked_up_and_never_paths(served, id):
    head = {**PART, "Upload-Offset": "0"}
    assert served.client.patch(f"/v1/uploads/{id}", headers=head, content=b"x").status_code in (404, 405)
    assert served.client.delete(f"/v1/uploads/{id}", headers=TUS).status_code in (404, 405)
    with pytest.raises(Refused):
        served.jobs.get(id)


def test_a_whole_upload_takes_no_more(served):
    id = served.upload(bytes(10))
    assert served.patch(id, 10, b"x").json()["error"] == "The job is waiting."
    assert served.client.delete(f"/v1/uploads/{id}", headers=TUS).status_code == 409
    assert served.jobs.upload(id).stat().st_size == 10
