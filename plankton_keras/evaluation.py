"""Scores of pixels and objects as plain dictionaries, from counts that add up over scans; and the threshold baseline.

Foreground is every class but 0. Thresholds are fitted on validation only.
"""

from dataclasses import dataclass, field

import numpy as np

from plankton_keras.candidates import bands_of, find_candidates
from plankton_keras.intervals import paired_gain
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.prediction import predict_scan
from plankton_keras.tiles import Window

BAND = 1024
IOU = 0.5


def ratio(part, whole):
    """Divides counts; nothing out of nothing is 0."""
    return float(part / whole) if whole else 0.0


def scores_of_counts(found, false, missed, true_negative=0):
    """Gives the scores that follow from four counts.

    Args:
        found: True positives.
        false: False positives.
        missed: False negatives.
        true_negative: True negatives.

    Returns:
        A dictionary of `accuracy, precision, recall, f1, iou`, each 0..1.

    Example, with precision 6/8 and recall 6/9:

    >>> {name: round(score, 3) for name, score in scores_of_counts(6, 2, 3, 9).items()}
    {'accuracy': 0.75, 'precision': 0.75, 'recall': 0.667, 'f1': 0.706, 'iou': 0.545}
    """
    return {
        "accuracy": ratio(found + true_negative, found + false + missed + true_negative),
        "precision": ratio(found, found + false),
        "recall": ratio(found, found + missed),
        "f1": ratio(2 * found, 2 * found + false + missed),
        "iou": ratio(found, found + false + missed),
    }


@dataclass
class ObjectCounts:
    """Objects of truth and prediction matched one to one at IoU above 0.5, where no object can match two.

    Attributes:
        matched: IoU of each matched pair.
        predicted: Number of predicted objects.
        true: Number of true objects.
        ranking: `(score, matched)` of each predicted object.
    """

    matched: list = field(default_factory=list)
    predicted: int = 0
    true: int = 0
    ranking: list = field(default_factory=list)

    def scores(self):
        """Gives `precision, recall, f1, ap50, pq` (Kirillov et al. 2019, arXiv 1801.00868), each 0..1."""
        found, false, missed = len(self.matched), self.predicted - len(self.matched), self.true - len(self.matched)
        scores = scores_of_counts(found, false, missed)
        hits = np.array([hit for _, hit in sorted(self.ranking, key=lambda each: -each[0])], float)
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        # The best precision at this recall or a higher one, as in Pascal VOC.
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return {
            **{name: scores[name] for name in ("precision", "recall", "f1")},
            "ap50": ratio((envelope * hits).sum(), self.true),
            "pq": ratio(sum(self.matched), found + (false + missed) / 2),
        }


@dataclass
class Counts:
    """What is counted of one or more scans.

    Attributes:
        confusion: int64 `(classes, classes)`: pixels by true and predicted class.
        objects: The `ObjectCounts`.
    """

    confusion: np.ndarray
    objects: ObjectCounts = field(default_factory=ObjectCounts)

    @classmethod
    def of(cls, num_classes):
        """Makes empty counts."""
        return cls(np.zeros((num_classes, num_classes), np.int64))

    def add(self, other):
        """Adds the counts of another scan."""
        self.confusion = self.confusion + other.confusion
        self.objects.matched += other.objects.matched
        self.objects.predicted += other.objects.predicted
        self.objects.true += other.objects.true
        self.objects.ranking += other.objects.ranking

    def foreground(self):
        """Gives the pixels of the foreground that are found, false and missed, whichever class they have."""
        confusion = self.confusion
        return int(confusion[1:, 1:].sum()), int(confusion[0, 1:].sum()), int(confusion[1:, 0].sum())

    def pixel_scores(self):
        """Gives the scores of the foreground against class 0."""
        return scores_of_counts(*self.foreground(), self.confusion[0, 0])

    def class_scores(self, names):
        """Gives the scores of each class against all others, and its true pixels as `support`, by name."""
        result = {}
        for index, name in enumerate(names):
            found, support = self.confusion[index, index], int(self.confusion[index].sum())
            false, missed = self.confusion[:, index].sum() - found, support - found
            scores = scores_of_counts(found, false, missed, self.confusion.sum() - found - false - missed)
            result[name] = {**scores, "support": support}
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


def count_scan(read_truth, prediction, num_classes):
    """Compares a predicted scan with its truth, band by band.

    Args:
        read_truth: Function of a `Window` to uint8 class indices.
        prediction: A `prediction.ScanPrediction`.
        num_classes: Number of classes.

    Returns:
        The scan's `Counts`.
    """
    height, width = prediction.classes.shape
    counts = Counts.of(num_classes)
    true_labeler, labeler, overlaps = BandLabeler(num_classes), BandLabeler(num_classes), []
    for top in range(0, height, BAND):
        window = Window(top, 0, min(BAND, height - top), width)
        truth, classes = read_truth(window), np.asarray(prediction.classes[window.slices])
        counts.confusion += count_pixels(truth, classes, num_classes)
        true_band, true_labels = label_band(truth, num_classes=num_classes)
        band, labels = label_band(classes, np.asarray(prediction.probability[window.slices]), num_classes)
        both = (true_labels > 0) & (labels > 0)
        inside = np.stack([true_labels[both], labels[both]])
        pairs, pixels = np.unique(inside, axis=1, return_counts=True)
        before = np.array([[true_labeler.add(true_band)], [labeler.add(band)]])
        overlaps.append((pairs + before, pixels))
    counts.objects = _match(true_labeler.finish(), labeler.finish(), overlaps)
    return counts


def count_baseline(scan, read_truth):
    """Counts the pixels of the plain threshold: all candidates, living or not. Objects are not compared.

    Args:
        scan: An open scan.
        read_truth: Function of a `Window` to uint8 class indices.

    Returns:
        `Counts` of two classes: 0, and everything else.
    """

    def count(top, bottom, places, _):
        truth = read_truth(Window(top, 0, bottom - top, scan.width))
        found = np.zeros(truth.shape, np.uint8)
        found.ravel()[places] = 1
        return count_pixels((truth > 0).astype(np.uint8), found, 2)

    return Counts(sum(find_candidates(scan, bands_of(scan.height)).over_bands(count)))


def _match(true_finish, finish, overlaps):
    """Matches objects by their overlaps, given with provisional labels."""
    (true_objects, true_final), (objects, final) = true_finish, finish
    shared = {}
    for pairs, pixels in overlaps:
        for pair, count in zip(
            zip(true_final[pairs[0]].tolist(), final[pairs[1]].tolist(), strict=True), pixels.tolist(), strict=True
        ):
            shared[pair] = shared.get(pair, 0) + count
    matched, hits = [], np.zeros(len(objects), bool)
    for (true_label, label), both in shared.items():
        iou = both / (true_objects.areas[true_label - 1] + objects.areas[label - 1] - both)
        if iou > IOU:
            matched.append(float(iou))
            hits[label - 1] = True
    ranking = list(zip(objects.scores.tolist(), hits.tolist(), strict=True))
    return ObjectCounts(matched, len(objects), len(true_objects), ranking)


def score_model(predictor, truths, config, progress_of):
    """Predicts and scores scans with one model.

    Args:
        predictor: An `inference.Predictor`.
        truths: List of `truths.Truth`.
        config: A `config.PredictConfig`; without a threshold of its own the model's is taken.
        progress_of: Function of a scan's stem to what `predict_scan` takes as its progress.

    Returns:
        A dictionary of `model, model_sha256, pixel, classes, objects, scans, threshold` as `metrics.json` has them.
    """
    threshold = predictor.threshold if config.threshold is None else config.threshold
    config = config.for_classes(len(predictor.classes))
    total, scans = Counts.of(len(predictor.classes)), []
    for truth in truths:
        with truth.opened(predictor.target) as (scan, read_truth):
            progress = progress_of(truth.stem)
            prediction = predict_scan(scan, predictor.probabilities, threshold, config, progress, predictor.judge)
            counts = count_scan(read_truth, prediction, len(predictor.classes))
        total.add(counts)
        scans.append({**_of_scan(truth.stem, counts), "objects": counts.objects.scores()})
    return {
        "model": predictor.source,
        "model_sha256": predictor.digest,
        "pixel": total.pixel_scores(),
        "classes": total.class_scores(predictor.classes),
        "objects": total.objects.scores(),
        "scans": scans,
        "threshold": threshold,
    }


def _of_scan(stem, counts):
    """Gives the scores of a scan, and the counts that they come from."""
    return {
        "scan": stem,
        "pixel": counts.pixel_scores(),
        "counts": dict(zip(("found", "false", "missed"), counts.foreground(), strict=True)),
    }


def gain_over(scores, baseline):
    """Compares two scores of the same scans.

    Args:
        scores: What `score_model` gave.
        baseline: What `score_model` or `score_baseline` gave.

    Returns:
        As `intervals.paired_gain`.
    """
    both = [[tuple(scan["counts"].values()) for scan in each["scans"]] for each in (scores, baseline)]
    return paired_gain(*both)


def score_baseline(truths, target):
    """Scores the plain threshold on scans.

    Args:
        truths: List of `truths.Truth`.
        target: The `taxa.Target` that says what is foreground.

    Returns:
        A dictionary of `pixel, scans`.
    """
    total, scans = Counts.of(2), []
    for truth in truths:
        with truth.opened(target) as (scan, read_truth):
            counts = count_baseline(scan, read_truth)
        total.add(counts)
        scans.append(_of_scan(truth.stem, counts))
    return {"pixel": total.pixel_scores(), "scans": scans}
