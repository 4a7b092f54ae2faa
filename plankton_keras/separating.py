"""Touching animals cut apart: the mask of an object to the masks of its parts.

Where two animals touch, the outline has two notches that face each other, and the straight line between them, the neck,
is short beside both animals. Legs, antennae and tails have such necks too, so each possible cut gets a score of seven
measures of shape, and only the sure ones are made. Nothing but the mask is looked at.
"""

import itertools

import cv2
import numpy as np

# An outline of more points is thinned out, so that large objects are judged at a lower resolution.
MOST_POINTS = 1200
# Notches beyond these are left out, the flattest first.
MOST_NOTCHES = 48
# Turn of the outline, in radians, from which on a place is a notch.
NOTCH = 0.35
# Parts are at least so large, in pixels and as a share of the object.
SMALLEST_PART, SMALLEST_SHARE = 60, 0.02
# What would fall into more parts is a chain or a colony, and stays whole.
MOST_PARTS = 4
# Cuts of the shortest necks beside the root of their smaller parts' areas: how many are measured, and get a score.
MEASURED, SCORED = 24, 3

# Weights of the measures of `cuts`: a logistic regression on drawn objects and real vignettes, alone and in touching
# pairs (docs/experiments.md).
WEIGHTS = np.array([-1.56, -0.72, 0.73, 0.55, 3.39, -1.32, -2.86])
# The weighted sum from which on a cut is made, and how much more each further cut of the same object needs.
LEAST, MORE = 2.55, 1.5


def separate(mask):
    """Cuts an object into the animals that it may consist of; most objects are one.

    Args:
        mask: bool `(height, width)`, the pixels of one object, 8-connected.

    Returns:
        A list of bool arrays of that shape, in the order of their first pixels: disjoint, each 8-connected, together
        the mask. One if there is nothing to cut.

    Example, two discs that overlap by two pixels, and a rod:

    >>> pair = np.zeros((41, 80), np.uint8)
    >>> for x in (20, 59):
    ...     _ = cv2.circle(pair, (x, 20), 20, 1, -1)
    >>> [int(part.any(axis=0).sum()) for part in separate(pair > 0)]
    [40, 40]
    >>> len(separate(np.ones((8, 120), bool)))
    1
    """
    parts = _cut(mask, 0)
    if len(parts) > MOST_PARTS:
        return [mask]
    return parts if len(parts) < 3 else _cut(mask, MORE)


def _cut(mask, more):
    """Cuts until no cut is sure enough; each that is made makes the next need so much more of a score."""
    parts, whole, least = [], [mask], LEAST
    while whole:
        piece = whole.pop(0)
        halves = _halves(piece, least)
        if halves:
            whole += halves
            least += more
        else:
            parts.append(piece)
    return sorted(parts, key=lambda part: int(part.ravel().argmax()))


def _halves(mask, least):
    """Gives the two masks of the best cut, or None."""
    outline, step = _outline(mask)
    if len(outline) < 24:
        return None
    first, second, measures = cuts(_smoothed(outline, step)[::step] / step)
    scores = measures @ WEIGHTS
    if scores.max(initial=least) <= least:
        return None
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), [outline], -1, 1, -1)
    lines = zip(first * step, second * step, scores, measures[:, 0], strict=True)
    within = (line for line in sorted(lines, key=lambda line: line[3]) if _inside(filled, *outline[[*line[:2]]]))
    for start, end, score, _ in sorted(itertools.islice(within, SCORED), key=lambda line: -line[2]):
        halves = _apart(mask, outline[start : end + 1]) if score > least else None
        if halves:
            return halves
    return None


def _outline(mask):
    """Gives the outer outline as int32 `(points, 2)`, x and y, and each how many-th point is to be looked at."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = found[0][:, 0]
    if cv2.contourArea(outline, oriented=True) < 0:
        outline = outline[::-1]
    return outline, -(-len(outline) // MOST_POINTS)


def _smoothed(outline, sigma):
    """Smooths a closed outline along itself, so that the steps between pixels are no notches."""
    reach = 3 * sigma
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    wrapped = np.pad(outline.astype(float), ((reach, reach), (0, 0)), mode="wrap")
    return np.stack([np.convolve(column, weights / weights.sum(), "valid") for column in wrapped.T], axis=1)


def cuts(points):
    """Measures the likeliest cuts between two notches of an outline.

    Args:
        points: float `(points, 2)`, x and y, with the object to the same side as `cv2.contourArea` takes for positive.

    Returns:
        `(first, second, measures)`: indices of the two ends, first < second, and float `(cuts, 7)`: log of the neck by
        the root of the smaller part's area; log of it by the mean width of the smaller and of the larger part; sum of
        the turns of both notches in radians; roundness of the larger part, 4 pi area / perimeter^2; solidity of the
        whole; share of the outline that is notched.
    """
    turns, sides = _turns(points), _Sides(points)
    notches = _notches(turns, len(points))
    first, second = (notches[each] for each in np.triu_indices(len(notches), 1))
    neck, small, _, way, rest = sides.of(first, second)
    kept = np.flatnonzero((small > SMALLEST_SHARE * sides.area) & (small > 1) & (np.minimum(way, rest) > 2 * neck))
    kept = kept[np.argsort(neck[kept] ** 2 / small[kept], kind="stable")[:MEASURED]]
    first, second = _shortest(points, first[kept], second[kept])
    neck, small, large, way, rest = sides.of(first, second)
    hull = cv2.contourArea(cv2.convexHull(points.astype(np.float32)))
    measures = [
        np.log(neck / np.sqrt(small)),
        np.log(neck * (way + neck) / (4 * small)),
        np.log(neck * (rest + neck) / (4 * large)),
        turns[first] + turns[second],
        4 * np.pi * large / (rest + neck) ** 2,
        np.full(len(first), sides.area) / hull,
        np.full(len(first), (turns > NOTCH).mean()),
    ]
    return first, second, np.stack(measures, axis=1)


class _Sides:
    """What a straight line between two points of an outline leaves on either side."""

    def __init__(self, points):
        after = np.roll(points, -1, axis=0)
        self.points = points
        self._swept = np.append(0, np.cumsum(points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]))
        self._walked = np.append(0, np.cumsum(np.hypot(*(after - points).T)))
        self.area = self._swept[-1] / 2

    def of(self, first, second):
        """Gives length of the line, areas of the smaller and the larger side, and the ways around them without it."""
        (x1, y1), (x2, y2) = self.points[first].T, self.points[second].T
        one = (self._swept[second] - self._swept[first] + x2 * y1 - y2 * x1) / 2
        way = self._walked[second] - self._walked[first]
        swap = one > self.area - one
        small = np.maximum(np.where(swap, self.area - one, one), 1e-9)
        way = np.where(swap, self._walked[-1] - way, way)
        # A pixel more, since the ends are middles of pixels.
        return np.hypot(x1 - x2, y1 - y2) + 1, small, self.area - small, way, self._walked[-1] - way


def _shortest(points, first, second):
    """Moves both ends of lines along the outline by a few points, to where they are shortest; gives each line once."""
    near = np.arange(-_near(len(points)), _near(len(points)) + 1)
    ones, others = (((ends[:, None] + near) % len(points)) for ends in (first, second))
    gaps = ((points[ones][:, :, None] - points[others][:, None]) ** 2).sum(axis=3)
    gaps[ones[:, :, None] == others[:, None]] = np.inf
    rows, columns = np.divmod(gaps.reshape(len(first), len(near) ** 2).argmin(axis=1), len(near))
    lines = np.sort(
        [np.take_along_axis(ends, at[:, None], 1)[:, 0] for ends, at in ((ones, rows), (others, columns))], 0
    )
    return np.unique(lines, axis=1)


def _reach(count):
    """Gives over how many points of an outline its turn is measured."""
    return int(np.clip(count / 50, 4, 14))


def _near(count):
    """Gives how many points of an outline belong to the same place."""
    return max(2, _reach(count) // 2)


def _turns(points):
    """Gives by how much an outline turns to the outside at each point, in radians."""
    reach = _reach(len(points))
    come = points - np.roll(points, reach, axis=0)
    go = np.roll(points, -reach, axis=0) - points
    return -np.arctan2(come[:, 0] * go[:, 1] - come[:, 1] * go[:, 0], (come * go).sum(axis=1))


def _notches(turns, count):
    """Gives the indices of the sharpest places of an outline that turn to the outside."""
    near = _near(count)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(turns, near, mode="wrap"), 2 * near + 1).max(axis=1)
    notches = np.flatnonzero((turns >= around) & (turns > NOTCH))
    return np.sort(notches[np.argsort(-turns[notches], kind="stable")[:MOST_NOTCHES]])


def _inside(filled, start, end):
    """Whether the straight line between two pixels lies inside the object."""
    count = int(np.hypot(*(end - start))) + 2
    columns, rows = np.rint(np.linspace(start, end, count)).astype(int).T
    return filled[rows, columns].all()


def _apart(mask, outline):
    """Gives what is inside a piece of the outline that a line closes, and the rest; None if one falls to pieces."""
    side = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [outline], 1) > 0
    halves = [mask & side, mask & ~side]
    for place in (0, 1):
        # Crumbs beyond the line belong to the other half.
        whole = _largest(halves[place])
        halves[1 - place] |= halves[place] & ~whole
        halves[place] = whole
    if min(np.count_nonzero(half) for half in halves) < SMALLEST_PART:
        return None
    return halves if np.array_equal(_largest(halves[0]), halves[0]) else None


def _largest(mask):
    """Gives the largest 8-connected piece."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if len(stats) > 1 else mask
