"""Masks of any other tool as predictions that can be scored: folders of images, or the challenge's CSV."""

import functools
import time
from pathlib import Path

import numpy as np

from plankton_keras.candidates import bands_of
from plankton_keras.challenge import read_csv
from plankton_keras.errors import InputError
from plankton_keras.evaluation import Contestant
from plankton_keras.files import scratch
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.pairs import SCAN_SUFFIXES
from plankton_keras.prediction import ScanPrediction
from plankton_keras.scans import open_mask
from plankton_keras.schema import SPLITS
from plankton_keras.taxa import MAX_ID
from plankton_keras.threads import in_order
from plankton_keras.tiles import Window


def mask_contestant(masks, target, stems=()):
    """Makes a contestant of masks that were predicted elsewhere.

    Args:
        masks: A folder of mask images, or a CSV file as the challenge takes it.
        target: The `taxa.Target` whose class indices the masks hold.
        stems: Names of the scans that will be scored, of which the folder must hold a mask each.

    Returns:
        The `evaluation.Contestant`; its source is the path.

    Raises:
        InputError: If there is no such path, the target has more classes than a CSV can tell apart, or as `find_mask`.
    """
    masks, names = Path(masks), target.names
    if not masks.exists():
        raise InputError(f"{masks} does not exist.", "a folder of masks, or a CSV file.", "check the path.")
    if masks.is_file() and len(names) > 2:
        raise InputError(
            f"{masks} tells living from not, but there are {len(names)} classes.",
            "masks of class indices.",
            "give a folder of mask images.",
        )
    # What is missing is said before models beside the masks have scored all scans.
    for stem in stems if masks.is_dir() else ():
        find_mask(masks, stem)
    predict = predict_csv if masks.is_file() else predict_images
    return Contestant(str(masks), None, None, names, target, functools.partial(predict, masks, names))


def find_mask(folder, stem):
    """Finds the mask of a scan.

    Args:
        folder: A folder of `STEM_mask.EXT` or `STEM.EXT`, or with sub-folders `train`, `val` and `test` of them.
        stem: Name of the scan.

    Returns:
        The path.

    Raises:
        InputError: If there is none, or more than one.
    """
    folders = [each for each in (folder, *(folder / split for split in SPLITS)) if each.is_dir()]
    files = [path for each in folders for path in sorted(each.iterdir())]
    for name in (f"{stem}_mask", stem):
        found = [
            path for path in files if path.name.startswith(name) and path.name[len(name) :].lower() in SCAN_SUFFIXES
        ]
        if len(found) > 1:
            raise InputError(
                f"{found[0]} and {found[1]} are masks of the same scan.", "one mask a scan.", "remove one of them."
            )
        if found:
            return found[0]
    raise InputError(
        f"{folder} holds no mask of the scan {stem}.",
        f"{stem}_mask.EXT or {stem}.EXT, EXT one of {' '.join(SCAN_SUFFIXES)}.",
        "add the mask, or leave the scan out.",
    )


def class_table(ids, names, path):
    """Decides what the values of a mask mean.

    Of two classes, 0 and any one other value are class 0 and 1, so that 255 for white will do. All else are class
    indices.

    Args:
        ids: The values that stand in the mask.
        names: Class names by index.
        path: The mask, for the message.

    Returns:
        uint8 `(65536,)`: class index by value.

    Raises:
        InputError: If a value is no class index.

    Example:

    >>> class_table([0, 255], ("non-living", "living"), "a_mask.png")[[0, 255]].tolist()
    [0, 1]
    >>> class_table([0, 1, 255], ("non-living", "living"), "a_mask.png")
    Traceback (most recent call last):
    plankton_keras.errors.InputError: a_mask.png holds the value 255, which is no class.
    Expected: 0 and one other value, or class indices: 0 non-living, 1 living.
    Fix: write the mask anew; gray levels between two values come from smoothing.
    """
    table = np.arange(MAX_ID + 1)
    if len(names) == 2 and np.count_nonzero(list(ids)) == 1:
        return (table > 0).astype(np.uint8)
    unknown = min((value for value in ids if value >= len(names)), default=None)
    if unknown is None:
        return table.astype(np.uint8)
    binary = "0 and one other value, or " if len(names) == 2 else ""
    raise InputError(
        f"{path} holds the value {unknown}, which is no class.",
        f"{binary}class indices: {', '.join(f'{index} {name}' for index, name in enumerate(names))}.",
        "write the mask anew; gray levels between two values come from smoothing.",
    )


def predict_images(folder, names, scan):
    """Takes the mask image of a scan as its prediction.

    Args:
        folder: As for `find_mask`.
        names: Class names by index.
        scan: The open scan.

    Returns:
        A `prediction.ScanPrediction`.

    Raises:
        InputError: If there is no such mask, it has another size than the scan, or a value is no class.
    """
    with open_mask(find_mask(folder, scan.stem)) as mask:
        if (mask.height, mask.width) != (scan.height, scan.width):
            raise InputError(
                f"{mask.path} has {mask.width} x {mask.height} pixels, but the scan {scan.stem} has "
                f"{scan.width} x {scan.height}.",
                "a mask of the scan's size.",
                "check which mask belongs to the scan.",
            )
        table = class_table(mask.ids(), names, mask.path)
        return prediction_of_bands(
            scan, lambda top, bottom: table[mask.read(Window(top, 0, bottom - top, mask.width))], len(names)
        )


def prediction_of_bands(scan, read, num_classes):
    """Takes class indices that are known already as the prediction of a scan.

    Args:
        scan: The open scan.
        read: Function of the first row and that after the last to uint8 class indices, called by several threads.
        num_classes: Number of classes, class 0 included.

    Returns:
        A `prediction.ScanPrediction`.
    """
    return _predict(scan, bands_of(scan.height), lambda band: (band[0], read(*band)), num_classes)


def predict_csv(path, names, scan):
    """Takes the rows of a scan in the challenge's CSV as its prediction.

    Args:
        path: The file.
        names: The two class names.
        scan: The open scan.

    Returns:
        A `prediction.ScanPrediction`.

    Raises:
        InputError: If the file is bad, or has not as many rows of the scan as the scan has.
    """

    def bands():
        rows = 0
        for _, top, band in read_csv(path, {scan.stem: scan.width}):
            rows = top + len(band)
            if rows <= scan.height:
                yield top, band
        if rows != scan.height:
            raise InputError(
                f"{path} has {rows} rows of the scan {scan.stem}, which has {scan.height}.",
                "one line for each row of the scan.",
                "check that the file belongs to the scans.",
            )

    return _predict(scan, bands(), lambda band: band, len(names))


def _predict(scan, bands, read, num_classes):
    """Makes a prediction of bands from top to bottom; `read` gives each one's first row and uint8 class indices."""
    started = time.monotonic()
    classes, probability = scratch(scan.height, scan.width), scratch(scan.height, scan.width)

    def keep(band):
        top, found = read(band)
        rows = slice(top, top + len(found))
        classes[rows] = found
        probability[rows] = np.where(found, np.uint8(255), np.uint8(0))
        return label_band(found, num_classes=num_classes)[0]

    labeler = BandLabeler(num_classes)
    for labelled in in_order(keep, bands):
        labeler.add(labelled)
    objects, _ = labeler.finish()
    return ScanPrediction(classes, probability, objects, time.monotonic() - started)
