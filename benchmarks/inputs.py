"""The scans that the benchmarks work on: put together, to any size, from scans that are there."""

import itertools
import shutil
from pathlib import Path

import numpy as np

from plankton_keras.files import whole_file
from plankton_keras.pairs import find_pairs
from plankton_keras.scans import open_pair
from plankton_keras.taxa import find_taxa
from plankton_keras.tiles import Window

# Scans that are put together, at most.
SOURCES = 4


def find_sources(folder):
    """Finds the scans to put together: those that a run has not seen, if the folder says which.

    Args:
        folder: A folder of pairs of scan and mask.

    Returns:
        A list of `pairs.ScanPair`.

    Raises:
        SystemExit: If there are none.
    """
    pairs = [pair for pair in find_pairs(folder) if pair.mask is not None]
    for split in ("test", "val", None, "train"):
        chosen = [pair for pair in pairs if pair.split == split]
        if chosen:
            return chosen[:SOURCES]
    raise SystemExit(f"{folder} has no scan with a mask.")


def compose(sources, folder, stem, size):
    """Puts scans side by side and below one another until they fill a scan; the same with their masks.

    Args:
        sources: List of `pairs.ScanPair`.
        folder: Where to write `STEM_scan.png.ppm`, `STEM_mask.png.ppm` and the sources' `taxa.csv`, if they have one.
        stem: Name of the scan.
        size: `(width, height)` in pixels.

    Returns:
        Paths of scan and mask. Files that exist are kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}_{what}.png.ppm" for what in ("scan", "mask")]
    taxa = find_taxa(sources[0].scan.parent)
    if taxa and not (folder / "taxa.csv").exists():
        shutil.copy(taxa, folder / "taxa.csv")
    if all(path.exists() for path in paths):
        return paths
    width, height = size
    scans, masks = zip(*map(_read, sources), strict=True)
    for path, parts, largest, kind in ((paths[0], scans, 255, "u1"), (paths[1], masks, 65535, ">u2")):
        with whole_file(path) as partial, partial.open("wb") as file:
            file.write(f"P5\n{width} {height}\n{largest}\n".encode())
            for band in _bands(parts, width, height):
                file.write(band.astype(kind).tobytes())
    return paths


def _read(pair):
    """Reads a scan and its mask."""
    scan, mask = open_pair(pair)
    with scan, mask:
        whole = Window(0, 0, scan.height, scan.width)
        return scan.read(whole), mask.read(whole)


def _bands(parts, width, height):
    """Gives the rows of the whole, as many at once as the least high part has; each row begins with another part."""
    rows = min(part.shape[0] for part in parts)
    for number, top in enumerate(range(0, height, rows)):
        line, filled = [], 0
        for part in itertools.islice(itertools.cycle(parts), number % len(parts), None):
            if filled >= width:
                break
            line.append(part[: min(rows, height - top)])
            filled += part.shape[1]
        yield np.concatenate(line, axis=1)[:, :width]


def cut(paths, side, count):
    """Cuts the windows with the most objects out of a scan, side by side on a grid.

    Args:
        paths: Paths of scan and mask as `compose` gives them.
        side: Side of the windows in pixels.
        count: Number of windows.

    Returns:
        `(images, masks)`: uint8 `(count, side, side)`, gray levels, and 1 where a living object is by the usual ids.
    """
    import cv2

    scan, mask = cv2.imread(str(paths[0]), cv2.IMREAD_GRAYSCALE), cv2.imread(str(paths[1]), cv2.IMREAD_UNCHANGED)
    height, width = (length // side for length in scan.shape)

    def grid(array):
        whole = array[: height * side, : width * side].reshape(height, side, width, side)
        return whole.swapaxes(1, 2).reshape(-1, side, side)

    images, masks = grid(scan), (grid(mask) >= 8).astype(np.uint8)
    order = np.argsort(-masks.sum(axis=(1, 2), dtype=np.int64), kind="stable")
    chosen = np.resize(order, count)
    return images[chosen], masks[chosen]
