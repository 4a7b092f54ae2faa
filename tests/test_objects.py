"""objects: however a map is cut into bands, its objects are those of one pass over the whole."""

import itertools

import cv2
import numpy as np
import pytest
from scipy import ndimage

from plankton_keras.objects import BandLabeler, erase, keep_large, label_band

EIGHT = np.ones((3, 3), int)


def label(classes, cuts=(), probability=None, num_classes=3):
    """Labels a map in bands: `(objects, final, final labels of the map, bands)`."""
    labeler = BandLabeler(num_classes)
    bands, provisional = [], []
    for top, bottom in itertools.pairwise([0, *cuts, len(classes)]):
        weights = None if probability is None else probability[top:bottom]
        band, labels = label_band(classes[top:bottom], weights, num_classes)
        bands.append((top, bottom, labeler.add(band)))
        provisional.append(np.where(labels > 0, labels + bands[-1][2], 0))
    objects, final = labeler.finish()
    return objects, final, final[np.concatenate(provisional)], bands


def table(objects):
    """The objects without their labels, as sorted rows."""
    columns = (objects.boxes.tolist(), objects.areas.tolist(), objects.classes.tolist(), objects.scores.tolist())
    return sorted(zip(*columns, strict=True))


def expected(classes, probability, num_classes=3):
    """The same table by SciPy over the whole map."""
    labels, count = ndimage.label(classes > 0, EIGHT)
    rows = []
    for index, (rows_slice, columns_slice) in enumerate(ndimage.find_objects(labels), 1):
        inside = labels == index
        votes = np.bincount(classes[inside], minlength=num_classes)
        box = [rows_slice.start, columns_slice.start, rows_slice.stop, columns_slice.stop]
        score = np.float32(probability[inside].astype(float).sum() / inside.sum() / 255)
        rows.append((box, int(inside.sum()), int(votes.argmax()), float(score)))
    assert len(rows) == count
    return sorted(rows)


def partition(labels, others):
    """Whether two label maps divide the pixels alike."""
    pairs = np.unique(np.stack([labels.ravel(), others.ravel()]), axis=1)
    return len(pairs[0]) == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.4, 0.6])
@pytest.mark.parametrize("cuts", [(), (20,), (1, 2, 3), (7, 8, 30, 39), tuple(range(1, 40))])
def test_any_bands_give_the_objects_of_scipy_over_the_whole_map(share, cuts):
    rng = np.random.default_rng(int(share * 100))
    classes = (rng.random((40, 53)) < share).astype(np.uint8) * rng.integers(1, 3, (40, 53), np.uint8)
    probability = rng.integers(0, 256, classes.shape, np.uint8)
    objects, _, labels, _ = label(classes, cuts, probability)
    assert table(objects) == expected(classes, probability)
    assert partition(labels, ndimage.label(classes > 0, EIGHT)[0])


def test_the_columns_of_the_objects_belong_to_the_labels_of_the_map():
    rng = np.random.default_rng(5)
    classes = (rng.random((60, 60)) < 0.35).astype(np.uint8)
    objects, _, labels, _ = label(classes, (11, 12, 40))
    assert objects.labels.tolist() == list(range(1, len(objects) + 1))
    assert np.bincount(labels.ravel())[1:].tolist() == objects.areas.tolist()
    for index, (rows, columns) in zip(objects.labels, ndimage.find_objects(labels), strict=True):
        assert objects.boxes[index - 1].tolist() == [rows.start, columns.start, rows.stop, columns.stop]


@pytest.mark.parametrize("cut", range(1, 5))
def test_the_arms_of_a_u_are_one_object_wherever_it_is_cut(cut):
    u = np.array([[1, 0, 1], [1, 0, 1], [1, 0, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
    objects, final, labels, _ = label(u, (cut,))
    # Two arms of 5 pixels and one pixel between them.
    assert (objects.areas.tolist(), objects.boxes.tolist()) == ([11], [[0, 0, 5, 3]])
    assert np.array_equal(labels, u)
    assert set(final.tolist()) == {0, 1}


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_comb_whose_teeth_join_only_in_the_last_row_is_one_object(cut):
    comb = np.zeros((4, 9), np.uint8)
    comb[:, ::2], comb[3] = 1, 1
    # 5 teeth of 3 rows and a back of 9 pixels.
    assert label(comb, (cut,))[0].areas.tolist() == [24]


@pytest.mark.parametrize("turn", [1, -1])
def test_pixels_that_touch_by_a_corner_across_bands_are_one_object(turn):
    diagonal = np.eye(6, dtype=np.uint8)[::turn]
    objects = label(diagonal, tuple(range(1, 6)))[0]
    assert (objects.areas.tolist(), objects.boxes.tolist()) == ([6], [[0, 0, 6, 6]])


def test_pixels_two_columns_apart_across_bands_do_not_touch():
    apart = np.array([[1, 0, 0], [0, 0, 1]], np.uint8)
    assert label(apart, (1,))[0].areas.tolist() == [1, 1]


def test_an_empty_row_between_bands_separates_objects():
    apart = np.array([[1, 1], [0, 0], [1, 1]], np.uint8)
    for cuts in ((1,), (2,), (1, 2)):
        assert label(apart, cuts)[0].areas.tolist() == [2, 2]


def test_the_class_of_an_object_is_that_of_most_pixels_over_all_its_bands():
    # Class 1 has 2 pixels, class 2 has 1 + 2 = 3; band by band 1 would win the first.
    classes = np.array([[1, 1, 2], [0, 2, 2]], np.uint8)
    assert label(classes, (1,))[0].classes.tolist() == [2]


def test_touching_objects_of_two_classes_are_one_object():
    assert label(np.array([[1, 2]], np.uint8))[0].areas.tolist() == [2]


def test_the_score_is_the_mean_probability_over_the_pixels_of_all_bands():
    classes = np.array([[1, 0], [1, 1]], np.uint8)
    probability = np.array([[255, 99], [51, 102]], np.uint8)
    # (255 + 51 + 102) / 3 / 255 = 408 / 765 = 0.5333; the 99 lies outside.
    assert label(classes, (1,), probability)[0].scores == pytest.approx([8 / 15])


def test_without_probabilities_scores_are_one():
    assert label(np.ones((3, 3), np.uint8), (1,))[0].scores.tolist() == [1.0]


@pytest.mark.parametrize("cuts", [(), (1, 300, 301, 599)])
def test_more_objects_than_16_bits_count_keep_labels_of_their_own(cuts):
    dots = np.zeros((600, 600), np.uint8)
    dots[::2, ::2] = 1
    objects, final, labels, _ = label(dots, cuts)
    # 300 rows of 300 dots = 90,000 > 65,535.
    assert len(objects) == 90_000
    assert objects.labels.dtype == final.dtype == labels.dtype == np.int32
    assert len(np.unique(labels[::2, ::2])) == 90_000
    assert objects.areas.min() == objects.areas.max() == 1


@pytest.mark.parametrize("cuts", [(), (1, 3)])
def test_an_empty_map_has_no_objects(cuts):
    objects, final, labels, bands = label(np.zeros((5, 4), np.uint8), cuts)
    assert (len(objects), final.tolist(), labels.any()) == (0, [0], False)
    assert objects.boxes.shape == (0, 4)
    kept, numbers = keep_large(objects, final, 10)
    assert (len(kept), numbers.tolist()) == (0, [0])
    classes = np.zeros((5, 4), np.uint8)
    erase(classes, numbers, bands)
    assert not classes.any()


def test_a_map_of_foreground_alone_is_one_object():
    objects = label(np.ones((9, 7), np.uint8), (1, 5))[0]
    assert (objects.areas.tolist(), objects.boxes.tolist()) == ([63], [[0, 0, 9, 7]])


def test_an_object_of_exactly_the_smallest_area_is_kept():
    classes = np.array([[1, 1, 0, 1, 0, 1, 1, 1]], np.uint8)
    objects, final, _, _ = label(classes)
    kept, numbers = keep_large(objects, final, min_area=2)
    assert (kept.areas.tolist(), kept.labels.tolist(), kept.boxes.tolist()) == (
        [2, 3],
        [1, 2],
        [[0, 0, 1, 2], [0, 5, 1, 8]],
    )
    # Ground, the pair, the single pixel that is dropped, the three.
    assert numbers.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("min_area", [0, 1])
def test_without_a_smallest_area_all_objects_are_kept(min_area):
    rng = np.random.default_rng(1)
    objects, final, _, _ = label((rng.random((30, 30)) < 0.3).astype(np.uint8), (10,))
    kept, numbers = keep_large(objects, final, min_area)
    assert table(kept) == table(objects)
    assert numbers.tolist() == final.tolist()


@pytest.mark.parametrize("cuts", [(), (1,), (10, 11, 25), tuple(range(1, 50))])
@pytest.mark.parametrize("min_area", [1, 4, 9, 10_000])
def test_what_is_erased_from_the_map_is_what_is_left_out_of_the_table(cuts, min_area):
    rng = np.random.default_rng(3)
    classes = (rng.random((50, 45)) < 0.33).astype(np.uint8) * rng.integers(1, 3, (50, 45), np.uint8)
    whole = classes.copy()
    objects, final, labels, bands = label(classes, cuts)
    kept, numbers = keep_large(objects, final, min_area)
    erase(classes, numbers, bands)
    assert np.array_equal(classes, np.where(objects.areas[labels - 1] >= min_area, whole, 0) * (labels > 0))
    assert table(label(classes, cuts)[0]) == table(kept)
    assert np.count_nonzero(classes) == kept.areas.sum()


def test_the_order_and_the_labels_do_not_depend_on_the_bands():
    # OpenCV does not number components row by row: here the lower of the two comes first in one band.
    classes = np.zeros((4, 20), np.uint8)
    classes[1, 0] = classes[0, 10] = 1
    for bands in ([4], [1, 3], [2, 2], [1, 1, 1, 1]):
        labeler, top = BandLabeler(num_classes=2), 0
        for height in bands:
            labeler.add(label_band(classes[top : top + height])[0])
            top += height
        objects, _ = labeler.finish()
        assert objects.boxes.tolist() == [[0, 10, 1, 11], [1, 0, 2, 1]]


def spirals_hooks_and_diagonals():
    """A map of 4095 x 3071 pixels: in each of 8 x 6 fields a spiral, two nested U's, or a diagonal of one pixel."""
    classes, count = np.zeros((3071, 4095), np.uint8), 0
    for field in range(48):
        left, top = 10 + 510 * (field % 8), 10 + 510 * (field // 8)
        kind = field % 3
        if kind == 0:
            angles = np.linspace(0, 8 * np.pi, 400)
            spiral = angles[:, None] * 9 * np.stack([np.cos(angles), np.sin(angles)], axis=1) + (left + 245, top + 245)
            cv2.polylines(classes, [np.rint(spiral).astype(np.int32)], False, 1, 3)
        elif kind == 1:
            for inset in (0, 60):
                corners = [(inset, 0), (inset, 480 - inset), (480 - inset, 480 - inset), (480 - inset, 0)]
                cv2.polylines(classes, [np.add(corners, (left, top)).astype(np.int32)], False, 2, 5)
        else:
            cv2.line(classes, (left, top), (left + 480, top + 480), 1, 1, cv2.LINE_8)
        count += 2 if kind == 1 else 1
    return classes, count


def test_a_whole_scan_has_the_same_labels_for_all_heights_of_bands():
    classes, count = spirals_hooks_and_diagonals()
    rng = np.random.default_rng(0)
    uneven = np.sort(rng.choice(np.arange(1, len(classes)), 40, replace=False)).tolist()
    tilings = [(), range(256, 3071, 256), range(1000, 3071, 1000), (1, 2, 3, 3070), uneven]
    whole, _, expected_labels, _ = label(classes)
    assert len(whole) == count == 64
    for cuts in tilings[1:]:
        objects, _, labels, _ = label(classes, cuts)
        assert np.array_equal(labels, expected_labels)
        assert table(objects) == table(whole)
        assert np.array_equal(objects.labels, whole.labels)
