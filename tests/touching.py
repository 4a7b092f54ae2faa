"""Draws single animals and pairs that touch, as masks of known parts."""

from collections import namedtuple

import cv2
import numpy as np

from plankton_keras.synthetic import _KINDS, _placeable

KINDS = tuple(kind.taxon.name for kind in _KINDS)
# Objects that lie over one another by so many pixels at most.
DEEPEST = 3

Pair = namedtuple("Pair", "mask first second kinds")


def draw_animal(kind, rng):
    """Draws one object as one piece: bool `(height, width)`, its box."""
    _, truth = _placeable(_KINDS[kind], 4096, rng)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8), connectivity=8)
    label = 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    left, top, width, height = stats[label, :4]
    return labels[top : top + height, left : left + width] == label


def draw_pair(kinds, rng):
    """Slides one object to another until they touch, then 0 to 3 pixels on; the second lies on top.

    Objects are turned at random, so that sliding along rows is sliding in any direction.
    """
    while True:
        first, second = (draw_animal(kind, rng) for kind in kinds)
        height, width = first.shape
        top = int(rng.integers(1 - len(second), height))
        rows = np.arange(max(0, top), min(height, top + len(second)))
        right = width - first[rows, ::-1].argmax(axis=1)
        left = second[rows - top].argmax(axis=1)
        filled = first[rows].any(axis=1) & second[rows - top].any(axis=1)
        if filled.any():
            break
    shift = int((right - left)[filled].max()) - int(rng.integers(0, DEEPEST + 1))
    corner = min(0, top), min(0, shift)
    shape = max(height, top + len(second)) - corner[0], max(width, shift + second.shape[1]) - corner[1]
    parts = np.zeros((2, *shape), bool)
    parts[0, -corner[0] : height - corner[0], -corner[1] : width - corner[1]] = first
    place = top - corner[0], shift - corner[1]
    parts[1, place[0] : place[0] + second.shape[0], place[1] : place[1] + second.shape[1]] = second
    parts[0] &= ~parts[1]
    return Pair(parts.any(axis=0), *parts, tuple(KINDS[kind] for kind in kinds))
