"""What is counted of a predicted scan and its truth, and adds up over scans; and the scores that follow from it.

Foreground is every class but 0.
"""

from dataclasses import dataclass

import numpy as np

from plankton_keras.curves import histogram_of
from plankton_keras.matching import Matching, match, share
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.shift import confidence
from plankton_keras.threads import in_order
from plankton_keras.tiles import Window

BAND = 512


def scores_of_counts(found, false, missed, true_negative=0):
    """Gives the scores that follow from four counts, which may be numbers or arrays.

    Args:
        found: True positives.
        false: False positives.
        missed: False negatives.
        true_negative: True negatives.

    Returns:
        A dictionary of `accuracy, balanced_accuracy, precision, recall, f1, iou`, each 0..1; nothing out of nothing is
        0.

    Example, with precision 6/8 and recall 6/9:

    >>> {name: round(score, 3) for name, score in scores_of_counts(6, 2, 3, 9).items()}
    {'accuracy': 0.75, 'balanced_accuracy': 0.742, 'precision': 0.75, 'recall': 0.667, 'f1': 0.706, 'iou': 0.545}
    """
    found, false, missed, true_negative = (
        np.asarray(each, np.float64) for each in (found, false, missed, true_negative)
    )
    recall, specificity = share(found, found + missed), share(true_negative, false + true_negative)
    return {
        "accuracy": share(found + true_negative, found + false + missed + true_negative),
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": share(found, found + false),
        "recall": recall,
        "f1": share(2 * found, 2 * found + false + missed),
        "iou": share(found, found + false + missed),
    }


@dataclass(frozen=True)
class Counts:
    """What is counted of one or more scans.

    Attributes:
        confusion: int64 `(classes, classes)`: pixels by true and predicted class.
        histogram: int64 `(2, 256)`: pixels by truth and by probability of the foreground in 1/255.
        objects: The `matching.Matching`, or None where objects are not compared.
    """

    confusion: np.ndarray
    histogram: np.ndarray
    objects: Matching | None = None

    @classmethod
    def join(cls, counts):
        """Adds the counts of several scans."""
        return cls(
            sum(each.confusion for each in counts),
            sum(each.histogram for each in counts),
            Matching.join([each.objects for each in counts]) if counts[0].objects else None,
        )

    def foreground(self):
        """Gives the pixels of the foreground that are found, false and missed, whichever class, and the others."""
        confusion = self.confusion
        found, false, missed = confusion[1:, 1:].sum(), confusion[0, 1:].sum(), confusion[1:, 0].sum()
        return int(found), int(false), int(missed), int(confusion[0, 0])

    def pixel_scores(self):
        """Gives the scores of the foreground against class 0."""
        return scores_of_counts(*self.foreground())

    def class_scores(self, names):
        """Gives the scores of each class against all others, and its true pixels as `support`, by name."""
        result = {}
        for index, name in enumerate(names):
            found, support = int(self.confusion[index, index]), int(self.confusion[index].sum())
            false, missed = int(self.confusion[:, index].sum()) - found, support - found
            scores = scores_of_counts(found, false, missed, int(self.confusion.sum()) - found - false - missed)
            result[name] = {**scores, "support": support}
        return result

    def amounts(self, names):
        """Gives numbers of objects and of pixels by class but the first, and how far the predicted ones are off."""
        result, objects = {}, self.objects.numbers(len(names))
        pixels = self.confusion.sum(axis=1).tolist(), self.confusion.sum(axis=0).tolist()
        for index, name in enumerate(names[1:], start=1):
            result[name] = {}
            for what, error, (true, predicted) in (
                ("objects", "count_error", objects),
                ("pixels", "area_error", pixels),
            ):
                off = predicted[index] / true[index] - 1 if true[index] else None
                result[name] |= {f"true_{what}": true[index], f"predicted_{what}": predicted[index], error: off}
        return result


def count_pixels(truth, classes, num_classes):
    """Counts pixels by true and predicted class.

    Args:
        truth: uint8 array of class indices.
        classes: uint8 array of the same shape.
        num_classes: Number of classes.

    Returns:
        int64 `(classes, classes)`.

    Example:

    >>> count_pixels(np.array([0, 1, 1], np.uint8), np.array([0, 0, 1], np.uint8), 2).tolist()
    [[1, 0], [1, 1]]
    """
    pairs = truth.astype(np.int64).ravel() * num_classes + classes.ravel()
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def count_scan(read_truth, prediction, num_classes, pixel_mm=None):
    """Compares a predicted scan with its truth, band by band.

    Args:
        read_truth: Function of a `Window` to uint8 class indices.
        prediction: A `prediction.ScanPrediction`.
        num_classes: Number of classes.
        pixel_mm: Side of a pixel in mm, or None.

    Returns:
        The scan's `Counts`.
    """
    height, width = prediction.classes.shape

    def compare(top):
        window = Window(top, 0, min(BAND, height - top), width)
        truth, classes = read_truth(window), np.asarray(prediction.classes[window.slices])
        probability = np.asarray(prediction.probability[window.slices])
        true_band, true_labels = label_band(truth, num_classes=num_classes)
        band, labels = label_band(classes, probability, num_classes)
        # Few pixels are anything but ground in all three.
        places = np.flatnonzero(truth | classes | probability)
        true, found, likely, true_label, label = (
            each.ravel()[places] for each in (truth, classes, probability, true_labels, labels)
        )
        confusion = count_pixels(true, found, num_classes)
        histogram = histogram_of(true, likely)
        confusion[0, 0] += truth.size - len(places)
        histogram[0, 0] += truth.size - len(places)
        both = (true_label > 0) & (label > 0)
        size = len(band.areas) + 1
        pairs, pixels = np.unique(true_label[both].astype(np.int64) * size + label[both], return_counts=True)
        return true_band, band, confusion, histogram, np.stack([*np.divmod(pairs, size), pixels])

    true_labeler, labeler, counted, overlaps = BandLabeler(num_classes), BandLabeler(num_classes), [], []
    for true_band, band, *counts, shared in in_order(compare, range(0, height, BAND)):
        counted.append(counts)
        overlaps.append(shared + np.array([[true_labeler.add(true_band)], [labeler.add(band)], [0]]))
    confusion, histogram = map(sum, zip(*counted, strict=True))
    (true_objects, true_final), (objects, final) = true_labeler.finish(), labeler.finish()
    true_label, label, pixels = np.concatenate(overlaps, axis=1)
    shared = np.stack([true_final[true_label], final[label], pixels]).astype(np.int64)
    return Counts(confusion, histogram, match(true_objects, objects, shared, pixel_mm))


def scan_entry(stem, counts):
    """Gives the scores of a scan, the counts that they come from and how sure the model is, as metrics.json has them.

    Args:
        stem: Name of the scan.
        counts: Its `counting.Counts`.
    """
    return {
        "scan": stem,
        "pixel": counts.pixel_scores(),
        "counts": dict(zip(("found", "false", "missed"), counts.foreground(), strict=False)),
        "confidence": confidence(counts.histogram),
    }
