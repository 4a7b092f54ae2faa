"""prediction: a scan comes back whole from its tiles, and the files say what the maps say. Fakes instead of models."""

import csv
import tracemalloc

import cv2
import numpy as np
import pytest
import tifffile

from plankton_keras.config import PredictConfig
from plankton_keras.errors import SettingError
from plankton_keras.fusion import Judge, Weights
from plankton_keras.prediction import (
    OBJECT_COLUMNS,
    batches_of,
    draw_overlay,
    judged,
    likeliest,
    object_rows,
    predict_scan,
    rows_of,
    write_prediction,
)
from plankton_keras.scans import ArrayScan
from plankton_keras.taxa import color_of
from plankton_keras.tiles import tile_rows


def gray_as_probability(batch):
    """A fake model: the gray level is the probability of the foreground."""
    foreground = batch.astype(np.float32) / 255
    return np.stack([1 - foreground, foreground], axis=-1)


def brightest_within(reach):
    """A fake model that depends on every pixel up to `reach` away: it answers with the brightest, which is exact."""
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return lambda batch: gray_as_probability(np.stack([cv2.dilate(image, kernel) for image in batch]))


def random_scan(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def blobs(height, width, seed=0):
    """Smooth bright blobs of many sizes on black."""
    noise = cv2.GaussianBlur(random_scan(height, width, seed).astype(np.float32), (0, 0), 3)
    return cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def config_of(tile=128, context=16, **more):
    return PredictConfig(**{"tile": tile, "context": context, "min_area": 0, **more})


def predict(pixels, config=None, probabilities=gray_as_probability, threshold=0.5, **more):
    return predict_scan(ArrayScan("a", pixels), probabilities, threshold, config or config_of(), **more)


def table(objects):
    return sorted(zip(objects.boxes.tolist(), objects.areas.tolist(), objects.scores.tolist(), strict=True))


def test_the_likeliest_of_two_classes_by_hand():
    # 0.2 * 255 = 51; 0.495 * 255 = 126.2 and 0.502 * 255 = 128.01.
    pairs = np.array([[0.8, 0.2], [0.505, 0.495], [0.498, 0.502], [0.0, 1.0]], np.float32)
    classes, probability = likeliest(pairs)
    assert (classes.tolist(), probability.tolist()) == ([1, 1, 1, 1], [51, 126, 128, 255])


def test_of_three_classes_the_others_add_up_against_class_0_and_the_likeliest_of_them_wins():
    triples = np.array([[0.4, 0.35, 0.25], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7], [0.0, 0.9, 0.1]], np.float32)
    classes, probability = likeliest(triples)
    assert (classes.tolist(), probability.tolist()) == ([1, 1, 2, 1], [153, 102, 230, 255])


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.77, 1.0])
def test_what_is_found_follows_from_the_stored_probability(threshold):
    prediction = predict(random_scan(40, 50), threshold=threshold)
    assert np.array_equal(prediction.classes, prediction.probability >= round(threshold * 255))


@pytest.mark.parametrize(
    ("height", "width", "tile", "context"),
    [
        (1, 1, 128, 0),
        (5, 300, 128, 60),
        (300, 5, 128, 60),
        (127, 128, 128, 16),
        (128, 128, 128, 63),
        (129, 128, 128, 63),
        (257, 391, 128, 0),
        (300, 520, 128, 31),
        (411, 333, 192, 50),
        (50, 60, 1024, 128),
    ],
)
def test_a_scan_comes_back_exactly_from_its_tiles(height, width, tile, context):
    pixels = random_scan(height, width)
    prediction = predict(pixels, config_of(tile, context))
    assert np.array_equal(prediction.probability, pixels)
    assert np.array_equal(prediction.classes, pixels >= 128)


def different_pixels(height, width, context):
    """Counts where tiles of 128 and one tile differ, for a model that looks 12 pixels far."""
    rng = np.random.default_rng(0)
    pixels = random_scan(height, width) * (rng.random((height, width)) < 0.01)
    tiled = predict(pixels, config_of(128, context), brightest_within(12))
    whole = predict(pixels, config_of(512, 0), brightest_within(12))
    assert len(np.unique(whole.probability)) > 5
    return np.count_nonzero(tiled.probability != whole.probability)


# Tiles of 128 with a context of 12 step by 104: 336 = 3 * 104 + 24 and 440 = 4 * 104 + 24 leave no spare overlap.
@pytest.mark.parametrize(("height", "width"), [(40, 50), (336, 440), (129, 500), (300, 260)])
def test_tiled_equals_untiled_where_the_model_looks_no_further_than_the_context(height, width):
    assert different_pixels(height, width, context=12) == 0


# 384 and 256 are 3 and 2 tiles side by side; 340 = 3 * 106 + 22 and 446 = 4 * 106 + 22 are tight for a context of 11.
@pytest.mark.parametrize(("height", "width", "context"), [(384, 256, 0), (340, 446, 11)])
def test_a_model_that_looks_further_than_the_context_shows_the_seams(height, width, context):
    # The check of the test above: at sizes without spare overlap it fails where it must, even for one pixel.
    assert different_pixels(height, width, context) > 0


@pytest.mark.parametrize(("tile", "context"), [(128, 0), (128, 40), (192, 16)])
def test_the_objects_do_not_depend_on_the_tiles(tile, context):
    pixels = blobs(420, 380)
    expected = predict(pixels, config_of(512, 0)).objects
    assert len(expected) > 20
    assert table(predict(pixels, config_of(tile, context)).objects) == table(expected)


@pytest.mark.parametrize("batch_size", [2, 3, 100])
def test_batches_of_any_size_give_the_same_and_no_batch_is_larger(batch_size):
    pixels, sizes = random_scan(200, 700), []

    def probabilities(batch):
        sizes.append(batch.shape)
        return gray_as_probability(batch)

    prediction = predict(pixels, config_of(batch_size=batch_size), probabilities)
    assert np.array_equal(prediction.probability, pixels)
    tiles = sum(len(row) for row in rows_of(200, 700, config_of()))
    assert sum(shape[0] for shape in sizes) == tiles > 6
    assert max(shape[0] for shape in sizes) <= batch_size
    assert {shape[1:] for shape in sizes} == {(128, 128)}


def test_a_model_sees_the_scan_mirrored_beyond_its_edge():
    pixels, seen = random_scan(100, 128), []

    def probabilities(batch):
        seen.append(batch[0].copy())
        return gray_as_probability(batch)

    predict(pixels, config_of(128, 0), probabilities)
    assert np.array_equal(seen[0], np.concatenate([pixels, pixels[:-29:-1]]))


def test_the_rows_of_the_scan_are_read_once_for_a_row_of_tiles():
    class Counting(ArrayScan):
        reads = 0

        def read(self, window):
            self.reads += 1
            return super().read(window)

    scan = Counting("a", random_scan(128, 900))
    row = tile_rows(128, 900, (128, 128), 16)[0]
    batches = list(batches_of(scan, [row], config_of(batch_size=2)))
    assert [tile for tiles, _ in batches for tile in tiles] == row
    assert len(row) > 5
    assert scan.reads == 1


def test_three_classes_keep_theirs_in_map_and_objects():
    # Thirds of the gray range stand for the classes.
    pixels = np.zeros((150, 200), np.uint8)
    pixels[10:30, 10:40], pixels[100:140, 50:60] = 100, 200

    def probabilities(batch):
        return np.eye(3, dtype=np.float32)[batch.astype(int) // 90]

    prediction = predict(pixels, probabilities=probabilities)
    assert np.array_equal(prediction.classes, pixels // 90)
    assert prediction.objects.classes.tolist() == [1, 2]
    assert prediction.objects.areas.tolist() == [600, 400]


@pytest.mark.parametrize("min_area", [1, 30, 200, 10**6])
def test_pixels_of_dropped_objects_are_erased_and_those_of_the_others_are_all_there(min_area):
    pixels = blobs(420, 380)
    whole = predict(pixels)
    kept = predict(pixels, config_of(min_area=min_area))
    areas = whole.objects.areas[whole.objects.areas >= min_area]
    assert sorted(kept.objects.areas) == sorted(areas)
    assert np.count_nonzero(kept.classes) == areas.sum()
    for top, left, bottom, right in kept.objects.boxes:
        assert kept.classes[top:bottom, left:right].any()
    assert np.array_equal(kept.probability, whole.probability)
    assert not (kept.classes > whole.classes).any()


@pytest.mark.parametrize("level", [0, 255])
def test_an_empty_and_a_full_scan(level):
    prediction = predict(np.full((200, 300), level, np.uint8))
    assert prediction.objects.areas.tolist() == ([60_000] if level else [])
    assert prediction.classes.min() == prediction.classes.max() == (level > 0)


def test_progress_grows_to_all_pixels():
    calls = []
    predict(random_scan(300, 200), config_of(batch_size=1), progress=lambda *call: calls.append(call))
    # 3 rows of 2 tiles.
    assert calls == [(10_000 * done, 60_000) for done in range(1, 7)]


def test_a_tall_scan_takes_no_more_memory_than_a_short_one():
    # The maps lie in memory-mapped files, which tracemalloc does not count; nor the scan, which is made before.
    peaks = []
    for height in (4000, 12_000):
        pixels = np.zeros((height, 600), np.uint8)
        pixels[50:90, 50:90] = 255
        tracemalloc.start()
        predict(pixels, config_of(256, 32))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.fixture
def written(tmp_path):
    """The files of a predicted scan: folder, scan, prediction, names."""
    scan = ArrayScan("net_1", blobs(300, 340))
    prediction = predict_scan(scan, gray_as_probability, 0.5, config_of(min_area=20))
    return tmp_path, scan, prediction, write_prediction(tmp_path, scan, prediction, ("other", "living"))


def test_the_files_are_those_that_are_named_and_no_partial_stays(written):
    folder, _, _, files = written
    assert files == ["net_1_mask.png", "net_1_overlay.jpg", "net_1_objects.csv"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)


def test_the_mask_holds_the_classes(written):
    folder, _, prediction, _ = written
    mask = cv2.imread(str(folder / "net_1_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, prediction.classes)


def test_the_table_has_a_header_and_the_row_of_each_object(written):
    folder, _, prediction, _ = written
    with open(folder / "net_1_objects.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["label", "class", "score", "x_px", "y_px", "width_px", "height_px", "area_px"]
    assert tuple(header) == OBJECT_COLUMNS
    assert len(rows) == len(prediction.objects) > 3
    for row, (top, left, bottom, right), area, score in zip(
        rows, prediction.objects.boxes, prediction.objects.areas, prediction.objects.scores, strict=True
    ):
        assert row[1] == "living"
        assert [int(word) for word in row[3:]] == [left, top, right - left, bottom - top, area]
        assert float(row[2]) == pytest.approx(score, abs=5e-5)
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))


def test_a_row_of_the_table_by_hand():
    pixels = np.zeros((60, 80), np.uint8)
    # 4 rows from 10 and 6 columns from 20; 204 / 255 = 0.8.
    pixels[10:14, 20:26] = 204
    objects = predict(pixels).objects
    assert list(object_rows(objects, ("other", "living"))) == [(1, "living", 0.8, 20, 10, 6, 4, 24)]


def test_the_probability_map_is_written_only_when_asked_for_and_holds_every_level(written):
    folder, scan, prediction, _ = written
    assert not list(folder.glob("*.tif"))
    files = write_prediction(folder, scan, prediction, ("other", "living"), probabilities=True)
    assert files[-1] == "net_1_probability.tif"
    assert np.array_equal(tifffile.imread(folder / files[-1]), prediction.probability)


@pytest.mark.parametrize(("height", "width"), [(100, 4096), (100, 4097), (5000, 60), (9000, 50), (1, 4097)])
def test_the_overlay_is_at_most_4096_pixels_a_side_and_reduced_by_a_whole_number(height, width):
    factor = -(-max(height, width) // 4096)
    picture = draw_overlay(ArrayScan("a", np.full((height, width), 200, np.uint8)), np.zeros((height, width), np.uint8))
    assert max(picture.shape) <= 4096
    assert picture.shape == (-(-height // factor), -(-width // factor), 3)
    assert (picture == 200).all()


def test_the_overlay_outlines_objects_in_the_colour_of_their_class_and_leaves_their_inside():
    classes = np.zeros((60, 60), np.uint8)
    classes[20:30, 20:40] = 2
    picture = draw_overlay(ArrayScan("a", np.full((60, 60), 200, np.uint8)), classes)
    assert (picture[20:30, 20:40] == 200).all()
    blue_green_red = list(color_of(2)[::-1])
    # A line of two pixels around 10 x 20 pixels: 14 * 24 - 10 * 20 = 136, corners included.
    changed = (picture != 200).any(axis=-1)
    assert changed.sum() == 136
    assert (picture[changed] == blue_green_red).all()


def test_an_object_of_one_pixel_does_not_vanish_from_a_reduced_overlay():
    classes = np.zeros((6000, 40), np.uint8)
    classes[3001, 21] = 1
    picture = draw_overlay(ArrayScan("a", np.full((6000, 40), 200, np.uint8)), classes)
    # Reduced twice: the cell is 1500, 10.
    rows, columns = np.nonzero((picture != 200).any(axis=-1))
    assert (rows.mean(), columns.mean()) == (1500, 10)


def test_the_overlay_of_a_large_scan_takes_no_more_memory_than_that_of_a_small_one():
    peaks = []
    for height in (8192, 32_768):
        scan, classes = ArrayScan("a", np.full((height, 1024), 200, np.uint8)), np.zeros((height, 1024), np.uint8)
        tracemalloc.start()
        draw_overlay(scan, classes)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    ("tile", "context"), [(1536, 96), (1536, 127), (1536, 128), (1536, 200), (448, 200), (448, 223)]
)
def test_a_judge_leaves_a_window_something_to_own_whatever_the_context(tile, context):
    pixels = np.full((600, 700), 220, np.uint8)
    pixels[100:140, 100:160] = 60
    shapes = []

    def probabilities(batch):
        shapes.append(batch.shape)
        return np.tile(np.array([0.2, 0.8], np.float32), (*batch.shape, 1))

    def classify(images, sides):
        return np.tile(np.array([[0.5, 0.5]], np.float32), (len(images), 1))

    judge = Judge(classify, Weights(1, 0, 0, 0, 0.95, 120, 96))
    found = predict(pixels, config_of(tile, context), probabilities, judge=judge)
    assert len(found.objects) == 1
    assert all(height <= tile and width <= tile for _, height, width in shapes)
    # A context that leaves a window of 256 pixels a stride or more is served by such windows.
    assert context > 96 or all(height <= 256 for _, height, _ in shapes)


@pytest.mark.parametrize("context", [128, 200])
def test_a_judge_does_not_mend_a_tile_that_is_too_small_for_the_context(context):
    with pytest.raises(SettingError, match=f"A tile of 256 pixels with a context of {context} owns nothing"):
        rows_of(600, 700, judged(config_of(256, context)))
