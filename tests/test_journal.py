"""journal: what made a prediction folder, and which scans are done."""

import json
from dataclasses import replace

import pytest

from plankton_keras.config import PredictConfig
from plankton_keras.errors import ArtefactError
from plankton_keras.journal import Journal
from plankton_keras.predictors import Predictor
from plankton_keras.taxa import Target, living_target

ENTRY = {"scan": "a", "sha256": "1" * 64, "files": ["a_mask.png", "a_objects.csv"]}


def predictor(digest="d"):
    return Predictor(None, ("non-living", "living"), 0.3, None, digest, "runs/unet", living_target(), {})


def test_a_scan_is_done_as_long_as_all_of_its_files_stand_there(tmp_path):
    journal = Journal.of(tmp_path, predictor(), PredictConfig())
    assert journal.digest("a.png") is None
    journal.add("a.png", ENTRY)
    for name in ENTRY["files"]:
        assert Journal.of(tmp_path, predictor(), PredictConfig()).digest("a.png") is None
        (tmp_path / name).touch()
    again = Journal.of(tmp_path, predictor(), PredictConfig())
    assert again.digest("a.png") == "1" * 64
    assert again.digest("b.png") is None


def test_it_says_which_classes_do_not_live(tmp_path):
    names = ("ground", "copepod", "detritus")
    target = Target(names, {0: 0, 8: 1, 3: 2}, lifeless=("detritus",))
    Journal.of(tmp_path, replace(predictor(), classes=names, target=target), PredictConfig()).add("a.png", ENTRY)
    assert json.loads((tmp_path / "prediction.json").read_text())["living"] == {"copepod": True, "detritus": False}


def test_it_says_what_made_the_folder_and_keeps_scans_in_order(tmp_path):
    journal = Journal.of(tmp_path, predictor(), PredictConfig(threshold=0.6))
    for path in ("b.png", "a.png"):
        journal.add(path, ENTRY)
    assert json.loads((tmp_path / "prediction.json").read_text())["status"] == "running"
    journal.write("failed", [{"scan": "c.png"}])
    content = json.loads((tmp_path / "prediction.json").read_text())
    assert (content["status"], content["model"], content["threshold"]) == ("failed", "runs/unet", 0.6)
    assert [entry["path"] for entry in content["scans"]] == ["a.png", "b.png"]
    assert content["failed"] == [{"scan": "c.png"}]


@pytest.mark.parametrize("other", [(predictor("e"), PredictConfig()), (predictor(), PredictConfig(min_area=1))])
def test_another_model_or_other_settings_are_refused(tmp_path, other):
    Journal.of(tmp_path, predictor(), PredictConfig()).write("done")
    with pytest.raises(ArtefactError) as caught:
        Journal.of(tmp_path, *other)
    assert str(caught.value) == (
        f"{tmp_path} holds predictions of another model or with other settings.\n"
        "Expected: those of runs/unet.\nFix: choose another --out, or --overwrite."
    )
