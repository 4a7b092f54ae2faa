"""Class maps to objects, joined across bands of rows: the same objects as one pass over the whole map would give.

8-connected. Labels are int32 everywhere.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plankton_keras.threads import in_order


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


@dataclass(frozen=True)
class LabelledBand:
    """The objects of one band of rows, labelled by itself.

    Attributes:
        height: Number of rows.
        ends: int32 `(2, width)`, labels of the first and the last row, 0 outside objects.
        boxes: int32 `(objects, 4)` in pixels of the band.
        areas: int64, pixels.
        sums: float64, sum of the probabilities, 255 for 1.
        votes: int64 `(objects, classes)`, pixels of each class.
        firsts: int64, index of the object's first pixel in the flat band.
    """

    height: int
    ends: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    sums: np.ndarray
    votes: np.ndarray
    firsts: np.ndarray


def label_band(classes, probability=None, num_classes=2):
    """Labels the foreground of one band; depends on nothing else, so that bands can be labelled side by side.

    Args:
        classes: uint8 `(height, width)`, class indices.
        probability: uint8 `(height, width)` with 255 for 1, or None for ones.
        num_classes: Number of classes, class 0 included.

    Returns:
        `(band, labels)`: the `LabelledBand`, and int32 `(height, width)`, labels from 1, 0 outside objects.
    """
    count, labels, stats, _ = components(classes)
    inside = np.flatnonzero(classes)
    local = labels.ravel()[inside]
    # Written from the last pixel to the first, so that the first of each label stays.
    first = np.empty(count, np.int64)
    first[local[::-1]] = inside[::-1]
    weights = probability.ravel()[inside] if probability is not None else np.full(len(inside), 255, np.uint8)
    votes = np.bincount(local * num_classes + classes.ravel()[inside], minlength=count * num_classes)
    left, top, width, height, area = stats[1:].T
    band = LabelledBand(
        height=len(labels),
        ends=labels[[0, -1]],
        boxes=np.stack([top, left, top + height, left + width], axis=1),
        areas=area.astype(np.int64),
        sums=np.bincount(local, weights, minlength=count)[1:],
        votes=votes.reshape(count, num_classes)[1:],
        firsts=first[1:],
    )
    return band, labels


class BandLabeler:
    """Joins the labels of bands of rows, which come from top to bottom.

    A label of a band plus the number that `add` gives for it is provisional: two of them may turn out to be one object
    further down. `finish` tells which.

    Args:
        num_classes: Number of classes, class 0 included.

    Example, where the two arms of a U join in the second band:

    >>> labeler = BandLabeler(num_classes=2)
    >>> [labeler.add(label_band(np.array([row], np.uint8))[0]) for row in ([1, 0, 1], [1, 1, 1])]
    [0, 2]
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

    def add(self, band):
        """Joins the next band.

        Args:
            band: A `LabelledBand`.

        Returns:
            The number to add to its labels.
        """
        before = self.count
        self._firsts.append(band.firsts + self.top * band.ends.shape[1])
        self._sums.append(band.sums)
        self._votes.append(band.votes)
        self._boxes.append(band.boxes + np.array([self.top, 0, self.top, 0]))
        self._areas.append(band.areas)
        first_row, last_row = (np.where(row > 0, row + before, 0) for row in band.ends)
        if self._last_row is not None:
            self._pairs.extend(_touching(self._last_row, first_row))
        self._last_row = last_row
        self.count += len(band.areas)
        self.top += band.height
        return before

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
        bands: List of `(top, bottom, before)`: the bands that were labelled, and what `BandLabeler.add` gave for them.
    """

    def erase_band(band):
        top, bottom, before = band
        # The same band gives the same labels again, so that none has to be stored.
        count, labels, _, _ = components(np.asarray(classes[top:bottom]))
        kept = final[before : before + count] > 0
        kept[0] = False
        classes[top:bottom][~kept[labels]] = 0

    for _ in in_order(erase_band, bands):
        pass
