"""A whole scan to a class map, its objects and an overlay, by bands of rows: memory does not grow with the scan.

Takes any callable that turns patches into probabilities; does not know where it comes from. The maps lie in temporary
memory-mapped files.
"""

import csv
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile

from plankton_keras.config import STRIDE
from plankton_keras.files import scratch, whole_file
from plankton_keras.objects import BandLabeler, Objects, erase, keep_large
from plankton_keras.scans import read_padded
from plankton_keras.taxa import color_of
from plankton_keras.tiles import Window, fitting, tile_rows

OVERLAY_SIDE = 4096
OBJECT_COLUMNS = ("label", "class", "score", "x_px", "y_px", "width_px", "height_px", "area_px")


@dataclass(frozen=True)
class ScanPrediction:
    """What is predicted of a scan.

    Attributes:
        classes: uint8 `(height, width)`, class index of each pixel.
        probability: uint8 `(height, width)`, probability of all classes but 0, 255 = 1.
        objects: The `objects.Objects`.
        bands: List of `(top, bottom)` of the bands, in order.
        seconds: Time that it took.
    """

    classes: np.ndarray
    probability: np.ndarray
    objects: Objects
    bands: list
    seconds: float


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
    num_classes, classes, probability, bands = predict_maps(scan, probabilities, config, progress, judge)
    labeler = BandLabeler(num_classes)
    for top, bottom in bands:
        band = np.asarray(classes[top:bottom])
        band[probability[top:bottom] < round(threshold * 255)] = 0
        labeler.add(band, np.asarray(probability[top:bottom]))
    objects, final = keep_large(*labeler.finish(), config.min_area)
    erase(classes, final, bands)
    return ScanPrediction(classes, probability, objects, bands, time.monotonic() - started)


def predict_maps(scan, probabilities, config, progress=None, judge=None):
    """Predicts a scan without a threshold.

    Where a judge's candidates are not, nothing can be found: tiles without one are not computed.

    Args:
        scan: As for `predict_scan`.
        probabilities: As for `predict_scan`.
        config: As for `predict_scan`.
        progress: As for `predict_scan`.
        judge: As for `predict_scan`.

    Returns:
        `(number of classes, classes, probability, bands)`: the likeliest class but 0 and the probability of all
        classes but 0, both uint8 `(height, width)`, and the list of `(top, bottom)` of the bands.
    """
    shape, num_classes = (scan.height, scan.width), 2
    classes, probability = scratch(*shape), scratch(*shape)
    rows = rows_of(*shape, config)
    bands = [(row[0].own.top, row[0].own.bottom) for row in rows]
    evidence = judge.look(scan, bands) if judge else None
    for row in rows:
        wanted = [tile for tile in row if evidence is None or evidence.inside(tile.own)]
        for tile, result in predict_row(scan, wanted, probabilities, config.batch_size):
            num_classes = result.shape[-1]
            classes[tile.own.slices], probability[tile.own.slices] = likeliest(result)
        if progress:
            progress(row[0].own.bottom * shape[1], shape[0] * shape[1])
    if evidence:
        evidence.apply(judge.weights, classes, probability)
    return num_classes, classes, probability, bands


def rows_of(height, width, config):
    """Covers a scan with tiles that are no larger than they have to be.

    Args:
        height: Height of the scan in pixels.
        width: Width of the scan in pixels.
        config: A `config.PredictConfig`.

    Returns:
        A list of rows as `tiles.tile_rows` gives them.
    """
    size = [fitting(length, config.tile, config.context, STRIDE) for length in (height, width)]
    return tile_rows(height, width, size, config.context)


def predict_row(scan, row, probabilities, batch_size):
    """Predicts one row of tiles; the rows of the scan that it sees are read once.

    Args:
        scan: As for `predict_scan`.
        row: List of `tiles.Tile` with equal `top` and `height`, perhaps empty.
        probabilities: As for `predict_scan`.
        batch_size: Tiles a call.

    Yields:
        `(tile, result)`: float32 `(own height, own width, classes)`.
    """
    if not row:
        return
    first = row[0].read
    width = max(scan.width, first.width)
    band = read_padded(scan, Window(first.top, 0, first.height, width))
    for start in range(0, len(row), batch_size):
        tiles = row[start : start + batch_size]
        batch = np.stack([band[:, tile.read.left : tile.read.right] for tile in tiles])
        for tile, result in zip(tiles, probabilities(batch), strict=True):
            yield tile, result[tile.own.within(tile.read).slices]


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
    mask, overlay, table = (f"{scan.stem}_{name}" for name in ("mask.png", "overlay.jpg", "objects.csv"))
    files, folder = [mask, overlay, table], Path(folder)
    with whole_file(folder / mask) as partial:
        cv2.imwrite(str(partial), prediction.classes, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    with whole_file(folder / overlay) as partial:
        cv2.imwrite(str(partial), draw_overlay(scan, prediction.classes), (cv2.IMWRITE_JPEG_QUALITY, 88))
    with whole_file(folder / table) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(OBJECT_COLUMNS)
        writer.writerows(object_rows(prediction.objects, class_names))
    if probabilities:
        files.append(f"{scan.stem}_probability.tif")
        with whole_file(folder / files[-1]) as partial:
            tifffile.imwrite(partial, prediction.probability, bigtiff=True, tile=(256, 256), compression="zlib")
    return files


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
    gray, reduced = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
    rows = max(1, 1024 // factor)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        window = Window(top * factor, 0, min(bottom * factor, scan.height) - top * factor, scan.width)
        pad = ((0, (bottom - top) * factor - window.height), (0, width * factor - window.width))
        shape = bottom - top, factor, width, factor
        gray[top:bottom] = np.pad(scan.read(window), pad, mode="edge").reshape(shape).mean(axis=(1, 3))
        # The largest class of each cell, so that thin animals do not vanish from the reduced picture.
        cells = np.pad(np.asarray(classes[window.slices]), pad).reshape(shape)
        reduced[top:bottom] = cells.max(axis=(1, 3))
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
