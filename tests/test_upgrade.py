"""What version 1 of the formats wrote still opens and gives what it gave; a later version is refused in a line."""

import csv
import json
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from plankton_keras.artefact_checks import check_artefact
from plankton_keras.cli import main
from plankton_keras.data.records import read_manifest, rebuild_scans
from plankton_keras.data.vignette_records import read_vignettes
from plankton_keras.findings import ERROR
from plankton_keras.runs import Run
from plankton_keras.vignettes import read_vignette, squared

ARCHIVE = Path(__file__).parent / "fixtures" / "v1" / "v1.tar.xz"
RECORDS = "plankton make-tfrecords SCANS --out DIR --overwrite"


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result


@pytest.fixture(scope="module")
def v1(tmp_path_factory):
    folder = tmp_path_factory.mktemp("v1")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def told(path):
    return json.loads(run("info", path, "--json").stdout)


def stored(path):
    return json.loads(path.read_text())


def test_the_archive_is_small_and_names_no_folder_of_its_machine(v1):
    assert ARCHIVE.stat().st_size < 200_000
    for path in v1.rglob("*.json"):
        assert not any(f'"/{top}' in path.read_text() for top in ("home", "root", "tmp", "work", "Users")), path


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("records", {"kind": "records", "classes": ["non-living", "living"]}),
        ("vignette-records", {"kind": "records", "classes": ["copepod", "detritus"]}),
        ("run", {"kind": "run", "classes": ["non-living", "living"]}),
        ("export", {"kind": "export", "classes": ["non-living", "living"]}),
        ("predictions", {"kind": "predictions"}),
        ("evaluation", {"kind": "evaluation"}),
    ],
)
def test_info_knows_it(v1, name, known):
    found = told(v1 / name)
    assert {key: found[key] for key in known} == known


@pytest.mark.parametrize("name", ["records", "vignette-records", "run", "export", "predictions"])
def test_validate_finds_no_error(v1, name):
    # The overlay is not in the archive, for its size.
    found = [each for each in check_artefact(v1 / name) if each.severity == ERROR and "overlay" not in each.what]
    assert found == []


def test_records_give_the_scans_that_they_were_cut_from(v1):
    (image, mask), *others = rebuild_scans(v1 / "records", read_manifest(v1 / "records"), "val").values()
    assert others == []
    assert np.array_equal(image, cv2.imread(str(v1 / "scans/val/b_scan.png"), cv2.IMREAD_UNCHANGED))
    ids = cv2.imread(str(v1 / "scans/val/b_mask.png"), cv2.IMREAD_UNCHANGED)
    assert sorted(np.unique(ids)) == [0, 1, 8]
    assert np.array_equal(mask, ids == 8)


def test_records_of_vignettes_give_their_pictures(v1):
    manifest = read_manifest(v1 / "vignette-records")
    pictures = {squared(read_vignette(path), 32).tobytes() for path in (v1 / "vignettes").rglob("*.png")}
    read = [read_vignettes(v1 / "vignette-records", manifest, split)[0] for split in ("train", "val")]
    assert {image.tobytes() for images in read for image in images} == pictures
    assert sum(map(len, read)) == 12


def objects(folder):
    with open(folder / "b_objects.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("model", ["run", "export"])
def test_a_model_predicts_what_it_predicted(v1, tmp_path, model):
    """Equal but for rounding: another processor adds up in another order, so that a pixel at the threshold may turn."""
    run("predict", v1 / model, v1 / "scans" / "val", "--out", tmp_path / "out", "--quiet")
    now, then = (cv2.imread(str(each / "b_mask.png"), -1) for each in (tmp_path / "out", v1 / "predictions"))
    assert then.any()
    assert np.mean(now != then) <= 1e-3
    for ours, theirs in zip(objects(tmp_path / "out"), objects(v1 / "predictions"), strict=True):
        assert (ours["label"], ours["class"]) == (theirs["label"], theirs["class"])
        assert float(ours["area_px"]) == pytest.approx(float(theirs["area_px"]), rel=0.02)
        assert float(ours["score"]) == pytest.approx(float(theirs["score"]), abs=0.01)


def test_a_run_scores_what_it_scored(v1, tmp_path):
    run("evaluate", v1 / "run", v1 / "scans", "--split", "val", "--out", tmp_path / "out", "--quiet")
    now, then = stored(tmp_path / "out" / "metrics.json"), stored(v1 / "evaluation" / "metrics.json")
    assert now["threshold"] == then["threshold"]
    assert now["pixel"] == pytest.approx(then["pixel"], abs=5e-3)
    assert now["objects"]["f1"] == pytest.approx(then["objects"]["f1"])


def test_predictions_are_measured(v1, tmp_path):
    scans = v1 / "scans" / "val"
    run("measure", v1 / "predictions", "--scans", scans, "--dpi", 2400, "--out", tmp_path / "out", "--quiet")
    with open(tmp_path / "out" / "objects.csv", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == [row["label"] for row in objects(v1 / "predictions")]


@pytest.fixture
def later(v1, tmp_path):
    """Gives a copy of a part of the archive, with changes of a JSON file in it."""

    def changed(name, file, **values):
        shutil.copytree(v1 / name, tmp_path / name)
        path = tmp_path / name / file
        path.write_text(json.dumps(stored(path) | values))
        return tmp_path / name

    return changed


def refusal(path, rewrite):
    return (
        f"{path} has format version 2.0.\n"
        f"Expected: version 1.x, which this plankton_keras reads.\nFix: write it anew: {rewrite}\n"
    )


def test_records_of_a_later_version_are_refused(later, v1, tmp_path):
    # A later version may have any fields; its number is looked at first.
    records = later("records", "manifest.json", version="2.0", shape="other", sources=None)
    for words in (("info", records), ("train", records, "--out", tmp_path / "out"), ("evaluate", v1 / "run", records)):
        more = ("--out", tmp_path / "out") if words[0] == "evaluate" else ()
        assert refusal(records / "manifest.json", RECORDS) in run(*words, *more, code=4).stderr


def test_a_run_of_a_later_version_is_refused(later, v1, tmp_path):
    later("run", "config.json", setting_of_the_future=1)
    folder = tmp_path / "run"
    path = folder / "provenance.json"
    path.write_text(json.dumps(stored(path) | {"format_version": "2.0"}))
    out = ("--out", tmp_path / "out")
    for words in (("info", folder), ("predict", folder, v1 / "scans" / "val", *out), ("export", folder, *out)):
        assert refusal(path, "plankton train RECORDS --out RUN") in run(*words, code=4).stderr


def test_an_export_of_a_later_version_is_refused(later, v1, tmp_path):
    folder = later("export", "1/metadata.json", format_version="2.0", classes=None)
    out = ("--out", tmp_path / "out")
    for words in (("info", folder), ("predict", folder, v1 / "scans" / "val", *out)):
        assert refusal(folder / "1" / "metadata.json", "plankton export RUN --out DIR") in run(*words, code=4).stderr


@pytest.mark.parametrize(("name", "file"), [("records", "manifest.json"), ("export", "1/metadata.json")])
def test_what_is_written_now_is_of_the_version_that_is_kept_here(v1, name, file):
    """A new major version needs fixtures of its own, beside these."""
    from plankton_keras import export, schema

    found = stored(v1 / name / file)
    ours = {"records": schema.FORMAT_VERSION, "export": export.FORMAT_VERSION}[name]
    assert (found.get("version") or found["format_version"]).split(".")[0] == ours.split(".")[0] == "1"


def test_a_run_without_a_version_is_of_the_first(v1):
    assert "format_version" not in stored(v1 / "run" / "provenance.json")
    assert Run(v1 / "run").read_config().width == 4
