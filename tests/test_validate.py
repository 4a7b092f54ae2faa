"""validate: every problem of scans, records, runs, exports and predictions, at once."""

import json
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import tiny_scan, write_p5

from plankton_keras.artefact_checks import check_artefact, kind_of
from plankton_keras.cli import main
from plankton_keras.errors import InputError
from plankton_keras.findings import ERROR, WARNING
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.prediction import OBJECT_COLUMNS
from plankton_keras.scan_checks import check_scans
from plankton_keras.truths import truths_of_pairs


def save(folder, stem="a", seed=1, scan=None, mask=None, dpi=2400):
    """Writes a tiny pair as PNG, whose resolution is in the file."""
    folder.mkdir(exist_ok=True)
    drawn, ids = tiny_scan(seed)
    picture = cv2.imencode(".png", drawn if scan is None else scan)[1].tobytes()
    if dpi:
        body = b"pHYs" + struct.pack(">IIB", *[round(dpi / 0.0254)] * 2, 1)
        chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
        picture = picture[:33] + chunk + picture[33:]
    (folder / f"{stem}_scan.png").write_bytes(picture)
    cv2.imwrite(str(folder / f"{stem}_mask.png"), ids if mask is None else mask)
    return folder


def kinds(findings):
    return [(finding.group, finding.severity) for finding in findings]


def run(*words):
    result = CliRunner().invoke(main, ["validate", *map(str, words)])
    return result.exit_code, result.stdout


def test_good_scans_have_no_findings(tmp_path):
    save(tmp_path / "s", "a", 1)
    save(tmp_path / "s", "b", 2)
    assert check_scans(tmp_path / "s") == []
    assert run(tmp_path / "s", "--quiet") == (0, f"{tmp_path / 's'}, scans: no errors, no warnings\n")


def test_all_problems_are_said_at_once_by_group(tmp_path):
    folder = save(tmp_path / "s", "a", 1)
    save(folder, "b", 2, mask=np.zeros((100, 300), np.uint8))
    save(folder, "c", 3)
    (folder / "c_mask.png").write_bytes((folder / "c_mask.png").read_bytes()[:-20])
    (folder / "d_mask.png").write_bytes(b"")
    save(folder, "e", 4, dpi=None)
    (folder / "e_mask.png").unlink()
    code, said = run(folder, "--quiet")
    assert code == 3
    assert said == (
        "names\n"
        f"  error: {folder}/d_mask.png has no scan.\n"
        "    Expected: a scan d_scan.EXT.\n"
        "    Fix: add the scan, or remove the mask.\n"
        f"  error: {folder}/e_scan.png has no mask.\n"
        "    Expected: a mask e_mask.EXT beside it, or in --masks.\n"
        "    Fix: add the mask, or move the scan elsewhere.\n"
        "sizes\n"
        f"  error: {folder}/b_scan.png has 300 x 200 pixels, but {folder}/b_mask.png has 300 x 100.\n"
        "    Expected: a mask of the scan's size.\n"
        "    Fix: check which mask belongs to the scan.\n"
        "files\n"
        f"  error: {folder}/c_mask.png is cut off: the end mark is missing.\n"
        "    Expected: a PNG that ends with IEND.\n"
        "    Fix: copy the file again from where it came, or write it again.\n"
        "resolution\n"
        "  warning: There is no resolution in the scan e.\n"
        "    Expected: dots per inch in the file.\n"
        "    Fix: give measure --dpi.\n"
        f"{folder}, scans: 4 errors, 1 warning\n"
    )


def test_scans_without_any_mask_are_fine(tmp_path):
    save(tmp_path)
    (tmp_path / "a_mask.png").unlink()
    assert check_scans(tmp_path) == []


@pytest.mark.parametrize(
    ("gray", "what"),
    [
        (np.full((200, 300), 255), "holds nothing: gray level 255 everywhere, or nearly."),
        (np.full((200, 300), 0), "holds nothing: gray level 0 everywhere, or nearly."),
        (np.where(np.arange(300) < 200, 255, 100)[None].repeat(200, 0), "66.7 % of {} has the gray level 255."),
        (np.where(np.arange(300) < 90, 100, 225)[None].repeat(200, 0), "30.0 % of {} is darker than its ground of"),
    ],
)
def test_scans_that_are_blank_clipped_or_dark_are_named(tmp_path, gray, what):
    save(tmp_path, scan=gray.astype(np.uint8))
    (tmp_path / "a_mask.png").unlink()
    (finding,) = check_scans(tmp_path)
    assert (finding.group, finding.severity) == ("gray levels", WARNING)
    assert what.format(tmp_path / "a_scan.png") in finding.what


def test_a_scan_unlike_the_others_is_named(tmp_path):
    for stem, seed in (("a", 1), ("b", 2), ("c", 3)):
        save(tmp_path, stem, seed)
    dull = (tiny_scan(4)[0] * 0.9).astype(np.uint8)
    save(tmp_path, "d", 4, scan=dull, dpi=1200)
    assert [finding.what for finding in check_scans(tmp_path)] == [
        "The ground of d has gray level 201, that of the scans 224 as a median.",
        "The scans have resolutions from 1200 to 2400 dpi.",
    ]


@pytest.mark.parametrize(
    ("change", "severity", "what"),
    [
        (lambda ids: ids * 0, WARNING, "holds no object."),
        (lambda ids: ids + 8, WARNING, "holds no ground: no pixel is 0."),
        (lambda ids: ids.astype(np.uint16) * 256, ERROR, "holds only ids that are multiples of 256, such as 256: byte"),
        (lambda ids: ids[:, ::-1], ERROR, "a_mask.png marks is darker than the ground; of the scan 4.5 %."),
    ],
)
def test_masks_that_are_empty_swapped_or_elsewhere_are_named(tmp_path, change, severity, what):
    save(tmp_path, mask=change(tiny_scan(1)[1]))
    found = [finding for finding in check_scans(tmp_path) if what in finding.what]
    assert kinds(found) == [("masks", severity)]


def test_make_tfrecords_names_all_bad_files_before_it_reads_any(tmp_path):
    folder = save(tmp_path / "s", "a", 1)
    save(folder, "b", 2, mask=np.zeros((100, 300), np.uint8))
    (folder / "a_mask.png").write_bytes((folder / "a_mask.png").read_bytes()[:-20])
    result = CliRunner().invoke(main, ["make-tfrecords", str(folder), "--out", str(tmp_path / "r")])
    assert (result.exit_code, result.stderr) == (
        3,
        f"{folder}/a_mask.png is cut off: the end mark is missing. {folder}/b_scan.png has 300 x 200 pixels, but "
        f"{folder}/b_mask.png has 300 x 100.\nExpected: a PNG that ends with IEND.\nFix: copy the file again from "
        "where it came, or write it again. What each of them needs is said by: plankton validate SCANS\n",
    )
    assert not (tmp_path / "r").exists()


def test_make_tfrecords_refuses_a_mask_that_lies_elsewhere(tmp_path):
    folder = save(save(tmp_path / "s", "a", 1), "b", 2, mask=tiny_scan(2)[1][:, ::-1])
    words = ["make-tfrecords", str(folder), "--out", str(tmp_path / "r"), "--patch-size", "64", "--quiet"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 3
    assert result.stderr.startswith(
        f"Only 0.0 % of what {folder}/b_mask.png marks is darker than the ground; of the scan 5.1 %.\nExpected: "
        "dark animals on a light ground.\nFix: check that the mask is of this scan, and neither mirrored nor shifted.\n"
    )
    save(folder, "b", 2)
    assert CliRunner().invoke(main, [*words, "--resume"]).exit_code == 0


def test_a_mask_that_marks_nearly_all_of_a_scan_has_its_place(tmp_path):
    folder = save(save(tmp_path / "s", "a", 1, mask=np.full((200, 300), 8, np.uint8)), "b", 2)
    assert [finding.what for finding in check_scans(folder)] == [f"{folder}/a_mask.png holds no ground: no pixel is 0."]
    words = ["make-tfrecords", str(folder), "--out", str(tmp_path / "r"), "--patch-size", "64", "--quiet"]
    assert CliRunner().invoke(main, words).exit_code == 0


def test_what_evaluate_cannot_read_is_named_before_anything_is_scored(tmp_path):
    folder = save(save(tmp_path / "s", "a", 1), "b", 2, mask=np.zeros((100, 300), np.uint8))
    (folder / "a_scan.png").write_bytes(b"none")
    with pytest.raises(InputError) as error:
        truths_of_pairs(folder, "val")
    assert error.value.what == (
        f"{folder}/a_scan.png is no image: it starts with b'none'. {folder}/b_scan.png has 300 x 200 pixels, but "
        f"{folder}/b_mask.png has 300 x 100."
    )


def test_a_coloured_mask_is_named_once_and_hides_nothing_of_its_scan(tmp_path):
    save(
        tmp_path,
        scan=np.full((200, 300), 255, np.uint8),
        mask=np.dstack([tiny_scan(1)[1].astype(np.uint8), *[np.zeros((200, 300), np.uint8)] * 2]),
    )
    found = check_scans(tmp_path)
    assert kinds(found) == [("files", ERROR), ("gray levels", WARNING)]
    assert found[0].what == f"{tmp_path / 'a_mask.png'} is a coloured mask."


@pytest.mark.parametrize("whole", [True, False])
def test_scans_that_cannot_be_read_are_named_and_hide_nothing_of_others(tmp_path, whole):
    save(tmp_path, "a", scan=np.zeros((5, 7), np.uint8))
    for stem in ("b", "c"):
        (tmp_path / f"{stem}_scan.png").symlink_to("/proc/self/mem")
        shutil.copy(tmp_path / "a_mask.png", tmp_path / f"{stem}_mask.png")
    said = [finding.what for finding in check_scans(tmp_path, whole=whole) if finding.group in ("files", "sizes")]
    assert said == [
        f"{tmp_path / 'a_scan.png'} has 7 x 5 pixels, but {tmp_path / 'a_mask.png'} has 300 x 200.",
        f"{tmp_path / 'b_scan.png'} cannot be read: Input/output error.",
        f"{tmp_path / 'c_scan.png'} cannot be read: Input/output error.",
    ]


def test_ids_that_taxa_csv_does_not_have_are_listed(tmp_path):
    save(tmp_path)
    (tmp_path / "taxa.csv").write_text("id,name,living\n0,ground,0\n1,detritus,0\n")
    (finding,) = check_scans(tmp_path)
    assert finding.what == f"{tmp_path / 'a_mask.png'} holds ids that taxa.csv does not have: 8."
    (tmp_path / "taxa.csv").write_text("id,name\n")
    assert kinds(check_scans(tmp_path)) == [("taxa.csv", ERROR)]


def test_numbers_of_objects_are_no_taxa(tmp_path):
    save(tmp_path, mask=np.arange(60000, dtype=np.uint16).reshape(200, 300))
    (finding, *_) = [finding for finding in check_scans(tmp_path) if finding.group == "masks"]
    assert finding.what == f"{tmp_path / 'a_mask.png'} holds 59999 ids."


def test_the_same_scan_twice_is_a_warning_and_in_two_splits_an_error(tmp_path):
    for stem in ("a", "b"):
        save(tmp_path / "one", stem, 1)
    assert kinds(check_scans(tmp_path / "one")) == [("names", WARNING)]
    for split, stem in (("train", "a"), ("val", "b")):
        (tmp_path / "two").mkdir(exist_ok=True)
        save(tmp_path / "two" / split, stem, 1)
    (finding,) = check_scans(tmp_path / "two")
    assert (finding.group, finding.severity) == ("names", ERROR)
    assert finding.what.endswith("b_scan.png (val) are the same scan.")


def test_samples_csv_is_checked_where_it_speaks_of_water(tmp_path):
    save(tmp_path)
    (tmp_path / "samples.csv").write_text("scan,day\na,1\n")
    assert check_scans(tmp_path) == []
    (tmp_path / "samples.csv").write_text("scan,sample,sub_part,volume_m3\na,s,0.5,much\n")
    (finding,) = check_scans(tmp_path)
    assert (finding.group, finding.severity) == ("samples.csv", ERROR)
    assert "sub_part: 0.5 is not 1 or more" in finding.what
    assert "volume_m3: 'much' is no number" in finding.what


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    save(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 100))
    (finding,) = check_scans(tmp_path)
    assert (finding.group, finding.severity) == ("disk", WARNING)


def test_16_bit_scans_are_looked_at_as_they_are_read(tmp_path):
    gray = tiny_scan(1)[0].astype(np.uint16) * 200
    save(tmp_path, scan=gray)
    assert check_scans(tmp_path) == []


def test_json_holds_all_findings(tmp_path):
    write_p5(tmp_path / "a_scan.pgm", tiny_scan(1)[0])
    code, said = run(tmp_path, "--json", "--quiet")
    assert code == 0
    assert json.loads(said) == {
        "path": str(tmp_path),
        "kind": "scans",
        "ok": True,
        "findings": [
            {
                "group": "resolution",
                "severity": "warning",
                "what": "There is no resolution in the scan a.",
                "expected": "dots per inch in the file.",
                "fix": "give measure --dpi.",
            }
        ],
    }


def test_a_path_that_is_not_there_has_three_lines(tmp_path):
    result = CliRunner().invoke(main, ["validate", str(tmp_path / "nowhere"), "--json", "--quiet"])
    assert result.exit_code == 3
    assert json.loads(result.stdout)["fix"] == "check the path."


def test_records_are_whole_and_every_damaged_shard_is_named(tiny_records, tmp_path):
    assert (kind_of(tiny_records), check_artefact(tiny_records)) == ("records", [])
    copy = shutil.copytree(tiny_records, tmp_path / "r")
    shards = sorted(copy.glob("*.tfrecord"))
    content = bytearray(shards[0].read_bytes())
    content[len(content) // 2] ^= 1
    shards[0].write_bytes(content)
    findings = check_artefact(copy)
    assert kinds(findings) == [("shards", ERROR)]
    assert findings[0].what == f"The shard {shards[0]} is damaged."
    assert run(copy, "--quiet")[0] == 4


def test_a_folder_of_masks_with_none_of_the_scans_is_an_error(tmp_path):
    folder = save(tmp_path / "s")
    (tmp_path / "masks").mkdir()
    code, said = run(folder, "--masks", tmp_path / "masks", "--quiet")
    assert (code, f"{folder / 'a_scan.png'} has no mask." in said) == (3, True)


def test_masks_are_refused_where_there_are_no_scans(tiny_records, tmp_path):
    result = CliRunner().invoke(main, ["validate", str(tiny_records), "--masks", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (
        2,
        f"--masks is '{tmp_path}', but {tiny_records} is no folder of scans: records.\n"
        "Expected: a folder of scans.\nFix: leave --masks out.\n",
    )


def predictions(folder):
    """A prediction folder of one scan, as predict writes it."""
    scan, mask = tiny_scan(1)
    folder.mkdir()
    write_p5(folder.parent / "a_scan.pgm", scan)
    classes = (mask == 8).astype(np.uint8)
    cv2.imwrite(str(folder / "a_mask.png"), classes)
    labeler = BandLabeler(2)
    labeler.add(label_band(classes)[0])
    objects, _ = labeler.finish()
    rows = [",".join(OBJECT_COLUMNS)]
    for label, (top, left, bottom, right), area in zip(objects.labels, objects.boxes, objects.areas, strict=True):
        rows.append(f"{label},living,0.9,{left},{top},{right - left},{bottom - top},{area}")
    (folder / "a_objects.csv").write_text("\n".join(rows) + "\n")
    entry = {"scan": "a", "path": str(folder.parent / "a_scan.pgm"), "files": ["a_mask.png", "a_objects.csv"]}
    (folder / "prediction.json").write_text(json.dumps({"status": "done", "scans": [entry], "failed": []}))
    return folder


def test_predictions_agree_with_their_masks(tmp_path):
    folder = predictions(tmp_path / "p")
    assert (kind_of(folder), check_artefact(folder)) == ("predictions", [])
    cv2.imwrite(str(folder / "a_mask.png"), np.zeros((200, 300), np.uint8))
    (finding,) = check_artefact(folder)
    assert finding.what == "The objects of a have 1800 pixels, but its mask has 0."
    (folder / "a_mask.png").unlink()
    (finding,) = check_artefact(folder)
    assert finding.what == f"{folder / 'a_mask.png'} does not exist."


def test_scans_that_moved_or_changed_after_prediction_are_named(tmp_path):
    folder = predictions(tmp_path / "p")
    content = json.loads((folder / "prediction.json").read_text())
    content["scans"][0]["sha256"] = "0" * 64
    content["status"] = "running"
    (folder / "prediction.json").write_text(json.dumps(content))
    assert kinds(check_artefact(folder)) == [("predictions", WARNING), ("scans", ERROR)]
    (tmp_path / "a_scan.pgm").unlink()
    assert kinds(check_artefact(folder)) == [("predictions", WARNING), ("scans", WARNING)]


def test_runs_that_did_not_end_or_are_damaged_are_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "mobilenet_075"}')
    assert [finding.what for finding in check_artefact(tmp_path)] == [f"The training in {tmp_path} has not ended."]
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "provenance.json").write_text("{}")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as file:
        file.writestr("model.weights.h5", b"0" * 1000)
    assert (kind_of(tmp_path), check_artefact(tmp_path)) == ("run", [])
    content = bytearray((tmp_path / "model.keras").read_bytes())
    content[100] ^= 1
    (tmp_path / "model.keras").write_bytes(content)
    (finding,) = check_artefact(tmp_path)
    assert (finding.group, finding.what) == ("model", f"{tmp_path / 'model.keras'} is damaged: model.weights.h5.")


def test_exports_have_their_files_and_version(tmp_path):
    version = tmp_path / "1"
    (version / "variables").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"1")
    (version / "metadata.json").write_text('{"format_version": "9.0"}')
    findings = check_artefact(tmp_path)
    assert kind_of(tmp_path) == "export"
    assert [finding.what for finding in findings] == [
        f"{version / 'metadata.json'} has format version 9.0.",
        f"{version / 'variables' / 'variables.index'} is missing or empty.",
    ]


@pytest.mark.parametrize("place", [".", "1"])
def test_an_export_without_metadata_has_a_finding(tmp_path, place):
    version = tmp_path / place
    (version / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index"):
        (version / name).write_bytes(b"1")
    (finding,) = check_artefact(tmp_path)
    assert (finding.group, finding.severity) == ("export", ERROR)
    assert finding.what == f"{version / 'metadata.json'} does not exist."
    assert "plankton export RUN" in finding.fix


def test_of_an_export_without_any_metadata_the_newest_version_is_looked_at(tmp_path):
    for name in ("2", "10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert [finding.what for finding in check_artefact(tmp_path)] == [
        f"{tmp_path / '10' / 'metadata.json'} does not exist.",
        f"{tmp_path / '10' / 'saved_model.pb'} is missing or empty.",
        f"{tmp_path / '10' / 'variables' / 'variables.index'} is missing or empty.",
    ]


def test_what_plankton_did_not_write_is_none(tmp_path):
    assert kind_of(tmp_path) is None


def test_scans_are_checked_without_tensorflow(tmp_path):
    save(tmp_path)
    words = ["validate", str(tmp_path), "--quiet"]
    code = f"import sys; from plankton_keras.cli import main; main({words}, standalone_mode=False)"
    code += "; print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == [f"{tmp_path}, scans: no errors, no warnings", "[]"]
    assert done.stderr == ""
