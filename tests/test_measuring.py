"""measuring: objects found again in a class map, and measured one by one."""

import csv

import cv2
import numpy as np
import pytest

from plankton_keras.errors import ArtefactError
from plankton_keras.measuring import Grouping, measure_scan
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.prediction import OBJECT_COLUMNS, object_rows
from plankton_keras.scans import ArrayScan

NAMES = ("non-living", "copepod", "worm")


def written(folder, classes, pixels):
    """Writes mask and table of a class map; gives what `measure_scan` takes."""
    labeler = BandLabeler(3)
    labeler.add(label_band(classes, num_classes=3)[0])
    cv2.imwrite(str(folder / "rg_mask.png"), classes)
    with open(folder / "rg_objects.csv", "w", newline="") as file:
        csv.writer(file).writerows([OBJECT_COLUMNS, *object_rows(labeler.finish()[0], NAMES)])
    return folder, ArrayScan("rg", pixels)


@pytest.fixture
def predicted(tmp_path):
    """A scan with ground of 220 and four objects: one in a notch of another, a worm, and one at the edge."""
    classes = np.zeros((300, 400), np.uint8)
    classes[50:110, 50:60] = classes[100:110, 50:120] = 1
    classes[60:80, 75:95] = 1
    classes[200:210, 200:300] = 2
    classes[0:20, 380:400] = 1
    return written(tmp_path, classes, np.where(classes > 0, 110, 220).astype(np.uint8))


def test_each_object_is_measured_alone_even_in_the_notch_of_another(predicted):
    found = list(measure_scan(*predicted))
    assert [(each.label, each.taxon, each.cut) for each in found] == [
        (1, "copepod", True),
        (2, "copepod", False),
        (3, "copepod", False),
        (4, "worm", False),
    ]
    # An L of 60 x 10 and 60 x 10 pixels, a square of 20, a worm of 10 x 100.
    assert [each.measures["area"] for each in found] == [400, 1200, 400, 1000]
    assert [(each.measures["bx"], each.measures["by"]) for each in found] == [(380, 0), (50, 50), (75, 60), (200, 200)]
    assert found[1].mask.shape == (60, 70)
    assert not found[1].mask[10:30, 25:45].any()


def test_fragments_are_measured_as_one_with_the_mean_score(predicted):
    folder, scan = predicted
    rows = (folder / "rg_objects.csv").read_text().splitlines()
    cells = [row.split(",") for row in rows]
    cells[2][2], cells[3][2] = "0.8", "0.4"
    (folder / "rg_objects.csv").write_text("\n".join(map(",".join, cells)) + "\n")
    # The square in the notch of the L has 15 pixels of ground to the left of it, 20 below.
    apart, joined = (list(measure_scan(folder, scan, grouping=Grouping(join=join))) for join in (14, 15))
    assert [(each.label, each.measures["area"]) for each in apart] == [(1, 400), (2, 1200), (3, 400), (4, 1000)]
    assert [(each.label, each.measures["area"]) for each in joined] == [(1, 400), (2, 1600), (4, 1000)]
    assert joined[1].score == pytest.approx((0.8 * 1200 + 0.4 * 400) / 1600)
    assert joined[1].mask[10:30, 25:45].all()
    assert (joined[1].alone[joined[1].alone < 200].size, joined[1].multiple) == (1600, False)


def test_only_fragments_of_one_class_are_joined(predicted):
    folder, scan = predicted
    table = folder / "rg_objects.csv"
    table.write_text(table.read_text().replace("\n3,copepod", "\n3,worm"))
    assert [each.label for each in measure_scan(folder, scan, grouping=Grouping(join=15))] == [1, 2, 3, 4]


def test_gray_levels_are_above_the_local_ground(predicted):
    # 110 of 220, and the ground at 255.
    means = [each.measures["mean"] for each in measure_scan(*predicted)]
    assert means == pytest.approx([127.5] * 4, abs=2)


def test_millimetres_come_with_the_pixel_size(predicted):
    plain, sized = (next(iter(measure_scan(*predicted, pixel_mm=size))).measures for size in (None, 0.01))
    assert "area_mm2" not in plain
    assert sized["area_mm2"] == pytest.approx(400 * 1e-4)


def test_a_mask_that_is_missing_or_of_another_run_is_refused(predicted):
    folder, scan = predicted
    cv2.imwrite(str(folder / "rg_mask.png"), np.zeros((300, 400), np.uint8))
    with pytest.raises(ArtefactError) as caught:
        list(measure_scan(folder, scan))
    assert str(caught.value) == (
        f"{folder / 'rg_mask.png'} does not hold object 1 of the table.\n"
        "Expected: mask and table of one run.\nFix: predict again."
    )
    (folder / "rg_mask.png").unlink()
    with pytest.raises(ArtefactError, match=r"rg_mask\.png does not exist"):
        list(measure_scan(folder, scan))


@pytest.mark.parametrize("size", [(300, 401), (299, 400)])
def test_a_scan_of_another_size_than_its_mask_is_refused(predicted, size):
    folder, _ = predicted
    with pytest.raises(ArtefactError) as caught:
        list(measure_scan(folder, ArrayScan("rg", np.full(size, 220, np.uint8))))
    assert str(caught.value) == (
        f"{folder / 'rg_mask.png'} has 400 x 300 pixels, but the scan rg has {size[1]} x {size[0]}.\n"
        "Expected: the scan that was predicted.\n"
        "Fix: give the folder where it lies as --scans, or run plankton predict again."
    )


def test_a_table_that_is_none_is_refused(predicted):
    folder, scan = predicted
    (folder / "rg_objects.csv").write_text("label,class\n1,copepod\n")
    with pytest.raises(ArtefactError, match=r"rg_objects\.csv is no object table"):
        list(measure_scan(folder, scan))


@pytest.mark.parametrize("center", [(803, 795), (500, 1560)], ids=["in the middle", "cut by the edge"])
def test_a_large_animal_is_not_taken_for_the_ground_around_it(tmp_path, center):
    # 1000 pixels are more than the local ground is a median of; light falls off to the right.
    classes = np.zeros((1604, 1607), np.uint8)
    cv2.circle(classes, center, 500, 1, -1)
    classes[20:60, 20:60] = 1
    light = np.linspace(230, 200, classes.shape[1], dtype=np.float32)[None].repeat(len(classes), axis=0)
    soft = cv2.blur(np.where(classes > 0, 0.5, 1).astype(np.float32), (5, 5))
    found = list(measure_scan(*written(tmp_path, classes, np.rint(light * soft).astype(np.uint8))))
    large = max(found, key=lambda each: each.measures["area"]).measures
    # Half of the light gets through.
    assert large["median"] == pytest.approx(255 / 2, abs=4)
    assert large["area_exc"] == pytest.approx(large["area"], rel=0.005)


def test_an_animal_that_fills_the_scan_is_measured(tmp_path):
    found = list(measure_scan(*written(tmp_path, np.ones((400, 400), np.uint8), np.full((400, 400), 90, np.uint8))))
    assert [each.measures["area"] for each in found] == [160_000]
