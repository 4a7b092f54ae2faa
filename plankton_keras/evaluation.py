"""Whatever predicts scans, scored on scans whose truth is known: plain dictionaries.

Thresholds are fitted on validation only.
"""

from collections.abc import Callable
from dataclasses import dataclass

from plankton_keras.counting import Counts, count_scan, scan_entry
from plankton_keras.curves import calibration, threshold_curves
from plankton_keras.images import pixel_mm
from plankton_keras.intervals import paired_gain
from plankton_keras.prediction import predict_scan
from plankton_keras.spreads import intervals


@dataclass(frozen=True)
class Contestant:
    """Anything that predicts scans, to be scored.

    Attributes:
        source: What to call it.
        digest: SHA-256 of a model, or None.
        threshold: Probability from which a pixel counts as found, or None.
        classes: Class names by index.
        target: The `taxa.Target` of its classes.
        predict: Function of an open scan to its `prediction.ScanPrediction`.
        looks: What `shift.unlike` compares scans with.
    """

    source: str
    digest: str | None
    threshold: float | None
    classes: tuple
    target: object
    predict: Callable
    looks: tuple = ()


def model_contestant(predictor, config, progress_of):
    """Makes a contestant of a model.

    Args:
        predictor: A `predictors.Predictor`.
        config: A `config.PredictConfig`; without a threshold of its own the model's is taken.
        progress_of: Function of a scan's stem to what `predict_scan` takes as its progress.

    Returns:
        The `Contestant`.
    """
    threshold = predictor.threshold_for(config)
    config = config.for_classes(len(predictor.classes))

    def predict(scan):
        return predict_scan(scan, predictor.probabilities, threshold, config, progress_of(scan.stem), predictor.judge)

    known = predictor.source, predictor.digest, threshold, tuple(predictor.classes), predictor.target
    return Contestant(*known, predict, predictor.looks)


def score(contestant, truths, gallery=None):
    """Predicts and scores scans.

    Args:
        contestant: A `Contestant`.
        truths: List of `truths.Truth`.
        gallery: A `gallery.Gallery` that keeps the worst errors, or None.

    Returns:
        A dictionary of what `metrics.json` has of one model (docs/evaluate.md).
    """
    counted, scans, names = [], [], contestant.classes
    for truth in truths:
        with truth.opened(contestant.target) as (scan, read_truth):
            prediction = contestant.predict(scan)
            counts = count_scan(read_truth, prediction, len(names), pixel_mm(scan.dpi))
            if gallery is not None:
                gallery.look(scan, read_truth, prediction, counts.objects)
        counted.append(counts)
        scans.append({**scan_entry(truth.stem, counts), "objects": counts.objects.scores()})
    total = Counts.join(counted)
    return {
        "model": contestant.source,
        "model_sha256": contestant.digest,
        "threshold": contestant.threshold,
        "pixel": total.pixel_scores(),
        "classes": total.class_scores(names),
        "confusion": total.confusion.tolist(),
        "objects": total.objects.scores(),
        "sizes": total.objects.by_size(),
        "counts": total.amounts(names),
        "curves": threshold_curves(total.histogram),
        "calibration": calibration(total.histogram),
        "intervals": intervals(counted),
        "scans": scans,
    }


def gain_over(scores, baseline):
    """Compares two scores of the same scans.

    Args:
        scores: What `score` gave.
        baseline: What `score` gave, or a part of what `score_baselines` did.

    Returns:
        As `intervals.paired_gain`.
    """
    both = [[tuple(scan["counts"].values()) for scan in each["scans"]] for each in (scores, baseline)]
    return paired_gain(*both)
