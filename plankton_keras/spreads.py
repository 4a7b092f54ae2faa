"""The intervals of scores, from what was counted of each scan."""

import numpy as np

from plankton_keras.counting import scores_of_counts
from plankton_keras.intervals import ENOUGH, FEW, spread
from plankton_keras.matching import Matching, share

NOTES = {
    FEW: f"Fewer than {FEW} scans: intervals are over their objects, so how other scans would come out is not in them.",
    ENOUGH: f"Fewer than {ENOUGH} scans: intervals are a little too narrow.",
}
# Where there are no objects to draw.
TOO_FEW = f"Fewer than {FEW} scans: intervals are much too narrow."


def intervals(counted):
    """Gives the 95 % intervals of the headline figures.

    Args:
        counted: List of `Counts`, a scan each.

    Returns:
        A dictionary of `pixel` and, where objects are compared, `objects`: `low` and `high` by name of the score;
        `scans`; `unit`, what is drawn in the bootstrap: `scans`, or `objects` where scans are few; and `note`.
    """
    by_scan = len(counted) >= FEW or counted[0].objects is None
    pixels = [each.foreground() for each in counted]
    note = next((text for limit, text in NOTES.items() if len(counted) < limit), None)
    if by_scan and len(counted) < FEW:
        note = TOO_FEW
    found = {"scans": len(counted), "unit": "scans" if by_scan else "objects", "note": note}
    if counted[0].objects:
        matchings = [each.objects for each in counted]
        if by_scan:
            objects = [_object_counts(each).sum(axis=0) for each in matchings]
        else:
            objects = _object_counts(Matching.join(matchings))
            pixels = np.concatenate([_pixel_counts(each) for each in counted])
        found["objects"] = spread(objects, _object_scores)
    return {**found, "pixel": spread(pixels, lambda sums: scores_of_counts(*sums.T))}


def _object_counts(matching):
    """Gives of each true object, then of each false one: matched, true and predicted ones, and the IoU matched.

    A match is one row, true and predicted: drawn apart, more could be matched than was predicted.
    """
    matched, false = matching.true.ious > 0, int((matching.predicted.ious == 0).sum())
    of_true = np.column_stack([matched, np.ones(len(matched)), matched, matching.true.ious])
    return np.concatenate([of_true, np.tile([0.0, 0.0, 1.0, 0.0], (false, 1))])


def _object_scores(sums):
    """Scores of sums of `_object_counts`."""
    matched, true, predicted, iou = sums.T
    return {
        "precision": share(matched, predicted),
        "recall": share(matched, true),
        "f1": share(2 * matched, true + predicted),
        "pq": share(2 * iou, true + predicted),
    }


def _pixel_counts(counts):
    """Gives the pixels found, false, missed and other of each object of a scan; the ground is shared out equally."""
    true, predicted = counts.objects.true, counts.objects.predicted
    of_true = np.stack([true.common, np.zeros(len(true)), true.areas - true.common], axis=1)
    of_predicted = np.stack(
        [np.zeros(len(predicted)), predicted.areas - predicted.common, np.zeros(len(predicted))], axis=1
    )
    rows = np.concatenate([of_true, of_predicted])
    return np.column_stack([rows, np.full(len(rows), counts.confusion[0, 0] / max(1, len(rows)))])
