"""The shape of an object: its ellipse, its fractal dimension and its skeleton."""

import math

import cv2
import numpy as np

# Distances over which the fractal dimension is taken: 1 to 45 pixels, evenly on a logarithmic scale.
DISTANCES = np.unique(np.round(1.1 ** np.arange(1, 41)).astype(int))
# Width, height and minor axis multiplied: what thinning costs. A disc of 1000 pixels is just below, 0.8 seconds.
MOST_THINNING = 1_000_000_000


def fit_ellipse(filled):
    """Fits the ellipse of the same area and of the same proportion and direction of second moments.

    As ImageJ's EllipseFitter: each pixel is a square, which adds 1/12 to its second moments, and the axes are scaled to
    the object's area. `skimage.measure.regionprops` has neither: on a ragged object its axes are longer.

    Args:
        filled: bool `(height, width)`, not empty.

    Returns:
        `(x, y, major, minor, angle)`: the centroid in pixels' centres from the upper left one, the axes in pixels, and
        the angle of the major one from the x axis, counter-clockwise, 0 <= angle < 180 degrees.

    Example:

    >>> [round(value, 3) for value in fit_ellipse(np.ones((1, 4), bool))]
    [1.5, 0.0, 4.514, 1.128, 0.0]
    """
    moments = cv2.moments(filled.astype(np.uint8), binaryImage=True)
    area = moments["m00"]
    xx, yy, xy = moments["mu20"] / area + 1 / 12, moments["mu02"] / area + 1 / 12, moments["mu11"] / area
    spread = math.hypot(xx - yy, 2 * xy)
    proportion = math.sqrt((xx + yy + spread) / (xx + yy - spread))
    major = 2 * math.sqrt(area / math.pi * proportion)
    angle = math.degrees(0.5 * math.atan2(-2 * xy, xx - yy)) % 180 % 180
    return moments["m10"] / area, moments["m01"] / area, major, major / proportion, angle


def fractal_dimension(body):
    """Measures how the object's rim fills the plane: 1 for a smooth one, up to 2 (Bérubé and Jébrak 1999).

    Dilation: A(r) is the area within the distance r of the rim, inside and outside. 2 - std(log A) / std(log 2r), over
    the distances of `DISTANCES`. As in ZooProcess this is the ratio of standard deviations, not the slope of least
    squares, and what lies outside of a canvas around the object is not counted. The canvas has four times the
    object's width and height, or twice where both are 200 or more; no more than 45 pixels of its margin are looked at.

    Args:
        body: bool `(height, width)`, not empty, without a margin.

    Returns:
        The dimension.
    """
    height, width = body.shape
    times = 2 if min(height, width) >= 200 else 4
    spare = [(times - 1) * side for side in (height, width)]
    margins = np.minimum([(each // 2, each - each // 2) for each in spare], DISTANCES[-1])
    canvas = np.pad(body, margins).astype(np.uint8)
    inside = cv2.distanceTransform(np.pad(body, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(1 - canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = np.concatenate([each[(each > 0) & (each <= DISTANCES[-1])] for each in (inside, outside)])
    # Rounded up, less what float32 may have added to a whole number.
    pixels = np.bincount(np.ceil(near - 1e-3).astype(np.uint8), minlength=DISTANCES[-1] + 1)
    areas = np.cumsum(pixels)[DISTANCES]
    return float(2 - np.std(np.log(areas)) / np.std(np.log(2 * DISTANCES)))


def skeleton_area(body, minor):
    """Counts the pixels that thinning leaves (Zhang and Suen 1984, of which ImageJ's Skeletonize is a variant).

    What would take more than about a second is thinned at a half, a third... of its size, and the pixels counted so
    many times: discs of more than 1000 pixels, or what is as large and thick.

    Args:
        body: bool `(height, width)`, not empty.
        minor: The minor axis, which thinning's steps grow with.

    Returns:
        Number of pixels.

    Example, a line stays a line:

    >>> skeleton_area(np.ones((1, 9), bool), 1)
    9
    """
    from skimage.measure import block_reduce
    from skimage.morphology import skeletonize

    times = max(1, math.ceil((body.size * minor / MOST_THINNING) ** (1 / 3)))
    smaller = body if times == 1 else block_reduce(body, times, np.max)
    return int(np.count_nonzero(skeletonize(np.pad(smaller, 1)))) * times
