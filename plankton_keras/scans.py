"""Scans and masks, open and checked: one window of a huge image as gray levels or as ids.

How a file is decoded is the business of `images`, where it lies that of `pairs`.
"""

import itertools
import logging
import math

import cv2
import numpy as np

from plankton_keras.errors import InputError
from plankton_keras.images import open_image
from plankton_keras.pairs import stem_of
from plankton_keras.taxa import MAX_ID
from plankton_keras.tiles import Window

log = logging.getLogger(__name__)

BAND = 512
# A mask laid down anywhere marks about as many dark pixels as the scan has; one that belongs there more than so often.
FAR_FROM_CHANCE = 3
# Dots per inch of screens.
SCREENS = (72, 96)


class _Opened:
    """What an open scan and an open mask have in common."""

    def __init__(self, image):
        self._image = image
        self.path, self.height, self.width = image.path, image.height, image.width

    def close(self):
        """Lets go of the file."""
        self._image.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Scan(_Opened):
    """An open scan, read as gray levels.

    Attributes:
        path: The file.
        stem: Its name without suffix and `_scan`.
        height: Rows.
        width: Columns.
        dpi: Dots per inch as the file says, or None; those of screens are none.
    """

    def __init__(self, image, gray_range=None):
        super().__init__(image)
        self.stem, self.dpi = stem_of(image.path), image.dpi
        # Dots per metre are rounded.
        if self.dpi and round(self.dpi) in SCREENS:
            log.warning(
                "%s says %.0f dpi, as programs write that know of none: it counts as none", image.path, self.dpi
            )
            self.dpi = None
        if image.channels > 1:
            log.warning("%s is in colour: it is converted to gray", image.path)
        self._limits = self._levels = None
        if image.dtype == np.uint16:
            self._limits = gray_range or gray_limits(self._median())
            log.warning("%s has 16 bits: gray levels %d to %d become 0 to 255", image.path, *self._limits)
        elif gray_range:
            log.warning("%s has 8 bits: --gray-range is not applied", image.path)
        if image.largest < 255:
            self._levels = np.minimum(np.arange(256) * 255.0 / image.largest + 0.5, 255).astype(np.uint8)
            log.warning("%s has gray levels 0 to %d: they become 0 to 255", image.path, image.largest)

    def read(self, window):
        """Reads a window.

        Args:
            window: A `tiles.Window` within the scan.

        Returns:
            uint8 `(height, width)`, 0 black to 255 white.
        """
        pixels = self._gray(window)
        if self._limits is None:
            return pixels if self._levels is None else self._levels[pixels]
        low, high = self._limits
        scaled = (pixels.astype(np.float32) - low) * (256.0 / (high - low + 1)) + 0.5
        return np.clip(scaled, 0, 255).astype(np.uint8)

    def _gray(self, window):
        pixels = self._image.read(window)
        return pixels if pixels.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)

    def _median(self):
        """Mean of the medians of 20 slices in the middle of the scan, as ZooProcess takes it."""
        top, left = int(0.05 * self.height), int(0.03 * self.width)
        height, width = max(1, int(0.93 * self.height)), max(1, int(0.94 * self.width))
        edges = [top + height * index // 20 for index in range(21)]
        slices = [Window(start, left, stop - start, width) for start, stop in itertools.pairwise(edges) if stop > start]
        return float(np.mean([np.median(self._gray(each)) for each in slices]))


class ArrayScan:
    """An array with the interface of an open `scans.Scan`.

    Args:
        stem: Name of the scan.
        pixels: uint8 `(height, width)`.
        dpi: Dots per inch, or None.
    """

    def __init__(self, stem, pixels, dpi=None):
        self.stem, self.dpi, self._pixels = stem, dpi, pixels
        self.height, self.width = pixels.shape

    def read(self, window):
        """Gives the pixels of a window."""
        return np.asarray(self._pixels[window.slices])


class Mask(_Opened):
    """An open mask, read as ids.

    Attributes:
        path: The file.
        height: Rows.
        width: Columns.
    """

    def __init__(self, image):
        if image.lossy:
            raise InputError(
                f"{image.path} is compressed as JPEG is, which changes the ids of a mask.",
                "PNG, TIFF, BMP, GIF or netpbm.",
                "export it anew.",
            )
        super().__init__(image)

    def read(self, window):
        """Reads a window.

        Args:
            window: A `tiles.Window` within the mask.

        Returns:
            uint16 `(height, width)`, ids.

        Raises:
            InputError: If the mask is coloured.
        """
        pixels = self._image.read(window)
        if pixels.ndim == 3:
            if (pixels[..., :3] != pixels[..., :1]).any():
                raise InputError(
                    f"{self.path} is a coloured mask.", "ids as gray levels.", "convert its colours to ids."
                )
            pixels = pixels[..., 0]
        return pixels.astype(np.uint16, copy=False)

    def ids(self):
        """Counts the pixels of each id.

        Returns:
            A dictionary from id to number of pixels.
        """
        counts = np.zeros(MAX_ID + 1, np.int64)
        for top in range(0, self.height, BAND):
            band = self.read(Window(top, 0, min(BAND, self.height - top), self.width))
            found = np.bincount(band.ravel())
            counts[: len(found)] += found
        return {int(mask_id): int(counts[mask_id]) for mask_id in np.flatnonzero(counts)}


def gray_limits(median):
    """Finds which gray levels of a 16-bit scan become 0 and 255, by the rule of ZooProcess 8.

    Args:
        median: Median gray level of the scan, 0..65535.

    Returns:
        `(low, high)` with `high = min(65536, floor(1.15 median))` and `low = floor(median / (1.15 * 10**1.8))`: an
        optical density of 1.8 below the ground.

    Example:

    >>> gray_limits(43516.45)
    (599, 50043)
    """
    return math.floor(median / (10**1.8 * 1.15)), min(65536, math.floor(median * 1.15))


def open_scan(path, gray_range=None):
    """Opens a scan of any format.

    Args:
        path: The file.
        gray_range: `(low, high)` of a 16-bit scan that become 0 and 255, or None for the rule of ZooProcess.

    Returns:
        A `Scan`.

    Raises:
        InputError: If the file is bad.
    """
    return Scan(open_image(path), gray_range)


def open_mask(path):
    """Opens a mask of any lossless format.

    Args:
        path: The file.

    Returns:
        A `Mask`.

    Raises:
        InputError: If the file is bad, or a JPEG.
    """
    return Mask(open_image(path))


def open_pair(pair, gray_range=None):
    """Opens a scan and its mask, which must have the same size.

    Args:
        pair: A `ScanPair` with a mask.
        gray_range: As for `open_scan`.

    Returns:
        `(scan, mask)`.

    Raises:
        InputError: If a file is bad or the sizes differ.
    """
    scan, mask = open_scan(pair.scan, gray_range), open_mask(pair.mask)
    if (scan.height, scan.width) != (mask.height, mask.width):
        scan.close()
        mask.close()
        raise InputError(
            f"{pair.scan} has {scan.width} x {scan.height} pixels, but {pair.mask} has {mask.width} x {mask.height}.",
            "a mask of the scan's size.",
            "check which mask belongs to the scan.",
        )
    return scan, mask


def check_ids(ids, path):
    """Refuses a mask whose bytes are the wrong way round.

    Args:
        ids: The ids that stand in it.
        path: The mask, for the message.

    Raises:
        InputError: If every id but 0 is a multiple of 256.

    Example:

    >>> check_ids([0, 8, 134], "a_mask.pgm")
    >>> check_ids([0, 2048], "a_mask.pgm")
    Traceback (most recent call last):
    plankton_keras.errors.InputError: a_mask.pgm holds only ids that are multiples of 256, such as 2048: byte order?
    Expected: 16-bit ids in the byte order of the format; netpbm is big-endian.
    Fix: swap the bytes of the mask and write it again.
    """
    others = [mask_id for mask_id in ids if mask_id]
    if others and not any(mask_id % 256 for mask_id in others):
        raise InputError(
            f"{path} holds only ids that are multiples of 256, such as {others[0]}: byte order?",
            "16-bit ids in the byte order of the format; netpbm is big-endian.",
            "swap the bytes of the mask and write it again.",
        )


def check_place(inside, dark, marked, path):
    """Refuses a mask that does not lie on the animals: mirrored, shifted, or of another scan.

    Args:
        inside: Share of the pixels of the mask's objects that are darker than the ground.
        dark: Share of the scan's pixels that are; a mask laid down anywhere has about that of its own.
        marked: Share of the scan's pixels that are of the mask's objects; if most are, they say nothing.
        path: The mask, for the message.

    Raises:
        InputError: If less than half of the objects' pixels are dark, and less than `FAR_FROM_CHANCE` times as many as
            of the scan.

    Example:

    >>> check_place(0.95, 0.05, 0.04, "a_mask.png")
    >>> check_place(0.06, 0.05, 0.04, "a_mask.png")
    Traceback (most recent call last):
    plankton_keras.errors.InputError: Only 6.0 % of what a_mask.png marks is darker than the ground; of the scan 5.0 %.
    Expected: dark animals on a light ground.
    Fix: check that the mask is of this scan, and neither mirrored nor shifted.
    """
    if marked <= 0.5 and inside < min(0.5, FAR_FROM_CHANCE * dark):
        raise InputError(
            f"Only {100 * inside:.1f} % of what {path} marks is darker than the ground; "
            f"of the scan {100 * dark:.1f} %.",
            "dark animals on a light ground.",
            "check that the mask is of this scan, and neither mirrored nor shifted.",
        )


def read_padded(scan, window):
    """Reads a window that may reach beyond the scan below and to the right; there the scan is mirrored.

    Args:
        scan: An open `Scan`, or anything with `height`, `width` and `read`.
        window: A `tiles.Window` that starts within the scan.

    Returns:
        uint8 `(window.height, window.width)`.
    """
    inside = Window(
        window.top,
        window.left,
        min(window.height, scan.height - window.top),
        min(window.width, scan.width - window.left),
    )
    pixels = scan.read(inside)
    pad = ((0, window.height - inside.height), (0, window.width - inside.width))
    return np.pad(pixels, pad, mode="symmetric") if pad != ((0, 0), (0, 0)) else pixels
