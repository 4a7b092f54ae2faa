"""The gray levels of an object: their statistics, and what ZooProcess makes of their histogram."""

import cv2
import numpy as np

from plankton_keras.measures.outlines import fill_holes

# Darker parts of fewer pixels are not counted.
SMALLEST_PART = 5


def gray_statistics(values):
    """Gives the statistics of gray levels.

    Args:
        values: uint8, the gray levels of an object's pixels, at least one.

    Returns:
        A dictionary: mean; stddev (of a sample, n - 1); mode (the darkest of several); min; max; median (the smallest
        level that more than half of the pixels do not exceed); intden (the sum); skew; kurt (that of the normal
        distribution is 0). What divides by nothing is None.

    Example:

    >>> found = gray_statistics(np.array([10, 10, 20, 40], np.uint8))
    >>> found["mean"], round(found["stddev"], 2), found["mode"], found["median"], found["intden"]
    (20.0, 14.14, 10, 20, 80)
    """
    counts = np.bincount(values.ravel(), minlength=256)
    levels, total = np.arange(256), int(counts.sum())
    mean = float(counts @ levels / total)
    second, third, fourth = (float(counts @ (levels - mean) ** power / total) for power in (2, 3, 4))
    present = np.flatnonzero(counts)
    return {
        "mean": mean,
        "stddev": (second * total / (total - 1)) ** 0.5 if total > 1 else None,
        "mode": int(counts.argmax()),
        "min": int(present[0]),
        "max": int(present[-1]),
        "median": int(np.argmax(np.cumsum(counts) > total / 2)),
        "intden": int(counts @ levels),
        "skew": third / second**1.5 if second else None,
        "kurt": fourth / second**2 - 3 if second else None,
    }


def cumulated(counts):
    """Gives the gray levels that a quarter, a half and three quarters of the pixels stay below.

    Each is the greatest level whose cumulated share is less than that (0 if none is); the last is raised to the next
    level that occurs, so that there are pixels up to it.

    Args:
        counts: int `(255,)`, pixels of each level but 255; at least one pixel.

    Returns:
        A list of three.

    Example, where half of the pixels are 10 and half are 20:

    >>> cumulated(np.bincount([10, 10, 20, 20], minlength=255))
    [9, 9, 20]
    """
    share = np.cumsum(counts) / counts.sum()
    cuts = [max(int(np.count_nonzero(share < part)) - 1, 0) for part in (0.25, 0.5, 0.75)]
    cuts[2] += int(np.argmax(counts[cuts[2] :] > 0))
    return cuts


def histogram_features(counts):
    """Gives slope and histcum1, 2 and 3.

    The slope is the ratio of the standard deviations of counts and levels: it grows with the object and is no slope.

    Args:
        counts: As for `cumulated`.

    Returns:
        A dictionary.
    """
    slope = float(np.std(counts, ddof=1) / np.std(np.arange(255), ddof=1))
    return {"slope": slope, **{f"histcum{n}": cut for n, cut in enumerate(cumulated(counts), 1)}}


def count_dark_parts(gray, solid, cut):
    """Counts the parts of an object that are as dark as a level, after one erosion by 3 x 3.

    Args:
        gray: uint8 `(height, width)`.
        solid: bool `(height, width)`, the object's pixels.
        cut: Level that is the brightest of a part.

    Returns:
        Number of 8-connected parts of at least 5 pixels, holes included.
    """
    dark = np.pad(solid & (gray <= cut), 1).astype(np.uint8)
    eroded = cv2.erode(dark, np.ones((3, 3), np.uint8)).astype(bool)
    sizes = cv2.connectedComponentsWithStats(fill_holes(eroded).astype(np.uint8), connectivity=8)[2][1:, 4]
    return int(np.count_nonzero(sizes >= SMALLEST_PART))


def legacy_contrast(gray, solid, counts, cuts):
    """Gives ZooProcess' fcons, with its error: three gray levels are chosen by comparing counts with levels.

    Over the pixels of these levels, column by column and without the rim of the box, the distance to the mean of the
    eight neighbours is cumulated by level and weighted by the level's count. For parity with old data only.

    Args:
        gray: uint8 `(height, width)`, the object's box.
        solid: bool `(height, width)`, the object's pixels; what is outside counts as white.
        counts: As for `cumulated`.
        cuts: As `cumulated` gives them.

    Returns:
        A number without a meaning.
    """
    chosen = {max(np.flatnonzero((counts > 0) & (counts <= cut)), default=0) for cut in cuts}
    shown = np.where(solid, gray, 255).astype(np.float64)
    around = (cv2.blur(shown, (3, 3)) * 9 - shown) / 8
    columns, distances = shown[1:-1, 1:-1].T.ravel(), np.abs(shown - around)[1:-1, 1:-1].T.ravel()
    total, pixels = 0.0, 1
    for level in chosen:
        found = distances[columns == level]
        total += float(np.cumsum(found).sum()) * int(counts[level]) / 256
        pixels += len(found)
    return total / pixels
