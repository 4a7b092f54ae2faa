"""Masks of other tools become predictions: what their values mean, whose they are, and the objects that they hold."""

import cv2
import numpy as np
import pytest
from conftest import tiny_scan, write_p5

from plankton_keras.challenge import write_csv
from plankton_keras.config import PredictConfig
from plankton_keras.errors import InputError
from plankton_keras.evaluation import score
from plankton_keras.given_masks import class_table, find_mask, mask_contestant
from plankton_keras.pairs import SCAN_SUFFIXES
from plankton_keras.prediction import predict_scan
from plankton_keras.scans import ArrayScan
from plankton_keras.taxa import Target, living_target
from plankton_keras.truths import truths_of_pairs

TAXA = Target(("non-living", "Copepoda", "Salpida"), {0: 0, 1: 1, 2: 2})


def blobs(height, width, seed=0):
    """Class 1 in smooth blobs, many of them across bands of rows."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    return (cv2.GaussianBlur(noise, (0, 0), 4) > 0.1).astype(np.uint8)


def scan_of(mask, stem="a"):
    return ArrayScan(stem, np.full(mask.shape, 225, np.uint8))


def predicted(folder, mask, target=None, stem="a"):
    return mask_contestant(folder, target or living_target()).predict(scan_of(mask, stem))


def error_of(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value).splitlines()


def test_a_scan_without_a_mask_is_named_before_any_is_scored(tmp_path):
    cv2.imwrite(str(tmp_path / "a_mask.png"), blobs(600, 80))
    mask_contestant(tmp_path, living_target(), ["a"])
    what, *_ = error_of(mask_contestant, tmp_path, living_target(), ["a", "b"])
    assert what == f"{tmp_path} holds no mask of the scan b."


@pytest.mark.parametrize("white", [1, 3, 255])
def test_any_two_values_are_ground_and_foreground(tmp_path, white):
    mask = blobs(600, 80)
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask * np.uint8(white))
    prediction = predicted(tmp_path, mask)
    assert np.array_equal(prediction.classes, mask)
    assert np.array_equal(prediction.probability, mask * 255)


def test_the_objects_are_those_of_a_prediction_of_the_same_map(tmp_path):
    mask = blobs(600, 80)
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask * 255)

    def model(batch):
        return np.stack([batch < 128, batch >= 128], axis=-1).astype(np.float32)

    config = PredictConfig(tile=128, context=16, min_area=0)
    known, found = predict_scan(ArrayScan("a", mask * 255), model, 0.5, config), predicted(tmp_path, mask)
    assert len(known.objects) > 20
    for name in ("labels", "classes", "scores", "boxes", "areas"):
        assert np.array_equal(getattr(found.objects, name), getattr(known.objects, name))
    assert np.array_equal(found.classes, known.classes)
    assert np.array_equal(found.probability, known.probability)


def test_values_of_several_classes_are_class_indices(tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[2:6, 3:9], mask[20:30, 20:30] = 2, 1
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask)
    cv2.imwrite(str(tmp_path / "b_mask.png"), np.where(mask == 2, mask, 0))
    prediction = predicted(tmp_path, mask, TAXA)
    assert np.array_equal(prediction.classes, mask)
    assert prediction.objects.classes.tolist() == [2, 1]
    assert prediction.objects.areas.tolist() == [24, 100]
    # One class alone stays that class where there are more than two.
    assert np.unique(predicted(tmp_path, mask, TAXA, "b").classes).tolist() == [0, 2]


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_of_one_value(tmp_path, value):
    mask = np.full((30, 20), value, np.uint8)
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask)
    prediction = predicted(tmp_path, mask)
    assert np.array_equal(prediction.classes, mask > 0)
    assert prediction.objects.areas.tolist() == ([600] if value else [])


def test_other_values_are_refused_and_the_lowest_is_named():
    assert error_of(class_table, [0, 1, 254, 255], ("non-living", "living"), "m.png") == [
        "m.png holds the value 254, which is no class.",
        "Expected: 0 and one other value, or class indices: 0 non-living, 1 living.",
        "Fix: write the mask anew; gray levels between two values come from smoothing.",
    ]
    assert error_of(class_table, [0, 255], TAXA.names, "m.png") == [
        "m.png holds the value 255, which is no class.",
        "Expected: class indices: 0 non-living, 1 Copepoda, 2 Salpida.",
        "Fix: write the mask anew; gray levels between two values come from smoothing.",
    ]


def test_16_bit_values_count_as_others_do(tmp_path):
    mask = blobs(30, 20)
    write_p5(tmp_path / "a_mask.png.ppm", mask.astype(np.uint16) * 65535)
    assert np.array_equal(predicted(tmp_path, mask).classes, mask)


@pytest.mark.parametrize("suffix", SCAN_SUFFIXES)
def test_a_mask_is_found_by_the_stem_of_its_scan(tmp_path, suffix):
    plain, named = tmp_path / f"a{suffix.upper()}", tmp_path / f"a_mask{suffix}"
    for other in ("a_overlay.jpg", "a_objects.csv", "ab_mask.png", "a_scan.png", ".partial-a_mask.png"):
        (tmp_path / other).touch()
    plain.touch()
    assert find_mask(tmp_path, "a") == plain
    named.touch()
    assert find_mask(tmp_path, "a") == named


def test_sub_folders_of_splits_are_searched_too(tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "a_mask.png").touch()
    assert find_mask(tmp_path, "a") == tmp_path / "val" / "a_mask.png"
    (tmp_path / "a_mask.tif").touch()
    assert error_of(find_mask, tmp_path, "a") == [
        f"{tmp_path / 'a_mask.tif'} and {tmp_path / 'val' / 'a_mask.png'} are masks of the same scan.",
        "Expected: one mask a scan.",
        "Fix: remove one of them.",
    ]


def test_what_is_missing_lossy_or_of_another_size_is_refused(tmp_path):
    mask = blobs(30, 20)
    assert error_of(predicted, tmp_path / "none", mask)[0] == f"{tmp_path / 'none'} does not exist."
    assert error_of(predicted, tmp_path, mask) == [
        f"{tmp_path} holds no mask of the scan a.",
        f"Expected: a_mask.EXT or a.EXT, EXT one of {' '.join(SCAN_SUFFIXES)}.",
        "Fix: add the mask, or leave the scan out.",
    ]
    cv2.imwrite(str(tmp_path / "a.png"), mask.T)
    assert error_of(predicted, tmp_path, mask) == [
        f"{tmp_path / 'a.png'} has 30 x 20 pixels, but the scan a has 20 x 30.",
        "Expected: a mask of the scan's size.",
        "Fix: check which mask belongs to the scan.",
    ]
    cv2.imwrite(str(tmp_path / "a_mask.jpg"), mask)
    assert "is compressed as JPEG is, which changes the ids of a mask." in error_of(predicted, tmp_path, mask)[0]


@pytest.mark.parametrize("padding", ["always", "needed"])
def test_a_csv_of_the_challenge_is_a_prediction_too(tmp_path, padding):
    masks = {"a": blobs(600, 84, 1), "b": blobs(520, 31, 2)}
    for stem, mask in masks.items():
        cv2.imwrite(str(tmp_path / f"{stem}_mask.png"), mask)
    write_csv(tmp_path / "s.csv", [tmp_path / f"{stem}_mask.png" for stem in masks], padding)
    for stem in ("b", "a"):
        by_image = predicted(tmp_path, masks[stem], stem=stem)
        by_csv = predicted(tmp_path / "s.csv", masks[stem], stem=stem)
        assert np.array_equal(by_csv.classes, masks[stem])
        assert np.array_equal(by_csv.probability, masks[stem] * 255)
        assert np.array_equal(by_csv.objects.boxes, by_image.objects.boxes)


@pytest.mark.parametrize(("height", "stem", "rows"), [(9, "a", 10), (11, "a", 10), (10, "b", 0)])
def test_a_csv_with_another_number_of_rows_is_refused(tmp_path, height, stem, rows):
    cv2.imwrite(str(tmp_path / "a_mask.png"), blobs(10, 20))
    path = tmp_path / "s.csv"
    write_csv(path, [tmp_path / "a_mask.png"])
    assert error_of(predicted, path, blobs(height, 20), None, stem) == [
        f"{path} has {rows} rows of the scan {stem}, which has {height}.",
        "Expected: one line for each row of the scan.",
        "Fix: check that the file belongs to the scans.",
    ]


def test_a_csv_cannot_tell_taxa_apart(tmp_path):
    (tmp_path / "s.csv").touch()
    assert error_of(mask_contestant, tmp_path / "s.csv", TAXA) == [
        f"{tmp_path / 's.csv'} tells living from not, but there are 3 classes.",
        "Expected: masks of class indices.",
        "Fix: give a folder of mask images.",
    ]


def test_masks_are_scored_as_a_model_is(tmp_path):
    scan, mask = tiny_scan(0)
    (tmp_path / "scans").mkdir()
    (tmp_path / "masks").mkdir()
    write_p5(tmp_path / "scans" / "a_scan.pgm", scan)
    write_p5(tmp_path / "scans" / "a_mask.pgm", mask)
    # Everything dark is called living: 2 of 3 equal squares are.
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), (mask > 0).astype(np.uint8) * 255)
    target = living_target()
    contestant = mask_contestant(tmp_path / "masks", target)
    scores = score(contestant, truths_of_pairs(tmp_path / "scans", "val"))
    assert (contestant.source, contestant.classes) == (str(tmp_path / "masks"), ("non-living", "living"))
    assert scores["pixel"]["precision"] == pytest.approx(2 / 3)
    assert scores["pixel"]["recall"] == 1
    assert scores["objects"]["precision"] == pytest.approx(2 / 3)
