"""A real flatbed scan with the object table of other software (ZooImage): our objects and measures beside its own."""

import csv
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from plankton_keras.candidates import bands_of, find_candidates
from plankton_keras.images import pixel_mm
from plankton_keras.measuring import measure_scan
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.prediction import OBJECT_COLUMNS, object_rows
from plankton_keras.scans import open_scan

STEM = "ScanCol24.2000-05-05.p72+A"


def box_iou(ours, theirs):
    """IoU of boxes `(left, top, width, height)`, each with each."""
    ours, theirs = ours[:, None], theirs[None]
    overlap = 1.0
    for start, side in ((0, 2), (1, 3)):
        stop = np.minimum(ours[..., start] + ours[..., side], theirs[..., start] + theirs[..., side])
        overlap = overlap * np.clip(stop - np.maximum(ours[..., start], theirs[..., start]), 0, None)
    return overlap / (ours[..., 2] * ours[..., 3] + theirs[..., 2] * theirs[..., 3] - overlap)


def threshold_prediction(scan, darkness, folder):
    """Writes what is darker than a share of the local ground as `plankton predict` would."""
    classes, labeler = np.zeros((scan.height, scan.width), np.uint8), BandLabeler(2)

    def mark(top, bottom, places, _):
        classes[top:bottom].reshape(-1)[places] = 1

    list(find_candidates(scan, bands_of(scan.height), darkness).over_bands(mark))
    labeler.add(label_band(classes)[0])
    cv2.imwrite(str(folder / f"{scan.stem}_mask.png"), classes)
    with open(folder / f"{scan.stem}_objects.csv", "w", newline="") as file:
        csv.writer(file).writerows([OBJECT_COLUMNS, *object_rows(labeler.finish()[0], ("ground", "object"))])


@pytest.fixture
def compared(shared, tmp_path):
    """Function of a darkness: how our objects of that threshold compare with those of the table."""
    folder = shared / "real" / "zooimage_scan"
    if not folder.is_dir():
        pytest.skip("the scan of ZooImage in ../shared is missing")
    with open(folder / f"{STEM}_objects.csv", newline="") as file:
        table = list(csv.DictReader(file))
    theirs = np.array([[int(row[name]) for name in ("BX_px", "BY_px", "W_px", "H_px")] for row in table])

    def compare(darkness):
        with open_scan(folder / f"{STEM}.jpg") as scan:
            side = pixel_mm(scan.dpi)
            threshold_prediction(scan, darkness, tmp_path)
            found = [each.measures for each in measure_scan(tmp_path, scan, side)]
        ours = np.array([[each[name] for name in ("bx", "by", "width", "height")] for each in found])
        ious = box_iou(ours, theirs)
        pairs = [(found[ious[:, row].argmax()], table[row]) for row in np.flatnonzero(ious.max(axis=0) >= 0.5)]
        boxes = ours[ious.argmax(axis=0)] - theirs

        def ratios(name, column, unit=side):
            values = [each[name] * unit / float(row[column]) for each, row in pairs]
            return np.quantile(values, [0.25, 0.5, 0.75])

        angles = [(each["angle"] - float(row["Angle"]) + 90) % 180 - 90 for each, row in pairs]
        off = np.median(boxes[ious.max(axis=0) >= 0.5], axis=0).tolist()
        return SimpleNamespace(table=len(table), matched=len(pairs), boxes=off, angles=angles, ratios=ratios, side=side)

    return compare


def test_the_plain_threshold_finds_the_objects_of_the_table_a_pixel_larger_on_each_side(compared):
    found = compared(0.95)
    assert found.side == pytest.approx(25.4 / 600)
    assert (found.table, found.matched) == (66, 64)
    assert found.boxes == [-1, -1, 2, 2]
    assert found.ratios("area", "Area", found.side**2)[1] == pytest.approx(1.132, abs=0.01)
    # ZooProcess' own limit, 243 of 255, takes the soft edge off again.
    assert found.ratios("area_exc", "Area", found.side**2)[1] == pytest.approx(0.987, abs=0.01)


def test_where_the_edge_is_that_of_the_table_its_measures_are_ours(compared):
    found = compared(0.9)
    assert found.matched == 65
    assert found.boxes == [0, 0, 0, 0]
    low, middle, high = found.ratios("area", "Area", found.side**2)
    assert (low, middle, high) == pytest.approx((0.963, 0.996, 1.015), abs=0.005)
    for name, column in (("major", "Major"), ("minor", "Minor"), ("feret", "Feret")):
        assert found.ratios(name, column)[1] == pytest.approx(1, abs=0.015)
    # The outline is rougher, since the smoothing before the threshold is another.
    assert found.ratios("perim.", "Perim.")[1] == pytest.approx(1.035, abs=0.01)
    assert np.median(found.angles) == pytest.approx(0, abs=0.2)
    assert np.quantile(np.abs(found.angles), 0.9) < 5
