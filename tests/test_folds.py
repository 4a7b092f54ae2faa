"""patches: scans dealt to splits and folds, whole groups at once; describe: scores of folds summarised."""

import json
import statistics

import numpy as np
import pytest

from plankton_keras.describe import describe, summarize
from plankton_keras.errors import ArtefactError, InputError, SettingError
from plankton_keras.pairs import ScanPair
from plankton_keras.patches import assign_fold, assign_splits, check_groups, unit_hash


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


def pairs_of(stems, split=None):
    return [ScanPair(stem, None, None, split) for stem in stems]


def val_of(pairs):
    return {pair.stem for pair in pairs if pair.split == "val"}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.9])
def test_no_group_stands_in_two_splits_and_both_have_one(seed, fraction):
    generator = np.random.default_rng(seed)
    groups = {f"s{index}": f"day {generator.integers(0, 6)}" for index in range(24)}
    dealt = assign_splits(pairs_of(groups), fraction, seed, groups)
    check_groups(dealt, groups, "day")
    assert 0 < len(val_of(dealt)) < 24


def test_a_group_that_is_too_large_is_left_to_training():
    groups = {f"s{index}": "long cruise" if index < 18 else f"day {index}" for index in range(20)}
    for seed in range(10):
        assert val_of(assign_splits(pairs_of(groups), 0.1, seed, groups)) == {"s18", "s19"}


def test_where_all_groups_are_large_the_smallest_is_for_validation():
    groups = {f"s{index}": "ab"[index > 8] for index in range(20)}
    assert val_of(assign_splits(pairs_of(groups), 0.1, 0, groups)) == {f"s{index}" for index in range(9)}


@pytest.mark.parametrize("fraction", [0, 0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_without_groups_splits_are_those_of_before(count, fraction):
    stems = [f"scan{index}" for index in range(count)]
    for seed in range(5):
        # As version 0.1 dealt them: the first by hash, at least one on either side.
        free, wanted = sorted(stems, key=lambda stem: unit_hash(seed, stem)), round(count * fraction)
        wanted = min(max(wanted, 1), count - 1) if fraction and count > 1 else wanted
        assert val_of(assign_splits(pairs_of(stems), fraction, seed)) == set(free[:wanted])


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (7, 3), (10, 5)])
def test_without_groups_folds_are_those_of_before(count, folds):
    stems = [f"scan{index}" for index in range(count)]
    dealt = sorted(stems, key=lambda stem: unit_hash(3, stem))
    for fold in range(folds):
        assert val_of(assign_fold(pairs_of(stems), folds, fold, 3)) == set(dealt[fold::folds])


def test_folds_hold_whole_groups_are_even_and_cover_all():
    groups = {f"s{index}": f"day {index // 2 if index < 8 else 9}" for index in range(12)}
    pairs = [*pairs_of(list(groups)), *pairs_of(["t"], "test")]
    parts = [val_of(assign_fold(pairs, 3, fold, 0, {**groups, "t": "day t"})) for fold in range(3)]
    assert sorted(stem for part in parts for stem in part) == sorted(groups)
    assert [len(part) for part in parts] == [4, 4, 4]
    assert all(
        len({groups[stem] for stem in part} & {groups[stem] for stem in other}) == 0
        for part in parts
        for other in parts
        if part is not other
    )


def test_more_folds_than_groups_are_refused():
    groups = {"a": "x", "b": "x", "c": "y"}
    with pytest.raises(SettingError) as caught:
        assign_fold(pairs_of("abc"), 3, 0, 0, groups)
    assert str(caught.value) == (
        "--folds is 3 and --fold 0, of 2 groups.\n"
        "Expected: 2 folds or more, at most one a group, and a fold below their number.\n"
        "Fix: choose another --folds or --fold."
    )


def test_folders_that_share_groups_are_refused_with_all_of_them():
    pairs = [*pairs_of("ab", "train"), *pairs_of("cd", "val"), *pairs_of("e", "test")]
    groups = {"a": "monday", "b": "tuesday", "c": "tuesday", "d": "monday", "e": "monday"}
    with pytest.raises(InputError) as caught:
        check_groups(pairs, groups, "day")
    assert str(caught.value) == (
        "Splits share the day monday (a in train, d in val, e in test), tuesday (b in train, c in val).\n"
        "Expected: scans of one day in one split.\n"
        "Fix: move them to one of the folders, or leave --split-by out."
    )


def test_scans_of_a_folder_for_a_split_keep_it_and_the_share_is_of_the_others():
    pairs = [*pairs_of(["t"], "test"), *pairs_of("abcdef"), *pairs_of(["v"], "val"), *pairs_of(["w"], "train")]
    dealt = assign_splits(pairs, 0.5, 0)
    assert [pair.stem for pair in dealt] == [*"tabcdefvw"]
    assert [dealt[0].split, dealt[7].split, dealt[8].split] == ["test", "val", "train"]
    # Half of the six: the first three by hash.
    assert val_of(dealt[1:7]) == set(sorted("abcdef", key=lambda stem: unit_hash(0, stem))[:3])
    assert {pair.split for pair in dealt[1:7]} == {"val", "train"}


def test_a_group_is_taken_only_where_it_brings_the_share_nearer():
    # Of 4 scans 2 are wanted; a group of 4 in their place is as far off, and is not nearer.
    groups = {"a": "whole", "b": "whole", "c": "whole", "d": "whole"}
    assert val_of(assign_splits(pairs_of("abcd"), 0.5, 0, groups)) == set()


def test_one_scan_of_a_group_in_each_split_is_no_sharing_where_groups_differ():
    check_groups([*pairs_of("ab", "train"), *pairs_of("c", "val")], {"a": "x", "b": "x", "c": "y"}, "day")


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
