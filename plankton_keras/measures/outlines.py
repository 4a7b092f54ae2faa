"""The outline of an object, its holes, its hull and its greatest width; pixels are squares of side 1."""

import math

import cv2
import numpy as np

# Direction of the step from a pixel to its neighbour, clockwise from the right, by row and column of the neighbour.
_DIRECTIONS = np.array([[5, 6, 7], [4, -1, 0], [3, 2, 1]])
# What ImageJ takes off the outline for a corner: a corner pixel's outline counts sqrt(2) instead of 2.
_CORNER = 2 - math.sqrt(2)


def fill_holes(mask):
    """Fills what is enclosed by the mask.

    The mask is 8-connected, so that its background is 4-connected: a diagonal gap does not open a hole.

    Args:
        mask: bool `(height, width)`.

    Returns:
        bool `(height, width)`.

    Example:

    >>> fill_holes(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)).astype(int).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    around = np.ascontiguousarray(np.pad(mask.astype(np.uint8), 1))
    cv2.floodFill(around, None, (0, 0), 2)
    return around[1:-1, 1:-1] != 2


def traced_perimeter(filled, imagej_start=False):
    """Measures the outline as ImageJ's `PolygonRoi.getTracedPerimeter` does.

    The length of the pixels' edges, less 2 - sqrt(2) for each counted corner: going round, a corner is counted unless
    the edge before it has length 1 and the corner before was counted. On discs this is some 5 % too long.

    ImageJ starts at the right end of the first row and always counts there, so that an object turned by 90 degrees may
    have another perimeter (by 0.59; a comment in ImageJ's source says so). Going round without an end, as here, it has
    not.

    Args:
        filled: bool `(height, width)` without holes. Of several parts the perimeters are added up.
        imagej_start: Start where ImageJ does.

    Returns:
        Length in pixels.

    Example, two times two pixels: eight edges, four corners:

    >>> round(traced_perimeter(np.ones((2, 2), bool)), 4)
    5.6569
    """
    contours, _ = cv2.findContours(filled.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return sum(_length(_edges(contour[:, 0]), imagej_start) for contour in contours)


def _edges(contour):
    """Turns the border pixels into the directions of the pixels' edges: 0 right, 1 down, 2 left, 3 up, clockwise.

    Args:
        contour: `(pixels, 2)`, x and y, counter-clockwise from the first pixel of the first row, as OpenCV gives them.
    """
    if len(contour) == 1:
        return np.arange(4)
    clockwise = np.roll(contour[::-1], 1, axis=0)
    dx, dy = (np.roll(clockwise, -1, axis=0) - clockwise).T
    leaving = _DIRECTIONS[dy + 1, dx + 1]
    # Between its neighbours on the border, a pixel shows these of its sides (0 is the upper) to the outside.
    first = np.roll(leaving, 1) // 2
    count = ((leaving + 1) // 2 - first) % 4 + 1
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    edges = (np.repeat(first, count) + within) % 4
    return np.roll(edges, -np.argmax(edges == 0))


def _length(edges, imagej_start):
    """Adds up edges, which start with the upper left corner of the first row, less the counted corners."""
    sides = np.diff(np.flatnonzero(edges != np.roll(edges, -1)), prepend=-1)
    certain = sides > 1
    if imagej_start:
        certain[1] = True
    elif not certain.any():
        certain[0] = True
    certain = np.roll(certain, -np.argmax(certain))
    index = np.arange(len(certain))
    since = index - np.maximum.accumulate(np.where(certain, index, 0))
    return float(len(edges) - np.count_nonzero(since % 2 == 0) * _CORNER)


def hull_points(filled):
    """Gives the corners of the convex hull of the pixels' centres.

    Args:
        filled: bool `(height, width)`, not empty.

    Returns:
        int32 `(corners, 2)`, x and y.
    """
    contours, _ = cv2.findContours(filled.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return cv2.convexHull(np.concatenate(contours))[:, 0]


def feret_diameter(hull):
    """Measures the greatest width between parallel tangents (the maximum caliper), from corner to corner of pixels.

    As ImageJ does: a drawn disc comes out up to 1.4 pixels too wide. `skimage.measure` goes by a contour between the
    pixels of the filled hull instead, and differs by half a pixel either way.

    Args:
        hull: As of `hull_points`.

    Returns:
        Length in pixels.

    Example:

    >>> feret_diameter(hull_points(np.ones((3, 4), bool)))
    5.0
    """
    from scipy.spatial.distance import pdist

    corners = (hull[:, None] + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])).reshape(-1, 1, 2)
    return float(pdist(cv2.convexHull(corners.astype(np.int32))[:, 0].astype(np.float64)).max())


def hull_pixels(hull):
    """Counts the pixels of the hull as ImageJ draws it.

    Args:
        hull: As of `hull_points`.

    Returns:
        `(area, perimeter)`: the pixels of the hull drawn and filled, and those of them with a neighbour outside, one of
        eight.

    Example, where the perimeter is no length but the 10 pixels on the rim:

    >>> hull_pixels(hull_points(np.ones((3, 4), bool)))
    (12, 10)
    """
    low = hull.min(axis=0) - 1
    width, height = hull.max(axis=0) - low + 2
    drawn = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(drawn, (hull - low).astype(np.int32), 1)
    area = cv2.countNonZero(drawn)
    return area, area - cv2.countNonZero(cv2.erode(drawn, np.ones((3, 3), np.uint8)))
