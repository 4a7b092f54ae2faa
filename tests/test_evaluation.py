"""evaluation: scores that follow from counts, checked by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support

from plankton_keras.evaluation import (
    Counts,
    ObjectCounts,
    count_baseline,
    count_pixels,
    count_scan,
    scores_of_counts,
)
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.prediction import ScanPrediction
from plankton_keras.scans import ArrayScan


def predicted(classes, probability=None):
    """A `ScanPrediction` of arrays; its own objects are not looked at by `count_scan`."""
    probability = np.full(classes.shape, 255, np.uint8) if probability is None else probability
    return ScanPrediction(classes, probability, None, 0.0)


def counts_of(truth, classes, probability=None, num_classes=2):
    return count_scan(lambda window: truth[window.slices], predicted(classes, probability), num_classes)


def test_scores_of_counts_by_hand():
    # 6 found, 2 false, 4 missed, 8 of neither.
    assert scores_of_counts(6, 2, 4, 8) == pytest.approx(
        {"accuracy": 14 / 20, "precision": 6 / 8, "recall": 6 / 10, "f1": 12 / 18, "iou": 6 / 12}
    )


@pytest.mark.parametrize(("counts", "accuracy"), [((0, 0, 0, 0), 0.0), ((0, 0, 0, 9), 1.0), ((0, 5, 0, 5), 0.5)])
def test_nothing_out_of_nothing_is_0_not_nan(counts, accuracy):
    assert scores_of_counts(*counts) == {"accuracy": accuracy, "precision": 0, "recall": 0, "f1": 0, "iou": 0}


def test_f1_and_iou_keep_their_relation():
    # iou = f1 / (2 - f1) for any counts.
    for found, false, missed in np.random.default_rng(0).integers(1, 1000, (50, 3)):
        scores = scores_of_counts(found, false, missed)
        assert scores["iou"] == pytest.approx(scores["f1"] / (2 - scores["f1"]))


@pytest.mark.parametrize("num_classes", [2, 3, 256])
def test_pixels_are_counted_as_by_scikit_learn(num_classes):
    rng = np.random.default_rng(0)
    truth, classes = rng.integers(0, num_classes, (2, 60, 50), np.uint8)
    expected = confusion_matrix(truth.ravel(), classes.ravel(), labels=range(num_classes))
    assert np.array_equal(count_pixels(truth, classes, num_classes), expected)


def test_pixel_scores_are_those_of_the_foreground_whatever_its_kind():
    # Rows are truth. Foreground: found 5 + 1 + 2 + 6 = 14, false 3 + 4 = 7, missed 2 + 0 = 2, neither 80.
    counts = Counts(np.array([[80, 3, 4], [2, 5, 1], [0, 2, 6]]))
    assert counts.pixel_scores() == pytest.approx(
        {"accuracy": 94 / 103, "precision": 14 / 21, "recall": 14 / 16, "f1": 28 / 37, "iou": 14 / 23}
    )


def test_class_scores_are_those_of_each_class_against_all_others():
    rng = np.random.default_rng(1)
    truth, classes = rng.integers(0, 3, (2, 40, 40), np.uint8)
    scores = Counts(count_pixels(truth, classes, 3)).class_scores(("ground", "copepod", "worm"))
    precision, recall, f1, _ = precision_recall_fscore_support(truth.ravel(), classes.ravel())
    for index, name in enumerate(("ground", "copepod", "worm")):
        assert scores[name]["precision"] == pytest.approx(precision[index])
        assert scores[name]["recall"] == pytest.approx(recall[index])
        assert scores[name]["f1"] == pytest.approx(f1[index])
        assert scores[name]["accuracy"] == pytest.approx(((truth == index) == (classes == index)).mean())
        assert scores[name]["support"] == (truth == index).sum()


def test_objects_scores_by_hand():
    # 3 true objects, 3 predicted: scores 0.9 hit, 0.8 no hit, 0.7 hit; IoU of the hits 0.6 and 0.8.
    counts = ObjectCounts([0.6, 0.8], 3, 3, [(0.7, True), (0.9, True), (0.8, False)])
    # Precision at the hits: 1/1 and 2/3; each adds a recall of 1/3.
    ap50 = (1 + 2 / 3) / 3
    # (0.6 + 0.8) / (2 + 1/2 + 1/2).
    expected = {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "ap50": ap50, "pq": 1.4 / 3}
    assert counts.scores() == pytest.approx(expected)


def test_ap50_takes_the_best_precision_at_this_recall_or_a_higher_one():
    # Ranked: no hit, hit, hit. Precision 0, 1/2, 2/3; the first hit counts 2/3 too. Two true objects.
    counts = ObjectCounts([0.9, 0.9], 3, 2, [(0.9, False), (0.8, True), (0.7, True)])
    assert counts.scores()["ap50"] == pytest.approx(2 / 3)


def test_ap50_is_at_least_the_average_precision_of_scikit_learn_and_equal_where_precision_only_falls():
    rng = np.random.default_rng(0)
    score, hit = rng.random(40), rng.random(40) < 0.5
    ranking = list(zip(score.tolist(), hit.tolist(), strict=True))
    found = int(hit.sum())
    ap50 = ObjectCounts([1.0] * found, 40, found, ranking).scores()["ap50"]
    assert ap50 >= average_precision_score(hit, score)
    score = hit + rng.random(40) / 2
    ranking = list(zip(score.tolist(), hit.tolist(), strict=True))
    ap50 = ObjectCounts([1.0] * found, 40, found, ranking).scores()["ap50"]
    assert ap50 == pytest.approx(average_precision_score(hit, score)) == pytest.approx(1)


@pytest.mark.parametrize("counts", [ObjectCounts(), ObjectCounts([], 0, 4, []), ObjectCounts([], 1, 0, [(0.5, False)])])
def test_without_a_match_all_object_scores_are_0(counts):
    assert counts.scores() == {"precision": 0, "recall": 0, "f1": 0, "ap50": 0, "pq": 0}


def random_maps(seed, height, width, num_classes=2):
    """Truth made of boxes, and a prediction that has some of them, shifted, and noise."""
    rng = np.random.default_rng(seed)
    truth, classes = np.zeros((2, height, width), np.uint8)
    for _ in range(height * width // 400):
        top, left, kind = rng.integers(0, height), rng.integers(0, width), rng.integers(1, num_classes)
        tall, wide = rng.integers(2, 14, 2)
        truth[top : top + tall, left : left + wide] = kind
        if rng.random() < 0.7:
            top, left = max(0, top + rng.integers(-2, 3)), max(0, left + rng.integers(-2, 3))
            classes[top : top + tall, left : left + wide] = kind
    return truth, classes, rng.integers(0, 256, truth.shape, np.uint8)


@pytest.mark.parametrize("height", [90, 1024, 1300, 2100])
def test_the_pixels_of_a_scan_are_scored_as_by_scikit_learn_over_all_bands(height):
    truth, classes, _ = random_maps(height, height, 70)
    precision, recall, f1, _ = precision_recall_fscore_support(truth.ravel(), classes.ravel(), average="binary")
    scores = counts_of(truth, classes).pixel_scores()
    assert (scores["precision"], scores["recall"], scores["f1"]) == pytest.approx((precision, recall, f1))


@pytest.mark.parametrize("height", [90, 1300])
def test_the_objects_of_a_scan_are_matched_as_by_comparing_every_pair(height):
    truth, classes, probability = random_maps(height, height, 60)
    counts = counts_of(truth, classes, probability).objects

    def whole(array, weights=None):
        labeler = BandLabeler(2)
        band, labels = label_band(array, weights)
        labeler.add(band)
        objects, final = labeler.finish()
        return objects, final[labels]

    (true_objects, true_labels), (objects, labels) = whole(truth), whole(classes, probability)
    both = np.bincount(
        (true_labels * (len(objects) + 1) + labels).ravel(), minlength=(len(true_objects) + 1) * (len(objects) + 1)
    )
    both = both.reshape(len(true_objects) + 1, len(objects) + 1)[1:, 1:]
    iou = both / (true_objects.areas[:, None] + objects.areas[None] - both)
    assert sorted(counts.matched) == pytest.approx(sorted(iou[iou > 0.5]))
    assert (counts.true, counts.predicted) == (len(true_objects), len(objects))
    expected = sorted(zip(objects.scores.tolist(), (iou > 0.5).any(axis=0).tolist(), strict=True))
    assert sorted(counts.ranking) == expected
    assert 0 < len(counts.matched) < counts.true


@pytest.mark.parametrize(
    ("true_width", "width", "matched"),
    [
        # 10 rows of truth; the prediction covers part of it, so IoU is the share that it covers.
        (100, 51, [0.51]),
        (100, 50, []),
        (100, 49, []),
        # The prediction is larger: IoU = 100 / width.
        (100, 199, [100 / 199]),
        (100, 200, []),
    ],
)
def test_objects_match_above_an_iou_of_one_half_only(true_width, width, matched):
    truth, classes = np.zeros((2, 12, 220), np.uint8)
    truth[1:11, :true_width] = 1
    classes[1:11, :width] = 1
    counts = counts_of(truth, classes).objects
    assert counts.matched == pytest.approx(matched)
    assert (counts.true, counts.predicted) == (1, 1)
    assert counts.ranking == [(1.0, bool(matched))]


def test_an_object_across_the_border_of_bands_is_one_object():
    truth, classes = np.zeros((2, 2100, 8), np.uint8)
    truth[1000:2060, 2:6] = 1
    classes[1010:2060, 2:6] = 1
    counts = counts_of(truth, classes).objects
    # 1050 of 1060 rows.
    assert counts.matched == pytest.approx([1050 / 1060])
    assert (counts.true, counts.predicted) == (1, 1)


def test_a_prediction_that_joins_two_equal_objects_matches_neither():
    truth = np.array([[1, 1, 0, 1, 1]], np.uint8)
    # The joined object has 5 pixels and shares 2 with each: IoU 2/5.
    counts = counts_of(truth, np.ones((1, 5), np.uint8)).objects
    assert (counts.matched, counts.true, counts.predicted) == ([], 2, 1)


def test_counts_of_two_scans_add_up_to_those_of_both():
    parts = [random_maps(seed, 80, 60, 3) for seed in (1, 2)]
    total = Counts.of(3)
    for truth, classes, probability in parts:
        total.add(counts_of(truth, classes, probability, 3))
    # One scan with both, apart by an empty row.
    gap = np.zeros((1, 60), np.uint8)
    joined = [np.concatenate([parts[0][index], gap, parts[1][index]]) for index in range(3)]
    whole = counts_of(*joined, 3)
    whole.confusion[0, 0] -= 60
    assert np.array_equal(total.confusion, whole.confusion)
    assert total.objects.scores() == pytest.approx(whole.objects.scores())


@pytest.fixture(scope="module")
def dark_squares():
    """Ground of 220 that gets darker to the right, and dark squares at known places: scan, map of the squares."""
    ground = np.linspace(235, 205, 700)[None].repeat(1300, axis=0)
    squares = np.zeros((1300, 700), np.uint8)
    for top, left in ((50, 60), (400, 600), (1010, 300), (1240, 20)):
        squares[top : top + 40, left : left + 40] = 1
    return np.where(squares, 90, ground).astype(np.uint8), squares


def test_counts_of_the_baseline_are_those_of_its_map(dark_squares):
    scan, squares = dark_squares
    counts = count_baseline(ArrayScan("a", scan), lambda window: squares[window.slices] * np.uint8(2))
    # All 4 * 1600 pixels of the squares are found with 4 * (42 * 42 - 40 * 40) = 656 false ones.
    assert counts.confusion.tolist() == [[1300 * 700 - 6400 - 656, 656], [0, 6400]]
