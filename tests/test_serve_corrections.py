"""Corrections: cut and joined masks, a log with undo that outlives the service, and what is exported."""

import csv
import errno
import io
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
from fastapi.responses import FileResponse
from serving import draw, encoded, service

from plankton_keras.ecotaxa.labels import find_labelled
from plankton_keras.ecotaxa.lint import lint
from plankton_keras.images import pixel_mm
from plankton_keras.measures.zooprocess import measure
from plankton_keras.pairs import find_pairs
from plankton_keras.scans import open_pair
from plankton_keras.serve import corrections, cutting, job_routes
from plankton_keras.serve.corrections import taxon_of
from plankton_keras.serve.cutting import merge, split
from plankton_keras.serve.exporting import export, files_of
from plankton_keras.serve.refusing import Refused
from plankton_keras.serve.results import Results
from plankton_keras.taxa import find_taxa, read_taxa, taxa_target
from plankton_keras.tiles import Window

NO_CUT = {
    "error": "The line does not cut the object in two.",
    "expected": "a line that crosses it from side to side, and pieces of 10 pixels or more.",
    "fix": "draw it from outside of the object to outside of it.",
}


@pytest.fixture
def served(tmp_path):
    with service(tmp_path / "data") as made:
        made.id = made.done(dpi=2400)
        made.revision = 0

        def correct(op, status=200, **request):
            path = f"/v1/jobs/{made.id}/corrections"
            answer = made.client.post(path, json={"revision": made.revision, "op": op, **request})
            assert answer.status_code == status, answer.text
            made.revision = answer.json().get("revision", made.revision)
            return answer.json()

        def step(which, status=200):
            answer = made.client.post(f"/v1/jobs/{made.id}/corrections/{which}")
            assert answer.status_code == status, answer.text
            made.revision = answer.json().get("revision", made.revision)
            return answer.json()

        made.correct, made.step = correct, step
        yield made


def painted(parts, shape):
    """The parts drawn into one map: each pixel counts how many parts own it."""
    owners = np.zeros(shape, int)
    for window, mask in parts:
        owners[window.slices] += mask
    return owners


@pytest.mark.parametrize(
    "line",
    [
        [[30, -5], [30, 100]],
        [[-5, -5], [70, 60]],
        [[-5, 60], [70, -5]],
        [[0, 25], [20, 30], [40, 10], [70, 12]],
        [[30.4, -1e6], [30.4, 1e6]],
    ],
)
def test_a_cut_leaves_no_pixel_and_gives_none_twice(line):
    mask = np.ones((50, 60), bool)
    mask[10:20, 10:20] = False
    parts = split(Window(0, 0, 50, 60), mask, line)
    assert len(parts) >= 2
    assert np.array_equal(painted(parts, mask.shape), mask.astype(int))
    areas = [int(part.sum()) for _, part in parts]
    assert areas == sorted(areas, reverse=True)
    for window, part in parts:
        assert part.shape == (window.height, window.width)
        # The box is no larger than the part.
        assert all(side.any() for side in (part[0], part[-1], part[:, 0], part[:, -1]))


@pytest.mark.parametrize("seed", range(20))
def test_cuts_of_ragged_objects_own_each_pixel_once(seed):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(80, 90)).astype(np.float32), (0, 0), 4)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((noise > 0).astype(np.uint8), connectivity=8)
    label = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    left, top, width, height, _ = stats[label]
    window = Window(int(top), int(left), int(height), int(width))
    mask = labels[window.slices] == label
    x, y, lean = left + width / 2 + rng.normal(0, 3), top + height / 2, rng.normal(0, 100)
    parts = split(window, mask, [[x - lean, y - 200], [x + lean, y + 200]])
    assert len(parts) >= 2
    assert min(int(part.sum()) for _, part in parts) >= cutting.SPLINTER
    whole = np.zeros((80, 90), int)
    whole[window.slices] = mask
    assert np.array_equal(painted(parts, whole.shape), whole)


def test_the_pixels_of_the_line_go_to_a_piece_beside_them():
    parts = split(Window(10, 20, 6, 11), np.ones((6, 11), bool), [[25, 0], [25, 100]])
    # Column 25 is the sixth: it goes to the left or the right piece as a whole.
    assert sorted((window.left, window.width) for window, _ in parts) in ([(20, 5), (25, 6)], [(20, 6), (26, 5)])


def test_an_arm_that_the_line_crosses_twice_makes_three_pieces():
    mask = np.zeros((40, 40), bool)
    mask[:, :15] = mask[:, 25:] = mask[30:] = True
    parts = split(Window(0, 0, 40, 40), mask, [[-1, 20], [41, 20]])
    # Both arms of 15 x 20 above the line, with their share of it.
    assert len(parts) == 3
    assert all(300 <= int(part.sum()) <= 315 for _, part in parts[1:])
    assert np.array_equal(painted(parts, mask.shape), mask.astype(int))


@pytest.mark.parametrize("line", [[[100, 0], [100, 50]], [[5, 5], [30, 30]], [[0, 0], [0, 49]], [[-1, 0], [4, -1]]])
def test_a_line_that_separates_nothing_is_refused(line):
    with pytest.raises(Refused) as caught:
        split(Window(0, 0, 50, 60), np.ones((50, 60), bool), line)
    assert {"error": caught.value.what, "expected": caught.value.expected, "fix": caught.value.fix} == NO_CUT


def test_objects_in_parts_are_only_cut_where_the_line_is():
    one = np.ones((20, 20), bool)
    window, mask = merge([(Window(0, 0, 20, 20), one), (Window(0, 50, 20, 20), one)])
    with pytest.raises(Refused):
        split(window, mask, [[30, -5], [30, 50]])
    parts = split(window, mask, [[10, -5], [10, 50]])
    assert len(parts) == 3
    assert np.array_equal(painted(parts, (20, 70)), mask.astype(int))


def test_boxes_that_would_not_fit_into_memory_are_refused():
    one = np.ones((1, 1), bool)
    with pytest.raises(Refused, match="10001 x 10001 pixels is too large"):
        merge([(Window(0, 0, 1, 1), one), (Window(10000, 10000, 1, 1), one)])


def test_objects_are_renamed_and_confirmed(served):
    changed = served.correct("rename", labels=[2, 3], taxon="Calanus<Copepoda")
    assert changed["removed"] == []
    known = [(each["label"], each["taxon"], each["score"], each["corrected"]) for each in changed["objects"]]
    assert known == [(2, "Calanus<Copepoda", 1.0, True), (3, "Calanus<Copepoda", 1.0, True)]
    served.correct("rename", labels=[1], taxon="egg")
    objects = served.objects(served.id)
    assert objects["revision"] == 2
    assert [(each["name"], each["count"], each["living"]) for each in objects["classes"]] == [
        ("non-living", 0, False),
        ("copepod", 0, True),
        ("egg", 2, True),
        ("Calanus<Copepoda", 2, True),
    ]
    assert [each["corrected"] for each in objects["objects"]] == [True, True, True, False]
    assert served.job(served.id)["revision"] == 2


def test_half_of_a_large_animal_is_not_taken_for_the_ground(tmp_path):
    pixels = np.full((1000, 1000), 220, np.uint8)
    pixels[100:900, 100:900] = 150
    with service(tmp_path / "data") as made:
        id = made.done(encoded(pixels))
        request = {"revision": 0, "op": "split", "label": 1, "line": [[500, 0], [500, 999]]}
        halves = made.client.post(f"/v1/jobs/{id}/corrections", json=request).json()["objects"]
        assert len(halves) == 2
        for half in halves:
            measures = made.client.get(f"/v1/jobs/{id}/objects/{half['label']}").json()["measures"]
            assert measures["median"] == pytest.approx(150 / 220 * 255, abs=1)


def test_what_is_split_is_measured_like_any_object(served):
    # The worm of 20 x 100 from column 60: pixels up to 100 to one piece, or up to 101.
    made = served.correct("split", label=4, line=[[100, 150], [100, 250]])
    assert made["removed"] == [4]
    assert [each["label"] for each in made["objects"]] == [5, 6]
    assert sum(each["area_px"] for each in made["objects"]) == 2000
    for each in made["objects"]:
        left, top, width, height = each["box"]
        assert (top, height, each["taxon"], each["corrected"]) == (200, 20, "egg", True)
        found = served.client.get(f"/v1/jobs/{served.id}/objects/{each['label']}").json()["measures"]
        # 150 of 220, and the ground at 255.
        gray = np.full((height, width), round(150 / 220 * 255), np.uint8)
        expected = measure(gray, np.ones(gray.shape, bool), (left, top), pixel_mm(2400))
        assert found.keys() == expected.keys()
        assert {k: v for k, v in found.items() if v is not None} == pytest.approx(
            {k: v for k, v in expected.items() if v is not None}, abs=2
        )
        assert (found["area"], found["bx"], found["width"]) == (20 * width, left, width)


def test_what_is_merged_has_the_class_of_the_largest_and_all_pixels(served):
    made = served.correct("merge", labels=[4, 3])
    assert made["removed"] == [3, 4]
    (each,) = made["objects"]
    assert (each["label"], each["taxon"], each["area_px"]) == (5, "egg", 3600)
    assert each["box"] == [60, 50, 180, 170]
    assert len(each["outline"]) == 2
    summary = served.client.get(f"/v1/jobs/{served.id}/summary").json()
    assert [(row["taxon"], row["count"]) for row in summary["counts"]] == [("egg", 2), ("copepod", 1)]


def test_undo_and_redo_walk_through_the_history(served):
    first = served.objects(served.id)["objects"]
    served.correct("rename", labels=[1], taxon="salp")
    served.correct("split", label=4, line=[[100, 150], [100, 250]])
    last = served.objects(served.id)["objects"]
    undone = served.step("undo")
    assert (undone["revision"], undone["removed"], [each["label"] for each in undone["objects"]]) == (3, [5, 6], [4])
    again = served.step("undo")
    assert [(each["label"], each["taxon"], each["corrected"]) for each in again["objects"]] == [(1, "egg", False)]
    assert served.objects(served.id)["objects"] == first
    assert served.step("undo", status=400)["error"] == "There is nothing to undo."
    served.step("redo")
    served.step("redo")
    assert served.objects(served.id)["objects"] == last
    assert served.step("redo", status=400)["error"] == "There is nothing to redo."
    assert served.revision == 6


def test_what_is_done_after_an_undo_replaces_what_was_undone_and_labels_are_never_given_twice(served):
    served.correct("split", label=4, line=[[100, 150], [100, 250]])
    served.step("undo")
    made = served.correct("split", label=4, line=[[120, 150], [120, 250]])
    assert [each["label"] for each in made["objects"]] == [7, 8]
    assert served.step("redo", status=400)["error"] == "There is nothing to redo."


def test_corrections_outlive_the_service_and_the_log_only_grows(tmp_path):
    with service(tmp_path / "data") as served:
        id = served.done(dpi=2400)
        path = served.jobs.folder(id) / "corrections.jsonl"
        seen = b""
        for revision, request in enumerate(
            [
                {"op": "merge", "labels": [2, 3]},
                {"op": "delete", "labels": [1]},
                {"op": "rename", "labels": [5], "taxon": "salp"},
            ]
        ):
            answer = served.client.post(f"/v1/jobs/{id}/corrections", json={"revision": revision, **request})
            assert answer.status_code == 200
            assert path.read_bytes().startswith(seen)
            seen = path.read_bytes()
        served.client.post(f"/v1/jobs/{id}/corrections/undo")
        expected = served.objects(id)
        assert [(each["label"], each["taxon"]) for each in expected["objects"]] == [(4, "egg"), (5, "copepod")]
    # A kill in the middle of a line: it never was.
    with open(path, "ab") as file:
        file.write(b'{"revision": 5, "op": "del')
    with service(tmp_path / "data") as served:
        assert served.objects(id) == expected
        made = served.client.post(f"/v1/jobs/{id}/corrections/redo", json={"revision": 4}).json()
        assert [(each["label"], each["taxon"]) for each in made["objects"]] == [(5, "salp")]
    assert [json.loads(line)["revision"] for line in path.read_text().splitlines()] == [1, 2, 3, 4, 5]


def test_a_correction_that_the_disk_does_not_take_never_was(served, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(corrections.os, "fsync", full)
        assert served.correct("delete", status=507, labels=[1])["error"] == "The disk of the service is full."
    served.correct("delete", labels=[2])
    lines = (served.jobs.folder(served.id) / "corrections.jsonl").read_text().splitlines()
    assert [(json.loads(line)["revision"], json.loads(line)["removed"]) for line in lines] == [(1, [2])]
    assert [each["label"] for each in served.objects(served.id)["objects"]] == [1, 3, 4]


def test_an_old_revision_is_refused(served):
    served.correct("delete", labels=[1])
    body = {"revision": 0, "op": "delete", "labels": [2]}
    answer = served.client.post(f"/v1/jobs/{served.id}/corrections", json=body)
    assert answer.status_code == 409
    assert answer.json() == {
        "error": "The objects are of revision 1, not 0.",
        "expected": "the current revision.",
        "fix": "read the objects again.",
    }
    answer = served.client.post(f"/v1/jobs/{served.id}/corrections/undo", json={"revision": 0})
    assert answer.status_code == 409
    assert len(served.objects(served.id)["objects"]) == 3


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"op": "rename", "labels": [9], "taxon": "a"}, 404),
        ({"op": "delete", "labels": [1, 9]}, 404),
        ({"op": "delete", "labels": []}, 400),
        ({"op": "delete", "labels": ["1"]}, 400),
        ({"op": "delete", "labels": [True]}, 400),
        ({"op": "delete", "labels": 1}, 400),
        ({"op": "merge", "labels": [1]}, 400),
        ({"op": "merge", "labels": [1, 1]}, 400),
        ({"op": "burn", "labels": [1]}, 400),
        ({"op": ["delete"], "labels": [1]}, 400),
        ({"labels": [1]}, 400),
        ({"op": "rename", "labels": [1]}, 400),
        ({"op": "split", "label": 4, "line": [[100, 150]]}, 400),
        ({"op": "split", "label": 4, "line": [[100, 150], [100]]}, 400),
        ({"op": "split", "label": 4, "line": [[100, 150], [100, "250"]]}, 400),
        ({"op": "split", "label": 4, "line": [[100, 150], [100, 1e300]]}, 400),
        ({"op": "split", "label": 4, "line": [[0, 0], [1, 1]]}, 400),
        ({"op": "split", "label": 4, "line": [[100, 150]] * 1001}, 400),
        ({"op": "split", "line": [[100, 150], [100, 250]]}, 400),
        ({"op": "delete", "labels": [1], "revision": "0"}, 400),
        ({"op": "delete", "labels": [1], "revision": None}, 400),
    ],
)
def test_requests_that_make_no_sense_change_nothing(served, request_, status):
    answer = served.client.post(f"/v1/jobs/{served.id}/corrections", json={"revision": 0, **request_})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "expected", "fix"}
    assert served.objects(served.id)["revision"] == 0


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b"3", b'{"revision": 0, "op": "split", "label": 4, "line": [[NaN, 1], [2, 3]]}']
)
def test_bodies_that_are_no_request_are_refused(served, body):
    head = {"Content-Type": "application/json"}
    answer = served.client.post(f"/v1/jobs/{served.id}/corrections", content=body, headers=head)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "expected", "fix"}


@pytest.mark.parametrize(
    "name", ["", " ", "a" * 101, "a/b", "<script>&", "a\tb\0", "é", None, 3, ["a"], "a;b", "=cmd|", "na", " NaN "]
)
def test_names_that_are_no_taxon_are_refused(name):
    with pytest.raises(Refused):
        taxon_of(name)


def corrected(served):
    """Renames a copepod, confirms an egg, splits the other egg, deletes a copepod."""
    served.correct("rename", labels=[2], taxon="Calanus<Copepoda")
    served.correct("rename", labels=[1], taxon="egg")
    served.correct("delete", labels=[3])


def exported(served):
    answer = served.client.post(f"/v1/jobs/{served.id}/export")
    assert answer.status_code == 200, answer.text
    listed = [each["name"] for each in answer.json()["files"]]
    assert set(listed) <= {each["name"] for each in served.client.get(f"/v1/jobs/{served.id}/files").json()["files"]}
    return {name: served.client.get(f"/v1/jobs/{served.id}/files/{name}").content for name in listed}


def test_the_package_is_clean_and_says_what_a_person_has_seen(served, tmp_path):
    corrected(served)
    files = exported(served)
    path = tmp_path / "ecotaxa_rg_corrected_3.zip"
    path.write_bytes(files[path.name])
    assert lint(path) == []
    with zipfile.ZipFile(path) as package:
        table = package.read("ecotaxa_rg_corrected_3_0001.tsv").decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(table), delimiter="\t"))[1:]
    said = [(r["object_id"], r["object_annotation_category"], r["object_annotation_status"]) for r in rows]
    assert said == [
        ("rg_1", "egg", "validated"),
        ("rg_2", "Calanus<Copepoda", "validated"),
        ("rg_4", "egg", "predicted"),
    ]
    assert rows[0]["object_area"] == "1500"
    # What comes back as labels is what a person has seen.
    labelled = find_labelled(path, 0)
    assert [(each.label, each.path.name) for each in labelled] == [
        ("Calanus<Copepoda", "rg_2.png"),
        ("egg", "rg_1.png"),
    ]
    table = list(csv.DictReader(io.StringIO(files["rg_corrected_objects.csv"].decode())))
    assert [(row["label"], row["taxon"], row["corrected"]) for row in table] == [
        ("1", "egg", "True"),
        ("2", "Calanus<Copepoda", "True"),
        ("4", "egg", "False"),
    ]


def test_the_pair_to_train_on_holds_the_scan_and_the_corrected_mask(served, tmp_path):
    corrected(served)
    served.correct("rename", labels=[4], taxon="non-living")
    with zipfile.ZipFile(io.BytesIO(exported(served)["rg_training.zip"])) as archive:
        archive.extractall(tmp_path / "scans")
    (pair,) = find_pairs(tmp_path / "scans")
    assert (pair.stem, pair.scan.read_bytes()) == ("rg", encoded(draw()))
    expected = np.zeros((300, 400), int)
    expected[0:30, 300:350], expected[50:90, 50:90] = 2, 3
    scan, mask = open_pair(pair)
    with scan, mask:
        assert np.array_equal(mask.read(Window(0, 0, 300, 400)), expected)
    taxa = read_taxa(find_taxa(tmp_path / "scans"))
    assert [(taxon.id, taxon.name, taxon.living) for taxon in taxa] == [
        (0, "non-living", False),
        (1, "copepod", True),
        (2, "egg", True),
        (3, "Calanus<Copepoda", True),
    ]
    names = ("non-living", "copepod", "egg", "Calanus<Copepoda", "other living")
    assert taxa_target(taxa, dict.fromkeys(range(4), 20)).names == names


def test_more_classes_than_fit_into_a_byte_make_a_mask_of_16_bits(served, tmp_path, monkeypatch):
    path = served.jobs.folder(served.id) / "classes.json"
    path.write_text(json.dumps({name: True for name in ("ground", *map(str, range(300)), "copepod", "egg")}))
    with zipfile.ZipFile(io.BytesIO(exported(served)["rg_training.zip"])) as archive:
        mask = cv2.imdecode(np.frombuffer(archive.read("rg_mask.png"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint16
    assert sorted(np.unique(mask).tolist()) == [0, 301, 302]
    assert int((mask == 301).sum()) == 3200


def test_an_object_larger_than_ecotaxa_takes_is_named_and_all_else_is_exported(served, monkeypatch):
    # Vignettes have a bar of 94 pixels and a margin; the largest object has 100.
    monkeypatch.setattr("plankton_keras.packing.MAX_SIDE", 122)
    said = served.client.post(f"/v1/jobs/{served.id}/export").json()
    assert said["too_large"] == ["rg_4"]
    files = exported(served)
    with zipfile.ZipFile(io.BytesIO(files["ecotaxa_rg_corrected_0.zip"])) as package:
        assert sum(name.endswith(".png") for name in package.namelist()) == 3
    assert files["rg_corrected_objects.csv"].count(b"\n") == 5


def test_a_new_export_replaces_the_old_one(served):
    served.correct("delete", labels=[1])
    assert "ecotaxa_rg_corrected_1.zip" in exported(served)
    served.correct("delete", labels=[2])
    assert sorted(exported(served)) == ["ecotaxa_rg_corrected_2.zip", "rg_corrected_objects.csv", "rg_training.zip"]
    names = [each["name"] for each in served.client.get(f"/v1/jobs/{served.id}/files").json()["files"]]
    assert "ecotaxa_rg_corrected_1.zip" not in names
    assert len(names) == len(set(names))


def test_no_other_export_takes_the_files_away_before_they_are_listed(served, monkeypatch):
    locks, held = [], []

    def exporting(result):
        locks.append(result.exporting)
        return export(result)

    monkeypatch.setattr(job_routes, "export", exporting)
    monkeypatch.setattr(job_routes, "files_of", lambda task: held.append(locks[0].locked()) or files_of(task))
    assert served.client.post(f"/v1/jobs/{served.id}/export").status_code == 200
    assert held == [True]


def names_of(served):
    return {each["name"] for each in served.client.get(f"/v1/jobs/{served.id}/files").json()["files"]}


def test_files_are_listed_and_whole_while_another_export_replaces_them(served):
    exported(served)
    faults, ended = [], threading.Event()

    def look():
        while not ended.is_set():
            listed = served.client.get(f"/v1/jobs/{served.id}/files")
            answer = served.client.get(f"/v1/jobs/{served.id}/files/rg_training.zip")
            if listed.status_code != 200 or answer.status_code not in (200, 404):
                faults.append((listed.status_code, answer.status_code))
            if answer.status_code == 200 and not zipfile.is_zipfile(io.BytesIO(answer.content)):
                faults.append("cut off")

    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        for _ in range(5):
            assert served.client.post(f"/v1/jobs/{served.id}/export").status_code == 200
        ended.set()
    assert [each.exception() for each in looks] == [None, None]
    assert faults == []


def test_a_file_that_vanishes_before_it_is_opened_is_not_found(served, monkeypatch):
    exported(served)
    gone = served.jobs.folder(served.id) / "exported" / "rg_training.zip"

    def vanishing(task):
        found = files_of(task)
        found.get("rg_training.zip", gone).unlink(missing_ok=True)
        return {"rg_training.zip": gone, **found}

    monkeypatch.setattr(job_routes, "files_of", vanishing)
    assert served.client.get(f"/v1/jobs/{served.id}/files/rg_training.zip").status_code == 404
    assert "rg_training.zip" not in names_of(served)


def test_a_file_that_is_replaced_while_it_is_sent_is_sent_as_it_was(served, monkeypatch):
    before = exported(served)["rg_training.zip"]
    handle = FileResponse._handle_simple

    async def meanwhile(*given):
        path = files_of(served.jobs.task(served.jobs.get(served.id)))["rg_training.zip"]
        path.unlink()
        path.write_bytes(b"another")
        await handle(*given)

    monkeypatch.setattr(FileResponse, "_handle_simple", meanwhile)
    answer = served.client.get(f"/v1/jobs/{served.id}/files/rg_training.zip")
    assert answer.content == before
    assert answer.headers["Content-Disposition"] == 'attachment; filename="rg_training.zip"'
    assert answer.headers["Content-Type"] == "application/zip"


def test_a_part_of_a_file_can_be_asked_for(served):
    whole = exported(served)["rg_training.zip"]
    answer = served.client.get(f"/v1/jobs/{served.id}/files/rg_training.zip", headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, whole[10:20])


def test_an_export_that_was_killed_leaves_the_one_before(served, monkeypatch):
    exported(served)
    served.correct("delete", labels=[1])
    replace = Path.replace

    def killed(path, target):
        if path.name == "exported.partial":
            raise KeyboardInterrupt
        return replace(path, target)

    result = Results(served.jobs).get(served.id)
    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        export(result)
    monkeypatch.setattr(Path, "replace", replace)
    assert {"ecotaxa_rg_corrected_0.zip", "rg_training.zip"} <= names_of(served)
    exported(served)
    assert "ecotaxa_rg_corrected_0.zip" not in names_of(served)
    folder = served.jobs.folder(served.id)
    assert sorted(path.name for path in folder.glob("exported*")) == ["exported"]


@pytest.mark.slow
def test_corrected_scans_become_records(served, tmp_path):
    from click.testing import CliRunner

    from plankton_keras.cli import main
    from plankton_keras.data.records import read_manifest

    corrected(served)
    files = exported(served)
    with zipfile.ZipFile(io.BytesIO(files["rg_training.zip"])) as archive:
        archive.extractall(tmp_path / "scans")
    (tmp_path / "package.zip").write_bytes(files["ecotaxa_rg_corrected_3.zip"])
    for source, words in (
        ("scans", ("--patch-size", "128", "--target", "taxa", "--min-objects", "1")),
        ("package.zip", ()),
    ):
        out = tmp_path / f"{source}-records"
        fraction = ("--val-fraction", "0")
        result = CliRunner().invoke(
            main, ["make-tfrecords", str(tmp_path / source), "--out", str(out), *fraction, *words, "--quiet"]
        )
        assert result.exit_code == 0, result.output
        classes = read_manifest(out).classes
        assert set(classes) >= {"egg", "Calanus<Copepoda"}
