"""separating: touching animals are cut apart where they touch, and single ones stay whole."""

import cv2
import numpy as np
import pytest
from touching import KINDS, draw_animal, draw_pair

from plankton_keras.separating import MOST_PARTS, SMALLEST_PART, cuts, separate


def discs(*places, radius=20):
    """Filled discs at `(x, y)`, as one mask."""
    sheet = np.zeros((300, 500), np.uint8)
    for place in places:
        cv2.circle(sheet, place, radius, 1, -1)
    rows, columns = np.flatnonzero(sheet.any(axis=1)), np.flatnonzero(sheet.any(axis=0))
    return sheet[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] > 0


def strokes(*lines, thickness=3, body=None):
    """Lines of points, and an ellipse `(center, axes)` as a body."""
    sheet = np.zeros((200, 300), np.uint8)
    for line in lines:
        cv2.polylines(sheet, [np.array(line, np.int32)], False, 1, thickness)
    if body:
        cv2.ellipse(sheet, *body, 0, 0, 360, 1, -1)
    return sheet > 0


def overlap(part, other):
    return np.count_nonzero(part & other) / np.count_nonzero(part | other)


def test_two_discs_are_cut_along_the_line_between_their_notches():
    first, second = separate(discs((50, 50), (88, 50)))
    # Radius 20 and middles 38 apart: columns 0 to 40 and 38 to 78, and the line is at 39.
    assert np.flatnonzero(first.any(axis=0))[-1] == pytest.approx(39, abs=1)
    assert np.flatnonzero(second.any(axis=0))[0] == pytest.approx(39, abs=1)
    assert first.sum() == pytest.approx(second.sum(), rel=0.06)


def test_the_measures_of_a_cut_are_those_of_its_shapes():
    points = np.concatenate([
        [(x, 0.0) for x in range(40)],
        # A notch of 45 degrees to either side, 10 deep, from above and from below.
        [(40.0 + step, float(step)) for step in range(10)],
        [(50.0 + step, 10.0 - step) for step in range(10)],
        [(60.0 + step, 0.0) for step in range(60)],
        [(120.0, float(step)) for step in range(30)],
        [(120.0 - step, 30.0) for step in range(60)],
        [(60.0 - step, 30.0 - step) for step in range(10)],
        [(50.0 - step, 20.0 + step) for step in range(10)],
        [(40.0 - step, 30.0) for step in range(40)],
        [(0.0, 30.0 - step) for step in range(30)],
    ])  # fmt: skip
    first, second, measures = cuts(points)
    assert points[[first[0], second[0]]].tolist() == [[50, 10], [50, 20]]
    # 50 x 30 and 70 x 30, less two triangles of 10 x 10 / 2 each; a neck of 10 and a pixel.
    small, large, neck = 1400, 2000, 11
    slope = 20 * np.sqrt(2)
    around_small, around_large = 80 + 30 + slope + neck, 120 + 30 + slope + neck
    assert np.exp(measures[0, :3]) == pytest.approx(
        [neck / np.sqrt(small), neck * around_small / (4 * small), neck * around_large / (4 * large)]
    )
    # Both notches turn by a right angle.
    assert measures[0, 3] == pytest.approx(np.pi)
    assert measures[0, 4] == pytest.approx(4 * np.pi * large / around_large**2)
    assert measures[0, 5] == pytest.approx(3400 / 3600)


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((1, 1), bool),
        np.ones((1, 90), bool),
        np.eye(60, dtype=bool),
        np.ones((40, 40), bool),
        discs((50, 50)),
        discs((50, 50)) & ~np.pad(discs((50, 50), radius=15), 5),
        strokes([(20, 20), (20, 180), (150, 180)], thickness=9),
        strokes(*([(x, 100), (x + 10, 160)] for x in range(60, 240, 20)), body=((150, 90), (100, 20))),
    ],
    ids=["pixel", "line", "diagonal", "square", "disc", "ring", "hook", "comb"],
)
def test_what_is_one_stays_whole(mask):
    parts = separate(mask)
    assert len(parts) == 1
    assert np.array_equal(parts[0], mask)


@pytest.mark.parametrize("kind", ["Copepoda", "Appendicularia", "Cnidaria", "fibre"])
def test_antennae_tails_tentacles_and_bends_are_not_cut(kind):
    rng = np.random.default_rng(1)
    for _ in range(30):
        assert len(separate(draw_animal(KINDS.index(kind), rng))) == 1


def test_a_chain_of_many_cells_stays_whole():
    assert len(separate(discs(*((30 + 39 * place, 50) for place in range(MOST_PARTS + 4))))) == 1


def test_a_speck_that_touches_stays_with_its_animal():
    sheet = np.pad(discs((50, 50), radius=30), ((0, 0), (0, 8)))
    sheet[28:35, 61:68] = True
    assert SMALLEST_PART > 7 * 7
    assert len(separate(sheet)) == 1


def test_parts_own_each_pixel_once_are_in_one_piece_and_depend_on_the_mask_alone():
    rng = np.random.default_rng(7)
    several = 0
    for kinds in rng.integers(0, len(KINDS), (30, 2)):
        mask = draw_pair(kinds, rng).mask
        parts = separate(mask)
        several += len(parts) > 1
        assert np.array_equal(np.sum(parts, axis=0), mask)
        assert all(cv2.connectedComponents(part.astype(np.uint8), connectivity=8)[0] == 2 for part in parts)
        firsts = [part.ravel().argmax() for part in parts]
        assert firsts == sorted(firsts)
        # In another window, as another tile would give it.
        wide = separate(np.pad(mask, ((3, 40), (17, 0))))
        assert len(wide) == len(parts)
        assert all(np.array_equal(each[3:-40, 17:], part) for each, part in zip(wide, parts, strict=True))
    assert several > 20


def test_a_large_pair_is_cut_where_its_small_copy_is():
    small = separate(discs((50, 50), (88, 50)))
    for factor in (3, 12):
        large = separate(np.kron(discs((50, 50), (88, 50)), np.ones((factor, factor), bool)))
        assert [overlap(part[::factor, ::factor], each) > 0.95 for part, each in zip(large, small, strict=True)] == [
            True,
            True,
        ]


@pytest.mark.parametrize(("seed", "count"), [(5, 60), pytest.param(3, 400, marks=pytest.mark.slow)])
def test_four_of_five_drawn_pairs_are_cut_apart_and_few_single_objects(seed, count):
    rng = np.random.default_rng(seed)
    cut = sum(len(separate(draw_animal(kind, rng))) > 1 for kind in rng.integers(0, len(KINDS), count))
    apart = 0
    for _ in range(count):
        pair = draw_pair(rng.integers(0, len(KINDS), 2), rng)
        parts = separate(pair.mask)
        both = [(pair.first, pair.second), (pair.second, pair.first)]
        apart += len(parts) == 2 and max(min(map(overlap, parts, order)) for order in both) >= 0.5
    assert apart >= 0.8 * count
    assert cut <= 0.03 * count
