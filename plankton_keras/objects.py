"""Class maps to objects, joined across bands of rows: the same objects as one pass over the whole map would give.

8-connected. Labels are int32 everywhere.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Objects:
    """The objects of a scan, as columns of equal length, in the order of their first pixel.

    Attributes:
        labels: int32, from 1.
        classes: uint8, the class that most of the object's pixels have.
        scores: float32 0..1, mean probability over the object's pixels.
        boxes: int32 `(objects, 4)`: top, left, bottom, right in pixels, the last two exclusive.
        areas: int64, pixels.
    """

    labels: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray

    def __len__(self):
        return len(self.labels)


class BandLabeler:
    """Labels the foreground of a scan that comes in bands of rows, from top to bottom.

    The labels that `add` gives are provisional: two of them may turn out to be one object further down. `finish` tells
    which.

    Args:
        num_classes: Number of classes, class 0 included.

    Example, where the two arms of a U join in the second band:

    >>> labeler = BandLabeler(num_classes=2)
    >>> labeler.add(np.array([[1, 0, 1]], np.uint8)).tolist()
    [[1, 0, 2]]
    >>> labeler.add(np.array([[1, 1, 1]], np.uint8)).tolist()
    [[3, 3, 3]]
    >>> objects, final = labeler.finish()
    >>> final.tolist(), objects.areas.tolist(), objects.boxes.tolist()
    ([0, 1, 1, 1], [5], [[0, 0, 2, 3]])
    """

    def __init__(self, num_classes):
        self.num_classes = num_classes
        self.count = 0
        self.top = 0
        self._last_row = None
        self._pairs = [np.zeros((0, 2), np.int32)]
        self._boxes, self._areas, self._sums, self._votes, self._firsts = [], [], [], [], []

    def add(self, classes, probability=None):
        """Labels the next band.

        Args:
            classes: uint8 `(height, width)`, class indices.
            probability: uint8 `(height, width)` with 255 for 1, or None for ones.

        Returns:
            int32 `(height, width)`: provisional labels, 0 outside objects.
        """
        count, labels, stats, _ = components(classes)
        inside = np.flatnonzero(classes)
        local = labels.ravel()[inside]
        # Written from the last pixel to the first, so that the first of each label stays.
        first = np.empty(count, np.int64)
        first[local[::-1]] = inside[::-1]
        self._firsts.append(first[1:] + self.top * classes.shape[1])
        weights = probability.ravel()[inside] if probability is not None else np.full(len(inside), 255, np.uint8)
        self._sums.append(np.bincount(local, weights, minlength=count)[1:])
        votes = np.bincount(local * self.num_classes + classes.ravel()[inside], minlength=count * self.num_classes)
        self._votes.append(votes.reshape(count, self.num_classes)[1:])
        left, top, width, height, area = stats[1:].T
        self._boxes.append(np.stack([top + self.top, left, top + self.top + height, left + width], axis=1))
        self._areas.append(area.astype(np.int64))
        labels[labels > 0] += self.count
        if self._last_row is not None:
            self._pairs.extend(_touching(self._last_row, labels[0]))
        self._last_row = labels[-1].copy()
        self.count += count - 1
        self.top += len(classes)
        return labels

    def finish(self):
        """Joins what belongs together.

        Returns:
            `(objects, final)`: the `Objects`, and int32 `(provisional labels + 1,)`, the final label of each.
        """
        pairs = np.concatenate(self._pairs)
        links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(self.count + 1,) * 2)
        groups = connected_components(links, directed=False)[1][1:]
        _, inverse = np.unique(groups, return_inverse=True)
        count = int(inverse.max(initial=-1)) + 1
        firsts = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(firsts, inverse, np.concatenate([np.zeros(0, np.int64), *self._firsts]))
        rank = np.empty(count, np.int32)
        rank[np.argsort(firsts)] = np.arange(1, count + 1)
        final = np.concatenate([[0], rank[inverse]]).astype(np.int32)
        return self._gather(final[1:] - 1, count), final

    def _gather(self, index, count):
        """Adds up what the provisional labels of each object have."""
        boxes = np.concatenate([np.zeros((0, 4), np.int32), *self._boxes]).astype(np.int32)
        areas, sums, votes = np.zeros(count, np.int64), np.zeros(count), np.zeros((count, self.num_classes), np.int64)
        joined = np.tile(np.array([2**31 - 1, 2**31 - 1, 0, 0], np.int32), (count, 1))
        if count:
            np.add.at(areas, index, np.concatenate(self._areas))
            np.add.at(sums, index, np.concatenate(self._sums))
            np.add.at(votes, index, np.concatenate(self._votes))
            np.minimum.at(joined[:, :2], index, boxes[:, :2])
            np.maximum.at(joined[:, 2:], index, boxes[:, 2:])
        return Objects(
            labels=np.arange(1, count + 1, dtype=np.int32),
            classes=votes.argmax(axis=1).astype(np.uint8) if count else np.zeros(0, np.uint8),
            scores=(sums / np.maximum(areas, 1) / 255).astype(np.float32),
            boxes=joined,
            areas=areas,
        )


def components(classes):
    """Labels what is not class 0, 8-connected; the same input gives the same labels.

    Args:
        classes: uint8 `(height, width)`.

    Returns:
        `(count, labels, stats, centroids)` as `cv2.connectedComponentsWithStats` gives them.
    """
    return cv2.connectedComponentsWithStats((classes > 0).astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)


def _touching(above, below):
    """Pairs of labels that touch between two rows, also diagonally."""
    pairs = []
    for upper, lower in ((above, below), (above[1:], below[:-1]), (above[:-1], below[1:])):
        both = (upper > 0) & (lower > 0)
        pairs.append(np.unique(np.stack([upper[both], lower[both]], axis=1), axis=0))
    return pairs


def keep_large(objects, final, min_area):
    """Leaves out objects of few pixels and numbers the others anew.

    Args:
        objects: The `Objects` of a scan.
        final: int32, final label by provisional label, as `BandLabeler.finish` gave it.
        min_area: Objects of fewer pixels are left out.

    Returns:
        `(objects, final)` as given, with label 0 for what was left out.
    """
    large = objects.areas >= min_area
    numbers = np.concatenate([[0], np.cumsum(large) * large]).astype(np.int32)
    columns = (objects.classes, objects.scores, objects.boxes, objects.areas)
    return Objects(np.arange(1, large.sum() + 1, dtype=np.int32), *(column[large] for column in columns)), numbers[
        final
    ]


def erase(classes, final, bands):
    """Sets the pixels of left-out objects to class 0.

    Args:
        classes: uint8 `(height, width)` array, changed in place; may be memory-mapped.
        final: int32, final label by provisional label; 0 is erased.
        bands: List of `(top, bottom)`: the bands that were labelled, in order.
    """
    # The same bands give the same provisional labels again, so that none has to be stored.
    before = 0
    for top, bottom in bands:
        band = np.asarray(classes[top:bottom])
        count, labels, _, _ = components(band)
        kept = final[before : before + count].copy()
        kept[0] = 0
        classes[top:bottom][kept[labels] == 0] = 0
        before += count - 1
