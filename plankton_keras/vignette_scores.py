"""Scores of a vignette classifier as plain dictionaries. Macro figures are over the classes that are present."""

import numpy as np

TOP = 3


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
        The `evaluate` object of design/cli.md for a classifier, with `confusion` (rows true, columns predicted) and,
        where `living` is given, `living_balanced_accuracy` of living against not.

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
    if living is not None:
        alive = np.array([living[name] for name in names])
        share = probabilities[:, alive].sum(axis=1)
        result["living_balanced_accuracy"] = float(metrics.balanced_accuracy_score(alive[labels], share > living_share))
    return result
