"""Fragments of one animal found together: objects that lie so near one another that they count as one.

Thin limbs and clear bodies fall into pieces on a mask. Nothing but boxes and pixels is looked at.
"""

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plankton_keras.tiles import Window


def join(windows, pixels_of, distance):
    """Finds which objects are fragments of one.

    Args:
        windows: List of `tiles.Window`, the bounding box of each object.
        pixels_of: Function of an object's place in the list to its pixels, bool of the size of its box.
        distance: Objects with at most so many pixels of ground between them, in a straight line, are one.

    Returns:
        A list of lists of places: each object once, the groups in the order of their first object.

    Example, of three squares the first two have 3 pixels between them, the third is 6 to the right:

    >>> squares = [Window(0, left, 4, 4) for left in (0, 7, 17)]
    >>> [join(squares, lambda place: np.ones((4, 4), bool), distance) for distance in (2, 3, 6)]
    [[[0], [1], [2]], [[0, 1], [2]], [[0, 1, 2]]]
    """
    count = len(windows)
    pairs = [pair for pair in _near_boxes(windows, distance) if _near(*pair, windows, pixels_of, distance)]
    first, second = np.array(pairs, int).reshape(-1, 2).T
    links = coo_array((np.ones(len(pairs), bool), (first, second)), shape=(count, count))
    groups = {}
    for place, group in enumerate(connected_components(links, directed=False)[1] if count else ()):
        groups.setdefault(group, []).append(place)
    return list(groups.values())


def _near_boxes(windows, distance):
    """Lists the pairs of objects whose boxes are no further apart."""
    order = sorted(range(len(windows)), key=lambda place: windows[place].top)
    tops = np.array([windows[place].top for place in order])
    lefts, rights = (np.array([getattr(windows[place], side) for place in order]) for side in ("left", "right"))
    for index, place in enumerate(order):
        window = windows[place]
        end = np.searchsorted(tops, window.bottom + distance, side="right")
        later = slice(index + 1, end)
        beside = (lefts[later] <= window.right + distance) & (rights[later] >= window.left - distance)
        yield from ((place, order[index + 1 + other]) for other in np.flatnonzero(beside))


def _near(one, other, windows, pixels_of, distance):
    """Whether two objects are no further apart; only what lies in both boxes, as wide as that, can tell."""
    boxes = [windows[place] for place in (one, other)]
    reach = distance + 1
    top, left = (max(getattr(box, side) for box in boxes) - reach for side in ("top", "left"))
    bottom, right = (min(getattr(box, side) for box in boxes) + reach for side in ("bottom", "right"))
    if bottom <= top or right <= left:
        return False
    common = Window(top, left, bottom - top, right - left)
    first, second = (_drawn(pixels_of(place), windows[place], common) for place in (one, other))
    if not first.any() or not second.any():
        return False
    away = cv2.distanceTransform((~first).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return bool(away[second].min() <= reach)


def _drawn(pixels, window, common):
    """Gives the pixels of an object within another window, bool `(height, width)` of that."""
    drawn = np.zeros((common.height, common.width), bool)
    top, left = max(window.top, common.top), max(window.left, common.left)
    bottom, right = min(window.bottom, common.bottom), min(window.right, common.right)
    if top < bottom and left < right:
        part = Window(top, left, bottom - top, right - left)
        drawn[part.within(common).slices] = pixels[part.within(window).slices]
    return drawn
