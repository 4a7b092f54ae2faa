"""Scores of a vignette classifier as plain dictionaries. Macro figures are over the classes that are present."""

import numpy as np

from plankton_keras.intervals import LEAST, TAIL
from plankton_keras.matching import share

TOP = 3
# Bins of confidence.
BINS = 10


def score_vignettes(probabilities, labels, names, living=None, living_share=0.5):
    """Scores predicted classes.

    Args:
        probabilities: float32 `(count, classes)`, sums to 1 over the classes.
        labels: int `(count,)`, true class indices.
        names: Class names by index.
        living: Whether each class is alive, by name, or None.
        living_share: A vignette is called living if that is likelier than this: the share of the living in training,
            since both errors weigh the same in balanced accuracy.

    Returns:
        The `evaluate` object of design/cli.md for a classifier, with `confusion` (rows true, columns predicted);
        `intervals`, 95 % of bootstraps over the vignettes; `ece`, the expected calibration error of the likeliest class
        (Guo et al. 2017, arXiv 1706.04599); and, where `living` is given, `living_balanced_accuracy` of living against
        not.

    Example:

    >>> scores = score_vignettes(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]), ["a", "b"])
    >>> round(scores["accuracy"], 3), scores["balanced_accuracy"], scores["classes"]["b"]["support"]
    (0.667, 0.75, 2)
    """
    from sklearn import metrics

    predicted, present = probabilities.argmax(axis=1), np.unique(labels)
    columns = metrics.precision_recall_fscore_support(
        labels, predicted, labels=np.arange(len(names)), zero_division=0.0
    )
    precision, recall, f1, _ = columns
    ranking = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    result = {
        "vignettes": len(labels),
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(recall[present].mean()),
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "top3_accuracy": float((ranking == labels[:, None]).any(axis=1).mean()),
        "classes": {
            name: dict(zip(("precision", "recall", "f1", "support"), values, strict=True))
            for name, *values in zip(names, *(column.tolist() for column in columns), strict=True)
        },
        "confusion": metrics.confusion_matrix(labels, predicted, labels=np.arange(len(names))).tolist(),
    }
    result["intervals"] = _intervals(np.array(result["confusion"]))
    result["ece"] = _calibration_error(probabilities.max(axis=1), predicted == labels)
    if living is not None:
        alive = np.array([living[name] for name in names])
        share = probabilities[:, alive].sum(axis=1)
        result["living_balanced_accuracy"] = float(metrics.balanced_accuracy_score(alive[labels], share > living_share))
    return result


def _intervals(confusion):
    """Draws confusion matrices; gives the ends of the scores that follow from them."""
    total = confusion.sum()
    drawn = np.random.default_rng(0).multinomial(total, confusion.ravel() / total, LEAST).reshape(-1, *confusion.shape)
    found = np.einsum("dcc->dc", drawn)
    true, predicted = drawn.sum(axis=2), drawn.sum(axis=1)
    present = true > 0
    by_class = {
        "macro_precision": share(found, predicted),
        "macro_recall": share(found, true),
        "macro_f1": share(2 * found, true + predicted),
    }
    scores = {name: (each * present).sum(axis=1) / present.sum(axis=1) for name, each in by_class.items()}
    scores |= {"accuracy": found.sum(axis=1) / total, "balanced_accuracy": scores["macro_recall"]}
    ends = {name: np.quantile(values, [TAIL, 1 - TAIL]).tolist() for name, values in scores.items()}
    return {name: {"low": low, "high": high} for name, (low, high) in ends.items()} | {
        "unit": "vignettes",
        "note": None,
    }


def _calibration_error(confidence, right):
    """Gives how far confidence and accuracy are apart, over bins of confidence."""
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(places, confidence - right, BINS)
    # Rounded, since sums depend on the order.
    return round(float(np.abs(gaps).sum() / len(right)), 9)
