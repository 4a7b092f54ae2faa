"""A whole scan to a class map, its objects and an overlay, by bands of rows: memory does not grow with the scan.

Takes any callable that turns patches into probabilities; does not know where it comes from. The maps lie in temporary
memory-mapped files.
"""

import csv
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import tifffile

from plankton_keras.candidates import bands_of
from plankton_keras.config import STRIDE
from plankton_keras.files import scratch, whole_file
from plankton_keras.images import CLASS_PNG
from plankton_keras.objects import BandLabeler, Objects, erase, keep_large, label_band
from plankton_keras.scans import read_padded
from plankton_keras.shift import look
from plankton_keras.taxa import color_of
from plankton_keras.threads import ahead, in_order
from plankton_keras.tidy import guarded
from plankton_keras.tiles import Window, fitting, spread, tile_rows

OVERLAY_SIDE = 4096
# Side of the windows where a judge leaves few places in doubt: the smallest that cost no F1 (docs/experiments.md).
JUDGED_TILE = 256
OBJECT_COLUMNS = ("label", "class", "score", "x_px", "y_px", "width_px", "height_px", "area_px")


@dataclass(frozen=True)
class ScanPrediction:
    """What is predicted of a scan.

    Attributes:
        classes: uint8 `(height, width)`, class index of each pixel.
        probability: uint8 `(height, width)`, probability of all classes but 0, 255 = 1.
        objects: The `objects.Objects`.
        seconds: Time that it took.
        look: `shift.look` at the scan; None without a judge, who finds the candidates.
    """

    classes: np.ndarray
    probability: np.ndarray
    objects: Objects
    seconds: float
    look: dict | None = None


def likeliest(probabilities):
    """Gives the likeliest class but 0, and how likely any of them is.

    Args:
        probabilities: float32 `(..., classes)`, sums to 1.

    Returns:
        `(classes, probability)`: uint8 class indices, and uint8 probability of all classes but 0 with 255 for 1.

    Example:

    >>> classes, probability = likeliest(np.array([[0.8, 0.2, 0.0], [0.3, 0.1, 0.6]], np.float32))
    >>> classes.tolist(), probability.tolist()
    ([1, 2], [51, 178])
    """
    probability = np.rint((1.0 - probabilities[..., 0]) * 255).astype(np.uint8)
    if probabilities.shape[-1] == 2:
        return np.ones_like(probability), probability
    return (probabilities[..., 1:].argmax(axis=-1) + 1).astype(np.uint8), probability


def predict_scan(scan, probabilities, threshold, config, progress=None, judge=None):
    """Predicts a scan.

    Args:
        scan: An open `scans.Scan`, or anything with `height`, `width` and `read`.
        probabilities: Function of uint8 `(batch, height, width)` to float32 `(batch, height, width, classes)`.
        threshold: Probability from which a pixel counts as found.
        config: A `config.PredictConfig`; its own threshold is not looked at.
        progress: Called with `(pixels done, pixels in all)`, or None.
        judge: A `fusion.Judge` whose word on whole objects counts too, or None.

    Returns:
        A `ScanPrediction`.
    """
    started = time.monotonic()
    num_classes, classes, probability, bands, evidence = predict_maps(scan, probabilities, config, progress, judge)
    if evidence:
        evidence.apply(judge.weights, classes, probability)

    def keep(band):
        top, bottom = band
        found = np.where(probability[top:bottom] < round(threshold * 255), np.uint8(0), classes[top:bottom])
        classes[top:bottom] = found
        return label_band(found, probability[top:bottom], num_classes)[0]

    labeler = BandLabeler(num_classes)
    before = [labeler.add(band) for band in in_order(keep, bands)]
    objects, final = keep_large(*labeler.finish(), config.min_area)
    erase(classes, final, [(*band, number) for band, number in zip(bands, before, strict=True)])
    seen = look(evidence.candidates) if evidence else None
    return ScanPrediction(classes, probability, objects, time.monotonic() - started, seen)


def predict_maps(scan, probabilities, config, progress=None, judge=None):
    """Asks the network about a scan.

    Where a judge's candidates are not, nothing can be found, and of those that it is sure of the network is not asked:
    tiles without one in doubt are not computed.

    Args:
        scan: As for `predict_scan`.
        probabilities: As for `predict_scan`.
        config: As for `predict_scan`.
        progress: As for `predict_scan`.
        judge: As for `predict_scan`.

    Returns:
        `(number of classes, classes, probability, bands, evidence)`: the likeliest class but 0 and the probability of
        all classes but 0 by the network alone, both uint8 `(height, width)`, 0 in tiles that are not computed; the list
        of `(top, bottom)` of the bands, and the judge's `fusion.Evidence`, None without one.
    """
    shape, bands = (scan.height, scan.width), bands_of(scan.height)
    classes, probability = scratch(*shape), scratch(*shape)
    evidence = judge.look(scan, bands) if judge else None
    rows = rows_of(*shape, config, judge)
    wanted = [[tile for tile in row if evidence is None or evidence.inside(tile.own)] for row in rows]

    def keep(tile, result):
        own = result[tile.own.within(tile.read).slices]
        classes[tile.own.slices], probability[tile.own.slices] = likeliest(own)
        return own.shape[-1]

    num_classes = max(map_tiles(scan, wanted, probabilities, keep, config, progress), default=2)
    return evidence.judged.shape[1] if evidence else num_classes, classes, probability, bands, evidence


def judged(config):
    """Lowers the largest side of a window to what a judge leaves in doubt; a window owns a stride at least.

    Args:
        config: A `config.PredictConfig`.

    Returns:
        A `config.PredictConfig`; its tile is no larger than it was.

    Example:

    >>> from plankton_keras.config import PredictConfig
    >>> [judged(PredictConfig(tile=512, context=context)).tile for context in (64, 128, 200, 250)]
    [256, 320, 512, 512]
    """
    least = STRIDE * -(-(2 * config.context + STRIDE) // STRIDE)
    return replace(config, tile=min(config.tile, max(JUDGED_TILE, least)))


def check_tiles(config):
    """Checks, before anything is written or deleted, that windows own pixels of a scan that needs more than one.

    Args:
        config: A `config.PredictConfig`.

    Raises:
        SettingError: If its context is too wide for its tile.

    Example:

    >>> from plankton_keras.config import PredictConfig
    >>> check_tiles(PredictConfig(tile=128, context=64))
    Traceback (most recent call last):
    plankton_keras.errors.SettingError: A tile of 128 pixels with a context of 64 owns nothing.
    Expected: a context of at most 63 pixels.
    Fix: choose larger tiles or less context.
    """
    spread(config.tile + 1, config.tile, config.context)


def rows_of(height, width, config, judge=None):
    """Covers a scan with tiles that are no larger than they have to be.

    Args:
        height: Height of the scan in pixels.
        width: Width of the scan in pixels.
        config: A `config.PredictConfig`.
        judge: As for `predict_scan`.

    Returns:
        A list of rows as `tiles.tile_rows` gives them.
    """
    largest = (judged(config) if judge else config).tile
    size = [fitting(length, largest, config.context, STRIDE) for length in (height, width)]
    return tile_rows(height, width, size, config.context)


def windows_a_call(window, config):
    """Gives how many windows of a size are computed at once.

    Args:
        window: A `tiles.Window`.
        config: As for `predict_scan`.

    Example:

    >>> from plankton_keras.config import PredictConfig
    >>> windows_a_call(Window(0, 0, 256, 256), PredictConfig())
    18
    """
    return config.batch_size or max(1, config.tile**2 // (2 * window.height * window.width))


def batches_of(scan, rows, config):
    """Reads tiles in batches; the rows of the scan that a row of tiles sees are read once.

    Args:
        scan: As for `predict_scan`.
        rows: List of rows of `tiles.Tile` of one size; those of a row have equal `top`.
        config: As for `predict_scan`.

    Yields:
        `(tiles, images)`: uint8 `(batch, height, width)`.
    """
    tiles, images = [], []
    for row in filter(None, rows):
        first = row[0].read
        size = windows_a_call(first, config)
        band = read_padded(scan, Window(first.top, 0, first.height, max(scan.width, first.width)))
        for tile in row:
            tiles.append(tile)
            images.append(band[:, tile.read.left : tile.read.right])
            if len(tiles) == size:
                yield tiles, np.stack(images)
                tiles, images = [], []
    if tiles:
        yield tiles, np.stack(images)


def map_tiles(scan, rows, probabilities, function, config, progress=None):
    """Computes tiles; the next batch is read and the last one's results are used meanwhile.

    Args:
        scan: As for `predict_scan`.
        rows: As for `batches_of`.
        probabilities: As for `predict_scan`.
        function: Function of `(tile, result)`: float32 `(height, width, classes)` of the window read.
        config: As for `predict_scan`.
        progress: As for `predict_scan`.

    Returns:
        List of what the function gave.
    """
    found, using, done = [], None, 0
    total, pixels = sum(map(len, rows)), scan.height * scan.width

    def use(tiles, results):
        return [function(tile, result) for tile, result in zip(tiles, results, strict=True)]

    with ThreadPoolExecutor(1) as pool:
        for tiles, images in ahead(batches_of(scan, rows, config)):
            results = probabilities(images)
            found += using.result() if using else []
            using = pool.submit(use, tiles, results)
            done += len(tiles)
            if progress and done < total:
                progress(pixels * done // total, pixels)
        found += using.result() if using else []
    if progress:
        progress(pixels, pixels)
    return found


def write_prediction(folder, scan, prediction, class_names, probabilities=False):
    """Writes the files of a scan into the prediction folder.

    Args:
        folder: The prediction folder.
        scan: The open scan.
        prediction: Its `ScanPrediction`.
        class_names: Class names by index.
        probabilities: Whether to write the probability map too.

    Returns:
        The names of the files.
    """
    writers = {
        "mask.png": lambda path: write_picture(path, prediction.classes, CLASS_PNG),
        "overlay.jpg": lambda path: write_picture(
            path, draw_overlay(scan, prediction.classes), (cv2.IMWRITE_JPEG_QUALITY, 88)
        ),
        "objects.csv": lambda path: _write_table(path, object_rows(prediction.objects, class_names)),
    }
    if probabilities:
        writers["probability.tif"] = lambda path: tifffile.imwrite(
            path, prediction.probability, bigtiff=True, tile=(256, 256), compression="zlib"
        )

    def write(name):
        with whole_file(Path(folder) / f"{scan.stem}_{name}") as partial:
            writers[name](partial)

    for _ in in_order(write, writers):
        pass
    return [f"{scan.stem}_{name}" for name in writers]


def write_picture(path, pixels, how):
    """Writes a PNG or JPEG, as its suffix says; OpenCV's own writer does not tell when a disk is full.

    Args:
        path: The file, a `pathlib.Path`.
        pixels: The array.
        how: Parameters of `cv2.imencode`.

    Raises:
        OSError: If it cannot be written.
    """
    path.write_bytes(cv2.imencode(path.suffix, pixels, how)[1])


def _write_table(path, rows):
    """Writes the object table, `tidy.guarded`."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(OBJECT_COLUMNS)
        writer.writerows(map(guarded, row) for row in rows)


def object_rows(objects, class_names):
    """Gives the rows of the object table, in the order of `OBJECT_COLUMNS`.

    Args:
        objects: The `Objects`.
        class_names: Class names by index.

    Yields:
        A tuple an object; x and y are the column and row of the box's first pixel.
    """
    columns = (objects.labels, objects.classes, objects.scores, objects.boxes, objects.areas)
    for label, index, score, (top, left, bottom, right), area in zip(*(each.tolist() for each in columns), strict=True):
        yield label, class_names[index], round(score, 4), left, top, right - left, bottom - top, area


def draw_overlay(scan, classes, side=OVERLAY_SIDE):
    """Draws the outlines of a class map over the scan.

    Args:
        scan: The open scan.
        classes: uint8 `(height, width)`, class indices.
        side: Largest side of the picture in pixels; larger scans are reduced by a whole number.

    Returns:
        uint8 `(height, width, 3)`, blue green red.
    """
    factor = -(-max(scan.height, scan.width) // side)
    height, width = -(-scan.height // factor), -(-scan.width // factor)
    rows = max(1, 1024 // factor)

    def reduce(top):
        bottom = min(top + rows, height)
        window = Window(top * factor, 0, min(bottom * factor, scan.height) - top * factor, scan.width)
        pad = ((0, (bottom - top) * factor - window.height), (0, width * factor - window.width))
        gray, cells = np.pad(scan.read(window), pad, mode="edge"), np.pad(classes[window.slices], pad)
        gray = cv2.resize(gray, (width, bottom - top), interpolation=cv2.INTER_AREA)
        # The largest class of each cell, so that thin animals do not vanish from the reduced picture.
        cells = cv2.dilate(cells, np.ones((factor, factor), np.uint8), anchor=(0, 0))
        # A copy, for a view would keep the whole band in memory.
        return gray, cells[::factor, ::factor].copy()

    gray, reduced = map(np.concatenate, zip(*in_order(reduce, range(0, height, rows)), strict=True))
    picture = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    thickness = 2 * (2 + max(height, width) // 2500) + 1
    outline = cv2.dilate(reduced, np.ones((thickness, thickness), np.uint8))
    outline[reduced > 0] = 0
    for index in np.unique(outline[outline > 0]).tolist():
        picture[outline == index] = color_of(index)[::-1]
    return picture


def peak_memory_mb():
    """Gives the largest memory that this process has had, in MB, pages of mapped files included."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
