"""candidates: what is darker than the local ground is found whole and cut out alone, however the scan is cut."""

import itertools

import cv2
import numpy as np
import pytest
from scipy import ndimage

from plankton_keras.candidates import LocalGround, bands_of, find_candidates, find_owned
from plankton_keras.scans import ArrayScan
from plankton_keras.tiles import Window


def drawn(*rectangles, height=300, width=300):
    """A scan of gray 200 with rectangles `(top, left, bottom, right, gray)`.

    Those of gray 40 are dark one pixel further on all sides: one black pixel of nine brings the mean to 182 < 190.
    """
    pixels = np.full((height, width), 200, np.uint8)
    for top, left, bottom, right, gray in rectangles:
        pixels[top:bottom, left:right] = gray
    return pixels


def blobs(height=300, width=260, seed=0):
    """Smooth dark blobs of many sizes, from specks on, on a ground of 200."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.where(smooth > 1.1 * smooth.std(), 80, 200).astype(np.uint8)


def slope(height, width):
    """Gray levels from 80 on that grow by one each 8 columns."""
    return np.tile(80 + np.arange(width) // 8, (height, 1)).astype(np.uint8)


def cut(size, *places):
    return list(itertools.pairwise([0, *places, size]))


def find(pixels, places=(), **more):
    return find_candidates(ArrayScan("a", pixels), cut(len(pixels), *places), **more)


def whole(pixels):
    return Window(0, 0, *pixels.shape)


def label_map(candidates):
    labels = np.zeros(candidates.dark.shape, np.int32)

    def fill(top, bottom, places, own):
        labels[top:bottom].ravel()[places] = own

    list(candidates.over_bands(fill))
    return labels


def table(objects):
    return objects.labels.tolist(), objects.boxes.tolist(), objects.areas.tolist()


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7), (1030, 45)])
@pytest.mark.parametrize("gray", [0, 137, 255])
def test_the_ground_of_a_plain_scan_is_its_gray(shape, gray):
    ground = LocalGround(ArrayScan("a", np.full(shape, gray, np.uint8))).read(Window(0, 0, *shape))
    assert (ground.shape, ground.dtype) == (shape, np.float32)
    assert (ground == gray).all()


@pytest.mark.parametrize("turned", [False, True])
def test_the_ground_follows_a_slope_in_either_direction(turned):
    pixels = slope(640, 1200).T.copy() if turned else slope(640, 1200)
    ground = LocalGround(ArrayScan("a", pixels)).read(whole(pixels))
    assert np.abs(ground - pixels).max() <= 1
    assert not find(pixels).dark.any()


def test_light_that_falls_off_towards_a_corner_is_no_candidate():
    rows, columns = np.indices((900, 900))
    pixels = (100 + rows // 16 + columns // 16).astype(np.uint8)
    assert len(find(pixels).objects) == 0


@pytest.mark.parametrize("gray", [20, 250])
def test_an_object_on_the_edge_does_not_change_the_ground(gray):
    pixels = drawn((0, 100, 200, 180, gray), (280, 0, 300, 40, gray), height=600, width=600)
    assert (LocalGround(ArrayScan("a", pixels)).read(whole(pixels)) == 200).all()


def test_a_small_dark_object_does_not_change_the_ground():
    pixels = drawn((100, 120, 200, 180, 20))
    assert (LocalGround(ArrayScan("a", pixels)).read(whole(pixels)) == 200).all()


def disk(pixels, center, radius, gray):
    return cv2.circle(pixels, center, radius, gray, -1)


@pytest.mark.parametrize("gray", [30, 185])
@pytest.mark.parametrize(
    "shape",
    [
        lambda gray: disk(drawn(height=2000, width=2400), (1300, 900), 380, gray),
        lambda gray: disk(drawn(height=2000, width=2400), (1300, 900), 700, gray),
        # Its long sides are as much of the median as the ground beside them.
        lambda gray: drawn((300, 100, 1500, 2200, gray), height=2000, width=2400),
        lambda gray: disk(drawn((300, 100, 700, 2200, gray), height=2000, width=2400), (800, 800), 600, gray),
    ],
)
def test_an_animal_that_the_median_would_be_of_is_one_whole_candidate(shape, gray):
    pixels = shape(gray)
    # Light falls off to the right by a tenth.
    light = np.linspace(1, 0.9, pixels.shape[1], dtype=np.float32)
    candidates = find(np.rint(pixels * light).astype(np.uint8))
    animal = (pixels == gray).astype(np.uint8)
    core, around = cv2.erode(animal, np.ones((3, 3))) > 0, cv2.dilate(animal, np.ones((3, 3))) > 0
    assert len(candidates.objects) == 1
    assert (candidates.dark[core] > 0).all()
    assert not (candidates.dark[~around] > 0).any()


def test_half_an_animal_at_the_border_is_one_whole_candidate():
    pixels = disk(drawn(height=2000, width=2400), (1300, 0), 600, 90)
    candidates = find(pixels)
    assert len(candidates.objects) == 1
    assert (candidates.dark[pixels == 90] > 0).all()


def test_a_shadow_without_an_edge_is_ground_however_dark():
    rows, columns = np.indices((3600, 3600)) - 1800
    pixels = np.rint(200 * (1 - 0.3 * np.exp(-(rows**2 + columns**2) / (2 * 900**2)))).astype(np.uint8)
    assert len(find(pixels).objects) == 0


@pytest.mark.parametrize("width", [60, 700])
def test_the_tray_around_a_scan_stays_its_own_ground(width):
    pixels = np.full((2400, 2400), 90, np.uint8)
    pixels[width:-width, width:-width] = 200
    assert not find(pixels).dark[: width - 30, width:-width].any()


def test_a_large_animal_does_not_change_the_ground_of_places_that_it_leaves_free():
    pixels = np.random.default_rng(0).normal(200, 3, (2000, 4000)).astype(np.uint8)
    alone = LocalGround(ArrayScan("a", pixels)).small
    ground = LocalGround(ArrayScan("a", disk(pixels.copy(), (900, 900), 600, 60))).small
    assert np.abs(ground.astype(int) - alone).max() <= 1
    np.testing.assert_array_equal(ground[:, 260:], alone[:, 260:])


@pytest.mark.parametrize(("rows", "columns"), [((128,), (8, 200)), ((1, 2, 77, 299), (130, 131)), ((), (259,))])
def test_windows_joined_give_the_ground_of_the_whole(rows, columns):
    pixels = blobs() - slope(300, 260) // 4
    ground = LocalGround(ArrayScan("a", pixels))
    for read in (ground.read, ground.whitened):
        bands = []
        for top, bottom in cut(300, *rows):
            parts = [read(Window(top, left, bottom - top, right - left)) for left, right in cut(260, *columns)]
            bands.append(np.concatenate(parts, axis=1))
        assert np.array_equal(np.concatenate(bands), read(whole(pixels)))


@pytest.mark.parametrize("places", [(1,), (128,), (1, 2, 3, 150, 299), tuple(range(1, 300))])
def test_windows_joined_are_as_dark_as_the_whole(places):
    pixels = blobs() - slope(300, 260) // 4
    ground = LocalGround(ArrayScan("a", pixels))
    joined = [ground.dark(Window(top, 0, bottom - top, 260)) for top, bottom in cut(300, *places)]
    expected = ground.dark(whole(pixels))
    assert len(np.unique(expected)) > 50
    assert np.array_equal(np.concatenate(joined), expected)


def test_whitened_puts_the_ground_at_255_and_keeps_the_share_of_it():
    pixels = drawn((50, 50, 80, 80, 79), (100, 100, 120, 120, 0), (200, 200, 220, 220, 230))
    white = LocalGround(ArrayScan("a", pixels)).whitened(whole(pixels))
    # 79 / 200 * 255 = 100.7; brighter than the ground stays at 255.
    assert white.dtype == np.uint8
    assert np.array_equal(white, np.where(pixels == 79, 101, np.where(pixels == 0, 0, 255)))


def test_whitened_takes_a_slope_away():
    pixels = slope(640, 1200)
    assert LocalGround(ArrayScan("a", pixels)).whitened(whole(pixels)).min() >= 252


def test_the_ground_of_a_black_scan_is_no_candidate():
    pixels = np.zeros((50, 60), np.uint8)
    assert not LocalGround(ArrayScan("a", pixels)).whitened(whole(pixels)).any()
    assert len(find(pixels).objects) == 0


def test_bands_cover_the_height():
    assert bands_of(5) == [(0, 5)]
    assert bands_of(256) == [(0, 256)]
    assert bands_of(257) == [(0, 256), (256, 257)]


def test_what_is_dark_and_large_enough_is_found_and_specks_are_not():
    # One pixel more on each side: 32 x 32, 11 x 11 and 10 x 10.
    candidates = find(drawn((50, 60, 80, 90, 40), (150, 40, 159, 49, 40), (150, 140, 158, 148, 40)))
    assert table(candidates.objects) == ([1, 2], [[49, 59, 81, 91], [149, 39, 160, 50]], [1024, 121])
    assert np.count_nonzero(candidates.dark) == 1024 + 121 + 100


def test_how_dark_a_pixel_is_counts_250ths_of_the_ground():
    pixels = drawn((50, 50, 80, 80, 100), (100, 100, 140, 140, 0), (200, 200, 240, 240, 180))
    dark = LocalGround(ArrayScan("a", pixels)).dark(whole(pixels))
    # 100, 0 and 180 of 200 are darker by 0.5, 1 and 0.1.
    assert (dark.dtype, dark[65, 65], dark[120, 120], dark[220, 220], dark[0, 0]) == (np.uint8, 125, 250, 25, 0)
    # Beside black a third of the mean is: 250 / 3. That is not darker than 0.6.
    assert dark[120, 99] == 83
    assert LocalGround(ArrayScan("a", pixels)).dark(whole(pixels), darkness=0.6)[120, 99] == 0


@pytest.mark.parametrize(("min_area", "areas"), [(1, [121, 100]), (100, [121, 100]), (101, [121]), (122, [])])
def test_a_candidate_of_exactly_the_smallest_area_is_kept(min_area, areas):
    pixels = drawn((50, 40, 59, 49, 40), (150, 140, 158, 148, 40))
    assert find(pixels, min_area=min_area).objects.areas.tolist() == areas


@pytest.mark.parametrize(("darkness", "count"), [(0.95, 2), (0.8, 1), (0.3, 0)])
def test_only_what_is_darker_than_a_share_of_the_ground_is_found(darkness, count):
    # 191, 181 and 81 of 200 are 0.955, 0.905 and 0.405.
    pixels = drawn((20, 20, 60, 60, 191), (100, 100, 140, 140, 181), (200, 200, 240, 240, 81))
    assert len(find(pixels, darkness=darkness).objects) == count


@pytest.mark.parametrize("places", [(128,), (1, 2, 3, 150, 299), tuple(range(1, 300))])
def test_the_candidates_do_not_depend_on_the_bands(places):
    expected, candidates = find(blobs()), find(blobs(), places)
    assert 10 < len(expected.objects) < find(blobs(), min_area=1).objects.labels.max()
    assert table(candidates.objects) == table(expected.objects)
    assert np.array_equal(candidates.dark, expected.dark)
    assert np.array_equal(label_map(candidates), label_map(expected))


@pytest.mark.parametrize("places", [(), (100,), (55, 99), (139, 140, 141)])
def test_the_arms_of_a_u_are_one_candidate_wherever_it_is_cut(places):
    candidates = find(drawn((50, 50, 140, 60, 40), (50, 100, 140, 110, 40), (140, 50, 150, 110, 40)), places)
    # Each arm is 91 x 12 with its edge, what joins them 11 to 12 x 62: 2 * 90 * 12 + 12 * 62.
    assert table(candidates.objects) == ([1], [[49, 49, 151, 111]], [2 * 90 * 12 + 12 * 62])
    assert np.array_equal(label_map(candidates), candidates.dark > 0)


@pytest.mark.parametrize("places", [(), (60, 61, 200)])
def test_the_labels_of_the_bands_agree_with_the_objects(places):
    candidates = find(blobs(), places)
    labels, objects = label_map(candidates), candidates.objects
    assert list(candidates.over_bands(lambda *band: band[:2])) == cut(300, *places)
    assert np.bincount(labels.ravel())[1:].tolist() == objects.areas.tolist()
    for (rows, columns), box in zip(ndimage.find_objects(labels), objects.boxes.tolist(), strict=True):
        assert [rows.start, columns.start, rows.stop, columns.stop] == box
    assert candidates.dark[labels > 0].all()
    assert objects.areas.min() >= 120


@pytest.mark.parametrize("places", [(), (60, 215)])
def test_the_owner_of_a_candidate_is_the_class_of_most_of_its_pixels_class_0_too(places):
    scan = ArrayScan("a", drawn((50, 50, 80, 80, 40), (200, 50, 230, 80, 40), (200, 200, 230, 230, 40)))
    truth = np.zeros((300, 300), np.uint8)
    # Of 32 columns from 49 on: 20 of class 1 and 12 of class 2; then 15 of class 1 and 17 of class 0; then all class 2.
    truth[49:81, 49:69], truth[49:81, 69:81] = 1, 2
    truth[199:231, 49:64] = 1
    truth[190:240, 190:240] = 2

    def read_truth(window, inside):
        classes = truth[window.slices]
        return classes[inside], np.bincount(classes.ravel(), minlength=3)

    _, counts, totals = find_owned(scan, cut(300, *places), read_truth, 3)
    # The dark squares have 31 pixels a side and, by the mean over 3 x 3, one more: 32 x 32.
    assert counts.tolist() == [[0, 640, 384], [544, 480, 0], [0, 0, 1024]]
    assert totals.tolist() == np.bincount(truth.ravel()).tolist()


def test_a_vignette_shows_its_candidate_alone():
    # An L, and a square inside its box: 60 * 10 + 50 * 10 pixels of 40 / 200 * 255 = 51, 400 of 120 / 200 * 255 = 153.
    candidates = find(drawn((50, 50, 110, 60, 40), (100, 60, 110, 110, 40), (65, 75, 85, 95, 120)))
    images, sides = candidates.vignettes(68)
    assert sides.tolist() == [[68], [28]]
    values, counts = np.unique(images[0], return_counts=True)
    assert (values.tolist(), counts.tolist()) == ([51, 255], [1100, 68 * 68 - 1100])
    # The same without scaling for the square.
    values, counts = np.unique(candidates.vignettes(28)[0][1], return_counts=True)
    assert (values.tolist(), counts.tolist()) == ([153, 255], [400, 28 * 28 - 400])


def test_a_neighbour_whose_part_in_the_vignette_is_as_large_as_the_candidate_is_not_taken_for_it():
    # Two corners that face each other: of the upper right one 62 x 62 pixels reach in, as many as the lower left has.
    lower = (50, 50, 110, 60, 40), (100, 60, 110, 110, 40)
    candidates = find(drawn(*lower, (44, 53, 47, 130, 120), (47, 113, 107, 130, 120)))
    own = candidates.objects.boxes.tolist().index([49, 49, 111, 111])
    values, counts = np.unique(candidates.vignettes(68)[0][own], return_counts=True)
    assert (values.tolist(), counts.tolist()) == ([51, 255], [1100, 68 * 68 - 1100])


def test_a_neighbour_that_only_reaches_into_the_vignette_becomes_ground_with_its_soft_edge():
    candidates = find(drawn((50, 50, 80, 80, 40), (20, 84, 120, 100, 120), (20, 82, 120, 84, 195)))
    images, _ = candidates.vignettes(38)
    own = int(np.flatnonzero(candidates.objects.areas == 1024)[0])
    values, counts = np.unique(images[own], return_counts=True)
    assert (values.tolist(), counts.tolist()) == ([51, 255], [900, 38 * 38 - 900])


@pytest.mark.parametrize("size", [16, 64, 128])
def test_vignettes_have_the_size_and_the_longer_side_with_margin_is_told(size):
    # 52 x 22 and 32 x 72 pixels, and 3 on each side.
    images, sides = find(drawn((20, 20, 70, 40, 40), (150, 100, 180, 170, 40))).vignettes(size)
    assert (images.shape, images.dtype) == ((2, size, size, 1), np.uint8)
    assert (sides.tolist(), sides.dtype) == ([[58], [78]], np.float32)
    # Scaled to the same size, an area is its share of the square: 1,000 / 58^2 and 2,100 / 78^2.
    shares = (255 - images.astype(float)).mean(axis=(1, 2, 3)) / (255 - 51)
    assert shares == pytest.approx([1000 / 58**2, 2100 / 78**2], rel=0.06)


def test_candidates_in_the_corners_of_the_scan_are_cut_out_whole():
    corners = [(top, left, top + 30, left + 30, 40) for top in (0, 570) for left in (0, 570)]
    candidates = find(drawn(*corners, height=600, width=600))
    assert table(candidates.objects)[2] == [961] * 4
    # 31 pixels and a margin of 3 towards the inside.
    images, _ = candidates.vignettes(34)
    assert (images == 51).sum(axis=(1, 2, 3)).tolist() == [900] * 4
    assert images[range(4), [0, 0, 33, 33], [0, 33, 0, 33], 0].tolist() == [51] * 4


def test_a_scan_without_candidates_has_no_vignettes_and_no_owners():
    candidates = find(drawn(), (100,))
    images, sides = candidates.vignettes(16)
    assert (len(candidates.objects), images.shape, sides.shape) == (0, (0, 16, 16, 1), (0, 1))
    _, counts, totals = find_owned(
        ArrayScan("a", drawn()),
        cut(300, 100),
        lambda _, inside: (np.zeros(inside.sum(), np.uint8), (inside.size, 0)),
        2,
    )
    assert (counts.shape, totals.tolist()) == ((0, 2), [300 * 300, 0])
    assert not label_map(candidates).any()
