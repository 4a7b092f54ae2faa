"""What needs no training, beside which every score stands: the plain threshold, all ground, all living."""

import numpy as np

from plankton_keras.candidates import bands_of, find_candidates
from plankton_keras.counting import Counts, scan_entry
from plankton_keras.shift import look
from plankton_keras.spreads import intervals
from plankton_keras.tiles import Window


def count_baseline(candidates, read_truth):
    """Counts the pixels of the plain threshold: all candidates, living or not. Objects are not compared.

    Args:
        candidates: The `candidates.Candidates` of the scan.
        read_truth: Function of a `Window` to uint8 class indices.

    Returns:
        `Counts` of two classes: 0, and everything else.
    """

    def count(top, bottom, places, _):
        truth = (read_truth(Window(top, 0, bottom - top, candidates.dark.shape[1])) > 0).astype(np.uint8)
        inside = np.bincount(truth.ravel()[places], minlength=2)
        everything = np.array([truth.size - np.count_nonzero(truth), np.count_nonzero(truth)])
        return np.stack([everything - inside, inside], axis=1)

    confusion = sum(candidates.over_bands(count))
    histogram = np.zeros((2, 256), np.int64)
    histogram[:, [0, 255]] = confusion
    return Counts(confusion, histogram)


def score_baselines(truths, target):
    """Scores what needs no training: the plain threshold, and calling everything ground, or everything living.

    Args:
        truths: List of `truths.Truth`.
        target: The `taxa.Target` that says what is foreground.

    Returns:
        `(baselines, looks)`: by name a dictionary of `pixel, intervals, scans`; and of each scan a `shift.look`.
    """
    counted, seen = {name: [] for name in ("threshold", "all ground", "all living")}, []
    for truth in truths:
        with truth.opened(target) as (scan, read_truth):
            candidates = find_candidates(scan, bands_of(scan.height))
            counts = count_baseline(candidates, read_truth)
        seen.append(look(candidates))
        ground, living = counts.confusion.sum(axis=1)
        counted["threshold"].append(counts)
        for name, confusion in (("all ground", [[ground, 0], [living, 0]]), ("all living", [[0, ground], [0, living]])):
            counted[name].append(Counts(np.array(confusion), counts.histogram))
    baselines = {
        name: {
            "pixel": Counts.join(counts).pixel_scores(),
            "intervals": intervals(counts),
            "scans": [scan_entry(truth.stem, each) for truth, each in zip(truths, counts, strict=True)],
        }
        for name, counts in counted.items()
    }
    return baselines, seen
