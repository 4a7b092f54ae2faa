"""The objects of a predicted scan, cut out and measured: from map and object table to what ZooProcess measures."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from plankton_keras.candidates import GROUND_WINDOW, MARGIN, REDUCTION, LocalGround, cleared
from plankton_keras.errors import ArtefactError
from plankton_keras.images import open_image
from plankton_keras.joining import join
from plankton_keras.measures.zooprocess import measure
from plankton_keras.objects import components
from plankton_keras.separating import separate
from plankton_keras.threads import in_order
from plankton_keras.tidy import unguarded
from plankton_keras.tiles import Window

# Pixels from which on an object is left out of the local ground: an eighth of what that is a median of.
LARGE = (GROUND_WINDOW * REDUCTION) ** 2 // 8


@dataclass(frozen=True)
class Grouping:
    """Which pixels are one animal, where that is not one object of the mask.

    Attributes:
        join: Objects of one class with at most so many pixels of ground between them are measured as one; 0 for none.
        separate: Whether animals that touch are measured apart.

    Example:

    >>> Grouping(join=8).said
    {'fragments': 'joined across 8 px', 'touching_animals': 'counted as one'}
    """

    join: int = 0
    separate: bool = False

    @property
    def said(self):
        """Says what became of fragments and of touching animals."""
        return {
            "fragments": f"joined across {self.join} px" if self.join else "counted one by one",
            "touching_animals": "cut apart by their shape" if self.separate else "counted as one",
        }


# Each object of the mask as one animal.
AS_FOUND = Grouping()


@dataclass(frozen=True)
class MeasuredObject:
    """An object of a scan.

    Attributes:
        scan: Stem of the scan.
        label: Its number in the scan, from 1.
        taxon: Name of its class.
        score: Mean probability, 0..1.
        cut: Whether the edge of the scan cuts it.
        multiple: Whether it may be several animals that touch.
        gray: uint8 `(height, width)`, its bounding box with the local ground at 255.
        mask: bool of the same shape, its pixels.
        alone: uint8, its box and `candidates.MARGIN` pixels around it, without other objects, the ground at 255.
        measures: The dictionary of `measures.zooprocess.measure`.
        mixed: Whether its pixels are of several classes.
    """

    scan: str
    label: int
    taxon: str
    score: float
    cut: bool
    multiple: bool
    gray: np.ndarray
    mask: np.ndarray
    alone: np.ndarray
    measures: dict
    mixed: bool = False


def measure_scan(folder, scan, pixel_mm=None, legacy=False, grouping=AS_FOUND, names=()):
    """Measures the objects of a scan; gray levels are those above the local ground, which becomes 255.

    Args:
        folder: The prediction folder.
        scan: The open scan.
        pixel_mm: Side of a pixel in mm, or None.
        legacy: As for `measures.zooprocess.measure`.
        grouping: The `Grouping`.
        names: Names of the classes by index, where touching animals are measured apart: each has the class that most of
            its pixels have.

    Yields:
        A `MeasuredObject` each, in the order of the object table; parts of an object follow one another. The first
        keeps its label, the others have labels beyond the highest of the table. Fragments have the label of the first.

    Raises:
        ArtefactError: If mask or table are missing, or do not belong together, or not to the scan.
    """
    rows = read_objects(folder, scan.stem)
    path = Path(folder) / f"{scan.stem}_mask.png"
    if not path.is_file():
        raise ArtefactError(f"{path} does not exist.", "the mask of each scan.", "run plankton predict again.")
    with open_image(path) as mask:
        if (mask.height, mask.width) != (scan.height, scan.width):
            raise ArtefactError(
                f"{path} has {mask.width} x {mask.height} pixels, but the scan {scan.stem} has "
                f"{scan.width} x {scan.height}.",
                "the scan that was predicted.",
                "give the folder where it lies as --scans, or run plankton predict again.",
            )
        ground = LocalGround(scan, covered=covered_by_large(rows, mask, path))

        def measured(fragments):
            window = _around([window_of(row) for row in fragments])
            wide = window.grown(MARGIN, scan.height, scan.width)
            classes = mask.read(wide)
            own = _all_pixels(fragments, window, classes[window.within(wide).slices], path)
            parts = [own] if fragments[1:] else separate(own)
            known = fragments[0]["label"], fragments[0]["class"], _score(fragments)
            piece = Piece(*known, window, own, multiple=len(parts) > 1)
            pieces = [piece]
            if grouping.separate and piece.multiple:
                pieces = [_part(piece, each, names, classes[window.within(wide).slices]) for each in parts]
            views = [each.window.grown(MARGIN, scan.height, scan.width).within(wide).slices for each in pieces]
            kinds = [classes[each.window.within(wide).slices][each.mask] for each in pieces]
            return [
                replace(measure_piece(ground, each, classes[view] > 0, pixel_mm, legacy), mixed=bool(np.ptp(kind)))
                for each, view, kind in zip(pieces, views, kinds, strict=True)
            ]

        highest = max((row["label"] for row in rows), default=0)
        for first, *others in in_order(measured, _grouped(rows, mask, path, grouping.join)):
            yield first
            for each in others:
                highest += 1
                yield replace(each, label=highest)


@dataclass(frozen=True)
class Piece:
    """An object of a scan before it is measured.

    Attributes:
        label: Its number in the scan, from 1.
        taxon: Name of its class.
        score: Mean probability, 0..1.
        window: Its bounding box.
        mask: bool `(height, width)` of the box, its pixels.
        multiple: Whether it may be several animals that touch.
    """

    label: int
    taxon: str
    score: float
    window: Window
    mask: np.ndarray
    multiple: bool = False


def measure_piece(ground, piece, occupied=None, pixel_mm=None, legacy=False):
    """Measures one object.

    Args:
        ground: The `candidates.LocalGround` of the scan.
        piece: The `Piece`.
        occupied: bool, which pixels of the box and `candidates.MARGIN` around it, as far as the scan goes, belong to
            any object; None where there is no other.
        pixel_mm: As for `measure_scan`.
        legacy: As for `measure_scan`.

    Returns:
        A `MeasuredObject`.
    """
    scan, window = ground.scan, piece.window
    wide = window.grown(MARGIN, scan.height, scan.width)
    pixels, inner = ground.whitened(wide), window.within(wide).slices
    cut = min(window.top, window.left) == 0 or window.bottom == scan.height or window.right == scan.width
    found = measure(pixels[inner], piece.mask, (window.left, window.top), pixel_mm, legacy=legacy)
    whole = np.zeros(pixels.shape, bool)
    whole[inner] = piece.mask
    alone = pixels if occupied is None else cleared(pixels, occupied, whole)
    known = scan.stem, piece.label, piece.taxon, piece.score, cut, piece.multiple
    return MeasuredObject(*known, pixels[inner], piece.mask, alone, found)


def window_of(row):
    """Gives the bounding box of a row of the object table as a `tiles.Window`."""
    return Window(row["y_px"], row["x_px"], row["height_px"], row["width_px"])


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
                {**row, "class": unguarded(row["class"]), "score": float(row["score"])}
                | {name: int(row[name]) for name in numbers}
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise ArtefactError(
            f"{path} is no object table: {error}.", "what plankton predict wrote.", "run plankton predict again."
        ) from None


def _part(piece, mask, names, classes):
    """Makes a piece of a part of one, with the class that most of its pixels have; mask and classes are of its box."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    inner = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    taxon = names[np.bincount(classes[mask]).argmax()]
    top, left = piece.window.top + int(rows[0]), piece.window.left + int(columns[0])
    return Piece(piece.label, taxon, piece.score, Window(top, left, *mask[inner].shape), mask[inner])


def _grouped(rows, mask, path, distance):
    """Gives lists of rows of the object table: those of one class that lie so near one another, or each alone."""
    if not distance:
        return [[row] for row in rows]
    groups = []
    for name in {row["class"]: None for row in rows}:
        mine = [row for row in rows if row["class"] == name]
        windows = [window_of(row) for row in mine]

        def pixels_of(place, mine=mine, windows=windows):
            row = mine[place]
            return own_pixels(mask.read(windows[place]), row["area_px"], path, row["label"])

        groups += [[mine[place] for place in group] for group in join(windows, pixels_of, distance)]
    return sorted(groups, key=lambda group: group[0]["label"])


def _score(fragments):
    """Gives the mean probability over the pixels of all fragments, to the digits of the table."""
    total = sum(row["area_px"] for row in fragments)
    return round(sum(row["score"] * row["area_px"] for row in fragments) / total, 6)


def _around(windows):
    """Gives the smallest window that holds all of some."""
    top, left = (min(getattr(each, side) for each in windows) for side in ("top", "left"))
    bottom, right = (max(getattr(each, side) for each in windows) for side in ("bottom", "right"))
    return Window(top, left, bottom - top, right - left)


def _all_pixels(fragments, window, classes, path):
    """Gives the pixels of all fragments, bool of the size of the window around them, as `classes` are."""
    own = np.zeros(classes.shape, bool)
    for row in fragments:
        inner = window_of(row).within(window).slices
        own[inner] |= own_pixels(classes[inner], row["area_px"], path, row["label"])
    return own


def covered_by_large(rows, mask, path):
    """Marks the large objects, with their soft edges, as `candidates.LocalGround` takes what is no ground.

    The median of the ground would be of a large animal itself, which then is as bright as its own ground.

    Args:
        rows: What `read_objects` gave.
        mask: The open mask.
        path: The mask, for messages.

    Returns:
        bool `(rows, columns)` of the scan reduced by 8; None without a large object.

    Raises:
        ArtefactError: As `own_pixels`.
    """
    large = [row for row in rows if row["area_px"] >= LARGE]
    if not large:
        return None
    found = np.zeros((-(-mask.height // REDUCTION), -(-mask.width // REDUCTION)), np.uint8)
    for row in large:
        window = window_of(row)
        own = own_pixels(mask.read(window), row["area_px"], path, row["label"])
        sides = (window.top, window.bottom), (window.left, window.right)
        whole = np.pad(own, [(low % REDUCTION, -high % REDUCTION) for low, high in sides])
        shape = (len(whole) // REDUCTION, REDUCTION, -1, REDUCTION)
        place = tuple(slice(low // REDUCTION, -(-high // REDUCTION)) for low, high in sides)
        found[place] |= whole.reshape(shape).any(axis=(1, 3))
    return cv2.dilate(found, np.ones((3, 3), np.uint8)) > 0


def own_pixels(classes, area, path, label):
    """Finds the pixels of the object that a box was drawn around: the piece that fills the box and has its area.

    Args:
        classes: uint8 `(height, width)`, class indices in the box.
        area: Pixels of the object.
        path: The mask, for the message.
        label: The object's number, for the message.

    Returns:
        bool `(height, width)`.

    Raises:
        ArtefactError: If there is no such piece.
    """
    height, width = classes.shape
    _, labels, stats, _ = components(classes)
    sides, pixels = stats[1:, [cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]], stats[1:, cv2.CC_STAT_AREA]
    fitting = np.flatnonzero((sides == (height, width)).all(axis=1) & (pixels == area))
    if not len(fitting):
        raise ArtefactError(
            f"{path} does not hold object {label} of the table.", "mask and table of one run.", "predict again."
        )
    return labels == 1 + fitting[0]
