"""patches: scans dealt to folds; describe: their scores summarised."""

import json
import statistics

import pytest

from plankton_keras.describe import describe, summarize
from plankton_keras.errors import ArtefactError, SettingError
from plankton_keras.pairs import ScanPair
from plankton_keras.patches import assign_fold


def pairs(count, split=None):
    return [ScanPair(stem=f"scan{index}", scan=None, mask=None, split=split) for index in range(count)]


def validation(scans, folds, fold, seed=0):
    return {pair.stem for pair in assign_fold(scans, folds, fold, seed) if pair.split == "val"}


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (7, 3), (10, 5), (6, 6)])
def test_every_scan_is_validated_once_and_the_parts_are_of_equal_size(count, folds):
    parts = [validation(pairs(count), folds, fold) for fold in range(folds)]
    assert sorted(stem for part in parts for stem in part) == sorted(pair.stem for pair in pairs(count))
    assert {len(part) for part in parts} <= {count // folds, -(-count // folds)}


def test_all_others_are_trained_on_in_the_order_given():
    dealt = assign_fold(pairs(7), 3, 1, seed=0)
    assert [pair.stem for pair in dealt] == [pair.stem for pair in pairs(7)]
    assert {pair.split for pair in dealt if pair.stem not in validation(pairs(7), 3, 1)} == {"train"}


def test_the_parts_depend_on_the_seed_and_not_on_the_order():
    assert validation(pairs(9), 3, 0) == validation(pairs(9)[::-1], 3, 0)
    assert len({frozenset(validation(pairs(9), 3, 0, seed)) for seed in range(10)}) > 3


def test_splits_of_folders_are_dealt_anew_but_those_for_testing():
    given = [
        *pairs(4, "train"),
        *[ScanPair(f"v{i}", None, None, "val") for i in range(2)],
        ScanPair("t", None, None, "test"),
    ]
    parts = [validation(given, 3, fold) for fold in range(3)]
    assert set.union(*parts) == {"scan0", "scan1", "scan2", "scan3", "v0", "v1"}
    assert [pair.split for pair in assign_fold(given, 3, 0, 0) if pair.stem == "t"] == ["test"]


@pytest.mark.parametrize(("folds", "fold"), [(0, 1), (1, 0), (5, 0), (3, 3)])
def test_folds_that_cannot_be_are_refused(folds, fold):
    with pytest.raises(SettingError) as caught:
        assign_fold(pairs(4), folds, fold, seed=0)
    assert str(caught.value) == (
        f"--folds is {folds} and --fold {fold}, of 4 scans.\n"
        "Expected: 2 folds or more, at most one a scan, and a fold below their number.\n"
        "Fix: choose another --folds or --fold."
    )


@pytest.fixture
def evaluations(tmp_path):
    folders = [tmp_path / f"e{index}" for index in range(3)]
    for folder, f1 in zip(folders, (0.5, 0.8, 0.8), strict=True):
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps({"model": f"run {folder.name}", "pixel": {"f1": f1}}))
    return folders


def test_an_evaluation_is_described(evaluations):
    found = describe(evaluations[0])
    assert (found["kind"], found["model"], found["f1"]) == ("evaluation", "run e0", 0.5)


def test_several_evaluations_have_a_mean_and_a_spread(evaluations):
    found = summarize(evaluations)
    assert (found["kind"], found["model"]) == ("3 evaluations", "run e0, run e1, run e2")
    # Deviations of -0.2, 0.1 and 0.1 from 0.7.
    assert found["f1"] == pytest.approx({"mean": 0.7, "sd": (0.06 / 2) ** 0.5, "min": 0.5, "max": 0.8})
    assert found["f1"]["sd"] == statistics.stdev([0.5, 0.8, 0.8])


def test_what_is_no_evaluation_is_not_summarised(evaluations, tiny_scans):
    with pytest.raises(ArtefactError) as caught:
        summarize([*evaluations, tiny_scans])
    assert str(caught.value) == (
        f"{tiny_scans} is no evaluation.\n"
        "Expected: folders that evaluate wrote, to summarise.\n"
        "Fix: describe it by itself."
    )
