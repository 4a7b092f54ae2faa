"""Curves and calibration, from counts of pixels by probability.

All take `histogram`: `(2, 256)`, numbers of pixels by truth (0 not looked for, 1 looked for) and probability in 1/255.
"""

import numpy as np

from plankton_keras.matching import share

LEVELS = np.arange(256) / 255
BINS = 10


def cut(histogram):
    """Counts pixels at each threshold.

    Args:
        histogram: As above.

    Returns:
        `(found, false, missed)`, each `(256,)`, by the lowest probability that counts as found, in 1/255.
    """
    false, found = np.cumsum(np.asarray(histogram)[:, ::-1], axis=1)[:, ::-1]
    return found, false, found[0] - found


def threshold_curves(histogram):
    """Gives the scores at each threshold.

    Args:
        histogram: As above.

    Returns:
        A dictionary of lists `threshold, precision, recall, f1`, thresholds from 1/255 to 1. Where nothing counts as
        found there is no precision: None.

    Example, where 3 of 4 pixels are found at any threshold and one false pixel at 1/255 alone:

    >>> histogram = np.zeros((2, 256))
    >>> histogram[1, 0], histogram[1, 255], histogram[0, 1] = 1, 3, 1
    >>> curves = threshold_curves(histogram)
    >>> [round(curves[name][0], 3) for name in ("threshold", "precision", "recall", "f1")], curves["precision"][1]
    ([0.004, 0.75, 0.75, 0.75], 1.0)
    """
    found, false, missed = (counts[1:] for counts in cut(histogram))
    columns = {
        "threshold": LEVELS[1:],
        "precision": share(found, found + false),
        "recall": share(found, found + missed),
        "f1": share(2 * found, 2 * found + false + missed),
    }
    curves = {name: column.round(4).tolist() for name, column in columns.items()}
    some = found + false > 0
    curves["precision"] = [
        value if any_found else None for value, any_found in zip(curves["precision"], some, strict=True)
    ]
    return curves


def calibration(histogram):
    """Tells how far probabilities are what they say, over the pixels with a probability above 0.

    Bare ground, most of a scan, has probability 0 rightly; with it every figure would be good.

    Args:
        histogram: As above.

    Returns:
        A dictionary of `ece`, the expected calibration error (Guo et al. 2017, arXiv 1706.04599); `brier`, the mean
        squared error (Brier 1950); and `bins`: `low` and `high`, mean predicted `confidence` and `share` that is looked
        for, None where there are no `pixels`.

    Example, where pixels of probability 1 are right in one of two cases:

    >>> histogram = np.zeros((2, 256))
    >>> histogram[:, 255] = 5
    >>> found = calibration(histogram)
    >>> found["ece"], found["brier"], found["bins"][-1]["share"]
    (0.5, 0.5, 0.5)
    """
    histogram = np.asarray(histogram, np.float64).copy()
    histogram[:, 0] = 0
    places = np.minimum((LEVELS * BINS).astype(int), BINS - 1)
    pixels, looked_for, confidence = (
        np.bincount(places, weights, BINS) for weights in (histogram.sum(0), histogram[1], histogram.sum(0) * LEVELS)
    )
    bins = []
    for place in range(BINS):
        means = (None, None)
        if pixels[place]:
            means = float(confidence[place] / pixels[place]), float(looked_for[place] / pixels[place])
        ends = {"low": place / BINS, "high": (place + 1) / BINS}
        bins.append({**ends, "confidence": means[0], "share": means[1], "pixels": int(pixels[place])})
    errors = (histogram * np.stack([LEVELS**2, (1 - LEVELS) ** 2])).sum()
    return {
        "ece": share(np.abs(confidence - looked_for).sum(), pixels.sum()),
        "brier": share(errors, histogram.sum()),
        "bins": bins,
    }


def histogram_of(truth, probability):
    """Counts pixels as this module wants them.

    Args:
        truth: Class indices of any shape; all but 0 are looked for.
        probability: uint8 of that shape, 255 = 1.

    Returns:
        int64 `(2, 256)`.

    Example:

    >>> histogram_of(np.array([0, 3, 1]), np.array([7, 7, 255], np.uint8))[:, [7, 255]].tolist()
    [[1, 0], [1, 1]]
    """
    flat = (np.asarray(truth) > 0).ravel() * 256 + np.asarray(probability).ravel()
    return np.bincount(flat, minlength=512).reshape(2, 256)
