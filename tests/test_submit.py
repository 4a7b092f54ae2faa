"""`plankton submit` from the outside: a prediction folder becomes the challenge's CSV, or three lines say why not."""

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from plankton_keras.cli import main

MASK = np.array([[0, 1, 0, 0, 0, 0], [2, 2, 2, 2, 0, 0]], np.uint8)


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exit_code != code:
        raise AssertionError(f"exit code {result.exit_code}\n{result.output}\n{result.exception!r}")
    return result


@pytest.fixture
def predictions(tmp_path):
    """A prediction folder of two scans and three classes."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    for stem, mask in (("rg1", MASK), ("rg2", MASK[:1])):
        cv2.imwrite(str(folder / f"{stem}_mask.png"), mask)
    describe(folder)
    return folder


def describe(folder, scans=("rg1", "rg2"), failed=(), status="done"):
    content = {
        "status": status,
        "classes": ["non-living", "Copepoda", "other living"],
        "scans": [{"scan": stem} for stem in scans],
        "failed": [{"scan": name, "status": "failed", "error": "bad"} for name in failed],
    }
    (folder / "prediction.json").write_text(json.dumps(content))


def test_every_class_but_the_first_is_living(predictions, tmp_path):
    out = tmp_path / "new" / "s.csv"
    said = run("submit", predictions, "--out", out).stdout
    assert said == (
        "rg1: 2 rows of 6 pixels, 41.67 % living\n"
        "rg2: 1 rows of 6 pixels, 16.67 % living\n"
        f"{out}: counted as living: Copepoda, other living\n"
    )
    # 010000 is 16, 111100 is 60; 48 is added.
    assert out.read_text() == ('Id,Target\nrg1_mask.png.ppm_0,"@0"\nrg1_mask.png.ppm_1,"l0"\nrg2_mask.png.ppm_0,"@0"\n')


def test_padding_where_needed_and_one_object_with_json(predictions, tmp_path):
    out = tmp_path / "s.csv"
    said = json.loads(run("submit", predictions, "--out", out, "--padding", "needed", "--json", "--quiet").stdout)
    assert said == {
        "out": str(out),
        "padding": "needed",
        "living": ["Copepoda", "other living"],
        "scans": [
            {"scan": "rg1", "width_px": 6, "height_px": 2, "living_share": 0.416667},
            {"scan": "rg2", "width_px": 6, "height_px": 1, "living_share": 0.166667},
        ],
    }
    assert out.read_text().splitlines()[1:3] == ['rg1_mask.png.ppm_0,"@"', 'rg1_mask.png.ppm_1,"l"']


def test_a_file_that_is_there_is_replaced_only_on_demand(predictions, tmp_path):
    out = tmp_path / "s.csv"
    out.write_text("mine")
    assert run("submit", predictions, "--out", out, code=4).stderr == (
        f"{out} cannot be written.\nExpected: a new file FILE.csv.\nFix: choose another --out, or --overwrite.\n"
    )
    assert out.read_text() == "mine"
    run("submit", predictions, "--out", out, "--overwrite")
    assert out.read_text().startswith("Id,Target\n")
    run("submit", predictions, "--out", tmp_path, "--overwrite", code=4)


def test_a_folder_with_a_failed_scan_is_refused(predictions, tmp_path):
    describe(predictions, failed=("rg3_scan.png.ppm",))
    assert run("submit", predictions, "--out", tmp_path / "s.csv", code=4).stderr == (
        f"{predictions}: rg3_scan.png.ppm could not be predicted.\n"
        "Expected: a prediction of every scan.\n"
        f"Fix: run it again: plankton predict MODEL SCANS --out {predictions}\n"
    )
    assert not (tmp_path / "s.csv").exists()


def test_what_is_no_prediction_folder_is_refused(predictions, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("submit", empty, "--out", tmp_path / "s.csv", code=4).stderr == (
        f"{empty / 'prediction.json'} does not exist.\n"
        f"Expected: a file prediction.json in {empty}.\n"
        "Fix: give a folder that plankton predict wrote.\n"
    )
    describe(predictions, scans=())
    assert f"{predictions} holds no scan.\n" in run("submit", predictions, "--out", tmp_path / "s.csv", code=4).stderr
    describe(predictions, scans=("rg1", "rg9"))
    missing = run("submit", predictions, "--out", tmp_path / "s.csv", code=4).stderr
    assert missing.startswith(f"{predictions / 'rg9_mask.png'} does not exist.\nExpected: the mask of each predicted")


def test_a_file_in_place_of_a_prediction_folder_is_refused(tmp_path):
    (tmp_path / "p").write_text("no folder")
    for given in (tmp_path / "p", tmp_path / "p" / "more"):
        assert run("submit", given, "--out", tmp_path / "s.csv", code=4).stderr == (
            f"{tmp_path / 'p'} is a file.\n"
            "Expected: a folder that holds prediction.json.\n"
            "Fix: give a folder that plankton predict wrote.\n"
        )


def test_another_padding_is_a_usage_error(predictions, tmp_path):
    said = run("submit", predictions, "--out", tmp_path / "s.csv", "--padding", "never", code=2).stderr
    assert "'never' is not one of 'always', 'needed'." in said


def test_a_prediction_that_was_interrupted_is_refused(predictions, tmp_path):
    describe(predictions, status="running")
    refused = run("submit", predictions, "--out", tmp_path / "s.csv", code=4)
    assert f"{predictions} is not finished.\n" in refused.stderr
