"""evaluation: scores that follow from counts, checked by hand and against scikit-learn."""

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_recall_fscore_support

from plankton_keras import truths
from plankton_keras.baselines import count_baseline, score_baselines
from plankton_keras.candidates import bands_of, find_candidates
from plankton_keras.counting import Counts, count_pixels, count_scan, scores_of_counts
from plankton_keras.errors import ArtefactError
from plankton_keras.evaluation import Contestant, gain_over, score
from plankton_keras.gallery import Gallery
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.prediction import ScanPrediction
from plankton_keras.scans import ArrayScan
from plankton_keras.spreads import intervals
from plankton_keras.taxa import Target, living_target
from plankton_keras.tiles import Window
from plankton_keras.truths import Truth

SOURCE = {"stem": "a", "split": "val", "scan_sha256": "d", "dpi": None}


def predicted(classes, probability=None):
    """A `ScanPrediction` of arrays; its own objects are not looked at by `count_scan`."""
    probability = np.full(classes.shape, 255, np.uint8) if probability is None else probability
    return ScanPrediction(classes, probability, None, 0.0)


def counts_of(truth, classes, probability=None, num_classes=2):
    return count_scan(lambda window: truth[window.slices], predicted(classes, probability), num_classes)


def test_records_of_other_classes_than_the_models_are_refused(monkeypatch):
    manifest = SimpleNamespace(classes=("non-living", "living"), sources=[SimpleNamespace(**SOURCE)])
    monkeypatch.setattr(truths, "read_manifest", lambda folder: manifest)
    pixels = np.zeros((4, 5), np.uint8)
    monkeypatch.setattr(truths, "rebuild_scans", lambda folder, manifest, split: {"a": (pixels, pixels)})
    (truth,) = truths.truths_of_records("records", "val")
    with truth.opened(living_target()) as (scan, read_truth):
        assert read_truth(Window(0, 0, scan.height, scan.width)).shape == (4, 5)
    taxa = Target(("non-living", "Calanus"), {})
    with pytest.raises(ArtefactError) as caught, truth.opened(taxa):
        pass
    assert str(caught.value) == (
        "records has the classes non-living, living, but a model non-living, Calanus.\n"
        "Expected: the classes that the model was trained on.\n"
        "Fix: score it on the folder of scans and masks instead."
    )


def test_scores_of_counts_by_hand():
    # 6 found, 2 false, 4 missed, 8 of neither.
    assert scores_of_counts(6, 2, 4, 8) == pytest.approx(
        {
            "accuracy": 14 / 20,
            "balanced_accuracy": (6 / 10 + 8 / 10) / 2,
            "precision": 6 / 8,
            "recall": 6 / 10,
            "f1": 12 / 18,
            "iou": 6 / 12,
        }
    )


@pytest.mark.parametrize(("counts", "accuracy"), [((0, 0, 0, 0), 0.0), ((0, 0, 0, 9), 1.0), ((0, 5, 0, 5), 0.5)])
def test_nothing_out_of_nothing_is_0_not_nan(counts, accuracy):
    scores = {"accuracy": accuracy, "balanced_accuracy": accuracy / 2, "precision": 0, "recall": 0, "f1": 0, "iou": 0}
    assert scores_of_counts(*counts) == scores


def test_counts_may_be_arrays_and_score_one_by_one():
    rows = np.random.default_rng(0).integers(0, 9, (20, 4))
    whole = scores_of_counts(*rows.T)
    for index, row in enumerate(rows.tolist()):
        assert {name: float(values[index]) for name, values in whole.items()} == scores_of_counts(*row)


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
    counts = Counts(np.array([[80, 3, 4], [2, 5, 1], [0, 2, 6]]), None)
    scores = {"accuracy": 94 / 103, "precision": 14 / 21, "recall": 14 / 16, "f1": 28 / 37, "iou": 14 / 23}
    assert counts.pixel_scores() == pytest.approx({**scores, "balanced_accuracy": (14 / 16 + 80 / 87) / 2})


def test_class_scores_are_those_of_each_class_against_all_others():
    rng = np.random.default_rng(1)
    truth, classes = rng.integers(0, 3, (2, 40, 40), np.uint8)
    scores = Counts(count_pixels(truth, classes, 3), None).class_scores(("ground", "copepod", "worm"))
    precision, recall, f1, _ = precision_recall_fscore_support(truth.ravel(), classes.ravel())
    for index, name in enumerate(("ground", "copepod", "worm")):
        assert scores[name]["precision"] == pytest.approx(precision[index])
        assert scores[name]["recall"] == pytest.approx(recall[index])
        assert scores[name]["f1"] == pytest.approx(f1[index])
        assert scores[name]["accuracy"] == pytest.approx(((truth == index) == (classes == index)).mean())
        assert scores[name]["support"] == (truth == index).sum()


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
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth.ravel(), classes.ravel()))


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
    matched = np.where(iou > 0.5, iou, 0)
    assert counts.true.ious == pytest.approx(matched.max(axis=1))
    assert counts.predicted.ious == pytest.approx(matched.max(axis=0))
    assert counts.predicted.scores == pytest.approx(objects.scores)
    assert counts.true.common.tolist() == both.sum(axis=1).tolist()
    assert counts.predicted.common.tolist() == both.sum(axis=0).tolist()
    assert counts.true.held.tolist() == (2 * both > objects.areas[None]).sum(axis=1).tolist()
    assert counts.predicted.held.tolist() == (2 * both > true_objects.areas[:, None]).sum(axis=0).tolist()
    assert 0 < (counts.true.ious > 0).sum() < len(counts.true)


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
    assert counts.true.ious.tolist() == counts.predicted.ious.tolist() == pytest.approx(matched or [0])


def test_an_object_across_the_border_of_bands_is_one_object():
    truth, classes = np.zeros((2, 2100, 8), np.uint8)
    truth[1000:2060, 2:6] = 1
    classes[1010:2060, 2:6] = 1
    counts = counts_of(truth, classes).objects
    # 1050 of 1060 rows.
    assert counts.true.ious.tolist() == counts.predicted.ious.tolist() == pytest.approx([1050 / 1060])


def test_a_prediction_that_joins_two_equal_objects_matches_neither():
    truth = np.array([[1, 1, 0, 1, 1]], np.uint8)
    # The joined object has 5 pixels and shares 2 with each: IoU 2/5.
    counts = counts_of(truth, np.ones((1, 5), np.uint8)).objects
    assert (counts.true.ious.tolist(), counts.predicted.ious.tolist()) == ([0, 0], [0])
    assert (counts.scores()["merges"], counts.scores()["splits"]) == (1, 0)


def test_counts_of_two_scans_add_up_to_those_of_both():
    parts = [random_maps(seed, 80, 60, 3) for seed in (1, 2)]
    total = Counts.join([counts_of(*part, 3) for part in parts])
    # One scan with both, apart by an empty row.
    gap = np.zeros((1, 60), np.uint8)
    joined = [np.concatenate([parts[0][index], gap, parts[1][index]]) for index in range(3)]
    whole = counts_of(*joined, 3)
    whole.confusion[0, 0] -= 60
    whole.histogram[0, 0] -= 60
    assert np.array_equal(total.confusion, whole.confusion)
    assert np.array_equal(total.histogram, whole.histogram)
    for one, other in zip(total.objects.scores()["by_iou"], whole.objects.scores()["by_iou"], strict=True):
        assert one == pytest.approx(other)


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
    counts = count_baseline(
        find_candidates(ArrayScan("a", scan), bands_of(1300)), lambda window: squares[window.slices] * np.uint8(2)
    )
    # All 4 * 1600 pixels of the squares are found with 4 * (42 * 42 - 40 * 40) = 656 false ones.
    assert counts.confusion.tolist() == [[1300 * 700 - 6400 - 656, 656], [0, 6400]]
    assert counts.histogram[:, [0, 255]].tolist() == counts.confusion.tolist()


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_histogram_counts_every_pixel_by_truth_and_probability(num_classes):
    truth, classes, probability = random_maps(0, 1300, 70, num_classes)
    expected = confusion_matrix((truth > 0).ravel() * 256, probability.ravel(), labels=range(257))[[0, 256], :256]
    assert np.array_equal(counts_of(truth, classes, probability, num_classes).histogram, expected)


def truths_of(*maps):
    """`truths.Truth` of arrays `(scan, truth)`."""

    def opener(stem, scan, truth):
        @contextlib.contextmanager
        def opened(_):
            yield ArrayScan(stem, scan), lambda window: truth[window.slices]

        return opened

    return [Truth(f"s{index}", "", opener(f"s{index}", *each)) for index, each in enumerate(maps)]


def test_the_baselines_that_call_everything_one_thing_score_what_they_must(dark_squares):
    scan, squares = dark_squares
    scores, looks = score_baselines(truths_of((scan, squares), (scan, squares)), None)
    # 2 scans of 910,000 pixels, 6,400 of them living.
    assert scores["all ground"]["pixel"]["f1"] == 0
    assert scores["all ground"]["pixel"]["accuracy"] == pytest.approx(1 - 6400 / 910_000)
    assert scores["all living"]["pixel"]["precision"] == pytest.approx(6400 / 910_000)
    assert scores["all living"]["pixel"]["recall"] == 1
    # The middle of 235 to 205.
    assert [each["ground"] for each in looks] == [219, 219]
    assert scores["threshold"]["scans"][1]["counts"] == {"found": 6400, "false": 656, "missed": 0}
    assert gain_over(scores["threshold"], scores["all living"])["f1"] == pytest.approx(
        12800 / (12800 + 656) - 12800 / (12800 + 903_600)
    )


def test_a_score_has_all_that_metrics_json_promises(dark_squares):
    scan, squares = dark_squares
    shifted = np.roll(squares, 4, axis=1)
    gallery = Gallery(("ground", "living"))
    contestant = Contestant("shifted", None, None, ("ground", "living"), None, lambda _: predicted(shifted))
    found = score(contestant, truths_of((scan, squares)), gallery)
    # 36 of 40 columns agree: IoU 36/44, all 4 squares found.
    assert found["pixel"]["f1"] == pytest.approx(0.9)
    assert found["objects"]["pq"] == pytest.approx(36 / 44)
    assert found["confusion"] == [[910_000 - 6400 - 640, 640], [640, 5760]]
    assert found["counts"]["living"] == {
        "true_objects": 4,
        "predicted_objects": 4,
        "count_error": 0,
        "true_pixels": 6400,
        "predicted_pixels": 6400,
        "area_error": 0,
    }
    # A square of 40 x 40 has the area of a disk of 45 pixels.
    bins = {bin["low"]: (bin["true"], bin["found"]) for bin in found["sizes"]["bins"]}
    assert (found["sizes"]["unit"], bins[30], bins[50]) == ("px", (4, 4), (0, 0))
    assert found["scans"][0]["counts"] == {"found": 5760, "false": 640, "missed": 640}
    assert found["intervals"]["unit"] == "objects"
    assert [error["pixels"] for error in gallery.errors()] == [160] * 8


def test_intervals_over_objects_draw_a_match_as_one():
    """A true object and what matches it come together: nothing can be found more often than it was predicted."""
    maps = np.zeros((2, 100, 100), np.uint8)
    for place in range(20):
        top, left = 20 * (place // 5), 20 * (place % 5)
        maps[:, top : top + 8, left : left + 8] = 1
    perfect = intervals([counts_of(maps[0], maps[0])] * 2)["objects"]
    assert all(ends == {"low": 1, "high": 1} for ends in perfect.values())
    assert len(perfect) == 4
    maps[1, :20, :40] = 0  # Two of twenty are missed...
    maps[1, 90:98, :8] = maps[1, 90:98, 20:28] = 1  # ...and two are false.
    found = intervals([counts_of(*maps)] * 2)["objects"]
    for name in ("precision", "recall", "f1"):
        # Of 40 objects nine in ten: the binomial error is 0.047.
        low, high = found[name]["low"], found[name]["high"]
        assert (low, high) == pytest.approx((0.8, 0.98), abs=0.04), name
        assert high <= 1


def test_intervals_are_over_scans_where_there_are_five_and_over_objects_below():
    many = [counts_of(*random_maps(seed, 80, 60)) for seed in range(5)]
    over_scans, over_objects = intervals(many), intervals(many[:4])
    assert (over_scans["unit"], over_scans["scans"]) == ("scans", 5)
    assert (over_objects["unit"], over_objects["scans"]) == ("objects", 4)
    assert over_scans["note"] == "Fewer than 8 scans: intervals are a little too narrow."
    assert over_objects["note"].startswith("Fewer than 5 scans: intervals are over their objects")
    assert intervals(2 * many)["note"] is None
    without = intervals([replace(each, objects=None) for each in many[:2]])
    assert (without["unit"], without["note"]) == ("scans", "Fewer than 5 scans: intervals are much too narrow.")
    for found, counted in ((over_scans, many), (over_objects, many[:4])):
        total = Counts.join(counted)
        for part, scores in (("pixel", total.pixel_scores()), ("objects", total.objects.scores())):
            for name, ends in found[part].items():
                assert ends["low"] <= scores[name] <= ends["high"], (part, name)
