"""Fragments of one animal: which objects lie near enough, for distances worked out by hand."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from plankton_keras.joining import join
from plankton_keras.objects import components
from plankton_keras.tiles import Window


def objects_of(mask):
    """Gives boxes of the objects of a mask, and a function to their pixels."""
    count, labels, stats, _ = components(mask)
    windows = [Window(*map(int, stats[label, [1, 0, 3, 2]])) for label in range(1, count)]
    return windows, lambda place: labels[windows[place].slices] == place + 1


def squares(*corners, side=5):
    mask = np.zeros((120, 160), np.uint8)
    for top, left in corners:
        mask[top : top + side, left : left + side] = 1
    return objects_of(mask)


# Diagonally the nearest pixels are 4 and 5, or 3 and 4, apart each way: sqrt(41) - 1 = 5.4 and 5 - 1 = 4 of ground.
@pytest.mark.parametrize(("down", "right", "ground"), [(9, 0, 4), (0, 12, 7), (8, 9, 6), (7, 8, 4)])
def test_the_ground_between_is_counted_in_a_straight_line(down, right, ground):
    windows, pixels_of = squares((20, 20), (20 + down, 20 + right))
    assert join(windows, pixels_of, ground - 1) == [[0], [1]]
    assert join(windows, pixels_of, ground) == [[0, 1]]


def test_chains_join_and_the_order_is_that_of_the_first():
    windows, pixels_of = squares((10, 100), (12, 20), (18, 100), (26, 101), (100, 20))
    assert join(windows, pixels_of, 3) == [[0, 2, 3], [1], [4]]


def test_boxes_that_overlap_are_not_enough():
    # A frame of 40 pixels with a dot in its middle, 17 pixels from each side.
    mask = np.zeros((60, 60), np.uint8)
    cv2.rectangle(mask, (10, 10), (49, 49), 1, 1)
    mask[29:31, 29:31] = 1
    windows, pixels_of = objects_of(mask)
    assert join(windows, pixels_of, 17) == [[0], [1]]
    assert join(windows, pixels_of, 18) == [[0, 1]]


def test_at_the_edge_of_the_scan_nothing_is_cut_off():
    windows, pixels_of = squares((0, 0), (0, 9), (115, 155), (115, 146))
    assert join(windows, pixels_of, 4) == [[0, 1], [2, 3]]


def test_no_object_and_one_object():
    assert join([], None, 5) == []
    assert join([Window(0, 0, 3, 3)], lambda place: np.ones((3, 3), bool), 5) == [[0]]


@pytest.mark.parametrize("distance", [1, 4, 9])
def test_groups_are_those_of_all_pairs_of_pixels(distance):
    rng = np.random.default_rng(3)
    mask = (ndimage.gaussian_filter(rng.normal(size=(120, 160)), 2.5) > 0.17).astype(np.uint8)
    windows, pixels_of = objects_of(mask)
    places = [np.add(np.argwhere(pixels_of(place)), (each.top, each.left)) for place, each in enumerate(windows)]
    group = list(range(len(places)))
    for one in range(len(places)):
        for other in range(one):
            gaps = np.hypot(*(places[one][:, None] - places[other][None]).transpose(2, 0, 1))
            if gaps.min() <= distance + 1 + 1e-4:
                group = [
                    min(group[one], group[other]) if each in (group[one], group[other]) else each for each in group
                ]
    expected = [[place for place, each in enumerate(group) if each == first] for first in sorted(set(group))]
    assert len(places) > 10
    assert join(windows, pixels_of, distance) == sorted(expected, key=min)
