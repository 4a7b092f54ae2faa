"""describe: what a path is."""

import json

import pytest

from plankton_keras.describe import describe, summarize
from plankton_keras.errors import ArtefactError, InputError


@pytest.mark.parametrize(
    ("model", "thresholds", "threshold"),
    [
        ("unet", {"foreground": 0.4, "temperature": 1.1}, {"threshold": 0.4}),
        ("mobilenet_075", {"temperature": 1.1}, {}),
    ],
)
def test_runs_of_vignettes_have_no_threshold_of_pixels(tmp_path, model, thresholds, threshold):
    for name, content in {
        "config": {"model": model},
        "metrics": {"val": {"f1": 0.5}},
        "thresholds": thresholds,
        "provenance": {"classes": ["a", "b"], "records": "r", "created": "today"},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    found = describe(tmp_path)
    assert (found["kind"], found["classes"], found["val"]) == ("run", ["a", "b"], {"f1": 0.5})
    assert {name: found[name] for name in ("threshold",) if name in found} == threshold


def test_runs_that_did_not_end_say_how_to_go_on(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert (
        describe(tmp_path)["next"]
        == f"plankton train RECORDS --out {tmp_path} --config {tmp_path}/config.json --resume"
    )


@pytest.mark.parametrize(
    ("metrics", "command"),
    [
        ({"pixel": {"f1": 0.5}}, "plankton predict RUN SCANS --out predictions/NAME"),
        ({"vignettes": 3, "accuracy": 0.5}, "plankton measure PREDICTIONS --classifier RUN --out measures/NAME"),
    ],
)
def test_after_an_evaluation_comes_what_the_run_is_for(tmp_path, metrics, command):
    (tmp_path / "metrics.json").write_text(json.dumps({"model": "run", **metrics}))
    assert describe(tmp_path)["next"] == command


def test_evaluations_of_vignettes_and_of_scans_are_not_averaged(tmp_path):
    for name, metrics in {
        "scans": {"pixel": {"accuracy": 0.998, "balanced_accuracy": 0.9}},
        "names": {"vignettes": 3, "accuracy": 0.5, "balanced_accuracy": 0.4},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps({"model": "run", **metrics}))
    with pytest.raises(ArtefactError) as caught:
        summarize([tmp_path / "scans", tmp_path / "scans", tmp_path / "names"])
    assert str(caught.value) == (
        f"{tmp_path / 'scans'} scored pixels of scans, but {tmp_path / 'names'} vignettes: their scores have no mean.\n"
        "Expected: evaluations of one kind.\n"
        "Fix: summarise each kind by itself."
    )


def test_scans_whose_names_do_not_go_together_say_why(tmp_path):
    (tmp_path / "a_mask.png").touch()
    with pytest.raises(InputError, match=r"a_mask\.png has no scan"):
        describe(tmp_path)
    (tmp_path / "a_scan.png").touch()
    (tmp_path / "a_scan.tif").touch()
    with pytest.raises(InputError, match="have the same name"):
        describe(tmp_path)
    (tmp_path / "mix" / "test").mkdir(parents=True)
    (tmp_path / "mix" / "a_scan.png").touch()
    with pytest.raises(InputError, match="beside the folders of splits"):
        describe(tmp_path / "mix")


def test_what_holds_nothing_is_nothing_that_is_known(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ArtefactError, match="is nothing that plankton knows"):
        describe(tmp_path)
    with pytest.raises(ArtefactError, match="does not exist"):
        describe(tmp_path / "gone")
