"""tiles: every pixel is owned once, and what is owned has been seen with its context."""

import itertools

import numpy as np
import pytest

from plankton_keras.errors import SettingError
from plankton_keras.tiles import Window, fitting, spread, tile_rows

SHAPES = [
    # height, width, size, context
    (1, 1, 64, 0),
    (63, 64, 64, 8),
    (64, 64, 64, 31),
    (65, 64, 64, 31),
    (65, 200, 64, 0),
    (30, 500, 64, 20),
    (500, 30, 64, 20),
    (127, 129, 64, 16),
    (128, 192, 64, 0),
    (333, 257, 128, 63),
    (400, 300, 128, 5),
]


@pytest.mark.parametrize(
    ("size", "context"), [(1, 0), (2, 0), (3, 1), (5, 0), (6, 1), (7, 3), (8, 3), (64, 31), (64, 8)]
)
def test_segments_own_every_pixel_of_a_line_once_and_see_their_context(size, context):
    for length in range(1, 4 * size + 3):
        segments = spread(length, size, context)
        # Each begins where the one before ends: no gap, no pixel twice.
        assert [begin for _, begin, _ in segments] == [0, *(stop for _, _, stop in segments[:-1])]
        assert segments[-1][2] == length
        for start, begin, stop in segments:
            assert begin < stop
            assert start <= begin
            assert stop <= start + size
            assert start >= 0
            assert begin == 0 or begin - start >= context
            assert stop == length or start + size - stop >= context
            assert start + size <= max(length, size)


@pytest.mark.parametrize(("size", "context"), [(5, 0), (6, 1), (8, 3), (64, 8)])
def test_no_more_segments_than_needed_and_their_overlaps_differ_by_one_pixel_at_most(size, context):
    for length in range(size + 1, 6 * size):
        starts = [start for start, _, _ in spread(length, size, context)]
        # The first owns size - context, the last too, each between them size - 2 * context.
        fewest = next(count for count in itertools.count(2) if count * (size - 2 * context) + 2 * context >= length)
        assert len(starts) == fewest
        steps = np.diff(starts)
        assert steps.max() - steps.min() <= 1


def test_a_line_as_long_as_a_segment_is_one_segment_whatever_the_context():
    assert spread(64, 64, 31) == [(0, 0, 64)]


def test_borders_lie_in_the_middle_of_an_overlap():
    # Starts 0, 3, 6 with size 4: the neighbours share one pixel, 3 and 6; the earlier segment keeps it.
    assert spread(length=10, size=4) == [(0, 0, 4), (3, 4, 7), (6, 7, 10)]
    # 12 = 2 * 8 - 4: starts 0 and 4, both read 4..7, the border is 6.
    assert spread(length=12, size=8, context=2) == [(0, 0, 6), (4, 6, 12)]


@pytest.mark.parametrize(("size", "context", "most"), [(64, 32, 31), (65, 33, 32), (1, 1, 0), (0, 0, 0), (64, -1, 31)])
def test_a_context_that_leaves_nothing_is_refused_with_the_largest_legal_one(size, context, most):
    with pytest.raises(SettingError) as caught:
        spread(1000, size, context)
    assert str(caught.value) == (
        f"A tile of {size} pixels with a context of {context} owns nothing.\n"
        f"Expected: a context of at most {most} pixels.\nFix: choose larger tiles or less context."
    )


@pytest.mark.parametrize(("height", "width", "size", "context"), SHAPES)
def test_every_pixel_of_a_scan_is_owned_once_with_the_last_row_and_column(height, width, size, context):
    owners = np.zeros((height, width), int)
    for row in tile_rows(height, width, (size, size), context):
        for tile in row:
            owners[tile.own.slices] += 1
    assert owners.min() == owners.max() == 1


@pytest.mark.parametrize(("height", "width", "size", "context"), SHAPES)
def test_tiles_see_their_context_except_at_the_edge_of_the_scan(height, width, size, context):
    for tile in itertools.chain(*tile_rows(height, width, (size, size), context)):
        read, own = tile.read, tile.own
        assert own.top - read.top >= min(context, own.top)
        assert own.left - read.left >= min(context, own.left)
        assert read.bottom - own.bottom >= min(context, height - own.bottom)
        assert read.right - own.right >= min(context, width - own.right)


@pytest.mark.parametrize(("height", "width", "size", "context"), SHAPES)
def test_reads_are_squares_of_the_size_inside_the_scan_where_it_is_large_enough(height, width, size, context):
    for tile in itertools.chain(*tile_rows(height, width, (size, size), context)):
        assert (tile.read.height, tile.read.width) == (size, size)
        assert min(tile.read.top, tile.read.left) >= 0
        assert tile.read.bottom <= max(height, size)
        assert tile.read.right <= max(width, size)


@pytest.mark.parametrize(("height", "width", "size", "context"), SHAPES)
def test_the_tiles_of_a_row_share_their_rows_and_are_ordered(height, width, size, context):
    rows = tile_rows(height, width, (size, size), context)
    for row in rows:
        assert len({(tile.read.top, tile.own.top, tile.own.height) for tile in row}) == 1
    order = [(tile.own.top, tile.own.left) for row in rows for tile in row]
    assert order == sorted(order)


@pytest.mark.parametrize(("height", "width", "size", "context"), SHAPES)
def test_cutting_tiles_and_stitching_what_they_own_is_the_identity(height, width, size, context):
    scan = np.random.default_rng(0).integers(0, 2**16, (height, width), np.uint16)
    padded = np.pad(scan, ((0, max(0, size - height)), (0, max(0, size - width))))
    stitched = np.zeros_like(scan)
    for tile in itertools.chain(*tile_rows(height, width, (size, size), context)):
        cut = padded[tile.read.slices]
        assert cut.shape == (size, size)
        stitched[tile.own.slices] = cut[tile.own.within(tile.read).slices]
    assert np.array_equal(stitched, scan)


def test_a_window_knows_its_ends_and_its_place_in_another():
    window = Window(top=10, left=20, height=5, width=6)
    assert (window.bottom, window.right) == (15, 26)
    # 10 - 8 rows and 20 - 16 columns into the other.
    assert window.within(Window(8, 16, 32, 32)) == Window(2, 4, 5, 6)


def test_a_window_grows_as_far_as_the_scan_has_pixels():
    window = Window(top=10, left=20, height=5, width=6)
    # Room on all sides; then none on any.
    assert window.grown(3, height=100, width=100) == Window(7, 17, 11, 12)
    assert window.grown(50, height=40, width=60) == Window(0, 0, 40, 60)


def test_without_a_context_tiles_read_what_they_own_and_no_more():
    ((left, right),) = tile_rows(height=64, width=128, size=(64, 64))
    assert left.read == left.own == Window(0, 0, 64, 64)
    assert right.read == right.own == Window(0, 64, 64, 64)


@pytest.mark.parametrize("context", [0, 16, 64])
def test_fitting_segments_are_as_many_as_the_largest_but_no_longer_than_they_have_to_be(context):
    for length in range(1, 3000, 7):
        size = fitting(length, 512, context, 64)
        assert size % 64 == 0
        assert 64 <= size <= 512
        assert len(spread(length, size, context)) == len(spread(length, 512, context))
        shorter = size - 64
        if shorter > 2 * context:
            assert len(spread(length, shorter, context)) > len(spread(length, size, context))


def test_fitting_by_hand():
    # Two segments that share 128 pixels: (3072 + 128) / 2; three that share 128 each: (4096 + 256) / 3 = 1450.7.
    assert (fitting(3072, 2048, 64, 64), fitting(4096, 2048, 64, 64)) == (1600, 1472)
    assert (fitting(100, 2048, 64, 64), fitting(2048, 2048, 64, 64), fitting(2049, 2048, 64, 64)) == (128, 2048, 1152)


def test_tiles_may_be_higher_than_wide():
    (row,) = tile_rows(300, 300, (320, 192), 16)
    assert [(tile.read.height, tile.read.width, tile.own.left) for tile in row] == [(320, 192, 0), (320, 192, 150)]
