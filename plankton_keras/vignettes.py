"""Vignettes: pictures of one object each, squared to one size with the ground at white.

Labelled vignettes lie in folders named after their class, as EcoTaxa and the Kaggle plankton challenge give them.
"""

import hashlib
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from plankton_keras.errors import InputError, and_others
from plankton_keras.image_claims import check_picture, first_line, read_picture
from plankton_keras.pairs import is_named_scan
from plankton_keras.patches import unit_hash
from plankton_keras.schema import SPLITS
from plankton_keras.taxa import find_taxa, read_taxa
from plankton_keras.vignette_pictures import GROUND, cut_to_object

log = logging.getLogger(__name__)

# Ground that is white is far brighter than this gray level.
DARK = 64
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Labelled:
    """A vignette's file, which may stand in a .zip, its class and its split."""

    path: Path | zipfile.Path
    label: str
    split: str


def squared(pixels, size):
    """Pads a picture to a square with white ground and scales it; its aspect stays.

    Args:
        pixels: uint8 `(height, width)`, ground at 255.
        size: Side of the result in pixels.

    Returns:
        uint8 `(size, size)`.

    Example:

    >>> squared(np.zeros((20, 40), np.uint8), 8)[:, 0].tolist()
    [255, 255, 0, 0, 0, 0, 255, 255]
    """
    height, width = pixels.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = np.full((side, side), GROUND, np.uint8)
    padded[top : top + height, left : left + width] = pixels
    return cv2.resize(padded, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


def is_vignette_folder(folder):
    """Tells a folder of labelled vignettes from one of scans.

    It has two folders of pictures or more, which are not all splits, none called `mask` or `masks`, no picture beside
    them, and none in them that is named as a scan.

    Args:
        folder: The folder.
    """
    folder = Path(folder)
    if not folder.is_dir() or _pictures(folder):
        return False
    pictures = {path.name: _pictures(path) for path in _class_folders(folder) if _pictures(path)}
    if any(is_named_scan(picture) for each in pictures.values() for picture in each):
        return False
    return len(pictures) > 1 and not pictures.keys() & {"mask", "masks"} and not pictures.keys() <= set(SPLITS)


def find_vignettes(folder, val_fraction, seed=0):
    """Finds labelled vignettes.

    Args:
        folder: Folders of pictures named after their class, in sub-folders `train`, `val` and `test` or without.
        val_fraction: Share for validation where there are no splits.
        seed: Decides with the bytes of a file which, so that equal files stay together.

    Returns:
        A list of `Labelled`, by class and name.

    Raises:
        InputError: If there are fewer than two classes, or classes beside splits.
    """
    found, folder = [], Path(folder)
    classes = _class_folders(folder)
    lost = [path for path in _folders(folder) if path not in classes and path.name not in SPLITS]
    if lost:
        raise InputError(
            f"{folder} has the folder {lost[0].name!r} beside those of splits.",
            "folders of classes alone, or in train/, val/ and test/.",
            "move it into a split, or elsewhere.",
        )
    for path in classes:
        for picture in _pictures(path):
            split = path.parent.name if path.parent != folder else deal(picture, val_fraction, seed)
            found.append(Labelled(picture, path.name, split))
    if len({vignette.label for vignette in found}) < 2:
        raise InputError(
            f"{folder} has fewer than two classes of vignettes.",
            "folders named after classes, with pictures in them: CLASS/NAME.jpg.",
            "check the path.",
        )
    below = [each for path in classes for each in _folders(path) if _pictures(each)]
    if below:
        log.warning("%s%s: pictures below the folder of a class are left out", below[0], and_others(len(below) - 1))
    return found


def deal(path, val_fraction, seed=0):
    """Gives a vignette a split by the hash of its bytes, so that equal files stay together.

    Args:
        path: The file, a `pathlib.Path` or a `zipfile.Path`.
        val_fraction: Share for validation.
        seed: Decides with the bytes.

    Returns:
        `train` or `val`.

    Raises:
        InputError: If it cannot be read.
    """
    digest = hashlib.sha256(_content(path)).hexdigest()
    # Of seed 0 the bytes alone decide, as they did before there was a seed: its records stay what they are.
    return "val" if unit_hash(*([seed] if seed else []), digest) < val_fraction else "train"


def _content(path):
    """Reads a file, which may stand in a .zip."""
    try:
        return read_picture(path)
    except Exception as error:  # Each way to pack raises errors of its own kind.
        raise InputError(
            f"{path} cannot be read: {first_line(error)}.", "a whole file.", "copy it or export it anew."
        ) from None


def read_vignette(path):
    """Reads a picture of one object as gray levels, without what `vignette_pictures` drew around it.

    Args:
        path: The file, a `pathlib.Path` or a `zipfile.Path`.

    Returns:
        uint8 `(height, width)`.

    Raises:
        InputError: If it is no picture.
    """
    file = _content(path)
    check_picture(path, file)
    content = np.frombuffer(file, np.uint8)
    try:
        pixels, whole = (cv2.imdecode(content, how) for how in (cv2.IMREAD_GRAYSCALE, cv2.IMREAD_UNCHANGED))
    except cv2.error:
        pixels = whole = None
    if pixels is None or whole is None:
        raise InputError(f"{path} cannot be decoded.", "a whole picture.", "remove the file or export it anew.")
    if whole.ndim == 3 and whole.shape[2] == 4:
        # What is transparent is ground.
        opacity = whole[..., 3] / np.iinfo(whole.dtype).max
        pixels = np.rint(GROUND + opacity * (pixels.astype(np.float64) - GROUND)).astype(np.uint8)
    return cut_to_object(pixels, file)


def load_vignettes(vignettes, classes, size):
    """Reads labelled vignettes into memory.

    Args:
        vignettes: List of `Labelled`.
        classes: Class names by index.
        size: Side that they are scaled to in pixels.

    Returns:
        `(images, sides, labels)`: uint8 `(count, size, size, 1)`, float32 `(count, 1)` in pixels, int32 `(count,)`.

    Raises:
        InputError: If a file is no picture, a class is unknown, or there is no vignette.
    """
    if not vignettes:
        raise InputError(
            "There are no vignettes of this split.", "at least one.", "choose another --split or another folder."
        )
    unknown = sorted({vignette.label for vignette in vignettes} - set(classes))
    if unknown:
        raise InputError(
            f"The class {unknown[0]!r} is unknown to the model"
            + (f", and {len(unknown) - 1} more." if unknown[1:] else "."),
            f"the {len(classes)} classes that it was trained on.",
            "rename or remove the folder.",
        )
    images = np.empty((len(vignettes), size, size, 1), np.uint8)
    sides = np.empty((len(vignettes), 1), np.float32)
    for index, vignette in enumerate(vignettes):
        pixels = read_vignette(vignette.path)
        images[index, ..., 0], sides[index] = squared(pixels, size), max(pixels.shape)
    return images, sides, np.array([classes.index(vignette.label) for vignette in vignettes], np.int32)


def warn_of_dark_ground(names, pictures):
    """Warns where most vignettes are dark at their corners: `squared` pads with white, as `measure` shows objects.

    Args:
        names: What to call them.
        pictures: uint8 `(height, width)` of each, of any size.
    """
    corners = [picture[[0, 0, -1, -1], [0, -1, 0, -1]] for picture in pictures]
    dark = [name for name, levels in zip(names, corners, strict=True) if np.median(levels) < DARK]
    if 2 * len(dark) > len(names):
        log.warning(
            "%s%s of %d vignettes are dark at their corners, but ground is taken to be white: invert them, or cut a "
            "dark border off",
            dark[0],
            and_others(len(dark) - 1),
            len(names),
        )


def living_by_name(folder, names):
    """Reads which classes are alive from the `taxa.csv` of a folder or of its parent.

    Args:
        folder: The folder of vignettes.
        names: Class names.

    Returns:
        A dictionary from name to bool, or None where there is no `taxa.csv`.

    Raises:
        InputError: If a class does not stand in it, or lives in one line and not in another.
    """
    path = find_taxa(folder)
    if path is None:
        return None
    known = {}
    for taxon in read_taxa(path):
        if known.setdefault(taxon.name, taxon.living) != taxon.living and taxon.name in names:
            raise InputError(
                f"{path} says of the class {taxon.name!r} both that it lives and that it does not.",
                "one value of living for a class.",
                "correct one of the lines, or name the two apart.",
            )
    missing = sorted(set(names) - set(known))
    if missing:
        raise InputError(
            f"{path} has no line for the class {missing[0]!r}"
            + (f" and {len(missing) - 1} more." if missing[1:] else "."),
            "a line id,name,living for each folder of vignettes.",
            "add it.",
        )
    return {name: known[name] for name in names}


def _class_folders(folder):
    """Lists the folders of classes, by name; or those below the folders of splits, which hold no picture themselves."""
    return [path for split in split_folders(folder) for path in _folders(split)] or _folders(folder)


def split_folders(folder):
    """Lists the folders of splits; one that holds pictures itself is a class with such a name."""
    return [path for path in _folders(Path(folder)) if path.name in SPLITS and not _pictures(path)]


def _folders(folder):
    """Lists the folders in a folder by name, but hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(folder):
    """Lists the pictures of a folder by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
