"""Objects cut in two by a line that a person draws, and joined: masks only."""

import cv2
import numpy as np

from plankton_keras.objects import components
from plankton_keras.serve.refusing import Refused
from plankton_keras.tiles import Window

# Pieces of fewer pixels are splinters along the line and go to the piece beside them.
SPLINTER = 10
# Pixels of the largest box that is cut or joined: its maps take some hundred megabytes.
MAX_BOX = 2**26
MAX_POINTS = 1000
# Neighbours of a pixel, those that share a side first.
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def split(window, mask, line):
    """Cuts an object along a line.

    Args:
        window: The `tiles.Window` of its box.
        mask: bool `(height, width)`, its pixels.
        line: List of `[x, y]` in pixels of the scan, two or more.

    Returns:
        A list of `(window, mask)`, two or more, the largest first; every pixel of the object is in one of them.

    Raises:
        Refused: If the line does not cut the object, or the object is too large.

    Example:

    >>> parts = split(Window(0, 0, 4, 9), np.ones((4, 9), bool), [[3, -1], [3, 5]])
    >>> [(part.left, part.width, int(mask.sum())) for part, mask in parts]
    [(4, 5, 20), (0, 4, 16)]
    """
    check_box(window)
    drawn = np.zeros(mask.shape, np.uint8)
    corner = np.array([window.left, window.top])
    points = np.rint(np.asarray(line, np.float64) - corner).clip(-(2**20), 2**20).astype(np.int32)
    # Neighbours of such a line share a side, so that nothing slips through between the corners of two of its pixels.
    cv2.polylines(drawn, [points], isClosed=False, color=1, lineType=cv2.LINE_4)
    before = components(mask)[0]
    count, labels, stats, _ = components(mask & (drawn == 0))
    kept = stats[:, cv2.CC_STAT_AREA] >= SPLINTER
    kept[0] = False
    if count <= before or kept.sum() < 2:
        raise Refused(
            400,
            "The line does not cut the object in two.",
            f"a line that crosses it from side to side, and pieces of {SPLINTER} pixels or more.",
            "draw it from outside of the object to outside of it.",
        )
    labels = _given_away(np.where(kept[labels], labels, 0), mask)
    parts = [_cut_out(window, labels == label) for label in np.flatnonzero(kept)]
    return sorted(parts, key=lambda part: -int(part[1].sum()))


def _given_away(labels, mask):
    """Gives pixels of the mask without a label that of the nearest piece, ring by ring."""
    padded = np.pad(labels, 1)
    places = np.argwhere(mask & (labels == 0)) + 1
    while len(places):
        found = np.zeros(len(places), padded.dtype)
        for down, right in NEIGHBOURS:
            found = np.where(found > 0, found, padded[places[:, 0] + down, places[:, 1] + right])
        reached = found > 0
        if not reached.any():
            # A part of an object of several parts that is too small to stand alone: to the first piece.
            found, reached = np.full(len(places), labels[labels > 0].min()), np.ones(len(places), bool)
        padded[tuple(places[reached].T)] = found[reached]
        places = places[~reached]
    return padded[1:-1, 1:-1]


def _cut_out(window, mask):
    """Gives the box and the mask of a part."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    inner = Window(top, left, height, width)
    return Window(window.top + top, window.left + left, height, width), mask[inner.slices].copy()


def merge(pieces):
    """Joins objects, which need not touch.

    Args:
        pieces: List of `(window, mask)`.

    Returns:
        `(window, mask)`.

    Raises:
        Refused: If they are too far apart.

    Example:

    >>> one = np.ones((1, 1), bool)
    >>> merge([(Window(5, 5, 1, 1), one), (Window(5, 8, 1, 1), one)])
    (Window(top=5, left=5, height=1, width=4), array([[ True, False, False,  True]]))
    """
    windows = [window for window, _ in pieces]
    top, left = min(each.top for each in windows), min(each.left for each in windows)
    bottom, right = max(each.bottom for each in windows), max(each.right for each in windows)
    joined = Window(top, left, bottom - top, right - left)
    check_box(joined)
    mask = np.zeros((joined.height, joined.width), bool)
    for window, own in pieces:
        mask[window.within(joined).slices] |= own
    return joined, mask


def check_box(window):
    """Refuses a box that is too large to be worked on."""
    if window.height * window.width > MAX_BOX:
        raise Refused(
            400,
            f"A box of {window.width} x {window.height} pixels is too large to be corrected.",
            f"at most {MAX_BOX} pixels.",
            "delete the object, or choose objects that are nearer to each other.",
        )
