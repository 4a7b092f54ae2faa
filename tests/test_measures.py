import itertools
import math

import numpy as np
import pytest
from scipy import ndimage, stats

from plankton_keras.errors import InputError
from plankton_keras.measures import grays, outlines, shapes, sizes, symmetry, zooprocess

CORNER = 2 - math.sqrt(2)
PIXEL_MM = 25.4 / 2400
# A real object of the APERO cruise, and what ZooProcess 8 derived from it.
GOLDEN = {
    "area": 2173,
    "area_exc": 2156,
    "mean": 207.336,
    "stddev": 25.439,
    "min": 122,
    "max": 249,
    "x": 30.305,
    "y": 29.898,
    "xm": 30.080,
    "ym": 29.527,
    "perim.": 262.392,
    "major": 62.823,
    "minor": 44.041,
    "feret": 71.281,
}
GOLDEN_DERIVED = {
    "esd": 52.5999,
    "elongation": 1.4318,
    "range": 127,
    "meanpos": -0.48816,
    "centroids": 0,
    "cv": 12.0575,
    "sr": 19.685,
    "perimareaexc": 5.6426,
    "feretareaexc": 1.5291,
    "perimferet": 3.6901,
    "perimmajor": 4.1587,
    "circex": 0.39469,
    "cdexc": 0,
}


def shape_of(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def disc(radius, size=None):
    return ellipse(radius, radius, 0, size)


def ellipse(major, minor, degrees, size=None):
    """Pixels whose centres are inside of an ellipse of these half axes, turned counter-clockwise."""
    size = size or int(2 * major + 5)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return ((x * cosine - y * sine) / major) ** 2 + ((x * sine + y * cosine) / minor) ** 2 <= 1


def blob(seed, size=40):
    """A ragged object of one part without holes."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 2)
    mask = outlines.fill_holes(symmetry.largest_part(noise > 0.02))
    return outlines.fill_holes(mask)


def scene(mask, seed=0, holes=False):
    """Gray levels of an object on white, all dark enough unless it is to have holes."""
    gray = np.random.default_rng(seed).integers(60, 256 if holes else 240, mask.shape)
    return np.where(mask, gray, 255).astype(np.uint8)


# Derived measures


def test_legacy_derived_measures_are_those_of_zooprocess():
    found = sizes.derive(GOLDEN, legacy=True)
    assert list(found) == list(GOLDEN_DERIVED)
    assert found == pytest.approx(GOLDEN_DERIVED, rel=2e-5)
    # From the rounded inputs, by hand: mean 207.34, stddev 25, perim. 262, major 63, minor 44, feret 71.
    assert found == pytest.approx(
        {
            "esd": 2 * math.sqrt(2173 / math.pi),
            "elongation": 63 / 44,
            "range": 127,
            "meanpos": (207.34 - 249) / (207.34 - 122),
            "centroids": 0,
            "cv": 2500 / 207.34,
            "sr": 2500 / 127,
            "perimareaexc": 262 / math.sqrt(2156),
            "feretareaexc": 71 / math.sqrt(2156),
            "perimferet": 262 / 71,
            "perimmajor": 262 / 63,
            "circex": 4 * math.pi * 2156 / 262**2,
            "cdexc": 0,
        },
        rel=1e-9,
    )


def test_exact_derived_measures_are_not_rounded():
    found = sizes.derive(GOLDEN)
    assert found["elongation"] == pytest.approx(1.4265, abs=5e-5)
    assert found["centroids"] == pytest.approx(math.hypot(0.225, 0.371), rel=1e-9)
    assert found["cdexc"] == pytest.approx(found["centroids"] / math.sqrt(2156), rel=1e-9)
    assert found["esd"] == pytest.approx(52.5999, abs=5e-5)


def test_golden_sizes_and_volumes():
    found = sizes.millimetres(GOLDEN, PIXEL_MM)
    assert found["area_mm2"] == pytest.approx(0.243391, abs=5e-7)
    assert found["esd_mm"] == pytest.approx(0.556682, abs=5e-7)
    assert found["biovolume_plain_mm3"] == pytest.approx(0.0903277, abs=5e-8)
    assert found["biovolume_riddled_mm3"] == pytest.approx(0.0892698, abs=5e-8)
    assert found["biovolume_ellipsoid_mm3"] == pytest.approx(0.0756309, abs=5e-8)
    assert found["biovolume_plain_mm3"] == pytest.approx(math.pi / 6 * found["esd_mm"] ** 3, rel=1e-12)


def test_what_divides_by_nothing_is_none():
    found = sizes.derive(GOLDEN | {"area_exc": 0, "min": 249, "mean": 249.0, "stddev": None})
    assert [name for name, value in found.items() if value is None] == [
        *("meanpos", "cv", "sr", "perimareaexc", "feretareaexc", "cdexc"),
    ]


# The outline


@pytest.mark.parametrize(
    ("shape", "edges", "corners"),
    [
        # One pixel: four edges of 1, every second corner counts.
        (shape_of("#"), 4, 2),
        # Edges 2 2 2 2: all corners count.
        (shape_of("##", "##"), 8, 4),
        # A plus: twelve edges of 1, every second corner counts.
        (shape_of(".#.", "###", ".#."), 12, 6),
        # An L, clockwise: 1 2 2 1 3 3. Those after 2, 2, 3, 3 count; those after 1 follow one that counts.
        (shape_of("#..", "#..", "###"), 12, 4),
        (np.ones((3, 5), bool), 16, 4),
        # A disc, clockwise: 3 1 1 3 1 1 3 1 1 3 1 1. After each 3 one counts, then not, then one counts.
        (shape_of(".###.", "#####", "#####", "#####", ".###."), 20, 8),
        # Two pixels touching at a corner are one object: two outlines of 4 edges of 1 each that meet, eight corners.
        (shape_of("#.", ".#"), 8, 4),
        # Two parts: their perimeters added up.
        (shape_of("#.##", "..##"), 12, 6),
        # Steps, clockwise: 2 1 1 1 3 2. After 2 one counts, then not, one, not; after 3 and 2 one each.
        (shape_of("##.", "###"), 10, 4),
    ],
)
def test_the_perimeter_is_that_traced_by_hand(shape, edges, corners):
    assert outlines.traced_perimeter(shape) == pytest.approx(edges - corners * CORNER, abs=1e-12)


def test_imagej_counts_one_more_where_it_starts_beside_a_step():
    # Its first corner is that below the first row's right end, and always counts: that one, not, one, 3, 2, 2.
    shape = shape_of("##.", "###")
    assert outlines.traced_perimeter(shape, imagej_start=True) == pytest.approx(10 - 5 * CORNER, abs=1e-12)


def walk(mask):
    """Walks along the pixels' edges, step by step with the object to the right; gives perimeters by both rules."""
    padded = np.pad(mask, 2)
    top, left = np.argwhere(padded)[0]
    moves = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    # Pixels ahead of a lattice point to the left and to the right of each direction.
    ahead = [((-1, 0), (0, 0)), ((0, 0), (0, -1)), ((0, -1), (-1, -1)), ((-1, -1), (-1, 0))]
    point, way, path = (top, left), 0, []
    while not path or (point, way) != ((top, left), 0):
        path.append(way)
        point = (point[0] + moves[way][0], point[1] + moves[way][1])
        outer, inner = (padded[point[0] + y, point[1] + x] for y, x in ahead[way])
        way = (way - 1) % 4 if outer else way if inner else (way + 1) % 4
    lengths = [1]
    for before, after in itertools.pairwise(path):
        lengths = [*lengths[:-1], lengths[-1] + 1] if before == after else [*lengths, 1]

    def corners(sequence):
        counted, number = False, 0
        for side in sequence:
            counted = side > 1 or not counted
            number += counted
        return number

    long = next((at for at, side in enumerate(lengths) if side > 1), 0)
    whole, imagej = corners(lengths[long:] + lengths[:long]), corners(lengths[1:] + lengths[:1])
    return len(path) - whole * CORNER, len(path) - imagej * CORNER


@pytest.mark.parametrize("seed", range(12))
def test_the_perimeter_of_ragged_objects_is_that_of_a_walk_around_them(seed):
    mask = blob(seed)
    found = (outlines.traced_perimeter(mask), outlines.traced_perimeter(mask, imagej_start=True))
    assert found == pytest.approx(walk(mask), abs=1e-9)


@pytest.mark.parametrize("radius", [20, 50, 100])
def test_the_perimeter_of_discs_is_some_5_percent_high(radius):
    assert outlines.traced_perimeter(disc(radius)) / (2 * math.pi * radius) == pytest.approx(1.05, abs=0.02)


def test_holes_are_filled_and_gaps_are_not():
    ring = shape_of("####", "#..#", "####")
    assert outlines.fill_holes(ring).all()
    gap = shape_of("####", "#..#", "##.#")
    assert (outlines.fill_holes(gap) == gap).all()


def test_the_hull_is_counted_as_drawn():
    # The hull of an L's pixel centres is a triangle of 1 + 2 + 3 pixels, all of them at its rim.
    assert outlines.hull_pixels(outlines.hull_points(shape_of("#..", "#..", "###"))) == (6, 6)
    # A rim that may not step over corners has 2 (width + height) - 4 pixels, whatever the convex shape.
    mask = disc(30)
    rows, columns = (np.ptp(each) + 1 for each in np.nonzero(mask))
    assert outlines.hull_pixels(outlines.hull_points(mask))[1] == 2 * (rows + columns) - 4


# The shape


@pytest.mark.parametrize("radius", [20, 33.3, 60])
def test_discs(radius):
    mask = disc(radius)
    x, y, major, minor, _ = shapes.fit_ellipse(mask)
    assert mask.sum() == pytest.approx(math.pi * radius**2, rel=0.01)
    assert (major, minor) == pytest.approx((2 * radius, 2 * radius), rel=0.01)
    assert (x, y) == pytest.approx(((mask.shape[1] - 1) / 2, (mask.shape[0] - 1) / 2))


@pytest.mark.parametrize("radius", [100, 120.4, 160.5])
def test_the_feret_diameter_of_discs(radius):
    assert outlines.feret_diameter(outlines.hull_points(disc(radius))) == pytest.approx(2 * radius, rel=0.01)


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 110, 135.5, 179])
def test_turned_ellipses(degrees):
    mask = ellipse(60, 20, degrees)
    _, _, major, minor, angle = shapes.fit_ellipse(mask)
    assert mask.sum() == pytest.approx(math.pi * 60 * 20, rel=0.01)
    assert (major, minor) == pytest.approx((120, 40), rel=0.01)
    assert (angle - degrees + 90) % 180 - 90 == pytest.approx(0, abs=0.3)
    assert outlines.feret_diameter(outlines.hull_points(mask)) == pytest.approx(120, rel=0.01)


def test_an_l_shape_has_the_moments_of_its_two_rectangles():
    mask = np.zeros((120, 100), bool)
    mask[:, :30] = True
    mask[80:, 30:] = True
    # Areas, centres and sides: 30 x 120 and 70 x 40. Rectangles' own moments are side**2 / 12.
    areas, xs, ys = np.array([3600, 2800]), np.array([15, 65]), np.array([60, 100])
    x, y = areas @ xs / 6400, areas @ ys / 6400
    xx = areas @ (np.array([30, 70]) ** 2 / 12 + (xs - x) ** 2)
    yy = areas @ (np.array([120, 40]) ** 2 / 12 + (ys - y) ** 2)
    high, low = np.linalg.eigvalsh([[xx, areas @ ((xs - x) * (ys - y))], [areas @ ((xs - x) * (ys - y)), yy]])[::-1]
    found = zooprocess.measure(scene(mask), mask, (0, 0))
    assert (found["x"], found["y"], found["area"]) == pytest.approx((x, y, 6400))
    assert found["major"] / found["minor"] == pytest.approx(math.sqrt(high / low), rel=1e-9)
    assert found["major"] * found["minor"] == pytest.approx(4 / math.pi * 6400, rel=1e-9)
    # From the upper left corner to the end of the foot.
    assert found["feret"] == pytest.approx(math.hypot(100, 120), rel=1e-9)
    assert found["perim."] == pytest.approx(2 * 220 - 6 * CORNER, rel=1e-9)


@pytest.mark.parametrize("shape", [disc(6), np.ones((2, 11), bool), blob(3)])
def test_the_fractal_dimension_follows_its_definition_on_the_whole_canvas(shape):
    shape = symmetry.largest_part(shape)
    height, width = shape.shape
    canvas = np.zeros((4 * height, 4 * width), bool)
    top, left = 2 * height - -(-height // 2), 2 * width - -(-width // 2)
    canvas[top : top + height, left : left + width] = shape
    distance = ndimage.distance_transform_edt(canvas) + ndimage.distance_transform_edt(~canvas)
    radii = sorted({round(1.1**k) for k in range(1, 41)})
    areas = [np.count_nonzero(distance <= radius) for radius in radii]
    expected = 2 - np.std(np.log(areas), ddof=1) / np.std(np.log(2 * np.array(radii)), ddof=1)
    assert shapes.fractal_dimension(shape) == pytest.approx(expected, abs=1e-9)


def test_a_ragged_rim_has_a_higher_dimension_than_a_smooth_one():
    smooth = disc(110)
    comb = np.zeros((223, 223), bool)
    comb[:, ::6] = comb[:, 1::6] = comb[100:120] = True
    assert shapes.fractal_dimension(symmetry.largest_part(smooth)) == pytest.approx(1, abs=0.1)
    assert shapes.fractal_dimension(comb) > 1.3


def test_a_large_skeleton_is_counted_at_a_smaller_size(monkeypatch):
    # A bar thins to its middle line of nearly its length.
    bar = np.ones((8, 200), bool)
    assert shapes.skeleton_area(bar, 8) == pytest.approx(193, abs=3)
    monkeypatch.setattr(shapes, "MOST_THINNING", bar.size)
    assert shapes.skeleton_area(bar, 8) == pytest.approx(193, abs=6)


def test_symmetry_counts_equal_pixels_of_ground_and_object():
    canvas = shape_of("##.", ".#.", "...")
    # Left to right 2 of 25 pixels are unequal, top to bottom 4; the area is 3.
    assert symmetry.symmetry(symmetry.Levelled(canvas, 5, 3)) == pytest.approx((23 / 6, 21 / 6))


@pytest.mark.parametrize("degrees", [0, 30, 90, 145])
def test_a_symmetric_object_fills_the_canvas_however_it_lies(degrees):
    mask = symmetry.largest_part(ellipse(50, 20, degrees))
    levelled = symmetry.level(mask)
    assert levelled.side == int(1.2 * math.hypot(*mask.shape))
    equal = np.array(symmetry.symmetry(levelled)) * 2 * levelled.area
    assert (equal > 0.99 * levelled.side**2).all()


def test_an_asymmetric_object_is_less_symmetric():
    drop = ellipse(50, 20, 0)
    drop[:, 55:] &= ellipse(50, 8, 0)[:, 55:]
    levelled = symmetry.level(symmetry.largest_part(drop))
    horizontal, vertical = symmetry.symmetry(levelled)
    most = levelled.side**2 / 2 / levelled.area
    # Its two ends differ, its two flanks do not.
    assert horizontal < 0.97 * most
    assert vertical > 0.995 * most


def test_what_sticks_out_of_the_canvas_is_cut():
    tadpole = np.zeros((40, 400), bool)
    tadpole[:, :40] = tadpole[18:22] = True
    levelled = symmetry.level(tadpole)
    assert levelled.canvas.shape[1] == levelled.side
    assert levelled.canvas.sum() < tadpole.sum()


def test_the_thickness_is_that_of_the_first_run():
    canvas = np.zeros((9, 9), bool)
    canvas[1:7, 2] = canvas[1:4, 4] = canvas[5:9, 4] = canvas[3:6, 6] = True
    levelled = symmetry.Levelled(canvas, 9, int(canvas.sum()))
    # Columns 0, 2, 4, 6, 8; thick 6, 3 (then a gap) and 3. Legacy: greatest and sum of 6 and 3, divided by all three.
    assert symmetry.thickness_ratio(levelled, step=2) == pytest.approx(6 / 4)
    assert symmetry.thickness_ratio(levelled, step=2, legacy=True) == pytest.approx(6 / 3)
    # Of columns 0 and 6 one has an object, which legacy leaves out.
    assert symmetry.thickness_ratio(levelled, step=6, legacy=True) == 1
    # The canvas may be only the middle of a larger one: its first column is then column 1, measured are 1, 4, 7.
    middle = symmetry.Levelled(canvas, 13, int(canvas.sum()))
    assert symmetry.thickness_ratio(middle, step=3) == pytest.approx(1)


# Gray levels


def test_statistics_are_those_of_scipy():
    values = np.random.default_rng(0).integers(30, 240, 501).astype(np.uint8)
    found = grays.gray_statistics(values)
    assert found == pytest.approx(
        {
            "mean": values.mean(),
            "stddev": values.std(ddof=1),
            "mode": stats.mode(values).mode,
            "min": values.min(),
            "max": values.max(),
            "median": np.median(values),
            "intden": values.sum(dtype=int),
            "skew": stats.skew(values),
            "kurt": stats.kurtosis(values),
        },
        rel=1e-9,
    )


def test_slope_and_cumulated_levels():
    counts = np.bincount([10] * 4 + [20] * 4 + [30] * 8, minlength=255)
    assert grays.histogram_features(counts) == pytest.approx(
        # Below 0.25 stays everything up to 9, below 0.5 up to 19, below 0.75 up to 29, raised to 30, which occurs.
        {
            "slope": np.std(counts, ddof=1) / np.std(np.arange(255), ddof=1),
            "histcum1": 9,
            "histcum2": 19,
            "histcum3": 30,
        }
    )


def test_dark_parts_of_five_pixels_after_erosion_are_counted():
    gray = np.full((20, 30), 200, np.uint8)
    gray[2:8, 2:8] = 50  # 16 pixels are left
    gray[2:6, 12:16] = 50  # 4 pixels are left
    gray[10:19, 10:19] = 50
    gray[14, 14] = 200  # the ring that is left counts once, with what it encloses
    assert grays.count_dark_parts(gray, np.ones(gray.shape, bool), 50) == 2


def test_fcons_follows_the_macro_step_by_step():
    rng = np.random.default_rng(1)
    gray, solid = rng.integers(0, 40, (15, 12)).astype(np.uint8), rng.random((15, 12)) < 0.8
    counts = np.bincount(gray[solid], minlength=255)
    cuts = grays.cumulated(counts)
    chosen = [max((k for k in range(255) if counts[k] and counts[k] <= cut), default=0) for cut in cuts]
    shown = np.where(solid, gray, 255).astype(float)
    cumulated, total, pixels = np.zeros(256), 0.0, 1
    for x in range(1, 11):
        for y in range(1, 14):
            level = int(shown[y, x])
            if level in chosen:
                around = (shown[y - 1 : y + 2, x - 1 : x + 2].sum() - level) / 8
                cumulated[level] += abs(level - around)
                total += cumulated[level] * counts[level] / 256
                pixels += 1
    assert pixels > 1
    assert grays.legacy_contrast(gray, solid, counts, cuts) == pytest.approx(total / pixels)


# All of it


def test_columns_are_those_of_the_header_in_its_order():
    assert len(zooprocess.COLUMNS) == 54 + 13
    mask = blob(0)
    legacy = zooprocess.measure(scene(mask), mask, (0, 0), legacy=True)
    assert tuple(legacy) == zooprocess.COLUMNS
    exact = zooprocess.measure(scene(mask), mask, (0, 0))
    assert tuple(exact) == tuple(name for name in zooprocess.COLUMNS if name not in zooprocess.LEGACY_ONLY)
    assert [legacy[name] for name in zooprocess.LEGACY_ONLY if name != "fcons"] == [0] * 8 + [1]
    assert legacy["thickr"] is None
    physical = zooprocess.measure(scene(mask), mask, (0, 0), PIXEL_MM)
    assert list(physical)[len(exact) :] == [
        *("area_mm2", "esd_mm", "feret_mm", "major_mm", "minor_mm"),
        *("biovolume_plain_mm3", "biovolume_riddled_mm3", "biovolume_ellipsoid_mm3"),
    ]
    assert physical["esd_mm"] == pytest.approx(physical["esd"] * PIXEL_MM)
    assert {type(value) for value in physical.values()} == {int, float}


def test_a_holed_disc():
    mask, hole = disc(40), disc(10, 85)
    gray = np.where(mask & ~hole, 150, 250).astype(np.uint8)
    found = zooprocess.measure(gray, mask & ~hole, (0, 0))
    assert found["area"] == mask.sum()
    assert found["area_exc"] == mask.sum() - hole.sum()
    assert found["%area"] == pytest.approx(100 * hole.sum() / mask.sum())
    assert found["%area"] == pytest.approx(100 / 16, rel=0.02)
    assert found["mean"] == pytest.approx((150 * found["area_exc"] + 250 * hole.sum()) / found["area"])
    assert (found["major"], found["minor"]) == pytest.approx((80, 80), rel=0.01)
    assert (found["histcum3"], found["max"]) == (150, 250)
    # The skeleton of a ring is a circle: halfway between its rims, with as many pixels as the circle is high and wide.
    assert found["skelarea"] == pytest.approx(4 * math.sqrt(2) * 25, rel=0.1)
    # All of the canvas is equal to its mirror image.
    assert found["symetrieh"] == pytest.approx(found["symetriev"], rel=0.02)
    # What the mask leaves out counts as object where it is dark.
    assert zooprocess.measure(gray, mask, (0, 0)) == found


def test_centroids_are_in_the_box_and_places_in_the_scan():
    mask = np.zeros((8, 9), bool)
    mask[2:4, 3:7] = mask[4, 2] = True
    gray = np.full(mask.shape, 100, np.uint8)
    gray[2, 6] = 200
    found = zooprocess.measure(gray, mask, (1000, 2000))
    assert [found[name] for name in ("bx", "by", "width", "height", "xstart", "ystart")] == [
        1002,
        2002,
        5,
        3,
        1003,
        2002,
    ]
    # Eight pixels of columns 1 to 4 in rows 0 and 1, one in column 0 and row 2; the pixel 4, 0 counts twice in xm, ym.
    assert (found["x"], found["y"]) == pytest.approx((20 / 9 + 0.5, 6 / 9 + 0.5))
    assert (found["xm"], found["ym"]) == pytest.approx((24 / 10 + 0.5, 6 / 10 + 0.5))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_shift_changes_nothing_but_the_place(legacy):
    mask = blob(5)
    gray = scene(mask, holes=True)
    before = zooprocess.measure(gray, mask, (100, 200), PIXEL_MM, legacy=legacy)
    margins = ((3, 5), (7, 2))
    after = zooprocess.measure(
        np.pad(gray, margins, constant_values=9), np.pad(mask, margins), (100, 200), PIXEL_MM, legacy=legacy
    )
    moved = {"bx": before["bx"] + 7, "by": before["by"] + 3, "xstart": before["xstart"] + 7}
    assert after == before | moved | {"ystart": before["ystart"] + 3}


@pytest.mark.parametrize("seed", range(6))
def test_a_quarter_turn_changes_no_size(seed):
    mask = blob(seed)
    gray = scene(mask, seed)
    before, after = (zooprocess.measure(np.rot90(gray, k), np.rot90(mask, k), (0, 0), PIXEL_MM) for k in (0, 1))
    same = ("area", "perim.", "feret", "major", "minor", "circ.", "convperim", "mean", "skew", "slope", "nb2")
    assert [after[name] for name in same] == pytest.approx([before[name] for name in same], rel=1e-9)
    assert (before["width"], before["height"]) == (after["height"], after["width"])
    assert (after["angle"] - before["angle"]) % 180 == pytest.approx(90, abs=1e-6)


def test_legacy_is_exact_where_nothing_is_rounded():
    mask = blob(2)
    gray = scene(mask)
    exact, legacy = (zooprocess.measure(gray, mask, (0, 0), PIXEL_MM, legacy=legacy) for legacy in (False, True))
    whole = [name for name, value in exact.items() if isinstance(value, int)]
    assert len(whole) > 20
    assert [legacy[name] for name in whole] == [exact[name] for name in whole]
    near = ("major", "minor", "mean", "stddev", "x", "ym", "fractal", "symetrieh", "symetriehc", "%area", "kurt")
    assert [legacy[name] for name in near] == pytest.approx([exact[name] for name in near], abs=0.05)
    assert legacy["mean"] == sizes.round_half_up(exact["mean"], 2)
    assert legacy["elongation"] == round(exact["major"]) / round(exact["minor"])
    assert {name: legacy[name] for name in exact if name.endswith(("mm2", "mm3"))} == {
        name: exact[name] for name in exact if name.endswith(("mm2", "mm3"))
    }


def test_one_pixel_has_what_it_can_have():
    found = zooprocess.measure(np.full((1, 1), 80, np.uint8), np.ones((1, 1), bool), (5, 6), PIXEL_MM)
    assert (found["area"], found["mean"], found["stddev"], found["skew"]) == (1, 80, None, None)
    assert found["perim."] == pytest.approx(4 - 2 * CORNER)
    assert found["major"] == found["minor"] == pytest.approx(2 / math.sqrt(math.pi))
    assert found["feret"] == pytest.approx(math.sqrt(2))
    assert (found["meanpos"], found["thickr"], found["skelarea"]) == (None, 1, 1)


def test_an_object_brighter_than_the_threshold_has_no_dark_measures():
    mask = disc(10)
    found = zooprocess.measure(np.full(mask.shape, 250, np.uint8), mask, (0, 0), PIXEL_MM, legacy=True)
    assert (found["area_exc"], found["%area"], found["histcum1"], found["nb3"]) == (0, 100, None, None)
    assert (found["perimareaexc"], found["cdexc"], found["symetriehc"], found["biovolume_riddled_mm3"]) == (
        *(None, None, None),
        0,
    )
    assert found["symetrieh"] > 0


def test_bad_crops_are_refused():
    with pytest.raises(InputError) as error:
        zooprocess.measure(np.zeros((3, 4), np.uint8), np.zeros((3, 4), bool), (7, 8))
    assert str(error.value) == (
        "The object at 7, 8: the mask is empty.\n"
        "Expected: a crop and a mask of one size, with at least one pixel of the object.\n"
        "Fix: cut both by the object's box."
    )
    with pytest.raises(InputError, match="crop and mask are of 4x3 and 3x3 pixels"):
        zooprocess.measure(np.zeros((3, 4), np.uint8), np.ones((3, 3), bool), (0, 0))
