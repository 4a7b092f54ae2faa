"""The objects of a predicted scan, cut out and measured: from map and object table to what ZooProcess measures."""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from plankton_keras.candidates import MARGIN, LocalGround, cleared
from plankton_keras.errors import ArtefactError
from plankton_keras.images import open_image
from plankton_keras.measures.zooprocess import measure
from plankton_keras.objects import components
from plankton_keras.threads import in_order
from plankton_keras.tiles import Window


@dataclass(frozen=True)
class MeasuredObject:
    """An object of a scan.

    Attributes:
        scan: Stem of the scan.
        label: Its number in the scan, from 1.
        taxon: Name of its class.
        score: Mean probability, 0..1.
        cut: Whether the edge of the scan cuts it.
        gray: uint8 `(height, width)`, its bounding box with the local ground at 255.
        mask: bool of the same shape, its pixels.
        alone: uint8, its box and `candidates.MARGIN` pixels around it, without other objects, the ground at 255.
        measures: The dictionary of `measures.zooprocess.measure`.
    """

    scan: str
    label: int
    taxon: str
    score: float
    cut: bool
    gray: np.ndarray
    mask: np.ndarray
    alone: np.ndarray
    measures: dict


def measure_scan(folder, scan, pixel_mm=None, legacy=False):
    """Measures the objects of a scan; gray levels are those above the local ground, which becomes 255.

    Args:
        folder: The prediction folder.
        scan: The open scan.
        pixel_mm: Side of a pixel in mm, or None.
        legacy: As for `measures.zooprocess.measure`.

    Yields:
        A `MeasuredObject` each, in the order of the object table.

    Raises:
        ArtefactError: If mask or table are missing, or do not belong together.
    """
    rows, ground = read_objects(folder, scan.stem), LocalGround(scan)
    path = Path(folder) / f"{scan.stem}_mask.png"
    if not path.is_file():
        raise ArtefactError(f"{path} does not exist.", "the mask of each scan.", "run plankton predict again.")
    with open_image(path) as mask:

        def measured(row):
            window = Window(row["y_px"], row["x_px"], row["height_px"], row["width_px"])
            wide = window.grown(MARGIN, scan.height, scan.width)
            pixels, classes, inner = ground.whitened(wide), mask.read(wide), window.within(wide).slices
            own = _own(classes[inner], row["area_px"], path, row["label"])
            cut = min(window.top, window.left) == 0 or window.bottom == scan.height or window.right == scan.width
            found = measure(pixels[inner], own, (window.left, window.top), pixel_mm, legacy=legacy)
            known = scan.stem, row["label"], row["class"], row["score"], cut
            whole = np.zeros(classes.shape, bool)
            whole[inner] = own
            return MeasuredObject(*known, pixels[inner], own, cleared(pixels, classes > 0, whole), found)

        yield from in_order(measured, rows)


def read_objects(folder, stem):
    """Reads the object table of a scan: dictionaries with numbers in place of texts.

    Raises:
        ArtefactError: If it is missing or no such table.
    """
    path = Path(folder) / f"{stem}_objects.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            numbers = ("label", "x_px", "y_px", "width_px", "height_px", "area_px")
            return [
                {**row, "score": float(row["score"]), **{name: int(row[name]) for name in numbers}}
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ArtefactError(
            f"{path} is no object table: {error}.", "what plankton predict wrote.", "run plankton predict again."
        ) from None


def _own(classes, area, path, label):
    """Finds the pixels of the object that a box was drawn around: the piece that fills the box and has its area."""
    height, width = classes.shape
    _, labels, stats, _ = components(classes)
    sides, pixels = stats[1:, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]], stats[1:, cv2.CC_STAT_AREA]
    fitting = np.flatnonzero((sides == (height, width)).all(axis=1) & (pixels == area))
    if not len(fitting):
        raise ArtefactError(
            f"{path} does not hold object {label} of the table.", "mask and table of one run.", "predict again."
        )
    return labels == 1 + fitting[0]
