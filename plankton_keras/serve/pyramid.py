"""A scan as a pyramid of levels, each half the size of the next, from which small tiles are cut for a browser.

The last level has the gray levels that prediction sees, pixel by pixel, so that neither the format of the scan nor its
16 bits matter afterwards. Levels are written by bands of rows and read by windows: memory does not grow with the scan.
"""

import math
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import cv2
import numpy as np

from plankton_keras.files import read_json, whole_file, write_json
from plankton_keras.scans import open_scan
from plankton_keras.tiles import Window

TILE = 512
QUALITY = 88
# Bytes of a band of rows while a level is made, and of the encoded tiles that are kept.
BAND_BYTES = 16 * 2**20
KEPT_BYTES = 64 * 2**20
ABOUT = "pyramid.json"
AGAIN = "delete the folder; it is made again from the scan."


def level_sizes(height, width):
    """Gives the sizes of the levels: the first fits into one tile, the last is the scan, each is half of the next.

    Args:
        height: Rows of the scan.
        width: Columns of the scan.

    Returns:
        A list of `(height, width)`; halves are rounded up, as Deep Zoom does.

    Example:

    >>> level_sizes(height=700, width=1025)
    [(175, 257), (350, 513), (700, 1025)]
    """
    sizes = [(height, width)]
    while max(sizes[0]) > TILE:
        sizes.insert(0, tuple(-(-side // 2) for side in sizes[0]))
    return sizes


def halved(pixels):
    """Halves an image: each pixel is the mean of the up to 2 x 2 pixels that it covers, halves rounded up.

    Args:
        pixels: uint8 `(height, width)`.

    Returns:
        uint8 `(ceil(height / 2), ceil(width / 2))`.

    Example:

    >>> halved(np.array([[1, 2, 9], [3, 5, 10]], np.uint8)).tolist()
    [[3, 10]]
    """
    height, width = pixels.shape
    # The mean of an edge pixel and its double is that of the pixels there are.
    even = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)


def build(path, folder, gray_range=None, progress=None):
    """Makes the pyramid of a scan, unless it stands there.

    Args:
        path: The scan.
        folder: Where the levels go; made where it is missing. What was begun there is made again.
        gray_range: As for `scans.open_scan`.
        progress: Called with the share that is done, 0..1.

    Returns:
        The `Pyramid`.

    Raises:
        InputError: If the scan is bad.
    """
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        with open_scan(path, gray_range) as scan:
            sizes = level_sizes(scan.height, scan.width)
            done = _Done(sizes, progress)
            _write(folder, len(sizes) - 1, sizes[-1], _rows_of(scan), done)
        for level in reversed(range(len(sizes) - 1)):
            _write(folder, level, sizes[level], _halved_rows(_open(folder, level + 1)), done)
        write_json(folder / ABOUT, {"height": sizes[-1][0], "width": sizes[-1][1], "tile": TILE, "levels": len(sizes)})
    return Pyramid(folder)


class _Done:
    """Counts the pixels that are written, and tells their share."""

    def __init__(self, sizes, tell):
        self._all, self._written, self._tell = sum(math.prod(size) for size in sizes), 0, tell

    def add(self, pixels):
        self._written += pixels
        if self._tell:
            self._tell(self._written / self._all)


def _rows_of(scan):
    rows = max(1, BAND_BYTES // scan.width)
    for top in range(0, scan.height, rows):
        yield scan.read(Window(top, 0, min(rows, scan.height - top), scan.width))


def _halved_rows(above):
    height, width = above.shape
    # An even number of rows, so that no pair is torn.
    rows = 2 * max(1, BAND_BYTES // (2 * width))
    for top in range(0, height, rows):
        yield halved(np.array(above[top : top + rows]))


def _write(folder, level, size, bands, done):
    """Writes a level as a .npy file, from top to bottom; it appears whole."""
    with whole_file(_path(folder, level)) as partial, open(partial, "wb") as file:
        head = {"descr": "|u1", "fortran_order": False, "shape": size}
        np.lib.format.write_array_header_1_0(file, head)
        for band in bands:
            file.write(np.ascontiguousarray(band).data)
            done.add(band.size)


def _path(folder, level):
    return Path(folder) / f"level_{level}.npy"


def _open(folder, level):
    return np.load(_path(folder, level), mmap_mode="r")


class Pyramid:
    """A pyramid that stands in a folder.

    Args:
        folder: The folder that `build` filled.

    Attributes:
        height: Rows of the scan.
        width: Columns of the scan.
        tile: Side of a tile; those at the right and lower edge are smaller.
        levels: Number of levels; the last is the scan itself.

    Raises:
        ArtefactError: If the pyramid is not whole.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        about = read_json(self.folder / ABOUT, AGAIN)
        self.height, self.width, self.tile, self.levels = (about[key] for key in ("height", "width", "tile", "levels"))

    def pixels(self, level, column, row):
        """Reads the gray levels of a tile.

        Args:
            level: 0 for the smallest.
            column: Place of the tile from the left, in tiles.
            row: Place of the tile from the top, in tiles.

        Returns:
            uint8 `(height, width)`, or None where there is no such tile.
        """
        if not 0 <= level < self.levels:
            return None
        # Opened for each tile: nothing is held of a scan that may be deleted, and what was mapped is let go.
        pixels = _open(self.folder, level)
        height, width = pixels.shape
        top, left = row * self.tile, column * self.tile
        if not (0 <= top < height and 0 <= left < width):
            return None
        return np.array(pixels[top : top + self.tile, left : left + self.tile])

    def jpeg(self, level, column, row):
        """Reads a tile as `pixels` does, as the bytes of a JPEG."""
        pixels = self.pixels(level, column, row)
        return (
            None if pixels is None else cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))[1].tobytes()
        )


class KeptTiles:
    """The encoded tiles that were asked for last, up to a number of bytes.

    Example:

    >>> kept = KeptTiles(most=5)
    >>> for key in ("a", "b", "c"):
    ...     _ = kept.get(key, lambda: b"two"[:2])
    >>> kept.get("b", lambda: b"made anew"), kept.get("a", lambda: b"anew")
    (b'tw', b'anew')
    """

    def __init__(self, most=KEPT_BYTES):
        self._most, self._bytes, self._kept, self._lock = most, 0, OrderedDict(), Lock()

    def get(self, key, make):
        """Gives the tile of a key; `make` is called where it is not kept, and None is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        tile = make()
        if tile is not None:
            with self._lock:
                self._bytes += len(tile) - len(self._kept.pop(key, b""))
                self._kept[key] = tile
                while self._bytes > self._most and len(self._kept) > 1:
                    self._bytes -= len(self._kept.popitem(last=False)[1])
        return tile
