"""gallery: the worst errors, largest first, cut out where they are."""

import numpy as np
import pytest

from plankton_keras.counting import count_scan
from plankton_keras.gallery import Gallery
from plankton_keras.prediction import ScanPrediction
from plankton_keras.scans import ArrayScan

NAMES = ("ground", "copepod", "worm")


def look(gallery, stem, truth, classes):
    prediction = ScanPrediction(classes, np.full(classes.shape, 255, np.uint8) * (classes > 0), None, 0.0)
    scan = ArrayScan(stem, np.where(truth > 0, 90, 220).astype(np.uint8))

    def read_truth(window):
        return truth[window.slices]

    gallery.look(scan, read_truth, prediction, count_scan(read_truth, prediction, len(NAMES)).objects)


@pytest.fixture
def maps():
    """A copepod of 20 x 30 that is missed, a worm found but for its left 10 columns, and a false worm of 5 x 5."""
    truth, classes = np.zeros((2, 200, 300), np.uint8)
    truth[10:30, 20:50] = 1
    truth[100:120, 100:140], classes[100:120, 110:140] = 2, 2
    classes[150:155, 250:255] = 2
    return truth, classes


def test_errors_come_largest_first_with_their_place_and_wrong_pixels(maps):
    gallery = Gallery(NAMES)
    look(gallery, "a", *maps)
    expected = [("missed", "copepod", 10, 20, 20, 30, 600), ("missed", "worm", 100, 100, 20, 40, 200)]
    expected.append(("false", "worm", 150, 250, 5, 5, 25))
    keys = ("kind", "class", "top", "left", "height", "width", "pixels")
    assert [tuple(error[key] for key in keys) for error in gallery.errors()] == expected
    assert {error["scan"] for error in gallery.errors()} == {"a"}


def test_a_cut_shows_scan_truth_and_prediction_of_the_same_place(maps):
    gallery = Gallery(NAMES)
    look(gallery, "a", *maps)
    gray, truth, classes = gallery.crops()[1]
    # The worm and 24 pixels around it.
    assert gray.shape == truth.shape == classes.shape == (68, 88)
    assert np.array_equal(gray == 90, truth == 2)
    assert (truth[24:44, 24:64] == 2).all()
    assert np.flatnonzero(classes.any(axis=0)).tolist() == list(range(34, 64))


def test_the_worst_of_all_scans_are_kept_whatever_their_order(maps):
    truth, classes = maps
    for order in (("a", "b"), ("b", "a")):
        gallery = Gallery(NAMES, shown=3)
        for stem in order:
            look(gallery, stem, *((truth, classes) if stem == "a" else (np.roll(truth, 1, axis=0), 0 * classes)))
        # Scan b misses both, 600 and 800 pixels.
        assert [error["pixels"] for error in gallery.errors()] == [800, 600, 600]
        assert [error["scan"] for error in gallery.errors()] == ["b", *order]


def test_what_is_right_is_no_error(maps):
    gallery = Gallery(NAMES)
    look(gallery, "a", maps[0], maps[0])
    assert gallery.errors() == gallery.crops() == []


def test_a_large_object_is_reduced_and_one_at_the_edge_is_cut_off_there():
    truth = np.zeros((900, 1200), np.uint8)
    truth[:, :1100] = 1
    gallery = Gallery(NAMES)
    look(gallery, "a", truth, 0 * truth)
    gray, drawn, classes = gallery.crops()[0]
    # 900 x 1124 pixels, reduced by 5.
    assert gray.shape == drawn.shape == classes.shape == (180, 225)
    assert (drawn[:, :219] == 1).all()
    assert (gray[:, :219] == 90).all()
