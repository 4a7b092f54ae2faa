"""What evidence weighs, the threshold of a run and where its objects end: fitted on validation scans alone."""

from dataclasses import replace

import numpy as np

from plankton_keras.candidates import STEPS

# What F1 on the validation scans a part has to bring to be kept: less is chance.
WORTH = 0.002
# Every pixel of a candidate says nearly the same as its neighbours: one in STEP rows and columns is enough to fit.
STEP = 3


def fit_weights(scans, weights):
    """Fits the weights of pixel and object on validation scans, in two ways.

    Pixel by pixel the network draws the boundary, as hand-drawn masks want it. Candidate by candidate, each weighing as
    the root of its area, an object is found whole or not at all, as masks want it that were drawn by a threshold.

    Args:
        scans: List of `(evidence, classes, probability, truth)`: `Evidence`, the network's uint8 maps, and uint8 class
            indices.
        weights: The `Weights` that say what a candidate is.

    Returns:
        A list of `Weights`, empty if the candidates of the scans are not of two kinds.
    """
    pixels = _fit(*(np.concatenate(column) for column in zip(*map(_pixels_of, scans), strict=True)))
    wholes = _fit(*(np.concatenate(column) for column in zip(*map(_wholes_of, scans), strict=True)))
    found = []
    if pixels:
        (pixel, mean, whole), bias = pixels
        found.append(replace(weights, pixel=pixel, mean=mean, object=whole, bias=bias))
    if wholes:
        (mean, whole), bias = wholes
        found.append(replace(weights, pixel=0.0, mean=mean, object=whole, bias=bias))
    return found


def _pixels_of(scan):
    """Gives evidence, truth and weight of one in some candidate pixels of a scan."""
    evidence, _, probability, truth = scan
    cut = evidence.cut

    def of_band(top, bottom, places, labels, rows):
        row, column = np.divmod(places, truth.shape[1])
        chosen = (row % STEP == 0) & (column % STEP == 0) & ~cut[labels]
        return rows[chosen], truth[top:bottom].ravel()[places[chosen]] > 0

    features, living = map(np.concatenate, zip(*evidence.over_bands(probability, of_band), strict=True))
    return features, living, np.ones(len(living))


def _wholes_of(scan):
    """Gives evidence, truth and weight of each candidate of a scan."""
    evidence, _, probability, truth = scan
    size = len(evidence.judged) + 1

    def count(top, bottom, places, labels):
        return np.bincount(labels[truth[top:bottom].ravel()[places] > 0], minlength=size)

    living = sum(evidence.candidates.over_bands(count))
    areas, kept = np.concatenate([[0], evidence.candidates.objects.areas]), ~evidence.cut
    kept[0] = False
    features = np.stack(evidence.over_candidates(probability), axis=1)
    return features[kept], (2 * living > areas)[kept], np.sqrt(areas[kept])


def _fit(features, living, weight):
    """Fits a logistic regression; gives `(coefficients, intercept)`, or None where all are of one kind."""
    from sklearn.linear_model import LogisticRegression

    if living.all() or not living.any():
        return None
    model = LogisticRegression(C=100.0).fit(features, living, sample_weight=weight)
    return model.coef_[0].tolist(), float(model.intercept_[0])


def best_threshold(maps):
    """Finds the threshold with the best F1 over whole scans.

    Args:
        maps: Iterable of `(probability, truth)`: uint8 with 255 for 1, and uint8 class indices.

    Returns:
        `(f1, threshold)`, both 0..1; of equal ones the lowest, and a half where none finds anything that is there.

    Example:

    >>> best_threshold([(np.array([[10, 200, 90]], np.uint8), np.array([[0, 1, 1]], np.uint8))])
    (1.0, 0.043137254901960784)
    """
    (f1,) = _f1_of_cuts(((*both, np.zeros_like(both[0])) for both in maps), levels=1)
    best = int(f1[1:].argmax()) + 1
    # Where nothing is to be found, the lowest would have every pixel found.
    return (float(f1[best]), best / 255) if f1[best] > 0 else (0.0, 0.5)


def best_edge(maps):
    """Finds threshold and edge with the best F1 over whole scans.

    A mask that was drawn by a threshold ends at a gray level of its own, which is hardly that of the candidates.

    Args:
        maps: Iterable of `(probability, truth, dark)`: as for `best_threshold`, and uint8 as `LocalGround.dark` gives.

    Returns:
        `(f1, threshold, edge)`: the edge as for `fusion.Weights`, or None where none brings as much as `WORTH`.
    """
    f1 = _f1_of_cuts(maps, levels=STEPS // 4)[:, 1:]
    level = int(f1.max(axis=1).argmax())
    if f1[level].max() <= f1[0].max() + WORTH:
        level = 0
    best = int(f1[level].argmax())
    return float(f1[level, best]), (best + 1) / 255, 1 - level / STEPS if level else None


def _f1_of_cuts(maps, levels):
    """Gives the F1 of all pixels that are at least so dark and so probable: `(levels, 256)`."""
    counts = np.zeros((2, levels, 256))
    for probability, truth, dark in maps:
        for row in range(0, len(truth), 1024):
            band = slice(row, row + 1024)
            place = (truth[band] > 0) * levels + np.minimum(dark[band], levels - 1).astype(np.int64)
            flat = place * 256 + probability[band]
            counts += np.bincount(flat.ravel(), minlength=counts.size).reshape(counts.shape)
    false, found = counts[:, ::-1, ::-1].cumsum(axis=1).cumsum(axis=2)[:, ::-1, ::-1]
    return 2 * found / np.maximum(found + false + counts[1].sum(), 1)
